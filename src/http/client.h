// Client: one HTTP/1.1 request over its own connection, for the CLI and for tests of our own servers.
//
//   auto response = http::fetch(clock, Address::unix_socket("run/admin.sock"), {.method = "GET", .path = "/v1/..."});
//
// fetch() turns a private loop until the answer is whole, so it belongs to programs that wait. on_data, where given,
// gets the body as it comes (a stream that never ends); returning false ends the exchange in good order. Limits: 64 MiB
// a collected body; the time limit is for the whole exchange, 0 for none.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "http/server.h"
#include "io/loop.h"

namespace wary::http {

struct ClientRequest {
  std::string method = "GET";
  std::string path = "/";
  std::string query;
  std::string host = "localhost";
  std::vector<Header> headers;
  std::string body;
  std::int64_t timeout_nanos = 30 * kNanosPerSecond;
  bool asks_for_websocket = false;  // with Sec-WebSocket-Key and -Version among the headers
};

struct ClientResponse {
  int status = 0;
  std::vector<Header> headers;
  std::string body;
  std::string_view header(std::string_view name) const;
};

using OnData = std::function<bool(std::string_view data)>;

// Errors: connect_*, http_timeout, http_truncated, and what the parser refuses.
Result<ClientResponse> fetch(Clock& clock, const io::Address& address, const ClientRequest& request,
                             const OnData& on_data = nullptr);

}  // namespace wary::http
