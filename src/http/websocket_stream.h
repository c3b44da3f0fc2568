// WebSocketStream: bytes as the binary messages of a WebSocket (RFC 6455), and the upgrade that leads there.
//
//   auto stream = std::make_unique<WebSocketStream>(loop, std::move(below), Side::kServer, rest, random);
//   std::string accept = websocket_accept(key);          // Sec-WebSocket-Accept of this Sec-WebSocket-Key
//
// A client's end pings every 15 s and takes the connection for dead when nothing came for 40 s; a server's end answers.
// Masks are from `random`, which must be one nobody guesses. Thread rule: the loop's. Limits: those of layered_stream.h
// and codec/websocket.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/random.h"
#include "codec/websocket.h"
#include "http/layered_stream.h"

namespace wary::http {

std::string websocket_accept(std::string_view key);

class WebSocketStream final : public LayeredStream {
 public:
  using Side = codec::websocket::Side;
  // `rest`: what came behind the head of the upgrade.
  WebSocketStream(io::Loop& loop, std::unique_ptr<io::Stream> below, Side side, std::string_view rest, Random& random);
  ~WebSocketStream() override;

 protected:
  Status take(ByteView below) override;
  void put(ByteView plain) override;
  void end() override;

 private:
  void frame(codec::websocket::Opcode opcode, ByteView payload);
  void look();

  Side side_;
  Random& random_;
  codec::websocket::Reader reader_;
  std::int64_t heard_ = 0;  // monotonic
  io::TimerId timer_ = 0;
  bool closed_ = false;  // said so
};

}  // namespace wary::http
