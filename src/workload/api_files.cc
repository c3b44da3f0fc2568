#include "workload/api_files.h"

namespace wary::workload {

namespace {

using http::GrpcFile;
using http::GrpcMethod;

GrpcFile workload_file() {
  GrpcFile out;
  out.name = "workload.proto";
  out.imports = {"google/protobuf/struct.proto"};
  out.messages = {{"X509SVIDRequest", {}},
                  {"X509SVIDResponse",
                   {{"svids", 1, "*X509SVID"}, {"crl", 2, "*bytes"}, {"federated_bundles", 3, "map<string,bytes>"}}},
                  {"X509SVID",
                   {{"spiffe_id", 1, "string"},
                    {"x509_svid", 2, "bytes"},
                    {"x509_svid_key", 3, "bytes"},
                    {"bundle", 4, "bytes"},
                    {"hint", 5, "string"}}},
                  {"X509BundlesRequest", {}},
                  {"X509BundlesResponse", {{"crl", 1, "*bytes"}, {"bundles", 2, "map<string,bytes>"}}},
                  {"JWTSVIDRequest", {{"audience", 1, "*string"}, {"spiffe_id", 2, "string"}}},
                  {"JWTSVIDResponse", {{"svids", 1, "*JWTSVID"}}},
                  {"JWTSVID", {{"spiffe_id", 1, "string"}, {"svid", 2, "string"}, {"hint", 3, "string"}}},
                  {"JWTBundlesRequest", {}},
                  {"JWTBundlesResponse", {{"bundles", 1, "map<string,bytes>"}}},
                  {"ValidateJWTSVIDRequest", {{"audience", 1, "string"}, {"svid", 2, "string"}}},
                  {"ValidateJWTSVIDResponse", {{"spiffe_id", 1, "string"}, {"claims", 2, ".google.protobuf.Struct"}}}};
  out.services = {{"SpiffeWorkloadAPI",
                   {{"FetchX509SVID", "X509SVIDRequest", "X509SVIDResponse", GrpcMethod::kServerStreams},
                    {"FetchX509Bundles", "X509BundlesRequest", "X509BundlesResponse", GrpcMethod::kServerStreams},
                    {"FetchJWTSVID", "JWTSVIDRequest", "JWTSVIDResponse"},
                    {"FetchJWTBundles", "JWTBundlesRequest", "JWTBundlesResponse", GrpcMethod::kServerStreams},
                    {"ValidateJWTSVID", "ValidateJWTSVIDRequest", "ValidateJWTSVIDResponse"}}}};
  return out;
}

std::vector<GrpcFile> google_files() {
  GrpcFile any, structs, status;
  any.name = "google/protobuf/any.proto";
  any.package = "google.protobuf";
  any.messages = {{"Any", {{"type_url", 1, "string"}, {"value", 2, "bytes"}}}};
  structs.name = "google/protobuf/struct.proto";
  structs.package = "google.protobuf";
  structs.messages = {{"Struct", {{"fields", 1, "map<string,Value>"}}},
                      {"Value",
                       {{"null_value", 1, "enum NullValue", "kind"},
                        {"number_value", 2, "double", "kind"},
                        {"string_value", 3, "string", "kind"},
                        {"bool_value", 4, "bool", "kind"},
                        {"struct_value", 5, "Struct", "kind"},
                        {"list_value", 6, "ListValue", "kind"}}},
                      {"ListValue", {{"values", 1, "*Value"}}}};
  structs.enums = {{"NullValue", {"NULL_VALUE"}}};
  status.name = "google/rpc/status.proto";
  status.package = "google.rpc";
  status.imports = {any.name};
  status.messages = {
      {"Status", {{"code", 1, "int32"}, {"message", 2, "string"}, {"details", 3, "*.google.protobuf.Any"}}}};
  return {any, structs, status};
}

std::vector<GrpcFile> discovery_files() {
  GrpcFile base, discovery, service;
  base.name = "envoy/config/core/v3/base.proto";
  base.package = "envoy.config.core.v3";
  base.messages = {{"Node", {{"id", 1, "string"}, {"cluster", 2, "string"}}},
                   {"DataSource",
                    {{"filename", 1, "string", "specifier"},
                     {"inline_bytes", 2, "bytes", "specifier"},
                     {"inline_string", 3, "string", "specifier"}}}};
  discovery.name = "envoy/service/discovery/v3/discovery.proto";
  discovery.package = "envoy.service.discovery.v3";
  discovery.imports = {base.name, "google/protobuf/any.proto", "google/rpc/status.proto"};
  discovery.messages = {{"DiscoveryRequest",
                         {{"version_info", 1, "string"},
                          {"node", 2, ".envoy.config.core.v3.Node"},
                          {"resource_names", 3, "*string"},
                          {"type_url", 4, "string"},
                          {"response_nonce", 5, "string"},
                          {"error_detail", 6, ".google.rpc.Status"}}},
                        {"DiscoveryResponse",
                         {{"version_info", 1, "string"},
                          {"resources", 2, "*.google.protobuf.Any"},
                          {"type_url", 4, "string"},
                          {"nonce", 5, "string"}}}};
  service.name = "envoy/service/secret/v3/sds.proto";
  service.package = "envoy.service.secret.v3";
  service.imports = {discovery.name};
  const std::string asks = ".envoy.service.discovery.v3.DiscoveryRequest";
  const std::string gets = ".envoy.service.discovery.v3.DiscoveryResponse";
  service.services = {{"SecretDiscoveryService",
                       {{"StreamSecrets", asks, gets, GrpcMethod::kBothStream}, {"FetchSecrets", asks, gets}}}};
  return {base, discovery, service};
}

// What is within the resources: google.protobuf.Any names it.
std::vector<GrpcFile> secret_files() {
  const std::string folder = "envoy/extensions/transport_sockets/tls/v3/";
  const std::string package = "envoy.extensions.transport_sockets.tls.v3";
  const std::string source = ".envoy.config.core.v3.DataSource";
  GrpcFile extension, common, secret, spiffe;
  extension.name = "envoy/config/core/v3/extension.proto";
  extension.package = "envoy.config.core.v3";
  extension.imports = {"google/protobuf/any.proto"};
  extension.messages = {{"TypedExtensionConfig", {{"name", 1, "string"}, {"typed_config", 2, ".google.protobuf.Any"}}}};
  common.name = folder + "common.proto";
  common.package = package;
  common.imports = {"envoy/config/core/v3/base.proto", extension.name};
  common.messages = {
      {"TlsCertificate", {{"certificate_chain", 1, source}, {"private_key", 2, source}}},
      {"CertificateValidationContext",
       {{"trusted_ca", 1, source}, {"custom_validator_config", 12, ".envoy.config.core.v3.TypedExtensionConfig"}}}};
  secret.name = folder + "secret.proto";
  secret.package = package;
  secret.imports = {common.name};
  secret.messages = {{"Secret",
                      {{"name", 1, "string"},
                       {"tls_certificate", 2, "TlsCertificate", "type"},
                       {"validation_context", 4, "CertificateValidationContext", "type"}}}};
  spiffe.name = folder + "tls_spiffe_validator_config.proto";
  spiffe.package = package;
  spiffe.imports = {"envoy/config/core/v3/base.proto"};
  spiffe.messages = {{"SPIFFECertValidatorConfig",
                      {{"trust_domains", 1, "*SPIFFECertValidatorConfig.TrustDomain"}},
                      {{"TrustDomain", {{"name", 1, "string"}, {"trust_bundle", 2, source}}}}}};
  return {extension, common, secret, spiffe};
}

}  // namespace

const http::GrpcReflection& api_files() {
  static const http::GrpcReflection kFiles = [] {
    std::vector<GrpcFile> files = {workload_file()};
    for (const auto& more : {google_files(), discovery_files(), secret_files()}) {
      files.insert(files.end(), more.begin(), more.end());
    }
    return http::GrpcReflection(files);
  }();
  return kFiles;
}

}  // namespace wary::workload
