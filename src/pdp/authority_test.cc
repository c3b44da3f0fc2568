// The authority over a real enforcement point: what it records, and what happens when it cannot.
#include "pdp/authority.h"

#include <doctest/doctest.h>

#include "io/mapped_file.h"
#include "io/sim_loop.h"
#include "pdp/authzen.h"
#include "tests/support/pdp_world.h"

using namespace wary;
using namespace wary::pdp;
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

struct AuthorityWorld {
  io::SimWorld sim{1};
  CountingRandom random;
  Metrics metrics;
  enforce::Shared shared;
  std::unique_ptr<io::MappedFile> memory = io::MappedFile::anonymous(128 * 1024);
  enforce::EventRing ring{*enforce::EventRing::open(memory->memory(), 9)};
  enforce::Point point{shared,
                       ring,
                       sim.clock(),
                       random,
                       {"edge/test/pdp", "local", 10 * kNanosPerSecond, {}, contract::EventClass::kAuthorizeSession},
                       metrics};
  PointAuthority authority{point, shared, sim.clock(), [](std::string_view, std::string_view) { return std::nullopt; }};

  AuthorityWorld() {
    shared.snapshot.swap(
        *test::snapshot_of("@id(\"all\") @obligation(\"step-up\") permit (principal, action, resource);",
                           {test::entity_of("Wary::User", "alice"), test::entity_of("Doc", "1")}));
    shared.control_heard = sim.clock().monotonic().nanos;
  }
  Question question(std::vector<std::string> obligations = {"step-up"}) {
    Question out;
    out.request = {"local", {"Wary::User", "alice"}, {"Wary::Action", "read"}, {"Doc", "1"}, Json::object()};
    out.pep = "unix uid 7";
    out.obligations = std::move(obligations);
    return out;
  }
  std::vector<contract::Event> events() {
    std::vector<contract::Event> out;
    std::uint64_t cursor = ring.begin();
    ring.read(cursor, [&](const enforce::EventRing::Entry& entry) {
      return out.push_back(*contract::decode_event(entry.event)), true;
    });
    return out;
  }
};

}  // namespace

TEST_CASE("a decision for another program is an event with its class and the asker") {
  AuthorityWorld world;
  const contract::Decision decision = world.authority.decide(world.question());
  CHECK(decision.is_allowed());
  REQUIRE(world.events().size() == 1);
  const contract::Event event = world.events()[0];
  CHECK(event.class_uid == contract::EventClass::kAuthorizeSession);
  CHECK(event.decision_id == decision.id);
  const auto detail = codec::parse_json(event.detail);
  REQUIRE(detail.ok());
  CHECK(detail->string_or("pep", "") == "unix uid 7");
  CHECK(detail->string_or("activity_name", "") == "access.decision");
  CHECK(event.detail == detail->to_canonical_string());
  CHECK(world.authority.consider(world.question()).is_allowed());
  CHECK(world.events().size() == 1);
  CHECK(world.authority.decide(world.question({})).reason_code == "obligation_unknown");
}

TEST_CASE("a search is an event before it is told") {
  AuthorityWorld world;
  CHECK(world.authority.record_search(world.question(), "subject", 3));
  const auto detail = codec::parse_json(world.events().at(0).detail);
  REQUIRE(detail.ok());
  CHECK(detail->string_or("activity_name", "") == "access.search");
  CHECK(detail->integer_or("found", 0) == 3);
  CHECK(world.events()[0].detail == detail->to_canonical_string());
}

TEST_CASE("too large a context is denied, and that is recorded") {
  AuthorityWorld world;
  Question large = world.question();
  large.request.context.set("text", std::string(kContextBytesMax, 'x'));
  const contract::Decision decision = world.authority.decide(large);
  CHECK(!decision.is_allowed());
  CHECK(decision.reason_code == "context_too_large");
  REQUIRE(world.events().size() == 1);
  CHECK(world.events()[0].decision_id == decision.id);
  CHECK(world.events()[0].detail.find("context_too_large") != std::string::npos);
  CHECK(!world.authority.consider(large).is_allowed());
}

TEST_CASE("ids too large for an event are denied as no request, and that is recorded") {
  AuthorityWorld world;
  std::size_t recorded = 0;
  for (contract::EntityId contract::Request::* part :
       {&contract::Request::principal, &contract::Request::action, &contract::Request::resource}) {
    for (const std::string& id : {std::string(900'000, 'x'), std::string(1'024, '\1'), std::string(5'000, '\xc3')}) {
      Question large = world.question();
      (large.request.*part).id = id;
      const contract::Decision decision = world.authority.decide(large);
      const bool may_be = part == &contract::Request::action && id.size() == 1'024;  // any action is permitted here
      CHECK(decision.is_allowed() == may_be);
      CHECK(decision.reason_code != "ledger_unavailable");
      REQUIRE(world.events().size() == ++recorded);
      CHECK(world.events().back().decision_id == decision.id);
      CHECK(world.authority.record_search(large, "subject", 0));
      ++recorded;
    }
  }
  Question session = world.question();
  session.request.context.set(
      "session", *codec::parse_json(R"({"__entity":{"type":"S","id":")" + std::string(20'000, 'x') + "\"}}"));
  CHECK(world.authority.decide(session).reason_code != "ledger_unavailable");
  CHECK(world.events().size() == recorded + 1);
}

TEST_CASE("without room for the event nothing is allowed and nothing is told") {
  AuthorityWorld world;
  Question wide = world.question();
  wide.request.context.set("text", std::string(20'000, 'x'));
  contract::Decision last = world.authority.decide(wide);
  for (int i = 0; i < 20 && last.is_allowed(); ++i) last = world.authority.decide(wide);
  CHECK(last.reason_code == "ledger_unavailable");
  CHECK(!world.authority.record_search(wide, "subject", 1));
  // A batch fails closed in the middle of it, one by one.
  Authzen authzen(world.authority);
  const std::string body = R"({"subject":{"type":"user","id":"alice"},"action":{"name":"read"},
    "resource":{"type":"Doc","id":"1"},"context":{"t":")" +
                           std::string(20'000, 'x') +
                           R"("},"options":{"obligations":["step-up"]},"evaluations":[{},{}]})";
  const Answer answer =
      authzen.answer({"POST", "/access/v1/evaluations", "h", "application/json", "", "", body, "unix uid 7"});
  CHECK(answer.status == 200);
  CHECK(answer.body.find("\"decision\":true") == std::string::npos);
}

TEST_CASE("a stale snapshot and an unavailable ledger deny") {
  AuthorityWorld world;
  world.shared.ledger_available = false;
  CHECK(world.authority.decide(world.question()).reason_code == "ledger_unavailable");
  CHECK(!world.authority.consider(world.question()).is_allowed());
  world.shared.ledger_available = true;
  world.shared.control_heard = world.sim.clock().monotonic().nanos - 11 * kNanosPerSecond;
  CHECK(world.authority.decide(world.question()).reason_code == "snapshot_stale");
}
