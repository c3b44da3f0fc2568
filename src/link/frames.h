// FrameStream: messages over a byte stream, the same for link and signer: u32 length (big-endian, of what follows), one
// byte type, payload.
//
//   FrameStream frames(std::move(stream), {.frame_bytes = 1 << 20});
//   frames.start([&](std::uint8_t type, ByteView payload) { ... }, [&](const Error& why) { ... });
//   frames.send(kHello, payload);
//
// The frame handler may send; it may not destroy the FrameStream: close() and let the owner drop it from on_closed,
// which comes once, from the loop, and may destroy it. Thread rule: its loop's. Limits: frame size and queued bytes
// (frame_too_large, link_queue_full).
#pragma once

#include <functional>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "io/loop.h"

namespace wary::link {

struct FrameLimits {
  std::size_t frame_bytes = std::size_t{64} << 20;
  std::size_t taken_bytes = std::size_t{64} << 20;  // of a frame that comes: it is held until it is whole
  std::size_t queued_bytes = std::size_t{256} << 20;
};

// One frame at the front of `bytes`: its type, payload and whole size; nothing yet while it is incomplete.
struct Frame {
  std::uint8_t type = 0;
  ByteView payload;
  std::size_t size = 0;  // 0: more bytes are needed
};
Result<Frame> decode_frame(ByteView bytes, std::size_t frame_bytes_max);
void append_frame(Bytes& out, std::uint8_t type, ByteView payload);

class FrameStream {
 public:
  using OnFrame = std::function<void(std::uint8_t type, ByteView payload)>;
  using OnClosed = std::function<void(const Error& why)>;

  FrameStream(std::unique_ptr<io::Stream> stream, const FrameLimits& limits);
  ~FrameStream();
  void start(OnFrame on_frame, OnClosed on_closed);
  Status send(std::uint8_t type, ByteView payload);
  // The same, left lying until flush(): many small ones in one system call.
  Status enqueue(std::uint8_t type, ByteView payload);
  void flush();
  void close();
  bool is_open() const { return stream_ != nullptr && !closing_; }
  std::size_t queued_bytes() const { return out_.size() - out_at_; }
  io::PeerCredentials peer() const { return peer_; }

 private:
  void ready();
  bool read_some();
  bool deliver();
  void fail_with(Error why);

  std::unique_ptr<io::Stream> stream_;
  io::PeerCredentials peer_;
  FrameLimits limits_;
  OnFrame on_frame_;
  OnClosed on_closed_;
  std::unique_ptr<std::uint8_t[]> room_;  // NOLINT: never cleared: most reads are short
  Bytes in_;
  std::size_t in_at_ = 0;
  Bytes out_;
  std::size_t out_at_ = 0;
  bool closing_ = false;
};

}  // namespace wary::link
