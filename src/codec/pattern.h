// Pattern: the regular expressions a JSON Schema needs, matched in time linear in text times pattern, whatever they
// are.
//
//   WARY_ASSIGN_OR_RETURN(codec::Pattern pattern, codec::Pattern::compile("^[a-z][a-z0-9-]*$"));
//   if (pattern.matches(name)) ...
//
// Literals, '.', classes [a-z], [^x], \d \w \s \D \W \S, escapes of punctuation, ^ $, groups ( ) and (?: ), |, * + ?
// {n} {n,} {n,m}. A match anywhere counts, as in JSON Schema. No back-references and no look-around, by design.
// Works on code points; text that is no UTF-8 does not match. Immutable after compile; any thread.
// Limits: 1,024 bytes of pattern, 2,000 states, 32 nested groups. Error: pattern_syntax with the byte offset.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace wary::codec {

class Pattern {
 public:
  static Result<Pattern> compile(std::string_view text);
  bool matches(std::string_view text) const;

 private:
  friend class PatternCompiler;
  enum class Op : std::uint8_t { kSet, kSplit, kJump, kStart, kEnd, kMatch };
  struct Set {
    bool negated = false;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
    bool has(std::uint32_t code) const;
  };
  struct State {
    Op op = Op::kMatch;
    std::uint32_t first = 0, second = 0;  // next states; of kSet: next, and index of the set
  };
  struct Threads;
  void follow(Threads& threads, std::uint32_t state, bool at_start, bool at_end) const;
  std::vector<State> states_;
  std::vector<Set> sets_;
  std::uint32_t start_ = 0;
};

}  // namespace wary::codec
