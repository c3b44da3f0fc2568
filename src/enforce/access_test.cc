// The gateway's way to ask, with what it remembers, beside the plain way, which remembers nothing.
#include "enforce/access.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "codec/text.h"
#include "contract/event.h"
#include "enforce/point.h"
#include "io/mapped_file.h"
#include "io/sim_loop.h"

using namespace wary;
using namespace wary::enforce;
using codec::Json;

namespace {

class StreamRandom final : public Random {
 public:
  explicit StreamRandom(std::uint64_t seed) : state_(seed) {}
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(below(256));
  }
  std::size_t below(std::size_t bound) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>((state_ >> 33) % bound);
  }
  bool chance(std::size_t percent) { return below(100) < percent; }
  std::string one_of(std::initializer_list<const char*> list) { return *(list.begin() + below(list.size())); }

 private:
  std::uint64_t state_;
};

Json entity_json(std::string_view type, std::string_view id) {
  return Json::object({{"__entity", Json::object({{"type", Json(type)}, {"id", Json(id)}})}});
}

contract::Entity made_entity(std::string_view type, std::string_view id, std::vector<contract::Fact> facts = {},
                             std::vector<contract::EntityId> parents = {}) {
  contract::Entity out;
  out.tenant = "local";
  out.id = {std::string(type), std::string(id)};
  out.attributes = std::move(facts);
  out.parents = std::move(parents);
  return out;
}

contract::Fact made_fact(std::string_view name, Json value) {
  return {std::string(name), std::move(value), "test", {}, {}, {}};
}

// A world that changes, and one point that is asked in both ways.
struct AskedWorld {
  explicit AskedWorld(std::uint64_t seed) : random(seed) {
    content.revision = 1;
    content.policies = {{"main", random_policies(), "main.cedar", 1}};
    for (const char* user : {"u0", "u1"}) content.entities.push_back(random_user(user));
    for (const char* session : {"s0", "s1"}) content.entities.push_back(random_session(session));
    for (const char* route : {"r0", "r1"}) content.entities.push_back(random_route(route));
    content.entities.push_back(made_entity("Wary::Group", "g"));
    content.entities.push_back(made_entity("Wary::Anonymous", "anonymous"));
    content.entities.push_back(
        made_entity("Wary::Node", "n0", {made_fact("revoked", false), made_fact("disabled", false)}));
    auto built = policy::build_snapshot(content, now(), 1);
    REQUIRE_MESSAGE(built.ok(), (built.ok() ? "" : built.error().to_string()));
    newest = *built;
    shared.snapshot.swap(newest);
    shared.control_heard = sim.clock().monotonic().nanos;
  }

  UnixTime now() { return sim.clock().unix_time(); }
  UnixTime soon() { return {now().nanos + static_cast<std::int64_t>(random.below(20)) * kNanosPerSecond}; }

  std::string random_policies() {
    std::string out;
    for (std::size_t i = random.below(4) + 2; i > 0; --i) {
      out += random.chance(15) ? "@obligation(\"known\") permit" : random.chance(85) ? "permit" : "forbid";
      out += " (" + random.one_of({"principal", "principal == Wary::User::\"u0\"", "principal in Wary::Group::\"g\""}) +
             ", " + random.one_of({"action", "action == Wary::Action::\"GET\""}) + ", " +
             random.one_of({"resource", "resource == Wary::Route::\"r0\""}) + ")";
      if (random.chance(70)) {
        out +=
            random.one_of({" when {", " unless {"}) +
            random.one_of({"context.path like \"/a*\"", "context.host == \"a.test\"", "principal.level > 2",
                           "context.client.isInRange(ip(\"10.0.0.0/8\"))", "context has session",
                           "context has token && context.token.scopes.contains(\"read\")", "context.method == \"PUT\"",
                           "context has transport", "context has transport && context.transport == \"plain\"",
                           "context has device", "context.session.active", "resource.open", "principal.nothing"}) +
            "}";
      }
      out += ";\n";
    }
    return out;
  }
  contract::Fact expiring_fact(std::string_view name, Json value, Json then) {
    contract::Fact out = made_fact(name, std::move(value));
    if (!random.chance(60)) return out;
    out.expires = soon();
    out.on_expiry = std::move(then);
    return out;
  }
  contract::Entity random_user(std::string_view id) {
    std::vector<contract::EntityId> parents;
    if (random.chance(50)) parents.push_back({"Wary::Group", "g"});
    return made_entity("Wary::User", id,
                       {expiring_fact("level", static_cast<int>(random.below(6)), 0),
                        made_fact("revoked", random.chance(6)), made_fact("disabled", random.chance(4))},
                       std::move(parents));
  }
  contract::Entity random_session(std::string_view id) {
    contract::Fact active = expiring_fact("active", !random.chance(10), false);
    active.since = {now().nanos - static_cast<std::int64_t>(random.below(30)) * kNanosPerSecond};
    return made_entity("Wary::Session", id,
                       {std::move(active), made_fact("revoked", random.chance(10)),
                        made_fact("user", entity_json("Wary::User", "u0"))});
  }
  contract::Entity random_route(std::string_view id) {
    std::vector<contract::Fact> facts = {expiring_fact("open", random.chance(60), false)};
    if (random.chance(30)) facts.push_back(made_fact("step_up_max_age", static_cast<int>(random.below(40))));
    if (random.chance(10)) facts.push_back(made_fact("step_up_acr", Json::array({Json("gold")})));
    return made_entity("Wary::Route", id, std::move(facts));
  }

  void change() {
    policy::SnapshotDelta delta;
    delta.from = newest->revision();
    delta.to = delta.from + 1;
    switch (random.below(5)) {
      case 0: delta.upserts = {random_user(random.one_of({"u0", "u1"}))}; break;
      case 1: delta.upserts = {random_session(random.one_of({"s0", "s1"}))}; break;
      case 2: delta.upserts = {random_route(random.one_of({"r0", "r1"}))}; break;
      case 3:
        if (random.chance(70))
          delta.upserts = {random_user("u0"), random_user("u1")};
        else
          delta.removals = {{"Wary::User", random.one_of({"u0", "u1"})}};
        break;
      default: delta.policy_upserts = {{"main", random_policies(), "main.cedar", 1}}; break;
    }
    auto next = policy::apply_delta(*newest, delta, now());
    REQUIRE_MESSAGE(next.ok(), (next.ok() ? "" : next.error().to_string()));
    newest = *next;
    shared.snapshot.swap(newest);
  }

  Subject random_subject() {
    Subject out{{"Wary::User", random.one_of({"u0", "u0", "u1", "u1", "nobody"})}, std::nullopt, false};
    if (random.chance(20)) out.principal = {"Wary::Anonymous", "anonymous"};
    if (random.chance(60))
      out.session = contract::EntityId{"Wary::Session", random.one_of({"s0", "s0", "s1", "s1", "gone"})};
    if (random.chance(10)) out.device = contract::EntityId{"Wary::Node", random.one_of({"n0", "gone"})};
    if (random.chance(20)) {
      VerifiedToken token;
      token.issuer = "corp";
      token.subject = "x\"y";
      token.id = "t1";
      token.scopes = {random.one_of({"read", "write"})};
      token.acr = random.one_of({"", "gold"});
      if (random.chance(50))
        token.auth_time = UnixTime{now().nanos - static_cast<std::int64_t>(random.below(30)) * kNanosPerSecond};
      token.expires = soon();
      out.token = std::make_shared<const VerifiedToken>(std::move(token));
    }
    return out;
  }

  void ask() {
    const Subject subject = random_subject();
    const std::string method = random.one_of({"GET", "GET", "PUT"}), path = random.one_of({"/a", "/a/b", "/c\xc3\xa9"});
    const std::string host = random.one_of({"a.test", "b.test"}),
                      client = random.one_of({"10.1.2.3", "::1", "127.0.0.1"});
    const Recognised who = recognised(subject);
    Access access{
        "local", subject.principal, {"Wary::Action", method}, {"Wary::Route", random.one_of({"r0", "r1", "r2"})}, {}};
    const std::string transport = random.one_of({"", "", "plain", "terminated"});
    access.context.write(who, {client, host, method, path, transport});
    contract::Request plain{access.tenant, access.principal, access.action, access.resource, Json::object()};
    plain.context.set("host", std::string_view(host)).set("method", std::string_view(method));
    plain.context.set("path", std::string_view(path));
    plain.context.set("client", Json::object({{"__extn", Json::object({{"fn", "ip"}, {"arg", Json(client)}})}}));
    if (!transport.empty()) plain.context.set("transport", std::string_view(transport));
    describe(subject, plain);
    REQUIRE(access.context.text() == plain.context.to_canonical_string());

    const AccessDetail detail{method, host, path, client, "trace"};
    const Point::Answer expected = point.decide(plain, detail);
    const Point::Ruling ruled = point.decide(who, access, detail);
    check_same(expected.decision, *ruled.decision);
    check_same(point.reconsider(plain), *point.reconsider(access));
    CHECK(ruled.sequence == expected.sequence + 1);
    check_same_event(expected, ruled);
    allowed += expected.decision.is_allowed() ? 1U : 0U;
    errors += expected.decision.errors.empty() ? 0U : 1U;
    ends += expected.decision.valid_until ? 1U : 0U;
    ++asked;
  }

  static void check_same(const contract::Decision& expected, const contract::Decision& ruled) {
    REQUIRE(ruled.effect() == expected.effect());
    REQUIRE(ruled.reason_code == expected.reason_code);
    REQUIRE(ruled.determining == expected.determining);
    REQUIRE(ruled.revision == expected.revision);
    REQUIRE(ruled.depends_on == expected.depends_on);
    REQUIRE(ruled.valid_until == expected.valid_until);
    REQUIRE(ruled.errors.size() == expected.errors.size());
    REQUIRE(ruled.obligations.size() == expected.obligations.size());
  }

  // The two newest events differ in their number and in the id of the decision alone.
  void check_same_event(const Point::Answer& expected, const Point::Ruling& ruled) {
    std::vector<contract::Event> events;
    std::uint64_t cursor = ring.begin();
    ring.read(cursor, [&](const EventRing::Entry& entry) {
      events.push_back(*contract::decode_event(entry.event));
      REQUIRE(as_text(*contract::encode(events.back())) == as_text(entry.event));
      return true;
    });
    ring.release(9, ruled.sequence);
    REQUIRE(events.size() == 2);
    REQUIRE(events[0].decision_id == expected.decision.id);
    REQUIRE(events[1].decision_id == ruled.id);
    events[1].decision_id = events[0].decision_id;
    events[1].id.sequence = events[0].id.sequence;
    REQUIRE(events[0] == events[1]);
    REQUIRE(codec::parse_json(events[1].detail)->to_canonical_string() == events[1].detail);
  }

  io::SimWorld sim{1};
  StreamRandom random;
  Metrics metrics;
  Shared shared;
  policy::SnapshotContent content;
  policy::SnapshotPtr newest;
  std::unique_ptr<io::MappedFile> memory = io::MappedFile::anonymous(64 * 1024);
  EventRing ring{*EventRing::open(memory->memory(), 9)};
  Point point{shared, ring, sim.clock(), random, {"edge/test/0", "local", 1'000'000 * kNanosPerSecond, {"known"}},
              metrics};
  std::size_t asked = 0, allowed = 0, errors = 0, ends = 0;
};

}  // namespace

TEST_CASE("over random policies, changes and times, what is remembered is what would be decided anew") {
  std::size_t asked = 0, allowed = 0, errors = 0, ends = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    AskedWorld world(seed);
    for (int step = 0; step < 300; ++step) {
      if (world.random.chance(6)) world.change();
      if (world.random.chance(10))
        world.sim.run_for(static_cast<std::int64_t>(world.random.below(3)) * kNanosPerSecond);
      world.ask();
    }
    asked += world.asked;
    allowed += world.allowed;
    errors += world.errors;
    ends += world.ends;
  }
  CHECK(asked == 18'000);
  CHECK(allowed > 1'000);
  CHECK(allowed < asked);
  CHECK(errors > 300);
  CHECK(ends > 1'000);
}

TEST_CASE("a principal that is revoked is denied by the very next decision, however often it was let in") {
  AskedWorld world(1);
  policy::SnapshotContent content;
  content.revision = world.newest->revision() + 1;
  content.policies = {{"main", "permit (principal, action, resource);", "main.cedar", 1}};
  content.entities = {made_entity("Wary::User", "u0", {made_fact("revoked", false), made_fact("disabled", false)})};
  auto built = policy::build_snapshot(content, world.now(), 1);
  REQUIRE(built.ok());
  world.shared.snapshot.swap(*built);
  const Recognised who = recognised({{"Wary::User", "u0"}, std::nullopt, false});
  Access access{"local", who.subject.principal, {"Wary::Action", "GET"}, {"Wary::Route", "r0"}, {}};
  access.context.write(who, {"127.0.0.1", "a.test", "GET", "/"});
  const AccessDetail detail{"GET", "a.test", "/", "127.0.0.1", ""};
  for (int i = 0; i < 5; ++i) CHECK(world.point.decide(who, access, detail).decision->is_allowed());
  const policy::SharedDecision held = world.point.decide(who, access, detail).decision;
  CHECK(held.use_count() > 1);  // it was remembered
  auto revoked = policy::apply_delta(
      **built,
      {.from = content.revision,
       .to = content.revision + 1,
       .upserts = {made_entity("Wary::User", "u0", {made_fact("revoked", true), made_fact("disabled", false)})}},
      world.now());
  REQUIRE(revoked.ok());
  world.shared.snapshot.swap(*revoked);
  CHECK(world.point.decide(who, access, detail).decision->reason_code == "forbid");
  CHECK(world.point.reconsider(access)->reason_code == "forbid");
  // What denies beside the policies is asked each time.
  world.shared.snapshot.swap(*built);
  CHECK(world.point.decide(who, access, detail).decision->is_allowed());
  world.shared.ledger_available = false;
  CHECK(world.point.decide(who, access, detail).decision->reason_code == "ledger_unavailable");
  world.shared.ledger_available = true;
  world.shared.snapshot.swap(nullptr);
  CHECK(world.point.decide(who, access, detail).decision->reason_code == "snapshot_missing");
}

TEST_CASE("while another thread publishes, no answer is older than what was published before it was asked for") {
  AskedWorld world(1);
  constexpr std::uint64_t kRevisions = 300;
  std::vector<policy::SnapshotPtr> line;
  policy::SnapshotContent content;
  content.policies = {{"main", "permit (principal, action, resource);", "main.cedar", 1}};
  for (content.revision = 1; content.revision <= kRevisions; ++content.revision) {
    // Odd: let in. Even: revoked.
    content.entities = {made_entity("Wary::User", "u0",
                                    {made_fact("revoked", content.revision % 2 == 0), made_fact("disabled", false)})};
    auto built = policy::build_snapshot(content, {1}, 1);
    REQUIRE(built.ok());
    line.push_back(*built);
  }
  world.shared.snapshot.swap(line.front());
  std::atomic<std::uint64_t> published{1};
  std::thread writer([&] {
    for (std::uint64_t revision = 2; revision <= kRevisions; ++revision) {
      world.shared.snapshot.swap(line[revision - 1]);
      published.store(revision, std::memory_order_release);
      std::this_thread::yield();
    }
  });
  const Recognised who = recognised({{"Wary::User", "u0"}, std::nullopt, false});
  Access access{"local", who.subject.principal, {"Wary::Action", "GET"}, {"Wary::Route", "r0"}, {}};
  access.context.write(who, {"127.0.0.1", "a.test", "GET", "/"});
  std::uint64_t seen = 0;
  while (seen < kRevisions) {
    const std::uint64_t before = published.load(std::memory_order_acquire);
    const policy::SharedDecision decision = world.point.reconsider(access);
    REQUIRE(decision->revision >= before);
    REQUIRE(decision->is_allowed() == (decision->revision % 2 == 1));
    seen = decision->revision;
  }
  writer.join();
}
