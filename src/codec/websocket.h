// WebSocket frames (RFC 6455 section 5): a stream of binary messages and control frames, read piece by piece.
//
//   websocket::Reader reader(websocket::Side::kServer);         // who reads: a server's peer masks, a client's does
//   not WARY_RETURN_IF_ERROR(reader.take(bytes, plain, [&](websocket::Opcode control, ByteView payload) { ... }));
//   websocket::append_frame(out, websocket::Opcode::kBinary, payload, mask);
//
// The payloads of binary messages are one byte stream here: where a message ends means nothing to what is carried.
// Extensions and text are not spoken. Pure; one thread. Limits: 16 MiB a frame, which is never held. Errors:
// websocket_reserved, websocket_opcode, websocket_mask, websocket_control, websocket_length, websocket_order.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::codec::websocket {

enum class Opcode : std::uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
enum class Side { kServer, kClient };

constexpr std::uint64_t kFrameMost = std::uint64_t{16} << 20;
constexpr std::size_t kControlMost = 125;

using OnControl = std::function<void(Opcode opcode, ByteView payload)>;

class Reader {
 public:
  explicit Reader(Side side) : side_(side) {}
  // Takes all of it; `plain` grows by payload.
  Status take(ByteView bytes, Bytes& plain, const OnControl& on_control);

 private:
  Status byte_of_header(std::uint8_t byte);
  Status header_done();
  Status end_frame(const OnControl& on_control);

  Side side_;
  std::array<std::uint8_t, 14> header_{};
  std::size_t header_size_ = 0;
  bool in_payload_ = false;
  std::uint64_t left_ = 0;  // of the payload
  std::uint64_t at_ = 0;    // in the payload, for the mask
  std::array<std::uint8_t, 4> mask_{};
  Opcode opcode_ = Opcode::kBinary;
  bool in_message_ = false;  // a fragment was not the last
  Bytes control_;            // payload of a control frame
};

// A whole frame. A client gives a mask that nobody could guess, a server none.
void append_frame(Bytes& out, Opcode opcode, ByteView payload, std::optional<std::array<std::uint8_t, 4>> mask);

}  // namespace wary::codec::websocket
