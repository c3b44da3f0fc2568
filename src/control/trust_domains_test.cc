#include "control/trust_domains.h"

#include <doctest/doctest.h>

#include "control/control_test_world.h"
#include "control/views.h"
#include "crypto/jose_test_world.h"
#include "link/subscriber.h"
#include "policy/validate.h"
#include "schema/conformance.h"
#include "spiffe/bundle.h"

using namespace wary;
using namespace wary::control;
using namespace wary::control::test;

namespace {

// A bundle of one JWT key; the same text for the same words.
std::string bundle_with(std::int64_t sequence, const std::string& kid = "k") {
  spiffe::Bundle bundle;
  bundle.trust_domain = "b.test";
  bundle.jwt_authorities.push_back({crypto::jose_key(crypto::JoseKeyType::kP256).public_key(), kid, {}, {}, {}});
  bundle.sequence = sequence;
  return *spiffe::write_bundle(bundle);
}

struct DomainWorld {
  World world;
  std::vector<std::string> issued;
  bool signer_is_away = false;
  TrustDomains domains{*world.plane,
                       {world.sim.clock(), null_log(),
                        [this](ByteView, const std::string& id, std::int64_t ttl) -> Result<std::vector<Bytes>> {
                          if (signer_is_away) return fail(ErrorKind::kUnavailable, "signer_unavailable", "away");
                          issued.push_back(id + " " + std::to_string(ttl));
                          return std::vector<Bytes>{{1, 2, 3}, {4}};
                        }}};

  // The codes of the answer's errors.
  std::string apply(const std::string& name, const std::string& spec, const std::string& kind = "TrustDomain",
                    const std::string& more = "") {
    const auto answer =
        world.call(owner(), "POST", "/v1/apply",
                   R"({"objects":[{"apiVersion":"wary.dev/v1","kind":")" + kind + R"(","metadata":{"name":")" + name +
                       "\"" + more + R"(},"spec":)" + spec + "}]}");
    CHECK(answer->status == 200);
    const codec::Json json = answer->json();
    const codec::Json* errors = json.find("errors");
    std::string out;
    if (errors == nullptr) return out;
    for (const codec::Json& error : errors->items()) {
      out += (out.empty() ? "" : " ") + std::string(error.string_or("code", "")) + "@" +
             std::string(error.string_or("pointer", ""));
      CHECK(error.string_or("where", "").empty());  // the command line puts the place in the file there
    }
    return out;
  }
  codec::Json ask(codec::Json call) {
    std::optional<codec::Json> answer;
    domains.handle("federation/local", call, [&](codec::Json reply) { answer = std::move(reply); });
    world.settle();
    REQUIRE(answer.has_value());
    return *answer;
  }
  std::string fetched(const std::string& name, const std::string& bundle) {
    codec::Json call = codec::Json::object();
    call.set("op", "bundle.fetched")
        .set("trust_domain", std::string_view(name))
        .set("bundle", std::string_view(bundle));
    const codec::Json answer = ask(std::move(call));
    const codec::Json* error = answer.find("error");
    return error == nullptr ? "" : std::string(error->string_or("code", ""));
  }
  void failed(const std::string& name, const std::string& code) {
    codec::Json error = codec::Json::object({{"code", codec::Json(code)}, {"message", "why"}});
    codec::Json call = codec::Json::object();
    call.set("op", "bundle.failed").set("trust_domain", std::string_view(name)).set("error", std::move(error));
    CHECK(ask(std::move(call)).members().empty());
  }
  // Of the entity that agents see; "none" without the domain, empty without the fact.
  std::string believed(const std::string& name) {
    const contract::Entity* entity = world.plane->snapshot()->find_entity({"Wary::TrustDomain", name});
    if (entity == nullptr) return "none";
    for (const contract::Fact& fact : entity->attributes) {
      if (fact.name == "bundle") return fact.value.as_string();
    }
    return "";
  }
};

const std::string kWeb = R"({"bundleEndpoint":{"url":"https://b.test/bundle","profile":"https_web"}})";
std::string with_bundle(const std::string& bundle) {
  return R"({"bundleEndpoint":{"url":"https://b.test/bundle","profile":"https_web"},"bundle":)" + bundle + "}";
}

}  // namespace

TEST_CASE("what is fetched is believed, kept apart from what is applied, and survives applying again") {
  DomainWorld it;
  CHECK(it.believed("b.test") == "none");
  CHECK(it.apply("b.test", kWeb) == "");
  CHECK(it.believed("b.test") == "");
  CHECK(it.fetched("b.test", bundle_with(1)) == "");
  CHECK(it.believed("b.test") == bundle_with(1));
  CHECK(it.world.count("bundle.fetched") == 1);
  const std::uint64_t revision = it.world.plane->snapshot()->revision();
  CHECK(it.fetched("b.test", bundle_with(1)) == "");
  CHECK(it.world.plane->snapshot()->revision() == revision);
  CHECK(it.apply("b.test", kWeb) == "");
  CHECK(it.world.plane->snapshot()->revision() == revision);
  CHECK(it.apply("b.test", R"({"bundleEndpoint":{"url":"https://other.test/","profile":"https_web"}})") == "");
  CHECK(it.believed("b.test") == bundle_with(1));  // an endpoint that moved is the same domain's
  CHECK(it.domains.status_of("b.test").integer_or("sequence", 0) == 1);
}

TEST_CASE("what an operator applies is newer than what was fetched") {
  DomainWorld it;
  CHECK(it.apply("b.test", with_bundle(bundle_with(7, "given"))) == "");
  CHECK(it.fetched("b.test", bundle_with(6)) == "bundle_sequence_lower");
  CHECK(it.fetched("b.test", bundle_with(8)) == "");
  CHECK(it.believed("b.test") == bundle_with(8));
  CHECK(it.apply("b.test", with_bundle(bundle_with(2, "given"))) == "");
  CHECK(spiffe::parse_bundle("b.test", it.believed("b.test"))->sequence == 2);
  CHECK(it.fetched("b.test", bundle_with(3)) == "");
  CHECK(it.believed("b.test") == bundle_with(3));
}

TEST_CASE("deleting a domain forgets what was fetched with it") {
  DomainWorld it;
  CHECK(it.apply("b.test", kWeb) == "");
  CHECK(it.fetched("b.test", bundle_with(5)) == "");
  CHECK(it.world.call(owner(), "DELETE", "/v1/objects/trustdomain/b.test")->status == 200);
  CHECK(it.believed("b.test") == "none");
  CHECK(it.fetched("b.test", bundle_with(6)) == "trust_domain_unknown");
  CHECK(it.apply("b.test", kWeb) == "");
  CHECK(it.believed("b.test") == "");
  CHECK(it.fetched("b.test", bundle_with(1)) == "");
}

TEST_CASE("what is lower, malformed or of nobody is refused, and the last good bundle stays") {
  DomainWorld it;
  CHECK(it.apply("b.test", kWeb) == "");
  CHECK(it.apply("static.test", R"({"bundle":"{\"keys\":[]}"})") == "");
  CHECK(it.fetched("b.test", bundle_with(5)) == "");
  CHECK(it.fetched("b.test", bundle_with(4)) == "bundle_sequence_lower");
  CHECK(it.fetched("b.test", "{") == "json_syntax");
  CHECK(it.fetched("b.test", "{}") == "bundle_syntax");
  CHECK(it.fetched("c.test", bundle_with(5)) == "trust_domain_unknown");
  CHECK(it.fetched("local", bundle_with(5)) == "trust_domain_unknown");
  CHECK(it.fetched("static.test", bundle_with(5)) == "trust_domain_unknown");  // nothing is fetched of it
  CHECK(it.believed("b.test") == bundle_with(5));
  CHECK(it.domains.status_of("b.test").find("error")->string_or("code", "") == "bundle_syntax");
  CHECK(it.fetched("b.test", bundle_with(5)) == "");
  CHECK(it.domains.status_of("b.test").find("error") == nullptr);
}

TEST_CASE("a bundle survives the end of the process, and belongs to one entity") {
  DomainWorld it;
  CHECK(it.apply("b.test", kWeb) == "");
  CHECK(it.fetched("b.test", bundle_with(5)) == "");
  it.world.close();
  REQUIRE(it.world.open().ok());
  CHECK(it.believed("b.test") == bundle_with(5));
}

TEST_CASE("failures are events, one a minute and domain") {
  DomainWorld it;
  CHECK(it.apply("b.test", kWeb) == "");
  CHECK(it.apply("c.test", R"({"bundleEndpoint":{"url":"https://c.test/","profile":"https_web"}})") == "");
  for (int i = 0; i < 3; ++i) it.failed("b.test", "connect_refused");
  it.failed("c.test", "x509_untrusted\n\x01");
  CHECK(it.world.count("bundle.failed") == 2);
  CHECK(it.domains.status_of("c.test").find("error")->string_or("code", "") == "x509_untrusted??");
  it.world.run(61'000);
  it.failed("b.test", "connect_refused");
  CHECK(it.world.count("bundle.failed") == 3);
  // What happened at another endpoint is not this one's.
  CHECK(it.apply("b.test", R"({"bundleEndpoint":{"url":"https://other.test/","profile":"https_web"}})") == "");
  CHECK(it.domains.status_of("b.test").find("error") == nullptr);
}

TEST_CASE("the federation's process gets one identity, once that is recorded") {
  DomainWorld it;
  const codec::Json ask = *codec::parse_json(R"({"op":"federation.svid","csr":""})");
  CHECK(it.ask(ask).find("chain")->items().size() == 2);
  CHECK(it.issued == std::vector<std::string>{"spiffe://local/wary/federation 3600"});
  CHECK(it.world.count("svid.issue") == 1);
  it.signer_is_away = true;
  CHECK(it.ask(ask).find("error")->string_or("code", "") == "signer_unavailable");
  it.signer_is_away = false;
  it.world.ledger_files.set_capacity(0);
  CHECK(it.ask(ask).find("chain") == nullptr);
}

TEST_CASE("what cannot be is refused when it is applied, at its place") {
  DomainWorld it;
  CHECK(it.apply("local", R"({"bundle":"{\"keys\":[]}"})") == "trust_domain_own@/metadata/name");
  CHECK(it.apply("UPPER", R"({"bundle":"{\"keys\":[]}"})") == "resource_name@/metadata/name");
  CHECK(it.apply("b.test/x", R"({"bundle":"{\"keys\":[]}"})") == "resource_name@/metadata/name");
  CHECK(it.apply("a_b.test-1", R"({"bundle":"{\"keys\":[]}"})") == "");
  CHECK(it.apply("b.test", "{}") == "trust_domain_empty@/spec");
  CHECK(it.apply("b.test", R"({"bundle":{"keys":1}})") == "bundle_syntax@/spec/bundle");
  CHECK(it.apply("b.test", R"({"bundle":{"keys":[{"kty":"new","use":"jwt-svid"}]}})") ==
        "bundle_key_type@/spec/bundle");
  CHECK(it.apply("b.test", R"({"bundleEndpoint":{"url":"http://b.test/","profile":"https_web"}})") ==
        "federation_url@/spec/bundleEndpoint/url");
  const std::string spiffe =
      R"({"bundleEndpoint":{"url":"https://b.test/","profile":"https_spiffe","spiffeId":"spiffe://b.test/x"})";
  CHECK(it.apply("b.test", spiffe + "}") == "bundle_needed@/spec/bundle");
  CHECK(it.apply("b.test", spiffe + R"(,"bundle":)" + bundle_with(1) + "}") == "");
  CHECK(it.apply("c.test", spiffe + "}") == "");  // another domain's server, whose bundle that one has
  CHECK(it.apply("federation", R"({"selectors":[["unix:uid:7"]]})", "Workload", R"(,"namespace":"wary")") ==
        "namespace_reserved@/metadata/namespace");
  CHECK(it.world.call(owner(), "DELETE", "/v1/objects/trustdomain/local")->code() != "");
}

TEST_CASE("what is derived of other trust domains conforms to the schema") {
  DomainWorld it;
  CHECK(it.apply("b.test", with_bundle(bundle_with(1))) == "");
  CHECK(it.apply("c.test", R"({"bundleEndpoint":{"url":"https://b.test/","profile":"https_spiffe",)"
                           R"("spiffeId":"spiffe://b.test/x"}})") == "");
  std::size_t seen = 0;
  it.world.plane->snapshot()->entities().for_each([&](const cedar::EntityHandle& entity) {
    if (entity->uid->type != "Wary::TrustDomain") return;
    ++seen;
    CHECK(schema::validate_entity(policy::platform_schema(), *entity).ok());
  });
  CHECK(seen == 2);
}

TEST_CASE("a list of trust domains says how each fares") {
  DomainWorld it;
  CHECK(it.apply("b.test", kWeb) == "");
  CHECK(it.domains.status_of("b.test").string_or("summary", "") == "https_web https://b.test/bundle  no bundle yet");
  CHECK(it.fetched("b.test", bundle_with(5)) == "");
  const codec::Json status = it.domains.status_of("b.test");
  CHECK(status.string_or("summary", "").starts_with("https_web https://b.test/bundle  sequence 5  fetched "));
  CHECK(status.integer_or("refreshAfterSeconds", 0) == 300);
  for (const auto& [hint, shown] : {std::pair(1, 10), std::pair(1'000'000, 86'400)}) {
    codec::Json document = *codec::parse_json(bundle_with(5));
    document.set("spiffe_refresh_hint", std::int64_t{hint}).set("spiffe_sequence", std::int64_t{hint + 10});
    CHECK(it.fetched("b.test", document.to_string()) == "");
    CHECK(it.domains.status_of("b.test").integer_or("refreshAfterSeconds", 0) == shown);
  }
  CHECK(status.integer_or("jwtAuthorities", 0) == 1);
}

TEST_CASE("an edge tells of accesses, and no other node does") {
  World world;
  const io::Address address = io::Address::unix_socket("/run/link.sock");
  REQUIRE(world.plane->listen(address).ok());
  for (const std::string node : {"edge", "federation", "agent"}) {
    REQUIRE(world.files.make_directory(node).ok());
    bool is_received = false;
    link::SubscriberHooks hooks;
    hooks.verify = [&](ByteView message, ByteView sign) { return world.key.public_key().verify(message, sign); };
    hooks.on_update = [](const link::Update&) -> Status { return {}; };
    hooks.on_receipt = [&](const link::Receipt&) { is_received = true; };
    hooks.on_ledger_state = [](bool) {};
    hooks.on_connection = [](bool) {};
    const std::unique_ptr<io::Loop> loop = world.sim.make_loop();
    link::Subscriber subscriber(
        *loop, world.files, {node + "/test", address, node, 8, nullptr, view_of(node + "/test")}, hooks, null_log());
    REQUIRE(subscriber.start().ok());
    world.run(200);
    contract::Event event;
    event.class_uid = contract::EventClass::kHttpActivity;
    event.action = "GET";
    event.detail = "{}";
    event.tenant = std::string(contract::kDefaultTenant);
    event.id = {node + "/test/0", 7, 1};
    event.event_time = world.sim.clock().unix_time();
    const auto encoded = contract::encode(event);
    REQUIRE(encoded.ok());
    REQUIRE(subscriber.send_events({7, 1, {*encoded}}).ok());
    world.run(200);
    CHECK_MESSAGE(is_received == (node == "edge"), node);
  }
}

TEST_CASE("anyone may read the own bundle behind the edge") {
  DomainWorld it;
  const auto read = [&] {
    http::Request request;
    request.method = "GET";
    request.path = "/.well-known/spiffe-bundle";
    auto exchange = std::make_shared<TestExchange>(std::move(request));
    it.world.api->handle_console(exchange);
    return exchange;
  };
  CHECK(read()->code() == "bundle_unavailable");
  REQUIRE(it.world.put(key_of(kTenantWide, "TrustDomain", "local"), R"({"bundle":"{\"keys\":[]}"})").ok());
  const auto answer = read();
  CHECK(answer->status == 200);
  CHECK(answer->body == R"({"keys":[]})");
  CHECK(answer->fields.front() == http::Header{"Content-Type", "application/json"});
}
