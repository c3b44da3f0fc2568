#include "tidy/source.h"

namespace wary::tidy {

namespace {

// Blanks one literal or comment that starts at `at`; gives the position behind it, or `at` when none starts there.
std::size_t skip_raw_string(std::string_view text, std::size_t at) {
  if (text.substr(at, 2) != "R\"") return at;
  const std::size_t open = text.find('(', at);
  if (open == std::string_view::npos || open > at + 18) return at;
  const std::string end = ")" + std::string(text.substr(at + 2, open - at - 2)) + "\"";
  const std::size_t close = text.find(end, open);
  return close == std::string_view::npos ? text.size() : close + end.size();
}

std::size_t skip_quoted(std::string_view text, std::size_t at) {
  const char quote = text[at];
  if (quote != '"' && quote != '\'') return at;
  // 1'000'000: a digit separator is no literal.
  const bool separator = quote == '\'' && at > 0 && isalnum(static_cast<unsigned char>(text[at - 1])) != 0 &&
                         at + 1 < text.size() && isalnum(static_cast<unsigned char>(text[at + 1])) != 0;
  if (separator) return at + 1;
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == quote)
      return i + 1;
    else if (text[i] == '\n')
      return i;
  }
  return text.size();
}

std::size_t skip_comment(std::string_view text, std::size_t at) {
  const std::string_view two = text.substr(at, 2);
  if (two == "//") {
    const std::size_t end = text.find('\n', at);
    return end == std::string_view::npos ? text.size() : end;
  }
  if (two == "/*") {
    const std::size_t end = text.find("*/", at + 2);
    return end == std::string_view::npos ? text.size() : end + 2;
  }
  return at;
}

}  // namespace

Source make_source(std::string path, std::string text) {
  Source source{std::move(path), std::move(text), {}};
  source.code = source.text;
  const std::string_view view = source.text;
  const auto line_of_include = [&](std::size_t at) {
    const std::size_t start = view.rfind('\n', at) + 1;
    return view.substr(start, 8) == "#include";
  };
  for (std::size_t at = 0; at < view.size();) {
    std::size_t end = skip_comment(view, at);
    if (end == at && !line_of_include(at)) end = skip_raw_string(view, at);
    if (end == at && !line_of_include(at)) end = skip_quoted(view, at);
    if (end == at) {
      ++at;
      continue;
    }
    for (std::size_t i = at; i < end; ++i) {
      if (source.code[i] != '\n') source.code[i] = ' ';
    }
    at = end;
  }
  return source;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::string_view folder_of(std::string_view path) {
  constexpr std::string_view kRoot = "src/";
  if (!path.starts_with(kRoot)) return {};
  path.remove_prefix(kRoot.size());
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

}  // namespace wary::tidy
