// Hashing and comparing short texts. Private to engine/.
//
// The seed is secret: who does not know it cannot choose texts that collide. Inline, because a decision looks up three
// ids and spends a good part of its time here.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace wary::engine {

// Multiply, and fold the two halves of the product: every bit of both goes into every bit.
inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

constexpr std::uint64_t kOdd1 = 0x9E3779B97F4A7C15ULL;  // 2^64 by the golden ratio
constexpr std::uint64_t kOdd2 = 0xD1B54A32D192ED03ULL;

template <std::size_t kBytes>
std::uint64_t load(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, kBytes);
  return word;
}

// A few bits of a type's name, to tell ids of different types apart. Not a hash: whoever chooses ids does not choose
// types, of which there are few.
inline std::uint64_t type_bits(std::string_view type) {
  const std::size_t size = type.size();
  if (size >= 8) return load<8>(type.data() + size - 8) ^ size << 48;
  if (size >= 4) return (load<4>(type.data()) | load<4>(type.data() + size - 4) << 32) ^ size << 56;
  return size == 0 ? 0 : load<1>(type.data()) | load<1>(type.data() + size - 1) << 8 | size << 16;
}

// Ids are short: eight bytes at a time beat a call.
[[gnu::always_inline]] inline bool same_bytes(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const char* x = a.data();
  const char* y = b.data();
  std::size_t left = a.size();
  if (left > 32) return a == b;
  if (left >= 8) {
    for (; left > 8; left -= 8, x += 8, y += 8) {
      if (load<8>(x) != load<8>(y)) return false;
    }
    return load<8>(x + left - 8) == load<8>(y + left - 8);
  }
  if (left >= 4) return load<4>(x) == load<4>(y) && load<4>(x + left - 4) == load<4>(y + left - 4);
  for (; left > 0; --left, ++x, ++y) {
    if (*x != *y) return false;
  }
  return true;
}

[[gnu::always_inline]] inline std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t state = seed ^ kOdd1;
  for (; left > 16; left -= 16, at += 16) state = fold(load<8>(at) ^ state, load<8>(at + 8) ^ kOdd2);
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  if (left >= 8) {
    low = load<8>(at);
    high = load<8>(at + left - 8);
  } else if (left >= 4) {
    low = load<4>(at);
    high = load<4>(at + left - 4);
  } else if (left > 0) {
    low = load<1>(at) | load<1>(at + left / 2) << 8 | load<1>(at + left - 1) << 16;
  }
  return fold(low ^ state, high ^ kOdd2 ^ bytes.size() << 32);
}

}  // namespace wary::engine
