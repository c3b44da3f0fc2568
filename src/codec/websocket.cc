#include "codec/websocket.h"

#include <algorithm>

namespace wary::codec::websocket {

namespace {

bool is_control(Opcode opcode) { return (static_cast<std::uint8_t>(opcode) & 8U) != 0; }

Error frame_error(std::string_view code, std::string_view message) { return fail(ErrorKind::kInvalid, code, message); }

// How many bytes the header has, as far as its first two tell.
std::size_t header_size_of(std::uint8_t second) {
  const std::uint8_t length = second & 0x7fU;
  const std::size_t extended = length == 127 ? 8 : length == 126 ? 2 : 0;
  return 2 + extended + ((second & 0x80U) != 0 ? 4 : 0);
}

}  // namespace

Status Reader::take(ByteView bytes, Bytes& plain, const OnControl& on_control) {
  while (!bytes.empty()) {
    if (!in_payload_) {
      WARY_RETURN_IF_ERROR(byte_of_header(bytes.front()));
      bytes = bytes.subspan(1);
      if (in_payload_ && left_ == 0) WARY_RETURN_IF_ERROR(end_frame(on_control));
      continue;
    }
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
    Bytes& target = is_control(opcode_) ? control_ : plain;
    const std::size_t before = target.size();
    append(target, bytes.first(count));
    if (side_ == Side::kServer) {
      for (std::size_t i = 0; i < count; ++i) target[before + i] ^= mask_[(at_ + i) & 3U];
    }
    at_ += count;
    left_ -= count;
    bytes = bytes.subspan(count);
    if (left_ == 0) WARY_RETURN_IF_ERROR(end_frame(on_control));
  }
  return {};
}

Status Reader::byte_of_header(std::uint8_t byte) {
  header_[header_size_++] = byte;
  if (header_size_ < 2 || header_size_ < header_size_of(header_[1])) return {};
  header_size_ = 0;
  return header_done();
}

Status Reader::header_done() {
  const std::uint8_t first = header_[0], second = header_[1];
  if ((first & 0x70U) != 0) return frame_error("websocket_reserved", "a frame uses an extension nobody agreed to");
  const bool is_final = (first & 0x80U) != 0, masked = (second & 0x80U) != 0;
  const std::uint8_t code = first & 0x0fU;
  if (code != 0 && code != 2 && code != 8 && code != 9 && code != 10) {
    return frame_error("websocket_opcode", "a frame is of a kind that is not spoken here")
        .expected("binary, close, ping or pong")
        .found(std::to_string(code));
  }
  if (masked != (side_ == Side::kServer)) {
    return frame_error("websocket_mask", "a client masks what it sends, a server does not");
  }
  const std::uint8_t short_length = second & 0x7fU;
  std::uint64_t length = short_length;
  std::size_t at = 2;
  if (short_length >= 126) {
    length = 0;
    for (const std::size_t end = short_length == 126 ? 4 : 10; at < end; ++at) length = length << 8U | header_[at];
    if (length < 126 || (short_length == 127 && length < 65536)) {
      return frame_error("websocket_length", "a length is not written in the shortest way");
    }
  }
  if (length > kFrameMost) return frame_error("websocket_length", "a frame is larger than 16 MiB");
  opcode_ = static_cast<Opcode>(code);
  if (is_control(opcode_)) {
    if (!is_final || length > kControlMost) {
      return frame_error("websocket_control", "a control frame is whole and has at most 125 bytes");
    }
    control_.clear();
  } else {
    if ((opcode_ == Opcode::kContinuation) != in_message_) {
      return frame_error("websocket_order", "a message's parts follow each other, and only they are continued");
    }
    in_message_ = !is_final;
  }
  if (masked) std::copy_n(header_.begin() + static_cast<std::ptrdiff_t>(at), 4, mask_.begin());
  in_payload_ = true;
  left_ = length;
  at_ = 0;
  return {};
}

Status Reader::end_frame(const OnControl& on_control) {
  in_payload_ = false;
  if (is_control(opcode_) && on_control) on_control(opcode_, control_);
  return {};
}

void append_frame(Bytes& out, Opcode opcode, ByteView payload, std::optional<std::array<std::uint8_t, 4>> mask) {
  out.push_back(static_cast<std::uint8_t>(0x80U | static_cast<std::uint8_t>(opcode)));
  const auto marked = [&](std::size_t size) { return static_cast<std::uint8_t>(size | (mask ? 0x80U : 0U)); };
  if (payload.size() < 126) {
    out.push_back(marked(payload.size()));
  } else if (payload.size() < 65536) {
    out.push_back(marked(126));
    append_big_endian(out, static_cast<std::uint16_t>(payload.size()));
  } else {
    out.push_back(marked(127));
    append_big_endian(out, static_cast<std::uint64_t>(payload.size()));
  }
  if (mask) append(out, *mask);
  const std::size_t before = out.size();
  append(out, payload);
  if (!mask) return;
  for (std::size_t i = 0; i < payload.size(); ++i) out[before + i] ^= (*mask)[i & 3U];
}

}  // namespace wary::codec::websocket
