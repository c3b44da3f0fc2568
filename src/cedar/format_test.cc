#include <doctest/doctest.h>

#include <chrono>

#include "cedar/format.h"
#include "cedar/parser.h"
#include "cedar/printer.h"
#include "tests/support/cedar_generator.h"

using namespace wary::cedar;

namespace {

std::string format(std::string_view text, const FormatStyle& style = {}) {
  const FormattedPolicies out = format_policies(Source::make("test", text), style);
  REQUIRE_MESSAGE(out.errors.empty(), text);
  const FormattedPolicies again = format_policies(Source::make("again", out.text), style);
  CHECK(again.text == out.text);
  return out.text;
}

}  // namespace

TEST_CASE("a plain scope stands on one line, a scope with constraints on five") {
  CHECK(format("permit(principal,action,resource,);") == "permit (principal, action, resource);\n");
  CHECK(format("@id(\"x\")@b permit(principal,action == Action::\"v\",resource);") ==
        "@id(\"x\")\n@b\npermit (\n  principal,\n  action == Action::\"v\",\n  resource\n);\n");
}

TEST_CASE("conditions stand on one line where they fit") {
  CHECK(format("permit(principal,action,resource)when{context.a&&(1+2)*3==9}unless{[1,2,].isEmpty()};") ==
        "permit (principal, action, resource)\n"
        "when { context.a && (1 + 2) * 3 == 9 }\n"
        "unless { [1, 2].isEmpty() };\n");
  CHECK(format("permit(principal,action,resource)when{context.a&&context.bbbbbb == {k: \"v\"}};", {30, 4}) ==
        "permit\n(principal, action, resource)\n"
        "when\n"
        "{\n"
        "    context.a &&\n"
        "    context.bbbbbb == {\n"
        "        k: \"v\"\n"
        "    }\n"
        "};\n");
}

TEST_CASE("policies stand apart by one empty line, and comments before the end stay there") {
  CHECK(
      format("permit(principal,action,resource); // one\n\n\n// two\nforbid(principal,action,resource);\n//three  ") ==
      "permit (principal, action, resource); // one\n\n// two\nforbid (principal, action, resource);\n//three\n");
  CHECK(format("") == "\n");
  CHECK(format("// only") == "\n// only\n");
}

TEST_CASE("no comment is lost, not even of a comma that goes") {
  CHECK(format("permit(principal,action,resource, // a\n) // b\nwhen { [1 // c\n// d\n, // e\n].isEmpty() };") ==
        "permit (principal, action, resource\n"
        "// a\n"
        ") // b\n"
        "when\n"
        "{\n"
        "  [1 // c\n"
        "  // d\n"
        "  ] // e\n"
        "  .isEmpty\n"
        "    ()\n"
        "};\n");
}

TEST_CASE("strings are never touched") {
  const std::string text =
      "permit (principal, action, resource)\nwhen { \"a  // no comment\n\n\n  b\" like \"\\u{1F600}*\" };\n";
  CHECK(format(text) == text);
}

TEST_CASE("nesting around a long list costs no more than the text that comes out") {
  std::string list = "[1";
  for (int i = 0; i < 3000; ++i) list += ",1";
  const std::string deep = std::string(240, '(') + list + "]" + std::string(240, ')');
  const auto source = Source::make("deep", "permit(principal,action,resource) when {" + deep + "};");
  const auto start = std::chrono::steady_clock::now();
  CHECK(format_policies(source).errors.empty());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(4));  // 60 ms; copying made it ten seconds
}

TEST_CASE("a text with an error is refused, with the place") {
  const FormattedPolicies out = format_policies(Source::make("a.cedar", "permit(principal, action, resource)"));
  CHECK(out.text.empty());
  REQUIRE(out.errors.size() == 1);
  CHECK(out.errors[0].error.code == "cedar_syntax");
  CHECK(out.errors[0].error.where == "a.cedar:1:36");
}

TEST_CASE("random policies keep their meaning in every style") {
  wary::test::Dice dice(7);
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const wary::test::World world = wary::test::make_world(seed, {.policies = 4, .requests = 0});
    const std::string out = format(world.text, {.line_width = dice.below(140), .indent = dice.below(9)});
    const ParsedPolicies before = parse_policies(Source::make("before", world.text));
    const ParsedPolicies after = parse_policies(Source::make("after", out));
    REQUIRE(after.policies.size() == before.policies.size());
    for (std::size_t i = 0; i < after.policies.size(); ++i)
      CHECK(print(*after.policies[i]) == print(*before.policies[i]));
  }
}
