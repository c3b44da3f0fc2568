// The Workload API's messages on the wire (SPIFFE_Workload_API.md, workload.proto of the specification).
//
//   std::string reply = encode_x509_svids(svids, federated);
//   WARY_ASSIGN_OR_RETURN(const JwtRequest request, decode_jwt_request(message));
//
// Pure; any thread. Limits: 16 audiences of 256 bytes, 4 KiB of other text each, tokens of 16 KiB. Error:
// workload_message.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/json.h"

namespace wary::workload {

struct X509SvidMessage {
  std::string spiffe_id;
  std::string chain;  // DER, leaf first, one after another
  std::string key;    // PKCS#8 DER; wiped by whoever holds it
  std::string bundle;
  std::string hint;
};
struct JwtSvidMessage {
  std::string spiffe_id, token, hint;
};
// By the SPIFFE ID of the trust domain.
using BundleMap = std::map<std::string, std::string>;

std::string encode_x509_svids(const std::vector<X509SvidMessage>& svids, const BundleMap& federated);
std::string encode_x509_bundles(const BundleMap& bundles);
std::string encode_jwt_svids(const std::vector<JwtSvidMessage>& svids);
std::string encode_jwt_bundles(const BundleMap& bundles);
// Claims as google.protobuf.Struct.
std::string encode_validated(std::string_view spiffe_id, const codec::Json& claims);

struct JwtRequest {
  std::vector<std::string> audiences;
  std::string spiffe_id;  // or empty: every identity of the caller
};
Result<JwtRequest> decode_jwt_request(std::string_view message);
struct ValidateRequest {
  std::string audience, token;
};
Result<ValidateRequest> decode_validate_request(std::string_view message);
// Of the requests that say nothing: well-formed, whatever newer fields they have.
Status check_empty_request(std::string_view message);

}  // namespace wary::workload
