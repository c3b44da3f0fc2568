// The cursor over YAML text and the scalars, below the structure that yaml.cc reads.
#pragma once

#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/result.h"
#include "codec/json.h"
#include "codec/text.h"

namespace wary::codec {

class YamlReader {
 public:
  // `text` has line feeds only and is valid UTF-8 without control characters: see parse_yaml.
  YamlReader(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  bool at_end() const { return at_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool is_break() const { return at_end() || text_[at_] == '\n'; }
  bool is_blank_at(std::size_t at) const {
    return at >= text_.size() || text_[at] == ' ' || text_[at] == '\t' || text_[at] == '\n';
  }
  int column() const { return static_cast<int>(at_ - line_start_); }
  TextPosition position() const { return {line_, at_ - line_start_ + 1}; }
  void advance(std::size_t bytes = 1) { at_ += bytes; }
  void skip_spaces() {
    while (peek() == ' ') ++at_;
  }
  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t') ++at_;
  }
  void skip_break();                              // past the line feed, if there is one
  bool is_marker(std::string_view marker) const;  // "---" or "..." at the start of a line
  bool is_document_marker() const { return is_marker("---") || is_marker("..."); }
  bool starts_entry(char indicator) const { return peek() == indicator && is_blank_at(at_ + 1); }
  bool is_comment() const;
  bool rest_is_blank() const;  // nothing but blanks or a comment on this line

  // The end of a node: only blanks and a comment may follow on the line. Stops at the line feed.
  Status finish_line();
  // To the first byte of the next line that has content; indent() is its column, or -1 at the end of the document.
  Status next_line();
  int indent() const { return indent_; }
  // Whether a one-line scalar followed by a colon starts here; an error where a flow collection or nothing is the key.
  Result<bool> has_key() const;

  Error refuse(std::string_view code, std::string_view message) const;
  Error refuse_at(std::size_t at, std::string_view code, std::string_view message) const;

  // `parent` is the column of the enclosing collection (-1 at the top): continuation lines are deeper.
  Result<Json> plain(int parent, bool in_flow);
  Status check_plain_start(bool in_flow) const;                   // whether a plain scalar may start here
  Result<std::string> plain_line(bool in_flow, bool& commented);  // as far as it goes on this line
  Result<std::string> quoted(int parent);
  Result<std::string> block_scalar(int parent);

 private:
  struct Mark {
    std::size_t at, line, line_start;
  };
  Mark mark() const { return {at_, line_, line_start_}; }
  void reset(Mark mark) { at_ = mark.at, line_ = mark.line, line_start_ = mark.line_start; }
  Result<bool> continue_plain(int parent, std::string& text, bool& commented);
  Status fold_quoted(int parent, std::string& out, std::size_t keep, bool escaped);
  Status escape(std::string& out);
  Result<std::uint32_t> escaped_code(std::size_t digits);
  struct BlockHeader {
    bool folded = false;
    char chomping = ' ';
    int indent = 0;
  };
  Result<BlockHeader> block_header();
  Result<int> block_indent(int parent);
  Result<bool> block_line(int indent, std::string& line);  // false: the block is over
  std::size_t spaces_at(std::size_t at) const;

  std::string_view text_;
  std::string_view file_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t line_start_ = 0;
  int indent_ = -1;
};

}  // namespace wary::codec
