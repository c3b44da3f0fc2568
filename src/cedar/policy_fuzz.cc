// parse_policies, parse_expression, parse_entity_uid: what parses prints to the same tree, and a policy decides
// against a small world without end or crash.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cedar/authorizer.h"
#include "cedar/parser.h"
#include "cedar/printer.h"

namespace {

using namespace wary::cedar;

const EntityStore& world() {
  static const EntityStore store = [] {
    auto user = std::make_shared<Entity>();
    user->uid = make_entity("U", "a");
    user->attributes = {{"n", Value(7)}, {"s", Value("x")}};
    user->tags = {{"k", Value(1)}};
    user->parents = {make_entity("G", "g")};
    auto made = EntityStore::make({user});
    return made.ok() ? *made : EntityStore();
  }();
  return store;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto uid = parse_entity_uid(text); uid.ok()) {
    const auto again = parse_entity_uid(uid->to_string());
    if (!again.ok() || *again != *uid) std::abort();
  }
  if (const auto expression = parse_expression(text); expression.ok()) {
    const std::string printed = print(*expression);
    const auto again = parse_expression(printed);
    if (!again.ok() || print(*again) != printed) std::abort();
  }
  const auto parsed = parse_policies(Source::make("fuzz", text));
  Request request{make_entity("U", "a"), make_entity("Action", "v"), make_entity("R", "r"),
                  Value::record({{"a", Value::record({{"b", Value(1)}})}})};
  StoreView view(world());
  is_authorized(PolicySet::from(parsed.policies), request, view);
  for (const auto& policy : parsed.policies) {
    const std::string printed = print(*policy);
    const auto again = parse_policies(Source::make("again", printed));
    if (again.policies.size() != 1 || print(*again.policies[0]) != printed) std::abort();
  }
  return 0;
}
