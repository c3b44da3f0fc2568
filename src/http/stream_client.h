// One HTTP/1.1 request over a stream that is open, without waiting: for programs with a loop. An answer, or a
// WebSocket.
//
//   auto asking = http::ask(loop, std::move(stream), {.method = "POST", .path = "/nodes/join", ...}, [](auto reply)
//   {...});
//
// The connection is used once. The callback comes from the loop, once, with the whole answer; after 101 it has the
// stream and what came behind the head. Destroying what ask() returned gives it up. Limits: 1 MiB an answer's body;
// the request's own time limit. Errors: http_timeout, http_truncated, http_body_too_large, and what the parser refuses.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "http/client.h"

namespace wary::http {

struct StreamReply {
  ClientResponse response;
  std::unique_ptr<io::Stream> stream;  // after 101 alone
  std::string rest;
};

std::shared_ptr<void> ask(io::Loop& loop, std::unique_ptr<io::Stream> stream, const ClientRequest& request,
                          std::function<void(Result<StreamReply>)> done);

}  // namespace wary::http
