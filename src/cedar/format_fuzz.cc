// Formatting: what parses keeps its meaning and its comments, and formatted text stays as it is.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cedar/format.h"
#include "cedar/parser.h"
#include "cedar/printer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::cedar;
  if (size < 2) return 0;
  const FormatStyle style{.line_width = data[0], .indent = data[1] % std::size_t{10}};
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto source = Source::make("fuzz", text);
  const FormattedPolicies once = format_policies(source, style);
  const ParsedPolicies parsed = parse_policies(source);
  if (parsed.errors.empty() != once.errors.empty()) std::abort();
  if (!once.errors.empty()) return 0;
  const auto formatted = Source::make("formatted", once.text);
  if (format_policies(formatted, style).text != once.text) std::abort();
  const ParsedPolicies again = parse_policies(formatted);
  if (again.policies.size() != parsed.policies.size()) std::abort();
  for (std::size_t i = 0; i < parsed.policies.size(); ++i) {
    if (print(*parsed.policies[i]) != print(*again.policies[i])) std::abort();
  }
  return 0;
}
