// check_policies and what is decided by what it accepts: no input crashes, and an accepted text compiles.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/explain.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  policy::SnapshotContent content;
  content.policies = {{"t", std::string(reinterpret_cast<const char*>(data), size), "t.cedar", 1}};
  const bool accepted = policy::check_policies(content.policies[0]).errors.empty();
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
