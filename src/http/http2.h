// Http2: HTTP/2 (RFC 9113), the server's side of one connection. Bytes in, bytes out; no I/O inside.
//
//   Http2 connection([](const Http2Request& request) { return Http2Response{200, {}, "hello", {}}; });
//   send(connection.receive(bytes));
//   if (connection.is_over()) close after sending;
//
// Framing, header compression and flow control are libnghttp2's; the bounds are ours. A request is handled once it is
// whole and answered at once. A connection that makes noise (resets, pings, settings, priorities, window updates)
// instead of requests is ended with ENHANCE_YOUR_CALM. Thread rule: one thread's; the handler must not call back into
// the connection. Limits: Http2Limits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wary::http {

struct Http2Limits {
  std::size_t streams = 100;                         // open at once
  std::size_t header_bytes = std::size_t{64} << 10;  // names and values of one request
  std::size_t header_fields = 100;
  std::size_t body_bytes = std::size_t{1} << 20;    // of one request
  std::size_t bodies_bytes = std::size_t{8} << 20;  // of a connection's requests together
  std::size_t noise = 200;                          // frames beyond a hundred for each request that was answered
};

struct Http2Request {
  std::string method, path, authority, scheme;               // path with its query
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  // The value of the only header of that name; empty if none or several.
  std::string_view header(std::string_view name) const;
};

struct Http2Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::vector<std::pair<std::string, std::string>> trailers;
};

class Http2 {
 public:
  using Handler = std::function<Http2Response(const Http2Request&)>;
  explicit Http2(Handler handler, Http2Limits limits = {});
  ~Http2();
  Http2(const Http2&) = delete;
  Http2& operator=(const Http2&) = delete;
  // What is to be sent now.
  std::string receive(std::string_view bytes);
  bool is_over() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::http
