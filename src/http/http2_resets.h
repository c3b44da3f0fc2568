// Http2Resets: which streams the bytes at hand take back (RFC 9113 section 6.4), before any frame of them is looked at:
// a request that is withdrawn by bytes that lie there already is nobody's work.
//
//   Http2Resets resets(24);          // a server's peer begins with its preface
//   resets.look(bytes);              // whatever was read, in order, each once
//   if (resets.has(stream)) ...
//
// It hops from head to head of the frames and judges nothing: what is no HTTP/2 is the session's to refuse. One thread.
// Limit: 64 streams of one read; those beyond are not known.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wary::http {

class Http2Resets {
 public:
  explicit Http2Resets(std::size_t skip) : skip_(skip) {}

  void look(std::string_view bytes) {
    count_ = 0;
    while (!bytes.empty()) {
      const std::size_t passed = std::min(skip_, bytes.size());
      skip_ -= passed;
      bytes.remove_prefix(passed);
      const std::size_t taken = std::min(kHead - held_, bytes.size());
      for (std::size_t i = 0; i < taken; ++i) head_[held_ + i] = static_cast<std::uint8_t>(bytes[i]);
      held_ += taken;
      bytes.remove_prefix(taken);
      if (held_ < kHead) return;
      held_ = 0;
      skip_ = std::size_t{head_[0]} << 16 | std::size_t{head_[1]} << 8 | head_[2];
      if (head_[3] == kReset && count_ < streams_.size()) streams_[count_++] = stream();
    }
  }
  bool has(std::int32_t stream) const {
    const auto* end = streams_.begin() + count_;
    return std::find(streams_.begin(), end, stream) != end;
  }

 private:
  static constexpr std::size_t kHead = 9;
  static constexpr std::uint8_t kReset = 3;
  std::int32_t stream() const {
    return static_cast<std::int32_t>((std::uint32_t{head_[5]} & 0x7f) << 24 | std::uint32_t{head_[6]} << 16 |
                                     std::uint32_t{head_[7]} << 8 | head_[8]);
  }

  std::size_t skip_;  // bytes until the next head
  std::size_t held_ = 0;
  std::size_t count_ = 0;
  std::array<std::uint8_t, kHead> head_{};
  std::array<std::int32_t, 64> streams_{};
};

}  // namespace wary::http
