// Envoy's external authorization over gRPC: envoy.service.auth.v3.Authorization/Check.
//
//   http::Http2 connection([&](const http::Http2Request& request) { return answer_envoy(authority, request, pep); });
//
// The request's method, path, host and cookies are judged as forward.h's proxies' are. A SPIFFE ID in source.principal,
// which Envoy takes from a client certificate that it verified, is the principal before any session, as at the gateway.
// Allowed: google.rpc.Status 0 and Wary-* headers, which overwrite; denied: code 7 with status 401 or 403. Pure.
// Limits: message 1 MiB, 200 headers.
#pragma once

#include "http/grpc.h"
#include "pdp/forward.h"

namespace wary::pdp {

// The client's request in the bytes of a CheckRequest; nothing when they are none.
std::optional<Target> parse_check_request(std::string_view bytes);

http::Http2Response answer_envoy(Authority& authority, const http::Http2Request& request, const std::string& pep);

}  // namespace wary::pdp
