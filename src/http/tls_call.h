// One HTTP/1.1 request over TLS without waiting, from connecting to the whole answer; or to a WebSocket.
//
//   auto calling = http::call_tls(loop, {address, "console.localhost"}, context, request, [](auto reply) { ... });
//
// `done` comes once, from the loop. After 101 the reply has the stream and what came behind the head. Destroying what
// call_tls returned gives the call up. The request's time limit is for all of it. Where nobody answers at an address
// (connect_nanos each), the server's next one is tried. Limit: 1 MiB an answer's body, unless another is given.
// Errors: connect_*, those of the TLS session (its verifier's own among them), http_timeout, and those of call.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crypto/tls.h"
#include "http/client.h"

namespace wary::http {

struct TlsServer {
  io::Address address;
  std::string name;                      // of its certificate
  std::vector<io::Address> others = {};  // tried after it, in this order
};

struct TlsCallLimits {
  std::size_t body_bytes = std::size_t{1} << 20;
  std::int64_t connect_nanos = 0;  // an address; 0: the request's time
};

struct TlsReply {
  ClientResponse response;
  std::unique_ptr<io::Stream> stream;  // after 101 alone
  std::string rest;
};

std::shared_ptr<void> call_tls(io::Loop& loop, const TlsServer& server, const crypto::TlsClientContext& context,
                               const ClientRequest& request, std::function<void(Result<TlsReply>)> done,
                               const TlsCallLimits& limits = {});

}  // namespace wary::http
