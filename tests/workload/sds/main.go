// Asks for secrets by Envoy's own types: SOCKET NAME... One line for each thing that was seen; goes on until the stream ends.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
)

const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

func must(what string, err error) {
	if err != nil {
		fmt.Println("FAIL", what, err)
		os.Exit(1)
	}
	fmt.Println("ok", what)
}

// What a TLS library makes of a secret.
func describe(one *tlsv3.Secret) string {
	if pair := one.GetTlsCertificate(); pair != nil {
		loaded, err := tls.X509KeyPair(pair.CertificateChain.GetInlineBytes(), pair.PrivateKey.GetInlineBytes())
		must("its key is the certificate's: "+one.Name, err)
		leaf, err := x509.ParseCertificate(loaded.Certificate[0])
		must("it is a certificate", err)
		return fmt.Sprintf("%s=%s#%s", one.Name, leaf.URIs[0], leaf.SerialNumber)
	}
	context := one.GetValidationContext()
	if custom := context.GetCustomValidatorConfig(); custom != nil {
		var config tlsv3.SPIFFECertValidatorConfig
		must("it is Envoy's SPIFFE validator", custom.TypedConfig.UnmarshalTo(&config))
		must("its first bundle", config.TrustDomains[0].TrustBundle.Validate())
		return fmt.Sprintf("%s=%s by %s", one.Name, config.TrustDomains[0].Name, custom.Name)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(context.TrustedCa.GetInlineBytes()) {
		must("there are roots in "+one.Name, fmt.Errorf("none"))
	}
	return one.Name + "=roots"
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	connection, err := grpc.NewClient("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	must("NewClient", err)
	client := secret.NewSecretDiscoveryServiceClient(connection)
	request := &discovery.DiscoveryRequest{Node: &core.Node{Id: "anything"}, ResourceNames: os.Args[2:], TypeUrl: secretType}
	fetched, err := client.FetchSecrets(ctx, request)
	must("FetchSecrets", err)
	must(fmt.Sprintf("it has %d secrets", len(fetched.Resources)), nil)
	stream, err := client.StreamSecrets(ctx)
	must("StreamSecrets", err)
	must("Send", stream.Send(request))
	for {
		answer, err := stream.Recv()
		if err != nil {
			fmt.Println("end", grpcstatus.Code(err))
			return
		}
		must("Validate", answer.Validate())
		var seen []string
		for _, resource := range answer.Resources {
			var one tlsv3.Secret
			must("UnmarshalTo", resource.UnmarshalTo(&one))
			must("Validate "+one.Name, one.Validate())
			seen = append(seen, describe(&one))
		}
		fmt.Println("version", answer.VersionInfo, strings.Join(seen, " "))
		next := &discovery.DiscoveryRequest{VersionInfo: answer.VersionInfo, ResourceNames: os.Args[2:], TypeUrl: secretType, ResponseNonce: answer.Nonce}
		if answer.VersionInfo == "2" {
			next.VersionInfo, next.ErrorDetail = "1", &status.Status{Code: 3, Message: "not this one"}
		}
		must("Send", stream.Send(next))
	}
}
