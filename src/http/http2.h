// Http2: HTTP/2 (RFC 9113), the server's side of one connection. Bytes in, bytes out; no I/O inside.
//
//   Http2 connection([](const Http2Request& request) { return Http2Response{200, {}, "hello", {}}; });
//   send(connection.receive(bytes));
//   if (connection.is_over()) close after sending;
//
// Framing, header compression and flow control are libnghttp2's; the bounds are ours. A request is handled once it is
// whole and answered at once; an answer that says `stays_open` goes on with write() and end(), from outside the
// handler, until on_closed tells that its stream has ended from either side:
//
//   connection.write(stream, "more"); connection.end(stream, {{"grpc-status", "0"}}); send(connection.flush());
//
// A connection that makes noise (resets, pings, settings, priorities, window updates) instead of requests is ended with
// ENHANCE_YOUR_CALM. Thread rule: one thread's; handler and on_closed must not call back into the connection. Limits:
// Http2Limits.
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
  std::size_t unsent_bytes = std::size_t{1} << 20;  // of an answer that stays open
};

struct Http2Request {
  std::int32_t stream = 0;                                   // its number in the connection
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
  bool stays_open = false;  // more of the body comes later, and the trailers
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
  std::string flush();
  bool is_over() const;
  // Of an answer that stays open. False when its stream is gone, or its client takes too little: it was reset then.
  bool write(std::int32_t stream, std::string_view bytes);
  void end(std::int32_t stream, std::vector<std::pair<std::string, std::string>> trailers);
  // Time passed in which a well-behaved client may have made so much noise.
  void forgive(std::size_t frames);
  // A stream that was handled has ended.
  std::function<void(std::int32_t stream)> on_closed;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::http
