#include "policy/decision_cache.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "cedar/authorizer.h"
#include "cedar/parser.h"
#include "policy/context_reads.h"
#include "tests/support/cedar_generator.h"

using namespace wary;
using namespace wary::policy;

namespace {

SnapshotPtr empty_snapshot(std::uint64_t revision) {
  SnapshotContent content;
  content.revision = revision;
  auto built = build_snapshot(content, {1}, 1);
  REQUIRE(built.ok());
  return *built;
}

SharedDecision allowed(std::optional<UnixTime> until = std::nullopt) {
  contract::Decision decision(contract::Effect::kAllow, "permit");
  decision.valid_until = until;
  return std::make_shared<const contract::Decision>(std::move(decision));
}

ContextReads reads_of(std::string_view policy) {
  const auto parsed = cedar::parse_policies(cedar::Source::make("test", policy));
  REQUIRE_MESSAGE(parsed.errors.empty(), policy);
  return context_reads(*parsed.policies.front());
}

bool reads(std::string_view condition, std::string_view name) {
  ContextReadCounts counts;
  counts.add(reads_of("permit (principal, action, resource) when { " + std::string(condition) + " };"));
  return counts.may_read(name);
}

// Which policies hold, and which fail how.
std::string outcome_of(const test::World& world, const cedar::Request& request) {
  cedar::StoreView view(world.store);
  const cedar::Response response = cedar::is_authorized(world.policies, request, view);
  std::string out = response.is_allowed ? "allow" : "deny";
  for (const std::string& reason : response.reasons) out += " " + reason;
  for (const cedar::PolicyFailure& one : response.errors) {
    out += " " + one.policy_id + ":" + std::string(cedar::to_string(one.error.kind));
  }
  return out;
}

}  // namespace

TEST_CASE("an answer is known for its question, under its snapshot, from when it was made to when it ends") {
  DecisionCache cache;
  const SnapshotPtr first = empty_snapshot(1), second = empty_snapshot(2);
  CHECK(cache.find(first, "q", {10}) == nullptr);
  cache.put(first, "q", allowed(UnixTime{20}), {10});
  REQUIRE(cache.find(first, "q", {10}) != nullptr);
  CHECK((*cache.find(first, "q", {19}))->is_allowed());
  CHECK(cache.find(first, "q", {20}) == nullptr);
  CHECK(cache.find(first, "q", {9}) == nullptr);  // the clock was set back
  CHECK(cache.find(first, "r", {15}) == nullptr);
  CHECK(cache.find(second, "q", {15}) == nullptr);
  CHECK(cache.find(first, "q", {15}) == nullptr);  // what was before a change is not known again
  CHECK(cache.size() == 0);
}

TEST_CASE("what has errors, or rests on very much, is not kept") {
  DecisionCache cache;
  const SnapshotPtr snapshot = empty_snapshot(1);
  contract::Decision failed(contract::Effect::kAllow, "permit");
  failed.errors.push_back({"p", "TypeError", "of `path`"});
  cache.put(snapshot, "q", std::make_shared<const contract::Decision>(std::move(failed)), {1});
  contract::Decision wide(contract::Effect::kAllow, "permit");
  wide.depends_on.resize(kKeptDependencies + 1);
  cache.put(snapshot, "r", std::make_shared<const contract::Decision>(std::move(wide)), {1});
  CHECK(cache.size() == 0);
}

TEST_CASE("no two questions have one text") {
  const auto text = [](const contract::EntityId& principal, const contract::EntityId& action) {
    std::string out;
    append_question(out, "t", principal, action, {"R", "r"});
    return out;
  };
  CHECK(text({"U", "ab"}, {"A", "c"}) != text({"U", "a"}, {"bA", "c"}));
  CHECK(text({"U", "a"}, {"A", "c"}) == text({"U", "a"}, {"A", "c"}));
  CHECK(text({"Ua", ""}, {"A", "c"}) != text({"U", "a"}, {"A", "c"}));
}

TEST_CASE("a member of the context is read by whoever names it, and all are by whoever takes it whole") {
  CHECK(reads("context.path == \"/x\"", "path"));
  CHECK_FALSE(reads("context.path == \"/x\"", "host"));
  CHECK(reads("context has device && context.device.revoked", "device"));
  CHECK_FALSE(reads("context has device && context.device.revoked", "revoked"));
  CHECK(reads("context has token.acr", "token"));
  CHECK_FALSE(reads("context has token.acr", "acr"));
  CHECK(reads("context has \"a b\"", "a b"));
  CHECK(reads("if true then 1 == 1 else context[\"late\"] == 2", "late"));
  CHECK(reads("[{a: {b: context.deep}}].isEmpty()", "deep"));
  CHECK(reads("context.client.isInRange(ip(\"10.0.0.0/8\"))", "client"));
  CHECK(reads("context == {a: 1}", "anything"));
  CHECK(reads("principal.seen.contains(context)", "anything"));
  CHECK_FALSE(reads("principal.path == resource.path && \"context.path\" != \"x\"", "path"));
  ContextReadCounts counts;
  const ContextReads two = reads_of("permit (principal, action, resource) when { context.a } unless { context.b };");
  const ContextReads one = reads_of("forbid (principal, action, resource) when { context.a };");
  const ContextReads whole = reads_of("forbid (principal, action, resource) when { context == {} };");
  counts.add(two);
  counts.add(one);
  counts.add(whole);
  CHECK(counts.may_read("c"));
  counts.remove(whole);
  CHECK_FALSE(counts.may_read("c"));
  counts.remove(two);
  CHECK(counts.may_read("a"));
  CHECK_FALSE(counts.may_read("b"));
}

TEST_CASE("of random policies none answers otherwise when what they cannot read changes") {
  std::size_t changed = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    test::World world = test::make_world(seed);
    ContextReadCounts counts;
    for (const cedar::Policy& policy : world.policies.policies()) counts.add(context_reads(*policy.body));
    test::Dice dice(seed);
    for (const cedar::Request& request : world.requests) {
      cedar::Request other = request;
      cedar::Value::Record members = *request.context.as_record();
      for (auto& [name, value] : members) {
        if (!counts.may_read(name) && dice.chance(60)) value = cedar::Value(static_cast<std::int64_t>(dice.below(9)));
      }
      std::erase_if(members, [&](const auto& one) { return !counts.may_read(one.first) && dice.chance(20); });
      if (!counts.may_read("no such member")) members.emplace_back("no such member", cedar::Value(true));
      other.context = cedar::Value::record(std::move(members));
      if (other.context == request.context) continue;
      ++changed;
      REQUIRE(outcome_of(world, request) == outcome_of(world, other));
    }
  }
  CHECK(changed > 500);
}
