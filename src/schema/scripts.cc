#include "schema/scripts.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "cedar/lexer.h"

namespace wary::schema {

namespace {

constexpr std::array<char32_t, 9> kBidiControls = {0x202A, 0x202B, 0x202C, 0x202D, 0x202E,
                                                   0x2066, 0x2067, 0x2068, 0x2069};

template <typename Range>
const Range* range_of(std::span<const Range> ranges, char32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](char32_t key, const Range& range) { return key < range.first; });
  if (after == ranges.begin()) return nullptr;
  const Range& range = *(after - 1);
  return c <= range.last ? &range : nullptr;
}

}  // namespace

bool has_bidi_control(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = cedar::next_code_point(text, at);
    if (std::find(kBidiControls.begin(), kBidiControls.end(), c) != kBidiControls.end()) return true;
  }
  return false;
}

bool is_single_script(std::string_view text) {
  std::vector<std::uint8_t> common;
  bool is_any = true;
  std::uint16_t last_set = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = cedar::next_code_point(text, at);
    const ScriptRun* run = range_of(script_runs(), c);
    if (run == nullptr || (!is_any && run->set == last_set)) continue;
    const auto scripts = script_set(run->set);
    last_set = run->set;
    if (is_any) {
      common.assign(scripts.begin(), scripts.end());
      is_any = false;
      continue;
    }
    std::vector<std::uint8_t> both;
    std::set_intersection(common.begin(), common.end(), scripts.begin(), scripts.end(), std::back_inserter(both));
    if (both.empty()) return false;
    common = std::move(both);
  }
  return true;
}

std::optional<std::string> unusual_character(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = cedar::next_code_point(text, at);
    if (c >= 0x20 && c < 0x7F) continue;
    if (range_of(identifier_ranges(), c) != nullptr) continue;
    char shown[16];
    std::snprintf(shown, sizeof shown, "U+%04X", static_cast<unsigned>(c));
    return std::string(shown);
  }
  return std::nullopt;
}

}  // namespace wary::schema
