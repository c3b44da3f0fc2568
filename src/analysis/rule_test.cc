// Whose decision a proof is about: where a forbid that errs makes a difference, and where it must not.
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

#include "analysis/impact.h"
#include "cedar/parser.h"

namespace wary::analysis {
namespace {

constexpr std::string_view kRuledSchema = R"(
  entity User { level: Long };
  entity Doc { size: Long, note?: Long };
  action view appliesTo { principal: User, resource: Doc, context: { n: Long } };
)";

schema::Schema ruled_schema() {
  auto made = schema::Schema::from_text("schema", kRuledSchema);
  REQUIRE(made.schema);
  return std::move(*made.schema);
}

cedar::PolicySet ruled_set(std::string_view text) {
  const auto parsed = cedar::parse_policies(cedar::Source::make("policies", text));
  REQUIRE(parsed.errors.empty());
  return cedar::PolicySet::from(parsed.policies);
}

std::string forbid_when(std::string_view condition) {
  return "forbid(principal, action, resource) when { " + std::string(condition) + " };";
}

constexpr std::string_view kOpen = "permit(principal, action, resource);";

TEST_CASE("a forbid that errs denies by the decision point's rule, and is absent by Cedar's") {
  struct Row {
    std::string_view what;
    std::string before;
    std::string after;
    Verdict gains_nothing;  // the decision point's
    Verdict loses_nothing;
    Verdict gains_nothing_in_cedar;
    Verdict loses_nothing_in_cedar;
  };
  constexpr Verdict kYes = Verdict::kHolds;
  constexpr Verdict kNo = Verdict::kFails;
  const std::string errs_at_most = forbid_when("principal.level + 1 < 5");
  const std::string errs_never = forbid_when("principal.level < 4");
  const std::string never_holds = forbid_when("principal.level + 1 == -9223372036854775808");
  const std::string forbids_most =
      forbid_when("if principal.level == 9223372036854775807 then true else principal.level + 1 < 5");
  const std::string guarded = forbid_when("principal.level < 100 && principal.level + 1 < 5");
  for (const Row& row : std::initializer_list<Row>{
           {"one that errs gives way to one that does not", errs_at_most, errs_never, kNo, kYes, kYes, kYes},
           {"one that does not gives way to one that errs", errs_never, errs_at_most, kYes, kNo, kYes, kYes},
           {"one that only errs is dropped", never_holds, "", kNo, kYes, kYes, kYes},
           {"one that only errs is added", "", never_holds, kYes, kNo, kYes, kYes},
           {"one that forbids where it erred", errs_at_most, forbids_most, kYes, kYes, kYes, kNo},
           {"one that never reaches what errs", errs_never, guarded, kYes, kYes, kYes, kYes},
       }) {
    CAPTURE(row.what);
    const schema::Schema schema = ruled_schema();
    const auto before = ruled_set(std::string(kOpen) + row.before);
    const auto after = ruled_set(std::string(kOpen) + row.after);
    const Review ours = review_change(schema, before, after, {});
    CHECK(ours.no_new_access() == row.gains_nothing);
    CHECK(ours.no_lost_access() == row.loses_nothing);
    const Review theirs = review_change(schema, before, after, {}, Rule::kCedar);
    CHECK(theirs.no_new_access() == row.gains_nothing_in_cedar);
    CHECK(theirs.no_lost_access() == row.loses_nothing_in_cedar);
    const auto whole = compare(schema, after, before, {}, Rule::kDecisionPoint);
    REQUIRE(whole.size() == 1);
    CHECK(whole[0].gained.verdict == row.gains_nothing);
    CHECK(compare(schema, after, before, {}, Rule::kCedar)[0].lost.verdict == row.loses_nothing_in_cedar);
  }
}

TEST_CASE("a forbid beside the change that errs where a permit opens is taken in") {
  const schema::Schema schema = ruled_schema();
  const std::string kept = forbid_when("principal.level + 1 < -5");
  const auto before = ruled_set(kept + "permit(principal, action, resource) when { principal.level == 3 };");
  const auto after = ruled_set(
      kept + "permit(principal, action, resource) when { [3, 9223372036854775807].contains(principal.level) };");
  CHECK(review_change(schema, before, after, {}).no_new_access() == Verdict::kHolds);
  CHECK(review_change(schema, before, after, {}, Rule::kCedar).no_new_access() == Verdict::kFails);
}

TEST_CASE("a set that a forbid's error closes allows nothing there, and a permit that errs is absent by either rule") {
  const schema::Schema schema = ruled_schema();
  const auto set = ruled_set(std::string(kOpen) + forbid_when("principal.level * 2 == 1") +
                             "permit(principal, action, resource) when { principal.level * 2 == 1 };");
  const auto& policies = set.policies();
  using Kind = Question::Kind;
  const schema::Environment environment = schema.environments().at(0);
  const std::vector<Question> questions = {
      {Kind::kAlwaysAllows, environment, {&policies[0], &policies[1]}, {}, false, Rule::kDecisionPoint},
      {Kind::kAlwaysAllows, environment, {&policies[0], &policies[1]}, {}, false, Rule::kCedar},
      {Kind::kAlwaysAllows, environment, {&policies[0], &policies[2]}, {}, false, Rule::kDecisionPoint},
      {Kind::kAlwaysAllows, environment, {&policies[0], &policies[2]}, {}, false, Rule::kCedar}};
  const std::vector<Answer> answers = prove(schema, questions, {});
  CHECK(answers.at(0).verdict == Verdict::kFails);
  CHECK(answers.at(1).verdict == Verdict::kHolds);
  CHECK(answers.at(2).verdict == Verdict::kHolds);
  CHECK(answers.at(3).verdict == Verdict::kHolds);
  CHECK(find_issues(schema, set, {}, Rule::kDecisionPoint).environments.at(0).allows_all == Verdict::kFails);
  CHECK(find_issues(schema, set, {}, Rule::kCedar).environments.at(0).allows_all == Verdict::kHolds);
}

TEST_CASE("a forbid that errs on a missing attribute does not validate: dropping it is never called safe") {
  const schema::Schema schema = ruled_schema();
  const auto before = ruled_set(std::string(kOpen) + forbid_when("resource.note > 3 && principal.level > 9"));
  for (const Rule rule : {Rule::kDecisionPoint, Rule::kCedar}) {
    const Review review = review_change(schema, before, ruled_set(kOpen), {}, rule);
    CHECK(review.no_new_access() == Verdict::kUnknown);
    REQUIRE(review.not_covered.size() == 1);
    CHECK(review.not_covered[0].may_gain);
  }
}

// ---- Against all of a small world

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();

cedar::EntityHandle entity_of(std::string_view type, std::string_view id, cedar::Value::Record attributes) {
  return std::make_shared<const cedar::Entity>(
      cedar::Entity{cedar::make_entity(type, id), std::move(attributes), {}, {}});
}

struct SmallWorld {
  cedar::Request request;
  cedar::EntityStore store;
};

// One of each kind of pair of numbers that the policies below tell apart: what differs anywhere, differs in one of
// these.
std::vector<SmallWorld> small_worlds(const schema::Schema& schema) {
  const std::vector<std::int64_t> numbers = {kLeast, kLeast + 1, kLeast / 2 - 5, -5, -1, 0, 1, 2, 3, kMost - 1, kMost};
  std::vector<SmallWorld> out;
  for (const std::int64_t level : numbers) {
    for (const std::int64_t size : numbers) {
      std::vector<cedar::EntityHandle> entities = schema.action_entities();
      entities.push_back(entity_of("User", "u", {{"level", cedar::Value(level)}}));
      entities.push_back(entity_of("Doc", "d", {{"size", cedar::Value(size)}}));
      auto store = cedar::EntityStore::make(std::move(entities));
      REQUIRE(store.ok());
      const cedar::Request request{cedar::make_entity("User", "u"), cedar::make_entity("Action", "view"),
                                   cedar::make_entity("Doc", "d"),
                                   cedar::Value::record({{"n", cedar::Value(std::int64_t{0})}})};
      out.push_back({request, std::move(*store)});
    }
  }
  return out;
}

std::vector<const cedar::Policy*> all_policies(const cedar::PolicySet& set) {
  std::vector<const cedar::Policy*> out;
  for (const cedar::Policy& policy : set.policies()) out.push_back(&policy);
  return out;
}

// Whether any of the worlds is allowed by `wide` and not by `narrow`.
Verdict nothing_beyond(const std::vector<SmallWorld>& worlds, const cedar::PolicySet& wide,
                       const cedar::PolicySet& narrow, Rule rule) {
  for (const SmallWorld& world : worlds) {
    if (is_allowed(all_policies(wide), world.request, world.store, rule) &&
        !is_allowed(all_policies(narrow), world.request, world.store, rule)) {
      return Verdict::kFails;
    }
  }
  return Verdict::kHolds;
}

TEST_CASE("what is proved, and what is shown false, is what deciding every small world says, by either rule") {
  const schema::Schema schema = ruled_schema();
  const std::vector<SmallWorld> worlds = small_worlds(schema);
  const std::string permit = "permit(principal, action, resource) when { ";
  const std::vector<std::string> parts = {std::string(kOpen),
                                          permit + "principal.level > 0 };",
                                          permit + "principal.level + resource.size > 0 };",
                                          forbid_when("principal.level + 1 < 2"),
                                          forbid_when("principal.level < 1"),
                                          forbid_when("resource.size * 2 > 4"),
                                          forbid_when("-principal.level > 0"),
                                          forbid_when("resource.size > 2 && principal.level + 1 < 2")};
  std::size_t differing = 0;
  std::size_t failing = 0;
  unsigned state = 7;
  for (int pair = 0; pair < 24; ++pair) {
    std::string before_text;
    std::string after_text;
    state = state * 1103515245U + 12345U;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if ((state >> (8 + i) & 1) != 0) before_text += parts[i];
      if ((state >> (16 + i) & 1) != 0) after_text += parts[i];
    }
    CAPTURE(before_text);
    CAPTURE(after_text);
    const auto before = ruled_set(before_text);
    const auto after = ruled_set(after_text);
    std::vector<Verdict> verdicts;
    for (const Rule rule : {Rule::kDecisionPoint, Rule::kCedar}) {
      const Review review = review_change(schema, before, after, {}, rule);
      CHECK(review.no_new_access() == nothing_beyond(worlds, after, before, rule));
      CHECK(review.no_lost_access() == nothing_beyond(worlds, before, after, rule));
      verdicts.push_back(review.no_new_access());
      verdicts.push_back(review.no_lost_access());
    }
    differing += verdicts[0] != verdicts[2] || verdicts[1] != verdicts[3];
    failing += verdicts[0] == Verdict::kFails;
  }
  CHECK(differing > 0);
  CHECK(failing > 0);
  CHECK(failing < 24);
}

// ---- Over entities

TEST_CASE("who gains from a forbid that erred and went is named") {
  const schema::Schema schema = ruled_schema();
  std::vector<cedar::EntityHandle> entities = schema.action_entities();
  entities.push_back(entity_of("User", "most", {{"level", cedar::Value(kMost)}}));
  entities.push_back(entity_of("User", "some", {{"level", cedar::Value(std::int64_t{9})}}));
  entities.push_back(entity_of("Doc", "d", {{"size", cedar::Value(std::int64_t{1})}}));
  std::vector<engine::EntityInput> inputs;
  for (const auto& entity : entities) inputs.push_back({entity.get(), {}});
  const auto impact_of = [&](const std::string& before_text, const std::string& after_text, Rule rule,
                             const cedar::Value& context) {
    const auto before = ruled_set(std::string(kOpen) + before_text);
    const auto after = ruled_set(std::string(kOpen) + after_text);
    const auto snapshot = engine::Snapshot::make(before.policies(), inputs, {.seed = 7});
    REQUIRE(snapshot.ok());
    const auto changes = changes_between(before, after);
    auto impact = find_impact(*snapshot, after.policies(),
                              {.schema = schema, .changes = changes, .context = context, .rule = rule});
    REQUIRE(impact.ok());
    return std::move(*impact);
  };
  const cedar::Value context = cedar::Value::record({{"n", cedar::Value(std::int64_t{1})}});
  const std::string errs = forbid_when("principal.level + 1 < 5");
  const Impact gained = impact_of(errs, forbid_when("principal.level < 4"), Rule::kDecisionPoint, context);
  CHECK(gained.gained == 1);
  CHECK(gained.undecided == 0);
  REQUIRE(gained.examples.size() == 1);
  CHECK(gained.examples[0].principal == "User::\"most\"");
  CHECK(impact_of(errs, forbid_when("principal.level < 4"), Rule::kCedar, context).gained == 0);

  // Without a context, what a forbid reads of it is not there: neither gained nor lost, but told.
  const std::string reads = forbid_when("context.n > 5");
  const Impact bare = impact_of(reads, "", Rule::kDecisionPoint, cedar::Value::record({}));
  CHECK(bare.gained == 0);
  CHECK(bare.undecided == 2);
  const Impact with = impact_of(reads, "", Rule::kDecisionPoint, context);
  CHECK(with.gained == 0);
  CHECK(with.undecided == 0);
  const cedar::Value high = cedar::Value::record({{"n", cedar::Value(std::int64_t{9})}});
  CHECK(impact_of(reads, "", Rule::kDecisionPoint, high).gained == 2);
}

}  // namespace
}  // namespace wary::analysis
