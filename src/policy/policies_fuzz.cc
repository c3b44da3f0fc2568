// check_policies, validation under the platform's schema, and what is decided by what check_policies accepts: no input
// crashes, and an accepted text compiles.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/explain.h"
#include "policy/validate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  policy::SnapshotContent content;
  content.policies = {{"t", std::string(reinterpret_cast<const char*>(data), size), "t.cedar", 1}};
  const policy::PolicyCheck check = policy::check_policies(content.policies[0]);
  const bool accepted = check.errors.empty();
  (void)policy::validate_policies(check);
  const auto snapshot = policy::build_snapshot(content, {}, 1);
  if (snapshot.ok() != accepted) std::abort();
  if (!snapshot.ok()) return 0;
  policy::DecisionRecord record;
  record.request = {"local", {"U", "a"}, {"Action", "v"}, {"R", "r"}, codec::Json::object()};
  record.options.require_known = false;
  const auto why = policy::explain(**snapshot, record);
  if (!why.ok()) std::abort();
  (void)policy::to_text(*why);
  (void)policy::to_json(*why).to_string();
  return 0;
}
