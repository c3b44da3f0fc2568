// The formatter: Cedar policies laid out in the one published style, comments kept.
//
//   FormattedPolicies out = format_policies(Source::make("a.cedar", text));
//   if (!out.errors.empty()) print(out.errors[0].error.to_string(), out.errors[0].caret);
//   write(out.text);
//
// Formatting formatted text changes nothing, and no text changes its meaning: what comes out parses to the same
// policies and holds the same comments. A comment stays with its token: behind it, or on lines of its own before it.
// Commas before a closing bracket go, their comments move to the bracket. Pure; any thread. Limits: those of the
// parser.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cedar/source.h"

namespace wary::cedar {

struct FormatStyle {
  std::size_t line_width = 80;
  std::size_t indent = 2;
};

struct FormattedPolicies {
  std::string text;                 // ends with a line end
  std::vector<SyntaxError> errors;  // of the parser; no text then
};

FormattedPolicies format_policies(const std::shared_ptr<const Source>& source, const FormatStyle& style = {});

}  // namespace wary::cedar
