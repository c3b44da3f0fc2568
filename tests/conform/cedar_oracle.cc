// conform_cedar_oracle FIRST N: random worlds from seed FIRST on, as JSON lines with what wary makes of them, until N
// requests are written. tests/oracle/compare.mjs asks another implementation the same and compares.
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <set>

#include "base/check.h"
#include "cedar/authorizer.h"
#include "cedar/format.h"
#include "cedar/json.h"
#include "cedar/parser.h"
#include "cedar/policy_json.h"
#include "cedar/printer.h"
#include "schema/validator.h"
#include "tests/support/cedar_generator.h"
#include "tests/support/cedar_generator_schema.h"

namespace wary::test {
namespace {

using codec::Json;

Json ids(const std::vector<std::string>& list) {
  Json out = Json::array();
  for (const std::string& id : list) out.push(Json(id));
  return out;
}

Json policy_texts(const std::vector<cedar::Policy>& policies) {
  Json out = Json::object();
  for (const cedar::Policy& policy : policies) {
    if (policy.template_id.empty()) out.set(policy.id, Json(policy.body->source->slice(policy.body->span)));
  }
  return out;
}

Json links_json(const World& world) {
  Json out = Json::array();
  for (const WorldLink& link : world.links) {
    Json values = Json::object();
    if (link.values.principal) values.set("?principal", cedar::to_json(*link.values.principal));
    if (link.values.resource) values.set("?resource", cedar::to_json(*link.values.resource));
    out.push(Json::object({{"templateId", Json(link.template_id)}, {"newId", Json(link.id)}, {"values", values}}));
  }
  return out;
}

Json request_json(const World& world, const cedar::Request& request) {
  cedar::StoreView view(world.store);
  const cedar::Response response = cedar::is_authorized(world.policies, request, view);
  std::vector<std::string> errors;
  for (const cedar::PolicyFailure& failure : response.errors) errors.push_back(failure.policy_id);
  return Json::object({{"principal", cedar::to_json(*request.principal)},
                       {"action", cedar::to_json(*request.action)},
                       {"resource", cedar::to_json(*request.resource)},
                       {"context", cedar::to_json(request.context)},
                       {"decision", Json(response.is_allowed ? "allow" : "deny")},
                       {"reason", ids(response.reasons)},
                       {"errors", ids(errors)}});
}

// Texts that may be no policies, and whether we take them.
Json mutants_json(const World& world, Dice& dice) {
  Json out = Json::array();
  for (const cedar::Policy& policy : world.policies.policies()) {
    if (!policy.template_id.empty()) continue;
    const std::string text = mutate(policy.body->source->slice(policy.body->span), dice);
    const bool is_accepted = cedar::parse_policies(cedar::Source::make("mutant", text)).errors.empty();
    out.push(Json::object({{"text", Json(text)}, {"accepted", Json(is_accepted)}}));
  }
  return out;
}

void collect(Json& json, std::vector<Json*>& out) {
  out.push_back(&json);
  if (json.is_array()) {
    for (Json& item : json.items()) collect(item, out);
  } else if (json.is_object()) {
    for (auto& [name, member] : json.members()) collect(member, out);
  }
}

// One place of a policy's JSON replaced, left out, renamed or added to.
Json mutated(Json json, Dice& dice) {
  static const std::vector<std::string> kNames = {
      "left", "right",     "arg",     "Value",   "Var",         "==",           "&&",   "in",     "has",
      "attr", "like",      "pattern", "is",      "entity_type", "if-then-else", "Set",  "Record", ".",
      "ip",   "isInRange", "neg",     "isEmpty", "entity",      "entities",     "slot", "op",     "kind",
      "body", "__entity",  "__extn",  "x",       "annotations"};
  static const std::vector<Json> kValues = {Json(),
                                            Json(true),
                                            Json(1),
                                            Json("x"),
                                            Json("principal"),
                                            Json("?principal"),
                                            Json::array(),
                                            Json::object(),
                                            Json("All"),
                                            Json("Wildcard"),
                                            Json("A::B"),
                                            Json::array({Json("a"), Json("b")}),
                                            Json::object({{"Var", Json("context")}}),
                                            Json::object({{"Value", Json(1)}}),
                                            Json::object({{"type", Json("A")}, {"id", Json("b")}}),
                                            Json::object({{"Literal", Json("xy")}}),
                                            Json::object({{"Value", Json::array({Json(1), Json("x")})}})};
  std::vector<Json*> places;
  collect(json, places);
  Json& at = *dice.pick(places);
  if (!at.is_object() || at.members().empty() || dice.chance(30)) {
    at = dice.pick(kValues);
  } else if (dice.chance(40)) {
    at.members()[dice.below(at.members().size())].first = dice.pick(kNames);
  } else if (dice.chance(50)) {
    at.members().erase(at.members().begin() + static_cast<std::ptrdiff_t>(dice.below(at.members().size())));
  } else {
    at.set(dice.pick(kNames), dice.pick(kValues));
  }
  return json;
}

Json json_mutants_json(const Json& policies, Dice& dice) {
  Json out = Json::array();
  for (const auto& [id, policy] : policies.find("staticPolicies")->members()) {
    Json json = mutated(policy, dice);
    if (!codec::parse_json(json.to_string(), cedar::kPolicyJsonLimits).ok()) continue;  // a name stands twice now
    const auto read = cedar::policy_from_json(json, "mutant");
    out.push(Json::object({{"json", std::move(json)}, {"text", read.ok() ? Json(cedar::print(**read)) : Json()}}));
  }
  return out;
}

Json format_json(std::string_view text, cedar::FormatStyle style) {
  const auto formatted = cedar::format_policies(cedar::Source::make("world", text), style);
  return Json::object({{"text", Json(text)},
                       {"formatted", Json(formatted.text)},
                       {"lineWidth", Json(static_cast<std::int64_t>(style.line_width))},
                       {"indentWidth", Json(static_cast<std::int64_t>(style.indent))}});
}

// Without comments in several styles, and with them.
Json formats_json(const World& world, Dice& dice) {
  std::string plain;
  const auto add = [&](const cedar::Policy& policy) { plain += cedar::print(*policy.body) + "\n"; };
  for (const cedar::Policy& policy : world.policies.policies()) add(policy);
  Json out = Json::array();
  out.push(format_json(plain, {}));
  out.push(format_json(plain, {.line_width = 20 + dice.below(120), .indent = dice.below(6)}));
  out.push(format_json(world.text, {}));
  return out;
}

// A schema in both forms, and which policies do not fit it.
Json validation_json(const World& world, Dice& dice) {
  const std::string text = random_schema(dice);
  const auto parsed = schema::parse_schema(cedar::Source::make("world", text));
  const auto resolved = schema::Schema::from_text("world", text);
  Json out = Json::object({{"schema", Json(text)}, {"accepted", Json(resolved.schema.has_value())}});
  if (!resolved.schema) return out;
  Json policies = policy_texts(world.policies.policies());
  cedar::PolicySet set;
  const auto add = [&](const std::string& id, const std::string& policy) {
    const auto body = cedar::parse_policies(cedar::Source::make(id, policy));
    WARY_CHECK(body.errors.empty() && set.add(id, body.policies.front()).ok());
  };
  for (const auto& [id, policy] : policies.members()) add(id, policy.as_string());
  for (int i = 0; i < 12; ++i) {
    const std::string id = "tame" + std::to_string(i);
    const std::string policy = random_tame_policy(dice);
    add(id, policy);
    policies.set(id, Json(policy));
  }
  std::set<std::string> invalid;
  std::set<std::string> impossible;
  schema::ValidationOptions options;
  options.inapplicable_is_warning = true;  // as the reference has it
  for (const schema::Finding& finding : schema::validate(*resolved.schema, set, options).findings) {
    if (!finding.is_warning) invalid.insert(finding.policy_id);
    if (finding.kind == schema::FindingKind::kImpossiblePolicy) impossible.insert(finding.policy_id);
  }
  out.set("json", schema::to_json(*parsed.declarations)).set("policies", std::move(policies));
  out.set("invalid", ids({invalid.begin(), invalid.end()}))
      .set("impossible", ids({impossible.begin(), impossible.end()}));
  return out;
}

Json world_json(const World& world) {
  Json entities = Json::array();
  for (const cedar::EntityHandle& entity : world.entities) entities.push(cedar::to_json(*entity));
  Json requests = Json::array();
  for (const cedar::Request& request : world.requests) requests.push(request_json(world, request));
  const auto json = cedar::to_json(world.policies);
  Dice dice(world.seed ^ 0x5EED);
  return Json::object({{"seed", Json(static_cast<std::int64_t>(world.seed))},
                       {"text", Json(world.text)},
                       {"policies", Json::object({{"staticPolicies", policy_texts(world.policies.policies())},
                                                  {"templates", policy_texts(world.policies.templates())},
                                                  {"templateLinks", links_json(world)}})},
                       {"json", json.ok() ? *json : Json()},
                       {"entities", std::move(entities)},
                       {"requests", std::move(requests)},
                       {"mutants", mutants_json(world, dice)},
                       {"jsonMutants", json.ok() ? json_mutants_json(*json, dice) : Json::array()},
                       {"formats", formats_json(world, dice)},
                       {"validation", validation_json(world, dice)}});
}

int run(std::uint64_t first, std::size_t count) {
  // Worlds differ in size, so that both wide and deep ones come up. The other side reads all entities for each request,
  // so that most requests are made where there are but the actions.
  const WorldShape shapes[] = {{.policies = 6, .links = 3, .entities = 2, .requests = 16, .depth = 6},
                               {.policies = 16, .links = 4, .entities = 1, .requests = 60, .depth = 3},
                               {.policies = 10, .links = 4, .entities = 3, .requests = 16, .depth = 4},
                               {.policies = 12, .links = 6, .entities = 1, .requests = 60, .depth = 5},
                               {.policies = 24, .links = 8, .entities = 0, .requests = 1500, .depth = 4},
                               {.policies = 40, .links = 12, .entities = 0, .requests = 1500, .depth = 3}};
  std::size_t written = 0;
  for (std::uint64_t seed = first; written < count; ++seed) {
    const World world = make_world(seed, shapes[seed % std::size(shapes)]);
    std::printf("%s\n", world_json(world).to_string().c_str());
    written += world.requests.size();
  }
  return 0;
}

}  // namespace
}  // namespace wary::test

int main(int argc, char** argv) {
  if (argc == 3) return wary::test::run(std::strtoull(argv[1], nullptr, 10), std::strtoull(argv[2], nullptr, 10));
  std::fprintf(stderr, "usage: conform_cedar_oracle FIRST_SEED REQUESTS\n");
  return 2;
}
