#include <doctest/doctest.h>

#include <sstream>

#include "cedar/format.h"
#include "cedar/parser.h"
#include "cedar/policy_json.h"
#include "cedar/printer.h"
#include "tests/support/testdata.h"

using namespace wary;
using namespace wary::cedar;
using codec::Json;

namespace {

constexpr std::string_view kTruth = R"({"Value":true})";

std::shared_ptr<const PolicyBody> parse_one(std::string_view text) {
  const auto parsed = parse_policies(Source::make("test", text));
  REQUIRE_MESSAGE(parsed.errors.empty(), text);
  REQUIRE(parsed.policies.size() == 1);
  return parsed.policies.front();
}

std::string policy_text(std::string_view condition) {
  return R"({"effect":"permit","principal":{"op":"All"},"action":{"op":"All"},"resource":{"op":"All"},)"
         R"("conditions":[{"kind":"when","body":)" +
         std::string(condition) + "}]}";
}

Json json_of(std::string_view text) {
  auto json = codec::parse_json(text, kPolicyJsonLimits);
  REQUIRE_MESSAGE(json.ok(), text);
  return std::move(*json);
}

// The code and place of the refusal, or what was read.
std::string read(std::string_view json) {
  const auto policy = policy_from_json(json_of(json), "test");
  return policy.ok() ? print(**policy) : policy.error().code + " at " + policy.error().where;
}
std::string read_set(std::string_view json) {
  const auto set = policy_set_from_json(json_of(json));
  return set.ok() ? std::to_string(set->policies().size()) + " policies"
                  : set.error().code + " at " + set.error().where;
}

}  // namespace

TEST_CASE("every row of the JSON table is written as it says, and reads back as the same expression") {
  const auto text = test::read_file(std::string(WARY_SOURCE_DIR) + "/tests/cedar/json.txt");
  REQUIRE(text.has_value());
  std::istringstream lines(*text);
  std::string line;
  std::size_t rows = 0;
  while (std::getline(lines, line)) {
    const std::size_t arrow = line.find(" => ");
    if (arrow == std::string::npos || line.starts_with("# ")) continue;
    CAPTURE(line);
    const auto expression = parse_expression(line.substr(0, arrow));
    REQUIRE(expression.ok());
    const auto json = to_json(*expression);
    REQUIRE(json.ok());
    CHECK(json->to_string() == line.substr(arrow + 4));
    const auto again = expression_from_json(*json);
    REQUIRE(again.ok());
    CHECK(print(*again) == print(*expression));
    ++rows;
  }
  CHECK(rows > 60);
}

TEST_CASE("scopes, annotations and conditions keep their form") {
  for (const std::string_view text : {
           "permit (principal, action, resource);",
           "@a @b(\"x\") @if(\"\") forbid (principal in G::\"a\", action in [Action::\"a\"], resource == R::\"x\") "
           "unless { "
           "false } when { true };",
           "permit (principal is User, action in N::Action::\"x\", resource is A::R in G::\"x\");",
           "permit (principal is User in G::\"\", action in [], resource);",
           "permit (principal == ?principal, action == Action::\"q\", resource in ?resource);",
           "permit (principal is U in ?principal, action, resource is U in ?resource);",
       }) {
    const auto policy = parse_one(text);
    CHECK(print(*policy) == text);
    const auto json = to_json(*policy);
    REQUIRE(json.ok());
    const auto again = policy_from_json(*json, "again");
    REQUIRE(again.ok());
    CHECK(print(**again) == text);
    CHECK((*again)->source->slice((*again)->span) == text);
  }
}

TEST_CASE("data may stand for expressions, and long literals for characters") {
  CHECK(read(policy_text(R"({"Value":[1,{"a b":{"__extn":{"fn":"ip","arg":"bad"}}}]})")) ==
        "permit (principal, action, resource) when { [1, {\"a b\": ip(\"bad\")}] };");
  CHECK(read(policy_text(R"({"Value":{"__extn":{"fn":"offset","args":[{"__extn":{"fn":"datetime","arg":"2020-01-01"}},)"
                         R"({"__extn":{"fn":"duration","arg":"1d"}}]}}})")) ==
        "permit (principal, action, resource) when { datetime(\"2020-01-01\").offset(duration(\"1d\")) };");
  CHECK(read(policy_text(R"({"like":{"left":{"Var":"context"},"pattern":[{"Literal":"a*\u00e9"},"Wildcard"]}})")) ==
        "permit (principal, action, resource) when { context like \"a\\*é*\" };");
  CHECK(read(policy_text(R"({"Value":-9223372036854775808})")) ==
        "permit (principal, action, resource) when { -9223372036854775808 };");
}

TEST_CASE("what is no expression is refused at its place") {
  const auto body = [](std::string_view condition) { return read(policy_text(condition)); };
  const std::string at = " at /conditions/0/body";
  CHECK(body(R"({"Value":null})") == "cedar_json_type" + at + "/Value");
  CHECK(body(R"({"Value":1.5})") == "cedar_json_type" + at + "/Value");
  CHECK(body(R"({"Value":[1,null]})") == "cedar_json_type" + at + "/Value/1");
  CHECK(body(R"({"Value":{"__expr":"1"}})") == "cedar_json_escape" + at + "/Value");
  CHECK(body(R"({"Value":{"__entity":{"type":"__cedar","id":"b"}}})") == "cedar_type_name" + at + "/Value/__entity");
  CHECK(body("{}") == "cedar_json_operator" + at);
  CHECK(body("7") == "cedar_json_type" + at);
  CHECK(body(R"({"foo":[]})") == "cedar_json_operator" + at + "/foo");
  CHECK(body(R"({"isIpv4":[]})") == "cedar_json_operator" + at + "/isIpv4");
  CHECK(body(R"({"ip":{"Value":1}})") == "cedar_json_type" + at + "/ip");
  CHECK(body(R"({"Slot":"?principal"})") == "cedar_slots" + at + "/Slot");
  CHECK(body(R"({"Var":"x"})") == "cedar_json_operator" + at + "/Var");
  CHECK(body(R"({"==":{"left":{"Value":1}}})") == "cedar_json_member" + at + "/==");
  CHECK(body(R"({"==":{"left":{"Value":1},"right":{"Value":2},"x":1}})") == "cedar_json_member" + at + "/==");
  CHECK(body(R"({"==":{"left":{"Value":1},"right":{"Value":2}},"x":1})") == "cedar_json_operator" + at);
  CHECK(body(R"({"!":{"arg":{"a/~b":[]}}})") == "cedar_json_operator" + at + "/!/arg/a~1~0b");
  CHECK(body(R"({"has":{"left":{"Var":"context"},"attr":[]}})") == "cedar_json_type" + at + "/has/attr");
  CHECK(body(R"({"has":{"left":{"Var":"context"},"attr":["a","b c"]}})") == "cedar_reserved" + at + "/has/attr");
  CHECK(body(R"({"like":{"left":{"Var":"context"},"pattern":["x"]}})") == "cedar_json_type" + at + "/like/pattern/0");
  CHECK(body(R"({"is":{"left":{"Var":"context"},"entity_type":"if"}})") == "cedar_type_name" + at + "/is/entity_type");
  CHECK(body(R"({"&&":{"left":{"&&":{"left":{"Var":"x"},"right":{"Value":1}}},"right":{"Value":1}}})") ==
        "cedar_json_operator" + at + "/&&/left/&&/left/Var");
  CHECK(body(R"({"+":{"left":{"-":{"left":{"Value":1},"right":{"Var":"x"}}},"right":{"Value":1}}})") ==
        "cedar_json_operator" + at + "/+/left/-/right/Var");
  CHECK(body(R"({"+":{"left":{"-":{"left":{"Value":1}}},"right":{"Value":1}}})") ==
        "cedar_json_member" + at + "/+/left/-");
}

TEST_CASE("what is no policy is refused at its place") {
  const auto with = [](std::string_view member, std::string_view value) {
    Json json = json_of(policy_text(kTruth));
    json.set(member, json_of(value));
    return read(json.to_string());
  };
  CHECK(with("x", "1").starts_with("cedar_json_member at"));
  CHECK(with("effect", "\"Permit\"") == "cedar_json_member at /effect");
  CHECK(with("conditions", "1").starts_with("cedar_json_member at"));
  CHECK(with("conditions", R"([{"kind":"advice","body":{"Value":true}}])") == "cedar_json_member at /conditions/0");
  CHECK(with("annotations", "null") == "cedar_json_type at /annotations");
  CHECK(with("annotations", R"({"a b":"x"})") == "cedar_json_member at /annotations");
  CHECK(with("annotations", R"({"a":1})") == "cedar_json_type at /annotations/a");
  CHECK(with("principal", R"({"op":"like"})") == "cedar_json_operator at /principal");
  CHECK(with("principal", R"({"op":"All","x":1})") == "cedar_json_member at /principal");
  CHECK(with("principal", R"({"op":"==","slot":"?resource"})") == "cedar_slots at /principal/slot");
  CHECK(with("principal", R"({"op":"==","slot":"?principal","entity":{"type":"A","id":"b"}})") ==
        "cedar_json_member at /principal");
  CHECK(with("principal", R"({"op":"in","entities":[]})") == "cedar_json_member at /principal");
  CHECK(with("resource", R"({"op":"is","entity_type":"A","in":{"entity":{"type":"A"}}})") ==
        "cedar_json_type at /resource/in/entity");
  CHECK(with("action", R"({"op":"is","entity_type":"A"})") == "cedar_json_operator at /action");
  CHECK(with("action", R"({"op":"==","slot":"?action"})") == "cedar_json_member at /action");
  CHECK(with("action", R"({"op":"==","entity":{"type":"A","id":"b"}})").starts_with("cedar_action_type at"));
}

TEST_CASE("depth is bounded both ways") {
  std::string deep(kTruth);
  for (int i = 0; i < 300; ++i) deep = R"({"!":{"arg":)" + deep + "}}";
  CHECK(read(policy_text(deep)).starts_with("cedar_depth at /conditions/0/body/!/arg"));
  std::string chain(kTruth);
  for (int i = 0; i < 450; ++i) chain = R"({"&&":{"left":)" + chain + R"(,"right":{"Value":true}}})";
  CHECK(read(policy_text(chain)).starts_with("permit"));
  std::string text = "true";
  for (int i = 0; i < 1100; ++i) text += " && true";
  const auto expression = parse_expression(text);
  REQUIRE(expression.ok());
  const auto json = to_json(*expression);
  REQUIRE(!json.ok());
  CHECK(json.error().code == "cedar_json_depth");
}

TEST_CASE("short texts that nest deep are as good as any: parsed, formatted, and taken through JSON") {
  const auto repeat = [](std::string_view text, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += text;
    return out;
  };
  const std::size_t deep = 150;  // where other parsers run out of stack
  for (const std::string& expression :
       {repeat("(", deep) + "true" + repeat(")", deep), repeat("[", deep) + repeat("]", deep),
        repeat("{a: ", deep) + "1" + repeat("}", deep), "context" + repeat(".a", deep),
        repeat("if true then 1 else ", deep) + "2", repeat("!(", deep) + "true" + repeat(")", deep)}) {
    CAPTURE(expression);
    const auto policy = parse_one("permit (principal, action, resource) when { " + expression + " };");
    const auto json = to_json(*policy);
    REQUIRE(json.ok());
    const auto again = policy_from_json(json_of(json->to_string()), "again");
    REQUIRE(again.ok());
    CHECK(print(**again) == print(*policy));
    const FormattedPolicies formatted = format_policies(policy->source);
    CHECK(print(*parse_one(formatted.text)) == print(*policy));
  }
}

TEST_CASE("a policy set and its links survive JSON") {
  const auto parsed = parse_policies(Source::make(
      "set", "permit(principal,action,resource); permit(principal == ?principal, action, resource in ?resource);"));
  PolicySet set = PolicySet::from(parsed.policies);
  REQUIRE(set.link("policy1", "l", {make_entity("U", "a"), make_entity("F", "x y")}).ok());
  const auto json = to_json(set);
  REQUIRE(json.ok());
  const auto again = policy_set_from_json(json_of(json->to_string()));
  REQUIRE(again.ok());
  CHECK(again->policies().size() == 2);
  CHECK(again->templates().size() == 1);
  REQUIRE(again->find("l") != nullptr);
  CHECK(again->find("l")->template_id == "policy1");
  CHECK(again->find("l")->slots.resource->to_string() == "F::\"x y\"");
  CHECK(*to_json(*again) == *json);
}

TEST_CASE("a policy set that does not fit together is refused at its place") {
  const std::string permit = policy_text(kTruth);
  Json slotted = json_of(permit);
  slotted.set("principal", json_of(R"({"op":"==","slot":"?principal"})"));
  const std::string templates = R"("templates":{"t":)" + slotted.to_string() + "}";
  const auto links = [&](std::string_view list) {
    return read_set("{" + templates + ",\"templateLinks\":[" + std::string(list) + "]}");
  };
  CHECK(read_set("{}") == "0 policies");
  CHECK(read_set("[]") == "cedar_json_type at ");
  CHECK(read_set(R"({"policies":{}})") == "cedar_json_member at ");
  CHECK(read_set(R"({"staticPolicies":{"a":)" + slotted.to_string() + "}}") == "cedar_slots at /staticPolicies/a");
  CHECK(read_set(R"({"templates":{"a":)" + permit + "}}") == "cedar_slots at /templates/a");
  CHECK(read_set("{" + templates + R"(,"staticPolicies":{"t":)" + permit + "}}") == "cedar_policy_id at /templates/t");
  CHECK(links(R"({"templateId":"t","newId":"l","values":{"?principal":{"type":"A","id":"b"}}})") == "1 policies");
  CHECK(links(R"({"templateId":"x","newId":"l","values":{}})") == "cedar_no_template at /templateLinks/0");
  CHECK(links(R"({"templateId":"t","newId":"l","values":{}})") == "cedar_slots at /templateLinks/0");
  CHECK(links(R"({"templateId":"t","newId":"t","values":{"?principal":{"type":"A","id":"b"}}})") ==
        "cedar_policy_id at /templateLinks/0");
  CHECK(links(R"({"templateId":"t","newId":"l","values":{"?action":{"type":"A","id":"b"}}})") ==
        "cedar_slots at /templateLinks/0/values");
  CHECK(links(R"({"templateId":"t","newId":"l","values":{"?principal":{"type":"A"}}})") ==
        "cedar_json_type at /templateLinks/0/values/?principal");
  CHECK(links(R"({"templateId":"t","newId":"l"})") == "cedar_json_member at /templateLinks/0");
}
