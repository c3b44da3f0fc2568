#include "policy/policies.h"

#include <doctest/doctest.h>

#include <random>

#include "policy/decide.h"

using namespace wary;
using namespace wary::policy;

namespace {

PolicyText named_text(const std::string& id, const std::string& cedar) { return {id, cedar, id + ".cedar", 1}; }

std::string refusal_of(const Result<CompiledPolicies::Ptr>& result) { return result ? "" : result.error().code; }

const std::string kPermitAll = "permit (principal, action, resource);\n";

// Everything that one of these can be asked, in words.
std::string words_of(const CompiledPolicies& policies) {
  std::string out;
  policies.for_each([&](const cedar::Policy& policy) {
    out += policy.id + (policies.find(policy.id) == &policy ? " " : " not found by its id ");
  });
  for (const PolicyText& text : policies.texts()) out += "[" + text.id + ": " + text.text + "]";
  return out + std::to_string(policies.size());
}

std::string random_policies(std::mt19937& random) {
  const auto below = [&](unsigned bound) { return std::to_string(random() % bound); };
  std::string out;
  for (auto i = random() % 3 + 1; i > 0; --i) {
    const std::string effect = random() % 4 == 0 ? "forbid" : "permit";
    switch (random() % 3) {
      case 0: out += effect + " (principal == U::\"u" + below(3) + "\", action, resource);"; break;
      case 1:
        out += effect + " (principal, action == Action::\"a" + below(2) + "\", resource) when { context.x };";
        break;
      default: out += effect + " (principal, action, resource in R::\"r" + below(3) + "\") unless { context.n == 1 };";
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a changed text is parsed and the others are shared") {
  const auto first = CompiledPolicies::compile(
      {named_text("a", kPermitAll), named_text("b", kPermitAll), named_text("c", kPermitAll)});
  REQUIRE(first.ok());
  const auto next = (*first)->with({named_text("b", "forbid (principal, action, resource);")}, {"c", "not there"});
  REQUIRE(next.ok());
  CHECK((*next)->find("a")->body == (*first)->find("a")->body);
  CHECK((*next)->find("b")->body->effect == cedar::Effect::kForbid);
  CHECK((*next)->find("c") == nullptr);
  CHECK((*first)->find("c") != nullptr);
  CHECK((*next)->size() == guardrails().size() + 2);
  engine::Changes changes;
  (*next)->changes_since(**first, changes);
  CHECK(changes.removed_policies.size() == 2);
  REQUIRE(changes.added_policies.size() == 1);
  CHECK(changes.added_policies[0].policy == (*next)->find("b"));
  CHECK(&(*next)->by_number(changes.added_policies[0].number) == (*next)->find("b"));
}

TEST_CASE("no two policies have one id, whichever comes first") {
  const std::string two = "@id(\"x\") " + kPermitAll + "@id(\"y\") " + kPermitAll;
  const auto several = CompiledPolicies::compile({named_text("a", two)});
  REQUIRE(several.ok());
  CHECK(refusal_of((*several)->with({named_text("a/x", kPermitAll)}, {})) == "policy_duplicate_id");
  CHECK(refusal_of((*several)->with({named_text("a/z", kPermitAll)}, {})) == "");
  CHECK(refusal_of((*several)->with({named_text("a/x", kPermitAll)}, {"a"})) == "");
  CHECK(refusal_of((*several)->with({named_text("a/x", two)}, {})) == "");
  const auto alone = CompiledPolicies::compile({named_text("a/x", kPermitAll)});
  REQUIRE(alone.ok());
  CHECK(refusal_of((*alone)->with({named_text("a", two)}, {})) == "policy_duplicate_id");
  CHECK(refusal_of((*alone)->with({named_text("a", kPermitAll)}, {})) == "");
  CHECK(refusal_of((*alone)->with({named_text("b", kPermitAll), named_text("b", kPermitAll)}, {})) ==
        "policy_duplicate_id");
  CHECK(refusal_of((*alone)->with({named_text("guardrail/a", kPermitAll)}, {})) == "policy_reserved_id");
  CHECK(refusal_of((*alone)->with({named_text("b", "permit")}, {})) == "cedar_syntax");
  // A guardrail is not removed by its id.
  const auto kept = (*alone)->with({}, {"guardrail/revoked-session"});
  REQUIRE(kept.ok());
  CHECK((*kept)->find("guardrail/revoked-session") != nullptr);
}

TEST_CASE("however the policies were reached, what is said of a decision is the same") {
  std::mt19937 random(1);
  SnapshotContent content;
  content.revision = 1;
  contract::Entity user;
  user.tenant = "local";
  user.id = {"U", "u1"};
  content.entities = {user};
  auto made = build_snapshot(content, {}, 1);
  REQUIRE(made.ok());
  SnapshotPtr current = *made;
  for (int step = 0; step < 300; ++step) {
    SnapshotDelta delta;
    delta.from = current->revision();
    delta.to = delta.from + 1;
    for (auto i = random() % 4; i > 0; --i) {
      const std::string id = "t" + std::to_string(random() % 30);
      const auto is_this = [&](const PolicyText& text) { return text.id == id; };
      if (std::any_of(delta.policy_upserts.begin(), delta.policy_upserts.end(), is_this)) continue;
      if (random() % 3 == 0) delta.policy_removals.push_back(id);
      if (random() % 3 != 0) delta.policy_upserts.push_back(named_text(id, random_policies(random)));
    }
    CHECK(check_delta(*current, delta).ok());
    const auto next = apply_delta(*current, delta, {});
    REQUIRE_MESSAGE(next.ok(), next.error().to_string());
    current = *next;
    const auto anew = build_snapshot(content_of(*current), {}, 1);
    REQUIRE(anew.ok());
    CHECK((*anew)->content_hash() == current->content_hash());
    CHECK(words_of((*anew)->policies()) == words_of(current->policies()));
    for (int i = 0; i < 8; ++i) {
      codec::Json context = codec::Json::object();
      if (random() % 2 == 0) context.set("x", codec::Json(random() % 2 == 0));
      if (random() % 2 == 0) context.set("n", codec::Json(static_cast<std::int64_t>(random() % 2)));
      const contract::Request request{"local",
                                      {"U", "u1"},
                                      {"Action", "a" + std::to_string(random() % 2)},
                                      {"R", "r" + std::to_string(random() % 3)},
                                      context};
      const contract::Decision here = decide(*current, request, {1}, {});
      const contract::Decision there = decide(**anew, request, {1}, {});
      CHECK(here.effect() == there.effect());
      CHECK(here.reason_code == there.reason_code);
      CHECK(here.determining == there.determining);
      REQUIRE(here.errors.size() == there.errors.size());
      for (std::size_t e = 0; e < here.errors.size(); ++e) CHECK(here.errors[e].policy == there.errors[e].policy);
    }
  }
}
