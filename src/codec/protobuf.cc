#include "codec/protobuf.h"

namespace wary::codec {

namespace {

void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 128) {
    out += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

}  // namespace

std::optional<std::uint64_t> ProtoReader::varint() {
  std::uint64_t out = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) return std::nullopt;
    const auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    // The tenth byte has room for one bit.
    if (shift == 63 && byte > 1) return std::nullopt;
    out |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 128) return out;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ProtoReader::fixed(std::size_t size) {
  if (rest_.size() < size) return std::nullopt;
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < size; ++i) out |= std::uint64_t{static_cast<std::uint8_t>(rest_[i])} << (8 * i);
  rest_.remove_prefix(size);
  return out;
}

std::optional<ProtoField> ProtoReader::next() {
  if (!ok_ || rest_.empty()) return std::nullopt;
  ok_ = false;  // until the whole field is there
  const auto key = varint();
  if (!key || *key >> 3 == 0 || *key >> 32 != 0) return std::nullopt;
  ProtoField out;
  out.number = static_cast<std::uint32_t>(*key >> 3);
  out.type = static_cast<ProtoField::Type>(*key & 7);
  std::optional<std::uint64_t> value;
  switch (out.type) {
    case ProtoField::kVarint: value = varint(); break;
    case ProtoField::kFixed64: value = fixed(8); break;
    case ProtoField::kFixed32: value = fixed(4); break;
    case ProtoField::kBytes:
      value = varint();
      if (!value || *value > rest_.size()) return std::nullopt;
      out.bytes = rest_.substr(0, static_cast<std::size_t>(*value));
      rest_.remove_prefix(out.bytes.size());
      break;
    default: return std::nullopt;
  }
  if (!value) return std::nullopt;
  out.value = *value;
  ok_ = true;
  return out;
}

void append_proto_varint(std::string& out, std::uint32_t number, std::uint64_t value) {
  append_varint(out, std::uint64_t{number} << 3);
  append_varint(out, value);
}

void append_proto_fixed64(std::string& out, std::uint32_t number, std::uint64_t value) {
  append_varint(out, std::uint64_t{number} << 3 | 1);
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(value >> shift & 0xff);
}

void append_proto_bytes(std::string& out, std::uint32_t number, std::string_view bytes) {
  append_varint(out, std::uint64_t{number} << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

}  // namespace wary::codec
