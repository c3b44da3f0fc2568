#include "policy/subscriptions.h"

#include <doctest/doctest.h>

#include <random>

using namespace wary;
using namespace wary::policy;
using codec::Json;

namespace {

contract::Entity entity(std::string_view type, const std::string& id, int level, const std::string& group) {
  contract::Entity out;
  out.tenant = "local";
  out.id = {std::string(type), id};
  contract::Fact fact;
  fact.name = "level";
  fact.value = Json(level);
  fact.source = "test";
  out.attributes = {fact};
  if (!group.empty()) out.parents = {{"Wary::Group", group}};
  return out;
}

contract::Request request(const std::string& user, const std::string& route) {
  return {"local", {"Wary::User", user}, {"Wary::Action", "get"}, {"Wary::Route", route}, Json::object()};
}

SnapshotContent levels_under(std::string_view policies) {
  SnapshotContent out;
  out.revision = 1;
  out.policies = {{"main", std::string(policies), "main.cedar", 1}};
  for (int i = 0; i < 10; ++i)
    out.entities.push_back(entity("Wary::User", "u" + std::to_string(i), i, "g" + std::to_string(i % 3)));
  for (int i = 0; i < 3; ++i)
    out.entities.push_back(entity("Wary::Group", "g" + std::to_string(i), 0, i == 0 ? "top" : ""));
  for (int i = 0; i < 5; ++i) out.entities.push_back(entity("Wary::Route", "r" + std::to_string(i), i, ""));
  return out;
}

}  // namespace

TEST_CASE("exactly the answers that deciding everything again finds changed are told") {
  const auto first = build_snapshot(
      levels_under("permit(principal in Wary::Group::\"top\", action, resource) when { resource.level < 4 };"
                   "permit(principal, action, resource) when { principal.level > resource.level + 3 };"
                   "forbid(principal, action, resource) when { resource.level == 9 };"),
      {}, 1);
  REQUIRE(first.ok());
  SnapshotPtr snapshot = *first;
  Subscriptions subscriptions;
  std::map<SubscriptionId, std::pair<contract::Request, bool>> known;
  for (int u = 0; u < 10; ++u) {
    for (int r = 0; r < 5; ++r) {
      const auto question = request("u" + std::to_string(u), "r" + std::to_string(r));
      const auto added = subscriptions.add(*snapshot, question, {}, {});
      REQUIRE(added.ok());
      known[added->id] = {question, added->decision.is_allowed()};
    }
  }
  std::mt19937 random(1);
  std::size_t told = 0;
  for (std::uint64_t revision = 2; revision < 150; ++revision) {
    SnapshotDelta delta;
    delta.from = revision - 1;
    delta.to = revision;
    const auto pick = [&](unsigned bound) { return static_cast<int>(random() % bound); };
    switch (pick(4)) {
      case 0:
        delta.upserts = {entity("Wary::User", "u" + std::to_string(pick(10)), pick(10), "g" + std::to_string(pick(3)))};
        break;
      case 1:
        delta.upserts = {entity("Wary::Group", "g" + std::to_string(pick(3)), 0, pick(2) == 0 ? "top" : "")};
        break;
      case 2: delta.upserts = {entity("Wary::Route", "r" + std::to_string(pick(5)), pick(10), "")}; break;
      default: delta.removals = {{"Wary::User", "u" + std::to_string(pick(10))}};
    }
    const auto next = apply_delta(*snapshot, delta, {});
    REQUIRE(next.ok());
    snapshot = *next;
    std::map<SubscriptionId, bool> changed;
    for (const AnswerChange& change : subscriptions.apply(*snapshot, delta, {})) {
      changed[change.id] = change.now.is_allowed();
      ++told;
    }
    for (auto& [id, question] : known) {
      const bool allowed = decide(*snapshot, question.first, {}, {}).is_allowed();
      if (allowed != question.second) CHECK(changed.count(id) == 1);
      if (changed.count(id) == 1) CHECK(changed[id] == allowed);
      question.second = allowed;
    }
  }
  CHECK(told > 50);
  const auto id = known.begin()->first;
  subscriptions.remove(id);
  subscriptions.remove(id);
  CHECK(subscriptions.size() == 49);
}

TEST_CASE("changed policies and facts that expire are told as well") {
  SnapshotContent begin = levels_under("permit(principal, action, resource) when { principal.level > 5 };");
  begin.entities[7].attributes[0].expires = UnixTime{1000};
  begin.entities[7].attributes[0].on_expiry = Json(0);
  const auto first = build_snapshot(begin, {}, 1);
  REQUIRE(first.ok());
  Subscriptions subscriptions;
  const auto added = subscriptions.add(**first, request("u7", "r0"), {}, {});
  REQUIRE(added.ok());
  CHECK(added->decision.is_allowed());
  REQUIRE(subscriptions.next_expiry().has_value());
  CHECK(subscriptions.next_expiry()->nanos == 1000);
  CHECK(subscriptions.expire(**first, UnixTime{999}).empty());
  const auto expired = subscriptions.expire(**first, UnixTime{1000});
  REQUIRE(expired.size() == 1);
  CHECK(expired[0].before.is_allowed());
  CHECK_FALSE(expired[0].now.is_allowed());
  CHECK_FALSE(subscriptions.next_expiry().has_value());
  SnapshotDelta delta;
  delta.from = 1;
  delta.to = 2;
  delta.policy_upserts = {{"main", "permit(principal, action, resource);", "main.cedar", 1}};
  const auto next = apply_delta(**first, delta, {});
  REQUIRE(next.ok());
  const auto changed = subscriptions.apply(**next, delta, UnixTime{1001});
  REQUIRE(changed.size() == 1);
  CHECK(changed[0].now.is_allowed());
}
