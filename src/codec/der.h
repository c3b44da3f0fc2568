// DER (X.690): a reader over bytes it does not own, and a small writer.
//
//   der::Reader outer(bytes), sequence;
//   ByteView oid;
//   if (!outer.read_constructed(der::kSequence, sequence) || !sequence.read(der::kOid, oid) || !outer.is_empty()) ...
//
// Strict: one-byte tags (numbers to 30), definite lengths in the fewest bytes, at most 4 length bytes; booleans are 00
// or ff; integers are minimal; bit strings have zero unused bits where they say so. A method that returns false has not
// moved the reader. Values that borrow; one thread each. Limits: depth 32 in check_der; a Reader itself never recurses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"

namespace wary::codec::der {

using Tag = std::uint8_t;  // the identifier byte: class, constructed bit, number
constexpr Tag kBoolean = 0x01;
constexpr Tag kInteger = 0x02;
constexpr Tag kBitString = 0x03;
constexpr Tag kOctetString = 0x04;
constexpr Tag kNull = 0x05;
constexpr Tag kOid = 0x06;
constexpr Tag kUtf8String = 0x0c;
constexpr Tag kPrintableString = 0x13;
constexpr Tag kIa5String = 0x16;
constexpr Tag kUtcTime = 0x17;
constexpr Tag kGeneralizedTime = 0x18;
constexpr Tag kSequence = 0x30;
constexpr Tag kSet = 0x31;
constexpr Tag context(unsigned number) { return static_cast<Tag>(0x80 | number); }
constexpr Tag context_constructed(unsigned number) { return static_cast<Tag>(0xa0 | number); }
constexpr bool is_constructed(Tag tag) { return (tag & 0x20) != 0; }

class Reader {
 public:
  Reader() = default;
  explicit Reader(ByteView bytes) : bytes_(bytes) {}
  bool is_empty() const { return bytes_.empty(); }
  ByteView rest() const { return bytes_; }

  [[nodiscard]] bool peek_tag(Tag& tag) const;
  [[nodiscard]] bool read_any(Tag& tag, ByteView& content);
  // The element with its tag and length: what is hashed or signed.
  [[nodiscard]] bool read_raw(ByteView& element);
  [[nodiscard]] bool read(Tag tag, ByteView& content);
  [[nodiscard]] bool read_constructed(Tag tag, Reader& content);
  // `present` says whether the next element has that tag; false only if what is there is no DER.
  [[nodiscard]] bool read_optional(Tag tag, ByteView& content, bool& present);
  [[nodiscard]] bool skip(Tag tag);

  [[nodiscard]] bool read_boolean(bool& value);
  [[nodiscard]] bool read_integer(ByteView& value);      // two's complement, minimal
  [[nodiscard]] bool read_uint64(std::uint64_t& value);  // not negative
  [[nodiscard]] bool read_bit_string(ByteView& bits, unsigned& unused_bits);
  [[nodiscard]] bool read_oid(ByteView& content);  // checked arcs
  [[nodiscard]] bool read_null();

 private:
  // The header and content of the first element; nothing moves.
  std::optional<std::size_t> measure(Tag& tag, ByteView& content) const;
  ByteView bytes_;
};

// "1.2.840.113549" of checked content bytes; arcs above 64 bits give nothing.
std::optional<std::string> oid_to_text(ByteView content);
// Error: der_oid_syntax.
Result<Bytes> oid_from_text(std::string_view text);

// One element and nothing after it, DER at every level. Errors: der_syntax, der_depth, der_trailing, with the byte
// offset.
Status check_der(ByteView bytes, std::size_t depth = limits::kDerDepth);

class Writer {
 public:
  Writer& add(Tag tag, ByteView content);
  Writer& add_raw(ByteView element);
  Writer& add_integer(std::int64_t value);
  Writer& add_unsigned(ByteView big_endian);  // as a positive INTEGER
  Writer& add_boolean(bool value);
  Writer& add_bit_string(ByteView bytes);  // no unused bits
  Writer& add_text(Tag tag, std::string_view text) { return add(tag, as_bytes(text)); }
  Writer& add_null() { return add(kNull, {}); }
  Writer& add_nested(Tag tag, const Writer& content) { return add(tag, content.bytes_); }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace wary::codec::der
