#include "codec/proxy_protocol.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace wary::codec {

namespace {

constexpr std::array<std::uint8_t, 12> kProxySignature = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                          0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr std::size_t kFixed = 16, kMost = 4096, kUniqueIdMost = 128;
constexpr std::uint8_t kLocal = 0x20, kProxied = 0x21;
constexpr std::uint8_t kTcp4 = 0x11, kTcp6 = 0x21;
constexpr std::uint8_t kTlvCrc32c = 0x03, kTlvUniqueId = 0x05, kTlvSsl = 0x20;
constexpr std::size_t kSslFixed = 5;        // of its value: a byte of flags, a word about the client's certificate
constexpr std::uint8_t kSslOverTls = 0x01;  // PP2_CLIENT_SSL

Error refused_proxy(std::string_view what) { return fail(ErrorKind::kInvalid, "proxy_header", what); }

std::uint16_t big_16(ByteView bytes) { return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]); }

std::string text_v4(ByteView address, std::uint16_t port) {
  std::string out;
  for (const std::uint8_t part : address) {
    if (!out.empty()) out += '.';
    out += std::to_string(part);
  }
  return out + ":" + std::to_string(port);
}

// RFC 5952: the longest run of two zero groups or more is left out.
std::string text_v6(ByteView address, std::uint16_t port) {
  std::array<std::uint16_t, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) groups[i] = big_16(address.subspan(i * 2));
  std::size_t best = 8, best_size = 1;
  for (std::size_t i = 0; i < 8; ++i) {
    std::size_t size = 0;
    while (i + size < 8 && groups[i + size] == 0) ++size;
    if (size > best_size) {
      best = i;
      best_size = size;
    }
  }
  std::string out = "[";
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == best) {
      out += "::";
      i += best_size - 1;
      continue;
    }
    if (out.size() > 1 && out.back() != ':') out += ':';
    char digits[5];  // NOLINT
    const int size = std::snprintf(digits, sizeof digits, "%x", groups[i]);
    out.append(digits, static_cast<std::size_t>(size));
  }
  return out + "]:" + std::to_string(port);
}

std::uint32_t crc32c(ByteView bytes, std::size_t zeroed_at) {
  std::uint32_t crc = ~0U;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    crc ^= i >= zeroed_at && i < zeroed_at + 4 ? 0U : bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0x82f63b78U & (0U - (crc & 1U)));
  }
  return ~crc;
}

// What follows the addresses: types, lengths, values, to the last byte.
Status read_tlvs(ByteView whole, std::size_t at, ProxyHeader& header) {
  while (at < whole.size()) {
    if (whole.size() - at < 3) return refused_proxy("a value is cut off");
    const std::uint8_t type = whole[at];
    const std::size_t size = big_16(whole.subspan(at + 1));
    at += 3;
    if (whole.size() - at < size) return refused_proxy("a value is cut off");
    if (type == kTlvUniqueId) {
      if (size > kUniqueIdMost) return refused_proxy("a unique id has at most 128 bytes");
      header.unique_id = std::string(as_text(whole.subspan(at, size)));
    } else if (type == kTlvSsl) {
      // Who the client was is not for the balancer to say.
      if (size < kSslFixed) return refused_proxy("a value about TLS has five bytes at least");
      header.came_by_tls = (whole[at] & kSslOverTls) != 0;
    } else if (type == kTlvCrc32c) {
      if (size != 4) return refused_proxy("a checksum has four bytes");
      const std::uint32_t said =
          static_cast<std::uint32_t>(big_16(whole.subspan(at))) << 16 | big_16(whole.subspan(at + 2));
      if (said != crc32c(whole, at)) return refused_proxy("the checksum is wrong");
    }
    at += size;
  }
  return {};
}

}  // namespace

Result<std::optional<ProxyHeader>> parse_proxy_v2(ByteView bytes) {
  const std::size_t known = std::min(bytes.size(), kProxySignature.size());
  if (!std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(known), kProxySignature.begin())) {
    return refused_proxy("this does not begin as the PROXY protocol, version 2, does");
  }
  if (bytes.size() < kFixed) return std::optional<ProxyHeader>();
  const std::uint8_t command = bytes[12], family = bytes[13];
  const std::size_t size = big_16(bytes.subspan(14));
  if (command != kLocal && command != kProxied) return refused_proxy("an unknown version or command");
  if (size > kMost) return refused_proxy("the header has at most 4 KiB");
  if (bytes.size() < kFixed + size) return std::optional<ProxyHeader>();
  ProxyHeader header;
  header.size = kFixed + size;
  const ByteView whole = bytes.first(header.size);
  // LOCAL is the balancer's own; an unknown family says nothing that could be used.
  if (command == kLocal || (family != kTcp4 && family != kTcp6)) return std::optional(std::move(header));
  const std::size_t address = family == kTcp4 ? 4 : 16;
  if (size < address * 2 + 4) return refused_proxy("the addresses are cut off");
  const ByteView from = whole.subspan(kFixed, address), to = whole.subspan(kFixed + address, address);
  const std::uint16_t from_port = big_16(whole.subspan(kFixed + address * 2));
  const std::uint16_t to_port = big_16(whole.subspan(kFixed + address * 2 + 2));
  header.source = family == kTcp4 ? text_v4(from, from_port) : text_v6(from, from_port);
  header.destination = family == kTcp4 ? text_v4(to, to_port) : text_v6(to, to_port);
  WARY_RETURN_IF_ERROR(read_tlvs(whole, kFixed + address * 2 + 4, header));
  return std::optional(std::move(header));
}

}  // namespace wary::codec
