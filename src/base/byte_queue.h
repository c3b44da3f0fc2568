// ByteQueue: bytes on their way out: put at the end, taken at the front.
//
//   queue.put(bytes);
//   const io::IoCount sent = stream.write(queue.view());
//   queue.consume(sent.count);
//
// Its room stays until drop_room(), and grows in small steps: how much one connection holds is counted. One thread's.
// Limits: none of its own; who puts looks at view().size() first.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/bytes.h"
#include "base/check.h"

namespace wary {

class ByteQueue {
 public:
  bool is_empty() const { return bytes_.empty(); }
  // Holds until the next call that is not const.
  ByteView view() const { return ByteView(bytes_).subspan(taken_); }
  std::size_t held_bytes() const { return bytes_.capacity(); }

  void put(ByteView bytes) {
    // What was taken goes before the room would grow: a queue that is never empty must not grow by what went through.
    if (taken_ > 0 && (taken_ >= bytes_.size() / 2 || bytes_.size() + bytes.size() > bytes_.capacity())) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(taken_));
      taken_ = 0;
    }
    // Not to twice what there is.
    constexpr std::size_t kStep = std::size_t{64} * 1024;
    const std::size_t needed = bytes_.size() + bytes.size();
    if (needed > bytes_.capacity()) {
      bytes_.reserve(std::max(needed, std::min(2 * bytes_.capacity(), bytes_.capacity() + kStep)));
    }
    append(bytes_, bytes);
  }

  void consume(std::size_t size) {
    WARY_CHECK(size <= bytes_.size() - taken_);
    taken_ += size;
    if (taken_ < bytes_.size()) return;
    taken_ = 0;
    bytes_.clear();
  }

  // Of an empty queue: more room than `kept` bytes goes back.
  void drop_room(std::size_t kept) {
    if (bytes_.empty() && bytes_.capacity() > kept) Bytes().swap(bytes_);
  }

 private:
  Bytes bytes_;
  std::size_t taken_ = 0;  // at the front of it
};

}  // namespace wary
