#include "cedar/pattern.h"

#include <doctest/doctest.h>

#include <string>

using namespace wary::cedar;

namespace {

Pattern pattern_of(std::string_view text) {
  Pattern out;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    out.push_back({c == '*', c == '*' ? 0 : c});
  }
  return out;
}

// Every text of up to `length` letters of `letters`.
void each_text(std::string_view letters, std::size_t length, const auto& visit) {
  std::vector<std::string> texts = {""};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    visit(texts[i]);
    if (texts[i].size() == length) continue;
    for (const char letter : letters) texts.push_back(texts[i] + letter);
  }
}

}  // namespace

TEST_CASE("both ways to match a pattern agree on every small pattern and text") {
  std::size_t matched = 0;
  each_text("ab*", 5, [&](const std::string& pattern) {
    const Pattern parsed = pattern_of(pattern);
    each_text("ab", 6, [&](const std::string& text) {
      const bool greedy = matches_greedily(text, parsed);
      matched += greedy ? 1 : 0;
      if (greedy != matches_in_linear_time(text, parsed)) {
        CAPTURE(pattern);
        CAPTURE(text);
        CHECK(greedy == matches_in_linear_time(text, parsed));
      }
    });
  });
  CHECK(matched > 1000);
}

TEST_CASE("patterns go by code points, not by bytes") {
  for (const auto match : {matches_greedily, matches_in_linear_time}) {
    CHECK(match("\u00e9\U0001F600x", pattern_of("\u00e9*x")));
    CHECK(match("\u00e9", pattern_of("\u00e9")));
    CHECK(!match("\u00e9", pattern_of("\u00e8")));
    CHECK(match("a\U0001F600b\U0001F600c", pattern_of("*\U0001F600*\U0001F600*")));
  }
}

TEST_CASE("a hostile text and pattern cost their length, not their product") {
  const std::string text(1'000'000, 'a');
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "*aa";
  CHECK(matches_pattern(text, pattern_of(many)));
  CHECK(!matches_pattern(text, pattern_of("*" + std::string(30'000, 'a') + "b*")));
  CHECK(!matches_pattern(text, pattern_of("*" + std::string(30'000, 'a') + "b" + std::string(30'000, 'a') + "*")));
}
