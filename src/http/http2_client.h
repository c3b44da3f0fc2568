// Http2Client: HTTP/2 (RFC 9113), the client's side of one connection. Bytes in, bytes out; no I/O inside.
//
//   Http2Client connection({.on_headers = ..., .on_data = ..., .on_closed = ...});
//   const std::int32_t stream = connection.start({{":method", "POST"}, ...}, body);
//   send(connection.flush());  ...  send(connection.receive(bytes));
//
// Framing, header compression and flow control are libnghttp2's. Data counts as taken when on_data returns. Thread
// rule: one thread's; the callbacks must not call back into the connection. Limits: 64 KiB of headers an answer, 100
// streams.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wary::http {

using Http2Fields = std::vector<std::pair<std::string, std::string>>;

struct Http2ClientEvents {
  std::function<void(std::int32_t stream, const Http2Fields& fields)> on_headers;  // trailers too
  std::function<void(std::int32_t stream, std::string_view bytes)> on_data;
  std::function<void(std::int32_t stream, std::uint32_t error)> on_closed;  // 0: in order
};

class Http2Client {
 public:
  explicit Http2Client(Http2ClientEvents events);
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;
  // A request and its whole body; the stream's number, or -1 when the connection takes no more.
  std::int32_t start(const Http2Fields& fields, std::string body);
  void cancel(std::int32_t stream);
  std::string receive(std::string_view bytes);
  std::string flush();
  bool is_over() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::http
