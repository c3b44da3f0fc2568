// The ipaddr extension type: text form, and the ranges it is tested against.
#include <algorithm>
#include <optional>

#include "cedar/characters.h"
#include "cedar/extension.h"

namespace wary::cedar {

namespace {

constexpr std::size_t kTextMax = 43;  // eight groups of four, and /128

Error refused(std::string_view why, std::string_view text) {
  return fail(ErrorKind::kInvalid, "cedar_extension", "ipaddr: " + std::string(why)).found(text);
}

// A decimal number without leading zeros, at most `max`.
std::optional<std::uint8_t> parse_small(std::string_view text, unsigned max) {
  if (text.empty() || text.size() > 3 || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  unsigned value = 0;
  for (const char c : text) value = value * 10 + static_cast<unsigned>(c - '0');
  if (value > max) return std::nullopt;
  return static_cast<std::uint8_t>(value);
}

bool parse_v4(std::string_view text, IpAddress& out) {
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return false;
    const auto octet = parse_small(text.substr(0, dot), 255);
    if (!octet) return false;
    out.bytes[i] = *octet;
    if (i < 3) text.remove_prefix(dot + 1);
  }
  return true;
}

std::optional<unsigned> hex_group(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  unsigned value = 0;
  for (const char c : text) {
    unsigned digit = 0;
    if (is_digit(c))
      digit = static_cast<unsigned>(c - '0');
    else if (c >= 'a' && c <= 'f')
      digit = static_cast<unsigned>(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
      digit = static_cast<unsigned>(c - 'A') + 10;
    else
      return std::nullopt;
    value = value * 16 + digit;
  }
  return value;
}

// Groups joined by ':', none for an empty text; nothing when one is malformed or there are more than eight.
bool parse_groups(std::string_view text, std::array<unsigned, 8>& groups, std::size_t& count) {
  count = 0;
  if (text.empty()) return true;
  while (true) {
    const std::size_t colon = text.find(':');
    const auto group = hex_group(text.substr(0, colon));
    if (!group || count == groups.size()) return false;
    groups[count++] = *group;
    if (colon == std::string_view::npos) return true;
    text.remove_prefix(colon + 1);
  }
}

bool parse_v6(std::string_view text, IpAddress& out) {
  std::array<unsigned, 8> head{};
  std::array<unsigned, 8> tail{};
  std::size_t head_count = 0;
  std::size_t tail_count = 0;
  const std::size_t gap = text.find("::");
  if (!parse_groups(text.substr(0, gap), head, head_count)) return false;
  if (gap == std::string_view::npos) {
    if (head_count != 8) return false;
  } else {
    // "::" stands for at least one group of zeros.
    if (!parse_groups(text.substr(gap + 2), tail, tail_count) || head_count + tail_count > 7) return false;
  }
  std::array<unsigned, 8> groups{};
  std::copy_n(head.begin(), head_count, groups.begin());
  std::copy_n(tail.begin(), tail_count, groups.end() - static_cast<std::ptrdiff_t>(tail_count));
  for (std::size_t i = 0; i < 8; ++i) {
    out.bytes[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
    out.bytes[2 * i + 1] = static_cast<std::uint8_t>(groups[i]);
  }
  return true;
}

// The first (or, with `fill`, the last) address of the network.
std::array<std::uint8_t, 16> edge(const IpAddress& address, bool last) {
  std::array<std::uint8_t, 16> bytes = address.bytes;
  const std::size_t bits = address.is_v6 ? 128 : 32;
  for (std::size_t bit = address.prefix; bit < bits; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
    if (last)
      bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | mask);
    else
      bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] & ~mask);
  }
  return bytes;
}

}  // namespace

Result<IpAddress> parse_ip(std::string_view text) {
  if (text.size() > kTextMax) return refused("longer than any address", text);
  const std::size_t slash = text.find('/');
  const std::string_view address = text.substr(0, slash);
  IpAddress result;
  result.is_v6 = address.find(':') != std::string_view::npos;
  // IPv4 inside IPv6 is refused by the group syntax: a dot is no hexadecimal digit.
  const bool parsed = result.is_v6 ? parse_v6(address, result) : parse_v4(address, result);
  if (!parsed) return refused("not an IPv4 or IPv6 address", text);
  const unsigned bits = result.is_v6 ? 128 : 32;
  result.prefix = static_cast<std::uint8_t>(bits);
  if (slash != std::string_view::npos) {
    const auto prefix = parse_small(text.substr(slash + 1), bits);
    if (!prefix) return refused("the prefix is a number of bits without leading zeros", text);
    result.prefix = *prefix;
  }
  return result;
}

std::string format_ip(const IpAddress& value) {
  std::string out;
  if (!value.is_v6) {
    for (std::size_t i = 0; i < 4; ++i) out += (i > 0 ? "." : "") + std::to_string(value.bytes[i]);
  } else {
    constexpr std::string_view kHex = "0123456789abcdef";
    for (std::size_t i = 0; i < 16; i += 2) {
      if (i > 0) out += ':';
      const unsigned group = static_cast<unsigned>(value.bytes[i] << 8 | value.bytes[i + 1]);
      bool started = false;
      for (int shift = 12; shift >= 0; shift -= 4) {
        const unsigned digit = (group >> shift) & 15U;
        started = started || digit != 0 || shift == 0;
        if (started) out += kHex[digit];
      }
    }
  }
  if (value.prefix != (value.is_v6 ? 128 : 32)) out += "/" + std::to_string(value.prefix);
  return out;
}

bool is_in_range(const IpAddress& address, const IpAddress& range) {
  if (address.is_v6 != range.is_v6) return false;
  return edge(range, false) <= edge(address, false) && edge(address, true) <= edge(range, true);
}

bool is_loopback(const IpAddress& address) {
  if (!address.is_v6) return address.bytes[0] == 127 && address.prefix >= 8;
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return address.bytes == one && address.prefix == 128;
}

bool is_multicast(const IpAddress& address) {
  if (!address.is_v6) return (address.bytes[0] & 0xF0) == 0xE0 && address.prefix >= 4;
  return address.bytes[0] == 0xFF && address.prefix >= 8;
}

}  // namespace wary::cedar
