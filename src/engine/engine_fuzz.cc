// The engine against the tree walker: a policy text of the input, over a small world; the same decision, reasons and
// errors.
#include <cstdint>
#include <cstdlib>

#include "cedar/parser.h"
#include "tests/support/engine_check.h"

namespace {

using namespace wary;
using cedar::make_entity;
using cedar::Value;

const cedar::EntityStore& world() {
  static const cedar::EntityStore store = [] {
    auto user = std::make_shared<cedar::Entity>();
    user->uid = make_entity("U", "a");
    user->attributes = {{"n", Value(7)}, {"s", Value("x")}, {"u", Value::entity(make_entity("U", "b"))}};
    user->tags = {{"k", Value(1)}};
    user->parents = {make_entity("G", "g")};
    auto group = std::make_shared<cedar::Entity>();
    group->uid = make_entity("G", "g");
    group->parents = {make_entity("G", "h")};
    auto made = cedar::EntityStore::make({user, group});
    return made.ok() ? *made : cedar::EntityStore();
  }();
  return store;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = cedar::parse_policies(cedar::Source::make("fuzz", text));
  const auto policies = cedar::PolicySet::from(parsed.policies);
  if (policies.policies().empty()) return 0;
  const cedar::Request request{
      make_entity("U", "a"), make_entity("Action", "v"), make_entity("R", "r"),
      Value::record({{"a", Value::record({{"b", Value(1)}})}, {"set", Value::set({Value(1), Value("x")})}})};
  cedar::StoreView view(world());
  test::EngineCheck check(policies, world());
  if (!check.difference(request, cedar::is_authorized(policies, request, view)).empty()) std::abort();
  return 0;
}
