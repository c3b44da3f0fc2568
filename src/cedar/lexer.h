// The lexer: Cedar text to tokens. Private to cedar/.
//
// Tokens are spans of the source; a string token keeps its quotes and escapes until the parser asks for its value,
// because the same text means different things as a string and as a `like` pattern. Whitespace is Unicode White_Space;
// a comment runs from // to the end of its line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cedar/source.h"

namespace wary::cedar {

enum class TokenKind : std::uint8_t {
  kEnd,
  kIdentifier,
  kSlot,
  kNumber,
  kString,
  kAt,
  kDot,
  kComma,
  kSemicolon,
  kColon,
  kDoubleColon,
  kLeftParen,
  kRightParen,
  kLeftBrace,
  kRightBrace,
  kLeftBracket,
  kRightBracket,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAssign,
  kOr,
  kAnd,
  kPlus,
  kMinus,
  kStar,
  kSlash,
  kPercent,
  kNot,
  kQuestion,  // of schemas only: `name?: Type`
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Span span;
};

// What went wrong at a place of the text, before it is dressed as a SyntaxError.
struct Refusal {
  std::string code;
  std::string message;
  std::string expected;
  std::string found;
  std::string hint;
  Span span;
};

// As an error of the text it is in.
SyntaxError syntax_error(const Source& source, const Refusal& refusal);

// The tokens, the last one kEnd. On failure `refusal` is set and the tokens before it are returned.
std::vector<Token> tokenize(std::string_view text, std::vector<Refusal>& refusals);

// How a message names a token: "`&&`", "the string \"x\"", "the end of the text".
std::string describe(const Token& token, std::string_view text);

// One element of a `like` pattern: a code point, or any run of them.
struct PatternElement {
  bool is_wildcard = false;
  char32_t code_point = 0;
  bool operator==(const PatternElement&) const = default;
};

// The value of a string token (with its quotes). Escapes: \n \r \t \\ \0 \' \" \x00-\x7F \u{1 to 6 hex digits}.
bool unescape_string(std::string_view token_text, std::uint32_t begin, std::string& out, Refusal& refusal);
// The same with \* for a literal star; every other star, escaped by code or not, is a wildcard.
bool unescape_pattern(std::string_view token_text, std::uint32_t begin, std::vector<PatternElement>& out,
                      Refusal& refusal);

void append_utf8(std::string& out, char32_t code_point);
// Decodes one code point of valid UTF-8 at `offset` and moves past it.
char32_t next_code_point(std::string_view text, std::size_t& offset);

}  // namespace wary::cedar
