// LayeredStream: a stream over a stream: TLS over TCP, link frames over a WebSocket. What comes from below is turned
// into plain bytes, what is written into what goes below.
//
//   class Layer final : public LayeredStream { Status take(ByteView below) override; void put(ByteView) override; };
//
// Readiness is as io::Stream promises: what is held here reports again until it is read. Thread rule: its loop's; the
// owner's handler may destroy the stream. Limits: 256 KiB held for the reader (below is not read meanwhile), 64 KiB a
// write, and nothing more is taken until that has gone below.
#pragma once

#include <memory>
#include <optional>

#include "io/loop.h"

namespace wary::http {

class LayeredStream : public io::Stream {
 public:
  LayeredStream(io::Loop& loop, std::unique_ptr<io::Stream> below);
  ~LayeredStream() override;
  io::IoCount read(std::span<std::uint8_t> out) override;
  io::IoCount write(ByteView bytes) override;
  io::IoCount write_two(ByteView first, ByteView second) override;
  void on_ready(Ready ready) override;
  void want(bool readable, bool writable) override;
  void shutdown_write() override;
  void reset_on_close() override { below_->reset_on_close(); }
  io::PeerCredentials peer_credentials() const override { return below_->peer_credentials(); }
  std::string peer_address() const override { return below_->peer_address(); }
  // Why it ended, when it did not end in order.
  const std::optional<Error>& failure() const { return failure_; }
  bool is_over() const { return ended_ || below_ended_ || failure_.has_value(); }

 protected:
  // Plain bytes go to plain_, what is to be said below to out_; ended_ when the other side said it is done.
  virtual Status take(ByteView below) = 0;
  virtual void put(ByteView plain) = 0;
  virtual void end() = 0;       // what is said below at the end
  virtual void progressed() {}  // something came from below
  void flush();
  void call_again();  // the owner is told from the loop that there is something to read
  io::Loop& loop() { return loop_; }

  Bytes plain_;
  Bytes out_;
  bool ended_ = false;
  std::optional<Error> failure_;

 private:
  void below_ready(bool readable, bool writable);
  bool read_below();
  void interest();

  io::Loop& loop_;
  std::unique_ptr<io::Stream> below_;
  Ready ready_;
  bool wants_read_ = false, wants_write_ = false, called_ = false, below_ended_ = false;
  std::size_t plain_at_ = 0;
  std::size_t out_at_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // a call on its way holds a weak reference
};

}  // namespace wary::http
