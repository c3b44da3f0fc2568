// A whole edge on real sockets: what it does when the control plane's side of it fails.
#include "gateway/edge.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "crypto/x509.h"
#include "http/tls_stream.h"
#include "io/system.h"
#include "link/publisher.h"
#include "policy/serialize.h"

using namespace wary;
using codec::Json;

namespace {

// An edge, the control plane's end of its link, and a signer that may be away, all on one loop.
struct EdgeWorld {
  EdgeWorld() {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    const UnixTime now = clock->unix_time();
    ca = *crypto::create_ca({"CA", "local", {now.nanos - 3600 * kNanosPerSecond}, {now.nanos + 3600 * kNanosPerSecond}},
                            ca_key);
    content.revision = 1;
    link::PublisherHooks hooks;
    hooks.history = "one";
    hooks.revision = [this] { return content.revision; };
    hooks.now = [this] { return clock->unix_time(); };
    hooks.snapshot = [this] { return policy::serialize_snapshot(content); };
    hooks.sign = [this](ByteView message) { return link_key.sign(message); };
    hooks.is_allowed = [](const io::PeerCredentials&, std::string_view) { return true; };
    hooks.on_events = [](const std::string&, const link::EventBatch& batch, const auto& done) {
      done(link::Receipt{batch.boot, batch.first_sequence + batch.events.size() - 1});
    };
    hooks.on_call = [](const std::string&, const Json&, const std::function<void(Json)>& reply) { reply(Json()); };
    publisher = std::make_unique<link::Publisher>(*loop, hooks, null_log(), metrics);
    REQUIRE(publisher->listen(io::Address::unix_socket(folder + "/link.sock"), {}).ok());
  }
  ~EdgeWorld() {
    edge.reset();
    std::filesystem::remove_all(folder);
  }

  void serve(std::vector<contract::Fact> facts, std::string name = "demo/site") {
    contract::Entity app;
    app.tenant = "local";
    app.id = {"Wary::App", std::move(name)};
    app.attributes = std::move(facts);
    content.entities.push_back(std::move(app));
  }
  // What was added since `before` goes to the edge.
  void publish(const policy::SnapshotContent& before) {
    content.revision = before.revision + 1;
    const std::string delta = policy::serialize_delta(policy::delta_between(before, content));
    REQUIRE(publisher->commit(before.revision, content.revision, clock->monotonic(), delta).ok());
  }
  static contract::Fact fact(std::string name, Json value) {
    return {std::move(name), std::move(value), "test", {}, {}, {}};
  }

  void start() {
    gateway::EdgeOptions options;
    options.directory = folder;
    options.listen = io::Address::tcp("127.0.0.1", 0);
    // A port that is free just now; the edge needs to know its own.
    {
      auto taken = loop->listen(options.listen, {}, [](std::unique_ptr<io::Stream>) {});
      REQUIRE(taken.ok());
      options.listen = (*taken)->address();
    }
    address = options.listen;
    options.link = io::Address::unix_socket(folder + "/link.sock");
    options.console_origin = "https://console.test:" + std::to_string(options.listen.port);
    options.trust_domain = "local";
    options.snapshot_key = link_key.public_key().raw();
    options.workers = 1;
    edge = std::make_unique<gateway::Edge>(
        gateway::EdgeParts{*loop, *clock, *random, *files, null_log(), metrics,
                           [this](ByteView csr, const std::vector<std::string>& names) { return issue(csr, names); },
                           [this] { return trusted(); }, [](UnixTime) {}},
        std::move(options));
    REQUIRE(edge->open().ok());
    REQUIRE(edge->start().ok());
  }
  Result<gateway::ServerCertificate> issue(ByteView csr, const std::vector<std::string>& names) {
    ++asked;
    if (std::find(names.begin(), names.end(), refused) != names.end()) {
      ++refusals;
      return fail(ErrorKind::kDenied, "signer_refused", "this name is not issued");
    }
    std::this_thread::sleep_for(silence);
    if (is_away) return fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer does not answer");
    crypto::LeafOptions leaf;
    leaf.dns_names = names;
    leaf.not_before = {clock->unix_time().nanos - 60 * kNanosPerSecond};
    leaf.not_after = {clock->unix_time().nanos + life};
    ++issued;
    WARY_ASSIGN_OR_RETURN(Bytes made, crypto::issue_leaf(ca, ca_key, csr, leaf));
    return gateway::ServerCertificate{{std::move(made)}, leaf.not_after};
  }
  Result<gateway::TrustedRoots> trusted() {
    if (is_away) return fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer does not answer");
    return gateway::TrustedRoots{{ca}, 1};
  }

  // Runs the loop until it holds; false when that takes longer.
  bool until(const std::function<bool()>& holds, std::int64_t seconds = 20) {
    const std::int64_t end = clock->monotonic().nanos + seconds * kNanosPerSecond;
    while (!holds()) {
      if (clock->monotonic().nanos > end) return false;
      loop->after(20 * kNanosPerMilli, [this] { loop->stop(); });
      loop->run();
    }
    return true;
  }
  // Whether a client that verifies the name can shake hands with the edge.
  bool shakes_hands() {
    crypto::TlsClientOptions options;
    options.verify_server = crypto::verify_server_name(*crypto::TrustRoots::build({ca}), *clock);
    const auto context = *crypto::TlsClientContext::build(std::move(options));
    std::unique_ptr<io::Stream> secure;
    bool written = false;
    std::size_t ready = 0;
    loop->connect(address, kNanosPerSecond, [&](Result<std::unique_ptr<io::Stream>> stream) {
      ++ready;
      if (!stream) return;
      ready = 0;
      secure = std::make_unique<http::TlsStream>(*loop, std::move(*stream), crypto::TlsSession(context, "site.test"));
      secure->on_ready([&](bool, bool writable) {
        ++ready;
        written = writable &&
                  secure->write(as_bytes(std::string_view("GET / HTTP/1.1\r\n"))).state != io::IoCount::State::kFailed;
      });
      secure->want(false, true);
    });
    REQUIRE(until([&] { return ready > 0; }));
    return written;
  }

  std::string folder = (std::filesystem::temp_directory_path() / "wary-edge-XXXXXX").string();
  std::unique_ptr<Clock> clock = io::make_system_clock();
  std::unique_ptr<Random> random = io::make_system_random();
  std::unique_ptr<io::Files> files = io::make_real_files();
  std::unique_ptr<io::Loop> loop = io::make_epoll_loop(*clock);
  Metrics metrics;
  crypto::PrivateKey ca_key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  crypto::PrivateKey link_key = *crypto::PrivateKey::generate(crypto::KeyType::kEd25519);
  Bytes ca;
  policy::SnapshotContent content;
  std::unique_ptr<link::Publisher> publisher;
  std::unique_ptr<gateway::Edge> edge;
  io::Address address;
  bool is_away = false;
  std::chrono::milliseconds silence{0};  // before each answer about names
  std::string refused;                   // a name that is never issued
  std::int64_t life = 1800 * kNanosPerSecond;
  std::size_t asked = 0, issued = 0, refusals = 0;
};

}  // namespace

TEST_CASE("an edge whose signer was away when names came serves them as soon as it is there") {
  EdgeWorld world;
  world.serve({EdgeWorld::fact("hosts", Json::array({Json("site.test")})),
               EdgeWorld::fact("upstream", Json("http://127.0.0.1:9"))});
  world.is_away = true;
  world.start();
  REQUIRE(world.until([&] { return world.asked > 0; }));
  CHECK_FALSE(world.shakes_hands());
  world.is_away = false;
  REQUIRE(world.until([&] { return world.asked > 1; }));
  CHECK(world.until([&] { return world.shakes_hands(); }));
}

TEST_CASE("an application that is verified by roots that could not be read is served as soon as they can be") {
  EdgeWorld world;
  world.serve({EdgeWorld::fact("hosts", Json::array({Json("site.test")})),
               EdgeWorld::fact("upstream", Json("https://127.0.0.1:9")),
               EdgeWorld::fact("upstream_identity", Json::object({{"spiffeId", Json("spiffe://local/demo/site")}}))});
  world.is_away = true;
  world.start();
  CHECK_FALSE(world.until([&] { return world.edge->resource_of("site.test", "/").has_value(); }, 1));
  world.is_away = false;
  CHECK(world.until([&] { return world.edge->resource_of("site.test", "/").has_value(); }));
}

TEST_CASE("a name that cannot be had does not end the certificate of those that are served") {
  EdgeWorld world;
  const auto site = [](std::string host) {
    return std::vector<contract::Fact>{EdgeWorld::fact("hosts", Json::array({Json(std::string_view(host))})),
                                       EdgeWorld::fact("upstream", Json("http://127.0.0.1:9"))};
  };
  world.serve(site("site.test"));
  world.life = 3 * kNanosPerSecond;  // asked for again after a third of that
  world.start();
  REQUIRE(world.until([&] { return world.shakes_hands(); }));
  world.refused = "unfit.test";
  const policy::SnapshotContent before = world.content;
  world.serve(site("unfit.test"), "demo/unfit");
  world.publish(before);
  REQUIRE(world.until([&] { return world.refusals > 0; }));
  const std::size_t issued = world.issued;
  REQUIRE(world.until([&] { return world.issued > issued + 1; }, 10));
  CHECK(world.shakes_hands());
}

TEST_CASE("a signer that hangs is not waited for all the time: what else the loop has to do is done") {
  EdgeWorld world;
  world.serve({EdgeWorld::fact("hosts", Json::array({Json("site.test")})),
               EdgeWorld::fact("upstream", Json("http://127.0.0.1:9"))});
  world.is_away = true;
  world.silence = std::chrono::milliseconds(300);
  world.start();
  REQUIRE(world.until([&] { return world.asked > 0; }));
  CHECK_FALSE(world.until([&] { return world.asked > 3; }, 4));
  world.is_away = false;
  CHECK(world.until([&] { return world.shakes_hands(); }));
}
