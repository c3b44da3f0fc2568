#include "schema/validator.h"

#include <doctest/doctest.h>

#include <chrono>

#include "cedar/parser.h"

using namespace wary;
using namespace wary::schema;

namespace {

const Schema& validated_schema() {
  static const SchemaResult made = Schema::from_text("validated_schema", R"(
    entity Team in [Org] { lead?: User } tags Long;
    entity Org;
    entity Color enum ["red", "green"];
    entity User in [Team] { name: String, age: Long, boss?: User, team: Team, addr: ipaddr,
                            rec: { a: Long, b?: { c: String } }, likes: Set<String>, color: Color } tags String;
    entity Doc in [Folder] { owner: User, title?: String };
    entity Folder in [Folder];
    action read, write in [rw] appliesTo { principal: [User, Team], resource: [Doc, Folder], context: { mfa?: Bool } };
    action rw in [all];
    action all;
    namespace N { action go in [Action::"all"] appliesTo { principal: User, resource: Doc }; })");
  REQUIRE(made.schema);
  return *made.schema;
}

std::vector<Finding> findings(const std::string& text, const ValidationOptions& options = {}) {
  const auto parsed = cedar::parse_policies(cedar::Source::make("p.cedar", text));
  if (!parsed.errors.empty()) FAIL(parsed.errors[0].error.to_string());
  return validate(validated_schema(), cedar::PolicySet::from(parsed.policies), options).findings;
}

// The kinds found, in order, each once: "" when there are none.
std::string kinds(const std::string& text, const ValidationOptions& options = {}) {
  std::string out;
  std::string last;
  for (const Finding& finding : findings(text, options)) {
    const std::string kind(to_string(finding.kind));
    if (kind != last) out += (out.empty() ? "" : " ") + kind;
    last = kind;
  }
  return out;
}

// Of a condition where principal is a User, action read and resource a Doc.
std::string of(const std::string& condition, const ValidationOptions& options = {}) {
  return kinds("permit(principal is User, action == Action::\"read\", resource is Doc) when { " + condition + " };",
               options);
}

}  // namespace

TEST_CASE("a finding names the policy, the place, and what may be meant") {
  const auto found = findings("permit(principal is User, action, resource)\nwhen { principal.nmae == \"x\" };");
  REQUIRE(found.size() == 1);
  CHECK(found[0].kind == FindingKind::kUnsafeAttributeAccess);
  CHECK(found[0].policy_id == "policy0");
  CHECK(found[0].error.code == "validation_unsafe_attribute_access");
  CHECK(found[0].error.where == "p.cedar:2:8");
  CHECK(found[0].error.next_step == "did you mean `name`?");
  CHECK(found[0].caret == "when { principal.nmae == \"x\" };\n       ^^^^^^^^^^^^^^");
  CHECK(!found[0].is_warning);
}

TEST_CASE("names that the schema does not know") {
  CHECK(of("principal in Teem::\"x\"") == "UnrecognizedEntityType");
  CHECK(findings("permit(principal is Usr, action, resource);")[0].error.next_step == "did you mean `User`?");
  CHECK(kinds("permit(principal, action == Action::\"raed\", resource);") ==
        "UnrecognizedActionId InvalidActionApplication ImpossiblePolicy");
  CHECK(of("principal.color == Color::\"blue\"") == "InvalidEnumEntity");
  CHECK(of("principal.color == Color::\"red\"").empty());
  CHECK(of("false && principal in Teem::\"x\"") == "UnrecognizedEntityType ImpossiblePolicy");
}

TEST_CASE("a scope that no action applies to") {
  const std::string text = "permit(principal is Doc, action, resource);";
  CHECK(kinds(text) == "InvalidActionApplication ImpossiblePolicy");
  ValidationOptions compatible;
  compatible.inapplicable_is_warning = true;
  for (const Finding& finding : findings(text, compatible)) CHECK(finding.is_warning);
  CHECK(kinds("permit(principal in Org::\"o\", action in Action::\"all\", resource in Folder::\"f\");").empty());
  CHECK(kinds("permit(principal, action in [], resource);") == "InvalidActionApplication EmptySetForbidden");
  CHECK(kinds("permit(principal, action in [Action::\"read\", N::Action::\"go\"], resource);") == "IncompatibleTypes");
}

TEST_CASE("operators want their types") {
  CHECK(of("principal.name && true") == "UnexpectedType");
  CHECK(of("principal.age < principal.name") == "UnexpectedType");
  CHECK(of("principal.age + principal.name == 1") == "UnexpectedType");
  CHECK(of("principal.name.contains(1)") == "UnexpectedType");
  CHECK(of("principal.likes.contains(1)") == "IncompatibleTypes");
  CHECK(of("principal.name == 1") == "IncompatibleTypes");
  CHECK(of("[1, \"a\"].isEmpty()") == "IncompatibleTypes");
  CHECK(of("[] == principal.likes") == "EmptySetForbidden");
  CHECK(of("(if principal.age > 1 then 1 else \"a\") == 1") == "IncompatibleTypes");
  CHECK(of("{a: 1} == {b: 1}") == "IncompatibleTypes");
  CHECK(of("{a: true} == {a: principal has boss}").empty());
  CHECK(of("principal.name in principal") == "UnexpectedType");
  CHECK(of("principal.age like \"*\"") == "UnexpectedType");
  CHECK(of("principal.addr.isInRange(ip(\"10.0.0.0/8\"))").empty());
  CHECK(of("ip(\"10.0.0\").isIpv4()") == "FunctionArgumentValidation");
  CHECK(of("ip(principal.name).isIpv4()") == "NonLitExtConstructor");
  CHECK(of("ip(\"::1\", \"::1\").isIpv4()") == "WrongNumberArguments");
  CHECK(of("principal.addr.lessThan(decimal(\"1.0\"))") == "UnexpectedType");
}

TEST_CASE("an attribute that may be missing is read behind a test for it") {
  CHECK(of("principal.boss.age > 1") == "UnsafeOptionalAttributeAccess");
  CHECK(of("principal has boss && principal.boss.age > 1").empty());
  CHECK(of("principal.boss.age > 1 && principal has boss") == "UnsafeOptionalAttributeAccess");
  CHECK(of("principal has boss || principal.boss.age > 1") == "UnsafeOptionalAttributeAccess");
  CHECK(of("!(principal has boss) || principal.boss.age > 1") == "UnsafeOptionalAttributeAccess");
  CHECK(of("if principal has boss then principal.boss.age > 1 else false").empty());
  CHECK(of("(principal has boss && true) && principal[\"boss\"].age > 1").empty());
  CHECK(of("(principal has boss || principal has boss) && principal.boss.age > 1").empty());
  CHECK(of("(principal has boss || resource has title) && principal.boss.age > 1") == "UnsafeOptionalAttributeAccess");
  CHECK(of("principal has rec.b.c && principal.rec.b.c == \"x\"").empty());
  CHECK(of("principal has boss.boss && principal.boss.boss.age > 1").empty());
  CHECK(of("resource.owner has boss && principal.boss.age > 1") == "UnsafeOptionalAttributeAccess");
  CHECK(
      kinds(
          "permit(principal, action, resource is Doc) when { resource has title } unless { resource.title == \"x\" };")
          .empty());
  CHECK(kinds("permit(principal, action, resource is Doc) unless { resource has title } when { resource.title == \"x\" "
              "};") == "UnsafeOptionalAttributeAccess");
}

TEST_CASE("a tag is read behind a test for it") {
  CHECK(of("principal.getTag(\"k\") == \"v\"") == "UnsafeTagAccess");
  CHECK(of("principal.hasTag(\"k\") && principal.getTag(\"k\") == \"v\"").empty());
  CHECK(of("principal.hasTag(\"k\") && principal.getTag(\"l\") == \"v\"") == "UnsafeTagAccess");
  CHECK(of("principal.hasTag(principal.name) && principal.getTag(principal.name) == \"v\"").empty());
  CHECK(of("principal.team.hasTag(\"k\") && principal.team.getTag(\"k\") > 3").empty());
  CHECK(of("resource.hasTag(\"k\") && resource.getTag(\"k\") == \"v\"") == "ImpossiblePolicy");
  CHECK(of("if resource.hasTag(\"k\") then resource.getTag(\"k\") == \"v\" else true").empty());
}

TEST_CASE("what is known to be false is not looked at, and a policy of it is impossible") {
  CHECK(of("false && principal.nothing") == "ImpossiblePolicy");
  CHECK(of("true || principal.nothing").empty());
  CHECK(of("resource is Folder && resource.nothing") == "ImpossiblePolicy");
  CHECK(of("action in Action::\"all\" && principal.age > 1").empty());
  CHECK(of("action == Action::\"write\"") == "ImpossiblePolicy");
  CHECK(of("principal in Folder::\"f\"") == "ImpossiblePolicy");
  CHECK(of("principal in Org::\"o\"").empty());
  CHECK(of("1 == \"a\"") == "ImpossiblePolicy");
  CHECK(kinds("permit(principal, action, resource) when { (principal is User && principal.age > 1) || (principal is "
              "Team && principal has lead) };")
            .empty());
}

TEST_CASE("templates are validated with their slots, links with what fills them") {
  const auto parsed = cedar::parse_policies(
      cedar::Source::make("t",
                          "permit(principal in ?principal, action, resource == ?resource) when { principal.nothing };"
                          "permit(principal == ?principal, action, resource);"));
  REQUIRE(parsed.errors.empty());
  auto set = cedar::PolicySet::from(parsed.policies);
  REQUIRE(set.link("policy1", "fits", {.principal = cedar::make_entity("User", "a"), .resource = nullptr}).ok());
  REQUIRE(set.link("policy1", "never", {.principal = cedar::make_entity("Doc", "a"), .resource = nullptr}).ok());
  REQUIRE(set.link("policy1", "unknown", {.principal = cedar::make_entity("X", "a"), .resource = nullptr}).ok());
  const auto validation = validate(validated_schema(), set);
  std::string out;
  for (const Finding& finding : validation.findings) {
    out += finding.policy_id + " " + std::string(to_string(finding.kind)) + "\n";
  }
  CHECK(out ==
        "policy0 UnsafeAttributeAccess\npolicy0 UnsafeAttributeAccess\nnever InvalidActionApplication\n"
        "unknown UnrecognizedEntityType\nunknown InvalidActionApplication\n");
}

TEST_CASE("levels count the steps from entity to entity") {
  const auto lowest = [](const std::string& condition) {
    for (std::uint32_t level = 0; level < 5; ++level) {
      ValidationOptions options;
      options.level = level;
      if (of(condition, options).empty()) return static_cast<int>(level);
    }
    return -1;
  };
  CHECK(lowest("principal == resource.owner") == 1);
  CHECK(lowest("context has mfa && context.mfa") == 0);
  CHECK(lowest("principal is User") == 0);
  CHECK(lowest("principal.team.hasTag(\"x\")") == 2);
  CHECK(lowest("principal in principal.team") == 1);
  CHECK(lowest("principal has boss.boss.boss") == 3);
  CHECK(lowest("principal has rec.b.c") == 1);
  CHECK(lowest("{a: principal, b: resource.owner.team}.a.age > 1") == 2);
  CHECK(lowest("(if principal.age > 1 then principal else resource.owner).age > 1") == 2);
  CHECK(lowest("User::\"x\".age > 1") == -1);
}

TEST_CASE("letters that look alike are warned about") {
  CHECK(of("principal.name == \"p\xD0\xB0ypal\"") == "MixedScriptString");  // a Cyrillic letter
  CHECK(of("principal.name == \"\xD0\xB0\xD0\xB1\"").empty());
  CHECK(of("principal.name == \"\xE6\xBC\xA2\xE3\x81\x8B\"").empty());  // Han and Hiragana
  CHECK(of("principal.name like \"a\xE2\x80\xAE*\"") == "BidiCharsInString");
  CHECK(of("principal == User::\"a\xE2\x80\x8B\"") == "ConfusableIdentifier");
  CHECK(of("principal == User::\"p\xD0\xB0ypal\"") == "MixedScriptIdentifier");
  for (const Finding& finding : findings("permit(principal == User::\"p\xD0\xB0ypal\", action, resource);")) {
    CHECK(finding.is_warning);
  }
}

TEST_CASE("the types of a policy's expressions are there to be used") {
  const auto parsed = cedar::parse_policies(cedar::Source::make(
      "t", "permit(principal, action, resource is Doc) when { resource.owner == principal && principal.age > 1 };"));
  const cedar::PolicyBody& body = *parsed.policies.at(0);
  const auto environments = environments_of(validated_schema(), body);
  CHECK(environments.size() == 5);
  for (const Environment& environment : environments) {
    const Typing typing = type_policy(validated_schema(), body, environment);
    const cedar::Expr& both = body.conditions[0].expression;
    if (environment.principal->name == "Team") {
      CHECK(typing.outcome == Typing::Outcome::kAlwaysFalse);
      CHECK(typing.types.count(&both.operands[1]) == 0);
      continue;
    }
    CHECK(typing.outcome == Typing::Outcome::kTyped);
    CHECK(typing.types.at(&both.operands[0].operands[0])->entity == "User");
    CHECK(typing.types.at(&both.operands[1].operands[0])->kind == Type::Kind::kLong);
  }
}

TEST_CASE("thousands of policies in many environments take seconds, deep ones milliseconds") {
  std::string schema_text = "entity User {n: Long, a?: Long, next?: User}; ";
  for (int i = 0; i < 10; ++i) schema_text += "entity R" + std::to_string(i) + " in [R0] {owner: User};";
  schema_text += "action a, b, c appliesTo {principal: User, resource: [R0,R1,R2,R3,R4,R5,R6,R7,R8,R9]};";
  const SchemaResult made = Schema::from_text("t", schema_text);
  REQUIRE(made.schema);
  REQUIRE(made.schema->environments().size() == 30);
  std::string text;
  for (int i = 0; i < 10'000; ++i) {
    text += "permit(principal, action, resource) when { principal has a && principal.a > " + std::to_string(i) +
            " && resource.owner == principal };\n";
  }
  const auto policies = cedar::PolicySet::from(cedar::parse_policies(cedar::Source::make("p", text)).policies);
  REQUIRE(policies.policies().size() == 10'000);
  const auto start = std::chrono::steady_clock::now();
  CHECK(validate(*made.schema, policies).is_valid());
  const auto taken = std::chrono::steady_clock::now() - start;
  MESSAGE("10,000 policies x 30 environments: " << std::chrono::duration_cast<std::chrono::milliseconds>(taken).count()
                                                << " ms");
  // Each level enters its operand once, or this would not end.
  std::string nested = "principal";
  for (int i = 0; i < 60; ++i) nested = "(if " + nested + " is User in R0::\"x\" then principal else principal)";
  std::string has = "principal";
  for (int i = 0; i < 60; ++i) has = "(if " + has + " has next.next then principal else principal)";
  const std::string deep =
      "permit(principal, action, resource) when { " + nested + " == principal || " + has + " == principal };";
  const auto one = cedar::PolicySet::from(cedar::parse_policies(cedar::Source::make("p", deep)).policies);
  REQUIRE(one.policies().size() == 1);
  ValidationOptions options;
  options.level = 9;
  CHECK(validate(*made.schema, one, options).is_valid());
}
