// Machines that join, by each way, and what each gets to know. The device certificates and TPM structures of x509pop
// and tpm are checked in node/; here it is what comes of them.
#include "control/nodes.h"

#include "codec/text.h"
#include "control/control_test_world.h"
#include "control/views.h"
#include "crypto/pem.h"
#include "crypto/x509.h"
#include "node/x509pop.h"
#include "policy/serialize.h"
#include "tests/support/made_certificate.h"

using namespace wary;
using namespace wary::control;
using namespace wary::control::test;

namespace {

struct NodesWorld {
  World world;
  std::vector<std::string> issued;
  bool signer_is_away = false;
  Nodes nodes{*world.plane,
              {world.sim.clock(), world.random, null_log(),
               [this](ByteView, const std::string& id, std::int64_t) -> Result<std::vector<Bytes>> {
                 if (signer_is_away) return fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer is away");
                 issued.push_back(id);
                 return std::vector<Bytes>{{1, 2, 3}};
               },
               []() -> Result<std::vector<Bytes>> { return std::vector<Bytes>{{9}}; }, Bytes(32, 7)}};
  crypto::PrivateKey key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  std::string csr = codec::encode_base64(*crypto::make_csr(key, ""));
  std::shared_ptr<TestExchange> last;

  std::string token(const std::string& node, std::int64_t ttl = 600) {
    const auto made = nodes.create_token(owner(), node, ttl);
    REQUIRE(made.ok());
    world.settle();
    return std::string(made->string_or("token", ""));
  }
  // The code of the refusal, or nothing.
  std::string join(codec::Json body, const std::string& client = "127.0.0.1") {
    http::Request request;
    request.method = "POST";
    request.path = "/nodes/join";
    request.headers = {{"X-Forwarded-For", client}};
    request.body = body.to_string();
    last = std::make_shared<TestExchange>(std::move(request));
    nodes.join(last);
    world.run(50);
    CHECK(last->status != 0);
    return last->code();
  }
  codec::Json by_token(const std::string& secret) const {
    return codec::Json::object({{"method", codec::Json("join_token")}})
        .set("token", std::string_view(secret))
        .set("csr", std::string_view(csr));
  }
  // Asks for a challenge and answers it by the key; what is not the node's is refused before.
  std::string join_by_key(const std::string& node) {
    codec::Json body = codec::Json::object({{"method", codec::Json("key")}});
    body.set("node", std::string_view(node)).set("csr", std::string_view(csr));
    body.set("nonce", codec::encode_base64(own_nonce()));
    if (const std::string code = join(body); !code.empty()) return code;
    return join(by_challenge(body, last->json(), node::Method::kKey,
                             [this](ByteView statement) { return *key.sign(statement); }));
  }
  static node::Nonce own_nonce() {
    node::Nonce nonce;
    nonce.fill(5);
    return nonce;
  }
  // The same again, with what was asked and a signature over the exchange.
  codec::Json by_challenge(codec::Json body, const codec::Json& asked, node::Method method,
                           const std::function<Bytes(ByteView)>& sign, std::string_view trust_domain = "local") const {
    node::StatementParts parts;
    const Bytes theirs = *codec::decode_base64(asked.string_or("nonce", ""));
    std::copy(theirs.begin(), theirs.end(), parts.server_nonce.begin());
    parts.node_nonce = own_nonce();
    parts.csr_sha256 = crypto::sha256(*codec::decode_base64(csr));
    parts.trust_domain = trust_domain;
    body.set("challenge", asked.string_or("challenge", ""));
    return body.set("signature", codec::encode_base64(sign(node::statement_of(method, parts))));
  }
};

std::vector<std::string> names_of(const std::string& content) {
  const auto parsed = policy::parse_snapshot(content);
  REQUIRE(parsed.ok());
  std::vector<std::string> out;
  for (const contract::Entity& entity : parsed->entities) out.push_back(entity.id.type + " " + entity.id.id);
  CHECK(parsed->policies.empty());
  return out;
}

}  // namespace

TEST_CASE("a token lets one machine in, once, and its key is enough from then on") {
  NodesWorld it;
  const std::string secret = it.token("web-1");
  CHECK(it.join(it.by_token(secret)) == "");
  CHECK(it.last->json().string_or("spiffe_id", "") == "spiffe://local/wary/node/web-1");
  CHECK(it.last->json().string_or("snapshot_key", "") == codec::encode_base64(Bytes(32, 7)));
  CHECK(it.world.plane->objects().find(key_of(kTenantWide, "Node", "web-1")) != nullptr);
  CHECK(it.world.count("node.join") == 1);
  CHECK(it.join(it.by_token(secret)) == "node_token");
  CHECK(it.join_by_key("web-1") == "");
  CHECK(it.world.count("node.join") == 3);
  CHECK(it.issued.size() == 2);
  SUBCASE("another key is not the node") {
    it.key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
    it.csr = codec::encode_base64(*crypto::make_csr(it.key, ""));
    CHECK(it.join_by_key("web-1") == "node_key");
    CHECK(it.join(it.by_token(it.token("web-1"))) == "");  // unless the operator says so
    CHECK(it.join_by_key("web-1") == "");
  }
  SUBCASE("revoked, disabled or removed it is nobody") {
    REQUIRE(it.world.put(key_of(kTenantWide, "Node", "web-1"), R"({"disabled":true})").ok());
    CHECK(it.join_by_key("web-1") == "node_revoked");
    CHECK(it.nodes.create_token(owner(), "web-1", 600).error().code == "node_revoked");
    Change change;
    change.writes.push_back({key_of(kTenantWide, "Node", "web-1"), std::nullopt});
    change.event = World::event("test");
    REQUIRE(it.world.plane->commit(std::move(change)).ok());
    CHECK(it.join_by_key("web-1") == "node_key");
  }
}

TEST_CASE("a revocation outlives its Node, and a Node that is deleted takes its key along") {
  NodesWorld it;
  const std::string first = it.token("web-1"), second = it.token("web-1");
  CHECK(it.join(it.by_token(first)) == "");
  const auto call = [&](const char* method, const std::string& path, std::string_view body = "") {
    return it.world.call(owner(), method, path, std::string(body))->status;
  };
  constexpr std::string_view kWebOne = R"({"kind":"node","name":"web-1","reason":"stolen"})";
  SUBCASE("what was revoked is not let in anew by being forgotten") {
    CHECK(call("POST", "/v1/revoke", kWebOne) == 200);
    CHECK(call("DELETE", "/v1/objects/node/web-1") == 200);
    CHECK(it.join(it.by_token(second)) == "node_revoked");
    CHECK(it.nodes.create_token(owner(), "web-1", 600).error().code == "node_revoked");
    CHECK(it.issued.size() == 1);
    CHECK(call("POST", "/v1/restore", kWebOne) == 200);
    CHECK(it.join(it.by_token(second)) == "");
  }
  SUBCASE("a Node of the same name is another machine's") {
    CHECK(call("DELETE", "/v1/objects/node/web-1") == 200);
    REQUIRE(it.world.put(key_of(kTenantWide, "Node", "web-1"), "{}").ok());
    CHECK(it.join_by_key("web-1") == "node_key");
    const contract::Entity* entity = it.world.plane->snapshot()->find_entity(node_entity("local", "web-1"));
    REQUIRE(entity != nullptr);
    for (const contract::Fact& fact : entity->attributes) CHECK(fact.name != "attestation");  // which its link needs
    CHECK(it.join(it.by_token(second)) == "");
    CHECK(it.join_by_key("web-1") == "");
  }
}

TEST_CASE("nothing is held for a challenge, and what it is asked with is bounded") {
  NodesWorld it;
  codec::Json body = codec::Json::object({{"method", codec::Json("x509pop")}});
  body.set("csr", std::string_view(it.csr)).set("nonce", codec::encode_base64(Bytes(32, 1)));
  const auto ask = [&](std::size_t bytes) {
    body.set("chain", codec::Json::array({codec::Json(codec::encode_base64(Bytes(bytes, 1)))}));
    return it.join(body);
  };
  CHECK(ask(12 * 1024) == "");
  CHECK(ask(12 * 1024 + 1) == "node_field");
  // As many as the rate of each address allows, from a hundred addresses, leave room for one more.
  for (int i = 0; i < 100; ++i) {
    for (int k = 0; k < 20; ++k)
      CHECK(it.join(body.set("chain", codec::Json::array()), "10.1.0." + std::to_string(i)) == "");
  }
  CHECK(it.join(body, "10.2.0.1") == "");
}

TEST_CASE("tokens end, are for good names, and cannot be guessed without end") {
  NodesWorld it;
  const std::string secret = it.token("web-1", 60);
  it.world.run(61'000);
  CHECK(it.join(it.by_token(secret)) == "node_token");
  for (const char* name : {"local", "x509pop-1", "tpm-1", "Web", ""}) {
    CHECK(it.nodes.create_token(owner(), name, 600).error().code == "node_name");
    CHECK(!it.nodes.create_token(owner(), name, 600).error().next_step.empty());
  }
  CHECK(it.nodes.create_token(owner(), "web-2", 5).error().code == "node_token_ttl");
  CHECK(it.nodes.create_token(owner(), "web-2", 86'401).error().code == "node_token_ttl");
  (void)it.token("web-3");
  CHECK(it.world.plane->objects().of_kind("JoinToken").size() == 1);  // the one that ended went
  std::string code;
  for (int i = 0; i < 150 && code != "node_joins"; ++i) code = it.join(it.by_token("x" + std::to_string(i)), "::1");
  CHECK(code == "node_joins");
  CHECK(it.join(it.by_token("other"), "127.0.0.2") == "node_token");
}

TEST_CASE("what is no join is refused by its own code") {
  NodesWorld it;
  CHECK(it.join(codec::Json::object()) == "node_field");
  CHECK(it.join(codec::Json::object({{"csr", codec::Json("!")}})) == "base64_syntax");
  CHECK(it.join(codec::Json::object({{"csr", codec::Json("AAAA")}})).starts_with("csr_"));
  CHECK(it.join(codec::Json::object({{"csr", codec::Json(it.csr)}})) == "node_method");
  codec::Json nobodys = codec::Json::object({{"method", codec::Json("x509pop")}, {"csr", codec::Json(it.csr)}});
  nobodys.set("nonce", codec::encode_base64(Bytes(32, 1))).set("challenge", "nobody's");
  CHECK(it.join(nobodys) == "node_challenge");
  it.signer_is_away = true;
  const std::string secret = it.token("web-1");
  CHECK(it.join(it.by_token(secret)) == "signer_unavailable");
  it.signer_is_away = false;
  CHECK(it.join(it.by_token(secret)) == "");  // nothing was used up
}

TEST_CASE("a device certificate lets its machine in, where an operator named who vouches") {
  NodesWorld it;
  const UnixTime now = it.world.sim.clock().unix_time();
  const auto ca_key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  const Bytes ca =
      *crypto::create_ca({"devices", "", {now.nanos - kNanosPerSecond}, {now.nanos + 3600 * kNanosPerSecond}}, ca_key);
  const auto device = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  crypto::LeafOptions leaf;
  leaf.dns_names = {"device.test"};
  leaf.not_before = {now.nanos - kNanosPerSecond};
  leaf.not_after = {now.nanos + 1800 * kNanosPerSecond};
  const Bytes certificate = *crypto::issue_leaf(ca, ca_key, *crypto::make_csr(device, ""), leaf);
  const Secret pkcs8 = *device.to_pkcs8();
  const auto device_key = *node::decode_device_key(crypto::encode_pem("PRIVATE KEY", pkcs8.reveal()));

  codec::Json asking = codec::Json::object({{"method", codec::Json("x509pop")}});
  asking.set("csr", std::string_view(it.csr)).set("nonce", codec::encode_base64(NodesWorld::own_nonce()));
  asking.set("chain", codec::Json::array({codec::Json(codec::encode_base64(certificate))}));
  const auto challenge = [&](const std::string& client = "127.0.0.1") {
    CHECK(it.join(asking, client) == "");
    return it.last->json();
  };
  const auto answer = [&](const codec::Json& asked, std::string_view trust_domain = "local") {
    return it.by_challenge(
        asking, asked, node::Method::kX509Pop, [&](ByteView statement) { return *node::prove(device_key, statement); },
        trust_domain);
  };
  CHECK(it.join(answer(challenge())) == "node_authority");
  codec::Json spec = codec::Json::object({{"method", codec::Json("x509pop")}});
  spec.set("certificates", crypto::encode_pem("CERTIFICATE", ca))
      .set("groups", codec::Json::array({codec::Json("web")}));
  REQUIRE(it.world.put(key_of(kTenantWide, "NodeAuthority", "devices"), spec.to_string()).ok());
  REQUIRE(it.world.put(key_of(kTenantWide, "Group", "web"), "{}").ok());

  const codec::Json asked = challenge();
  CHECK(it.join(answer(asked), "127.0.0.9") == "node_challenge");  // another's
  CHECK(it.join(answer(challenge(), "elsewhere")) == "x509pop_signature");
  const codec::Json late = challenge();
  it.world.run(31'000);
  CHECK(it.join(answer(late)) == "node_challenge");
  const codec::Json good = challenge();
  CHECK(it.join(answer(good)) == "");
  const std::string name(it.last->json().string_or("node", ""));
  CHECK(it.join(answer(good)) == "node_challenge");  // good once
  CHECK(name == "x509pop-" + codec::encode_hex(crypto::sha256(certificate)).substr(0, 40));
  const contract::Entity* entity = it.world.plane->snapshot()->find_entity(node_entity("local", name));
  REQUIRE(entity != nullptr);
  CHECK(entity->parents == std::vector<contract::EntityId>{{"Wary::Group", "web"}});
}

TEST_CASE("by its subject a device with a certificate made anew is the same node, within its authority") {
  NodesWorld it;
  const UnixTime now = it.world.sim.clock().unix_time();
  const auto authority = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  const auto device = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  const Secret pkcs8 = *device.to_pkcs8();
  const auto device_key = *node::decode_device_key(crypto::encode_pem("PRIVATE KEY", pkcs8.reveal()));
  wary::test::MadeCertificate root;
  root.subject = root.issuer = "devices";
  root.is_ca = true;
  root.key_usage = wary::test::kKeyCertSign;
  root.not_before = {now.nanos - kNanosPerSecond};
  root.not_after = {now.nanos + 3600 * kNanosPerSecond};
  codec::Json spec = codec::Json::object({{"method", codec::Json("x509pop")}, {"identifyBy", codec::Json("subject")}});
  spec.set("certificates", crypto::encode_pem("CERTIFICATE", wary::test::make_certificate(root, authority, authority)));
  const auto vouch = [&](const char* name) {
    REQUIRE(it.world.put(key_of(kTenantWide, "NodeAuthority", name), spec.to_string()).ok());
  };
  const auto leave = [&](const char* name) {
    Change change;
    change.writes.push_back({key_of(kTenantWide, "NodeAuthority", name), std::nullopt});
    change.event = World::event("test");
    REQUIRE(it.world.plane->commit(std::move(change)).ok());
  };
  // The name that a new certificate of that subject gives, or the code of the refusal.
  const auto joined = [&](const std::string& subject) {
    wary::test::MadeCertificate leaf = root;
    leaf.subject = subject;
    leaf.issuer = "devices";
    leaf.is_ca = false;
    leaf.key_usage = wary::test::kDigitalSignature;
    const Bytes certificate = wary::test::make_certificate(leaf, device, authority);
    codec::Json asking = codec::Json::object({{"method", codec::Json("x509pop")}, {"csr", codec::Json(it.csr)}});
    asking.set("nonce", codec::encode_base64(NodesWorld::own_nonce()));
    asking.set("chain", codec::Json::array({codec::Json(codec::encode_base64(certificate))}));
    CHECK(it.join(asking) == "");
    const std::string code =
        it.join(it.by_challenge(asking, it.last->json(), node::Method::kX509Pop,
                                [&](ByteView statement) { return *node::prove(device_key, statement); }));
    return code.empty() ? std::string(it.last->json().string_or("node", "")) : code;
  };
  vouch("racks");
  const std::string name = joined("rack-7");
  CHECK(name.starts_with("x509pop-"));
  CHECK(name.size() == 48);
  CHECK(joined("rack-7") == name);
  CHECK(joined("rack-8") != name);
  CHECK(joined("") == "node_subject");
  spec.set("identifyBy", "fingerprint");
  vouch("racks");
  CHECK(joined("rack-7") != joined("rack-7"));
  leave("racks");
  spec.set("identifyBy", "subject");
  vouch("others");
  CHECK(joined("rack-7") != name);  // another authority's rack-7 is another machine
}

TEST_CASE("a NodeAuthority that could vouch for nobody is not taken") {
  World world;
  const auto apply = [&](std::string_view spec) {
    const std::string body =
        R"({"objects":[{"apiVersion":"wary.dev/v1","kind":"NodeAuthority","metadata":{"name":"x"},"spec":)" +
        std::string(spec) + "}]}";
    const auto answer = world.call(owner(), "POST", "/v1/apply", body)->json();
    const codec::Json* errors = answer.find("errors");
    return errors == nullptr || errors->items().empty() ? std::string()
                                                        : std::string(errors->items()[0].string_or("code", ""));
  };
  CHECK(apply(R"({"method":"x509pop"})") == "node_authority_empty");
  CHECK(apply(R"({"method":"x509pop","endorsementKeys":[")" + std::string(64, 'a') + "\"]}") == "node_authority_empty");
  CHECK(apply(R"({"method":"tpm","endorsementKeys":[]})") == "node_authority_empty");
  CHECK(apply(R"({"method":"x509pop","certificates":"nonsense"})") == "pem_syntax");
  const auto pem = [](std::string_view label) {
    return R"({"method":"x509pop","certificates":)" +
           codec::Json(crypto::encode_pem(label, Bytes{1, 2, 3})).to_string() + "}";
  };
  CHECK(apply(pem("PRIVATE KEY")) == "node_authority_certificate");
  CHECK(apply(pem("CERTIFICATE")) == "x509_syntax");
  CHECK(apply(R"({"method":"tpm","endorsementKeys":[")" + std::string(64, 'a') + "\"]}") == "");
}

TEST_CASE("a TPM's evidence is read before anything is made for it") {
  NodesWorld it;
  codec::Json body = codec::Json::object({{"method", codec::Json("tpm")}});
  body.set("csr", std::string_view(it.csr)).set("nonce", codec::encode_base64(Bytes(32, 1)));
  CHECK(it.join(body) == "node_field");
  body.set("endorsement_key", "AAAA").set("attestation_key", "AAAA");
  CHECK(it.join(body).starts_with("tpm_"));
  body.set("nonce", "AAAA");
  CHECK(it.join(body) == "node_field");
}

TEST_CASE("the link is for nodes that joined, by the key they joined with last") {
  NodesWorld it;
  const auto link = [&](std::string_view principal, const crypto::PrivateKey* key = nullptr) {
    http::Request request;
    request.method = "GET";
    request.path = "/nodes/link";
    request.headers = {{"Wary-Principal", std::string(principal)}, {"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}};
    if (key != nullptr) {
      const Bytes said = node::link_statement_of("spiffe://local/wary/node/web-1", "AAAAAAAAAAAAAAAAAAAAAA==");
      request.headers.push_back({"Node-Proof", codec::encode_base64(*key->sign(said))});
    }
    auto exchange = std::make_shared<TestExchange>(std::move(request));
    it.nodes.link(exchange);
    return exchange->code();
  };
  const std::string web = "Wary::Node::\"spiffe://local/wary/node/web-1\"";
  CHECK(link("") == "node_link");
  CHECK(link("Wary::User::\"owner\"") == "node_link");
  CHECK(link("Wary::Node::\"spiffe://elsewhere/wary/node/web-1\"") == "node_link");
  CHECK(link(web) == "node_link");  // there is no such node
  CHECK(it.join(it.by_token(it.token("web-1"))) == "");
  CHECK(link(web) == "node_link_key");
  const auto earlier = std::move(it.key);
  CHECK(link(web, &earlier) == "node_link");  // no WebSocket, but everything else is good
  it.key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  it.csr = codec::encode_base64(*crypto::make_csr(it.key, ""));
  CHECK(it.join(it.by_token(it.token("web-1"))) == "");
  CHECK(link(web, &earlier) == "node_link_key");
  CHECK(link(web, &it.key) == "node_link");
  REQUIRE(it.world.put(key_of(kTenantWide, "Node", "web-1"), R"({"disabled":true})").ok());
  CHECK(link(web, &it.key) == "node_revoked");
}

TEST_CASE("what is known of a node is told: its state, how it joined, when it was seen") {
  NodesWorld it;
  REQUIRE(it.world.put(key_of(kTenantWide, "Node", "web-2"), "{}").ok());
  CHECK(it.nodes.status_of("web-2").to_string() == R"({"state":"new","summary":"new"})");
  CHECK(it.join(it.by_token(it.token("web-1"))) == "");
  codec::Json status = it.nodes.status_of("web-1");
  CHECK(status.string_or("state", "") == "away");
  CHECK(status.string_or("joinedBy", "") == "join_token");
  const std::string first(status.string_or("lastSeen", ""));
  CHECK(first.starts_with("20"));
  it.world.run(60'000);
  CHECK(it.join_by_key("web-1") == "");
  CHECK(std::string(it.nodes.status_of("web-1").string_or("lastSeen", "")) > first);
  REQUIRE(it.world.put(key_of(kTenantWide, "Node", "web-1"), R"({"disabled":true})").ok());
  CHECK(it.nodes.status_of("web-1").string_or("state", "") == "disabled");
}

TEST_CASE("a thousand refused joins write a few lines, each with what is left out") {
  NodesWorld it;
  std::size_t lines = 0;
  Log log(it.world.sim.clock(), "p", [&](std::string_view) { ++lines; }, 1, 2);
  Nodes nodes{
      *it.world.plane,
      {it.world.sim.clock(), it.world.random, log,
       [](ByteView, const std::string&, std::int64_t) -> Result<std::vector<Bytes>> { return std::vector<Bytes>(); },
       []() -> Result<std::vector<Bytes>> { return std::vector<Bytes>(); }, Bytes(32, 7)}};
  for (int i = 0; i < 1000; ++i) {
    http::Request request;
    request.method = "POST";
    request.path = "/nodes/join";
    request.headers = {{"X-Forwarded-For", "10.0." + std::to_string(i % 100)}};
    request.body = it.by_token("wrong").to_string();
    nodes.join(std::make_shared<TestExchange>(std::move(request)));
  }
  it.world.run(50);
  CHECK(lines > 10);
  CHECK(lines <= 60);
}

TEST_CASE("a node's key signs the exchange each time") {
  NodesWorld it;
  CHECK(it.join(it.by_token(it.token("web-1"))) == "");
  codec::Json body = codec::Json::object({{"method", codec::Json("key")}, {"node", codec::Json("web-1")}});
  body.set("csr", std::string_view(it.csr));
  CHECK(it.join(body) == "node_field");  // a request that somebody saw is not enough
  body.set("nonce", codec::encode_base64(NodesWorld::own_nonce()));
  CHECK(it.join(body) == "");
  const codec::Json asked = it.last->json();
  CHECK(it.last->json().find("chain") == nullptr);
  const auto other = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  const auto by = [&](const crypto::PrivateKey& key, node::Method method) {
    return it.by_challenge(body, asked, method, [&](ByteView statement) { return *key.sign(statement); });
  };
  CHECK(it.join(by(other, node::Method::kKey)) == "node_key_signature");
  CHECK(it.join(by(it.key, node::Method::kTpm)) == "node_key_signature");
  CHECK(it.join(by(it.key, node::Method::kKey)) == "");
  CHECK(it.join(by(it.key, node::Method::kKey)) == "node_challenge");
}

TEST_CASE("an agent learns of the workloads that are placed on its node, and of nothing else") {
  World world;
  const auto put = [&](const store::Key& key, std::string_view spec) { REQUIRE(world.put(key, spec).ok()); };
  put(key_of(kTenantWide, "Group", "web"), "{}");
  put(key_of(kTenantWide, "Node", "a"), R"({"groups":["web"]})");
  put(key_of(kTenantWide, "Node", "b"), "{}");
  put(key_of("shop", "Workload", "here"), "{}");
  put(key_of("shop", "Workload", "named"), R"({"nodes":["b"]})");
  put(key_of("shop", "Workload", "grouped"), R"({"nodeGroups":["web"]})");
  const auto seen = [&](const char* view) { return names_of(snapshot_of(*world.plane->snapshot(), "local", view)); };
  CHECK(view_of("edge/local").empty());
  CHECK(seen("agent/local") == std::vector<std::string>{"Wary::Workload spiffe://local/shop/here"});
  CHECK(seen("agent/a") == std::vector<std::string>{"Wary::Workload spiffe://local/shop/grouped"});
  CHECK(seen("agent/b") == std::vector<std::string>{"Wary::Workload spiffe://local/shop/named"});
  CHECK(seen("agent/unknown").empty());

  // Each change, as each agent gets it.
  const auto change = [&](const store::Key& key, std::string_view spec, const char* view) {
    const policy::SnapshotPtr before = world.plane->snapshot();
    put(key, spec);
    const auto delta = policy::delta_between(policy::content_of(*before), policy::content_of(*world.plane->snapshot()));
    return delta_of(*before, *world.plane->snapshot(), delta, "local", view);
  };
  auto delta = policy::parse_delta(*change(key_of("shop", "Workload", "named"), R"({"nodes":["a"]})", "agent/b"));
  CHECK(delta->upserts.empty());
  CHECK(delta->removals == std::vector<contract::EntityId>{{"Wary::Workload", "spiffe://local/shop/named"}});
  delta = policy::parse_delta(*change(key_of("shop", "Workload", "named"), R"({"nodes":["a"],"hint":"h"})", "agent/b"));
  CHECK(delta->removals.empty());  // not even its name
  delta = policy::parse_delta(*change(key_of("shop", "Workload", "named"), R"({"nodes":["a"],"hint":"i"})", "agent/a"));
  CHECK(delta->upserts.size() == 1);
  CHECK_FALSE(change(key_of(kTenantWide, "Node", "a"), "{}", "agent/a").has_value());
  delta = policy::parse_delta(*change(key_of(kTenantWide, "User", "dora"), "{}", "agent/a"));
  CHECK(delta->upserts.empty());
}
