// The slow, simple JSON scanner: says whether a text is what parse_json accepts and, if not, what is wrong first and
// where. parse_json asks it only when simdjson or a limit refused; the fuzz target holds the two to the same verdict.
#pragma once

#include <string_view>

#include "base/limits.h"
#include "base/result.h"

namespace wary::codec {

Status scan_json(std::string_view text, const Limits& limits);

}  // namespace wary::codec
