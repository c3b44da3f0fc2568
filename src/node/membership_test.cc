// A machine and a control plane elsewhere, in one simulated world: joining, renewing, outages of hours, and answers
// that cannot be used. The control plane here is a server that says what the test wants; tests/nodes has the real one.
#include "node/membership.h"

#include <doctest/doctest.h>

#include <map>

#include "codec/text.h"
#include "crypto/csr.h"
#include "http/server.h"
#include "http/tls_stream.h"
#include "http/websocket_stream.h"
#include "io/sim_files.h"
#include "io/sim_loop.h"

using namespace wary;

namespace {

using codec::Json;

class MembershipRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out)
      byte = static_cast<std::uint8_t>((state_ = state_ * 6364136223846793005ULL + 1) >> 56U);
  }

 private:
  std::uint64_t state_ = 7;
};

const io::Address kControlPlane = io::Address::tcp("127.0.0.1", 7443);

struct MembershipWorld {
  io::SimWorld sim{21};
  io::SimFiles files{22};
  MembershipRandom random;
  std::unique_ptr<io::Loop> control = sim.make_loop(), loop = sim.make_loop();
  crypto::PrivateKey ca_key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  Bytes ca = *crypto::create_ca({"test", "local", at(-60), at(30 * 86'400)}, ca_key);
  std::optional<crypto::TlsServerContext> context;
  std::vector<Json> asked;
  std::string known_spki;  // of the node's key, base64
  std::string refuses;     // a code; empty: nobody is refused
  int refuses_with = 403;
  std::string broken;  // a member of the answer that is left out
  std::vector<std::string> linked;
  http::Server server{*control, [this](const std::shared_ptr<http::Exchange>& exchange) { answer(exchange); }};
  std::unique_ptr<io::Listener> listener;
  std::unique_ptr<node::Membership> membership;
  std::vector<std::string> told;  // names and codes

  UnixTime at(std::int64_t seconds) { return {sim.clock().unix_time().nanos + seconds * kNanosPerSecond}; }

  MembershipWorld() {
    REQUIRE(files.make_directory("agent").ok());
    auto key = std::make_shared<crypto::PrivateKey>(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
    crypto::LeafOptions leaf;
    leaf.dns_names = {"console.localhost"};
    leaf.not_before = at(-60);
    leaf.not_after = at(20 * 86'400);
    crypto::TlsServerOptions options;
    options.sites.push_back(
        {{}, {{*crypto::issue_leaf(ca, ca_key, *crypto::make_csr(*key, ""), leaf)}, std::move(key)}});
    options.client_auth = crypto::ClientAuth::kOptional;
    options.verify_client = crypto::verify_svid(*crypto::TrustRoots::build({ca}), "local",
                                                crypto::VerifyOptions::Use::kClient, sim.clock());
    context = *crypto::TlsServerContext::build(std::move(options));
    open();
  }
  void open() {
    listener = *control->listen(kControlPlane, {}, [this](std::unique_ptr<io::Stream> stream) {
      server.serve(std::make_unique<http::TlsStream>(*control, std::move(stream), crypto::TlsSession(*context)));
    });
  }
  static void send(const std::shared_ptr<http::Exchange>& exchange, int status, const Json& body) {
    exchange->respond(status, {{"Content-Type", "application/json"}}, body.to_string());
  }
  static Json error(std::string_view code) {
    return Json::object({{"error", Json::object({{"code", Json(code)}, {"message", Json("no")}})}});
  }
  void answer(const std::shared_ptr<http::Exchange>& exchange) {
    if (exchange->request().path == "/nodes/link") {
      linked.push_back(exchange->request().host);
      const auto key = *crypto::PublicKey::decode_spki(*codec::decode_base64(known_spki));
      const Bytes said =
          node::link_statement_of("spiffe://local/wary/node/web-1", exchange->request().header("sec-websocket-key"));
      CHECK(key.verify(said, *codec::decode_base64(exchange->request().header("node-proof"))));
      if (!refuses.empty()) return send(exchange, refuses_with, error(refuses));
      const std::string accept =
          broken == "accept" ? "x" : http::websocket_accept(exchange->request().header("sec-websocket-key"));
      (void)exchange->upgrade(
          {{"Sec-WebSocket-Accept", accept}},
          [this](std::unique_ptr<io::Stream> stream, const std::string&) { held.push_back(std::move(stream)); });
      return;
    }
    const Json body = *codec::parse_json(exchange->request().body);
    asked.push_back(body);
    if (!refuses.empty()) return send(exchange, refuses_with, error(refuses));
    crypto::CsrChecker checker;
    const Bytes csr = *codec::decode_base64(body.string_or("csr", ""));
    const std::string spki = codec::encode_base64(*checker.check(csr));
    const bool by_key = body.string_or("method", "") == "key";
    if (by_key && spki != known_spki) return send(exchange, 403, error("node_key"));
    if (by_key && body.find("challenge") == nullptr) {
      Json challenge = Json::object({{"challenge", Json("one")}, {"trust_domain", Json("local")}});
      return send(exchange, 200, challenge.set("nonce", codec::encode_base64(Bytes(32, 3))));
    }
    if (by_key) {
      node::StatementParts parts;
      parts.server_nonce.fill(3);
      const Bytes own = *codec::decode_base64(body.string_or("nonce", ""));
      std::copy(own.begin(), own.end(), parts.node_nonce.begin());
      parts.csr_sha256 = crypto::sha256(csr);
      parts.trust_domain = "local";
      const auto key = *crypto::PublicKey::decode_spki(*codec::decode_base64(spki));
      CHECK(key.verify(node::statement_of(node::Method::kKey, parts),
                       *codec::decode_base64(body.string_or("signature", ""))));
    }
    known_spki = spki;
    crypto::LeafOptions leaf;
    leaf.spiffe_id = "spiffe://local/wary/node/web-1";
    leaf.not_before = at(-5);
    leaf.not_after = at(3600);
    Json out = Json::object({{"node", Json("web-1")}, {"trust_domain", Json("local")}});
    out.set("chain", Json::array({Json(codec::encode_base64(*crypto::issue_leaf(ca, ca_key, csr, leaf)))}));
    out.set("roots", Json::array({Json(codec::encode_base64(ca))}));
    out.set("snapshot_key", codec::encode_base64(Bytes(broken == "short" ? 31 : 32, 7)));
    if (broken == "chain") out.set("chain", Json::array({Json(codec::encode_base64(ca))}));
    if (broken == "node") out.set("node", "");
    if (broken == "roots") out.set("roots", Json::array());
    send(exchange, 200, out);
  }
  std::vector<std::unique_ptr<io::Stream>> held;

  void begin(const std::string& token = "secret", std::vector<Bytes> roots = {}) {
    node::MembershipOptions options;
    options.directory = "agent";
    options.server = {{kControlPlane, "console.localhost"}, "console.localhost:7443"};
    options.roots = roots.empty() ? std::vector<Bytes>{ca} : std::move(roots);
    options.show.join_token = token;
    membership = std::make_unique<node::Membership>(
        node::MembershipParts{*loop, sim.clock(), random, files, null_log()}, std::move(options));
    REQUIRE(membership->open().ok());
    membership->start([this](const Result<node::Identity>& identity) {
      told.push_back(identity ? identity->name : identity.error().code);
    });
  }
  void run(std::int64_t seconds) { sim.run_for(seconds * kNanosPerSecond); }
  std::size_t count(std::string_view method) const {
    std::size_t found = 0;
    // Each renewal by the key once, not the question for a challenge as well.
    for (const Json& body : asked) {
      const bool asks_first = method == "key" && body.find("challenge") == nullptr;
      found += body.string_or("method", "") == method && !asks_first ? 1U : 0U;
    }
    return found;
  }
  bool is_good() { return sim.clock().unix_time() < membership->identity().not_after; }
};

}  // namespace

TEST_CASE("a machine joins by its token once, then renews by its key at half the certificate's life") {
  MembershipWorld world;
  world.begin();
  world.run(5);
  REQUIRE(world.told == std::vector<std::string>{"web-1"});
  CHECK(world.count("join_token") == 1);
  for (int hour = 0; hour < 10; ++hour) {
    world.run(3600);
    CHECK(world.is_good());
  }
  CHECK(world.count("join_token") == 1);
  CHECK(world.count("key") >= 20);
  CHECK(world.count("key") <= 24);
  // Started again it knows itself, without the control plane.
  world.membership.reset();
  world.listener.reset();
  world.told.clear();
  world.begin("");
  world.run(2);
  CHECK(world.told == std::vector<std::string>{"web-1"});
}

TEST_CASE("however long the control plane is away, the key is enough when it is back") {
  MembershipWorld world;
  world.begin();
  world.run(5);
  world.listener.reset();
  world.run(5 * 3600);
  CHECK_FALSE(world.is_good());
  CHECK(world.told.back().starts_with("connect_"));  // it says so once its certificate has ended
  world.open();
  world.run(40);
  CHECK(world.is_good());
  CHECK(world.told.back() == "web-1");
  CHECK(world.count("join_token") == 1);
}

TEST_CASE("a machine that has nothing to show asks nobody, and is told what to show") {
  MembershipWorld world;
  world.begin("");
  world.run(2);
  CHECK(world.told == std::vector<std::string>{"node_evidence"});
  CHECK(world.asked.empty());
}

TEST_CASE("a refusal is told, tried again slowly, and never by force") {
  MembershipWorld world;
  world.refuses = "node_token";
  world.begin();
  world.run(2);
  CHECK(world.told == std::vector<std::string>{"node_token"});
  world.run(298);
  CHECK(world.asked.size() <= 11);
  world.refuses.clear();
  world.run(31);
  CHECK(world.told.back() == "web-1");
  SUBCASE("busy is tried again sooner") {
    world.refuses = "node_joins";
    world.refuses_with = 429;
    world.run(1900);
    const std::size_t before = world.asked.size();
    world.run(60);
    CHECK(world.asked.size() > before);
    CHECK(world.asked.size() <= before + 8);
  }
  SUBCASE("a key that is not known any more: what was shown first is shown again") {
    world.known_spki = "another";
    world.run(3600);
    CHECK(world.count("join_token") > 1);
    CHECK(world.is_good());
  }
}

TEST_CASE("an answer that cannot be used is none") {
  for (const char* what : {"chain", "node", "roots", "short"}) {
    MembershipWorld world;
    world.broken = what;
    world.begin();
    world.run(3);
    CHECK_MESSAGE(world.told == std::vector<std::string>(world.told.size(), "node_answer"), what);
    CHECK(!world.told.empty());
    world.broken.clear();
    world.run(60);
    CHECK(world.told.back() == "web-1");
  }
}

TEST_CASE("files that cannot be read are said, with the file") {
  MembershipWorld world;
  world.begin();
  world.run(5);
  world.membership.reset();
  const auto open = [&] {
    node::MembershipOptions options;
    options.directory = "agent";
    node::Membership again({*world.loop, world.sim.clock(), world.random, world.files, null_log()}, std::move(options));
    return again.open();
  };
  REQUIRE(open().ok());
  REQUIRE(io::write_file_atomically(world.files, "agent/node.json", as_bytes("{}")).ok());
  CHECK(open().error().code == "node_state");
  REQUIRE(io::write_file_atomically(world.files, "agent/node.key", as_bytes("x")).ok());
  CHECK(open().error().where == "agent/node.key");
}

TEST_CASE("the server is who the named roots say, and later who the control plane says") {
  MembershipWorld world;
  const auto other_key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  const Bytes other = *crypto::create_ca({"other", "local", world.at(-60), world.at(86'400)}, other_key);
  SUBCASE("at first") {
    world.begin("secret", {other});
    world.run(2);
    CHECK(world.told.front() == "x509_untrusted");
    CHECK(world.asked.empty());  // the token was never shown to it
  }
  SUBCASE("later") {
    world.begin();
    world.run(5);
    world.membership->trust({other});
    world.run(1900);
    CHECK(world.count("key") == 0);
    world.membership->trust({other, world.ca});
    world.run(60);
    CHECK(world.count("key") == 1);
  }
}

TEST_CASE("the link is a WebSocket by the node's certificate, or a reason why not") {
  MembershipWorld world;
  world.begin();
  world.run(5);
  std::optional<Result<std::unique_ptr<io::Stream>>> got;
  const node::Dial dial = world.membership->dialler();
  const auto open = [&] {
    got.reset();
    const auto dialling = dial([&](Result<std::unique_ptr<io::Stream>> stream) { got.emplace(std::move(stream)); });
    world.run(15);
    REQUIRE(got.has_value());
    return got->ok() ? std::string() : got->error().code;
  };
  CHECK(open() == "");
  CHECK(world.linked == std::vector<std::string>{"console.localhost:7443"});
  world.broken = "accept";
  CHECK(open() == "node_answer");
  world.broken.clear();
  world.refuses = "denied";
  CHECK(open() == "denied");
  world.listener.reset();
  CHECK(open().starts_with("connect_"));
}
