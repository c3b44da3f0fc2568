#include "enforce/point.h"

#include <doctest/doctest.h>

#include "io/mapped_file.h"
#include "io/sim_loop.h"

using namespace wary;
using namespace wary::enforce;
using codec::Json;

namespace {

class CountingRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = next_++;
  }

 private:
  std::uint8_t next_ = 1;
};

Json reference(std::string_view type, std::string_view id) {
  return Json::object({{"__entity", Json::object({{"type", Json(type)}, {"id", Json(id)}})}});
}

contract::Entity entity(std::string_view type, std::string_view id,
                        std::vector<std::pair<std::string, Json>> facts = {}) {
  contract::Entity out;
  out.tenant = "local";
  out.id = {std::string(type), std::string(id)};
  for (auto& [name, value] : facts) out.attributes.push_back({name, std::move(value), "test", {}, {}, {}});
  return out;
}

struct PointWorld {
  io::SimWorld sim{1};
  CountingRandom random;
  Metrics metrics;
  Shared shared;
  std::unique_ptr<io::MappedFile> memory = io::MappedFile::anonymous(64 * 1024);
  EventRing ring{*EventRing::open(memory->memory(), 9)};
  Point point{shared, ring, sim.clock(), random, {"edge/test/0", "local", 10 * kNanosPerSecond, {"step-up"}}, metrics};

  PointWorld() {
    policy::SnapshotContent content;
    content.revision = 4;
    content.policies = {
        {"main", R"(@id("ok") permit (principal == Wary::User::"alice", action == Wary::Action::"GET", resource);
@id("careful") @obligation("step-up")
permit (principal == Wary::User::"alice", action == Wary::Action::"PUT", resource);
@id("strange") @obligation("dance")
permit (principal == Wary::User::"alice", action == Wary::Action::"POST", resource);)",
         "main.cedar", 1}};
    content.entities = {entity("Wary::User", "alice", {{"revoked", false}, {"disabled", false}}),
                        entity("Wary::Session", "s1",
                               {{"user", reference("Wary::User", "alice")}, {"active", true}, {"revoked", false}}),
                        entity("Wary::Credential", credential_id("good"),
                               {{"session", reference("Wary::Session", "s1")}, {"host", "a.test"}}),
                        entity("Wary::Credential", credential_id("orphan"),
                               {{"session", reference("Wary::Session", "gone")}, {"host", "a.test"}}),
                        entity("Wary::Credential", credential_id("bare")),
                        entity("Wary::Workload", "spiffe://local/a/b", {{"revoked", false}, {"disabled", false}}),
                        entity("Wary::Anonymous", "anonymous"),
                        entity("Wary::Route", "r")};
    auto snapshot = policy::build_snapshot(content, sim.clock().unix_time(), 1);
    REQUIRE(snapshot.ok());
    shared.snapshot.swap(*snapshot);
    shared.control_heard = sim.clock().monotonic().nanos;
  }
  Point::Answer ask(std::string_view method, const std::string& path = "/") {
    contract::Request request{
        "local", {"Wary::User", "alice"}, {"Wary::Action", std::string(method)}, {"Wary::Route", "r"}, Json::object()};
    request.context.set("session", reference("Wary::Session", "s1"));
    return point.decide(request, {method, "a.test", path, "127.0.0.1", "trace"});
  }
  std::vector<contract::Event> events() {
    std::vector<contract::Event> out;
    std::uint64_t cursor = ring.begin();
    ring.read(cursor,
              [&](const EventRing::Entry& entry) { return out.push_back(*contract::decode_event(entry.event)), true; });
    return out;
  }
};

}  // namespace

TEST_CASE("a token is its session's user on its own host, and everybody else is anonymous") {
  PointWorld world;
  const auto who = world.point.identify("good", "A.test:7443", "");
  CHECK_FALSE(who.is_anonymous);
  CHECK(who.principal.id == "alice");
  CHECK(who.session->id == "s1");
  for (const auto& [token, host, spiffe] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"", "a.test", ""},
           {"bad", "a.test", ""},
           {"good", "b.test", ""},
           {"orphan", "a.test", ""},
           {"bare", "a.test", ""},
           {"good", "a.test", "spiffe://local/not/registered"}}) {
    CHECK_MESSAGE(world.point.identify(token, host, spiffe).is_anonymous, token);
  }
  const auto workload = world.point.identify("good", "a.test", "spiffe://local/a/b");
  CHECK(workload.principal.type == "Wary::Workload");
  CHECK_FALSE(workload.session);
  world.shared.snapshot.swap(nullptr);
  CHECK(world.point.identify("good", "a.test", "").is_anonymous);
}

TEST_CASE("every decision has its event before it is given, with what it stood on") {
  PointWorld world;
  std::size_t told = 0;
  world.point.on_recorded = [&] { ++told; };
  const auto allowed = world.ask("GET", "/a\"b");
  CHECK(allowed.decision.is_allowed());
  CHECK(allowed.sequence == 1);
  const auto denied = world.ask("DELETE");
  CHECK(denied.decision.reason_code == "no_permit");
  CHECK(allowed.decision.id != denied.decision.id);
  const auto events = world.events();
  REQUIRE(events.size() == 2);
  CHECK(told == 2);
  CHECK(events[0].decision_id == allowed.decision.id);
  CHECK(events[0].actor == "Wary::User::\"alice\"");
  CHECK(events[0].session == "s1");
  CHECK(events[0].trace_id == "trace");
  const auto detail = codec::parse_json(events[0].detail);
  REQUIRE(detail.ok());
  CHECK(detail->to_canonical_string() == events[0].detail);  // written by hand, and canonical all the same
  CHECK(detail->integer_or("revision", 0) == 4);
  CHECK(detail->string_or("path", "") == "/a\"b");
}

TEST_CASE("an obligation that this point keeps allows, one that it does not know denies") {
  PointWorld world;
  CHECK(world.ask("PUT").decision.is_allowed());
  CHECK(world.ask("POST").decision.reason_code == "obligation_unknown");
}

TEST_CASE("whatever is missing denies with its own reason, and that is recorded too") {
  PointWorld world;
  world.shared.ledger_available = false;
  CHECK(world.ask("GET").decision.reason_code == "ledger_unavailable");
  world.shared.ledger_available = true;
  world.sim.run_for(11 * kNanosPerSecond);
  CHECK(world.ask("GET").decision.reason_code == "snapshot_stale");
  world.shared.control_heard = world.sim.clock().monotonic().nanos;
  CHECK(world.ask("GET").decision.is_allowed());
  world.shared.snapshot.swap(nullptr);
  CHECK(world.ask("GET").decision.reason_code == "snapshot_missing");
  CHECK(world.events().size() == 4);
}

TEST_CASE("a full ring, or an event that does not fit, is a deny without a sequence") {
  PointWorld world;
  const auto large = world.ask("GET", std::string(70'000, 'x'));
  CHECK(large.decision.reason_code == "ledger_unavailable");
  CHECK(large.sequence == 0);
  CHECK_FALSE(large.decision.id.empty());
  Point::Answer last = world.ask("GET");
  for (int i = 0; i < 1'000 && last.sequence != 0; ++i) last = world.ask("GET", std::string(500, 'x'));
  CHECK(last.decision.reason_code == "ledger_unavailable");
  const std::size_t held = world.events().size();
  world.ring.release(9, 1'000'000);
  const auto again = world.ask("GET");
  CHECK(again.decision.is_allowed());
  CHECK(again.sequence == held + 1);  // what was not recorded took no number
}

TEST_CASE("to reconsider writes nothing, and a cut says when") {
  PointWorld world;
  contract::Request request{
      "local", {"Wary::User", "alice"}, {"Wary::Action", "GET"}, {"Wary::Route", "r"}, Json::object()};
  CHECK(world.point.reconsider(request).is_allowed());
  CHECK(world.events().empty());
  world.point.record_cut(request.principal, request.resource, contract::Decision::deny("forbid"), "d1", 1'000, 4'000);
  world.point.record_cut(request.principal, request.resource, contract::Decision::deny("forbid"), "d2", 0, 4'000);
  const auto events = world.events();
  REQUIRE(events.size() == 2);
  CHECK(events[0].action == "session.cut");
  CHECK(events[0].decision_id == "d1");
  CHECK(codec::parse_json(events[0].detail)->integer_or("cut_after_ns", 0) == 3'000);
  CHECK(codec::parse_json(events[1].detail)->integer_or("cut_after_ns", -1) == 0);
}
