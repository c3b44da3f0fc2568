#include "enforce/identify.h"

#include <algorithm>

#include "enforce/access.h"
#include "enforce/api_key.h"
#include "enforce/jwt_test_world.h"
#include "enforce/point.h"
#include "io/mapped_file.h"
#include "io/sim_loop.h"
#include "policy/validate.h"
#include "schema/conformance.h"

using namespace wary;
using namespace wary::enforce;
using codec::Json;
using enforce::test::TestIssuer;

namespace {

constexpr std::string_view kWorkloadId = "spiffe://local/a/b";
constexpr const char* kNodeId = "spiffe://local/wary/node/laptop";

class SteadyRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = next_++;
  }

 private:
  std::uint8_t next_ = 1;
};

Json ref(std::string_view type, std::string_view id) {
  return Json::object({{"__entity", Json::object({{"type", Json(type)}, {"id", Json(id)}})}});
}

using Facts = std::vector<std::pair<std::string, Json>>;
contract::Entity thing(std::string_view type, std::string_view id, Facts facts = {}) {
  contract::Entity out;
  out.tenant = "local";
  out.id = {std::string(type), std::string(id)};
  for (auto& [name, value] : facts) out.attributes.push_back({name, std::move(value), "test", {}, {}, {}});
  return out;
}

struct Whole {
  io::SimWorld sim{1};
  SteadyRandom random;
  Metrics metrics;
  Shared shared;
  TestIssuer corp;
  std::string key = make_api_key(random);
  Bytes certificate = {1, 2, 3};
  std::unique_ptr<io::MappedFile> memory = io::MappedFile::anonymous(256 * 1024);
  EventRing ring{*EventRing::open(memory->memory(), 9)};
  std::unique_ptr<Point> point;
  std::uint64_t revision = 0;
  Facts api_key_facts = {
      {"user", ref("Wary::User", "alice")}, {"active", true}, {"revoked", false}, {"disabled", false}};
  Facts issuer_more = {{"revoked", false}, {"disabled", false}};
  Facts route_more;
  bool alice_is_known = true;
  bool token_is_revoked = false;
  bool node_is_revoked = false;
  std::string key_now;  // instead of `key`, where the ApiKey got another

  Whole() {
    sim.run_for((test::kTokenNow * kNanosPerSecond) - sim.clock().unix_time().nanos);
    shared.control_heard = sim.clock().monotonic().nanos;
    publish();
    point = std::make_unique<Point>(shared, ring, sim.clock(), random,
                                    PointOptions{"edge/test/0", "local", 10'000 * kNanosPerSecond, {}}, metrics);
  }

  void publish() {
    policy::SnapshotContent content;
    content.revision = ++revision;
    content.policies = {{"main", "permit (principal, action, resource);", "main.cedar", 1}};
    content.entities = {thing("Wary::Session", "s1", {{"user", ref("Wary::User", "alice")}, {"revoked", false}}),
                        thing("Wary::Credential", credential_id("cookie"),
                              {{"session", ref("Wary::Session", "s1")}, {"host", "a.test"}}),
                        thing("Wary::Workload", kWorkloadId, {{"revoked", false}, {"disabled", false}}),
                        thing("Wary::Node", kNodeId, {{"revoked", node_is_revoked}, {"disabled", false}}),
                        thing("Wary::User", "bob", {{"revoked", false}, {"disabled", false}}),
                        thing("Wary::Anonymous", "anonymous"),
                        thing("Wary::Action", "GET")};
    if (alice_is_known)
      content.entities.push_back(thing("Wary::User", "alice", {{"revoked", false}, {"disabled", false}}));
    contract::Fact active{"active", true, "identity", sim.clock().unix_time(), {}, {}};
    active.since = {(test::kTokenNow - 100) * kNanosPerSecond};
    content.entities[0].attributes.push_back(active);
    Facts issuer = issuer_more;
    issuer.emplace_back("rules", corp.rules.to_string());
    issuer.emplace_back("jwks", corp.jwks());
    issuer.emplace_back("keys", Json::array({Json(corp.thumbprint("e1"))}));
    content.entities.push_back(thing("Wary::Issuer", "corp", issuer));
    content.entities.push_back(
        thing("Wary::ApiKeyHash", api_key_id(key_now.empty() ? key : key_now), {{"key", ref("Wary::ApiKey", "k")}}));
    content.entities.push_back(thing("Wary::ApiKey", "k", api_key_facts));
    content.entities.push_back(thing("Wary::App", "demo/site"));
    content.entities.push_back(thing("Wary::Route", "demo/r", route_more));
    content.entities.back().parents.push_back({"Wary::App", "demo/site"});
    if (token_is_revoked)
      content.entities.push_back(thing("Wary::Token", token_entity_id("corp", "t1"), {{"revoked", true}}));
    auto snapshot = policy::build_snapshot(content, sim.clock().unix_time(), 1);
    REQUIRE_MESSAGE(snapshot.ok(), (snapshot.ok() ? "" : snapshot.error().to_string()));
    shared.snapshot.swap(*snapshot);
  }
  std::string token(std::string_view name = "", std::string_view json = "") const {
    return corp.sign(name.empty() ? TestIssuer::claims() : TestIssuer::claims_with(name, json));
  }
  Subject who(const std::string& authorization, Presented more = {}) {
    more.host = "a.test";
    more.method = "GET";
    more.path = "/x";
    more.authorization = authorization;
    Subject out = point->identify(more);
    // What is remembered of it is the same, at the first look and at the second. A proof is shown once.
    for (int i = 0; i < 2 && more.dpop.empty(); ++i) check_same(*point->recognise(more), out);
    return out;
  }
  static void check_same(const Recognised& again, const Subject& subject) {
    const Subject& other = again.subject;
    CHECK(other.principal == subject.principal);
    CHECK(other.session == subject.session);
    CHECK(other.is_anonymous == subject.is_anonymous);
    CHECK(other.how == subject.how);
    CHECK(other.api_key == subject.api_key);
    CHECK(other.api_key_hash == subject.api_key_hash);
    CHECK(other.device == subject.device);
    CHECK(other.is_dpop == subject.is_dpop);
    CHECK(other.owns_authorization == subject.owns_authorization);
    CHECK(other.owns_api_key == subject.owns_api_key);
    CHECK(other.hint == subject.hint);
    CHECK(again.principal == subject.principal.to_string());
    REQUIRE(other.refusal.has_value() == subject.refusal.has_value());
    if (subject.refusal) CHECK(other.refusal->authenticate == subject.refusal->authenticate);
    REQUIRE((other.token != nullptr) == (subject.token != nullptr));
    if (subject.token) CHECK(again.token == token_facts(*subject.token).to_canonical_string());
  }
  std::string code(const std::string& authorization, const Presented& more = {}) {
    const Subject subject = who(authorization, more);
    return subject.refusal ? subject.refusal->code : std::string(to_string(subject.how));
  }
  contract::Request request(const Subject& subject) const {
    contract::Request out{"local", {}, {"Wary::Action", "GET"}, {"Wary::Route", "demo/r"}, Json::object()};
    out.context.set("method", "GET").set("host", "a.test").set("path", "/x");
    out.context.set("client", Json::object({{"__extn", Json::object({{"fn", "ip"}, {"arg", "127.0.0.1"}})}}));
    describe(subject, out);
    return out;
  }
  contract::Decision decide(const Subject& subject) {
    AccessDetail detail{"GET", "a.test", "/x", "127.0.0.1", ""};
    detail.refusal = subject.refusal ? &*subject.refusal : nullptr;
    contract::Decision decision = point->decide(request(subject), detail).decision;
    // Asked the other way, once and again, it is the same answer to the same question.
    const Recognised who = recognised(subject);
    Access access{"local", subject.principal, {"Wary::Action", "GET"}, {"Wary::Route", "demo/r"}, {}};
    access.context.write(who, {"127.0.0.1", "a.test", "GET", "/x"});
    CHECK(access.context.text() == request(subject).context.to_canonical_string());
    for (int i = 0; i < 2; ++i) {
      const policy::SharedDecision again = point->decide(who, access, detail).decision;
      CHECK(again->effect() == decision.effect());
      CHECK(again->reason_code == decision.reason_code);
      CHECK(again->determining == decision.determining);
      CHECK(again->depends_on == decision.depends_on);
      CHECK(again->valid_until == decision.valid_until);
    }
    return decision;
  }
  std::string outcome(const Subject& subject) {
    const contract::Decision decision = decide(subject);
    std::string out = decision.reason_code;
    for (const std::string& policy : decision.determining) out += " " + policy;
    return out;
  }
  std::string challenge(const Subject& subject) {
    const auto made = point->challenge(subject, request(subject), decide(subject));
    return made ? std::to_string(made->status) + " " + made->code + " " + made->authenticate : "";
  }
};

struct Proofs {
  crypto::SigningKey key = *crypto::SigningKey::generate(crypto::JoseKeyType::kEd25519);
  std::string cnf = R"({"jkt":")" + crypto::thumbprint(key.public_key()) + "\"}";
  int made = 0;

  std::string make(std::string_view token, std::string_view htm = "GET", std::int64_t iat = test::kTokenNow) {
    const std::string jwk = crypto::to_json(crypto::Jwk{key.public_key(), {}, {}, {}, {}}).to_string();
    Json claims = Json::object();
    claims.set("jti", "j" + std::to_string(++made)).set("htm", htm).set("htu", "https://a.test/x").set("iat", iat);
    claims.set("ath", codec::encode_base64url(crypto::sha256(as_bytes(token))));
    const std::string input =
        codec::encode_base64url(as_bytes(R"({"typ":"dpop+jwt","alg":"EdDSA","jwk":)" + jwk + "}")) + "." +
        codec::encode_base64url(as_bytes(claims.to_string()));
    return input + "." + codec::encode_base64url(*key.sign(crypto::SignatureAlgorithm::kEdDsa, as_bytes(input)));
  }
};

}  // namespace

TEST_CASE("a bearer token of an issuer is whom it speaks for, and policies see what it says") {
  Whole world;
  const Subject subject = world.who("Bearer " + world.token());
  REQUIRE_FALSE(subject.refusal);
  CHECK(subject.principal.to_string() == "Wary::User::\"alice\"");
  CHECK(subject.how == How::kToken);
  CHECK(subject.owns_authorization);
  CHECK(world.code("bEARER " + world.token()) == "jwt");
  const contract::Request request = world.request(subject);
  const Json* token = request.context.find("token");
  REQUIRE(token != nullptr);
  CHECK(token->to_string().find(R"("scopes":["read","write"])") != std::string::npos);
  CHECK(token->string_or("client", "") == "cli");
  CHECK(token->find("groups")->items()[0] == ref("Wary::Group", "eng"));
  const contract::Decision decision = world.decide(subject);
  CHECK(decision.is_allowed());
  REQUIRE(decision.valid_until);
  CHECK(decision.valid_until->nanos == 1'800'000'630 * kNanosPerSecond);
  // A changed issuer, or a revocation of this token, finds the connection.
  for (const contract::EntityId& id :
       {contract::EntityId{"Wary::Issuer", "corp"}, contract::EntityId{"Wary::Token", token_entity_id("corp", "t1")}}) {
    CHECK_MESSAGE(std::ranges::find(decision.depends_on, id) != decision.depends_on.end(), id.to_string());
  }
}

TEST_CASE("what policies are asked about a credential conforms to the platform's schema") {
  Whole world;
  Proofs proofs;
  Json claims = TestIssuer::claims_with("auth_time", std::to_string(test::kTokenNow));
  claims.set("acr", "gold").set("cnf", *codec::parse_json(proofs.cnf));
  const std::string full = world.corp.sign(claims), proof = proofs.make(full);
  for (const Subject& subject :
       {world.who(""), world.who("Bearer " + world.token()), world.who("DPoP " + full, {.dpop = proof}),
        world.who("Bearer " + world.key), world.who("", {.session_token = "cookie"}),
        world.who("", {.spiffe_id = kWorkloadId})}) {
    REQUIRE_FALSE(subject.refusal);
    contract::Request request = world.request(subject);
    request.context.set("host", "a.test").set("path", "/x");
    const Json address = Json::object({{"fn", Json("ip")}, {"arg", Json("127.0.0.1")}});
    request.context.set("client", Json::object({{"__extn", address}}));
    const auto asked = policy::to_cedar(*world.shared.snapshot.current(), request);
    REQUIRE(asked.ok());
    const Status fits = schema::validate_request(policy::platform_schema(), *asked);
    CHECK_MESSAGE(fits.ok(), (fits.ok() ? "" : fits.error().to_string()));
  }
}

TEST_CASE("a token of ours that is wrong is refused with its reason, recorded, and never taken for nobody") {
  Whole world;
  const Subject expired = world.who("Bearer " + world.token("exp", "1799990000"));
  REQUIRE(expired.refusal);
  CHECK(expired.refusal->code == "token_expired");
  CHECK(expired.owns_authorization);
  CHECK(world.outcome(expired) == "credential_refused");
  CHECK(world.challenge(expired) ==
        "401 token_expired Bearer realm=\"wary\", error=\"invalid_token\", "
        "error_description=\"the token has expired\"");
  std::string last;
  std::uint64_t cursor = world.ring.begin();
  world.ring.read(
      cursor, [&](const EventRing::Entry& entry) { return last = contract::decode_event(entry.event)->detail, true; });
  CHECK(last.find(R"("errors":["token_expired: the token has expired"])") != std::string::npos);
  CHECK(world.code("Bearer " + world.token("aud", "\"x\"")) == "token_audience");
  CHECK(world.code("Bearer " + world.token("sub", "\"nobody-here\"")) == "principal_unknown");
  world.alice_is_known = false;
  world.publish();
  CHECK(world.code("Bearer " + world.token()) == "principal_unknown");
}

TEST_CASE("what is no credential of wary's is left to the application, and makes nobody known") {
  Whole world;
  const std::string foreign = world.token("iss", "\"https://other.test/\"");
  for (const std::string& text : {std::string("Basic YTpi"), std::string("Bearer"), std::string("Bearer opaque"),
                                  std::string("Bearer a.b.c"), "Bearer " + foreign, std::string("Digest x=y")}) {
    const Subject subject = world.who(text);
    CHECK_MESSAGE(subject.is_anonymous, text);
    CHECK_FALSE(subject.refusal);
    CHECK_FALSE(subject.owns_authorization);
  }
  // Beside it a session is what it is.
  CHECK(world.code("Bearer " + foreign, {.session_token = "cookie"}) == "session");
  CHECK(world.challenge(world.who("")) == "401 unauthenticated Bearer realm=\"wary\"");
  CHECK(world.challenge(world.who("Bearer " + foreign)).find("error=\"invalid_token\"") != std::string::npos);
}

TEST_CASE("an issuer's keys and rules are those of the snapshot at hand: a rotated key is not remembered") {
  Whole world;
  const std::string token = "Bearer " + world.token();
  CHECK(world.code(token) == "jwt");
  const Subject open = world.who(token);
  world.corp.add("e1", crypto::JoseKeyType::kP256);  // another key of that name
  world.publish();
  CHECK(world.code(token) == "jws_signature");
  CHECK(world.outcome(open) == "forbid guardrail/token-issuer");
  CHECK(world.challenge(open).starts_with("401 credential_ended Bearer"));
  CHECK(world.code("Bearer " + world.token()) == "jwt");
  world.issuer_more = {{"revoked", false}, {"disabled", true}};
  world.publish();
  CHECK(world.outcome(world.who("Bearer " + world.token())) == "forbid guardrail/token-issuer");
  world.corp.rules.set("url", "https://moved.test/");
  world.publish();
  CHECK(world.code("Bearer " + world.token()) == "nobody");
}

TEST_CASE("a key that an issuer's set lacks is asked for, once a second, whoever writes such tokens") {
  Whole world;
  std::vector<std::string> missing;
  world.point->on_key_missing([&](const std::string& issuer) { missing.push_back(issuer); });
  const auto of_new_key = [&](int count) {
    codec::Json claims = TestIssuer::claims();
    claims.set("jti", "n" + std::to_string(count));
    return "Bearer " + world.corp.sign(claims, R"({"alg":"ES256","kid":"e2","typ":"at+jwt"})");
  };
  CHECK(world.code("Bearer " + world.token()) == "jwt");
  CHECK(world.code("Bearer " + world.token("aud", "\"x\"")) == "token_audience");
  CHECK(missing.empty());
  for (int i = 0; i < 20; ++i) CHECK(world.code(of_new_key(i)) == "jws_kid_unknown");
  CHECK(missing == std::vector<std::string>{"corp"});
  world.sim.run_for(900 * kNanosPerMilli);
  CHECK(world.code(of_new_key(20)) == "jws_kid_unknown");
  CHECK(missing.size() == 1);
  world.sim.run_for(200 * kNanosPerMilli);
  const std::string same = of_new_key(21);
  CHECK(world.code(same) == "jws_kid_unknown");
  CHECK(missing.size() == 2);
  // The same token again, whose refusal is still remembered: it asks too, and nothing else of it does.
  world.sim.run_for(1100 * kNanosPerMilli);
  CHECK(world.code(same) == "jws_kid_unknown");
  CHECK(missing.size() == 3);
  CHECK(world.code("Bearer " + world.token("aud", "\"x\"")) == "token_audience");
  world.sim.run_for(1100 * kNanosPerMilli);
  CHECK(world.code("Bearer " + world.token("aud", "\"x\"")) == "token_audience");
  CHECK(missing.size() == 3);
}

TEST_CASE("a token that is revoked by its id is cut, and one that ended since is not decided for again") {
  Whole world;
  const Subject subject = world.who("Bearer " + world.token());
  CHECK(world.outcome(subject).starts_with("permit"));
  world.token_is_revoked = true;
  world.publish();
  CHECK(world.outcome(subject) == "forbid guardrail/revoked-token");
  world.token_is_revoked = false;
  world.publish();
  world.sim.run_for(631 * kNanosPerSecond);
  CHECK(world.outcome(subject) == "credential_expired");
  CHECK(world.challenge(subject).starts_with("401 credential_expired Bearer"));
  CHECK(world.point->reconsider(world.request(subject)).reason_code == "credential_expired");
  CHECK(world.code("Bearer " + world.token()) == "token_expired");
}

TEST_CASE("a token bound to a key is shown with a proof by that key, once") {
  Whole world;
  Proofs proofs;
  const std::string token = world.token("cnf", proofs.cnf);
  const auto with = [&](const std::string& proof) { return world.code("DPoP " + token, {.dpop = proof}); };
  const std::string proof = proofs.make(token);
  CHECK(with(proof) == "jwt");
  CHECK(with(proof) == "dpop_replayed");
  CHECK(with(proofs.make(token)) == "jwt");
  CHECK(with("") == "dpop_missing");
  CHECK(with("x") == "jws_syntax");
  CHECK(with(proofs.make(token, "POST")) == "dpop_htm");
  CHECK(with(proofs.make("another")) == "dpop_ath");
  CHECK(with(Proofs().make(token)) == "dpop_key");
  CHECK(with(proofs.make(token, "GET", test::kTokenNow - 61)) == "dpop_iat");
  CHECK(world.code("Bearer " + token) == "token_bound");
  CHECK(world.code("DPoP " + world.token(), {.dpop = proofs.make(world.token())}) == "token_unbound");
  const std::string missing = world.challenge(world.who("DPoP " + token));
  CHECK(missing.starts_with("401 dpop_missing DPoP realm=\"wary\", error=\"invalid_dpop_proof\""));
  CHECK(missing.ends_with("algs=\"ES256 EdDSA PS256 RS256 ES384\""));
  CHECK(world.challenge(world.who("Bearer " + token)).find("error=\"invalid_token\"") != std::string::npos);
  const Subject secret = world.who(
      "DPoP " + token,
      {.dpop = codec::encode_base64url(as_bytes(R"({"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"oct","k":"AA"}})")) +
               ".e30.AAAA"});
  CHECK(secret.refusal->code == "jwk_private");
  CHECK(secret.refusal->authenticate.find("invalid_dpop_proof") != std::string::npos);
  // Another worker of this process knows what was shown to the first.
  Identifier other(world.shared.proofs, world.sim.clock());
  Presented again{.host = "a.test", .authorization = {}, .dpop = proof, .method = "GET", .path = "/x"};
  const std::string shown = "DPoP " + token;
  again.authorization = shown;
  CHECK(other.identify(again, *world.shared.snapshot.current()).refusal->code == "dpop_replayed");
  world.corp.rules.set("require_dpop", true);
  world.publish();
  CHECK(world.code("Bearer " + world.token()) == "dpop_required");
}

TEST_CASE("a proof from before this process began is not known to be new") {
  Whole world;
  Proofs proofs;
  const std::string token = world.token("cnf", proofs.cnf);
  const std::string proof = proofs.make(token);
  world.sim.run_for(2 * kNanosPerSecond);
  Identifier later(world.shared.proofs, world.sim.clock());
  const std::string shown = "DPoP " + token;
  const Presented presented{.host = "a.test", .authorization = shown, .dpop = proof, .method = "GET", .path = "/x"};
  CHECK(later.identify(presented, *world.shared.snapshot.current()).refusal->code == "dpop_iat");
}

TEST_CASE("when no more proofs can be remembered, none is taken") {
  Whole world;
  Proofs proofs;
  SeenSet small(kProofsKept, 0);
  Identifier identifier(small, world.sim.clock());
  const std::string token = world.token("cnf", proofs.cnf), proof = proofs.make(token), shown = "DPoP " + token;
  const Presented presented{.host = "a.test", .authorization = shown, .dpop = proof, .method = "GET", .path = "/x"};
  const Subject subject = identifier.identify(presented, *world.shared.snapshot.current());
  REQUIRE(subject.refusal);
  CHECK(subject.refusal->code == "dpop_busy");
  CHECK(subject.refusal->status == 503);
}

TEST_CASE("a token bound to a certificate speaks through that connection alone") {
  Whole world;
  const std::string hash = codec::encode_base64url(crypto::sha256(world.certificate));
  const std::string token = "Bearer " + world.token("cnf", R"({"x5t#S256":")" + hash + "\"}");
  CHECK(world.code(token) == "token_bound");
  const Bytes other = {4};
  CHECK(world.code(token, {.spiffe_id = kWorkloadId, .client_certificate = other}) == "token_bound");
  const Subject subject = world.who(token, {.spiffe_id = kWorkloadId, .client_certificate = world.certificate});
  CHECK(subject.how == How::kToken);
  CHECK(subject.principal.id == "alice");
  // Remembered with the certificate, and with no other.
  Presented shown{.host = "a.test", .spiffe_id = kWorkloadId, .authorization = token, .method = "GET", .path = "/x"};
  shown.client_certificate = world.certificate;
  const auto first = world.point->recognise(shown);
  CHECK(world.point->recognise(shown) == first);
  shown.client_certificate = other;
  CHECK(world.point->recognise(shown)->subject.refusal->code == "token_bound");
  shown.client_certificate = {};
  CHECK(world.point->recognise(shown)->subject.refusal->code == "token_bound");
  // Without the binding, who holds the connection and who is named are two.
  CHECK(world.code("Bearer " + world.token(), {.spiffe_id = kWorkloadId, .client_certificate = world.certificate}) ==
        "credential_conflict");
}

TEST_CASE("an API key is its holder, as bearer and in its own field") {
  Whole world;
  const Subject subject = world.who("Bearer " + world.key);
  CHECK(subject.how == How::kApiKey);
  CHECK(subject.principal.id == "alice");
  CHECK(subject.api_key->id == "k");
  CHECK(subject.owns_authorization);
  CHECK(world.outcome(subject).starts_with("permit"));
  const Subject other_field = world.who("", {.api_key = world.key});
  CHECK(other_field.how == How::kApiKey);
  CHECK(other_field.owns_api_key);
  SteadyRandom random;
  random.number();
  const std::string unknown = make_api_key(random);
  CHECK(world.code("Bearer " + unknown) == "api_key_unknown");
  CHECK(world.code("", {.api_key = unknown}) == "api_key_unknown");
  CHECK(world.code("", {.api_key = "another program's"}) == "nobody");
  CHECK_FALSE(world.who("", {.api_key = "another program's"}).owns_api_key);
  world.alice_is_known = false;
  world.publish();
  CHECK(world.code("Bearer " + world.key) == "principal_unknown");
}

TEST_CASE("an API key does what it is for, while it is good") {
  Whole world;
  const auto with = [&](Facts facts) {
    world.api_key_facts = {{"user", ref("Wary::User", "alice")}};
    for (auto& fact : facts) world.api_key_facts.push_back(std::move(fact));
    world.publish();
    return world.outcome(world.who("Bearer " + world.key));
  };
  const Facts good = {{"active", true}, {"revoked", false}, {"disabled", false}};
  const auto good_with = [&](const std::string& name, Json value) {
    Facts facts = good;
    facts.emplace_back(name, std::move(value));
    return with(facts);
  };
  CHECK(with(good).starts_with("permit"));
  CHECK(with({{"active", true}, {"revoked", true}, {"disabled", false}}) == "forbid guardrail/api-key");
  CHECK(world.challenge(world.who("Bearer " + world.key)).starts_with("401 credential_ended"));
  CHECK(with({{"active", false}, {"revoked", false}, {"disabled", false}}) == "forbid guardrail/api-key");
  CHECK(with({{"active", true}, {"revoked", false}, {"disabled", true}}) == "forbid guardrail/api-key");
  CHECK(with({{"active", true}}) == "forbid guardrail/api-key");
  CHECK(good_with("methods", Json::array({Json("GET")})).starts_with("permit"));
  CHECK(good_with("methods", Json::array({Json("POST")})) == "forbid guardrail/api-key-scope");
  CHECK(world.challenge(world.who("Bearer " + world.key)).starts_with("403 insufficient_scope Bearer"));
  CHECK(good_with("apps", Json::array({ref("Wary::App", "demo/site")})).starts_with("permit"));
  CHECK(good_with("apps", Json::array({ref("Wary::App", "demo/other")})) == "forbid guardrail/api-key-scope");
  CHECK(good_with("routes", Json::array({ref("Wary::Route", "demo/r")})).starts_with("permit"));
  CHECK(good_with("routes", Json::array({ref("Wary::Route", "demo/s")})) == "forbid guardrail/api-key-scope");
}

TEST_CASE("what an API key opened ends when its ApiKey gets another") {
  Whole world;
  const Subject open = world.who("Bearer " + world.key);
  const contract::Decision decision = world.decide(open);
  CHECK(decision.is_allowed());
  const contract::EntityId hash{"Wary::ApiKeyHash", api_key_id(world.key)};
  CHECK(std::ranges::find(decision.depends_on, hash) != decision.depends_on.end());
  SteadyRandom random;
  random.number();
  world.key_now = make_api_key(random);
  world.publish();
  CHECK(world.outcome(open) == "forbid guardrail/api-key");
  CHECK(world.code("Bearer " + world.key) == "api_key_unknown");
  CHECK(world.outcome(world.who("Bearer " + world.key_now)).starts_with("permit"));
}

TEST_CASE("two credentials of one principal are one, of two principals none") {
  Whole world;
  const std::string bob = "Bearer " + world.corp.sign(TestIssuer::claims_with("sub", "\"bob\""));
  CHECK(world.code("Bearer " + world.token(), {.session_token = "cookie"}) == "jwt");
  CHECK(world.code(bob, {.session_token = "cookie"}) == "credential_conflict");
  CHECK(world.code(bob, {.api_key = world.key}) == "credential_conflict");
  CHECK(world.code("Bearer " + world.token(), {.api_key = world.key}) == "jwt");
  CHECK(world.code("", {.session_token = "cookie", .api_key = world.key}) == "api_key");
  CHECK(world.code("", {.spiffe_id = kWorkloadId, .api_key = world.key}) == "credential_conflict");
  CHECK(world.code("", {.session_token = "cookie", .spiffe_id = kWorkloadId}) == "svid");
  // The first wrong one is told.
  CHECK(world.code("Bearer " + world.token("aud", "\"x\""), {.session_token = "cookie"}) == "token_audience");
  CHECK(world.code(bob, {.has_repeated_field = true}) == "credential_repeated");
  CHECK(world.who(bob, {.api_key = world.key}).refusal->status == 400);
  CHECK(world.who(bob, {.api_key = world.key}).refusal->authenticate.find("invalid_request") != std::string::npos);
}

TEST_CASE("a machine's certificate says from where somebody asks, and is asked itself where nobody else does") {
  Whole world;
  const std::string node(kNodeId);
  const Subject alice = world.who("", {.session_token = "cookie", .spiffe_id = node});
  CHECK(alice.principal == contract::EntityId{"Wary::User", "alice"});
  REQUIRE(alice.device);
  CHECK(*alice.device == contract::EntityId{"Wary::Node", node});
  CHECK(world.outcome(alice).starts_with("permit"));
  const contract::Decision decision = world.decide(alice);
  CHECK(std::find(decision.depends_on.begin(), decision.depends_on.end(), *alice.device) != decision.depends_on.end());
  CHECK(world.who("Bearer " + world.token(), {.spiffe_id = node}).device == alice.device);
  const Subject alone = world.who("", {.spiffe_id = node});
  CHECK(alone.principal == *alice.device);
  CHECK_FALSE(alone.device);
  // A wrong credential is refused from there as from anywhere; an unknown machine is no device, and asks for nobody.
  CHECK(world.code("Bearer " + world.token("aud", "\"x\""), {.spiffe_id = node}) == "token_audience");
  const Subject unknown = world.who("", {.session_token = "cookie", .spiffe_id = "spiffe://local/wary/node/gone"});
  CHECK(unknown.principal == contract::EntityId{"Wary::User", "alice"});
  CHECK_FALSE(unknown.device);
  world.node_is_revoked = true;
  world.publish();
  CHECK(world.outcome(alice) == "forbid guardrail/revoked-device");
}

TEST_CASE("a route with a step-up asks people for a sign-in that is new or strong enough") {
  Whole world;
  world.route_more = {{"step_up_max_age", 300}};
  world.publish();
  const Subject session = world.who("", {.session_token = "cookie"});
  const contract::Decision fresh = world.decide(session);
  CHECK(fresh.is_allowed());
  REQUIRE(fresh.valid_until);  // the sign-in was 100 s ago
  CHECK(fresh.valid_until->nanos == (test::kTokenNow + 200) * kNanosPerSecond);
  CHECK(world.outcome(world.who("Bearer " + world.token())) == "step_up_required");
  const std::string recent = std::to_string(test::kTokenNow - 10);
  CHECK(world.outcome(world.who("Bearer " + world.token("auth_time", recent))).starts_with("permit"));
  CHECK(world.outcome(world.who("Bearer " + world.key)) == "step_up_required");
  CHECK(world.outcome(world.who("")) == "step_up_required");
  CHECK(world.outcome(world.who("", {.spiffe_id = kWorkloadId})).starts_with("permit"));
  world.sim.run_for(201 * kNanosPerSecond);
  CHECK(world.outcome(session) == "step_up_required");
  CHECK(world.challenge(session) ==
        "401 insufficient_user_authentication Bearer realm=\"wary\", error=\"insufficient_user_authentication\", "
        "error_description=\"a newer or stronger sign-in is needed\", max_age=300");
  world.route_more = {{"step_up_acr", Json::array({Json("gold"), Json("silver")})}};
  world.publish();
  CHECK(world.outcome(session) == "step_up_required");
  CHECK(world.challenge(session).ends_with("acr_values=\"gold silver\""));
  CHECK(world.outcome(world.who("Bearer " + world.token("acr", "\"silver\""))).starts_with("permit"));
  CHECK(world.outcome(world.who("Bearer " + world.token("acr", "\"bronze\""))) == "step_up_required");
  // Facts that cannot be read ask for what nobody has.
  world.route_more = {{"step_up_acr", 7}};
  world.publish();
  CHECK(world.outcome(world.who("Bearer " + world.token("acr", "\"silver\""))) == "step_up_required");
}
