// WebSocketStream: bytes as the binary messages of a WebSocket (RFC 6455), over a stream that was upgraded.
//
//   auto stream = std::make_unique<WebSocketStream>(loop, std::move(below), Side::kServer, rest, random);
//   std::string accept = websocket_accept(key);          // Sec-WebSocket-Accept of this Sec-WebSocket-Key
//
// Readiness is as io::Stream promises: what is held here reports again until it is read. Below is read also while the
// owner wants nothing, so that a ping is answered. A client's end pings every 15 s and takes the connection for dead
// when nothing came for 40 s. Masks are from `random`, which must be one nobody guesses.
//
// Thread rule: the loop's; the owner's handler may destroy the stream. Limits: 256 KiB held for the reader (below is
// not read meanwhile), 64 KiB a write, and nothing more is taken until that has gone below; codec/websocket.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "codec/websocket.h"
#include "io/loop.h"

namespace wary::http {

std::string websocket_accept(std::string_view key);

class WebSocketStream final : public io::Stream {
 public:
  using Side = codec::websocket::Side;
  // `rest`: what came behind the head of the upgrade.
  WebSocketStream(io::Loop& loop, std::unique_ptr<io::Stream> below, Side side, std::string_view rest, Random& random);
  ~WebSocketStream() override;
  io::IoCount read(std::span<std::uint8_t> out) override;
  io::IoCount write(ByteView bytes) override;
  io::IoCount write_two(ByteView first, ByteView second) override;
  void on_ready(Ready ready) override { ready_ = std::move(ready); }
  void want(bool readable, bool writable) override;
  void shutdown_write() override;  // says close
  void reset_on_close() override { below_->reset_on_close(); }
  io::PeerCredentials peer_credentials() const override { return below_->peer_credentials(); }
  std::string peer_address() const override { return below_->peer_address(); }
  // Why it ended, when it did not end in order.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  void below_ready(bool readable, bool writable);
  void read_below();
  Status take(ByteView bytes);
  void frame(codec::websocket::Opcode opcode, ByteView payload);
  void say_close();
  void flush();
  void interest();
  void call_again();
  void look();
  bool is_over() const { return ended_ || below_ended_ || failure_.has_value(); }

  io::Loop& loop_;
  std::unique_ptr<io::Stream> below_;
  Side side_;
  Random& random_;
  codec::websocket::Reader reader_;
  Ready ready_;
  Bytes plain_, out_;
  std::size_t plain_at_ = 0, out_at_ = 0;
  bool wants_read_ = false, wants_write_ = false, called_ = false;
  bool said_close_ = false, ended_ = false, below_ended_ = false;
  std::optional<Error> failure_;
  std::int64_t heard_ = 0;  // monotonic
  io::TimerId timer_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // a call on its way holds a weak reference
};

}  // namespace wary::http
