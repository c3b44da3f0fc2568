#include "crypto/random_id.h"

#include <array>
#include <string_view>

namespace wary::crypto {

std::string random_id(Random& random) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<std::uint8_t, 16> bytes{};
  random.fill(bytes);
  std::string text;
  std::uint32_t bits = 0;
  int held = 0;
  for (const std::uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    held += 8;
    while (held >= 5) {
      held -= 5;
      text += kAlphabet[bits >> held & 31];
    }
  }
  text += kAlphabet[bits << (5 - held) & 31];
  return text;
}

}  // namespace wary::crypto
