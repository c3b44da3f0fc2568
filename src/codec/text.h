// Text: the small encodings that every protocol needs, each strict: one accepted spelling a value.
//
//   WARY_ASSIGN_OR_RETURN(Bytes key, codec::decode_base64url(text));
//   std::string text = codec::encode_hex(digest);
//
// Functions of their arguments; any thread. Limits: input length is the caller's; all run in linear time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::codec {

// RFC 4648. The standard alphabet has padding, the URL alphabet has none; white space, other alphabets and set unused
// bits are refused, so that equal bytes have one spelling. Error: base64_syntax with the byte offset.
std::string encode_base64(ByteView bytes);
std::string encode_base64url(ByteView bytes);
Result<Bytes> decode_base64(std::string_view text);
Result<Bytes> decode_base64url(std::string_view text);

// Lower case out, both cases in. Error: hex_syntax.
std::string encode_hex(ByteView bytes);
Result<Bytes> decode_hex(std::string_view text);
int hex_value(char digit);  // 0..15, or -1

// RFC 3986 percent-encoding; unreserved bytes stay. decode refuses a truncated or non-hex escape: percent_syntax.
std::string encode_percent(std::string_view text);
Result<std::string> decode_percent(std::string_view text);

// ASCII only, by design: no locale may decide what a header name is.
inline char to_lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}
std::string to_lower(std::string_view text);
inline bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (to_lower(a[i]) != to_lower(b[i])) return false;
  }
  return true;
}
std::string_view trim(std::string_view text);  // spaces and tabs at both ends

// Bytes of the UTF-8 sequence that starts there (1..4), or 0 if it is none: overlong forms, surrogates and what lies
// above U+10FFFF are none.
std::size_t utf8_length_at(std::string_view text, std::size_t offset);
bool is_utf8(std::string_view text);
void append_utf8(std::string& out, std::uint32_t code_point);

// For error messages: printable ASCII as it is, anything else as \xNN, so that no input reaches a terminal raw.
void append_printable(std::string& out, std::string_view text);

// Line and column from 1; columns count bytes.
struct TextPosition {
  std::size_t line = 1;
  std::size_t column = 1;
  bool operator==(const TextPosition&) const = default;
};
TextPosition position_of(std::string_view text, std::size_t offset);
std::string to_string(TextPosition position);  // "line 3, column 7"

// The value of that name in a Cookie field value (RFC 6265 section 4.2.1), or nothing. A name that occurs twice gives
// nothing: which of the two is meant, differs between servers.
std::optional<std::string_view> find_cookie(std::string_view cookie_field, std::string_view name);

}  // namespace wary::codec
