#include "cedar/parser.h"

#include <doctest/doctest.h>

#include <chrono>

#include "cedar/authorizer.h"
#include "cedar/printer.h"

using namespace wary;
using namespace wary::cedar;

namespace {

std::string repeat(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

std::string policy_with(const std::string& condition) {
  return "permit(principal, action, resource) when { " + condition + " };";
}

// The error code, or "" when it parses.
std::string code_of(const std::string& text) {
  const auto parsed = parse_policies(Source::make("t", text));
  return parsed.errors.empty() ? "" : parsed.errors[0].error.code;
}

}  // namespace

TEST_CASE("an error names file, line and column, what was expected and found, and marks the place") {
  const auto parsed =
      parse_policies(Source::make("photos.cedar", "// first\npermit(principal, action, resource)\nwhen { 1 = 2 };"));
  REQUIRE(parsed.errors.size() == 1);
  const SyntaxError& error = parsed.errors[0];
  CHECK(error.error.where == "photos.cedar:3:10");
  CHECK(error.error.expected_text == "==");
  CHECK(error.error.found_text == "`=`");
  CHECK(error.error.next_step == "Cedar compares with ==");
  CHECK(error.from.line == 3);
  CHECK(error.line == "when { 1 = 2 };");
  CHECK(error.caret == "when { 1 = 2 };\n         ^");
}

TEST_CASE("columns count code points, and a first line may be given") {
  const auto source = Source::make("t", "permit(principal, action, resource) when { \"\u00e9\u00e9\" = 1 };", 12);
  const auto parsed = parse_policies(source);
  REQUIRE(parsed.errors.size() == 1);
  CHECK(parsed.errors[0].error.where == "t:12:49");
}

TEST_CASE("every policy that is wrong is reported in one run, and none is used") {
  const auto parsed = parse_policies(
      Source::make("t", "permit(principal); permit(principal, action, resource); forbid(x, y, z); permit("));
  CHECK(parsed.errors.size() == 3);
  CHECK(parsed.policies.empty());
}

TEST_CASE("a policy knows the lines it stands on") {
  const auto parsed = parse_policies(Source::make(
      "t",
      "permit(principal, action, resource);\n\n@id(\"x\")\nforbid(principal, action, resource)\nwhen { true };\n"));
  REQUIRE(parsed.policies.size() == 2);
  const PolicyBody& second = *parsed.policies[1];
  CHECK(second.source->position(second.span.begin).line == 3);
  CHECK(second.source->position(second.span.end).line == 5);
  CHECK(second.source->slice(second.conditions[0].span) == "when { true }");
  CHECK(*second.annotation("id") == "x");
  CHECK(second.annotation("other") == nullptr);
}

TEST_CASE("nesting bombs end in a clean error within milliseconds") {
  struct Bomb {
    const char* open;
    const char* close;
    const char* code;
  };
  const Bomb bombs[] = {{"(", ")", "cedar_depth"},
                        {"[", "]", "cedar_depth"},
                        {"{a: ", "}", "cedar_depth"},
                        {"if ", " then 1 else 2", "cedar_depth"},
                        {"if 1 then 2 else ", "", "cedar_depth"},
                        {"!(", ")", "cedar_depth"},
                        {"-(", ")", "cedar_depth"},
                        {"ip(", ")", "cedar_depth"},
                        {"!", "", "cedar_syntax"},
                        {"-", "", "cedar_syntax"}};
  for (const Bomb& bomb : bombs) {
    CAPTURE(bomb.open);
    const std::string text = policy_with(repeat(bomb.open, 100'000) + "1" + repeat(bomb.close, 100'000));
    const auto start = std::chrono::steady_clock::now();
    CHECK(code_of(text) == bomb.code);
    CHECK(code_of(policy_with(repeat(bomb.open, 100'000))) == bomb.code);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));  // a generous bound; sanitizers are slow
  }
  CHECK(code_of(policy_with("context" + repeat(".a", 10'000))) == "cedar_depth");
  CHECK(code_of(policy_with("context" + repeat("[\"a\"]", 10'000))) == "cedar_depth");
  CHECK(code_of(policy_with("context has a" + repeat(".a", 10'000))) == "cedar_depth");
  CHECK(code_of(policy_with("[]" + repeat(".contains(1)", 10'000))) == "cedar_depth");
}

TEST_CASE("nesting is allowed up to the limit and refused one above it") {
  const std::size_t limit = limits::kPolicyDepth;
  CHECK(code_of(policy_with(repeat("(", limit - 1) + "true" + repeat(")", limit - 1))) == "");
  CHECK(code_of(policy_with(repeat("(", limit) + "true" + repeat(")", limit))) == "cedar_depth");
  CHECK(code_of(policy_with("context" + repeat(".a", limit - 1))) == "");
  CHECK(code_of(policy_with("context" + repeat(".a", limit))) == "cedar_depth");
  // The deepest tree is also evaluated and printed.
  const auto deepest = parse_expression(repeat("[", limit - 1) + "1" + repeat("]", limit - 1));
  REQUIRE(deepest.ok());
  CHECK(parse_expression(print(*deepest)).ok());
}

TEST_CASE("long chains are not deep") {
  const EntityStore store;
  const Request request{make_entity("U", "a"), make_entity("Action", "v"), make_entity("R", "r")};
  for (const std::string& text :
       {"true" + repeat(" && true", 20'000), "1" + repeat(" + 1", 20'000) + " == 20001",
        "1" + repeat(" * 1", 20'000) + " == 1", "false" + repeat(" || false", 20'000) + " || true"}) {
    const auto expression = parse_expression(text);
    REQUIRE(expression.ok());
    StoreView view(store);
    Evaluator evaluator(request, view);
    Value out;
    const Value* value = evaluator.evaluate(*expression, out);
    REQUIRE(value != nullptr);
    CHECK(*value == Value(true));
  }
}

TEST_CASE("limits of bytes and elements are kept") {
  Limits limits = kParseLimits;
  limits.items = 3;
  CHECK(parse_expression("[1, 2, 3]", limits).ok());
  CHECK(parse_expression("[1, 2, 3, 4]", limits).error().code == "cedar_items");
  CHECK(parse_expression("{a: 1, b: 2, c: 3, d: 4}", limits).error().code == "cedar_items");
  CHECK(parse_expression("ip(1, 2, 3, 4)", limits).error().code == "cedar_items");
  const auto list = parse_policies(
      Source::make(
          "t", "permit(principal, action in [Action::\"a\", Action::\"b\", Action::\"c\", Action::\"d\"], resource);"),
      limits);
  REQUIRE(!list.errors.empty());
  CHECK(list.errors[0].error.code == "cedar_items");
  limits.bytes = 9;
  CHECK(parse_expression("[1, 2, 3]", limits).ok());
  CHECK(parse_expression("[1, 2, 3] ", limits).error().code == "cedar_size");
  CHECK(code_of(repeat("@a", 1) + "(\"\")permit(principal, action, resource);") == "");
  std::string annotations;
  for (int i = 0; i < 65; ++i) annotations += "@a" + std::to_string(i) + " ";
  CHECK(code_of(annotations + "permit(principal, action, resource);") == "cedar_items");
}

TEST_CASE("text that is not UTF-8, and a carriage return in a string, are refused") {
  CHECK(code_of("permit(principal, action, resource); // \xff") == "cedar_utf8");
  CHECK(code_of("// \xed\xa0\x80") == "cedar_utf8");
  CHECK(code_of("// \xc0\x80") == "cedar_utf8");
  CHECK(code_of(policy_with("\"a\rb\" == \"\"")) == "cedar_escape");
  CHECK(code_of(policy_with("\"a\nb\" == \"\"")) == "");
  CHECK(code_of("\xef\xbb\xbfpermit(principal, action, resource);") == "cedar_syntax");  // a byte order mark
  CHECK(code_of("permit\u00a0(principal,\u2003action, resource);//\r// x") == "");
}

TEST_CASE("an entity id parses alone and nothing may follow it") {
  CHECK(parse_entity_uid("Wary::User::\"alice\"")->to_string() == "Wary::User::\"alice\"");
  CHECK(parse_entity_uid("\"alice\"").error().code == "cedar_syntax");
  CHECK(parse_entity_uid("U::\"a\" x").error().code == "cedar_syntax");
  CHECK(parse_entity_uid("U::\"a").error().code == "cedar_syntax");
  CHECK(parse_entity_uid("if::\"a\"").error().code == "cedar_reserved");
}

TEST_CASE("templates are linked with exactly the slots they have") {
  const auto parsed = parse_policies(Source::make("t",
                                                  "permit(principal == ?principal, action, resource in ?resource); "
                                                  "forbid(principal, action, resource) when { false };"));
  REQUIRE(parsed.errors.empty());
  PolicySet set = PolicySet::from(parsed.policies);
  CHECK(set.templates().size() == 1);
  CHECK(set.policies().size() == 1);
  const EntityPtr alice = make_entity("U", "alice");
  const EntityPtr folder = make_entity("F", "f");
  CHECK(set.link("policy0", "alice-f", {alice, folder}).ok());
  CHECK(set.link("policy0", "alice-f", {alice, folder}).error().code == "cedar_policy_id");
  CHECK(set.link("policy0", "x", {alice, nullptr}).error().code == "cedar_slots");
  CHECK(set.link("policy9", "x", {alice, folder}).error().code == "cedar_no_template");
  CHECK(set.add("policy1", parsed.policies[1]).error().code == "cedar_policy_id");
  const EntityStore store;
  StoreView view(store);
  const EntityPtr action = make_entity("Action", "v");
  const Response allowed = is_authorized(set, {alice, action, folder}, view);
  CHECK(allowed.is_allowed);
  CHECK(allowed.reasons == std::vector<std::string>{"alice-f"});
  CHECK(!is_authorized(set, {make_entity("U", "bob"), action, folder}, view).is_allowed);
  // A template that is evaluated by itself is an error, not a match.
  Request request{alice, action, folder};
  Evaluator evaluator(request, view);
  CHECK(evaluator.evaluate(set.templates()[0]) == Outcome::kError);
  CHECK(evaluator.error().kind == EvalErrorKind::kUnlinkedSlot);
}
