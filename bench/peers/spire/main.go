// What ./dev bench identity measures of SPIRE: certificates issued to an agent, and the way of a new entry to an open stream.
//
//	spire issue SERVER_SOCKET ADDRESS SECONDS IN_FLIGHT BATCH SERVER_PID
//	spire stream SERVER_SOCKET AGENT_SOCKET AGENT_ID COUNT
//
// Every certificate that counts is verified here: chain, name, key. One line of JSON.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	workloads = 64
	keys      = 512
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func number(text string) int { return must(strconv.Atoi(text)) }

func private(socket string) *grpc.ClientConn {
	return must(grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials())))
}

func request(key *ecdsa.PrivateKey) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// Joins as an agent does; its mTLS connection and its ID.
func join(ctx context.Context, admin *grpc.ClientConn, address string) (func() *grpc.ClientConn, *types.SPIFFEID) {
	token := must(agentv1.NewAgentClient(admin).CreateJoinToken(ctx, &agentv1.CreateJoinTokenRequest{Ttl: 600}))
	unknown := must(grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}))))
	defer unknown.Close()
	stream := must(agentv1.NewAgentClient(unknown).AttestAgent(ctx))
	key := newKey()
	err := stream.Send(&agentv1.AttestAgentRequest{Step: &agentv1.AttestAgentRequest_Params_{Params: &agentv1.AttestAgentRequest_Params{
		Data:   &types.AttestationData{Type: "join_token", Payload: []byte(token.Value)},
		Params: &agentv1.AgentX509SVIDParams{Csr: request(key)},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	svid := must(stream.Recv()).GetResult().Svid
	identity := tls.Certificate{Certificate: svid.CertChain, PrivateKey: key}
	config := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{identity}}
	dial := func() *grpc.ClientConn {
		return must(grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config))))
	}
	return dial, svid.Id
}

func create(ctx context.Context, admin *grpc.ClientConn, parent *types.SPIFFEID, name string) string {
	entry := &types.Entry{
		ParentId:  parent,
		SpiffeId:  &types.SPIFFEID{TrustDomain: "local", Path: "/bench/" + name},
		Selectors: []*types.Selector{{Type: "unix", Value: "uid:" + strconv.Itoa(os.Getuid())}},
	}
	made := must(entryv1.NewEntryClient(admin).BatchCreateEntry(ctx, &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{entry}}))
	if status := made.Results[0].Status; status.Code != 0 {
		log.Fatal(status.Message)
	}
	return made.Results[0].Entry.Id
}

// Nanoseconds on a processor, of every thread.
func processor(pid string) float64 {
	sum := 0.0
	for _, path := range must(filepath.Glob("/proc/" + pid + "/task/*/schedstat")) {
		if text, err := os.ReadFile(path); err == nil {
			sum += must(strconv.ParseFloat(strings.Fields(string(text))[0], 64))
		}
	}
	return sum
}

type answer struct {
	question int
	chain    [][]byte
}

func verified(answers []answer, roots *x509.CertPool, key []*ecdsa.PrivateKey) int {
	good := 0
	for _, one := range answers {
		leaf := must(x509.ParseCertificate(one.chain[0]))
		between := x509.NewCertPool()
		for _, der := range one.chain[1:] {
			between.AddCert(must(x509.ParseCertificate(der)))
		}
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		named := len(leaf.URIs) == 1 && leaf.URIs[0].String() == fmt.Sprintf("spiffe://local/bench/w%d", one.question%workloads)
		if err == nil && named && key[one.question].PublicKey.Equal(leaf.PublicKey) {
			good++
		}
	}
	return good
}

func issue(words []string) {
	ctx := context.Background()
	admin := private(words[0])
	dial, parent := join(ctx, admin, words[1])
	limit, inFlight, batch := time.Duration(number(words[2]))*time.Second, number(words[3]), number(words[4])
	entries := make([]string, workloads)
	for i := range entries {
		entries[i] = create(ctx, admin, parent, "w"+strconv.Itoa(i))
	}
	key, csr := make([]*ecdsa.PrivateKey, keys), make([][]byte, keys)
	for i := range key {
		key[i] = newKey()
		csr[i] = request(key[i])
	}
	ask := func(client svidv1.SVIDClient, first int) ([]answer, error) {
		params := make([]*svidv1.NewX509SVIDParams, batch)
		for i := range params {
			at := (first + i) % keys
			params[i] = &svidv1.NewX509SVIDParams{EntryId: entries[at%workloads], Csr: csr[at]}
		}
		reply, err := client.BatchNewX509SVID(ctx, &svidv1.BatchNewX509SVIDRequest{Params: params})
		if err != nil {
			return nil, err
		}
		var out []answer
		for i, one := range reply.Results {
			if one.Status.Code != 0 {
				return nil, fmt.Errorf("%s", one.Status.Message)
			}
			out = append(out, answer{(first + i) % keys, one.Svid.CertChain})
		}
		return out, nil
	}
	// The server's cache of entries is behind by some seconds.
	first := svidv1.NewSVIDClient(dial())
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		good := true
		for at := 0; at < workloads && good; at += batch {
			_, err := ask(first, at)
			good = err == nil
			if err != nil && time.Now().After(end) {
				log.Fatal(err)
			}
		}
		if good {
			break
		}
	}
	var lock sync.Mutex
	var all []answer
	var workers sync.WaitGroup
	before, begun := processor(words[5]), time.Now()
	for worker := range inFlight {
		workers.Go(func() {
			client := svidv1.NewSVIDClient(dial())
			var mine []answer
			for at := worker * batch; time.Since(begun) < limit; at += batch {
				mine = append(mine, must(ask(client, at))...)
			}
			lock.Lock()
			all = append(all, mine...)
			lock.Unlock()
		})
	}
	workers.Wait()
	took, spent := time.Since(begun), processor(words[5])-before
	bundle := must(bundlev1.NewBundleClient(admin).GetBundle(ctx, &bundlev1.GetBundleRequest{}))
	roots := x509.NewCertPool()
	for _, authority := range bundle.X509Authorities {
		roots.AddCert(must(x509.ParseCertificate(authority.Asn1)))
	}
	count := float64(len(all))
	print(map[string]any{"issued": len(all), "verified": verified(all, roots, key), "per_second": count / took.Seconds(),
		"per_cpu_second": count * 1e9 / spent, "cpu_us": spent / 1e3 / count})
}

func print(figures map[string]any) { fmt.Println(string(must(json.Marshal(figures)))) }

type watcher struct{ seen chan *workloadapi.X509Context }

func (w watcher) OnX509ContextUpdate(context *workloadapi.X509Context) { w.seen <- context }
func (w watcher) OnX509ContextWatchError(error)                        {}

func stream(words []string) {
	ctx := context.Background()
	admin := private(words[0])
	_, path, _ := strings.Cut(strings.TrimPrefix(words[2], "spiffe://"), "/")
	parent := &types.SPIFFEID{TrustDomain: "local", Path: "/" + path}
	seen := make(chan *workloadapi.X509Context, 64)
	go func() {
		must(0, workloadapi.WatchX509Context(ctx, watcher{seen}, workloadapi.WithAddr("unix://"+words[1])))
	}()
	var waits []float64
	for i := range number(words[3]) + 1 {
		name := "new" + strconv.Itoa(i)
		begun := time.Now()
		create(ctx, admin, parent, name)
		for found := false; !found; {
			for _, svid := range (<-seen).SVIDs {
				found = found || svid.ID.Path() == "/bench/"+name
			}
		}
		if i > 0 { // the first opens the stream
			waits = append(waits, float64(time.Since(begun).Microseconds())/1e3)
		}
	}
	sort.Float64s(waits)
	at := func(percent int) float64 { return waits[(len(waits)-1)*percent/100] }
	print(map[string]any{"count": len(waits), "p50_ms": at(50), "p99_ms": at(99), "max_ms": at(100)})
}

func main() {
	if len(os.Args) == 8 && os.Args[1] == "issue" {
		issue(os.Args[2:])
	} else if len(os.Args) == 6 && os.Args[1] == "stream" {
		stream(os.Args[2:])
	} else {
		os.Exit(2)
	}
}
