// A source file as tidy sees it: its lines, and the same text with comments and literals blanked out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wary::tidy {

struct Source {
  std::string path;  // relative to the repository, e.g. src/codec/json.cc
  std::string text;
  std::string code;  // same length and line breaks; comments and the insides of literals are spaces
};

Source make_source(std::string path, std::string text);
std::vector<std::string_view> lines_of(std::string_view text);
// The capability a file belongs to: "codec" of src/codec/json.cc; empty outside src/.
std::string_view folder_of(std::string_view path);

}  // namespace wary::tidy
