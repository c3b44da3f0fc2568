#include "engine/engine.h"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "cedar/parser.h"
#include "tests/support/cedar_generator.h"
#include "tests/support/engine_check.h"

using namespace wary;
using namespace wary::engine;
using cedar::Entity;
using cedar::make_entity;
using cedar::Value;

namespace {

cedar::PolicySet policies(std::string_view text) {
  const auto parsed = cedar::parse_policies(cedar::Source::make("test", text));
  REQUIRE_MESSAGE(parsed.errors.empty(), parsed.errors[0].error.to_string());
  return cedar::PolicySet::from(parsed.policies);
}

Entity entity(std::string_view type, std::string_view id, Value::Record attributes = {},
              const std::vector<std::pair<std::string, std::string>>& parents = {}) {
  Entity out;
  out.uid = make_entity(type, id);
  out.attributes = std::move(attributes);
  for (const auto& [parent_type, parent_id] : parents) out.parents.push_back(make_entity(parent_type, parent_id));
  return out;
}

SnapshotPtr make(const cedar::PolicySet& set, const std::vector<Entity>& entities) {
  std::vector<EntityInput> inputs;
  for (const Entity& one : entities) inputs.push_back({&one, {}});
  auto made = Snapshot::make(set.policies(), inputs, {.seed = 1});
  REQUIRE(made.ok());
  return *made;
}

cedar::Request request(std::string_view principal, std::string_view resource, Value context = Value::record({})) {
  return {make_entity("U", principal), make_entity("Action", "read"), make_entity("D", resource), std::move(context)};
}

// Entities as a test changes them, and the store of the tree walker made anew of them.
struct Model {
  std::map<cedar::EntityUid, cedar::EntityHandle> entities;
  cedar::EntityStore store() const {
    std::vector<cedar::EntityHandle> all;
    for (const auto& [uid, handle] : entities) all.push_back(handle);
    auto made = cedar::EntityStore::make(all);
    REQUIRE(made.ok());
    return *made;
  }
};

// Everything the tree walker has read, the engine says it has read.
void check_reads(const Worker& worker, const Snapshot& snapshot, const cedar::Response& expected) {
  const auto reads = worker.reads(snapshot);
  const std::set<cedar::EntityUid> known(reads.begin(), reads.end());
  CHECK(known.size() == reads.size());
  for (const cedar::EntityPtr& uid : expected.reads) {
    // A scope that the index ruled out by the action or the resource was not looked at for its principal.
    if (known.count(*uid) == 0) CHECK_MESSAGE(false, "not owned up to: ", uid->to_string());
  }
}

}  // namespace

TEST_CASE("what the tree walker says of random worlds, the engine says") {
  std::size_t compared = 0;
  std::size_t allowed = 0;
  std::size_t errors = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    const test::World world = test::make_world(seed);
    test::EngineCheck check(world.policies, world.store);
    for (const cedar::Request& one : world.requests) {
      cedar::StoreView view(world.store);
      const cedar::Response expected = cedar::is_authorized(world.policies, one, view);
      const std::string difference = check.difference(one, expected);
      CHECK_MESSAGE(difference.empty(), "seed ", seed, ": ", difference);
      ++compared;
      allowed += expected.is_allowed ? 1U : 0U;
      errors += expected.errors.empty() ? 0U : 1U;
    }
  }
  CHECK(compared >= 6400);
  CHECK(allowed > compared / 50);
  CHECK(errors > compared / 50);
}

TEST_CASE("being in a member, and in a member of a member, is as the tree walker has it, holes and wrong kinds too") {
  const auto set = policies(
      "permit(principal, action, resource) when { principal in resource.readers };"
      "permit(principal, action, resource) when { principal in resource.owner.readers };"
      "permit(principal, action, resource) when { principal in resource.owner.place };"
      "forbid(principal, action, resource) when { resource in principal.docs || principal in principal.docs };"
      "forbid(principal, action, resource) unless { principal in resource.record.readers };"
      "permit(principal, action, resource) when { principal in resource.owner.readers.more };");
  const Value group = Value::entity(make_entity("G", "g"));
  const auto owned = [](std::string_view owner) { return Value::entity(make_entity("U", owner)); };
  const std::vector<Entity> all = {
      entity("G", "g", {{"more", group}}),
      entity("U", "in", {{"docs", Value::set({owned("in"), group})}, {"readers", group}}, {{"G", "g"}}),
      entity("U", "out", {{"docs", Value::set({Value::entity(make_entity("D", "plain"))})}, {"readers", owned("in")}}),
      entity("U", "odd", {{"docs", Value("text")}, {"place", Value::set({group, Value(1)})}, {"readers", Value(3)}}),
      entity("D", "plain",
             {{"owner", owned("in")}, {"readers", group}, {"record", Value::record({{"readers", group}})}}),
      entity("D", "set", {{"owner", owned("odd")}, {"readers", Value::set({group, owned("out")})}}),
      entity("D", "long", {{"owner", Value(7)}, {"readers", Value(1)}, {"record", Value(2)}}),
      entity("D", "hole", {{"owner", owned("nobody")}, {"record", Value::record({{"other", group}})}}),
      entity("D", "record", {{"owner", Value::record({{"readers", group}})}, {"record", owned("in")}}),
  };
  std::vector<cedar::EntityHandle> handles;
  for (const Entity& one : all) handles.push_back(std::make_shared<const Entity>(one));
  const auto store = cedar::EntityStore::make(handles);
  REQUIRE(store.ok());
  test::EngineCheck check(set, *store);
  std::size_t failed = 0;
  for (const char* principal : {"in", "out", "odd", "nobody"}) {
    for (const char* resource : {"plain", "set", "long", "hole", "record", "nothing"}) {
      const cedar::Request one = request(principal, resource);
      cedar::StoreView view(*store);
      const cedar::Response expected = cedar::is_authorized(set, one, view);
      failed += expected.errors.size();
      const std::string difference = check.difference(one, expected);
      CHECK_MESSAGE(difference.empty(), principal, " on ", resource, ": ", difference);
    }
  }
  CHECK(failed > 20);
}

TEST_CASE("many policies are found by their scopes as if each was tried") {
  test::WorldShape shape;
  shape.policies = 300;
  shape.links = 60;
  shape.entities = 12;
  shape.depth = 2;
  for (std::uint64_t seed = 1000; seed < 1010; ++seed) {
    const test::World world = test::make_world(seed, shape);
    test::EngineCheck check(world.policies, world.store);
    for (const cedar::Request& one : world.requests) {
      cedar::StoreView view(world.store);
      const std::string difference = check.difference(one, cedar::is_authorized(world.policies, one, view));
      CHECK_MESSAGE(difference.empty(), "seed ", seed, ": ", difference);
    }
  }
}

TEST_CASE("entities that come, change, move and go are as if made anew") {
  const auto set = policies(
      "permit(principal in G::\"g3\", action, resource in F::\"f2\");"
      "permit(principal, action, resource) when { principal.n > 50 };"
      "forbid(principal in G::\"g7\", action, resource) unless { resource has open };"
      "permit(principal in G::\"g1\", action == Action::\"read\", resource) when { resource.owner in principal.team "
      "};");
  for (const std::size_t users : {40U, 6000U}) {  // a small world, and one whose users have no closure
    test::Dice dice(users);
    Model model;
    const auto random_group = [&] { return "g" + std::to_string(dice.below(12)); };
    const auto make_user = [&] {
      const std::string id = "u" + std::to_string(dice.below(users));
      Entity out = entity("U", id, {{"n", Value(static_cast<std::int64_t>(dice.below(60)))}});
      out.attributes.emplace_back("team", Value::entity(make_entity("G", random_group())));
      for (std::size_t k = dice.below(4); k > 0; --k) out.parents.push_back(make_entity("G", random_group()));
      return std::make_shared<const Entity>(std::move(out));
    };
    const auto make_group = [&] {  // parents have larger numbers, so there is no cycle
      const std::size_t number = dice.below(12);
      Entity out = entity("G", "g" + std::to_string(number));
      for (std::size_t k = dice.below(3); k > 0 && number < 11; --k) {
        out.parents.push_back(make_entity("G", "g" + std::to_string(number + 1 + dice.below(11 - number))));
      }
      return std::make_shared<const Entity>(std::move(out));
    };
    const auto make_document = [&] {
      Entity out = entity("D", "d" + std::to_string(dice.below(20)), {}, {{"F", "f" + std::to_string(dice.below(4))}});
      out.attributes.emplace_back("owner", Value::entity(make_entity("U", "u" + std::to_string(dice.below(users)))));
      if (dice.chance(50)) out.attributes.insert(out.attributes.begin(), {"open", Value(true)});
      std::sort(out.attributes.begin(), out.attributes.end(), [](auto& a, auto& b) { return a.first < b.first; });
      return std::make_shared<const Entity>(std::move(out));
    };
    std::vector<Entity> first;
    for (std::size_t i = 0; i < users; ++i) {
      first.push_back(entity("U", "u" + std::to_string(i), {{"n", Value(1)}}, {{"G", random_group()}}));
      model.entities[*first.back().uid] = std::make_shared<const Entity>(first.back());
    }
    SnapshotPtr snapshot = make(set, first);
    Worker worker;
    test::EngineCheck compare(set, cedar::EntityStore());
    for (int step = 0; step < 120; ++step) {
      engine::Changes changes;
      std::vector<cedar::EntityHandle> upserts;
      for (std::size_t k = 1 + dice.below(6); k > 0; --k) {
        upserts.push_back(dice.chance(40) ? make_user() : dice.chance(50) ? make_group() : make_document());
      }
      for (std::size_t k = dice.below(3); k > 0 && !model.entities.empty(); --k) {
        auto gone = model.entities.begin();
        std::advance(gone, dice.below(std::min<std::size_t>(model.entities.size(), 30)));
        changes.removals.push_back(gone->first);
        model.entities.erase(gone);
      }
      for (const auto& handle : upserts) {
        changes.upserts.push_back({handle.get(), {}});
        model.entities[*handle->uid] = handle;
      }
      auto next = snapshot->with(changes);
      REQUIRE(next.ok());
      snapshot = *next;
      REQUIRE(snapshot->entity_count() == model.entities.size());
      if (users > 100 && step % 10 != 0) continue;
      const auto store = model.store();
      for (int k = 0; k < 20; ++k) {
        const auto one = request("u" + std::to_string(dice.below(users)), "d" + std::to_string(dice.below(20)));
        cedar::StoreView view(store);
        const auto expected = cedar::is_authorized(set, one, view);
        const std::string difference = compare.compare(*snapshot, one, expected);
        CHECK_MESSAGE(difference.empty(), "step ", step, ": ", difference);
        worker.decide(*snapshot, one, {});
        check_reads(worker, *snapshot, expected);
      }
    }
  }
}

TEST_CASE("an older snapshot decides as before, whatever was made of it since") {
  const auto set = policies("permit(principal in G::\"g\", action, resource);");
  const SnapshotPtr first = make(set, {entity("U", "a", {}, {{"G", "g"}})});
  const Entity moved = entity("U", "a", {}, {{"G", "other"}});
  const auto second = first->with({
      .upserts = {{&moved, {}}},
  });
  REQUIRE(second.ok());
  Worker worker;
  CHECK(worker.decide(*first, request("a", "x"), {}).is_allowed);
  CHECK_FALSE(worker.decide(**second, request("a", "x"), {}).is_allowed);
  const auto branch = first->with({});
  REQUIRE_FALSE(branch.ok());
  CHECK(branch.error().code == "engine_stale");
  const auto other = policies("permit(principal, action, resource);");
  const auto third = (*second)->with_policies(other.policies());
  REQUIRE(third.ok());
  CHECK(worker.decide(**third, request("a", "x"), {}).is_allowed);
  CHECK_FALSE(worker.decide(**second, request("a", "x"), {}).is_allowed);
}

namespace {
cedar::PolicySet selected(const cedar::PolicySet& from, const std::map<std::uint32_t, const cedar::Policy*>& wanted) {
  cedar::PolicySet out;
  for (const cedar::Policy& one : from.templates()) REQUIRE(out.add(one.id, one.body).ok());
  for (const auto& [number, policy] : wanted) {
    const bool is_static = policy->template_id.empty();
    const Status added =
        is_static ? out.add(policy->id, policy->body) : out.link(policy->template_id, policy->id, policy->slots);
    REQUIRE(added.ok());
  }
  return out;
}
}  // namespace

TEST_CASE("policies that come and go decide like a set made anew") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    // From few policies to many and back: lists are divided, and become plain again.
    const test::World world =
        test::make_world(seed, {.policies = 120, .links = 20, .entities = 8, .requests = 12, .depth = 3});
    const std::vector<cedar::Policy>& all = world.policies.policies();
    std::vector<EntityInput> inputs;
    for (const cedar::EntityHandle& handle : world.entities) inputs.push_back({handle.get(), {}});
    auto made = Snapshot::make(std::span<const cedar::Policy>(), inputs, {.seed = seed});
    REQUIRE(made.ok());
    SnapshotPtr current = *made;
    std::map<std::uint32_t, const cedar::Policy*> present;
    std::uint32_t next_number = 0;
    test::Dice dice(seed);
    for (int step = 0; step < 40; ++step) {
      Changes changes;
      const bool grows = step % 20 < 10;
      const std::size_t count = grows ? 14 : 4;
      for (std::size_t i = 0; i < count; ++i) {
        const cedar::Policy& policy = all[dice.below(all.size())];
        const auto is_this = [&](const auto& entry) { return entry.second == &policy; };
        if (std::any_of(present.begin(), present.end(), is_this)) continue;
        changes.added_policies.push_back({&policy, next_number});
        present[next_number++] = &policy;
      }
      for (std::size_t i = 0; i < (grows ? 3U : 16U) && !present.empty(); ++i) {
        const auto at = std::next(present.begin(), static_cast<std::ptrdiff_t>(dice.below(present.size())));
        const std::uint32_t number = at->first;
        present.erase(at);
        if (std::erase_if(changes.added_policies, [&](const PolicyInput& input) { return input.number == number; }) ==
            0)
          changes.removed_policies.push_back(number);
      }
      const auto next = current->with(changes);
      REQUIRE(next.ok());
      current = *next;
      CHECK(current->policy_count() == present.size());
      const cedar::PolicySet expected = selected(world.policies, present);
      cedar::StoreView view(world.store);
      test::EngineCheck compare(expected, world.store);
      for (const cedar::Request& one : world.requests) {
        const auto wanted = cedar::is_authorized(expected, one, view);
        CHECK(compare.compare(*current, one, wanted) == "");
        CHECK(compare.difference(one, wanted) == "");
      }
    }
  }
}

TEST_CASE("a change that closes a circle is refused and changes nothing") {
  const auto set = policies("permit(principal in G::\"c\", action, resource);");
  const SnapshotPtr first = make(set, {entity("G", "a", {}, {{"G", "b"}}), entity("G", "b", {}, {{"G", "c"}}),
                                       entity("U", "u", {}, {{"G", "a"}})});
  const Entity closing = entity("G", "c", {}, {{"G", "a"}});
  const auto refused = first->with({
      .upserts = {{&closing, {}}},
  });
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == "cedar_entity_cycle");
  const Entity fine = entity("G", "c", {}, {{"G", "d"}});
  const auto next = first->with({
      .upserts = {{&fine, {}}},
  });
  REQUIRE(next.ok());
  Worker worker;
  CHECK(worker.decide(**next, request("u", "x"), {}).is_allowed);
  const Entity self = entity("G", "s", {}, {{"G", "s"}});
  const std::vector<EntityInput> alone = {{&self, {}}};
  const auto own = Snapshot::make(set.policies(), alone, {});
  REQUIRE_FALSE(own.ok());
  CHECK(own.error().code == "cedar_entity_cycle");
}

TEST_CASE("too many ancestors are refused, and so is an entity with too much in it") {
  const auto set = policies("permit(principal, action, resource);");
  std::vector<Entity> entities;
  for (int i = 0; i < 300; ++i) {
    Entity group = entity("G", "g" + std::to_string(i));
    for (int k = 0; k < 100; ++k) group.parents.push_back(make_entity("H", std::to_string(i * 100 + k)));
    entities.push_back(std::move(group));
  }
  Entity top = entity("G", "top");
  for (int i = 0; i < 300; ++i) top.parents.push_back(make_entity("G", "g" + std::to_string(i)));
  entities.push_back(top);
  entities.push_back(entity("U", "u", {}, {{"G", "top"}}));
  std::vector<EntityInput> inputs;
  for (const Entity& one : entities) inputs.push_back({&one, {}});
  const auto deep = Snapshot::make(set.policies(), inputs, {});
  REQUIRE_FALSE(deep.ok());
  CHECK(deep.error().code == "engine_ancestors");
  Entity wide = entity("U", "wide");
  for (int i = 0; i < 65'536; ++i) wide.parents.push_back(make_entity("H", std::to_string(i)));
  const std::vector<EntityInput> alone = {{&wide, {}}};
  const auto refused = Snapshot::make(set.policies(), alone, {});
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == "engine_entity");
}

TEST_CASE("a fact that expires takes its other value then, and the answer says until when it holds") {
  const auto set =
      policies("permit(principal, action, resource) unless { principal.risk > 50 || principal.hasTag(\"bad\") };");
  const Entity user = entity("U", "a", {{"risk", Value(1)}});
  const std::vector<Expiry> expiries = {{"risk", false, UnixTime{1000}, Value(100)},
                                        {"bad", true, UnixTime{500}, Value(1)}};
  const std::vector<EntityInput> inputs = {{&user, expiries}};
  const auto made = Snapshot::make(set.policies(), inputs, {});
  REQUIRE(made.ok());
  Worker worker;
  CHECK(worker.decide(**made, request("a", "x"), UnixTime{10}).is_allowed);
  CHECK(worker.valid_until().nanos == 500);
  CHECK_FALSE(worker.decide(**made, request("a", "x"), UnixTime{500}).is_allowed);
  CHECK(worker.valid_until().nanos == 1000);
  CHECK_FALSE(worker.decide(**made, request("a", "x"), UnixTime{1000}).is_allowed);
  worker.decide(**made, request("b", "x"), UnixTime{10});
  CHECK(worker.valid_until().nanos == std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("ids that nobody has mentioned are equal only to themselves, and are not remembered") {
  const auto set = policies(
      "permit(principal, action, resource) when { context.who == principal && context.who != resource && "
      "context.who is U && principal in [context.who] };");
  const SnapshotPtr snapshot = make(set, {});
  const std::size_t bytes = snapshot->entity_bytes();
  Worker worker;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = "stranger" + std::to_string(i);
    const auto same = Value::record({{"who", Value::entity(make_entity("U", id))}});
    const auto other = Value::record({{"who", Value::entity(make_entity("V", id))}});
    CHECK(worker.decide(*snapshot, request(id, "x", same), {}).is_allowed);
    CHECK_FALSE(worker.decide(*snapshot, request(id, "x", other), {}).is_allowed);
  }
  CHECK(snapshot->entity_bytes() == bytes);
}

TEST_CASE("readers decide while the writer goes on") {
  const auto set = policies("permit(principal in G::\"g\", action, resource) when { principal.n < 1000000 };");
  SnapshotPtr current = make(set, {entity("U", "a", {{"n", Value(0)}}, {{"G", "g"}})});
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::mutex mutex;  // of the test's own cell
  SnapshotPtr shared = current;
  std::thread reader([&] {
    Worker worker;
    while (!stop) {
      SnapshotPtr mine;
      {
        const std::lock_guard lock(mutex);
        mine = shared;
      }
      if (!worker.decide(*mine, request("a", "x"), {}).is_allowed) ++wrong;
      if (worker.decide(*mine, request("nobody", "x"), {}).is_allowed) ++wrong;
    }
  });
  for (int i = 0; i < 3000; ++i) {
    const Entity changed = entity("U", "a", {{"n", Value(i)}}, {{"G", "g"}});
    const Entity added = entity("U", "new" + std::to_string(i), {}, {{"G", "h" + std::to_string(i % 50)}});
    auto next = current->with({
        .upserts = {{&changed, {}}, {&added, {}}},
    });
    REQUIRE(next.ok());
    current = *next;
    const std::lock_guard lock(mutex);
    shared = current;
  }
  stop = true;
  reader.join();
  CHECK(wrong == 0);
}

TEST_CASE("a line that has grown far beyond its beginning says that it is wasteful") {
  const auto set = policies("permit(principal, action, resource);");
  SnapshotPtr current = make(set, {entity("U", "a")});
  CHECK_FALSE(current->is_wasteful());
  const Entity large = entity("U", "a", {{"text", Value(std::string(1000, 'x'))}});
  for (int i = 0; i < 40'000 && !current->is_wasteful(); ++i) {
    const Entity session =
        entity("S", "s" + std::to_string(i), {{"n", Value(std::string(500, 'x') + std::to_string(i))}});
    auto next = current->with({
        .upserts = {{&session, {}}, {&large, {}}},
    });
    REQUIRE(next.ok());
    next = (*next)->with({.removals = {*session.uid}});
    REQUIRE(next.ok());
    current = *next;
  }
  CHECK(current->entity_count() == 1);
  CHECK(current->is_wasteful());
}

TEST_CASE("policies that start with the same member are found by what it is, errors and all") {
  std::string text = "forbid(principal, action, resource) when { context.env == \"locked\" };";
  for (int i = 0; i < 40; ++i) {
    const std::string n = std::to_string(i % 20);
    text +=
        "permit(principal, action, resource) when { resource.owner == U::\"u" + n + "\" && context.n > " + n + " };";
    text += "permit(principal, action, resource) when { \"env" + n + "\" == context.env };";
    text += "permit(principal, action, resource) when { principal.level == " + n + " };";
    text += "permit(principal, action, resource) when { context.tags == [" + n + "] };";
    text += "permit(principal, action, resource) unless { principal.level == " + n + " };";
  }
  const auto set = policies(text);
  std::vector<Entity> entities;
  for (int i = 0; i < 25; ++i) {
    entities.push_back(entity("U", "u" + std::to_string(i), {{"level", i == 3 ? Value("3") : Value(i)}}));
    entities.push_back(entity("D", "d" + std::to_string(i),
                              {{"owner", Value::entity(make_entity("U", "u" + std::to_string(i % 22)))}}));
  }
  entities.push_back(entity("U", "bare"));
  std::vector<cedar::EntityHandle> handles;
  for (const Entity& one : entities) handles.push_back(std::make_shared<const Entity>(one));
  const auto store = cedar::EntityStore::make(handles);
  REQUIRE(store.ok());
  test::EngineCheck check(set, *store);
  const std::vector<Value> contexts = {Value::record({}), Value::record({{"n", Value(10)}, {"env", Value("env7")}}),
                                       Value::record({{"env", Value("locked")}, {"tags", Value::set({Value(4)})}}),
                                       Value::record({{"env", Value(7)}, {"n", Value("x")}, {"tags", Value::set({})}})};
  for (const std::string principal : {"u0", "u3", "u7", "u24", "bare", "nobody"}) {
    for (const std::string resource : {"d1", "d7", "d21", "none"}) {
      for (const Value& context : contexts) {
        const auto one = request(principal, resource, context);
        cedar::StoreView view(*store);
        const std::string difference = check.difference(one, cedar::is_authorized(set, one, view));
        CHECK_MESSAGE(difference.empty(), principal, " ", resource, " ", context.to_string(), ": ", difference);
      }
    }
  }
}
