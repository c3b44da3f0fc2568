#include "cedar/partial.h"

#include <doctest/doctest.h>

#include "cedar/parser.h"
#include "cedar/printer.h"
#include "tests/support/cedar_generator.h"

using namespace wary;
using namespace wary::cedar;

namespace {

PolicySet policies(std::string_view text) {
  const auto parsed = parse_policies(Source::make("t", text));
  REQUIRE_MESSAGE(parsed.errors.empty(), parsed.errors[0].error.to_string());
  return PolicySet::from(parsed.policies);
}

std::string residual(std::string_view text, const PartialRequest& request) {
  const EntityStore nothing;
  StoreView view(nothing);
  const auto set = policies(text);
  const Residual out = partially_evaluate(set.policies()[0], request, view);
  const char* kind = out.kind == Residual::Kind::kSatisfied      ? "satisfied: "
                     : out.kind == Residual::Kind::kNotSatisfied ? "not: "
                     : out.kind == Residual::Kind::kError        ? "error: "
                                                                 : "open: ";
  return kind + print(out.condition);
}

// Knows what the bits say: principal, action, resource, context; of what is not known, the type or nothing.
PartialRequest masked(const Request& request, unsigned known, bool types) {
  const auto part = [&](const EntityPtr& uid, unsigned bit) {
    if ((known >> bit & 1) != 0) return PartialUid{uid, {}};
    return PartialUid{nullptr, types ? uid->type : std::string()};
  };
  PartialRequest out{part(request.principal, 0), part(request.action, 1), part(request.resource, 2), std::nullopt};
  if ((known >> 3 & 1) != 0) out.context = request.context;
  return out;
}

}  // namespace

TEST_CASE("what is known is computed, and what cannot be reached goes") {
  const PartialRequest known{{make_entity("U", "a"), {}}, {make_entity("Action", "v"), {}}, {nullptr, "Doc"}, {}};
  const std::string scope = "permit(principal == U::\"a\", action, resource)";
  CHECK(residual(scope + ";", known) == "satisfied: true");
  CHECK(residual("permit(principal == U::\"b\", action, resource) when { context.x };", known) == "not: false");
  CHECK(residual("permit(principal, action, resource is Folder) when { context.x };", known) == "not: false");
  CHECK(residual("permit(principal, action, resource is Doc);", known) == "satisfied: true");
  CHECK(residual("permit(principal, action, resource == Folder::\"f\");", known) == "not: false");
  CHECK(residual("permit(principal, action, resource) when { resource.owner == principal && 1 + 1 == 2 };", known) ==
        "open: resource.owner == U::\"a\"");
  CHECK(residual("permit(principal, action, resource) when { resource.open && 1 == 2 && resource.gone };", known) ==
        "open: resource.open && false");
  CHECK(residual("permit(principal, action, resource) when { 1 == 2 || resource.open };", known) ==
        "open: resource.open || false");
  CHECK(residual("permit(principal, action, resource) when { \"x\" && resource.open };", known) ==
        "error: \"x\" && true");
  CHECK(residual("permit(principal, action, resource) unless { principal == U::\"a\" };", known) == "not: false");
  CHECK(
      residual("permit(principal, action, resource) when { if principal == U::\"a\" then resource.a else resource.b };",
               known) == "open: resource.a && true");
}

TEST_CASE("a decision that is the same for every completion is given") {
  const EntityStore nothing;
  StoreView view(nothing);
  const PartialRequest known{{make_entity("U", "a"), {}}, {make_entity("Action", "v"), {}}, {}, {}};
  using Decision = PartialAnswer::Decision;
  const auto decision = [&](std::string_view text) { return partially_evaluate(policies(text), known, view).decision; };
  CHECK(decision("permit(principal == U::\"a\", action, resource);") == Decision::kAllow);
  CHECK(decision("permit(principal == U::\"b\", action, resource);") == Decision::kDeny);
  CHECK(decision("permit(principal, action, resource); forbid(principal, action, resource) when { resource.x };") ==
        Decision::kUnknown);
  CHECK(decision("permit(principal, action, resource) when { resource.x }; forbid(principal, action, resource);") ==
        Decision::kDeny);
}

TEST_CASE("a residual is for every completion what the policy is") {
  std::size_t open = 0;
  std::size_t compared = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const test::World world = test::make_world(seed);
    for (std::size_t r = 0; r < world.requests.size(); r += 4) {
      const Request& one = world.requests[r];
      for (unsigned known = 0; known < 16; ++known) {
        const PartialRequest partial = masked(one, known, (seed + known) % 2 == 0);
        StoreView view(world.store);
        for (const Policy& policy : world.policies.policies()) {
          const Residual residual = partially_evaluate(policy, partial, view);
          open += residual.kind == Residual::Kind::kOpen ? 1U : 0U;
          const Policy stand_in = policy_of(residual);
          for (const Request& other : world.requests) {
            // A completion: what is not known comes from another request, of the type where that is known.
            Request complete = one;
            const auto take = [&](EntityPtr& into, const EntityPtr& from, const PartialUid& part) {
              if (part.uid == nullptr && (part.type.empty() || part.type == from->type)) into = from;
            };
            take(complete.principal, other.principal, partial.principal);
            take(complete.action, other.action, partial.action);
            take(complete.resource, other.resource, partial.resource);
            if (!partial.context) complete.context = other.context;
            Evaluator evaluator(complete, view);
            Evaluator residual_evaluator(complete, view);
            const Outcome expected = evaluator.evaluate(policy);
            const Outcome actual = residual_evaluator.evaluate(stand_in);
            const bool same = expected == actual && (expected != Outcome::kError ||
                                                     evaluator.error().kind == residual_evaluator.error().kind);
            CHECK_MESSAGE(same, "seed ", seed, " ", policy.id, " known ", known, ": ", print(residual.condition));
            const bool kind_fits = residual.kind == Residual::Kind::kOpen ||
                                   (residual.kind == Residual::Kind::kSatisfied) == (actual == Outcome::kSatisfied);
            CHECK_MESSAGE(kind_fits, "seed ", seed, " ", policy.id);
            ++compared;
          }
        }
      }
    }
  }
  CHECK(open > 1000);
  CHECK(compared > 100'000);
}
