// Policies as JSON: what is accepted, as a policy, a set or an expression, is written as JSON that reads back as the
// same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cedar/parser.h"
#include "cedar/policy_json.h"
#include "cedar/printer.h"

namespace {

using namespace wary;
using namespace wary::cedar;

void check_policy(const PolicyBody& policy) {
  const auto json = to_json(policy);
  if (!json.ok()) return;  // a chain too long for the nested form
  const auto parsed = codec::parse_json(json->to_string(), kPolicyJsonLimits);
  if (!parsed.ok() || !(*parsed == *json)) std::abort();
  const auto again = policy_from_json(*parsed, "again");
  if (!again.ok() || print(**again) != print(policy)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& policy : parse_policies(Source::make("fuzz", text)).policies) check_policy(*policy);
  const auto json = codec::parse_json(text, kPolicyJsonLimits);
  if (!json.ok()) return 0;
  if (const auto policy = policy_from_json(*json, "fuzz"); policy.ok()) check_policy(**policy);
  if (const auto expression = expression_from_json(*json); expression.ok()) {
    const auto written = to_json(*expression);
    if (written.ok()) {
      const auto again = expression_from_json(*written);
      if (!again.ok() || print(*again) != print(*expression)) std::abort();
    }
  }
  if (const auto set = policy_set_from_json(*json); set.ok()) {
    const auto written = to_json(*set);
    if (written.ok()) {
      const auto again = policy_set_from_json(*written);
      if (!again.ok() || again->policies().size() != set->policies().size()) std::abort();
      const auto twice = to_json(*again);
      if (!twice.ok() || !(*twice == *written)) std::abort();
    }
  }
  return 0;
}
