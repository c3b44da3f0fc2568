// Arena: memory that is given back all at once. Private to engine/.
//
//   auto* numbers = arena.make<std::uint32_t>(3);
//
// Only for trivially destructible types. One writer; what it made may be read by any thread that got the pointer by an
// acquiring load. reset() keeps the first block.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

namespace wary::engine {

class Arena {
 public:
  explicit Arena(std::size_t block_bytes) : block_bytes_(block_bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void* allocate(std::size_t bytes, std::size_t alignment) {
    const std::size_t start = (used_ + alignment - 1) & ~(alignment - 1);
    if (blocks_.empty() || start + bytes > size_) return grow(bytes);
    used_ = start + bytes;
    return blocks_.back().get() + start;
  }
  template <typename T>
  T* make(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    return static_cast<T*>(allocate(sizeof(T) * count, alignof(T)));
  }
  void reset() {
    if (blocks_.size() > 1) blocks_.resize(1);
    if (!blocks_.empty()) size_ = first_;
    total_ = size_ * blocks_.size();
    used_ = 0;
  }
  // Bytes of all blocks.
  std::size_t bytes() const { return total_; }

 private:
  void* grow(std::size_t bytes) {
    size_ = std::max(block_bytes_, bytes);
    if (blocks_.empty()) first_ = size_;
    blocks_.push_back(std::unique_ptr<std::byte[]>(new std::byte[size_]));  // aligned for every type
    total_ += size_;
    used_ = bytes;
    return blocks_.back().get();
  }

  std::size_t block_bytes_;
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;  // of the last block
  std::size_t used_ = 0;  // in the last block
  std::size_t total_ = 0;
};

}  // namespace wary::engine
