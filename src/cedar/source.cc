#include "cedar/source.h"

#include <algorithm>

namespace wary::cedar {

namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::uint32_t code_points(std::string_view text) {
  return static_cast<std::uint32_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

}  // namespace

std::shared_ptr<const Source> Source::make(std::string_view name, std::string_view text, std::uint32_t first_line) {
  auto source = std::make_shared<Source>();
  source->name_ = name;
  source->text_ = text;
  source->first_line_ = first_line;
  source->line_starts_.push_back(0);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') source->line_starts_.push_back(static_cast<std::uint32_t>(i + 1));
  }
  return source;
}

std::string_view Source::slice(Span span) const {
  const std::size_t begin = std::min<std::size_t>(span.begin, text_.size());
  const std::size_t end = std::clamp<std::size_t>(span.end, begin, text_.size());
  return std::string_view(text_).substr(begin, end - begin);
}

std::size_t Source::line_index(std::uint32_t offset) const {
  const auto after = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  return static_cast<std::size_t>(after - line_starts_.begin()) - 1;
}

Position Source::position(std::uint32_t offset) const {
  const std::size_t line = line_index(offset);
  Position position;
  position.line = first_line_ + static_cast<std::uint32_t>(line);
  position.column = 1 + code_points(slice({line_starts_[line], offset}));
  return position;
}

std::string Source::place(std::uint32_t offset) const {
  const Position at = position(offset);
  return name_ + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

std::string_view Source::line_text(std::uint32_t offset) const {
  const std::size_t line = line_index(offset);
  const std::uint32_t begin = line_starts_[line];
  const std::size_t next = line + 1 < line_starts_.size() ? line_starts_[line + 1] - 1 : text_.size();
  std::string_view text = std::string_view(text_).substr(begin, next - begin);
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  return text;
}

std::string Source::caret(Span span) const {
  // A line of a hostile text may be as long as the text: what is shown is bounded.
  constexpr std::size_t kShown = 160;
  const std::string_view line = line_text(span.begin);
  const std::size_t line_begin = static_cast<std::size_t>(line.data() - text_.data());
  const std::size_t offset = std::min<std::size_t>(span.begin - line_begin, line.size());
  std::size_t from = offset > kShown / 2 ? offset - kShown / 2 : 0;
  while (from > 0 && is_continuation(line[from])) --from;
  std::size_t to = std::min(line.size(), from + kShown);
  while (to < line.size() && is_continuation(line[to])) ++to;
  std::string out(line.substr(from, to - from));
  out += '\n';
  for (std::size_t i = from; i < offset; ++i) {
    if (!is_continuation(line[i])) out += line[i] == '\t' ? '\t' : ' ';
  }
  const std::size_t marked_end = std::clamp<std::size_t>(span.end - line_begin, offset, to);
  const std::uint32_t marks = code_points(line.substr(offset, marked_end - offset));
  out.append(std::max<std::uint32_t>(marks, 1), '^');
  return out;
}

}  // namespace wary::cedar
