// What the tests of federation/ share: a control plane, an endpoint of another trust domain and the process between
// them, in one simulated world.
#pragma once

#include <doctest/doctest.h>

#include <deque>

#include "codec/text.h"
#include "federation/federation.h"
#include "http/tls_stream.h"
#include "io/sim_files.h"
#include "io/sim_loop.h"
#include "link/publisher.h"
#include "policy/serialize.h"

namespace wary::federation::test {

class SeededRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out)
      byte = static_cast<std::uint8_t>((state_ = state_ * 6364136223846793005ULL + 1) >> 56);
  }

 private:
  std::uint64_t state_ = 42;
};

// A trust domain's (or a web CA's) root, and what it certifies.
struct Authority {
  io::SimWorld& sim;
  std::string trust_domain;
  crypto::PrivateKey key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  Bytes root = *crypto::create_ca(
      {.common_name = "test", .trust_domain = trust_domain, .not_before = now(-3600), .not_after = now(100 * 86400)},
      key);

  UnixTime now(std::int64_t seconds) const { return {sim.clock().unix_time().nanos + seconds * kNanosPerSecond}; }
  std::vector<Bytes> certify(ByteView csr, const std::string& spiffe_id, const std::string& name = "") const {
    crypto::LeafOptions leaf;
    leaf.spiffe_id = spiffe_id;
    if (!name.empty()) leaf.dns_names = {name};
    leaf.not_before = now(-60);
    leaf.not_after = now(3600);
    return {*crypto::issue_leaf(root, key, csr, leaf)};
  }
  crypto::TlsServerContext server(const std::string& spiffe_id, const std::string& name = "") const {
    auto own = std::make_shared<crypto::PrivateKey>(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
    const Bytes csr = *crypto::make_csr(*own, "server");
    crypto::TlsServerOptions options;
    options.sites.push_back({{}, {certify(csr, spiffe_id, name), std::move(own)}});
    return *crypto::TlsServerContext::build(std::move(options));
  }
  std::string bundle(std::int64_t sequence, std::int64_t refresh_hint = 60) const {
    spiffe::Bundle out;
    out.trust_domain = trust_domain;
    out.x509_authorities = {root};
    out.sequence = sequence;
    out.refresh_hint_s = refresh_hint;
    return *spiffe::write_bundle(out);
  }
};

struct World {
  io::SimWorld sim{7};
  io::SimFiles files{7};
  SeededRandom random;
  Metrics metrics;
  Authority own{sim, "a.test"}, other{sim, "b.test"}, web{sim, ""};
  std::unique_ptr<io::Loop> above = sim.make_loop(), there = sim.make_loop(), here = sim.make_loop();
  crypto::PrivateKey key = *crypto::PrivateKey::generate(crypto::KeyType::kEd25519);
  io::Address link = io::Address::unix_socket("/link");

  // The control plane.
  std::uint64_t revision = 1;
  std::vector<contract::Entity> entities;
  std::string last_delta;
  std::vector<codec::Json> calls;
  std::string refuses;  // the code of what is handed up
  std::unique_ptr<link::Publisher> publisher;

  // The endpoint, at 127.0.0.1:8443.
  std::optional<crypto::TlsServerContext> context;
  std::string document;
  std::deque<std::pair<int, std::string>> before;  // other answers first: a status and where to
  std::size_t asked = 0;
  bool is_mute = false;  // accepts, and says nothing
  std::vector<std::unique_ptr<io::Stream>> held;
  std::unique_ptr<http::Server> server;
  std::unique_ptr<io::Listener> listener;

  std::unique_ptr<Federation> federation;

  World() {
    REQUIRE(files.make_directory("federation").ok());
    open_publisher();
    context = other.server("spiffe://b.test/server");
    document = other.bundle(1);
    server = std::make_unique<http::Server>(*there, [this](const std::shared_ptr<http::Exchange>& exchange) {
      ++asked;
      if (before.empty()) return exchange->respond(200, {{"Content-Type", "application/json"}}, document);
      const auto [status, location] = before.front();
      before.pop_front();
      exchange->respond(status, {{"Location", location}}, "");
    });
    open_endpoint();
  }
  void open_endpoint() {
    listener = *there->listen(io::Address::tcp("127.0.0.1", 8443), {}, [this](std::unique_ptr<io::Stream> stream) {
      if (is_mute) return held.push_back(std::move(stream));
      server->serve(std::make_unique<http::TlsStream>(*there, std::move(stream), crypto::TlsSession(*context)));
    });
  }
  void open_publisher() {
    link::PublisherHooks hooks;
    hooks.history = "one";
    hooks.revision = [this] { return revision; };
    hooks.now = [this] { return sim.clock().unix_time(); };
    hooks.snapshot = [this] {
      policy::SnapshotContent content;
      content.revision = revision;
      content.entities = entities;
      return policy::serialize_snapshot(content);
    };
    hooks.view_of = [](std::string_view) { return std::string("federation/"); };
    hooks.snapshot_of = [whole = hooks.snapshot](const std::string&) { return whole(); };
    hooks.delta_of = [this](const std::string&) -> std::optional<std::string> { return last_delta; };
    hooks.sign = [this](ByteView message) { return key.sign(message); };
    hooks.is_allowed = [](const io::PeerCredentials&, std::string_view node) {
      return node.empty() || node == "federation/test";
    };
    hooks.on_events = [](const std::string&, link::EventBatch, const std::function<void(Result<link::Receipt>)>&) {};
    hooks.on_call = [this](const std::string&, const codec::Json& call, const std::function<void(codec::Json)>& reply) {
      calls.push_back(call);
      reply(answer(call));
    };
    publisher = std::make_unique<link::Publisher>(*above, std::move(hooks), null_log(), metrics);
    REQUIRE(publisher->listen(link, {}).ok());
  }
  codec::Json answer(const codec::Json& call) {
    if (call.string_or("op", "") == "federation.svid") {
      const Bytes csr = *codec::decode_base64(call.string_or("csr", ""));
      codec::Json chain = codec::Json::array();
      for (const Bytes& one : own.certify(csr, "spiffe://a.test/wary/federation")) {
        chain.push(codec::Json(codec::encode_base64(one)));
      }
      return codec::Json::object({{"chain", std::move(chain)}});
    }
    if (refuses.empty() || call.string_or("op", "") != "bundle.fetched") return codec::Json::object();
    codec::Json error = codec::Json::object({{"code", codec::Json(refuses)}, {"message", "no"}});
    return codec::Json::object({{"error", std::move(error)}});
  }
  void open_federation(bool listens = false) {
    FederationOptions options;
    options.node = "federation/test";
    options.trust_domain = "a.test";
    options.directory = "federation";
    options.link = link;
    options.snapshot_key = key.public_key().raw();
    if (listens) options.listen = io::Address::tcp("127.0.0.1", 9443);
    federation = std::make_unique<Federation>(
        FederationParts{*here, sim.clock(), random, files, null_log(), metrics, [](UnixTime) {},
                        [this] { return crypto::TrustRoots::build({web.root}); }},
        std::move(options));
    REQUIRE(federation->start().ok());
    run(1);
  }
  void run(std::int64_t seconds) { sim.run_for(seconds * kNanosPerSecond); }

  static contract::Entity domain(const std::string& name, const std::string& bundle, const std::string& endpoint) {
    contract::Entity entity;
    entity.tenant = std::string(contract::kDefaultTenant);
    entity.id = {"Wary::TrustDomain", name};
    if (!bundle.empty()) entity.attributes.push_back({"bundle", codec::Json(bundle), "identity", {}, {}, {}});
    if (!endpoint.empty()) {
      entity.attributes.push_back({"endpoint", *codec::parse_json(endpoint), "resource", {}, {}, {}});
    }
    return entity;
  }
  void commit(std::vector<contract::Entity> upserts, std::vector<contract::EntityId> removals = {}) {
    policy::SnapshotDelta delta;
    delta.from = revision;
    delta.to = revision + 1;
    delta.upserts = std::move(upserts);
    delta.removals = std::move(removals);
    last_delta = policy::serialize_delta(delta);
    REQUIRE(publisher->commit(delta.from, delta.to, {1}, last_delta).ok());
    ++revision;
  }
  std::size_t count(std::string_view operation) const {
    std::size_t found = 0;
    for (const codec::Json& call : calls) found += call.string_or("op", "") == operation ? 1U : 0U;
    return found;
  }
  // The code of the last failure that was told.
  std::string failure() const {
    for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
      if (call->string_or("op", "") != "bundle.failed") continue;
      return std::string(call->find("error")->string_or("code", ""));
    }
    return "";
  }
};

inline const std::string kSpiffeEndpoint =
    R"({"url":"https://127.0.0.1:8443/bundle","profile":"https_spiffe","spiffeId":"spiffe://b.test/server"})";
inline const std::string kWebEndpoint = R"({"url":"https://b.localhost:8443/bundle","profile":"https_web"})";

}  // namespace wary::federation::test
