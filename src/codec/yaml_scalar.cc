// YAML scalars: plain with the core schema, quoted, and blocks.
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "codec/yaml_reader.h"

namespace wary::codec {

namespace {

constexpr std::string_view kFlowIndicators = ",[]{}";
bool is_flow_indicator(char byte) { return byte != '\0' && kFlowIndicators.find(byte) != std::string_view::npos; }
bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

// [-+]? ( digits | digits . digits? | . digits ) ( [eE] [-+]? digits )?
bool is_number(std::string_view text, bool& integer) {
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t start = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at - start;
  };
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) ++at;
  std::size_t count = digits();
  integer = true;
  if (at < text.size() && text[at] == '.') {
    integer = false;
    ++at;
    count += digits();
  }
  if (count == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    integer = false;
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

enum class Range { kGood, kInteger, kNumber };

// Section 10.3.2, the core schema.
Range resolve(std::string text, Json& out) {
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return out = Json(), Range::kGood;
  if (is_one_of(text, {"true", "True", "TRUE"})) return out = Json(true), Range::kGood;
  if (is_one_of(text, {"false", "False", "FALSE"})) return out = Json(false), Range::kGood;
  std::string_view unsigned_text = text;
  if (unsigned_text.starts_with('-') || unsigned_text.starts_with('+')) unsigned_text.remove_prefix(1);
  if (is_one_of(unsigned_text, {".inf", ".Inf", ".INF"}) || is_one_of(text, {".nan", ".NaN", ".NAN"})) {
    return Range::kNumber;  // JSON has no word for these
  }
  const int base = text.starts_with("0x") ? 16 : text.starts_with("0o") ? 8 : 10;
  if (base != 10 && text.size() > 2 &&
      text.find_first_not_of(base == 16 ? "0123456789abcdefABCDEF" : "01234567", 2) == std::string::npos) {
    std::int64_t value = 0;
    if (std::from_chars(text.data() + 2, text.data() + text.size(), value, base).ec != std::errc{}) {
      return Range::kInteger;
    }
    return out = Json(value), Range::kGood;
  }
  bool integer = false;
  if (!is_number(text, integer)) return out = Json(std::move(text)), Range::kGood;
  if (integer) {
    std::int64_t value = 0;
    const char* first = text.data() + (text[0] == '+' ? 1 : 0);
    if (std::from_chars(first, text.data() + text.size(), value).ec != std::errc{}) return Range::kInteger;
    return out = Json(value), Range::kGood;
  }
  const double value = std::strtod(text.c_str(), nullptr);
  if (!std::isfinite(value)) return Range::kNumber;
  return out = Json(value), Range::kGood;
}

}  // namespace

Status YamlReader::check_plain_start(bool in_flow) const {
  const char first = peek();
  switch (first) {
    case '&': return refuse("yaml_anchor", "anchors are not used here");
    case '*': return refuse("yaml_alias", "aliases are not used here");
    case '!': return refuse("yaml_tag", "tags are not used here");
    case '%':
      if (column() == 0) return refuse("yaml_directive", "directives are not used here");
      break;
    case '-':
    case '?':
    case ':': {
      const char next = peek(1);
      if (is_blank_at(at_ + 1)) break;
      if (!in_flow || !is_flow_indicator(next)) return {};
      break;
    }
    default:
      if (std::string_view(",[]{}#|>'\"@`\0", 13).find(first) == std::string_view::npos) return {};
      break;
  }
  if (starts_entry('?')) return refuse("yaml_complex_key", "a key is a scalar on one line");
  return refuse("yaml_syntax", "a plain scalar does not start with this character");
}

Result<std::string> YamlReader::plain_line(bool in_flow, bool& commented) {
  const std::size_t start = at_;
  commented = false;
  for (; !is_break(); ++at_) {
    const char byte = peek();
    if (byte == ':' && (is_blank_at(at_ + 1) || (in_flow && is_flow_indicator(peek(1))))) break;
    if (in_flow && is_flow_indicator(byte)) break;
    if (is_comment() && at_ != start) {
      commented = true;
      break;
    }
  }
  return std::string(trim(text_.substr(start, at_ - start)));
}

// Whether the next lines belong to the plain scalar; if so the first of them is appended.
Result<bool> YamlReader::continue_plain(int parent, std::string& text, bool& commented) {
  const Mark before = mark();
  std::size_t breaks = 0;
  while (!at_end()) {
    skip_break();
    ++breaks;
    skip_spaces();
    if (is_break()) continue;
    if (peek() == '\t') {
      if (rest_is_blank() && (skip_blanks(), is_break())) continue;
      return refuse("yaml_tab", "a line is indented with spaces");
    }
    if (column() <= parent || is_document_marker() || peek() == '#') break;
    if (starts_entry('-')) return refuse("yaml_indent", "a sequence does not start inside a scalar");
    WARY_ASSIGN_OR_RETURN(const bool key, has_key());
    if (key) return refuse("yaml_indent", "a key does not stand inside a scalar");
    WARY_ASSIGN_OR_RETURN(const std::string line, plain_line(false, commented));
    if (breaks == 1) text += ' ';
    text.append(breaks - 1, '\n');
    text += line;
    return true;
  }
  reset(before);
  return false;
}

Result<Json> YamlReader::plain(int parent, bool in_flow) {
  WARY_RETURN_IF_ERROR(check_plain_start(in_flow));
  const std::size_t start = at_;
  bool commented = false;
  WARY_ASSIGN_OR_RETURN(std::string text, plain_line(in_flow, commented));
  while (!in_flow && !commented && is_break()) {
    WARY_ASSIGN_OR_RETURN(const bool more, continue_plain(parent, text, commented));
    if (!more) break;
  }
  Json value;
  switch (resolve(std::move(text), value)) {
    case Range::kInteger: return refuse_at(start, "yaml_integer_range", "the integer does not fit in 64 bits");
    case Range::kNumber: return refuse_at(start, "yaml_number_range", "the number is not finite");
    case Range::kGood: break;
  }
  return value;
}

// At a line feed inside quotes: blanks around it go; one break is a space, more are one less. `keep`: bytes of `out`
// that came from escapes or text and are never trimmed.
Status YamlReader::fold_quoted(int parent, std::string& out, std::size_t keep, bool escaped) {
  while (!escaped && out.size() > keep && (out.back() == ' ' || out.back() == '\t')) out.pop_back();
  std::size_t breaks = 0;
  while (!at_end() && is_break()) {
    skip_break();
    ++breaks;
    skip_spaces();
    const int indent = column();
    const bool marker = is_document_marker();
    skip_blanks();
    if (is_break()) continue;
    if (indent <= parent || marker) return refuse("yaml_indent", "a quoted scalar goes on deeper than what holds it");
  }
  if (breaks == 1 && !escaped) out += ' ';
  out.append(breaks - 1, '\n');
  return {};
}

Result<std::string> YamlReader::quoted(int parent) {
  const char quote = peek();
  const std::size_t start = at_;
  std::string out;
  std::size_t keep = 0;
  for (advance(); !at_end();) {
    const char byte = peek();
    if (byte == '\n') {
      WARY_RETURN_IF_ERROR(fold_quoted(parent, out, keep, false));
      keep = out.size();
    } else if (byte == quote) {
      advance();
      if (quote == '"' || peek() != '\'') return out;
      out += '\'';
      advance();
    } else if (byte == '\\' && quote == '"') {
      advance();
      if (peek() == '\n') {
        WARY_RETURN_IF_ERROR(fold_quoted(parent, out, keep, true));
      } else {
        WARY_RETURN_IF_ERROR(escape(out));
      }
      keep = out.size();
    } else {
      out += byte;
      advance();
    }
  }
  return refuse_at(start, "yaml_syntax", "the quoted scalar is not closed");
}

Result<std::uint32_t> YamlReader::escaped_code(std::size_t digits) {
  std::uint32_t code = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const int digit = hex_value(peek());
    if (digit < 0) return refuse("yaml_escape", "the escape wants more hexadecimal digits");
    code = code << 4 | static_cast<std::uint32_t>(digit);
    advance();
  }
  return code;
}

Status YamlReader::escape(std::string& out) {
  constexpr std::string_view kNames = "0abt\tnvfre \"/\\";
  constexpr std::string_view kBytes("\0\a\b\t\t\n\v\f\r\x1b \"/\\", 14);
  const std::size_t start = at_;
  const char name = peek();
  if (const std::size_t i = kNames.find(name); i != std::string_view::npos && !at_end()) {
    out += kBytes[i];
    advance();
    return {};
  }
  std::uint32_t code = 0;
  switch (name) {
    case 'N': code = 0x85; break;
    case '_': code = 0xa0; break;
    case 'L': code = 0x2028; break;
    case 'P': code = 0x2029; break;
    case 'x':
    case 'u':
    case 'U': {
      advance();
      WARY_ASSIGN_OR_RETURN(code, escaped_code(name == 'x' ? 2 : name == 'u' ? 4 : 8));
      if (code >= 0xd800 && code < 0xdc00 && peek() == '\\' && peek(1) == 'u') {  // a JSON pair
        advance(2);
        WARY_ASSIGN_OR_RETURN(const std::uint32_t low, escaped_code(4));
        code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : 0xd800;
      }
      if ((code >= 0xd800 && code < 0xe000) || code > 0x10ffff) {
        return refuse_at(start, "yaml_escape", "this is no character");
      }
      append_utf8(out, code);
      return {};
    }
    default: return refuse_at(start, "yaml_escape", "this escape is not known");
  }
  append_utf8(out, code);
  advance();
  return {};
}

Result<YamlReader::BlockHeader> YamlReader::block_header() {
  BlockHeader header;
  header.folded = peek() == '>';
  advance();
  for (int i = 0; i < 2; ++i) {
    if ((peek() == '+' || peek() == '-') && header.chomping == ' ') {
      header.chomping = peek();
      advance();
    } else if (peek() >= '1' && peek() <= '9' && header.indent == 0) {
      header.indent = peek() - '0';
      advance();
    }
  }
  if (!is_blank_at(at_)) return refuse("yaml_syntax", "a block scalar's head is | or >, a digit, + or -");
  WARY_RETURN_IF_ERROR(finish_line());
  skip_break();
  return header;
}

std::size_t YamlReader::spaces_at(std::size_t at) const {
  const std::size_t end = std::min(text_.find_first_not_of(' ', at), text_.size());
  return end - at;
}

// The indentation of the first line that is not empty; empty lines before it may not have more spaces.
Result<int> YamlReader::block_indent(int parent) {
  std::size_t at = at_, most = 0;
  while (at < text_.size()) {
    const std::size_t spaces = spaces_at(at);
    const std::size_t end = at + spaces;
    if (end < text_.size() && text_[end] != '\n') {
      const int indent = static_cast<int>(spaces);
      if (indent <= parent && text_[end] == '\t') return refuse_at(end, "yaml_tab", "a line is indented with spaces");
      if (indent <= parent) break;
      if (most > spaces) return refuse_at(at, "yaml_indent", "an empty line before has more spaces than this one");
      return indent;
    }
    most = std::max(most, spaces);
    at = end + 1;
  }
  return std::max(parent + 1, static_cast<int>(most));
}

Result<bool> YamlReader::block_line(int indent, std::string& line) {
  if (at_end()) return false;
  const std::size_t spaces = spaces_at(at_);
  const std::size_t wanted = static_cast<std::size_t>(indent);
  const bool empty = at_ + spaces >= text_.size() || text_[at_ + spaces] == '\n';
  if (spaces < wanted && !empty) {
    if (text_[at_ + spaces] == '\t') return refuse("yaml_tab", "a line is indented with spaces");
    return false;
  }
  if (indent == 0 && is_document_marker()) return false;
  at_ += std::min(spaces, wanted);
  const std::size_t start = at_;
  while (!is_break()) ++at_;
  line = text_.substr(start, at_ - start);
  skip_break();
  return true;
}

Result<std::string> YamlReader::block_scalar(int parent) {
  WARY_ASSIGN_OR_RETURN(const BlockHeader header, block_header());
  int indent = std::max(parent, 0) + header.indent;
  if (header.indent == 0) {
    WARY_ASSIGN_OR_RETURN(indent, block_indent(parent));
  }
  std::string out, line;
  std::string pending;         // line breaks not yet known to be inside the text
  bool more_indented = false;  // the line before starts with a blank, and is not folded
  bool any = false;
  while (true) {
    WARY_ASSIGN_OR_RETURN(const bool more, block_line(indent, line));
    if (!more) break;
    if (line.empty()) {
      pending += '\n';
      continue;
    }
    const bool blank = line[0] == ' ' || line[0] == '\t';
    if (header.folded && any && !blank && !more_indented) {
      // `pending` starts with the break that ends the line before: alone it is a space, otherwise it goes.
      out += pending.size() == 1 ? std::string(" ") : pending.substr(1);
    } else {
      out += pending;
    }
    out += line;
    more_indented = blank;
    any = true;
    pending = "\n";
  }
  // Clip keeps the break of the last line, keep all of them, strip none.
  if (header.chomping == '+') return out + pending;
  return header.chomping == ' ' && any ? out + "\n" : out;
}

}  // namespace wary::codec
