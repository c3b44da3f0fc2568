// Scripts of text, for warnings about letters that look alike (UTS #39, Unicode 14). Private to schema/.
//
// Texts are UTF-8. Nothing here refuses anything: it says what a reader should look at twice.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace wary::schema {

// Characters that reorder the text after them.
bool has_bidi_control(std::string_view text);
// Whether one script has all its letters; Han with its kana, hangul or bopomofo counts as one.
bool is_single_script(std::string_view text);
// The first character that is neither printable ASCII nor allowed in identifiers, as "U+200B".
std::optional<std::string> unusual_character(std::string_view text);

// scripts_table.cc
struct ScriptRun {
  char32_t first;
  char32_t last;
  std::uint16_t set;
};
struct CodePointRange {
  char32_t first;
  char32_t last;
};
std::span<const ScriptRun> script_runs();                     // sorted; what is in none belongs to every script
std::span<const std::uint8_t> script_set(std::uint16_t set);  // sorted
std::span<const CodePointRange> identifier_ranges();          // sorted

}  // namespace wary::schema
