// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed digest of 64 bits, short enough to read; who does not know the
// key cannot find texts that fall together.
//
//   std::uint64_t place = siphash(k0, k1, name);
//
// Any thread.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace wary {

inline std::uint64_t siphash(std::uint64_t k0, std::uint64_t k1, std::string_view text) {
  std::uint64_t v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d;
  std::uint64_t v2 = k0 ^ 0x6c7967656e657261, v3 = k1 ^ 0x7465646279746573;
  const auto round = [&] {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  };
  std::uint64_t block = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    block |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * (i % 8));
    if (i % 8 == 7) {
      v3 ^= block;
      round();
      round();
      v0 ^= block;
      block = 0;
    }
  }
  block |= std::uint64_t{text.size() & 0xff} << 56;
  v3 ^= block;
  round();
  round();
  v0 ^= block;
  v2 ^= 0xff;
  round();
  round();
  round();
  round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace wary
