#include "analysis/recorded.h"

#include <doctest/doctest.h>

#include "cedar/parser.h"

namespace wary::analysis {
namespace recorded_test {
namespace {

cedar::PolicySet make_set(std::string_view text) {
  const auto parsed = cedar::parse_policies(cedar::Source::make("policies", text));
  REQUIRE(parsed.errors.empty());
  return cedar::PolicySet::from(parsed.policies);
}

cedar::EntityHandle make_entity(std::string_view id, std::vector<cedar::EntityPtr> parents = {}) {
  auto out = std::make_shared<cedar::Entity>();
  out->uid = cedar::make_entity("User", id);
  out->parents = std::move(parents);
  return out;
}

// Two sets over ann, of the team, and bo.
struct World {
  World(std::string_view old_text, std::string_view new_text)
      : old_set(make_set(old_text)), new_set(make_set(new_text)) {
    const auto team = cedar::make_entity("Team", "web");
    entities = {make_entity("ann", {team}), make_entity("bo")};
    std::vector<engine::EntityInput> inputs;
    for (const auto& entity : entities) inputs.push_back({entity.get(), {}});
    before = engine::Snapshot::make(old_set.policies(), inputs, {.seed = 1}).value();
    after = engine::Snapshot::make(new_set.policies(), inputs, {.seed = 2}).value();
  }
  Replay replay(const std::vector<RecordedDecision>& decisions) {
    Replayer replayer({*before, old_set, *after, new_set}, {},
                      [this](const cedar::EntityUid& uid, UnixTime, bool is_named) -> std::string {
                        return is_named && uid.to_string() == gone ? "gone" : "";
                      });
    for (const RecordedDecision& decision : decisions) replayer.add(decision);
    return replayer.result();
  }
  static RecordedDecision asked(std::string_view who, cedar::Value::Record context = {}) {
    return {{cedar::make_entity("User", who), cedar::make_entity("Action", "read"), cedar::make_entity("Page", "home"),
             cedar::Value::record(std::move(context))},
            {},
            ""};
  }
  cedar::PolicySet old_set, new_set;
  std::vector<cedar::EntityHandle> entities;
  engine::SnapshotPtr before, after;
  std::string gone;
};

constexpr std::string_view kAll = "permit(principal, action, resource);";
constexpr std::string_view kTeam = "permit(principal in Team::\"web\", action, resource);";

TEST_CASE("who asked is answered by both sets, and equal requests are one line") {
  World world(kAll, kTeam);
  const auto ann = World::asked("ann"), bo = World::asked("bo");
  const Replay replay = world.replay({ann, bo, bo, ann});
  CHECK(replay.same == 2);
  CHECK(replay.lost == 2);
  CHECK(replay.gained == 0);
  CHECK(replay.unknown == 0);
  REQUIRE(replay.losses.size() == 1);
  CHECK(replay.losses[0].principal == "User::\"bo\"");
  CHECK(replay.losses[0].count == 2);
  CHECK(World(kTeam, kAll).replay({bo}).gained == 1);
}

TEST_CASE("what was not recorded whole is unknown, also where both sets would agree") {
  World world(kAll, kAll);
  RecordedDecision cut = World::asked("ann");
  cut.unknown = "its context was too large to be recorded";
  const Replay replay = world.replay({cut, cut});
  CHECK(replay.unknown == 2);
  CHECK(replay.same == 0);
  REQUIRE(replay.unknowns.size() == 1);
  CHECK(replay.unknowns[0].reason == "its context was too large to be recorded");
}

TEST_CASE("an answer that rests on an entity that is gone is unknown; one that does not rest on it is not") {
  World world(kTeam, kTeam);
  world.gone = "User::\"ann\"";
  CHECK(world.replay({World::asked("ann")}).unknown == 1);
  CHECK(world.replay({World::asked("bo")}).same == 1);
  World plain(kAll, kAll);
  plain.gone = "User::\"ann\"";
  CHECK(plain.replay({World::asked("ann")}).same == 1);
}

TEST_CASE("an entity in the context is one that the request names, however deep") {
  const std::string_view reads = "permit(principal, action, resource) when { context.at.device in Team::\"web\" };";
  World world(reads, reads);
  world.gone = "User::\"bo\"";
  const auto device = cedar::Value::entity(cedar::make_entity("User", "bo"));
  const auto decision = World::asked("ann", {{"at", cedar::Value::record({{"device", device}})}});
  CHECK(world.replay({decision}).unknown == 1);
}

TEST_CASE("a forbid that fails denies, as at the decision point") {
  World world(kAll, std::string(kAll) + "forbid(principal, action, resource) when { principal.missing };");
  CHECK(world.replay({World::asked("ann")}).lost == 1);
}

TEST_CASE("obligations that differ make the answer unknown: who asked may not keep them") {
  const std::string obliged = "@obligation(\"step-up\") " + std::string(kAll);
  CHECK(World(kAll, obliged).replay({World::asked("ann")}).unknown == 1);
  CHECK(World(obliged, obliged).replay({World::asked("ann")}).same == 1);
  CHECK(World(obliged, "@obligation(\"step-up\") @obligation_value(\"2\") " + std::string(kAll))
            .replay({World::asked("ann")})
            .unknown == 1);
}

TEST_CASE("what is beyond the named groups is counted") {
  World world(kAll, "");
  std::vector<RecordedDecision> decisions;
  for (std::size_t i = 0; i < kReplayGroupsMax + 5; ++i) decisions.push_back(World::asked("u" + std::to_string(i)));
  const Replay replay = world.replay(decisions);
  CHECK(replay.lost == kReplayGroupsMax + 5);
  CHECK(replay.losses.size() == kReplayGroupsMax);
  CHECK(replay.unnamed == 5);
}

}  // namespace
}  // namespace recorded_test
}  // namespace wary::analysis
