// The byte classes of HTTP/1 as one table: a byte is looked up once.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace wary::codec::http1 {

enum ByteClass : std::uint8_t {
  kTokenByte = 1,  // RFC 9110 tchar
  kValueByte = 2,  // field-vchar, space, tab
  kPathByte = 4,   // RFC 3986 pchar and '/', without '%'
  kQueryByte = 8,  // the same and '?', and what browsers leave raw: []{}|^`
  kHostByte = 16,  // letters, digits, - . _
  kDigitByte = 32,
};

constexpr std::array<std::uint8_t, 256> make_byte_classes() {
  std::array<std::uint8_t, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::uint8_t bits = 0;
    const bool digit = byte >= '0' && byte <= '9';
    const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    const auto in = [&](std::string_view set) {
      return byte != 0 && byte < 128 && set.find(static_cast<char>(byte)) != std::string_view::npos;
    };
    if (digit || letter || in("!#$%&'*+-.^_`|~")) bits |= kTokenByte;
    if (byte == '\t' || (byte >= 0x20 && byte != 0x7f)) bits |= kValueByte;
    if (digit || letter || in("-._~!$&'()*+,;=:@/")) bits |= kPathByte | kQueryByte;
    if (in("?[]{}|^`")) bits |= kQueryByte;
    if (digit || letter || in("-._")) bits |= kHostByte;
    if (digit) bits |= kDigitByte;
    table[byte] = bits;
  }
  return table;
}
inline constexpr std::array<std::uint8_t, 256> kByteClasses = make_byte_classes();

inline bool is_class(char byte, ByteClass wanted) {
  return (kByteClasses[static_cast<unsigned char>(byte)] & wanted) != 0;
}
// Eight bytes at a time: none of them is below 0x20 or 0x7f.
inline bool has_no_control(std::uint64_t eight) {
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHighs = kOnes * 0x80;
  const std::uint64_t below = (eight - kOnes * 0x20) & ~eight;
  const std::uint64_t delete_only = eight ^ (kOnes * 0x7f);
  return ((below | ((delete_only - kOnes) & ~delete_only)) & kHighs) == 0;
}

inline bool is_all(std::string_view text, ByteClass wanted) {
  while (wanted == kValueByte && text.size() >= 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, text.data(), sizeof eight);
    if (!has_no_control(eight)) break;  // a tab is fine: the table tells
    text.remove_prefix(8);
  }
  unsigned all = wanted;
  for (const char byte : text) all &= kByteClasses[static_cast<unsigned char>(byte)];
  return all == wanted;
}

}  // namespace wary::codec::http1
