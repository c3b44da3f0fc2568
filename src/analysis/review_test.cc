#include "analysis/review.h"

#include <doctest/doctest.h>

#include "analysis/impact.h"
#include "analysis/unused.h"
#include "cedar/parser.h"
#include "cedar/printer.h"
#include "schema/validator.h"

namespace wary::analysis {
namespace {

constexpr std::string_view kReviewedSchema = R"(
  entity Group;
  entity User in [Group] { level: Long };
  entity Folder in [Folder];
  entity Doc in [Folder] { owner: User, secret: Bool };
  action all;
  action view, edit in [all] appliesTo { principal: User, resource: Doc };
  action list appliesTo { principal: User, resource: Folder };
)";

schema::Schema make_schema() {
  auto made = schema::Schema::from_text("schema", kReviewedSchema);
  REQUIRE(made.schema);
  return std::move(*made.schema);
}

cedar::PolicySet make_set(std::string_view text) {
  const auto parsed = cedar::parse_policies(cedar::Source::make("policies", text));
  REQUIRE(parsed.errors.empty());
  return cedar::PolicySet::from(parsed.policies);
}

TEST_CASE("what only got another id, or another comment, did not change") {
  const auto before = make_set("permit(principal, action, resource); forbid(principal, action, resource is Doc);");
  const auto after = make_set(
      "forbid ( principal,action, resource is Doc ); // moved\n @note(\"x\") permit(principal, action, resource);");
  CHECK(changes_between(before, after).empty());
  const Review review = review_change(make_schema(), before, after, {});
  CHECK(review.environments.empty());
  CHECK(review.no_new_access() == Verdict::kHolds);
}

TEST_CASE("what the schema does not speak of is unknown, never safe") {
  const schema::Schema schema = make_schema();
  const std::string kept = "@id(\"kept\") permit(principal, action == Action::\"view\", resource);";
  for (const char* added : {"permit(principal, action, resource is Shop::Order);",
                            "permit(principal, action == Action::\"delete\", resource);",
                            "permit(principal, action, resource) when { principal.levle > 1 };"}) {
    const cedar::PolicySet narrow = make_set(kept);
    const cedar::PolicySet wide = make_set(kept + added);
    const Review wider = review_change(schema, narrow, wide, {});
    CHECK_MESSAGE(wider.no_new_access() == Verdict::kUnknown, added);
    REQUIRE(wider.not_covered.size() == 1);
    CHECK(to_string(wider).find(wider.not_covered[0].reason) != std::string::npos);
    CHECK(review_change(schema, wide, narrow, {}).no_lost_access() == Verdict::kUnknown);
  }
  // What was found stays found.
  const Review both =
      review_change(schema, make_set(""),
                    make_set("permit(principal, action, resource); permit(principal is No, action, resource);"), {});
  CHECK(both.no_new_access() == Verdict::kFails);
  // A template by itself decides nothing.
  const Review template_only = review_change(
      schema, make_set(kept), make_set(kept + "permit(principal == ?principal, action, resource is Shop::Order);"), {});
  CHECK(template_only.no_new_access() == Verdict::kHolds);
}

TEST_CASE("an obligation that is dropped is unknown, never safe") {
  const schema::Schema schema = make_schema();
  const std::string permit = "permit(principal, action, resource)";
  const auto with = make_set("@obligation(\"step-up\")" + permit + ";");
  const auto without = make_set(permit + ";");
  const Review dropped = review_change(schema, with, without, {});
  CHECK(dropped.no_new_access() == Verdict::kUnknown);
  CHECK(dropped.changes.size() == 1);
  CHECK(review_change(schema, without, with, {}).no_lost_access() == Verdict::kUnknown);
  CHECK(review_change(schema, without, with, {}).no_new_access() == Verdict::kHolds);
  // The narrower permit's obligation no longer stands where another permit goes on.
  const Review narrowed =
      review_change(schema, with, make_set("@obligation(\"step-up\")" + permit + "when { principal.level > 1 };"), {});
  CHECK(narrowed.no_new_access() == Verdict::kUnknown);
  const Review other =
      review_change(schema, make_set("@obligation(\"step-up\")@obligation_value(\"1\")" + permit + ";"),
                    make_set("@obligation(\"step-up\")@obligation_value(\"2\")" + permit + ";"), {});
  CHECK(other.no_new_access() == Verdict::kUnknown);
  CHECK(changes_between(with, make_set("@note(\"x\")@obligation(\"step-up\")" + permit + ";")).empty());
}

TEST_CASE("an added forbid gains nothing, by its scope alone") {
  const schema::Schema schema = make_schema();
  const auto before = make_set("permit(principal, action, resource);");
  const auto after = make_set(
      "permit(principal, action, resource);"
      "forbid(principal, action == Action::\"edit\", resource) when { resource.secret };");
  const Review review = review_change(schema, before, after, {});
  REQUIRE(review.environments.size() == 1);
  CHECK(review.environments[0].gained.tier == Tier::kScope);
  CHECK(review.environments[0].lost.tier == Tier::kSolver);
  CHECK(review.environments[0].comparison == Comparison::kLessPermissive);
  CHECK(review.no_new_access() == Verdict::kHolds);
  CHECK(review.no_lost_access() == Verdict::kFails);
  CHECK(to_string(review).find("less permissive") != std::string::npos);
}

TEST_CASE("a permit that another one covers gains nothing, by proof") {
  const schema::Schema schema = make_schema();
  const auto before = make_set("permit(principal in Group::\"a\", action, resource);");
  const auto after = make_set(
      "permit(principal in Group::\"a\", action, resource);"
      "permit(principal in Group::\"a\", action == Action::\"view\", resource) when { !resource.secret };");
  const Review review = review_change(schema, before, after, {});
  REQUIRE(review.environments.size() == 1);
  CHECK(review.environments[0].comparison == Comparison::kEquivalent);
  CHECK(review.environments[0].gained.tier == Tier::kSolver);
}

TEST_CASE("a weakened forbid opens what a permit allows, and nothing where no permit does") {
  const schema::Schema schema = make_schema();
  const std::string forbid = "forbid(principal, action == Action::\"view\", resource) when { principal.level < ";
  const auto opens = review_change(schema, make_set("permit(principal, action, resource);" + forbid + "5 };"),
                                   make_set("permit(principal, action, resource);" + forbid + "4 };"), {});
  REQUIRE(opens.environments.size() == 1);
  CHECK(opens.environments[0].comparison == Comparison::kMorePermissive);
  const std::string permit = "permit(principal, action == Action::\"edit\", resource);";
  const auto does_not =
      review_change(schema, make_set(permit + forbid + "5 };"), make_set(permit + forbid + "4 };"), {});
  REQUIRE(does_not.environments.size() == 1);
  CHECK(does_not.environments[0].comparison == Comparison::kEquivalent);
}

TEST_CASE("a review and a comparison of whole sets agree") {
  const schema::Schema schema = make_schema();
  const std::vector<std::string> parts = {
      "permit(principal == User::\"a\", action, resource);",
      "permit(principal, action in Action::\"all\", resource) when { resource.owner == principal };",
      "permit(principal in Group::\"g\", action == Action::\"view\", resource in Folder::\"f\");",
      "forbid(principal, action, resource is Doc) when { resource.secret };",
      "forbid(principal, action, resource) unless { principal.level > 3 };",
      "permit(principal, action == Action::\"view\", resource) when { resource.secret };",
  };
  for (unsigned mask = 0; mask < 1U << parts.size(); mask += 5) {
    std::string first;
    std::string second;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if ((mask >> i & 1) != 0) first += parts[i];
      if ((mask * 7 + 3) >> i & 1) second += parts[i];
    }
    CAPTURE(mask);
    const auto before = make_set(first);
    const auto after = make_set(second);
    const Review review = review_change(schema, before, after, {});
    for (const EnvironmentComparison& whole : compare(schema, after, before, {}, Rule::kDecisionPoint)) {
      Comparison found = Comparison::kEquivalent;
      for (const EnvironmentReview& one : review.environments) {
        if (to_string(one.environment) == to_string(whole.environment)) found = one.comparison;
      }
      CHECK(found == whole.comparison);
    }
  }
}

cedar::EntityHandle make(std::string_view type, std::string_view id, cedar::Value::Record attributes,
                         std::vector<cedar::EntityPtr> parents) {
  return std::make_shared<const cedar::Entity>(
      cedar::Entity{cedar::make_entity(type, id), std::move(attributes), {}, std::move(parents)});
}

TEST_CASE("who gains and loses is named, and counted as the tree walker counts") {
  const schema::Schema schema = make_schema();
  std::vector<cedar::EntityHandle> entities = schema.action_entities();
  for (int i = 0; i < 12; ++i) {
    const std::string id = std::to_string(i);
    entities.push_back(
        make("User", "u" + id, {{"level", cedar::Value(i)}}, {cedar::make_entity("Group", i % 3 == 0 ? "g" : "h")}));
    entities.push_back(make(
        "Doc", "d" + id,
        {{"owner", cedar::Value::entity(cedar::make_entity("User", "u" + id))}, {"secret", cedar::Value(i % 2 == 0)}},
        {cedar::make_entity("Folder", "f")}));
  }
  const std::string base =
      "permit(principal, action, resource) when { resource has owner && resource.owner == principal };";
  const auto before =
      make_set(base + "permit(principal in Group::\"g\", action == Action::\"view\", resource is Doc);");
  const auto after = make_set(
      base +
      "permit(principal in Group::\"h\", action == Action::\"view\", resource is Doc) when { !resource.secret };");
  std::vector<engine::EntityInput> inputs;
  for (const auto& entity : entities) inputs.push_back({entity.get(), {}});
  const auto snapshot = engine::Snapshot::make(before.policies(), inputs, {.seed = 7});
  REQUIRE(snapshot.ok());
  const auto changes = changes_between(before, after);
  const auto impact = find_impact(*snapshot, after.policies(), {.schema = schema, .changes = changes});
  REQUIRE(impact.ok());
  const auto store = cedar::EntityStore::make(entities);
  REQUIRE(store.ok());
  std::size_t gained = 0;
  std::size_t lost = 0;
  std::vector<cedar::Request> requests;
  for (const auto& user : entities) {
    for (const auto& doc : entities) {
      if (user->uid->type != "User" || doc->uid->type != "Doc") continue;
      for (const char* action : {"view", "edit"}) {
        requests.push_back({user->uid, cedar::make_entity("Action", action), doc->uid, cedar::Value::record({})});
        cedar::StoreView view(*store);
        const bool was = cedar::is_authorized(before, requests.back(), view).is_allowed;
        const bool is = cedar::is_authorized(after, requests.back(), view).is_allowed;
        gained += !was && is;
        lost += was && !is;
      }
    }
  }
  CHECK(gained > 0);
  CHECK(lost > 0);
  CHECK(impact->is_complete);
  CHECK(impact->gained == gained);
  CHECK(impact->lost == lost);
  CHECK(impact->examples.size() == std::min<std::size_t>(gained + lost, 100));
  CHECK(replay_requests(**snapshot, *impact->after, requests, {}).size() == gained + lost);
  const auto again = engine::Snapshot::make(before.policies(), inputs, {.seed = 7});
  const auto cut = find_impact(*again, after.policies(), {.schema = schema, .changes = changes, .decisions_max = 3});
  REQUIRE(cut.ok());
  CHECK_FALSE(cut->is_complete);
}

TEST_CASE("a permit that was never used is told, and a wide one gets a narrower proposal with a proof") {
  const schema::Schema schema = make_schema();
  const auto set = make_set(
      "permit(principal, action, resource is Doc) when { !resource.secret };"
      "permit(principal in Group::\"g\", action == Action::\"list\", resource);"
      "permit(principal == User::\"a\", action == Action::\"view\", resource);");
  const auto uid = [](std::string_view type, std::string_view id) { return cedar::make_entity(type, id); };
  const std::vector<RecordedRequest> recorded = {
      {uid("User", "a"), uid("Action", "view"), uid("Doc", "x"), true, {"policy0", "policy2"}},
      {uid("User", "b"), uid("Action", "view"), uid("Doc", "y"), true, {"policy0"}},
      {uid("User", "b"), uid("Action", "edit"), uid("Doc", "y"), false, {}}};
  const auto uses = find_unused(schema, set, recorded, {});
  REQUIRE(uses.size() == 3);
  CHECK(uses[0].count == 2);
  CHECK(uses[0].proposal.find("action == Action::\"view\"") != std::string::npos);
  CHECK(uses[0].proposal.find("principal == User::\"b\"") != std::string::npos);
  CHECK_MESSAGE(uses[0].is_narrower == Verdict::kHolds, uses[0].reason);
  CHECK(uses[1].count == 0);
  CHECK(uses[1].proposal.empty());
  CHECK(uses[2].proposal.empty());
}

TEST_CASE("a permit of a group of actions is not as narrow as the one action that was seen") {
  const auto set = make_set("permit(principal == User::\"a\", action in Action::\"all\", resource is Doc);");
  const auto uid = [](std::string_view type, std::string_view id) { return cedar::make_entity(type, id); };
  const std::vector<RecordedRequest> recorded = {
      {uid("User", "a"), uid("Action", "view"), uid("Doc", "x"), true, {"policy0"}}};
  const auto uses = find_unused(make_schema(), set, recorded, {});
  REQUIRE(uses.size() == 1);
  CHECK(uses[0].proposal.find("action == Action::\"view\"") != std::string::npos);
  CHECK_MESSAGE(uses[0].is_narrower == Verdict::kHolds, uses[0].reason);
}

}  // namespace
}  // namespace wary::analysis
