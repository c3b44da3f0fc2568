// parse_snapshot and parse_delta: what is accepted serializes to itself, and builds or is refused cleanly.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/decide.h"
#include "policy/serialize.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto content = policy::parse_snapshot(text); content.ok()) {
    const std::string canonical = policy::serialize_snapshot(*content);
    const auto again = policy::parse_snapshot(canonical);
    if (!again.ok() || policy::serialize_snapshot(*again) != canonical) std::abort();
    const auto snapshot = policy::build_snapshot(*content, {}, 1);
    if (snapshot.ok()) {
      const contract::Request request{content->tenant, {"U", "a"}, {"Action", "v"}, {"R", "r"}, {}};
      (void)policy::decide(**snapshot, request, {1}, {});
    }
  }
  if (const auto delta = policy::parse_delta(text); delta.ok()) {
    const std::string canonical = policy::serialize_delta(*delta);
    const auto again = policy::parse_delta(canonical);
    if (!again.ok() || policy::serialize_delta(*again) != canonical) std::abort();
    policy::SnapshotContent base;
    base.tenant = delta->tenant;
    base.revision = delta->from;
    const auto snapshot = policy::build_snapshot(base, {}, 1);
    if (snapshot.ok()) (void)policy::apply_delta(**snapshot, *delta, {}).ok();
  }
  return 0;
}
