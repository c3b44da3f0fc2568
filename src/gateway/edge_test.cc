// A whole edge on real sockets: what it does when the control plane's side of it fails.
#include "gateway/edge.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
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
                           [this] { return trusted(); }, [](UnixTime) {}, nullptr,
                           [this](ByteView csr, const std::string& id) { return issue_own(csr, id); }},
        std::move(options));
    REQUIRE(edge->open().ok());
    REQUIRE(edge->start().ok());
  }
  Result<gateway::IssuedCertificate> issue(ByteView csr, const std::vector<std::string>& names) {
    ++asked;
    if (std::find(names.begin(), names.end(), refused.load()) != names.end()) {
      ++refusals;
      return fail(ErrorKind::kDenied, "signer_refused", "this name is not issued");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(silence_ms));
    if (is_away) return fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer does not answer");
    crypto::LeafOptions leaf;
    leaf.dns_names = names;
    leaf.not_before = {clock->unix_time().nanos - 60 * kNanosPerSecond};
    leaf.not_after = {clock->unix_time().nanos + life};
    ++issued;
    WARY_ASSIGN_OR_RETURN(Bytes made, crypto::issue_leaf(ca, ca_key, csr, leaf));
    return gateway::IssuedCertificate{{std::move(made)}, leaf.not_after};
  }
  Result<gateway::IssuedCertificate> issue_own(ByteView csr, const std::string& id) {
    ++own_asked;
    if (is_away || refuses_own)
      return fail(ErrorKind::kUnavailable, "signer_unavailable", "the signer does not answer");
    crypto::LeafOptions leaf;
    leaf.spiffe_id = id;
    leaf.not_before = {clock->unix_time().nanos - 60 * kNanosPerSecond};
    leaf.not_after = {clock->unix_time().nanos + own_life};
    WARY_ASSIGN_OR_RETURN(Bytes made, crypto::issue_leaf(ca, ca_key, csr, leaf));
    return gateway::IssuedCertificate{{std::move(made)}, leaf.not_after};
  }
  Result<gateway::TrustedRoots> trusted() {
    ++trusted_asked;
    std::this_thread::sleep_for(std::chrono::milliseconds(silence_ms));
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
  // An application that demands a certificate; it answers each connection once, and keeps what it was shown.
  void start_demanding_app() {
    crypto::LeafOptions leaf;
    leaf.spiffe_id = "spiffe://local/demo/site";
    leaf.not_before = {clock->unix_time().nanos - 60 * kNanosPerSecond};
    leaf.not_after = {clock->unix_time().nanos + 3600 * kNanosPerSecond};
    auto key = std::make_shared<const crypto::PrivateKey>(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
    crypto::TlsServerOptions options;
    options.sites.push_back(
        {{"site"}, {{*crypto::issue_leaf(ca, ca_key, *crypto::make_csr(*key, ""), leaf)}, std::move(key)}});
    options.alpn = {"http/1.1"};
    options.client_auth = crypto::ClientAuth::kRequired;
    options.verify_client = [this, verify = crypto::verify_svid(*crypto::TrustRoots::build({ca}), "local",
                                                                crypto::VerifyOptions::Use::kClient, *clock)](
                                const std::vector<Bytes>& chain, std::string_view name) {
      auto peer = verify(chain, name);
      if (peer) shown.push_back((*peer)->der);
      if (peer) shown_ids.push_back(crypto::check_svid(**peer)->to_string());
      return peer;
    };
    app_context = std::make_unique<crypto::TlsServerContext>(*crypto::TlsServerContext::build(std::move(options)));
    app = *loop->listen(io::Address::tcp("127.0.0.1", 0), {}, [this](std::unique_ptr<io::Stream> stream) {
      app_streams.push_back(
          std::make_unique<http::TlsStream>(*loop, std::move(stream), crypto::TlsSession(*app_context)));
      io::Stream* raw = app_streams.back().get();
      raw->on_ready([raw](bool readable, bool writable) {
        constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        std::array<std::uint8_t, 4096> buffer;
        // Once asked, it answers; what is not taken is given again.
        if (readable) {
          const io::IoCount got = raw->read(buffer);
          const bool is_over = got.state != io::IoCount::State::kSome && got.state != io::IoCount::State::kWouldBlock;
          if (got.state == io::IoCount::State::kSome || is_over) raw->want(false, !is_over);
        } else if (writable && raw->write(as_bytes(kAnswer)).state != io::IoCount::State::kWouldBlock) {
          raw->want(false, false);
        }
      });
      raw->want(true, false);
    });
    serve({fact("hosts", Json::array({Json("site.test")})),
           fact("upstream", Json("https://" + app->address().to_string())),
           fact("upstream_identity", Json::object({{"spiffeId", Json("spiffe://local/demo/site")}}))});
    content.policies = {{"all", "permit (principal, action, resource);", "all.cedar", 1}};
    for (const auto& [type, id] : {std::pair("Wary::Action", "GET"), std::pair("Wary::Anonymous", "anonymous")}) {
      contract::Entity entity;
      entity.tenant = "local";
      entity.id = {type, id};
      content.entities.push_back(std::move(entity));
    }
  }
  // The status of an answer to GET /, by a client that verifies the edge; 0 without one.
  int ask() {
    crypto::TlsClientOptions options;
    options.verify_server = crypto::verify_server_name(*crypto::TrustRoots::build({ca}), *clock);
    const auto context = *crypto::TlsClientContext::build(std::move(options));
    std::unique_ptr<io::Stream> secure;
    std::string received;
    bool over = false;
    loop->connect(address, kNanosPerSecond, [&](Result<std::unique_ptr<io::Stream>> stream) {
      over = !stream;
      if (over) return;
      secure = std::make_unique<http::TlsStream>(*loop, std::move(*stream), crypto::TlsSession(context, "site.test"));
      secure->on_ready([&](bool readable, bool writable) {
        std::array<std::uint8_t, 4096> buffer;
        const std::string_view asks = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";
        if (writable && secure->write(as_bytes(asks)).state == io::IoCount::State::kSome) secure->want(true, false);
        if (!readable) return;
        const io::IoCount got = secure->read(buffer);
        if (got.state == io::IoCount::State::kSome) received += as_text(ByteView(buffer).first(got.count));
        over = got.state != io::IoCount::State::kWouldBlock;
      });
      secure->want(false, true);
    });
    REQUIRE(until([&] { return over; }));
    return received.starts_with("HTTP/1.1 ") ? std::stoi(received.substr(9, 3)) : 0;
  }
  // Whether a client that verifies the name can shake hands with the edge. It says this then, and stays.
  bool shakes_hands(std::string_view says = "GET / HTTP/1.1\r\n", std::string name = "site.test") {
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
      secure = std::make_unique<http::TlsStream>(*loop, std::move(*stream), crypto::TlsSession(context, name));
      secure->on_ready([&](bool, bool writable) {
        ++ready;
        written = writable && secure->write(as_bytes(says)).state != io::IoCount::State::kFailed;
        secure->want(false, false);
        loop->stop();
      });
      secure->want(false, true);
    });
    REQUIRE(until([&] { return ready > 0; }));
    if (!secure) return false;
    secure->on_ready([](bool, bool) {});
    clients.push_back(std::move(secure));
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
  // The signer's functions are called on a thread of the edge's.
  std::atomic<bool> is_away{false}, refuses_own{false};
  std::atomic<int> silence_ms{0};         // before each answer
  std::atomic<const char*> refused{"-"};  // a name that is never issued
  std::int64_t life = 1800 * kNanosPerSecond;
  std::atomic<std::size_t> asked{0}, issued{0}, refusals{0}, own_asked{0}, trusted_asked{0};
  std::unique_ptr<crypto::TlsServerContext> app_context;
  std::unique_ptr<io::Listener> app;
  std::vector<std::unique_ptr<io::Stream>> app_streams;
  std::vector<std::unique_ptr<io::Stream>> clients;
  std::vector<Bytes> shown;            // certificates of the edge, one for each connection to the application
  std::vector<std::string> shown_ids;  // whose they are
  std::int64_t own_life = 1800 * kNanosPerSecond;
};

}  // namespace

TEST_CASE("an edge whose signer was away when names came serves them as soon as it is there") {
  EdgeWorld world;
  world.serve({EdgeWorld::fact("hosts", Json::array({Json("site.test")})),
               EdgeWorld::fact("upstream", Json("http://127.0.0.1:9"))});
  world.is_away = true;
  world.start();
  REQUIRE(world.until([&] { return world.trusted_asked > 1; }));
  CHECK_FALSE(world.shakes_hands());
  world.is_away = false;
  REQUIRE(world.until([&] { return world.asked > 0; }));
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

TEST_CASE("a signer that hangs delays nothing that the edge's loop has to do") {
  EdgeWorld world;
  const auto site = [](std::string host) {
    return std::vector<contract::Fact>{EdgeWorld::fact("hosts", Json::array({Json(std::string_view(host))})),
                                       EdgeWorld::fact("upstream", Json("http://127.0.0.1:9"))};
  };
  world.serve(site("site.test"));
  world.start();
  REQUIRE(world.until([&] { return world.shakes_hands(); }));
  world.silence_ms = 3'000;
  // The longest time between two turns of the loop, while a name is asked for that cannot be had.
  std::int64_t last = world.clock->monotonic().nanos, longest = 0;
  std::function<void()> tick = [&] {
    const std::int64_t now = world.clock->monotonic().nanos;
    longest = std::max(longest, now - std::exchange(last, now));
    world.loop->after(5 * kNanosPerMilli, tick);
  };
  tick();
  const std::size_t asked = world.asked;
  const policy::SnapshotContent before = world.content;
  world.serve(site("new.test"), "demo/new");
  world.publish(before);
  REQUIRE(world.until([&] { return world.asked > asked; }));
  // What comes meanwhile is served, and who is served already shakes hands.
  const policy::SnapshotContent second = world.content;
  world.serve(site("newer.test"), "demo/newer");
  world.publish(second);
  CHECK(world.until([&] { return world.edge->resource_of("newer.test", "/").has_value(); }, 2));
  CHECK(world.shakes_hands());
  CHECK(world.issued == 1);
  REQUIRE(world.until([&] { return world.issued > 1; }));
  CHECK(longest < 2 * kNanosPerSecond);
  CHECK(world.until([&] { return world.shakes_hands("GET / HTTP/1.1\r\n", "newer.test"); }));
  tick = [] {};
  world.edge->stop();
}

TEST_CASE("with the signer away a site that changes keeps what it serves, and what is new is served when it is back") {
  EdgeWorld world;
  world.start_demanding_app();
  world.start();
  REQUIRE(world.until([&] { return world.shakes_hands(); }));
  REQUIRE(world.until([&] { return world.ask() == 200; }, 5));
  world.is_away = true;
  const policy::SnapshotContent before = world.content;
  world.serve({EdgeWorld::fact("hosts", Json::array({Json("new.test")})),
               EdgeWorld::fact("upstream", Json("https://127.0.0.1:9")),
               EdgeWorld::fact("upstream_identity", Json::object({{"spiffeId", Json("spiffe://local/demo/new")}}))},
              "demo/new");
  world.publish(before);
  const std::size_t asked = world.asked;
  REQUIRE(world.until([&] { return world.asked > asked + 1; }));  // and again
  CHECK(world.edge->resource_of("site.test", "/").has_value());
  CHECK(world.edge->resource_of("new.test", "/").has_value());
  CHECK(world.ask() == 200);
  CHECK_FALSE(world.shakes_hands("GET / HTTP/1.1\r\n", "new.test"));
  world.is_away = false;
  CHECK(world.until([&] { return world.shakes_hands("GET / HTTP/1.1\r\n", "new.test"); }));
  CHECK(world.ask() == 200);
}

TEST_CASE("what a worker asked of the control plane last is nobody's when the edge has stopped") {
  EdgeWorld world;
  world.serve({EdgeWorld::fact("hosts", Json::array({Json("site.test")})),
               EdgeWorld::fact("upstream", Json("http://127.0.0.1:9"))});
  world.start();
  REQUIRE(world.until([&] {
    return world.shakes_hands(
        "GET /.wary/continue?code=a HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_state=b\r\n\r\n");
  }));
  // One turn, in which it leaves. The worker's thread has asked then, and this one has not heard.
  world.loop->post([&] { world.loop->stop(); });
  world.loop->run();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  world.edge->stop();
  CHECK_FALSE(world.until([] { return false; }, 1));
}

TEST_CASE("an application that demands a certificate is shown the edge's own") {
  EdgeWorld world;
  world.start_demanding_app();
  world.start();
  REQUIRE(world.until([&] { return world.shakes_hands(); }));
  CHECK(world.until([&] { return world.ask() == 200; }, 5));
  REQUIRE(world.shown_ids.size() == 1);
  CHECK(world.shown_ids[0] == "spiffe://local/wary/edge/local");
  CHECK(world.own_asked == 1);
}

TEST_CASE("the edge's own certificate is asked for anew before it ends, and shown from then on") {
  EdgeWorld world;
  world.own_life = 3 * kNanosPerSecond;  // asked for again after a third of that
  world.start_demanding_app();
  world.start();
  REQUIRE(world.until([&] { return world.shakes_hands(); }));
  REQUIRE(world.until([&] { return world.ask() == 200; }, 5));
  const std::size_t asked = world.own_asked;
  REQUIRE(world.until([&] { return world.own_asked > asked + 3; }, 15));
  CHECK(world.ask() == 200);  // long after the first has ended
  CHECK(world.shown.back() != world.shown.front());
}

TEST_CASE("a signer whose certificates have ended as they come is asked once a second, not all the time") {
  EdgeWorld world;
  world.own_life = world.life = -kNanosPerSecond;
  world.start_demanding_app();
  world.start();
  REQUIRE(world.until([&] { return world.own_asked > 0 && world.issued > 0; }));
  CHECK_FALSE(world.until([&] { return world.own_asked > 6 || world.issued > 6; }, 3));
}

TEST_CASE("an edge that could not have its own certificate shows it as soon as it has it") {
  EdgeWorld world;
  world.refuses_own = true;
  world.start_demanding_app();
  world.start();
  REQUIRE(world.until([&] { return world.shakes_hands(); }));
  REQUIRE(world.until([&] { return world.own_asked > 1; }));
  CHECK(world.ask() == 502);
  world.refuses_own = false;
  CHECK(world.until([&] { return world.ask() == 200; }, 10));
}

TEST_CASE("a signer that does not answer is asked once for a site, however many applications there are") {
  for (const bool is_away : {true, false}) {
    EdgeWorld world;
    world.is_away = is_away;  // or of the edge's own certificate alone
    world.refuses_own = true;
    for (const std::string name : {"a", "b", "c", "d", "e"}) {
      world.serve(
          {EdgeWorld::fact("hosts", Json::array({Json(name + ".test")})),
           EdgeWorld::fact("upstream", Json("https://127.0.0.1:9")),
           EdgeWorld::fact("upstream_identity", Json::object({{"spiffeId", Json("spiffe://local/demo/" + name)}}))},
          "demo/" + name);
    }
    world.start();
    const std::atomic<std::size_t>& asked = is_away ? world.trusted_asked : world.own_asked;
    REQUIRE(world.until([&] { return asked > 0; }));
    CHECK(asked <= 2);  // at once, and when the site was built
    CHECK(world.until([&] { return world.edge->resource_of("e.test", "/").has_value() != is_away; }));
    const std::size_t before = asked;
    CHECK_FALSE(world.until([&] { return asked > before + 3; }, 2));  // every second
    world.is_away = world.refuses_own = false;
    CHECK(world.until([&] { return world.own_asked > 0 && world.edge->resource_of("e.test", "/").has_value(); }));
  }
}

TEST_CASE("the edge's own certificate is shown to workloads of ours alone, unless an App says so") {
  const auto shows = [](Json identity) {
    contract::Entity entity;
    entity.id = {"Wary::App", "demo/site"};
    entity.attributes = {EdgeWorld::fact("hosts", Json::array({Json("site.test")})),
                         EdgeWorld::fact("upstream", Json("https://127.0.0.1:9")),
                         EdgeWorld::fact("upstream_identity", std::move(identity))};
    std::vector<Error> problems;
    bool shown = false;
    const auto site = gateway::Site::build(
        {&entity}, {}, problems,
        [&](const gateway::UpstreamIdentity& who, bool) -> Result<std::shared_ptr<const crypto::TlsClientContext>> {
          shown = who.shows_own;
          return std::shared_ptr<const crypto::TlsClientContext>();
        });
    REQUIRE(problems.empty());
    return shown;
  };
  const auto workload = Json::object({{"spiffeId", Json("spiffe://local/demo/site")}});
  const auto other = Json::object({{"serverName", Json("x.test")}, {"roots", Json("pem")}});
  const auto saying = [](Json identity, bool what) { return std::move(identity.set("clientCertificate", what)); };
  CHECK(shows(workload));
  CHECK_FALSE(shows(saying(workload, false)));
  CHECK_FALSE(shows(other));
  CHECK(shows(saying(other, true)));
}
