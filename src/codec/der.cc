#include "codec/der.h"

#include <charconv>

namespace wary::codec::der {

namespace {

bool is_minimal_integer(ByteView content) {
  if (content.empty()) return false;
  if (content.size() == 1) return true;
  // The first nine bits may not all be equal: X.690 section 8.3.2.
  return !((content[0] == 0x00 && (content[1] & 0x80) == 0) || (content[0] == 0xff && (content[1] & 0x80) != 0));
}

// Base 128, most significant first, no leading zero group, ends inside the content: X.690 section 8.19.
bool is_oid(ByteView content) {
  if (content.empty() || (content.back() & 0x80) != 0) return false;
  bool start = true;
  for (const std::uint8_t byte : content) {
    if (start && byte == 0x80) return false;
    start = (byte & 0x80) == 0;
  }
  return true;
}

bool is_content_of(Tag tag, ByteView content) {
  switch (tag) {
    case kBoolean: return content.size() == 1 && (content[0] == 0x00 || content[0] == 0xff);
    case kInteger: return is_minimal_integer(content);
    case kBitString: {
      if (content.empty() || content[0] > 7) return false;
      if (content.size() == 1) return content[0] == 0;
      return (content.back() & ((1u << content[0]) - 1)) == 0;
    }
    case kNull: return content.empty();
    case kOid: return is_oid(content);
    default: return true;
  }
}

// Universal types that DER has in one of the two forms only.
bool is_form_of(Tag tag) {
  if ((tag & 0xc0) != 0) return true;
  const unsigned number = tag & 0x1f;
  const bool must_be_constructed = number == 8 || number == 11 || number == 16 || number == 17;
  return number != 0 && must_be_constructed == is_constructed(tag);
}

Status check_level(ByteView bytes, ByteView all, std::size_t depth) {
  Reader reader(bytes);
  while (!reader.is_empty()) {
    const auto offset = static_cast<std::size_t>(reader.rest().data() - all.data());
    const auto refuse = [&](std::string_view code, std::string_view message) {
      return fail(ErrorKind::kInvalid, code, message).at("byte " + std::to_string(offset));
    };
    Tag tag = 0;
    ByteView content;
    if (depth == 0) return refuse("der_depth", "the element is nested deeper than allowed");
    if (!reader.read_any(tag, content)) return refuse("der_syntax", "this is no DER element");
    if (!is_form_of(tag) || !is_content_of(tag, content))
      return refuse("der_syntax", "the content is not DER of its tag");
    if (is_constructed(tag)) WARY_RETURN_IF_ERROR(check_level(content, all, depth - 1));
  }
  return {};
}

}  // namespace

std::optional<std::size_t> Reader::measure(Tag& tag, ByteView& content) const {
  if (bytes_.size() < 2 || (bytes_[0] & 0x1f) == 0x1f) return std::nullopt;  // long tags: not used in what we read
  std::size_t length = bytes_[1];
  std::size_t header = 2;
  if (length >= 0x80) {
    const std::size_t count = length & 0x7f;
    if (count == 0 || count > 4 || bytes_.size() < 2 + count || bytes_[2] == 0) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < count; ++i) length = length << 8 | bytes_[2 + i];
    if (length < 0x80) return std::nullopt;  // the short form was possible
    header += count;
  }
  if (length > bytes_.size() - header) return std::nullopt;
  tag = bytes_[0];
  content = bytes_.subspan(header, length);
  return header + length;
}

bool Reader::peek_tag(Tag& tag) const {
  ByteView content;
  return measure(tag, content).has_value();
}

bool Reader::read_any(Tag& tag, ByteView& content) {
  const auto size = measure(tag, content);
  if (!size) return false;
  bytes_ = bytes_.subspan(*size);
  return true;
}

bool Reader::read_raw(ByteView& element) {
  Tag tag = 0;
  ByteView content;
  const auto size = measure(tag, content);
  if (!size) return false;
  element = bytes_.first(*size);
  bytes_ = bytes_.subspan(*size);
  return true;
}

bool Reader::read(Tag tag, ByteView& content) {
  Reader ahead = *this;
  Tag found = 0;
  ByteView inside;
  if (!ahead.read_any(found, inside) || found != tag || !is_content_of(tag, inside)) return false;
  content = inside;
  *this = ahead;
  return true;
}

bool Reader::read_constructed(Tag tag, Reader& content) {
  ByteView inside;
  if (!is_constructed(tag) || !read(tag, inside)) return false;
  content = Reader(inside);
  return true;
}

bool Reader::read_optional(Tag tag, ByteView& content, bool& present) {
  present = false;
  if (is_empty()) return true;
  Tag found = 0;
  if (!peek_tag(found)) return false;
  if (found != tag) return true;
  present = read(tag, content);
  return present;
}

bool Reader::skip(Tag tag) {
  ByteView ignored;
  return read(tag, ignored);
}

bool Reader::read_boolean(bool& value) {
  ByteView content;
  if (!read(kBoolean, content)) return false;
  value = content[0] != 0;
  return true;
}

bool Reader::read_integer(ByteView& value) { return read(kInteger, value); }

bool Reader::read_uint64(std::uint64_t& value) {
  Reader ahead = *this;
  ByteView content;
  if (!ahead.read(kInteger, content) || (content[0] & 0x80) != 0) return false;
  if (content.size() > 9 || (content.size() == 9 && content[0] != 0)) return false;
  std::uint64_t sum = 0;
  for (const std::uint8_t byte : content) sum = sum << 8 | byte;
  value = sum;
  *this = ahead;
  return true;
}

bool Reader::read_bit_string(ByteView& bits, unsigned& unused_bits) {
  ByteView content;
  if (!read(kBitString, content)) return false;
  unused_bits = content[0];
  bits = content.subspan(1);
  return true;
}

bool Reader::read_oid(ByteView& content) { return read(kOid, content); }
bool Reader::read_null() { return skip(kNull); }

std::optional<std::string> oid_to_text(ByteView content) {
  if (!is_oid(content)) return std::nullopt;
  std::string out;
  std::uint64_t arc = 0;
  for (const std::uint8_t byte : content) {
    if (arc >> 57 != 0) return std::nullopt;
    arc = arc << 7 | (byte & 0x7f);
    if ((byte & 0x80) != 0) continue;
    if (out.empty()) {
      const std::uint64_t root = arc < 80 ? arc / 40 : 2;
      out = std::to_string(root) + ".";
      arc -= root * 40;
      out += std::to_string(arc);
    } else {
      out += "." + std::to_string(arc);
    }
    arc = 0;
  }
  return out;
}

Result<Bytes> oid_from_text(std::string_view text) {
  const Error bad = fail(ErrorKind::kInvalid, "der_oid_syntax", "an object identifier is numbers and dots").found(text);
  std::vector<std::uint64_t> arcs;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('.', at), text.size());
    const std::string_view part = text.substr(at, end - at);
    std::uint64_t arc = 0;
    const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), arc);
    const bool whole = error == std::errc{} && stop == part.data() + part.size();
    if (part.empty() || !whole || (part.size() > 1 && part[0] == '0')) return bad;
    arcs.push_back(arc);
    at = end + 1;
  }
  if (arcs.size() < 2 || arcs[0] > 2 || (arcs[0] < 2 && arcs[1] >= 40) || arcs[1] > UINT64_MAX - 80) return bad;
  arcs[1] += arcs[0] * 40;
  Bytes out;
  for (std::size_t i = 1; i < arcs.size(); ++i) {
    unsigned groups = 1;
    while (groups < 10 && arcs[i] >> (7 * groups) != 0) ++groups;
    while (groups-- > 0) {
      out.push_back(static_cast<std::uint8_t>((arcs[i] >> (7 * groups) & 0x7f) | (groups != 0 ? 0x80 : 0)));
    }
  }
  return out;
}

Status check_der(ByteView bytes, std::size_t depth) {
  Reader reader(bytes);
  ByteView element;
  if (!reader.read_raw(element)) return fail(ErrorKind::kInvalid, "der_syntax", "this is no DER element").at("byte 0");
  if (!reader.is_empty()) {
    return fail(ErrorKind::kInvalid, "der_trailing", "something follows the element")
        .at("byte " + std::to_string(element.size()));
  }
  return check_level(element, bytes, depth);
}

Writer& Writer::add(Tag tag, ByteView content) {
  WARY_CHECK((tag & 0x1f) != 0x1f && content.size() <= UINT32_MAX);
  bytes_.push_back(tag);
  const std::size_t size = content.size();
  if (size < 0x80) {
    bytes_.push_back(static_cast<std::uint8_t>(size));
  } else {
    const unsigned count = size > 0xffffff ? 4 : size > 0xffff ? 3 : size > 0xff ? 2 : 1;
    bytes_.push_back(static_cast<std::uint8_t>(0x80 | count));
    for (unsigned i = count; i-- > 0;) bytes_.push_back(static_cast<std::uint8_t>(size >> (8 * i)));
  }
  append(bytes_, content);
  return *this;
}

Writer& Writer::add_raw(ByteView element) {
  append(bytes_, element);
  return *this;
}

Writer& Writer::add_integer(std::int64_t value) {
  Bytes content;
  append_big_endian(content, static_cast<std::uint64_t>(value));
  ByteView minimal = content;
  while (minimal.size() > 1 && !is_minimal_integer(minimal)) minimal = minimal.subspan(1);
  return add(kInteger, minimal);
}

Writer& Writer::add_unsigned(ByteView big_endian) {
  Bytes content(1, 0);
  append(content, big_endian);
  ByteView minimal = content;
  while (minimal.size() > 1 && !is_minimal_integer(minimal)) minimal = minimal.subspan(1);
  return add(kInteger, minimal);
}

Writer& Writer::add_boolean(bool value) {
  const std::uint8_t content = value ? 0xff : 0x00;
  return add(kBoolean, {&content, 1});
}

Writer& Writer::add_bit_string(ByteView bytes) {
  Bytes content(1, 0);
  append(content, bytes);
  return add(kBitString, content);
}

}  // namespace wary::codec::der
