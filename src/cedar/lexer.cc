#include "cedar/lexer.h"

#include <array>

#include "cedar/characters.h"

namespace wary::cedar {

namespace {

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

struct Punctuation {
  std::string_view text;
  TokenKind kind;
};

// Longer before shorter.
constexpr std::array<Punctuation, 28> kPunctuation = {{
    {"::", TokenKind::kDoubleColon},  {"==", TokenKind::kEqual},
    {"!=", TokenKind::kNotEqual},     {"<=", TokenKind::kLessEqual},
    {">=", TokenKind::kGreaterEqual}, {"||", TokenKind::kOr},
    {"&&", TokenKind::kAnd},          {"@", TokenKind::kAt},
    {".", TokenKind::kDot},           {",", TokenKind::kComma},
    {";", TokenKind::kSemicolon},     {":", TokenKind::kColon},
    {"(", TokenKind::kLeftParen},     {")", TokenKind::kRightParen},
    {"{", TokenKind::kLeftBrace},     {"}", TokenKind::kRightBrace},
    {"[", TokenKind::kLeftBracket},   {"]", TokenKind::kRightBracket},
    {"<", TokenKind::kLess},          {">", TokenKind::kGreater},
    {"+", TokenKind::kPlus},          {"-", TokenKind::kMinus},
    {"*", TokenKind::kStar},          {"/", TokenKind::kSlash},
    {"%", TokenKind::kPercent},       {"!", TokenKind::kNot},
    {"=", TokenKind::kAssign},        {"?", TokenKind::kQuestion},
}};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  bool skip_blank() {
    while (at_ < text_.size()) {
      if (text_.substr(at_).starts_with("//")) {
        while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
        continue;
      }
      std::size_t after = at_;
      if (!is_white_space(next_code_point(text_, after))) return true;
      at_ = after;
    }
    return false;
  }

  bool next(Token& token, Refusal& refusal) {
    const std::size_t begin = at_;
    const char c = text_[at_];
    if (starts_identifier(c)) {
      take_identifier();
      token.kind = TokenKind::kIdentifier;
    } else if (is_digit(c)) {
      while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
      token.kind = TokenKind::kNumber;
    } else if (c == '"') {
      token.kind = TokenKind::kString;
      if (!take_string(refusal)) return false;
    } else if (c == '?' && at_ + 1 < text_.size() && starts_identifier(text_[at_ + 1])) {
      ++at_;
      take_identifier();
      token.kind = TokenKind::kSlot;
    } else if (!take_punctuation(token)) {
      refuse_character(refusal);
      return false;
    }
    token.span = {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at_)};
    return true;
  }

  std::size_t at() const { return at_; }

 private:
  void take_identifier() {
    while (at_ < text_.size() && (starts_identifier(text_[at_]) || is_digit(text_[at_]))) ++at_;
  }

  bool take_string(Refusal& refusal) {
    const std::size_t begin = at_;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        return true;
      }
      if (text_[at_] != '\\') continue;
      ++at_;
      if (at_ < text_.size() && text_[at_] == '\n') break;  // an escape does not span lines
    }
    refusal.code = "cedar_syntax";
    refusal.message = "a string without its closing quote";
    refusal.expected = "\"";
    refusal.found = "the end of the text";
    refusal.hint = "close the string, or write \\\" for a quote inside it";
    refusal.span = {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(begin + 1)};
    return false;
  }

  bool take_punctuation(Token& token) {
    for (const Punctuation& punctuation : kPunctuation) {
      if (!text_.substr(at_).starts_with(punctuation.text)) continue;
      token.kind = punctuation.kind;
      at_ += punctuation.text.size();
      return true;
    }
    return false;
  }

  void refuse_character(Refusal& refusal) {
    std::size_t after = at_;
    next_code_point(text_, after);
    const std::string_view character = text_.substr(at_, after - at_);
    refusal.code = "cedar_syntax";
    refusal.message = "a character that starts nothing in Cedar";
    refusal.expected = "a token";
    refusal.found = std::string(character);
    if (character == "&" || character == "|")
      refusal.hint = "Cedar writes && and ||";
    else if (character == "'")
      refusal.hint = "strings stand in double quotes";
    else if (character == "#")
      refusal.hint = "comments start with //";
    refusal.span = {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(after)};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The inside of a string token, code point by code point.
class Unescaper {
 public:
  Unescaper(std::string_view inside, std::uint32_t begin) : text_(inside), begin_(begin) {}
  bool done() const { return at_ == text_.size(); }

  // False on a bad escape; `star` is set for \*, which only a pattern accepts.
  bool next(char32_t& out, bool& star, Refusal& refusal) {
    star = false;
    const std::size_t from = at_;
    if (text_[at_] != '\\') {
      out = next_code_point(text_, at_);
      return out != '\r' || refuse(from, "a bare carriage return in a string", "\\r", refusal);
    }
    ++at_;
    const char escape = text_[at_++];
    switch (escape) {
      case 'n': out = '\n'; return true;
      case 'r': out = '\r'; return true;
      case 't': out = '\t'; return true;
      case '0': out = 0; return true;
      case '\\':
      case '\'':
      case '"': out = static_cast<unsigned char>(escape); return true;
      case '*':
        star = true;
        out = '*';
        return true;
      case 'x': return hex_escape(from, out, refusal);
      case 'u': return unicode_escape(from, out, refusal);
      default:
        --at_;
        next_code_point(text_, at_);
        return refuse(from, "an unknown escape", "\\n \\r \\t \\\\ \\0 \\' \\\" \\xHH or \\u{H}", refusal);
    }
  }

  bool refuse(std::size_t from, std::string_view message, std::string_view expected, Refusal& refusal) const {
    refusal.code = "cedar_escape";
    refusal.message = message;
    refusal.expected = expected;
    refusal.found = std::string(text_.substr(from, at_ - from));
    refusal.span = {begin_ + static_cast<std::uint32_t>(from), begin_ + static_cast<std::uint32_t>(at_)};
    return false;
  }
  std::size_t at() const { return at_; }

 private:
  bool hex_escape(std::size_t from, char32_t& out, Refusal& refusal) {
    const int high = at_ < text_.size() ? hex_digit(text_[at_]) : -1;
    const int low = at_ + 1 < text_.size() ? hex_digit(text_[at_ + 1]) : -1;
    if (high < 0 || low < 0 || high > 7) return refuse(from, "not an ASCII code", "\\x00 to \\x7F", refusal);
    out = static_cast<char32_t>(high * 16 + low);
    at_ += 2;
    return true;
  }

  bool unicode_escape(std::size_t from, char32_t& out, Refusal& refusal) {
    constexpr std::string_view kExpected = "\\u{ and 1 to 6 hexadecimal digits }";
    if (at_ == text_.size() || text_[at_] != '{') return refuse(from, "no { after \\u", kExpected, refusal);
    ++at_;
    std::size_t digits = 0;
    char32_t value = 0;
    for (; at_ < text_.size() && text_[at_] != '}'; ++at_) {
      if (text_[at_] == '_' && digits > 0) continue;
      const int digit = hex_digit(text_[at_]);
      if (digit < 0 || ++digits > 6) return refuse(from, "not a code point", kExpected, refusal);
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (at_ == text_.size() || digits == 0) return refuse(from, "not a code point", kExpected, refusal);
    ++at_;
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      return refuse(from, "not a Unicode scalar value", "up to \\u{10FFFF}, no surrogates", refusal);
    }
    out = value;
    return true;
  }

  std::string_view text_;
  std::uint32_t begin_;
  std::size_t at_ = 0;
};

std::string_view without_quotes(std::string_view token_text) { return token_text.substr(1, token_text.size() - 2); }

}  // namespace

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

char32_t next_code_point(std::string_view text, std::size_t& offset) {
  const auto lead = static_cast<unsigned char>(text[offset++]);
  if (lead < 0x80) return lead;
  const int following = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  char32_t value = lead & (0x3FU >> following);
  for (int i = 0; i < following && offset < text.size(); ++i) {
    value = value << 6 | (static_cast<unsigned char>(text[offset++]) & 0x3F);
  }
  return value;
}

SyntaxError syntax_error(const Source& source, const Refusal& refusal) {
  SyntaxError out;
  out.error = fail(ErrorKind::kInvalid, refusal.code, refusal.message);
  out.error.expected_text = refusal.expected;
  out.error.found_text = refusal.found;
  out.error.next_step = refusal.hint;
  out.error.where = source.place(refusal.span.begin);
  out.span = refusal.span;
  out.from = source.position(refusal.span.begin);
  out.line = source.line_text(refusal.span.begin).substr(0, 400);
  out.caret = source.caret(refusal.span);
  return out;
}

std::vector<Token> tokenize(std::string_view text, std::vector<Refusal>& refusals) {
  std::vector<Token> tokens;
  Lexer lexer(text);
  while (lexer.skip_blank()) {
    Token token;
    Refusal refusal;
    if (!lexer.next(token, refusal)) {
      refusals.push_back(std::move(refusal));
      break;
    }
    tokens.push_back(token);
  }
  const auto end = static_cast<std::uint32_t>(text.size());
  tokens.push_back({TokenKind::kEnd, {end, end}});
  return tokens;
}

std::string describe(const Token& token, std::string_view text) {
  if (token.kind == TokenKind::kEnd) return "the end of the text";
  constexpr std::size_t kShown = 60;
  std::string_view shown = text.substr(token.span.begin, token.span.end - token.span.begin);
  const bool shortened = shown.size() > kShown;
  if (shortened) {
    std::size_t cut = kShown;
    while (cut > 0 && (static_cast<unsigned char>(shown[cut]) & 0xC0) == 0x80) --cut;
    shown = shown.substr(0, cut);
  }
  return "`" + std::string(shown) + (shortened ? "...`" : "`");
}

bool unescape_string(std::string_view token_text, std::uint32_t begin, std::string& out, Refusal& refusal) {
  Unescaper unescaper(without_quotes(token_text), begin + 1);
  while (!unescaper.done()) {
    const std::size_t from = unescaper.at();
    char32_t code_point = 0;
    bool star = false;
    if (!unescaper.next(code_point, star, refusal)) return false;
    if (star) return unescaper.refuse(from, "\\* outside a `like` pattern", "* without the backslash", refusal);
    append_utf8(out, code_point);
  }
  return true;
}

bool unescape_pattern(std::string_view token_text, std::uint32_t begin, std::vector<PatternElement>& out,
                      Refusal& refusal) {
  Unescaper unescaper(without_quotes(token_text), begin + 1);
  while (!unescaper.done()) {
    char32_t code_point = 0;
    bool star = false;
    if (!unescaper.next(code_point, star, refusal)) return false;
    if (code_point == '*' && !star)
      out.push_back({true, 0});
    else
      out.push_back({false, code_point});
  }
  return true;
}

}  // namespace wary::cedar
