// A change that demands a request's record first, while that request is on its way to its application.
#include <array>

#include "gateway/connection_http2_test_client.h"
#include "http/tls_stream.h"

using namespace wary;
using namespace wary::gateway::test;
using codec::Json;

namespace {

const std::string kRecordFirst =
    "@obligation(\"record_before\") permit (principal == Wary::User::\"alice\", action, resource in "
    "Wary::App::\"demo/site\");";
const std::string kPostHello =
    "POST /up HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\nContent-Length: 5\r\n\r\nhello";

// The site's application, over TLS at a place whose listener lets nobody's handshake begin before it is opened.
struct GatedApp {
  explicit GatedApp(World& the_world, bool http2) : world(the_world) {
    crypto::TlsServerOptions options;
    options.sites.push_back({{"site.test"}, Authority::get().server});
    options.alpn = {"h2", "http/1.1"};
    context = std::make_unique<crypto::TlsServerContext>(*crypto::TlsServerContext::build(std::move(options)));
    listener = *world.app_loop->listen(kPlace, {}, [this, http2](std::unique_ptr<io::Stream> stream) {
      waiting.push_back(std::move(stream));
      if (is_open) let_in(http2);
    });
    std::vector<contract::Fact> facts = {
        make_fact("hosts", Json::array({Json("site.test")})), make_fact("upstream", "https://127.0.0.1:9443"),
        make_fact("upstream_identity", Json::object({{"serverName", Json("site.test")}}))};
    if (http2) facts.push_back(make_fact("protocol", "http2"));
    auto app = make_entity("Wary::App", "demo/site", std::move(facts));
    std::vector<Error> problems;
    const auto verify = [this](const gateway::UpstreamIdentity&,
                               bool is_http2) -> Result<std::shared_ptr<const crypto::TlsClientContext>> {
      crypto::TlsClientOptions client;
      client.alpn = {is_http2 ? "h2" : "http/1.1"};
      client.verify_server =
          crypto::verify_server_name(*crypto::TrustRoots::build({Authority::get().ca}), world.sim.clock());
      WARY_ASSIGN_OR_RETURN(crypto::TlsClientContext made, crypto::TlsClientContext::build(std::move(client)));
      return std::make_shared<const crypto::TlsClientContext>(std::move(made));
    };
    world.worker->post_site(gateway::Site::build({&app}, {}, problems, verify));
    REQUIRE(problems.empty());
    world.change({app});
    world.run(1);
    calls.on_end = [this](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call& call) {
      asked.push_back(call.method + " " + call.path + " " + call.body);
      peer.session.submit_answer(stream, 200, {}, true);
    };
  }
  void open(bool http2) {
    is_open = true;
    while (!waiting.empty()) let_in(http2);
  }
  void let_in(bool http2) {
    auto secure =
        std::make_unique<http::TlsStream>(*world.app_loop, std::move(waiting.back()), crypto::TlsSession(*context));
    waiting.pop_back();
    if (http2) {
      calls.peers.push_back(std::make_unique<Http2TestApp::Peer>(calls, std::move(secure)));
      return;
    }
    io::Stream* raw = secure.get();
    streams.push_back(std::move(secure));
    texts.push_back(std::make_unique<std::string>());
    raw->on_ready([this, raw, &text = *texts.back()](bool, bool) {
      std::array<std::uint8_t, 4096> buffer;
      io::IoCount got = raw->read(buffer);
      for (; got.state == io::IoCount::State::kSome; got = raw->read(buffer)) {
        text += as_text(ByteView(buffer).first(got.count));
      }
      if (got.state != io::IoCount::State::kWouldBlock) raw->want(false, false);
      const std::size_t end = text.find("\r\n\r\n");
      if (end == std::string::npos || (text.starts_with("POST") && !text.ends_with("hello"))) return;
      asked.push_back(text.substr(0, text.find(" HTTP")) + " " + text.substr(end + 4));
      text.clear();
      (void)raw->write(as_bytes(std::string_view("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")));
    });
    raw->want(true, false);
  }

  static inline const io::Address kPlace = io::Address::tcp("127.0.0.1", 9443);
  World& world;
  std::unique_ptr<crypto::TlsServerContext> context;
  std::unique_ptr<io::Listener> listener;
  std::vector<std::unique_ptr<io::Stream>> waiting, streams;
  Http2TestApp calls{*world.app_loop, io::Address::tcp("127.0.0.1", 9444)};
  std::vector<std::unique_ptr<std::string>> texts;  // what each of them said
  std::vector<std::string> asked;
  bool is_open = false;
};

}  // namespace

TEST_CASE("a request that connects to its application meets what a change demands of it") {
  for (const bool posts : {false, true}) {
    World world;
    const auto client = world.plain_client();
    world.sim.hold_connects(true);
    client->send(posts ? kPostHello : World::get("/up"));
    world.run(20);
    REQUIRE(world.sim.held_connects() == 1);
    world.set_policies(kRecordFirst);
    world.run(20);
    world.sim.hold_connects(false);
    world.run(100);
    CHECK(world.site->requests.empty());
    CHECK(client->answers().empty());
    world.give_receipts();
    world.run(50);
    REQUIRE(client->answers().size() == 1);
    CHECK(client->answers()[0].status == 200);
    REQUIRE(world.site->requests.size() == 1);
    CHECK(world.site->requests[0].body == (posts ? "hello" : ""));
    world.check_recorded();
  }
}

TEST_CASE("a request whose event is durable already does not wait for it when a change demands it") {
  World world;
  const auto client = world.plain_client();
  world.sim.hold_connects(true);
  client->send(World::get("/up"));
  world.run(20);
  world.give_receipts();
  world.run(20);
  world.set_policies(kRecordFirst);
  world.run(20);
  world.sim.hold_connects(false);
  world.run(50);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 200);
}

TEST_CASE("a request that is held back for its record is not held for ever, nor past the end of its access") {
  for (const bool revokes : {false, true}) {
    World world;
    const auto client = world.plain_client();
    world.sim.hold_connects(true);
    client->send(World::get("/up"));
    world.run(20);
    world.set_policies(kRecordFirst);
    world.run(20);
    world.sim.hold_connects(false);
    if (revokes) world.revoke("alice");
    world.run(revokes ? 50 : 3'000);
    world.give_receipts();
    world.run(50);
    REQUIRE(client->answers().size() == 1);
    CHECK(client->answers()[0].status == (revokes ? 403 : 504));
    CHECK(world.site->requests.empty());
  }
}

TEST_CASE("a request that waits for its application's TLS meets what a change demands of it") {
  for (const bool http2 : {false, true}) {
    for (const bool posts : {false, true}) {
      CAPTURE(http2);
      CAPTURE(posts);
      World world;
      GatedApp app(world, http2);
      const auto asks = world.client();
      asks->send(posts ? kPostHello : World::get("/up"));
      world.run(50);
      REQUIRE(app.waiting.size() == 1);
      world.set_policies(kRecordFirst);
      world.run(50);
      app.open(http2);
      world.run(200);
      CHECK(app.asked.empty());
      CHECK(asks->answers().empty());
      world.give_receipts();
      world.run(200);
      REQUIRE(asks->answers().size() == 1);
      CHECK(asks->answers()[0].status == 200);
      REQUIRE(app.asked.size() == 1);
      CHECK(app.asked[0] == (posts ? "POST /up hello" : "GET /up "));
    }
  }
}

TEST_CASE("a request that connects to its application is held back by what its Route or its App says of the record") {
  for (const bool by_app : {false, true}) {
    World world;
    const auto client = world.plain_client();
    world.sim.hold_connects(true);
    client->send(World::get("/open"));
    world.run(20);
    REQUIRE(world.sim.held_connects() == 1);
    const policy::SnapshotPtr snapshot = world.shared.snapshot.current();
    contract::Entity app = *snapshot->find_entity({"Wary::App", "demo/site"});
    contract::Entity route = *snapshot->find_entity({"Wary::Route", "demo/open"});
    std::erase_if(route.attributes, [](const contract::Fact& fact) { return fact.name == "record"; });
    (by_app ? app : route).attributes.push_back(make_fact("record", "before"));
    world.change({app, route});
    world.run(20);
    world.sim.hold_connects(false);
    world.run(100);
    CHECK(world.site->requests.empty());
    world.give_receipts();
    world.run(50);
    REQUIRE(client->answers().size() == 1);
    CHECK(client->answers()[0].status == 200);
  }
}

TEST_CASE(
    "what waits behind others for a connection that they share is held back, and asked again where it has a body") {
  World world;
  Http2TestApp app(*world.app_loop, io::Address::tcp("127.0.0.1", 9002));
  Http2TestClient client(world, "grpc.test");
  const auto upload = client.send(client.head("POST", "/upload"), "first", false);
  client.run(20);
  REQUIRE(app.peers.size() == 1);
  app.peers[0]->stream->want(false, false);  // reads no more
  for (int i = 0; i < 10; ++i) {
    client.write(upload, std::string(20'000, 'x'));
    client.run(20);
  }
  const auto gets = client.send(client.head("GET", "/get"));
  const auto posts = client.send(client.head("POST", "/post"), "hello");
  client.run(20);
  world.set_policies(
      "@obligation(\"record_before\") permit (principal == Wary::User::\"alice\", action, resource in "
      "Wary::App::\"demo/grpc\");");
  client.run(50);
  CHECK(client.answer(posts).status == 503);
  CHECK(client.answer(posts).body.find("policy_changed") != std::string::npos);
  CHECK(client.answer(gets).status == 0);
  CHECK_FALSE(client.answer(upload).closed);  // it is with the application
  app.peers[0]->ready();
  client.run(200);
  CHECK(client.answer(gets).status == 0);
  world.give_receipts();
  client.run(100);
  CHECK(client.answer(gets).status == 200);
  std::string asked;
  for (const auto& [stream, call] : app.peers[0]->calls) asked += call.path + " ";
  CHECK(asked == "/upload /get ");
}
