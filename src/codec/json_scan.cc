#include "codec/json_scan.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "codec/text.h"

namespace wary::codec {

namespace {

// Recursive descent, one function a production of RFC 8259; recursion is bounded by limits.depth.
class Scanner {
 public:
  Scanner(std::string_view text, const Limits& limits) : text_(text), limits_(limits) {}

  Status document() {
    if (text_.size() > limits_.bytes) return refuse(limits_.bytes, "json_size", "the text is longer than allowed");
    skip_space();
    WARY_RETURN_IF_ERROR(value(0));
    skip_space();
    if (at_ != text_.size()) return refuse(at_, "json_syntax", "something follows the value", "the end of the text");
    return {};
  }

 private:
  Error refuse(std::size_t offset, std::string_view code, std::string_view message, std::string_view expected = "") {
    Error error = fail(ErrorKind::kInvalid, code, message);
    error.where = to_string(position_of(text_, offset)) + " (byte " + std::to_string(offset) + ")";
    error.expected_text = expected;
    if (offset < text_.size() && static_cast<unsigned char>(text_[offset]) < 0x80) {
      append_printable(error.found_text, text_.substr(offset, 12));
    } else if (offset >= text_.size()) {
      error.found_text = "the end of the text";
    }
    return error;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  Status value(std::size_t depth) {
    if (++total_ > limits_.total) return refuse(at_, "json_items", "the text holds more values than allowed");
    switch (peek()) {
      case '{': return object(depth + 1);
      case '[': return array(depth + 1);
      case '"': {
        std::string ignored;
        return string(ignored);
      }
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      default: return number();
    }
  }

  Status word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return refuse(at_, "json_syntax", "this is no value", "a value");
    at_ += word.size();
    return {};
  }

  Status object(std::size_t depth) {
    if (depth > limits_.depth) return refuse(at_, "json_depth", "the value is nested deeper than allowed");
    ++at_;
    skip_space();
    if (peek() == '}') return ++at_, Status{};
    std::set<std::string> names;
    while (true) {
      const std::size_t start = at_;
      if (peek() != '"') return refuse(at_, "json_syntax", "an object member starts with its name", "\"");
      std::string name;
      WARY_RETURN_IF_ERROR(string(name));
      if (!names.insert(std::move(name)).second) {
        return refuse(start, "json_duplicate_key", "the object has this member already", "a name not used before");
      }
      if (names.size() > limits_.items) return refuse(start, "json_items", "the object has more members than allowed");
      skip_space();
      if (peek() != ':') return refuse(at_, "json_syntax", "a colon follows a member name", ":");
      ++at_;
      skip_space();
      WARY_RETURN_IF_ERROR(value(depth));
      skip_space();
      if (peek() == '}') return ++at_, Status{};
      if (peek() != ',') return refuse(at_, "json_syntax", "object members are separated by commas", ", or }");
      ++at_;
      skip_space();
    }
  }

  Status array(std::size_t depth) {
    if (depth > limits_.depth) return refuse(at_, "json_depth", "the value is nested deeper than allowed");
    ++at_;
    skip_space();
    if (peek() == ']') return ++at_, Status{};
    for (std::size_t count = 1;; ++count) {
      if (count > limits_.items) return refuse(at_, "json_items", "the array has more elements than allowed");
      WARY_RETURN_IF_ERROR(value(depth));
      skip_space();
      if (peek() == ']') return ++at_, Status{};
      if (peek() != ',') return refuse(at_, "json_syntax", "array elements are separated by commas", ", or ]");
      ++at_;
      skip_space();
    }
  }

  Status string(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte == '"') return ++at_, Status{};
      if (byte < 0x20) return refuse(at_, "json_syntax", "a control character in a string is escaped", "\\u00XX");
      if (byte == '\\') {
        WARY_RETURN_IF_ERROR(escape(out));
        continue;
      }
      const std::size_t length = utf8_length_at(text_, at_);
      if (length == 0) return refuse(at_, "json_utf8", "this is no UTF-8");
      out += text_.substr(at_, length);
      at_ += length;
    }
    return refuse(at_, "json_syntax", "the string is not closed", "\"");
  }

  Status escape(std::string& out) {
    const std::size_t start = at_++;
    const char kind = peek();
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kBytes = "\"\\/\b\f\n\r\t";
    if (const std::size_t i = kNames.find(kind); kind != '\0' && i != std::string_view::npos) {
      out += kBytes[i];
      ++at_;
      return {};
    }
    if (kind != 'u')
      return refuse(start, "json_syntax", "this escape is not known", "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    ++at_;
    std::uint32_t code = 0;
    if (!hex4(code)) return refuse(start, "json_syntax", "\\u wants four hexadecimal digits");
    if (code >= 0xdc00 && code < 0xe000) return refuse(start, "json_utf8", "a low surrogate without its high one");
    if (code >= 0xd800 && code < 0xdc00) {
      std::uint32_t low = 0;
      const bool paired = text_.substr(at_, 2) == "\\u" && (at_ += 2, hex4(low)) && low >= 0xdc00 && low < 0xe000;
      if (!paired) return refuse(start, "json_utf8", "a high surrogate without its low one");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, code);
    return {};
  }

  bool hex4(std::uint32_t& code) {
    if (text_.size() - at_ < 4) return false;
    const char* first = text_.data() + at_;
    // from_chars takes neither a sign nor a prefix for an unsigned base 16, which is what is wanted here.
    if (std::from_chars(first, first + 4, code, 16).ptr != first + 4) return false;
    at_ += 4;
    return true;
  }

  bool digits() {
    const std::size_t start = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ != start;
  }

  Status number() {
    const std::size_t start = at_;
    if (peek() == '-') ++at_;
    const bool leading_zero = peek() == '0';
    const std::size_t whole = at_;
    if (!digits()) return refuse(start, "json_syntax", "this is no value", "a value");
    if (leading_zero && at_ - whole > 1) return refuse(start, "json_syntax", "a number has no leading zero");
    bool integer = true;
    if (peek() == '.') {
      integer = false;
      ++at_;
      if (!digits()) return refuse(start, "json_syntax", "digits follow a decimal point");
    }
    if (peek() == 'e' || peek() == 'E') {
      integer = false;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return refuse(start, "json_syntax", "digits follow an exponent");
    }
    const std::string token(text_.substr(start, at_ - start));
    if (integer) {
      std::int64_t value = 0;
      if (std::from_chars(token.data(), token.data() + token.size(), value).ec != std::errc{}) {
        return refuse(start, "json_integer_range", "the integer does not fit in 64 bits",
                      "-9223372036854775808 to 9223372036854775807");
      }
    } else if (std::isinf(std::strtod(token.c_str(), nullptr))) {
      return refuse(start, "json_number_range", "the number is too large for a double");
    }
    return {};
  }

  std::string_view text_;
  const Limits& limits_;
  std::size_t at_ = 0;
  std::size_t total_ = 0;
};

}  // namespace

Status scan_json(std::string_view text, const Limits& limits) { return Scanner(text, limits).document(); }

}  // namespace wary::codec
