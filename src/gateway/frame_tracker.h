// FrameTracker: where the frames of a WebSocket end (RFC 6455 section 5.2), so that one of ours can be put between two
// of the application's. Bytes are not held and not changed.
//
//   tracker.take(bytes);
//   if (tracker.is_between_frames()) ...
//
// One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wary::gateway {

class FrameTracker {
 public:
  void take(std::string_view bytes) {
    while (!bytes.empty()) {
      if (payload_ > 0) {
        const std::uint64_t skipped = bytes.size() < payload_ ? bytes.size() : payload_;
        payload_ -= skipped;
        bytes.remove_prefix(static_cast<std::size_t>(skipped));
        continue;
      }
      header_byte(static_cast<std::uint8_t>(bytes.front()));
      bytes.remove_prefix(1);
    }
  }
  bool is_between_frames() const { return at_ == 0 && payload_ == 0; }

 private:
  void header_byte(std::uint8_t byte) {
    ++at_;
    if (at_ == 1) return;
    if (at_ == 2) {
      const std::uint8_t size = byte & 0x7f;
      const std::size_t extended = size == 127 ? 8 : size == 126 ? 2 : 0;
      length_ = extended == 0 ? size : 0;
      length_end_ = 2 + extended;
      header_ = length_end_ + ((byte & 0x80) != 0 ? 4 : 0);  // a mask
    } else if (at_ <= length_end_) {
      length_ = length_ << 8 | byte;
    }
    if (at_ < header_) return;
    payload_ = length_;
    at_ = 0;
  }

  std::size_t at_ = 0;  // bytes of a header seen
  std::size_t length_end_ = 0;
  std::size_t header_ = 2;
  std::uint64_t length_ = 0;
  std::uint64_t payload_ = 0;  // still to come of this frame
};

}  // namespace wary::gateway
