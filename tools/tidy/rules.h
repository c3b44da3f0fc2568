// The house rules that a machine can keep. Each takes sources and gives findings; none reads a file.
#pragma once

#include <string>
#include <vector>

#include "tidy/source.h"

namespace wary::tidy {

struct Finding {
  std::string place;    // path:line
  std::string rule;     // layer, banned, file_length, function_length, line_length, leftover, parser_fuzz, header_open
  std::string message;  // what is wrong and what to do instead
};

// Includes go to lower layers only.
void check_layers(const Source& source, std::vector<Finding>& findings);
// Calls with a replacement of ours, and dear headers outside their one folder.
void check_banned(const Source& source, std::vector<Finding>& findings);
// 1,000 lines a file, 70 a function, 120 columns, no put-off work, no pasted paths.
void check_size(const Source& source, std::vector<Finding>& findings);
// A header starts with a comment that says what it is.
void check_header(const Source& source, std::vector<Finding>& findings);
// Every parse_x and decode_x that takes bytes or text is named by a fuzz target of its folder.
void check_parsers(const std::vector<Source>& sources, std::vector<Finding>& findings);

std::vector<Finding> check_all(const std::vector<Source>& sources);

}  // namespace wary::tidy
