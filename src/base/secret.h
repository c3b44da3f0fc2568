// Secret: bytes that must not be seen. Move-only; wiped when it goes; its pages are locked and kept out of core dumps
// where the kernel allows. It cannot be formatted, compared or copied except by the named functions below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace wary {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::size_t size);
  static Secret copy_of(ByteView bytes);
  // Takes the bytes and wipes where they came from.
  static Secret take(Bytes& bytes);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Named so that a reader of the caller sees that the secret leaves its wrapper here.
  ByteView reveal() const { return {data_, size_}; }
  std::span<std::uint8_t> reveal_mutable() { return {data_, size_}; }

 private:
  void release();
  std::uint8_t* data_ = nullptr;  // own anonymous mapping, whole pages
  std::size_t size_ = 0;
  std::size_t mapped_ = 0;
};

// Time depends on the lengths only.
bool equals_in_constant_time(ByteView a, ByteView b);
// A write the compiler may not remove.
void wipe(void* data, std::size_t size);

}  // namespace wary
