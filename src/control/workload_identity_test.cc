#include "control/workload_identity.h"

#include "codec/text.h"
#include "control/control_test_world.h"
#include "policy/decide.h"
#include "policy/validate.h"
#include "schema/conformance.h"

using namespace wary;
using namespace wary::control;
using namespace wary::control::test;

namespace {

struct IdentityWorld {
  World world;
  std::vector<std::string> issued;
  bool signer_is_away = false, signs_later = false;
  WorkloadIdentityParts::Issued signing;  // while it signs
  WorkloadIdentity identity{
      *world.plane,
      {world.sim.clock(), world.random, null_log(),
       [this](const Bytes&, const std::string& id, std::uint32_t ttl, WorkloadIdentityParts::Issued done) {
         if (signer_is_away) return done(fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer is away"));
         issued.push_back(id + " " + std::to_string(ttl));
         if (!signs_later) return done(std::vector<Bytes>{{1, 2, 3}, {4}});
         signing = std::move(done);
       },
       [this](const std::string& id, const std::vector<std::string>& audiences, std::int64_t) -> Result<std::string> {
         issued.push_back(id + " for " + audiences.front());
         return std::string("token");
       }}};
  IdentityWorld() {
    REQUIRE(world.put(key_of("shop", "Workload", "orders"), R"({"selectors":[["unix:uid:7"]],"nodes":["a"]})").ok());
    REQUIRE(world.put(key_of(kTenantWide, "Node", "a"), "{}").ok());
    REQUIRE(world.put(key_of(kTenantWide, "Node", "b"), "{}").ok());
    world.settle();
  }
  // Nothing while the answer waits for the ledger.
  std::optional<codec::Json> last;
  void ask(std::string_view call, const std::string& node = "agent/a") {
    last.reset();
    identity.handle(node, *codec::parse_json(call), [this](codec::Json reply) { last = std::move(reply); });
  }
  std::string code() {
    world.settle();
    REQUIRE(last.has_value());
    const codec::Json* error = last->find("error");
    return error == nullptr ? "" : std::string(error->string_or("code", ""));
  }
};

constexpr std::string_view kAsk =
    R"({"op":"svid.issue","spiffe_id":"spiffe://local/shop/orders","csr":"","ttl_seconds":600})";
constexpr std::string_view kAskJwt = R"({"op":"svid.jwt","spiffe_id":"spiffe://local/shop/orders","audiences":["db"]})";

}  // namespace

TEST_CASE("only a node in good standing that a workload is placed on asks for it") {
  IdentityWorld it;
  it.ask(kAsk, "agent/b");
  CHECK(it.code() == "svid_not_placed");
  it.ask(kAsk, "agent/local");
  CHECK(it.code() == "svid_not_placed");
  it.ask(kAsk, "agent/nobody");
  CHECK(it.code() == "svid_node");
  REQUIRE(it.world.put(key_of(kTenantWide, "Node", "a"), R"({"disabled":true})").ok());
  it.ask(kAsk);
  CHECK(it.code() == "svid_node");
  REQUIRE(it.world.put(key_of(kTenantWide, "Node", "a"), "{}").ok());
  REQUIRE(it.world.put(key_of(kTenantWide, "Revocation", "node.-.a"), "{}").ok());
  it.ask(kAsk);
  CHECK(it.code() == "svid_node");
  // By group; and a workload that names nobody is this machine's.
  REQUIRE(it.world.put(key_of(kTenantWide, "Group", "web"), "{}").ok());
  REQUIRE(it.world.put(key_of(kTenantWide, "Node", "b"), R"({"groups":["web"]})").ok());
  REQUIRE(it.world.put(key_of("shop", "Workload", "orders"), R"({"nodeGroups":["web"]})").ok());
  it.ask(kAsk, "agent/b");
  CHECK(it.code() == "");
  REQUIRE(it.world.put(key_of("shop", "Workload", "orders"), "{}").ok());
  it.ask(kAsk, "agent/b");
  CHECK(it.code() == "svid_not_placed");
  it.ask(kAsk, "agent/local");
  CHECK(it.code() == "");
}

TEST_CASE("who is revoked while the certificate is signed gets none, and another change is decided again") {
  IdentityWorld it;
  it.signs_later = true;
  it.ask(kAsk);
  it.world.settle();
  CHECK(!it.last.has_value());
  REQUIRE(it.world.put(key_of(kTenantWide, "Revocation", "workload.shop.orders"), "{}").ok());
  it.signing(std::vector<Bytes>{{1, 2, 3}, {4}});
  CHECK(it.code() == "svid_denied");
  for (const contract::Event& event : it.world.events()) {
    CHECK((event.action != "svid.issue" || event.detail.find("\"deny\"") != std::string::npos));
    CHECK(event.raw.empty());
  }
  IdentityWorld other;
  other.signs_later = true;
  other.ask(kAsk);
  REQUIRE(other.world.put(key_of(kTenantWide, "Group", "web"), "{}").ok());
  other.signing(std::vector<Bytes>{{1, 2, 3}, {4}});
  CHECK(other.code() == "");
  const auto events = other.world.events();
  CHECK(events.back().action == "svid.issue");
  CHECK(codec::parse_json(events.back().detail)->integer_or("revision", 0) ==
        static_cast<std::int64_t>(other.world.plane->snapshot()->revision()));
}

TEST_CASE("a certificate is given once its record is durable") {
  IdentityWorld it;
  it.ask(kAsk);
  CHECK(it.issued == std::vector<std::string>{"spiffe://local/shop/orders 600"});
  CHECK(!it.last.has_value());
  CHECK(it.code() == "");
  CHECK(it.last->find("chain")->items().size() == 2);
  it.ask(kAskJwt);
  CHECK(it.code() == "");
  CHECK(it.last->string_or("token", "") == "token");
  for (const contract::Event& event : it.world.events()) {
    if (event.action != "svid.issue" && event.action != "svid.jwt") continue;
    CHECK(event.actor == R"(Wary::Workload::"spiffe://local/shop/orders")");
    CHECK(!event.decision_id.empty());
    CHECK((event.raw == Bytes{1, 2, 3}) == (event.action == "svid.issue"));
    // What was asked conforms to the platform's schema.
    contract::Request question{event.tenant,
                               *contract::parse_entity_id(event.actor),
                               {"Wary::Action", "svid.issue"},
                               *contract::parse_entity_id(event.resource),
                               *codec::parse_json(event.detail)->find("context")};
    const auto request = policy::to_cedar(*it.world.plane->snapshot(), question);
    REQUIRE(request.ok());
    CHECK(schema::validate_request(policy::platform_schema(), *request).ok());
  }
  CHECK(it.world.count("svid.issue") == 1);
  CHECK(it.world.count("svid.jwt") == 1);
}

TEST_CASE("who is unknown, revoked, disabled or forbidden gets none, and it is recorded") {
  IdentityWorld it;
  it.ask(R"({"op":"svid.issue","spiffe_id":"spiffe://local/shop/none","csr":""})");
  CHECK(it.code() == "svid_unknown");
  it.ask(R"({"op":"svid.issue","csr":""})");
  CHECK(it.code() == "svid_unknown");
  REQUIRE(it.world
              .put(key_of("shop", "Policy", "closed"),
                   R"({"cedar":"forbid (principal is Wary::Workload, action == Wary::Action::\"svid.issue\", )"
                   R"(resource) when { context has audiences };","source":"x.cedar"})")
              .ok());
  it.ask(kAskJwt);
  CHECK(it.code() == "svid_denied");
  it.ask(kAsk);
  CHECK(it.code() == "");
  REQUIRE(it.world.put(key_of(kTenantWide, "Revocation", "workload.shop.orders"), R"({"reason":"test"})").ok());
  it.ask(kAsk);
  CHECK(it.code() == "svid_denied");
  CHECK(it.issued.size() == 1);
  CHECK(it.world.count("svid.issue") == 2);
  CHECK(it.world.count("svid.jwt") == 1);
}

TEST_CASE("what the signer refuses, or nobody may ask for, is an answer") {
  IdentityWorld it;
  it.signer_is_away = true;
  it.ask(kAsk);
  CHECK(it.code() == "signer_unavailable");
  CHECK(it.last->find("error")->string_or("kind", "") == "unavailable");
  for (const char* call :
       {R"({"op":"svid.issue","spiffe_id":"spiffe://local/shop/orders","csr":"","ttl_seconds":3601})",
        R"({"op":"svid.issue","spiffe_id":"spiffe://local/shop/orders","csr":"","ttl_seconds":59})"}) {
    it.ask(call);
    CHECK(it.code() == "svid_ttl");
  }
  it.ask(R"({"op":"svid.jwt","spiffe_id":"spiffe://local/shop/orders","audiences":[]})");
  CHECK(it.code() == "svid_audience");
}

TEST_CASE("what is asked for is what is decided, recorded and given, whatever else a node writes into its call") {
  IdentityWorld it;
  it.ask(R"({"op":"svid.issue","spiffe_id":"spiffe://local/shop/orders","csr":"","audiences":["db"]})");
  CHECK(it.code() == "");
  CHECK(it.world.count("svid.jwt") == 0);
  for (const contract::Event& event : it.world.events()) {
    if (event.action == "svid.issue") CHECK(event.detail.find("audiences") == std::string::npos);
  }
  CHECK(it.world.count("svid.issue") == 1);
  const auto ask_for = [&](const std::string& audiences) {
    it.ask(R"({"op":"svid.jwt","spiffe_id":"spiffe://local/shop/orders","audiences":)" + audiences + "}");
    return it.code();
  };
  for (const char* audiences : {R"("db")", R"(["db",5])", R"([{"__entity":{"type":"Wary::User","id":"owner"}}])"}) {
    CHECK(ask_for(audiences) == "svid_audience");
  }
  const auto many = [](std::size_t count, std::size_t size, char letter) {
    codec::Json out = codec::Json::array();
    for (std::size_t i = 0; i < count; ++i) out.push(codec::Json(std::string(size, letter)));
    return out.to_string();
  };
  CHECK(ask_for(many(1, 257, 'x')) == "svid_audience");
  CHECK(ask_for(many(1, 0, 'x')) == "svid_audience");
  CHECK(ask_for(many(17, 1, 'x')) == "svid_audience");
  CHECK(it.world.count("svid.jwt") == 0);
  // The largest, and escaped to six times their size: all of it is in the record.
  CHECK(ask_for(many(16, 256, '\x01')) == "");
  CHECK(it.world.events().back().action == "svid.jwt");
  CHECK(it.world.events().back().detail.size() > std::size_t{16} * 256 * 6);
}

TEST_CASE("a node that asks without end leaves room for the others") {
  IdentityWorld it;
  for (int i = 0; i < 1000; ++i) it.ask(R"({"op":"svid.issue","csr":""})");
  it.ask(kAsk);
  CHECK(it.code() == "svid_rate");
  CHECK(it.last->find("error")->string_or("kind", "") == "unavailable");  // asked again later
  it.ask(kAsk, "agent/b");
  CHECK(it.code() == "svid_not_placed");
  it.world.run(1'000);
  it.ask(kAsk);
  CHECK(it.code() == "");
}

TEST_CASE("nothing is given away while the ledger takes nothing") {
  IdentityWorld it;
  it.world.ledger_files.set_capacity(0);
  it.ask(kAsk);
  CHECK(it.code() != "");
  CHECK(it.last->find("chain") == nullptr);
}

TEST_CASE("the trust domain's bundle is an entity, committed when it changes") {
  IdentityWorld it;
  const contract::EntityId id{"Wary::TrustDomain", "local"};
  REQUIRE(it.identity.publish(R"({"keys":[]})"));
  const std::uint64_t revision = it.world.plane->snapshot()->revision();
  REQUIRE(it.identity.publish(R"({"keys":[]})"));
  CHECK(it.world.plane->snapshot()->revision() == revision);
  REQUIRE(it.identity.publish(R"({"keys":[],"spiffe_sequence":2})"));
  CHECK(it.world.plane->snapshot()->revision() == revision + 1);
  const contract::Entity* entity = it.world.plane->snapshot()->find_entity(id);
  REQUIRE(entity != nullptr);
  CHECK(entity->attributes.front().value.as_string() == R"({"keys":[],"spiffe_sequence":2})");
}
