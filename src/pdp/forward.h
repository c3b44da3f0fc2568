// Forward authentication: a proxy asks with the client's request whether it may go on. Three dialects, one answer.
//
//   nginx auth_request       GET /nginx            X-Original-Method, X-Original-URI, Host
//   Caddy                    ANY /forward-auth     X-Forwarded-Method, X-Forwarded-Uri, X-Forwarded-Host
//   Envoy ext_authz (HTTP)   ANY /envoy/PATH       the request's own method, path and Host
//
// Who the client is, its session cookie says, as at the gateway; what it wants, the App and Route of its host and path.
// The proxy is believed about both, so only known programs may ask. 200: allowed, with Wary-Principal, Wary-Session,
// Wary-Decision to copy. 401: nobody is signed in. 403: denied, not served here, or a path in another than its one
// normal spelling, which the proxy would pass on for the application to read its own way. 400: the proxy did not say
// what is asked. Pure; any thread. Limits: a path of 8 KiB.
#pragma once

#include "http/server.h"
#include "pdp/authority.h"
#include "pdp/call.h"

namespace wary::pdp {

// A client's request as its proxy tells it.
struct Target {
  std::string method, host, uri, client, cookies;
  std::string spiffe_id;  // of a client certificate that the proxy verified
};

// What a proxy does with it.
struct Verdict {
  int status = 403;  // 200, 400, 401 or 403
  std::string code, message;
  std::string decision;   // its id; empty when nothing was decided
  std::string principal;  // as Cedar text, when allowed
  std::string session;
};
Verdict judge(Authority& authority, const Target& target, const std::string& pep);

bool is_forward(const http::Request& request);  // whether the path is one of this plug's
// Nothing when it is not.
std::optional<Answer> answer_forward(Authority& authority, const http::Request& request, const std::string& pep);

}  // namespace wary::pdp
