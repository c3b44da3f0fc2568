// The worlds of tests/support/cedar_generator.h: repeatable, and covering what they are there to cover.
#include <doctest/doctest.h>

#include <set>

#include "cedar/authorizer.h"
#include "cedar/json.h"
#include "cedar/policy_json.h"
#include "cedar/printer.h"
#include "tests/support/cedar_generator.h"

using namespace wary;
using namespace wary::cedar;

namespace {

struct Seen {
  std::set<ExprKind> kinds;
  std::set<ExtensionOp> calls;
  std::set<ScopeConstraint::Kind> scopes;
  std::set<EvalErrorKind> errors;
  std::size_t allowed = 0, denied = 0, by_links = 0;

  void expression(const Expr& e) {
    kinds.insert(e.kind);
    if (e.kind == ExprKind::kCall) calls.insert(e.call);
    for (const Expr& operand : e.operands) expression(operand);
  }
  void policy(const PolicyBody& body) {
    scopes.insert({body.principal.kind, body.action.kind, body.resource.kind});
    for (const Condition& condition : body.conditions) expression(condition.expression);
  }
  void response(const Response& response) {
    ++(response.is_allowed ? allowed : denied);
    for (const PolicyFailure& failure : response.errors) errors.insert(failure.error.kind);
    for (const std::string& reason : response.reasons) by_links += reason.starts_with("link") ? 1U : 0U;
  }
};

}  // namespace

TEST_CASE("a seed gives the same world again") {
  const test::World a = test::make_world(11);
  const test::World b = test::make_world(11);
  CHECK(a.text == b.text);
  REQUIRE(a.entities.size() == b.entities.size());
  for (std::size_t i = 0; i < a.entities.size(); ++i) CHECK(to_json(*a.entities[i]) == to_json(*b.entities[i]));
  CHECK(to_json(a.requests[0].context) == to_json(b.requests[0].context));
  CHECK(test::make_world(12).text != a.text);
}

TEST_CASE("random worlds reach every operator, function, scope and kind of error") {
  Seen seen;
  for (std::uint64_t seed = 1; seed <= 250; ++seed) {
    const test::World world = test::make_world(seed, {.policies = 16, .entities = 3});
    for (const Policy& policy : world.policies.policies()) seen.policy(*policy.body);
    for (const Request& request : world.requests) {
      StoreView view(world.store);
      seen.response(is_authorized(world.policies, request, view));
    }
  }
  CHECK(seen.kinds.size() == static_cast<std::size_t>(ExprKind::kCall) + 1);
  CHECK(seen.calls.size() == static_cast<std::size_t>(ExtensionOp::kToDays) + 1);
  CHECK(seen.scopes.size() == 5);
  CHECK(seen.errors.size() == 7);  // every kind but a slot without its value, which no link has
  CHECK(seen.allowed > 400);
  CHECK(seen.denied > 400);
  CHECK(seen.by_links > 50);
}

TEST_CASE("random policy sets survive JSON and decide the same afterwards") {
  for (std::uint64_t seed = 300; seed < 340; ++seed) {
    const test::World world = test::make_world(seed);
    const auto json = to_json(world.policies);
    REQUIRE(json.ok());
    const auto again = policy_set_from_json(*codec::parse_json(json->to_string(), kPolicyJsonLimits));
    REQUIRE(again.ok());
    for (const Request& request : world.requests) {
      StoreView view(world.store);
      const Response a = is_authorized(world.policies, request, view);
      const Response b = is_authorized(*again, request, view);
      CHECK(a.is_allowed == b.is_allowed);
      CHECK(a.reasons == b.reasons);
      CHECK(a.errors.size() == b.errors.size());
    }
  }
}
