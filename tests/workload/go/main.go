// Asks a Workload API by go-spiffe: SOCKET AUDIENCE. One line for each thing that was seen; exit code 1 at the first that was not.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func must(what string, err error) {
	if err != nil {
		fmt.Println("FAIL", what, err)
		os.Exit(1)
	}
	fmt.Println("ok", what)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	address := workloadapi.WithAddr("unix://" + os.Args[1])
	x509, err := workloadapi.FetchX509Context(ctx, address)
	must("FetchX509Context", err)
	svid := x509.DefaultSVID()
	id, _, err := x509svid.Verify(svid.Certificates, x509.Bundles)
	must("x509svid.Verify "+id.String(), err)
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(address))
	must("NewX509Source", err)
	held, err := source.GetX509SVID()
	must("GetX509SVID "+held.ID.String(), err)
	token, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: os.Args[2]}, address)
	must("FetchJWTSVID "+token.ID.String(), err)
	bundles, err := workloadapi.FetchJWTBundles(ctx, address)
	must("FetchJWTBundles", err)
	parsed, err := jwtsvid.ParseAndValidate(token.Marshal(), bundles, []string{os.Args[2]})
	must("ParseAndValidate "+parsed.ID.String(), err)
	valid, err := workloadapi.ValidateJWTSVID(ctx, token.Marshal(), os.Args[2], address)
	must("ValidateJWTSVID "+valid.ID.String(), err)
	_, err = workloadapi.ValidateJWTSVID(ctx, token.Marshal(), "another", address)
	if err == nil {
		must("another audience is refused", fmt.Errorf("it was taken"))
	}
	fmt.Println("ok another audience is refused")
}
