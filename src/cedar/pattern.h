// Patterns of `like`: code points and wildcards against a whole text. Private to cedar/.
//
// Two ways to the same answer: a small one without allocation for short input, and one in linear time for the rest, so
// that a hostile text costs no more than its length. A test compares them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "cedar/lexer.h"

namespace wary::cedar {

using Pattern = std::vector<PatternElement>;
using PatternView = std::span<const PatternElement>;

// Of valid UTF-8.
bool matches_pattern(std::string_view text, PatternView pattern);

bool matches_greedily(std::string_view text, PatternView pattern);  // time: product of the lengths
bool matches_in_linear_time(std::string_view text, PatternView pattern);

}  // namespace wary::cedar
