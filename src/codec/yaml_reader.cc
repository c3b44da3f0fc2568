#include "codec/yaml_reader.h"

#include "codec/yaml.h"

namespace wary::codec {

void YamlReader::skip_break() {
  if (at_end()) return;
  ++at_;
  ++line_;
  line_start_ = at_;
}

bool YamlReader::is_marker(std::string_view marker) const {
  return at_ == line_start_ && text_.substr(at_, 3) == marker && is_blank_at(at_ + 3);
}

bool YamlReader::is_comment() const {
  return peek() == '#' && (at_ == line_start_ || text_[at_ - 1] == ' ' || text_[at_ - 1] == '\t');
}

bool YamlReader::rest_is_blank() const {
  std::size_t at = at_;
  while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t')) ++at;
  return at >= text_.size() || text_[at] == '\n' || (text_[at] == '#' && (at == line_start_ || is_blank_at(at - 1)));
}

Status YamlReader::finish_line() {
  skip_blanks();
  if (is_comment()) {
    while (!is_break()) ++at_;
  }
  if (!is_break()) return refuse("yaml_syntax", "something follows the value on its line");
  return {};
}

Status YamlReader::next_line() {
  if (at_ != line_start_) skip_break();
  while (!at_end()) {
    skip_spaces();
    if (rest_is_blank()) {
      while (!is_break()) ++at_;
      skip_break();
      continue;
    }
    if (peek() == '\t') return refuse("yaml_tab", "a line is indented with spaces");
    indent_ = is_document_marker() ? -1 : column();
    return {};
  }
  indent_ = -1;
  return {};
}

Result<bool> YamlReader::has_key() const {
  std::size_t at = at_;
  const auto at_line_end = [&] { return at >= text_.size() || text_[at] == '\n'; };
  const auto colon_follows = [&] {
    while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t')) ++at;
    return at < text_.size() && text_[at] == ':' && is_blank_at(at + 1);
  };
  const char first = peek();
  if (first == '"' || first == '\'') {
    for (++at; !at_line_end() && text_[at] != first; ++at) {
      if (first == '"' && text_[at] == '\\') ++at;
      if (at_line_end()) return false;
    }
    // '' inside a single-quoted key opens the next part of it.
    while (first == '\'' && at + 1 < text_.size() && text_[at] == '\'' && text_[at + 1] == '\'') {
      for (at += 2; !at_line_end() && text_[at] != '\''; ++at) {
      }
    }
    if (at_line_end()) return false;
    ++at;
    return colon_follows();
  }
  if (first == '[' || first == '{') {
    std::size_t open = 0;
    for (; !at_line_end(); ++at) {
      if (text_[at] == '[' || text_[at] == '{') ++open;
      if ((text_[at] == ']' || text_[at] == '}') && --open == 0) {
        ++at;
        if (colon_follows()) return refuse("yaml_complex_key", "a key is a scalar");
        return false;
      }
    }
    return false;
  }
  if (first == '|' || first == '>') return false;
  if (starts_entry(':')) return refuse("yaml_complex_key", "a key is not empty");
  for (; !at_line_end(); ++at) {
    if (text_[at] == ':' && is_blank_at(at + 1)) return true;
    if (text_[at] == '#' && at > at_ && is_blank_at(at - 1)) return false;
  }
  return false;
}

Error YamlReader::refuse(std::string_view code, std::string_view message) const {
  return refuse_at(at_, code, message);
}

Error YamlReader::refuse_at(std::size_t at, std::string_view code, std::string_view message) const {
  Error error = fail(ErrorKind::kInvalid, code, message);
  error.where = place(file_, position_of(text_, at));
  const std::size_t end = std::min(text_.find('\n', std::min(at, text_.size())), text_.size());
  if (at < end) append_printable(error.found_text, text_.substr(at, std::min<std::size_t>(end - at, 40)));
  return error;
}

}  // namespace wary::codec
