#include "engine/image.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "cedar/parser.h"
#include "engine/search.h"
#include "io/system.h"
#include "tests/support/cedar_generator.h"
#include "tests/support/engine_check.h"
#include "tests/support/engine_image.h"

using namespace wary;
using namespace wary::engine;
using cedar::Entity;
using cedar::make_entity;
using cedar::Value;

namespace {

cedar::PolicySet image_policies(std::string_view text) {
  const auto parsed = cedar::parse_policies(cedar::Source::make("test", text));
  REQUIRE_MESSAGE(parsed.errors.empty(), parsed.errors[0].error.to_string());
  return cedar::PolicySet::from(parsed.policies);
}

Entity image_entity(std::string_view type, std::string_view id, Value::Record attributes = {},
                    const std::vector<std::pair<std::string, std::string>>& parents = {}) {
  Entity out;
  out.uid = make_entity(type, id);
  std::sort(attributes.begin(), attributes.end(), [](auto& a, auto& b) { return a.first < b.first; });
  out.attributes = std::move(attributes);
  for (const auto& [parent_type, parent_id] : parents) out.parents.push_back(make_entity(parent_type, parent_id));
  return out;
}

cedar::Request image_request(std::string_view principal, std::string_view resource) {
  return {make_entity("U", principal), make_entity("Action", "read"), make_entity("D", resource), Value::record({})};
}

SnapshotPtr image_snapshot(const cedar::PolicySet& set, const std::vector<Entity>& entities) {
  std::vector<EntityInput> inputs;
  for (const Entity& one : entities) inputs.push_back({&one, {}});
  auto made = Snapshot::make(set.policies(), inputs, {.seed = 0x5EED});
  REQUIRE(made.ok());
  return *made;
}

// A few entities with a value of every kind, nested, timed, and groups in groups.
std::vector<Entity> small_world() {
  const auto ip = [](std::uint8_t last, bool is_v6) {
    cedar::IpAddress out;
    out.bytes = {10, 0, 0, last};
    out.is_v6 = is_v6;
    out.prefix = is_v6 ? 64 : 24;
    return Value(out);
  };
  const Value inner = Value::record({{"deep", Value::set({Value("x"), Value(1), ip(1, false)})}, {"b", Value(true)}});
  Entity user = image_entity("U", "a",
                             {{"n", Value(7)},
                              {"s", Value("text")},
                              {"empty", Value("")},
                              {"u", Value::entity(make_entity("U", "b"))},
                              {"net", ip(0, false)},
                              {"net6", ip(1, true)},
                              {"dec", Value(cedar::Decimal{12345})},
                              {"at", Value(cedar::Datetime{1'000'000})},
                              {"for", Value(cedar::Duration{60'000})},
                              {"rec", Value::record({{"inner", inner}, {"s", Value("text")}})},
                              {"set", Value::set({inner, Value::set({}), Value(3), Value("3")})},
                              {"team", Value::set({Value::entity(make_entity("G", "h"))})}},
                             {{"G", "g"}});
  user.tags = {{"k", Value("v")}, {"l", Value::set({Value(1), Value(2)})}};
  return {user, image_entity("G", "g", {}, {{"G", "h"}}), image_entity("G", "h", {}, {{"G", "top"}}),
          image_entity("D", "d", {{"owner", Value::entity(make_entity("U", "a"))}}, {{"F", "f"}})};
}

// Policies that look at each of it.
cedar::PolicySet small_policies() {
  return image_policies(
      "permit(principal in G::\"top\", action, resource in F::\"f\");"
      "permit(principal, action, resource) when { principal.n == 7 && principal.s like \"te*\" };"
      "permit(principal, action, resource) when { principal.empty == \"\" && principal.u == U::\"b\" };"
      "permit(principal, action, resource) when { ip(\"10.0.0.9\").isInRange(principal.net) };"
      "permit(principal, action, resource) when { principal.net6.isIpv6() && principal.net != principal.net6 };"
      "permit(principal, action, resource) when { principal.dec == decimal(\"1.2345\") };"
      "permit(principal, action, resource) when { principal.at.offset(principal.for) > principal.at };"
      "permit(principal, action, resource) when { principal.rec.inner.deep.contains(\"x\") && principal.rec.inner.b };"
      "permit(principal, action, resource) when { principal.set.contains(principal.rec.inner) };"
      "permit(principal, action, resource) when { principal.set.containsAll([[], 3, \"3\"]) };"
      "permit(principal, action, resource) when { principal in principal.team };"
      "permit(principal, action, resource) when { principal.getTag(\"k\") == \"v\" && principal.hasTag(\"l\") };"
      "permit(principal, action, resource) when { resource.owner == principal };"
      "forbid(principal, action, resource) when { principal.later == \"now\" };");
}

SnapshotPtr small_snapshot() {
  static const std::vector<Entity> entities = small_world();
  static const std::vector<Expiry> expiries = {{"later", false, UnixTime{100}, Value("now")},
                                               {"n", false, UnixTime{50}, Value::set({Value("x"), Value(8)})},
                                               {"k", true, UnixTime{70}, Value("other")}};
  std::vector<EntityInput> inputs;
  for (const Entity& one : entities) inputs.push_back({&one, {}});
  inputs[0].expiries = expiries;
  const auto set = small_policies();
  auto made = Snapshot::make(set.policies(), inputs, {.seed = 0x5EED});
  REQUIRE(made.ok());
  return *made;
}

std::uint64_t next_address() {
  static std::uint64_t last = 0;
  return ++last * 0x9E3779B97F4A7C15ULL >> 20;
}

void save(const Snapshot& snapshot, io::Files& files, std::uint64_t random, std::string_view label = {}) {
  const Status saved = save_image(snapshot, files, "image", {.random = random, .label = label});
  REQUIRE_MESSAGE(saved.ok(), saved.error().to_string());
}

SnapshotPtr open(io::Files& files, const cedar::PolicySet& set) {
  auto opened = open_image(files, "image", set.policies());
  REQUIRE_MESSAGE(opened.ok(), opened.error().to_string());
  return opened->snapshot;
}

SnapshotPtr saved_and_opened(const Snapshot& snapshot, const cedar::PolicySet& set) {
  io::SimFiles files(1);
  save(snapshot, files, next_address());
  return open(files, set);
}

std::string code_of(const Bytes& image) {
  static const auto set = small_policies();
  io::SimFiles files(1);
  test::put_file(files, "image", image);
  const auto opened = open_image(files, "image", set.policies());
  return opened.ok() ? "" : opened.error().code;
}

std::set<std::string> refused_with() {
  return {"engine_image_foreign", "engine_image_version", "engine_image_damaged", "engine_image_address"};
}

void check_same(const Snapshot& a, const Snapshot& b, const cedar::Request& one, UnixTime now) {
  Worker first;
  Worker second;
  const Answer& wanted = first.decide(a, one, now);
  const Answer& answer = second.decide(b, one, now);
  CHECK(answer.is_allowed == wanted.is_allowed);
  CHECK(answer.permits == wanted.permits);
  CHECK(answer.forbids == wanted.forbids);
  REQUIRE(answer.errors.size() == wanted.errors.size());
  for (std::size_t i = 0; i < wanted.errors.size(); ++i) {
    CHECK(answer.errors[i].policy == wanted.errors[i].policy);
    CHECK(answer.errors[i].kind == wanted.errors[i].kind);
    CHECK(a.policy_id(wanted.errors[i].policy) == b.policy_id(answer.errors[i].policy));
  }
  CHECK(second.valid_until().nanos == first.valid_until().nanos);
  const auto wanted_reads = first.reads(a);
  const auto reads = second.reads(b);
  CHECK(reads.size() == wanted_reads.size());
  CHECK(std::set<cedar::EntityUid>(reads.begin(), reads.end()) ==
        std::set<cedar::EntityUid>(wanted_reads.begin(), wanted_reads.end()));
}

void check_same_search(const SnapshotPtr& a, const SnapshotPtr& b, const test::World& world) {
  const Directory first(a);
  const Directory second(b);
  Worker worker;
  std::set<std::string> types;
  for (const auto& one : world.entities) types.insert(one->uid->type);
  for (const cedar::Variable free :
       {cedar::Variable::kPrincipal, cedar::Variable::kAction, cedar::Variable::kResource}) {
    for (const std::string& type : types) {
      const SearchQuery query{free, type, world.requests[0], {}, kSearchLimitMax, ""};
      const auto wanted = search(first, worker, query);
      const auto found = search(second, worker, query);
      REQUIRE((wanted.ok() && found.ok()));
      CHECK(found->ids == wanted->ids);
    }
  }
}

// The entities of a random world, some of whose attributes change at a moment.
class TimedInputs {
 public:
  TimedInputs(const test::World& world, test::Dice& dice) : expiries_(world.entities.size()) {
    for (std::size_t i = 0; i < world.entities.size(); ++i) {
      const Entity& other = *dice.pick(world.entities);
      for (const auto& [name, value] : other.attributes) {
        if (!dice.chance(30)) continue;
        expiries_[i].push_back({name, dice.chance(20), UnixTime{static_cast<std::int64_t>(dice.below(100))}, value});
      }
      inputs_.push_back({world.entities[i].get(), expiries_[i]});
    }
  }
  const std::vector<EntityInput>& inputs() const { return inputs_; }

 private:
  std::vector<std::vector<Expiry>> expiries_;
  std::vector<EntityInput> inputs_;
};

}  // namespace

TEST_CASE("an image of a random world decides, explains and searches as the world it was made of") {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    const test::World world = test::make_world(seed);
    test::Dice dice(seed);
    const TimedInputs timed(world, dice);
    const auto made = Snapshot::make(world.policies.policies(), timed.inputs(), {.seed = seed});
    REQUIRE(made.ok());
    const SnapshotPtr opened = saved_and_opened(**made, world.policies);
    CHECK(opened->entity_count() == (*made)->entity_count());
    CHECK(opened->policy_count() == (*made)->policy_count());
    for (const cedar::Request& one : world.requests) {
      for (const std::int64_t now : {-1, 20, 50, 100}) check_same(**made, *opened, one, UnixTime{now});
    }
    if (seed <= 30) check_same_search(*made, opened, world);
    // Without times, the tree walker has the last word.
    std::vector<EntityInput> plain;
    for (const auto& handle : world.entities) plain.push_back({handle.get(), {}});
    const auto untimed = Snapshot::make(world.policies.policies(), plain, {.seed = seed});
    REQUIRE(untimed.ok());
    const SnapshotPtr reopened = saved_and_opened(**untimed, world.policies);
    test::EngineCheck compare(world.policies, world.store);
    for (const cedar::Request& one : world.requests) {
      cedar::StoreView view(world.store);
      CHECK(compare.compare(*reopened, one, cedar::is_authorized(world.policies, one, view)) == "");
    }
  }
}

TEST_CASE("values of every kind come back from an image") {
  const auto set = small_policies();
  const SnapshotPtr first = small_snapshot();
  const SnapshotPtr opened = saved_and_opened(*first, set);
  Worker worker;
  const Answer& answer = worker.decide(*opened, image_request("a", "d"), UnixTime{0});
  CHECK(answer.permits.size() == 13);  // each permit, so nothing was lost
  CHECK(answer.errors.size() == 1);    // `later` is not there yet
  for (const std::int64_t now : {0, 49, 50, 70, 99, 100}) {
    for (const std::string who : {"a", "b", "nobody"}) {
      check_same(*first, *opened, image_request(who, "d"), UnixTime{now});
    }
  }
}

TEST_CASE("what changes after an image was opened decides as in a world made anew") {
  const auto set = image_policies(
      "permit(principal in G::\"g3\", action, resource in F::\"f2\");"
      "permit(principal, action, resource) when { principal.n > 50 };"
      "forbid(principal in G::\"g7\", action, resource) unless { resource has open };"
      "permit(principal in G::\"g1\", action == Action::\"read\", resource) when { resource.owner in principal.team "
      "};"
      "permit(principal, action, resource) when { principal has fresh5 && principal.fresh5.contains(\"word5\") };");
  for (const std::size_t users : {40U, 6000U}) {  // a small world, and one whose users have no closure
    test::Dice dice(users);
    std::map<cedar::EntityUid, cedar::EntityHandle> model;
    const auto random_group = [&] { return "g" + std::to_string(dice.below(12)); };
    const auto make_user = [&](int step) {
      const std::string id = "u" + std::to_string(dice.below(users));
      Value::Record attributes = {{"n", Value(static_cast<std::int64_t>(dice.below(60)))},
                                  {"team", Value::entity(make_entity("G", random_group()))}};
      const std::string n = std::to_string(step / 8);  // names and texts that nobody has seen
      if (dice.chance(50)) attributes.push_back({"fresh" + n, Value::set({Value("word" + n), Value(step)})});
      Entity out = image_entity("U", id, std::move(attributes));
      for (std::size_t k = dice.below(4); k > 0; --k) out.parents.push_back(make_entity("G", random_group()));
      return std::make_shared<const Entity>(std::move(out));
    };
    const auto make_group = [&] {  // parents have larger numbers, so there is no cycle
      const std::size_t number = dice.below(12);
      Entity out = image_entity("G", "g" + std::to_string(number));
      for (std::size_t k = dice.below(3); k > 0 && number < 11; --k) {
        out.parents.push_back(make_entity("G", "g" + std::to_string(number + 1 + dice.below(11 - number))));
      }
      return std::make_shared<const Entity>(std::move(out));
    };
    const auto make_document = [&] {
      Value::Record attributes = {{"owner", Value::entity(make_entity("U", "u" + std::to_string(dice.below(users))))}};
      if (dice.chance(50)) attributes.push_back({"open", Value(true)});
      return std::make_shared<const Entity>(image_entity("D", "d" + std::to_string(dice.below(20)),
                                                         std::move(attributes),
                                                         {{"F", "f" + std::to_string(dice.below(4))}}));
    };
    std::vector<Entity> first;
    for (std::size_t i = 0; i < users; ++i) {
      first.push_back(image_entity("U", "u" + std::to_string(i), {{"n", Value(1)}}, {{"G", random_group()}}));
      model[*first.back().uid] = std::make_shared<const Entity>(first.back());
    }
    SnapshotPtr snapshot = saved_and_opened(*image_snapshot(set, first), set);
    test::EngineCheck compare(set, cedar::EntityStore());
    for (int step = 0; step < 120; ++step) {
      engine::Changes changes;
      std::vector<cedar::EntityHandle> upserts;
      for (std::size_t k = 1 + dice.below(6); k > 0; --k) {
        upserts.push_back(dice.chance(40) ? make_user(step) : dice.chance(50) ? make_group() : make_document());
      }
      for (std::size_t k = dice.below(3); k > 0 && !model.empty(); --k) {
        auto gone = model.begin();
        std::advance(gone, dice.below(std::min<std::size_t>(model.size(), 30)));
        changes.removals.push_back(gone->first);
        model.erase(gone);
      }
      for (const auto& handle : upserts) {
        changes.upserts.push_back({handle.get(), {}});
        model[*handle->uid] = handle;
      }
      auto next = snapshot->with(changes);
      REQUIRE(next.ok());
      snapshot = *next;
      if (step % 12 == 5) snapshot = saved_and_opened(*snapshot, set);
      REQUIRE(snapshot->entity_count() == model.size());
      if (users > 100 && step % 10 != 0) continue;
      std::vector<cedar::EntityHandle> all;
      for (const auto& [uid, handle] : model) all.push_back(handle);
      const auto store = cedar::EntityStore::make(all);
      REQUIRE(store.ok());
      for (int k = 0; k < 20; ++k) {
        const auto one = image_request("u" + std::to_string(dice.below(users)), "d" + std::to_string(dice.below(20)));
        cedar::StoreView view(*store);
        const std::string difference = compare.compare(*snapshot, one, cedar::is_authorized(set, one, view));
        CHECK_MESSAGE(difference.empty(), users, " users, step ", step, ": ", difference);
      }
    }
  }
}

TEST_CASE("an opened image is the first of a line: older ones decide as before, policies change") {
  const auto set = image_policies("permit(principal in G::\"top\", action, resource);");
  const SnapshotPtr first = saved_and_opened(*image_snapshot(set, small_world()), set);
  const Entity moved = image_entity("G", "g", {}, {{"G", "other"}});
  const auto second = first->with({
      .upserts = {{&moved, {}}},
  });
  REQUIRE(second.ok());
  Worker worker;
  CHECK(worker.decide(*first, image_request("a", "d"), {}).is_allowed);
  CHECK_FALSE(worker.decide(**second, image_request("a", "d"), {}).is_allowed);
  const auto branch = first->with({});
  REQUIRE_FALSE(branch.ok());
  CHECK(branch.error().code == "engine_stale");
  const auto other = image_policies("permit(principal in G::\"other\", action, resource);");
  const auto third = (*second)->with_policies(other.policies());
  REQUIRE(third.ok());
  CHECK(worker.decide(**third, image_request("a", "d"), {}).is_allowed);
  const Entity closing = image_entity("G", "other", {}, {{"G", "g"}});
  const auto circle = (*third)->with({
      .upserts = {{&closing, {}}},
  });
  REQUIRE_FALSE(circle.ok());
  CHECK(circle.error().code == "cedar_entity_cycle");
}

TEST_CASE("an image holds what is reached and nothing else, and the same bytes each time") {
  const auto set = small_policies();
  SnapshotPtr current = small_snapshot();
  io::SimFiles files(1);
  save(*current, files, 5);
  const Bytes before = test::get_file(files, "image");
  for (int i = 0; i < 500; ++i) {
    const Entity session =
        image_entity("S", "s" + std::to_string(i), {{"n" + std::to_string(i), Value("v" + std::to_string(i))}},
                     {{"T", std::to_string(i)}});
    auto next = current->with({
        .upserts = {{&session, {}}},
    });
    REQUIRE(next.ok());
    next = (*next)->with({.removals = {*session.uid}});
    REQUIRE(next.ok());
    current = *next;
  }
  save(*current, files, 5);
  CHECK(test::get_file(files, "image") == before);
  const SnapshotPtr opened = open(files, set);
  save(*opened, files, 5);
  CHECK(test::get_file(files, "image") == before);
}

TEST_CASE("an image of nothing opens, and grows") {
  const auto set = small_policies();
  const SnapshotPtr opened = saved_and_opened(*image_snapshot(set, {}), set);
  CHECK(opened->entity_count() == 0);
  const std::vector<Entity> entities = small_world();
  engine::Changes changes;
  for (const Entity& one : entities) changes.upserts.push_back({&one, {}});
  const auto next = opened->with(changes);
  REQUIRE(next.ok());
  Worker worker;
  CHECK(worker.decide(**next, image_request("a", "d"), {}).permits.size() == 13);
}

TEST_CASE("an image with a changed byte anywhere, or cut, or longer, is refused") {
  io::SimFiles files(1);
  save(*small_snapshot(), files, next_address(), "revision 7");
  const Bytes image = test::get_file(files, "image");
  CHECK(code_of(image).empty());
  const auto refused = refused_with();
  for (std::size_t at = 0; at < image.size(); at += at < sizeof(ImageHeader) ? 1 : 53) {
    Bytes changed = image;
    changed[at] ^= static_cast<std::uint8_t>(1U << at % 8);
    const std::string code = code_of(changed);
    CHECK_MESSAGE(refused.contains(code), "byte ", at, ": ", code);
  }
  for (std::size_t size = 0; size < image.size(); size += size < kImagePage ? 61 : 1021) {
    const std::string code = code_of(Bytes(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(size)));
    CHECK_MESSAGE(refused.contains(code), size, " bytes: ", code);
  }
  Bytes longer = image;
  longer.push_back(0);
  CHECK(code_of(longer) == "engine_image_damaged");
  longer.resize(image.size() + kImagePage);
  CHECK(code_of(longer) == "engine_image_damaged");
}

TEST_CASE("a word that is wrong behind a good digest is refused, or does no harm") {
  io::SimFiles files(1);
  save(*small_snapshot(), files, next_address());
  const Bytes image = test::get_file(files, "image");
  const auto refused = refused_with();
  const auto set = small_policies();
  std::size_t opens = 0;
  std::size_t refusals = 0;
  for (std::size_t at = sizeof(ImageHeader); at + 4 <= image.size(); at += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, image.data() + at, 4);
    if (word == 0 && at % 52 != 0) continue;  // most of a small image is the rest of its pages
    const std::array<std::uint32_t, 5> others = {0U, word + 1, word + 8, word * 3 + 0x10000, 0xFFFFFFFFU};
    for (std::size_t i = 0; i < 2; ++i) {
      const std::uint32_t other = others[(at / 4 + i * 2) % others.size()];
      if (other == word) continue;
      Bytes changed = image;
      std::memcpy(changed.data() + at, &other, 4);
      if (!test::seal_image(changed)) continue;
      io::SimFiles changed_files(1);
      test::put_file(changed_files, "image", changed);
      const auto opened = open_image(changed_files, "image", set.policies());
      if (!opened.ok()) {
        ++refusals;
        CHECK_MESSAGE(refused.contains(opened.error().code), opened.error().to_string());
        continue;
      }
      ++opens;  // a number, a character, the order in a set: it may decide otherwise, and touches nothing of others
      Worker worker;
      const cedar::Request request = image_request("a", "d");  // reads() borrows it
      worker.decide(*opened->snapshot, request, {});
      worker.reads(*opened->snapshot);
      const std::vector<Entity> entities = small_world();
      engine::Changes changes;
      for (const Entity& one : entities) changes.upserts.push_back({&one, {}});
      (void)opened->snapshot->with(changes).ok();
    }
  }
  CHECK(opens > 100);
  CHECK(refusals > 500);
}

TEST_CASE("what is no image, or one of another version, is refused by name") {
  const auto set = small_policies();
  io::SimFiles files(1);
  CHECK(open_image(files, "image", set.policies()).error().code == "file_not_found");
  CHECK(code_of({}) == "engine_image_foreign");
  CHECK(code_of(to_bytes("permit(principal, action, resource);")) == "engine_image_foreign");
  CHECK(code_of(Bytes(3 * kImagePage, 0)) == "engine_image_foreign");
  save(*small_snapshot(), files, next_address());
  const Bytes image = test::get_file(files, "image");
  Bytes newer = image;
  newer[offsetof(ImageHeader, version)] += 1;
  CHECK(code_of(newer) == "engine_image_version");
  Bytes other_machine = image;
  other_machine[offsetof(ImageHeader, layout)] ^= 1;
  CHECK(code_of(other_machine) == "engine_image_version");
  Bytes odd_address = image;
  odd_address[offsetof(ImageHeader, address)] = 1;
  CHECK(code_of(odd_address) == "engine_image_damaged");
}

TEST_CASE("an image whose addresses are taken says so, and two of different addresses are open at once") {
  const auto set = small_policies();
  const SnapshotPtr first = small_snapshot();
  io::SimFiles files(1);
  REQUIRE(save_image(*first, files, "a", {.random = 1001}).ok());
  REQUIRE(save_image(*first, files, "b", {.random = 2002}).ok());
  auto a = open_image(files, "a", set.policies());
  REQUIRE(a.ok());
  CHECK(open_image(files, "a", set.policies()).error().code == "engine_image_address");
  const auto b = open_image(files, "b", set.policies());
  REQUIRE(b.ok());
  check_same(*a->snapshot, *b->snapshot, image_request("a", "d"), {});
  const Entity moved = image_entity("G", "g");
  auto next = a->snapshot->with({
      .upserts = {{&moved, {}}},
  });
  REQUIRE(next.ok());
  Worker worker;
  CHECK(worker.decide(*b->snapshot, image_request("a", "d"), {}).permits.size() == 13);
  CHECK(worker.decide(**next, image_request("a", "d"), {}).permits.size() < 13);
  // Its addresses are free again when the last snapshot of the line has gone.
  *a = {};
  CHECK(open_image(files, "a", set.policies()).error().code == "engine_image_address");
  *next = {};
  CHECK(open_image(files, "a", set.policies()).ok());
}

TEST_CASE("a fault while saving leaves the old image or the new one") {
  const auto set = small_policies();
  const SnapshotPtr old_world = image_snapshot(set, {});
  const SnapshotPtr new_world = small_snapshot();
  std::set<std::string> seen;
  for (const io::SimFault fault : {io::SimFault::kPowerCut, io::SimFault::kIoError, io::SimFault::kNoSpace}) {
    for (std::uint64_t call = 0; call < 22; ++call) {
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        io::SimFiles files(seed);
        save(*old_world, files, 1, "old");
        files.fail_at(files.calls() + call, fault);
        const Status saved = save_image(*new_world, files, "image", {.random = 2, .label = "new"});
        files.crash();
        const auto opened = open_image(files, "image", set.policies());
        REQUIRE_MESSAGE(opened.ok(), opened.error().to_string());
        CHECK((opened->label == "old" || opened->label == "new"));
        if (saved.ok()) CHECK(opened->label == "new");
        CHECK(opened->snapshot->entity_count() == (opened->label == "new" ? 4 : 0));
        seen.insert(opened->label);
      }
    }
  }
  CHECK(seen.size() == 2);
}

TEST_CASE("a real image is private, and may be replaced while it is open") {
  std::string folder = (std::filesystem::temp_directory_path() / "wary-image-XXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  const std::string path = folder + "/image";
  const auto files = io::make_real_files();
  const auto set = small_policies();
  const SnapshotPtr first = small_snapshot();
  REQUIRE(save_image(*first, *files, path, {.random = 31, .label = "one"}).ok());
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  const auto opened = open_image(*files, path, set.policies());
  REQUIRE(opened.ok());
  CHECK(opened->label == "one");
  REQUIRE(save_image(*image_snapshot(set, {}), *files, path, {.random = 32, .label = "two"}).ok());
  check_same(*first, *opened->snapshot, image_request("a", "d"), {});
  const auto other = open_image(*files, path, set.policies());
  REQUIRE(other.ok());
  CHECK(other->label == "two");
  CHECK(other->snapshot->entity_count() == 0);
  // What the line of an opened image changes stays out of its file.
  const Bytes before = test::get_file(*files, path);
  const std::vector<Entity> entities = small_world();
  engine::Changes changes;
  for (const Entity& one : entities) changes.upserts.push_back({&one, {}});
  const auto next = other->snapshot->with(changes);
  REQUIRE(next.ok());
  CHECK(test::get_file(*files, path) == before);
  check_same(*opened->snapshot, **next, image_request("b", "d"), {});
  std::filesystem::remove_all(folder);
}

TEST_CASE("labels that are too long and values that are too deep are not saved") {
  io::SimFiles files(1);
  const auto set = small_policies();
  const std::string label(kImageLabelMax, 'x');
  save(*image_snapshot(set, {}), files, 1, label);
  CHECK(open_image(files, "image", set.policies())->label == label);
  const std::string longer = label + "x";
  CHECK(save_image(*image_snapshot(set, {}), files, "other", {.random = 1, .label = longer}).error().code ==
        "engine_image_label");
  Value deep = Value::set({});
  for (std::size_t i = 1; i < kImageDepthMax; ++i) deep = Value::set({deep});
  CHECK(saved_and_opened(*image_snapshot(set, {image_entity("U", "a", {{"v", deep}})}), set)->entity_count() == 1);
  deep = Value::set({deep});
  const Status refused =
      save_image(*image_snapshot(set, {image_entity("U", "a", {{"v", deep}})}), files, "other", {.random = 1});
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == "engine_image_depth");
  CHECK(files.status("other").error().code == "file_not_found");
}

TEST_CASE("a line that began with an image says when it is wasteful") {
  const auto set = small_policies();
  const SnapshotPtr first = small_snapshot();
  SnapshotPtr current = saved_and_opened(*first, set);
  CHECK_FALSE(current->is_wasteful());
  CHECK(current->entity_bytes() > 1000);
  for (int i = 0; i < 40'000 && !current->is_wasteful(); ++i) {
    const Entity session =
        image_entity("S", "s" + std::to_string(i), {{"n", Value(std::string(2000, 'x') + std::to_string(i))}});
    const auto next = current->with({
        .upserts = {{&session, {}}},
        .removals = {{"S", "s" + std::to_string(i - 1)}},
    });
    REQUIRE(next.ok());
    current = *next;
  }
  CHECK(current->is_wasteful());
  CHECK_FALSE(saved_and_opened(*current, set)->is_wasteful());
}

TEST_CASE("readers decide and an image is saved while the writer goes on from an opened one") {
  const auto set = image_policies("permit(principal in G::\"top\", action, resource) when { principal.n < 1000000 };");
  SnapshotPtr current = saved_and_opened(*image_snapshot(set, small_world()), set);
  const SnapshotPtr held = current;
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    Worker worker;
    while (!stop) {
      if (!worker.decide(*held, image_request("a", "d"), {}).is_allowed) ++wrong;
      if (worker.decide(*held, image_request("nobody", "d"), {}).is_allowed) ++wrong;
    }
  });
  std::thread saver([&] {
    Bytes before;
    while (!stop) {
      io::SimFiles files(1);
      if (!save_image(*held, files, "image", {.random = 77}).ok()) ++wrong;
      Bytes image = test::get_file(files, "image");
      if (!before.empty() && image != before) ++wrong;
      before = std::move(image);
    }
  });
  for (int i = 0; i < 1500; ++i) {
    const Entity changed = image_entity("U", "a", {{"n", Value(i)}}, {{"G", "g"}});
    const Entity added = image_entity("U", "new" + std::to_string(i), {{"a" + std::to_string(i), Value("t")}},
                                      {{"G", "h" + std::to_string(i % 50)}});
    auto next = current->with({
        .upserts = {{&changed, {}}, {&added, {}}},
    });
    REQUIRE(next.ok());
    current = *next;
  }
  stop = true;
  reader.join();
  saver.join();
  CHECK(wrong == 0);
}
