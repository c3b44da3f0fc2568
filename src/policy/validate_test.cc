#include "policy/validate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "cedar/parser.h"
#include "schema/validator.h"
#include "tests/support/testdata.h"

using namespace wary;
using namespace wary::policy;

namespace {

std::vector<PolicyFinding> findings_of(const std::string& text) {
  const PolicyCheck check = check_policies({"t", text, "t.cedar", 1});
  REQUIRE(check.errors.empty());
  return validate_policies(check);
}

// "UnsafeAttributeAccess !ForeignResource": kinds in order, warnings with a mark.
std::string kinds(const std::string& text) {
  std::string out;
  for (const PolicyFinding& finding : findings_of(text)) {
    out += (out.empty() ? "" : " ") + std::string(finding.is_warning ? "!" : "") + finding.kind;
  }
  return out;
}

std::string under(const std::string& scope, const std::string& condition = "true") {
  return kinds("permit (" + scope + ") when { " + condition + " };");
}

}  // namespace

TEST_CASE("the platform's schema resolves, and is all in namespace Wary") {
  const schema::SchemaResult made = schema::Schema::from_text("wary.cedarschema", platform_schema_text());
  for (const cedar::SyntaxError& error : made.errors) FAIL_CHECK((error.error.to_string() + "\n" + error.caret));
  REQUIRE(made.schema);
  CHECK(*made.schema == platform_schema());
  CHECK_FALSE(platform_schema().environments().empty());
  for (const schema::EntityType& type : platform_schema().entity_types()) {
    CHECK_MESSAGE(schema::namespace_of(type.name) == "Wary", type.name);
  }
  for (const schema::Action& action : platform_schema().actions()) CHECK(action.uid->type == "Wary::Action");
}

TEST_CASE("HTTP methods belong to read and write, what wary's API does to manage") {
  const auto in = [](std::string_view action, std::string_view group) {
    const auto find = [](std::string_view id) {
      return platform_schema().find_action({"Wary::Action", std::string(id)});
    };
    REQUIRE(find(action) != nullptr);
    REQUIRE(find(group) != nullptr);
    return platform_schema().is_beneath(*find(action), *find(group));
  };
  for (const char* method : {"GET", "HEAD", "OPTIONS"}) CHECK((in(method, "read") && !in(method, "write")));
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE"}) CHECK((in(method, "write") && !in(method, "read")));
  for (const char* call : {"apply", "session.create", "ledger.read"}) CHECK((in(call, "manage") && !in(call, "read")));
}

TEST_CASE("the guardrails are valid, and can apply") {
  for (const PolicyText& text : guardrails()) {
    const PolicyCheck check = check_policies(text);
    CHECK_MESSAGE(validate_policies(check).empty(), text.id);
  }
}

TEST_CASE("every policy of the demo is valid, without a warning") {
  for (const char* name : {"chat", "metrics", "site"}) {
    const std::string path =
        std::string(WARY_SOURCE_DIR) + "/examples/demo/resources/policies/" + std::string(name) + ".cedar";
    const auto text = test::read_file(path);
    REQUIRE(text);
    const PolicyCheck check = check_policies({name, *text, path, 1});
    CHECK(check.errors.empty());
    for (const PolicyFinding& finding : validate_policies(check)) FAIL_CHECK(finding.error.to_string());
  }
}

TEST_CASE("a misspelt attribute has a place, a caret and a hint") {
  const auto found = findings_of(
      "permit (\n  principal is Wary::User,\n  action,\n  resource is Wary::App\n) when { principal.disabeld };\n");
  REQUIRE(found.size() == 1);
  CHECK(found[0].kind == "UnsafeAttributeAccess");
  CHECK_FALSE(found[0].is_warning);
  CHECK(found[0].policy == "t");
  CHECK(found[0].error.code == "validation_unsafe_attribute_access");
  CHECK_MESSAGE(found[0].error.where.starts_with("t.cedar:5:"), found[0].error.where);
  CHECK_MESSAGE(found[0].error.next_step.find("disabled") != std::string::npos, found[0].error.next_step);
  CHECK(found[0].caret.find("^") != std::string::npos);
}

TEST_CASE("names, types and what may be missing are checked") {
  CHECK(under("principal is Wary::User, action, resource is Wary::App", "context.path like \"/x*\"").empty());
  CHECK(under("principal, action, resource is Wary::Route", "resource.app == Wary::App::\"demo/site\"").empty());
  CHECK(under("principal, action, resource is Wary::App", "context.client.isInRange(ip(\"10.0.0.0/8\"))").empty());
  CHECK(under("principal, action, resource", "context has session && context.session.user.disabled").empty());
  CHECK(under("principal in Wary::Group::\"sre\", action in Wary::Action::\"manage\", resource").empty());
  CHECK(under("principal, action == Wary::Action::\"GTE\", resource") == "UnrecognizedActionId");
  CHECK(under("principal is Wary::Usr, action, resource") == "UnrecognizedEntityType");
  CHECK(under("principal, action, resource is Wary::Route", "resource.record == \"with\"") ==
        "UnsafeOptionalAttributeAccess");
  CHECK(under("principal, action, resource is Wary::App", "context.path == 1") == "IncompatibleTypes");
  CHECK(under("principal, action == Wary::Action::\"GET\", resource == Wary::Platform::\"wary\"") ==
        "InvalidActionApplication");
  CHECK(under("principal, action, resource == Wary::Platform::\"other\"") == "InvalidEnumEntity");
  // The API's own calls have no path: such a forbid would fail, and deny them.
  CHECK(kinds("forbid (principal, action, resource) when { context.path like \"/admin*\" };") ==
        "UnsafeAttributeAccess");
  CHECK(under("principal, action, resource", "context has vehicle && context.vehicle.revoked") == "!ImpossiblePolicy");
  CHECK(under("principal == Wary::User::\"\xD0\xB0lice\", action, resource") == "!MixedScriptIdentifier");
  CHECK(validate_policies(check_policies({"t", "permit (", "t.cedar", 1})).empty());
}

TEST_CASE("every error has a next step") {
  const auto hint = [](const std::string& scope, const std::string& condition = "true") {
    const auto found = findings_of("permit (" + scope + ") when { " + condition + " };");
    REQUIRE_MESSAGE(found.size() == 1, scope);
    CHECK_FALSE(found[0].is_warning);
    return found[0].error.next_step;
  };
  CHECK(hint("principal, action == Wary::Action::\"read\", resource") ==
        "Wary::Action::\"read\" is a group of actions: write `action in` in place of `==`");
  CHECK(hint("principal, action in Wary::Action::\"write\", resource is Wary::Platform") ==
        "such requests have a principal of type Wary::Anonymous, Wary::Node, Wary::User or Wary::Workload and a "
        "resource of type Wary::App or Wary::Route");
  CHECK(hint("principal, action, resource is Wary::Group").find("Wary::App, Wary::Platform or Wary::Route") !=
        std::string::npos);
  CHECK(hint("principal, action, resource", "context.path == \"/\"").find("whose scope names them") !=
        std::string::npos);
  CHECK(hint("principal, action, resource", "principal.disabled").find("principal is") != std::string::npos);
  CHECK(hint("principal, action, resource is Wary::Route", "resource.record == \"with\"").find("has record") !=
        std::string::npos);
}

TEST_CASE("a policy about another program's resources is not checked, and says so") {
  CHECK(under("principal is Wary::User, action == Wary::Action::\"ship\", resource is Shop::Order",
              "resource.total > 5 && context.subject.team == resource.team") == "!ForeignResource");
  CHECK(under("principal, action, resource == todo::\"1\"", "resource.done") == "!ForeignResource");
  CHECK(under("principal is Shop::Bot, action == Shop::Action::\"buy\", resource") == "!ForeignResource");
  CHECK(under("principal, action in [Shop::Action::\"buy\", Shop::Action::\"sell\"], resource") == "!ForeignResource");
  const auto found = findings_of("permit (principal, action,\n  resource is Shop::Order);");
  REQUIRE(found.size() == 1);
  CHECK(found[0].error.code == "policy_foreign");
  CHECK(found[0].error.where.starts_with("t.cedar:2:"));
  CHECK(found[0].error.message.find("Shop::Order") != std::string::npos);
  CHECK_FALSE(found[0].error.next_step.empty());
  CHECK_FALSE(found[0].caret.empty());
  // What it names of wary's must be there.
  CHECK(under("principal in Wary::Grup::\"sre\", action, resource is Shop::Order") ==
        "!ForeignResource UnrecognizedEntityType");
  CHECK(under("principal, action, resource is Shop::Order", "principal is Wary::Usr") ==
        "!ForeignResource UnrecognizedEntityType");
}

TEST_CASE("what wary is asked about names wary's types alone, and misspelling the namespace is no way around it") {
  CHECK(under("principal is Shop::Bot, action, resource") == "UnrecognizedEntityType");
  CHECK(under("principal is Shop::Bot, action, resource is Wary::App") == "UnrecognizedEntityType");
  CHECK(under("principal, action, resource is Wary::App", "principal in Shop::Team::\"a\"") ==
        "UnrecognizedEntityType");
  CHECK(under("principal, action, resource", "resource is Shop::Order") == "UnrecognizedEntityType");
  CHECK(findings_of("permit (principal is Shop::Bot, action, resource);")[0].error.next_step.find("in the scope") !=
        std::string::npos);
  for (const char* type : {"App", "Route", "wary::App", "Wray::App", "Vary::App", "War::App", "Waryy::Route"}) {
    const auto found = findings_of("forbid (principal, action, resource is " + std::string(type) + ");");
    REQUIRE_MESSAGE(found.size() == 1, type);
    CHECK(found[0].kind == "UnrecognizedEntityType");
    CHECK_FALSE(found[0].is_warning);
    CHECK_MESSAGE(found[0].error.next_step.starts_with("did you mean `Wary::"), (type + found[0].error.next_step));
  }
  CHECK(under("principal, action == Action::\"GET\", resource is Wary::App") == "UnrecognizedActionId");
  CHECK(under("principal, action in [Wary::Action::\"GET\", Shop::Action::\"buy\"], resource is Wary::App")
            .find("!ForeignResource") == std::string::npos);
  for (const char* type : {"Cars::App", "Shop::User", "Park::Route"}) {
    CHECK(kinds("forbid (principal, action, resource is " + std::string(type) + ");") == "!ForeignResource");
  }
}
