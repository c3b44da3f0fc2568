#include "policy/entity_names.h"

#include <doctest/doctest.h>

#include <set>

using namespace wary;
using namespace wary::policy;

namespace {

const std::set<std::string> kThere = {R"(Wary::User::"alice")", R"(Wary::Group::"sre")", R"(Wary::App::"demo/shop")",
                                      R"(Wary::Workload::"spiffe://local/demo/reader")"};

std::vector<PolicyFinding> unknown_in(const std::string& text, std::size_t* lists = nullptr) {
  const PolicyCheck check = check_policies({"t", text, "t.cedar", 1});
  REQUIRE(check.errors.empty());
  EntityNames names([](const contract::EntityId& id) { return kThere.contains(id.to_string()); },
                    [lists](std::string_view type) {
                      if (lists != nullptr) ++*lists;
                      std::vector<std::string> out;
                      for (const std::string& each : kThere) {
                        const auto id = contract::parse_entity_id(each);
                        if (id->type == type) out.push_back(id->id);
                      }
                      return out;
                    });
  return names.find_unknown(check);
}

}  // namespace

TEST_CASE("an entity that is not there is found in scopes and conditions, with its place and who was meant") {
  const auto found = unknown_in(
      "permit (principal == Wary::User::\"alcie\", action in Wary::Action::\"read\",\n"
      "        resource in Wary::App::\"demo/shp\")\n"
      "when { principal in [Wary::Group::\"sre\", Wary::Group::\"srs\"] };\n"
      "forbid (principal is Wary::User in Wary::Group::\"nobody-near\", action, resource);");
  REQUIRE(found.size() == 4);
  const auto is = [&](std::size_t i, const std::string& name, const std::string& where, const std::string& next) {
    CHECK(found[i].is_warning);
    CHECK(found[i].error.code == "policy_entity_unknown");
    CHECK(found[i].error.found_text == name);
    CHECK(found[i].error.where == where);
    CHECK_MESSAGE(found[i].error.next_step.find(next) == 0, found[i].error.next_step);
    CHECK(found[i].caret.find("^^^") != std::string::npos);
  };
  is(0, R"(Wary::User::"alcie")", "t.cedar:1:9", R"(did you mean Wary::User::"alice"?)");
  is(1, R"(Wary::App::"demo/shp")", "t.cedar:2:9", R"(did you mean Wary::App::"demo/shop"?)");
  is(2, R"(Wary::Group::"srs")", "t.cedar:3:42", R"(did you mean Wary::Group::"sre"?)");
  is(3, R"(Wary::Group::"nobody-near")", "t.cedar:4:9", "right where it is applied later; `wary get group`");
  CHECK(found[0].policy == "t/policy0");
  CHECK(found[3].policy == "t/policy1");
}

TEST_CASE("what is there, what nobody applies and what is not wary's own is not asked about") {
  CHECK(
      unknown_in("permit (principal == Wary::User::\"alice\", action == Wary::Action::\"GET\",\n"
                 "resource == Wary::App::\"demo/shop\");\n"
                 "forbid (principal, action, resource == Wary::Platform::\"wary\") when { context has session &&\n"
                 "context.session == Wary::Session::\"x\" };\n"
                 "forbid (principal == Wary::Anonymous::\"anonymous\", action, resource == Shop::Order::\"1\") when {\n"
                 "context.a == Wary::Token::\"c/x\" || context.a == Wary::ApiKeyHash::\"x\" ||\n"
                 "context.a == Wary::Credential::\"x\" };")
          .empty());
  // Of a SPIFFE ID, and of an application without its namespace, too.
  const auto found =
      unknown_in("permit (principal == Wary::Workload::\"demo/reader\", action, resource == Wary::App::\"shop\");");
  REQUIRE(found.size() == 2);
  CHECK(found[0].error.next_step == R"(did you mean Wary::Workload::"spiffe://local/demo/reader"?)");
  CHECK(found[1].error.next_step == R"(did you mean Wary::App::"demo/shop"?)");
}

TEST_CASE("each is told once a policy, and there is an end to it") {
  CHECK(unknown_in("permit (principal, action, resource) when {\n"
                   "principal == Wary::User::\"x1\" || principal == Wary::User::\"x1\" };")
            .size() == 1);
  std::string many = "permit (principal, action, resource) when { [";
  for (int i = 0; i < 300; ++i) many += "Wary::User::\"alice" + std::to_string(i) + "\",";
  many.back() = ']';
  std::size_t lists = 0;
  const auto found = unknown_in(many + ".contains(principal) };", &lists);
  REQUIRE(found.size() == 100);
  CHECK(lists == 1);
  CHECK(found[19].error.next_step.starts_with("did you mean"));
  CHECK(found[20].error.next_step.starts_with("right where"));
}
