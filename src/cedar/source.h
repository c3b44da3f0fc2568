// Source: one Cedar text with a name, and places in it. Every policy and expression keeps a Span, so that an error or
// an explanation can quote the line it speaks of.
//
//   auto source = Source::make("photos.cedar", text);
//   Position at = source->position(span.begin);   // 1-based line and column (columns count code points)
//   std::string caret = source->caret(span);      // the line, and ^^^ under the span
//
// Immutable after make(): any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wary::cedar {

// Byte offsets into the text of a Source.
struct Span {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const Span&) const = default;
};

struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;
};

class Source {
 public:
  // `first_line` is the number of the text's first line, for a policy that stands inside a larger file.
  static std::shared_ptr<const Source> make(std::string_view name, std::string_view text, std::uint32_t first_line = 1);

  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }
  std::uint32_t first_line() const { return first_line_; }
  std::string_view slice(Span span) const;
  Position position(std::uint32_t offset) const;
  std::string place(std::uint32_t offset) const;           // "name:line:column"
  std::string_view line_text(std::uint32_t offset) const;  // the line that holds the offset, without its end
  std::string caret(Span span) const;  // two lines; a span over several lines is marked on its first

 private:
  std::size_t line_index(std::uint32_t offset) const;
  std::string name_;
  std::string text_;
  std::uint32_t first_line_ = 1;
  std::vector<std::uint32_t> line_starts_;
};

// An error in a Cedar text: the Error to report, and where it is, for a caret under the line.
struct SyntaxError {
  Error
      error;  // codes: cedar_syntax, cedar_depth, cedar_size, cedar_items, cedar_utf8, cedar_escape, cedar_integer, ...
  Span span;
  Position from;
  std::string line;   // the text of the line
  std::string caret;  // the line and a second one with ^^^
};

}  // namespace wary::cedar
