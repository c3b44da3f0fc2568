// Review of a change of policies and of the schema they are written for.
#include "analysis/schema_change.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "analysis/impact.h"
#include "cedar/parser.h"

namespace wary::analysis {
namespace {

schema::Schema schema_of(std::string_view text) {
  auto made = schema::Schema::from_text("schema", text);
  REQUIRE_MESSAGE(made.schema, text);
  return std::move(*made.schema);
}

cedar::PolicySet set_of(std::string_view text) {
  const auto parsed = cedar::parse_policies(cedar::Source::make("policies", text));
  REQUIRE(parsed.errors.empty());
  return cedar::PolicySet::from(parsed.policies);
}

constexpr std::string_view kFormer = R"(
  entity Group;
  entity User in [Group] { level: Long };
  entity Doc { owner: User };
  action write;
  action view appliesTo { principal: User, resource: Doc };
  action edit in [write] appliesTo { principal: User, resource: Doc };
)";

// The former schema with one piece of its text replaced.
std::string with(std::string_view piece, std::string_view other) {
  std::string out(kFormer);
  const std::size_t at = out.find(piece);
  REQUIRE(at != std::string::npos);
  return out.replace(at, piece.size(), other);
}

Review review_of(std::string_view schema_before, std::string_view before, std::string_view schema_after,
                 std::string_view after) {
  const schema::Schema old_schema = schema_of(schema_before);
  const schema::Schema new_schema = schema_of(schema_after);
  const cedar::PolicySet old_set = set_of(before);
  const cedar::PolicySet new_set = set_of(after);
  Review out = review_change({old_schema, old_set}, {new_schema, new_set}, {});
  // What it borrows ends here; what the tests look at does not.
  for (PolicyChange& change : out.changes) change = {};
  for (PolicyChange& change : out.moved) change = {};
  return out;
}

constexpr std::string_view kAdult = "permit(principal, action, resource) when { principal.level > 5 };";

TEST_CASE("the same schema twice is one schema") {
  const Review review = review_of(kFormer, kAdult, kFormer, kAdult);
  CHECK(review.environments.empty());
  CHECK(review.schema_changes.empty());
  CHECK(review.no_new_access() == Verdict::kHolds);
  const Review wider = review_of(kFormer, kAdult, kFormer, "permit(principal, action, resource);");
  CHECK(wider.no_new_access() == Verdict::kFails);
  CHECK(wider.no_lost_access() == Verdict::kHolds);
}

TEST_CASE("each side is checked by its own schema, and what is gained is asked of what fits the new one") {
  const std::string more = with("level: Long", "level: Long, team?: String");
  const Review narrower = review_of(kFormer, kAdult, more,
                                    "permit(principal, action, resource) when { principal.level > 5 && principal has "
                                    "team && principal.team == \"a\" };");
  CHECK(narrower.not_covered.empty());
  CHECK(narrower.no_new_access() == Verdict::kHolds);
  REQUIRE(narrower.schema_changes.size() == 1);
  CHECK(narrower.schema_changes[0] == "User: attribute team?: String added");
  const Review wider = review_of(
      kFormer, kAdult, more, std::string(kAdult) + "permit(principal, action, resource) when { principal has team };");
  CHECK(wider.no_new_access() == Verdict::kFails);
  CHECK(wider.no_lost_access() == Verdict::kHolds);
}

TEST_CASE("what only one schema can type is unknown, never safe") {
  const std::string less = with("{ level: Long }", "");
  const Review review = review_of(kFormer, kAdult, less, "permit(principal == User::\"a\", action, resource);");
  CHECK(review.no_new_access() == Verdict::kUnknown);
  CHECK(review.not_covered.empty());
  // The policy stays, and the new schema has no such attribute any more.
  const Review kept = review_of(kFormer, kAdult, less, kAdult);
  CHECK(kept.environments.empty());
  REQUIRE(kept.not_covered.size() == 1);
  CHECK(kept.not_covered[0].reason.find("by the new schema") != std::string::npos);
  CHECK(kept.no_new_access() == Verdict::kUnknown);
  CHECK(kept.no_lost_access() == Verdict::kUnknown);
}

TEST_CASE("an action that comes into a group opens what permits of the group allow, with no policy changed") {
  const std::string moved = with("action view", "action view in [write]");
  const std::string writers = "permit(principal in Group::\"w\", action in Action::\"write\", resource);";
  const Review opened = review_of(kFormer, writers, moved, writers);
  CHECK(opened.changes.empty());
  CHECK(opened.moved.size() == 1);
  REQUIRE(opened.environments.size() == 1);
  CHECK(opened.environments[0].comparison == Comparison::kMorePermissive);
  CHECK(opened.no_new_access() == Verdict::kFails);
  CHECK(opened.no_lost_access() == Verdict::kHolds);
  REQUIRE(opened.environments[0].gained.answer.witness);
  CHECK(opened.environments[0].gained.answer.witness->request.action->id == "view");
  CHECK(to_string(opened.environments[0].gained.answer.witness.value()).find("Group::\"w\"") != std::string::npos);

  const Review closed = review_of(moved, writers, kFormer, writers);
  CHECK(closed.no_new_access() == Verdict::kHolds);
  CHECK(closed.no_lost_access() == Verdict::kFails);
  const std::string all = "permit(principal, action, resource);";
  CHECK(review_of(kFormer, all + writers, moved, all + writers).no_new_access() == Verdict::kHolds);
  const std::string forbid = all + "forbid(principal, action in Action::\"write\", resource);";
  CHECK(review_of(kFormer, forbid, moved, forbid).no_new_access() == Verdict::kHolds);
  CHECK(review_of(kFormer, forbid, moved, forbid).no_lost_access() == Verdict::kFails);
  const std::string asked = "permit(principal, action, resource) when { action in Action::\"write\" };";
  CHECK(review_of(kFormer, asked, moved, asked).no_new_access() == Verdict::kUnknown);
  // Group::"w" is no action, and asking for it is not asking for an action's groups.
  const std::string owned = "permit(principal, action, resource) when { resource.owner in Group::\"w\" };";
  CHECK(review_of(kFormer, owned, moved, owned).no_new_access() == Verdict::kHolds);
}

TEST_CASE("kinds of request that only one schema has are named, and are not safe where a permit lets them pass") {
  const std::string more = std::string(kFormer) + "action share appliesTo { principal: User, resource: Doc };";
  const Review added = review_of(kFormer, kAdult, more, kAdult);
  REQUIRE(added.lone.size() == 1);
  CHECK(added.lone[0].is_added);
  CHECK(added.lone[0].permits == std::vector<std::string>{"policy0"});
  CHECK(added.no_new_access() == Verdict::kUnknown);
  CHECK(added.no_lost_access() == Verdict::kHolds);
  const Review removed = review_of(more, kAdult, kFormer, kAdult);
  REQUIRE(removed.lone.size() == 1);
  CHECK_FALSE(removed.lone[0].is_added);
  CHECK(removed.no_new_access() == Verdict::kHolds);
  CHECK(removed.no_lost_access() == Verdict::kUnknown);
  const std::string viewers = "permit(principal, action == Action::\"view\", resource);";
  const Review closed = review_of(kFormer, viewers, more, viewers);
  REQUIRE(closed.lone.size() == 1);
  CHECK(closed.lone[0].permits.empty());
  CHECK(closed.no_new_access() == Verdict::kHolds);
  // Found stays found, beside what is only named.
  CHECK(review_of(kFormer, viewers, more, "permit(principal, action, resource);").no_new_access() == Verdict::kFails);
}

TEST_CASE("a forbid that names an action that is gone still counts for the actions that stay") {
  const std::string more = std::string(kFormer) + "action share appliesTo { principal: User, resource: Doc };";
  const std::string open = "permit(principal, action, resource);";
  const std::string closed = open + "forbid(principal, action in [Action::\"view\", Action::\"share\"], resource);";
  CHECK(review_of(more, closed, kFormer, open).no_new_access() == Verdict::kFails);
  CHECK(review_of(kFormer, open, more, closed).environments.size() == 1);
  CHECK(review_of(kFormer, open, more, closed).no_lost_access() == Verdict::kFails);
  // It stays, and names what the new schema has not.
  CHECK(review_of(more, closed, kFormer, closed).no_new_access() == Verdict::kUnknown);
}

TEST_CASE("what differs between two schemas is told by name") {
  const std::vector<std::string> lines = describe_changes(schema_of(kFormer), schema_of(R"(
        entity Team;
        entity User in [Team] { level?: Long } tags String;
        entity Doc { owner: User };
        action write, view appliesTo { principal: [User, Team], resource: Doc, context: { n: Long } };
      )"));
  for (const char* line :
       {"Group: removed", "Team: added", "User: in Group removed", "User: in Team added",
        "User: attribute level: Long is now level?: Long", "User: tags String added", "Action::\"edit\": removed",
        "Action::\"view\": principal Team added", "Action::\"view\": context n: Long added"}) {
    CHECK_MESSAGE(std::find(lines.begin(), lines.end(), line) != lines.end(), line);
  }
}

// ---- Against all of a small world

struct Placed {
  schema::Schema schema;
  std::vector<cedar::EntityStore> stores;  // by level
};

constexpr std::int64_t kLevels[] = {std::numeric_limits<std::int64_t>::min(), -2, -1, 0, 1, 2, 3,
                                    std::numeric_limits<std::int64_t>::max()};

// Which of the actions a and b are in which of the groups g and h, and whether g is in h. Action c is in both, for a
// policy of an empty group is none that validates.
Placed placed(unsigned bits) {
  const auto groups = [&](unsigned shift) {
    const unsigned in = bits >> shift & 3;
    return std::string(in == 0 ? "" : in == 1 ? " in [g]" : in == 2 ? " in [h]" : " in [g, h]");
  };
  Placed out{schema_of("entity User { level: Long }; entity Doc; action h; action g" +
                       std::string((bits >> 4 & 1) != 0 ? " in [h]" : "") + "; action a" + groups(0) +
                       " appliesTo { principal: User, resource: Doc }; action b" + groups(2) +
                       " appliesTo { principal: User, resource: Doc }; action c in [g, h] appliesTo { principal: User, "
                       "resource: Doc };"),
             {}};
  for (const std::int64_t level : kLevels) {
    std::vector<cedar::EntityHandle> entities = out.schema.action_entities();
    entities.push_back(std::make_shared<const cedar::Entity>(
        cedar::Entity{cedar::make_entity("User", "u"), {{"level", cedar::Value(level)}}, {}, {}}));
    entities.push_back(
        std::make_shared<const cedar::Entity>(cedar::Entity{cedar::make_entity("Doc", "d"), {}, {}, {}}));
    auto store = cedar::EntityStore::make(std::move(entities));
    REQUIRE(store.ok());
    out.stores.push_back(std::move(*store));
  }
  return out;
}

Verdict allows_nothing_beyond(const Placed& wide, const cedar::PolicySet& a, const Placed& narrow,
                              const cedar::PolicySet& b) {
  const auto decided = [](const Placed& side, const cedar::PolicySet& set, const char* action, std::size_t level) {
    std::vector<const cedar::Policy*> all;
    for (const cedar::Policy& policy : set.policies()) all.push_back(&policy);
    return is_allowed(all,
                      {cedar::make_entity("User", "u"), cedar::make_entity("Action", action),
                       cedar::make_entity("Doc", "d"), cedar::Value::record({})},
                      side.stores[level], Rule::kDecisionPoint);
  };
  for (const char* action : {"a", "b", "c"}) {
    for (std::size_t level = 0; level < std::size(kLevels); ++level) {
      if (decided(wide, a, action, level) && !decided(narrow, b, action, level)) return Verdict::kFails;
    }
  }
  return Verdict::kHolds;
}

TEST_CASE("schemas that put actions into other groups: verdicts are what deciding every small world says") {
  const std::vector<std::string> parts = {
      "permit(principal, action in Action::\"g\", resource);",
      "permit(principal, action == Action::\"a\", resource) when { principal.level > 0 };",
      "permit(principal, action in [Action::\"h\", Action::\"b\"], resource) when { principal.level == 1 };",
      "forbid(principal, action in Action::\"h\", resource) when { principal.level + 1 < 2 };",
      "forbid(principal, action in Action::\"g\", resource) when { principal.level == 2 };",
      "permit(principal, action in Action::\"h\", resource) when { principal.level < 0 };"};
  std::size_t failing = 0;
  std::size_t moved = 0;
  unsigned state = 3;
  for (int round = 0; round < 30; ++round) {
    state = state * 1103515245U + 12345U;
    const Placed before = placed(state >> 8 & 31);
    const Placed after = placed(state >> 13 & 31);
    std::string old_text;
    std::string new_text;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const bool is_old = (state >> (18 + i) & 1) != 0;
      if (is_old) old_text += parts[i];
      // Mostly the same policies: what the schema alone changes is what is tested.
      if (is_old != ((state >> (24 + i) & 3) == 0)) new_text += parts[i];
    }
    CAPTURE(old_text);
    CAPTURE(new_text);
    CAPTURE(state);
    const cedar::PolicySet old_set = set_of(old_text);
    const cedar::PolicySet new_set = set_of(new_text);
    const Review review = review_change({before.schema, old_set}, {after.schema, new_set}, {});
    CAPTURE(to_string(review));
    CHECK(review.no_new_access() == allows_nothing_beyond(after, new_set, before, old_set));
    CHECK(review.no_lost_access() == allows_nothing_beyond(before, old_set, after, new_set));
    failing += review.no_new_access() == Verdict::kFails;
    moved += !review.moved.empty();
  }
  CHECK(failing > 0);
  CHECK(failing < 30);
  CHECK(moved > 0);
}

// ---- Over entities

TEST_CASE("who gains by an action's new group is named") {
  const schema::Schema former = schema_of(kFormer);
  const schema::Schema next = schema_of(with("action view", "action view in [write]"));
  const cedar::PolicySet set = set_of("permit(principal in Group::\"w\", action in Action::\"write\", resource);");
  std::vector<cedar::EntityHandle> entities = former.action_entities();
  const auto add = [&](std::string_view type, std::string_view id, cedar::Value::Record attributes,
                       std::vector<cedar::EntityPtr> parents) {
    entities.push_back(std::make_shared<const cedar::Entity>(
        cedar::Entity{cedar::make_entity(type, id), std::move(attributes), {}, std::move(parents)}));
  };
  add("User", "in", {{"level", cedar::Value(std::int64_t{1})}}, {cedar::make_entity("Group", "w")});
  add("User", "out", {{"level", cedar::Value(std::int64_t{1})}}, {});
  add("Doc", "d", {{"owner", cedar::Value::entity(cedar::make_entity("User", "in"))}}, {});
  std::vector<engine::EntityInput> inputs;
  for (const auto& entity : entities) inputs.push_back({entity.get(), {}});
  const auto snapshot = engine::Snapshot::make(set.policies(), inputs, {.seed = 7});
  REQUIRE(snapshot.ok());
  const Review review = review_change({former, set}, {next, set}, {});
  const auto impact =
      find_impact(*snapshot, set.policies(), {.schema = next, .schema_before = &former, .changes = review.moved});
  REQUIRE(impact.ok());
  CHECK(impact->is_complete);
  CHECK(impact->gained == 1);
  CHECK(impact->lost == 0);
  REQUIRE(impact->examples.size() == 1);
  CHECK(impact->examples[0].principal == "User::\"in\"");
  CHECK(impact->examples[0].action == "Action::\"view\"");
}

}  // namespace
}  // namespace wary::analysis
