// validate: any policy against one schema, levels included. A policy that passes does not fail on a request that fits,
// except by overflow and by what is behind an entity that is not there.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cedar/authorizer.h"
#include "cedar/parser.h"
#include "schema/conformance.h"
#include "schema/validator.h"

namespace {

using namespace wary;

const schema::Schema& world_schema() {
  static const schema::SchemaResult made = schema::Schema::from_text("world", R"(
    entity U in [G] { n: Long, s: String, o?: U, r: { a: Long, b?: String }, l: Set<Long>, ip: ipaddr } tags String;
    entity G in [G] { lead?: U };
    entity C enum ["x", "y"];
    action v, w in [all] appliesTo { principal: [U, G], resource: [U, G, C], context: { k?: Long, u: U, s: Set<U> } };
    action all;)");
  return *made.schema;
}

const cedar::EntityStore& world() {
  static const cedar::EntityStore store = [] {
    const auto json = codec::parse_json(R"([
      {"uid":{"type":"U","id":"a"},"attrs":{"n":7,"s":"x","o":{"type":"U","id":"b"},"r":{"a":1},"l":[1,2],
                                             "ip":"10.0.0.1"},
       "parents":[{"type":"G","id":"g"}],"tags":{"k":"v"}},
      {"uid":{"type":"U","id":"b"},"attrs":{"n":8,"s":"y","r":{"a":1,"b":"c"},"l":[],"ip":"::1"},"parents":[]},
      {"uid":{"type":"G","id":"g"},"attrs":{"lead":{"type":"U","id":"a"}},"parents":[]}])");
    auto entities = schema::entities_from_json(world_schema(), *json);
    if (!entities.ok()) std::abort();
    return *cedar::EntityStore::make(std::move(*entities));
  }();
  return store;
}

void check_sound(const cedar::Policy& policy) {
  for (const char* action : {"v", "w"}) {
    for (const auto& principal :
         {cedar::make_entity("U", "a"), cedar::make_entity("U", "b"), cedar::make_entity("G", "g")}) {
      for (const auto& resource :
           {cedar::make_entity("U", "b"), cedar::make_entity("G", "g"), cedar::make_entity("C", "x")}) {
        cedar::Request request{principal, cedar::make_entity("Action", action), resource,
                               cedar::Value::record({{"u", cedar::Value::entity(cedar::make_entity("U", "a"))},
                                                     {"s", cedar::Value::set({})}})};
        cedar::StoreView view(world());
        cedar::Evaluator evaluator(request, view);
        if (evaluator.evaluate(policy) != cedar::Outcome::kError) continue;
        const auto kind = evaluator.error().kind;
        if (kind == cedar::EvalErrorKind::kIntegerOverflow || kind == cedar::EvalErrorKind::kEntityDoesNotExist ||
            kind == cedar::EvalErrorKind::kFailedExtensionFunctionExecution) {
          continue;
        }
        std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = cedar::parse_policies(cedar::Source::make("fuzz", text));
  const auto policies = cedar::PolicySet::from(parsed.policies);
  schema::ValidationOptions options;
  options.level = 2;
  (void)schema::validate(world_schema(), policies, options).is_valid();
  for (const cedar::Policy& policy : policies.policies()) {
    std::vector<schema::Finding> findings;
    schema::validate_policy(world_schema(), policy.id, *policy.body, {}, findings);
    if (schema::Validation{findings}.is_valid()) check_sound(policy);
  }
  return 0;
}
