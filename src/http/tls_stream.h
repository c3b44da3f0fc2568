// TlsStream: a TLS session over a stream, used as a stream: the plain text goes in and comes out.
//
//   auto secure = std::make_unique<TlsStream>(loop, std::move(stream), crypto::TlsSession(context));
//   secure->on_ready(...);  secure->want(true, false);     // told once the handshake is done, or has failed
//
// Bytes count as written when their ciphertext has left: until then the same bytes are given again (kWouldBlock
// before), so that who closes after its last write cuts nothing off. An end without close_notify is a failure, not an
// end. Thread rule: the loop's; a handler may destroy its own stream. Limits: those of crypto/tls.h; how long a
// handshake may take is the owner's to say.
#pragma once

#include <memory>
#include <optional>

#include "crypto/tls.h"
#include "io/loop.h"

namespace wary::http {

class TlsStream final : public io::Stream {
 public:
  TlsStream(io::Loop& loop, std::unique_ptr<io::Stream> inner, crypto::TlsSession session);
  ~TlsStream() override;
  io::IoCount read(std::span<std::uint8_t> out) override;
  io::IoCount write(ByteView bytes) override;
  io::IoCount write_two(ByteView first, ByteView second) override;
  void on_ready(Ready ready) override { ready_ = std::move(ready); }
  void want(bool readable, bool writable) override;
  void shutdown_write() override;
  void reset_on_close() override { inner_->reset_on_close(); }
  io::PeerCredentials peer_credentials() const override { return inner_->peer_credentials(); }
  std::string peer_address() const override { return inner_->peer_address(); }
  // Why it failed: the verifier's own error, the session's, or that of an end that was no end.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  void turn(bool readable, bool writable);
  io::IoCount take_ciphertext();
  bool flush();
  void interest();
  io::IoCount failed(Error error);

  io::Loop& loop_;
  std::unique_ptr<io::Stream> inner_;
  crypto::TlsSession session_;
  Ready ready_;
  std::optional<Error> failure_;
  std::size_t encrypted_ = 0;  // of what the writer gives, and will give again
  bool wants_read_ = false, wants_write_ = false;
  bool may_hold_plaintext_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace wary::http
