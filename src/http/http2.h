// Http2: HTTP/2 (RFC 9113), the server's side of one connection. Bytes in, bytes out; no I/O inside.
//
//   Http2 connection([](const Http2Request& request) { return Http2Response{200, {}, "hello", {}}; });
//   send(connection.receive(bytes));
//   if (connection.is_over()) close after sending;
//
// Over one Http2Session, whose bounds these are. A request is handled once it is
// whole and answered at once; an answer that says `stays_open` goes on with write() and end(), from outside the
// handler, until on_closed tells that its stream has ended from either side:
//
//   connection.write(stream, "more"); connection.end(stream, {{"grpc-status", "0"}}); send(connection.flush());
//
// A request that `goes_on` says so of is answered as soon as its head is there, and what comes of its body is given to
// on_body as it comes:
//
//   connection.goes_on = [](const Http2Request& head) { return head.path == "/talk"; };
//   connection.on_body = [&](std::int32_t stream, std::string_view unread, bool has_ended) { return unread.size(); };
//
// It answers how many bytes it has taken; the rest is offered again with more behind it. It may call write() and end();
// after end() nothing more of its stream is given, and a client that has not ended its request is told to stop.
//
// A connection that makes noise (resets, pings, settings, priorities, window updates) instead of requests is ended with
// ENHANCE_YOUR_CALM. Thread rule: one thread's; handler, goes_on and on_closed must not call back into the
// connection. Limits: Http2Limits; of a body that goes on, body_bytes is what may be unread.
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
  std::function<bool(const Http2Request& head)> goes_on;
  std::function<std::size_t(std::int32_t stream, std::string_view unread, bool has_ended)> on_body;
  // A stream that was handled has ended.
  std::function<void(std::int32_t stream)> on_closed;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::http
