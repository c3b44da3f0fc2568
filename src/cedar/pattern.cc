#include "cedar/pattern.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>

namespace wary::cedar {

namespace {

using Text = std::span<const char32_t>;
using Segment = std::span<const PatternElement>;  // without wildcards

bool equals_at(Text text, Segment segment, std::size_t at) {
  return std::equal(segment.begin(), segment.end(), text.begin() + static_cast<std::ptrdiff_t>(at),
                    [](const PatternElement& element, char32_t c) { return element.code_point == c; });
}

// Where the segment first stands in the text from `from` on, by Knuth, Morris and Pratt; its end, or nothing.
std::optional<std::size_t> find_end(Text text, Segment segment, std::size_t from) {
  std::vector<std::size_t> border(segment.size(), 0);
  for (std::size_t i = 1, length = 0; i < segment.size(); ++i) {
    while (length > 0 && segment[i].code_point != segment[length].code_point) length = border[length - 1];
    if (segment[i].code_point == segment[length].code_point) ++length;
    border[i] = length;
  }
  std::size_t matched = 0;
  for (std::size_t i = from; i < text.size(); ++i) {
    while (matched > 0 && segment[matched].code_point != text[i]) matched = border[matched - 1];
    if (segment[matched].code_point == text[i]) ++matched;
    if (matched == segment.size()) return i + 1;
  }
  return std::nullopt;
}

}  // namespace

bool matches_pattern(std::string_view text, PatternView pattern) {
  constexpr std::size_t kSmallProduct = 16 * 1024;
  const bool is_small =
      text.size() < kSmallProduct && pattern.size() < kSmallProduct && text.size() * pattern.size() <= kSmallProduct;
  return is_small ? matches_greedily(text, pattern) : matches_in_linear_time(text, pattern);
}

// One point to return to is enough: the last wildcard can take one code point more, and no earlier one needs to.
bool matches_greedily(std::string_view text, PatternView pattern) {
  std::size_t at = 0;
  std::size_t element = 0;
  std::optional<std::size_t> star;
  std::size_t star_text = 0;
  while (at < text.size()) {
    std::size_t after = at;
    const char32_t code_point = next_code_point(text, after);
    if (element < pattern.size() && pattern[element].is_wildcard) {
      star = element++;
      star_text = at;
    } else if (element < pattern.size() && pattern[element].code_point == code_point) {
      ++element;
      at = after;
    } else if (star) {
      element = *star + 1;
      next_code_point(text, star_text);
      at = star_text;
    } else {
      return false;
    }
  }
  while (element < pattern.size() && pattern[element].is_wildcard) ++element;
  return element == pattern.size();
}

// The first segment stands at the start, the last at the end, those between at their first place behind the one before.
bool matches_in_linear_time(std::string_view bytes, PatternView pattern) {
  std::u32string text;
  for (std::size_t at = 0; at < bytes.size();) text += next_code_point(bytes, at);
  std::vector<Segment> segments;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= pattern.size(); ++i) {
    if (i < pattern.size() && !pattern[i].is_wildcard) continue;
    segments.push_back(Segment(pattern).subspan(begin, i - begin));
    begin = i + 1;
  }
  const Segment first = segments.front();
  const Segment last = segments.back();
  if (segments.size() == 1) return text.size() == first.size() && equals_at(text, first, 0);
  if (text.size() < first.size() + last.size()) return false;
  const std::size_t limit = text.size() - last.size();
  if (!equals_at(text, first, 0) || !equals_at(text, last, limit)) return false;
  std::size_t at = first.size();
  for (std::size_t i = 1; i + 1 < segments.size(); ++i) {
    if (segments[i].empty()) continue;
    const auto end = find_end(Text(text).first(limit), segments[i], at);
    if (!end) return false;
    at = *end;
  }
  return true;
}

}  // namespace wary::cedar
