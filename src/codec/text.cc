#include "codec/text.h"

#include <algorithm>
#include <array>

namespace wary::codec {

namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t kNone = 0xff;

constexpr std::array<std::uint8_t, 256> reverse(std::string_view alphabet) {
  std::array<std::uint8_t, 256> table{};
  for (std::uint8_t& entry : table) entry = kNone;
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return table;
}
constexpr std::array<std::uint8_t, 256> kFromStandard = reverse(kStandard);
constexpr std::array<std::uint8_t, 256> kFromUrl = reverse(kUrl);

std::string encode64(ByteView bytes, std::string_view alphabet) {
  const std::size_t whole = bytes.size() / 3, rest = bytes.size() % 3;
  std::string out(whole * 4 + (rest == 0 ? 0 : rest + 1), '\0');
  const char* const letters = alphabet.data();
  const std::uint8_t* in = bytes.data();
  char* at = out.data();
  for (std::size_t i = 0; i < whole; ++i, in += 3, at += 4) {
    const std::uint32_t group = std::uint32_t{in[0]} << 16 | std::uint32_t{in[1]} << 8 | in[2];
    at[0] = letters[group >> 18];
    at[1] = letters[group >> 12 & 0x3f];
    at[2] = letters[group >> 6 & 0x3f];
    at[3] = letters[group & 0x3f];
  }
  if (rest == 0) return out;
  const std::uint32_t group = std::uint32_t{in[0]} << 16 | (rest == 2 ? std::uint32_t{in[1]} << 8 : 0U);
  for (std::size_t k = 0; k <= rest; ++k) at[k] = letters[group >> (18 - 6 * k) & 0x3f];
  return out;
}

Error refuse64(std::size_t offset) {
  return fail(ErrorKind::kInvalid, "base64_syntax", "this is no strict base64").at("byte " + std::to_string(offset));
}

Result<Bytes> decode64(std::string_view text, const std::array<std::uint8_t, 256>& table) {
  if (text.size() % 4 == 1) return refuse64(text.size());
  const auto value_at = [&](std::size_t i) { return table[static_cast<unsigned char>(text[i])]; };
  const std::size_t whole = text.size() / 4 * 4;
  Bytes out(whole / 4 * 3);
  out.reserve(out.size() + 2);
  std::uint8_t* to = out.data();
  for (std::size_t i = 0; i < whole; i += 4, to += 3) {
    const std::uint8_t a = value_at(i), b = value_at(i + 1), c = value_at(i + 2), d = value_at(i + 3);
    if (((a | b | c | d) & 0xc0) != 0) {  // kNone; letters are below 64
      return refuse64(i + (a == kNone ? 0U : b == kNone ? 1U : c == kNone ? 2U : 3U));
    }
    to[0] = static_cast<std::uint8_t>(a << 2 | b >> 4);
    to[1] = static_cast<std::uint8_t>(b << 4 | c >> 2);
    to[2] = static_cast<std::uint8_t>(c << 6 | d);
  }
  std::uint32_t group = 0;
  for (std::size_t i = whole; i < text.size(); ++i) {
    const std::uint8_t value = value_at(i);
    if (value == kNone) return refuse64(i);
    group = group << 6 | value;
  }
  // The unused low bits of the last letter must be zero: otherwise two texts would mean the same bytes.
  if (text.size() % 4 == 2) {
    if ((group & 0xf) != 0) return refuse64(text.size() - 1);
    out.push_back(static_cast<std::uint8_t>(group >> 4));
  } else if (text.size() % 4 == 3) {
    if ((group & 0x3) != 0) return refuse64(text.size() - 1);
    out.push_back(static_cast<std::uint8_t>(group >> 10));
    out.push_back(static_cast<std::uint8_t>(group >> 2));
  }
  return out;
}

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kHexUpper = "0123456789ABCDEF";

bool is_unreserved(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         letter == '-' || letter == '.' || letter == '_' || letter == '~';
}

}  // namespace

std::string encode_base64(ByteView bytes) {
  std::string out = encode64(bytes, kStandard);
  out.append((4 - out.size() % 4) % 4, '=');
  return out;
}
std::string encode_base64url(ByteView bytes) { return encode64(bytes, kUrl); }

Result<Bytes> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return refuse64(text.size());
  if (text.ends_with("==")) {
    text.remove_suffix(2);
  } else if (text.ends_with('=')) {
    text.remove_suffix(1);
  }
  return decode64(text, kFromStandard);
}
Result<Bytes> decode_base64url(std::string_view text) { return decode64(text, kFromUrl); }

std::string encode_hex(ByteView bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    out += kHex[byte >> 4];
    out += kHex[byte & 0xf];
  }
  return out;
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

Result<Bytes> decode_hex(std::string_view text) {
  Bytes out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_value(text[i]);
    const int low = i + 1 < text.size() ? hex_value(text[i + 1]) : -1;
    if (high < 0 || low < 0) {
      return fail(ErrorKind::kInvalid, "hex_syntax", "this is no pair of hexadecimal digits")
          .at("byte " + std::to_string(i));
    }
    out.push_back(static_cast<std::uint8_t>(high << 4 | low));
  }
  return out;
}

std::string encode_percent(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (is_unreserved(letter)) {
      out += letter;
    } else {
      out += '%';
      out += kHexUpper[byte >> 4];
      out += kHexUpper[byte & 0xf];
    }
  }
  return out;
}

Result<std::string> decode_percent(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 1 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return fail(ErrorKind::kInvalid, "percent_syntax", "a percent sign is followed by two hexadecimal digits")
          .at("byte " + std::to_string(i));
    }
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  for (char& letter : out) letter = to_lower(letter);
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::size_t utf8_length_at(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) {
    return offset + i < text.size() ? static_cast<unsigned char>(text[offset + i]) : 0u;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  if (offset >= text.size()) return 0;
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return continues(1) ? 2 : 0;
  if (first < 0xf0) {
    if (first == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
    if (first == 0xed && byte(1) > 0x9f) return 0;  // surrogates
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (first > 0xf4) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;  // overlong
  if (first == 0xf4 && byte(1) > 0x8f) return 0;  // above U+10FFFF
  return continues(1) && continues(2) && continues(3) ? 4 : 0;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length_at(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

void append_printable(std::string& out, std::string_view text) {
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (byte >= 0x20 && byte < 0x7f) {
      out += letter;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 0xf];
    }
  }
}

TextPosition position_of(std::string_view text, std::size_t offset) {
  TextPosition position;
  for (const char letter : text.substr(0, offset)) {
    ++position.column;
    if (letter == '\n') {
      ++position.line;
      position.column = 1;
    }
  }
  return position;
}

std::string to_string(TextPosition position) {
  return "line " + std::to_string(position.line) + ", column " + std::to_string(position.column);
}

std::optional<std::string_view> find_cookie(std::string_view cookie_field, std::string_view name) {
  std::optional<std::string_view> found;
  while (!cookie_field.empty()) {
    const std::size_t end = std::min(cookie_field.find(';'), cookie_field.size());
    const std::string_view pair = trim(cookie_field.substr(0, end));
    cookie_field.remove_prefix(std::min(end + 1, cookie_field.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    if (found) return std::nullopt;
    found = pair.substr(equals + 1);
  }
  return found;
}

}  // namespace wary::codec
