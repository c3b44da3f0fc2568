// How an application is reached: its places, their health, retries, time limits, limits of rate and size; and what
// browsers are told of TLS.
#include <array>

#include "gateway/connection_http2_test_client.h"

using namespace wary;
using namespace wary::gateway::test;
using codec::Json;

namespace {

// What verifies an application, by the world's authority; as the edge makes it.
gateway::UpstreamTls verifier(World& world) {
  return [&world](const gateway::UpstreamIdentity& identity,
                  bool is_http2) -> Result<std::shared_ptr<const crypto::TlsClientContext>> {
    auto roots = *crypto::TrustRoots::build({Authority::get().ca});
    crypto::TlsClientOptions options;
    options.alpn = {is_http2 ? "h2" : "http/1.1"};
    options.verify_server = identity.spiffe_id.empty()
                                ? crypto::verify_server_name(std::move(roots), world.sim.clock())
                                : crypto::verify_svid_of(std::move(roots), "local", identity.spiffe_id,
                                                         crypto::VerifyOptions::Use::kServer, world.sim.clock());
    WARY_ASSIGN_OR_RETURN(crypto::TlsClientContext made, crypto::TlsClientContext::build(std::move(options)));
    return std::make_shared<const crypto::TlsClientContext>(std::move(made));
  };
}

crypto::TlsServerContext server_as(const crypto::TlsIdentity& identity) {
  crypto::TlsServerOptions options;
  options.sites.push_back({{"site.test"}, identity});
  options.alpn = {"h2", "http/1.1"};
  return *crypto::TlsServerContext::build(std::move(options));
}

// The site's application with these facts beside its names, served by the worker from now on.
void serve(World& world, std::vector<contract::Fact> facts, const std::string& upstream = "http://127.0.0.1:9000") {
  facts.push_back(make_fact("hosts", Json::array({Json("site.test")})));
  facts.push_back(make_fact("upstream", upstream));
  auto app = make_entity("Wary::App", "demo/site", std::move(facts));
  std::vector<Error> problems;
  world.worker->post_site(gateway::Site::build({&app}, {}, problems, verifier(world)));
  REQUIRE(problems.empty());
  world.change({app});
  world.run(1);
}

contract::Fact more_places(std::initializer_list<const char*> places) {
  Json list = Json::array();
  for (const char* place : places) list.push(Json(place));
  return make_fact("upstreams", std::move(list));
}

Json record(std::initializer_list<std::pair<const char*, Json>> members) {
  Json out = Json::object();
  for (const auto& [name, value] : members) out.set(name, value);
  return out;
}

std::string error_code(const Client::Answer& answer) {
  const auto json = codec::parse_json(answer.body);
  const Json* error = json.ok() ? json->find("error") : nullptr;
  return error != nullptr ? std::string(error->string_or("code", "")) : "";
}

const std::string kPost =
    "POST /up HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\nContent-Length: ";

}  // namespace

TEST_CASE("requests are shared between the places of an application") {
  World world;
  TestApp second(*world.app_loop, io::Address::tcp("127.0.0.1", 9003));
  serve(world, {more_places({"http://127.0.0.1:9003"})});
  for (int i = 0; i < 40; ++i) {
    const auto client = world.ask("/x");
    REQUIRE(client->answers().at(0).status == 200);
  }
  CHECK(world.site->requests.size() >= 8);
  CHECK(second.requests.size() >= 8);
  CHECK(world.site->requests.size() + second.requests.size() == 40);
}

TEST_CASE("the place with fewer requests at work is given the next one") {
  World world;
  TestApp second(*world.app_loop, io::Address::tcp("127.0.0.1", 9003));
  world.site->on_request = [](AppStream&, const AppRequest&) {};  // never answers
  serve(world, {more_places({"http://127.0.0.1:9003"})});
  std::vector<std::unique_ptr<Client>> waiting;
  for (int i = 0; i < 60; ++i) waiting.push_back(world.ask("/x"));
  // By chance alone both picks are the stuck place one time in four, until it is known to be busy; never after.
  CHECK(world.site->requests.size() <= 25);
  CHECK(second.requests.size() >= 35);
}

TEST_CASE("a place that takes no connection costs nobody their request, and is left out for a while") {
  for (const bool posts : {false, true}) {
    World world;
    serve(world, {more_places({"http://127.0.0.1:9000"})}, "http://127.0.0.1:9777");
    for (int i = 0; i < 30; ++i) {
      const auto client = world.client();
      client->send(posts ? kPost + "5\r\n\r\nhello" : World::get("/x"));
      world.run(30);
      REQUIRE(client->answers().size() == 1);
      CHECK(client->answers()[0].status == 200);
    }
    CHECK(world.site->requests.size() == 30);
    if (posts) CHECK(world.site->requests[29].body == "hello");
  }
}

TEST_CASE("retries stay within their budget, and without one there are none") {
  World world;
  serve(world,
        {more_places({"http://127.0.0.1:9778"}), make_fact("retries", record({{"attempts", Json(std::int64_t{1})}}))},
        "http://127.0.0.1:9777");
  const auto client = world.ask("/x");
  CHECK(client->answers().at(0).status == 502);
  CHECK(error_code(client->answers()[0]) == "upstream_unreachable");
  World other;
  serve(other,
        {more_places({"http://127.0.0.1:9778"}), make_fact("retries", record({{"attempts", Json(std::int64_t{5})}}))},
        "http://127.0.0.1:9777");
  const auto all = other.ask("/x");
  CHECK(all->answers().at(0).status == 502);
}

TEST_CASE("a place that its health check finds ill is left out, and used again when it is well") {
  World world;
  TestApp second(*world.app_loop, io::Address::tcp("127.0.0.1", 9003));
  bool ill = true;
  std::size_t served = 0;
  second.on_request = [&](AppStream& stream, const AppRequest& request) {
    if (request.target != "/healthz") ++served;
    const bool fails = request.target == "/healthz" && ill;
    // Interim answers say nothing about it, whichever they are.
    if (request.target == "/healthz") stream.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    stream.send(fails ? "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
                      : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  serve(world, {more_places({"http://127.0.0.1:9003"}),
                make_fact("health", record({{"path", Json("/healthz")}, {"interval", Json(std::int64_t{500})}}))});
  world.run(4'000);
  for (int i = 0; i < 20; ++i) REQUIRE(world.ask("/x")->answers().at(0).status == 200);
  CHECK(served == 0);
  ill = false;
  world.run(4'000);
  for (int i = 0; i < 40; ++i) REQUIRE(world.ask("/x")->answers().at(0).status == 200);
  CHECK(served >= 8);
  REQUIRE_FALSE(second.requests.empty());
  CHECK(second.requests[0].host == "site.test");
  CHECK(second.requests[0].field("wary-principal").empty());
}

TEST_CASE("when every place is ill they are all used: a broken health check must not end an application") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    stream.send(request.target == "/healthz" ? "HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n"
                                             : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  TestApp second(*world.app_loop, io::Address::tcp("127.0.0.1", 9003));
  second.on_request = world.site->on_request;
  serve(world, {more_places({"http://127.0.0.1:9003"}),
                make_fact("health", record({{"path", Json("/healthz")}, {"interval", Json(std::int64_t{500})}}))});
  world.run(4'000);
  CHECK(world.ask("/x")->answers().at(0).status == 200);
}

TEST_CASE("a health check that is never answered is one more bad answer, and leaves nothing open") {
  World world;
  TestApp second(*world.app_loop, io::Address::tcp("127.0.0.1", 9003));
  second.on_request = [](AppStream&, const AppRequest&) {};
  serve(world,
        {more_places({"http://127.0.0.1:9003"}), make_fact("health", record({{"path", Json("/healthz")},
                                                                             {"interval", Json(std::int64_t{500})},
                                                                             {"timeout", Json(std::int64_t{700})}}))});
  world.run(10'000);
  CHECK(second.requests.size() >= 3);
  std::size_t open = 0;
  for (const auto& stream : second.streams) open += stream->ended ? 0U : 1U;
  CHECK(open <= 1);
  for (int i = 0; i < 20; ++i) REQUIRE(world.ask("/x")->answers().at(0).status == 200);
}

TEST_CASE("each phase has its own time limit") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    if (request.target == "/half") stream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  };
  serve(world,
        {make_fact("timeouts", record({{"answer", Json(std::int64_t{2'000})}, {"idle", Json(std::int64_t{3'000})}}))});
  const auto silent = world.ask("/silent");
  const auto half = world.ask("/half");
  world.run(1'000);
  CHECK(silent->answers().empty());
  world.run(2'000);
  REQUIRE(silent->answers().size() == 1);
  CHECK(silent->answers()[0].status == 504);
  CHECK_FALSE(half->ended_);
  world.run(2'000);
  CHECK(half->ended_);
  CHECK_FALSE(half->answers().at(0).whole);
}

TEST_CASE("whose body stops half way is told so, and not that the application is late") {
  for (const bool app_reads : {true, false}) {
    World world;
    serve(world, {make_fact("timeouts", record({{"answer", Json(std::int64_t{2'000})}}))});
    const auto client = world.client();
    if (!app_reads) world.site->on_bytes = [](AppStream& stream) { stream.reads = false; };
    client->send(kPost + "1000000\r\n\r\n" + std::string(app_reads ? 5 : 400'000, 'x'));
    world.run(4'000);
    REQUIRE(client->answers().size() == 1);
    CHECK(client->answers()[0].status == (app_reads ? 408 : 504));
    CHECK(error_code(client->answers()[0]) == (app_reads ? "request_timeout" : "upstream_timeout"));
    CHECK(client->ended_);
    CHECK(world.site->requests.empty());
  }
  // Whoever does not even shake hands is late, whatever the client does.
  World world;
  TestApp silent(*world.app_loop, io::Address::tcp("127.0.0.1", 9443));
  serve(world, {make_fact("upstream_identity", record({{"serverName", Json("site.test")}}))}, "https://127.0.0.1:9443");
  const auto client = world.client();
  client->send(kPost + "10\r\n\r\nhalf");
  world.run(7'000);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 504);
}

TEST_CASE("one principal's rate does not touch another's") {
  World world;
  serve(world, {make_fact("rate", record({{"perSecond", Json(std::int64_t{2})}, {"burst", Json(std::int64_t{5})}}))});
  int allowed = 0;
  std::unique_ptr<Client> last;
  for (int i = 0; i < 12; ++i) {
    last = world.client();
    last->send(World::get("/x"));
    world.run(1);
    world.run(4);
    allowed += last->answers().at(0).status == 200 ? 1 : 0;
  }
  CHECK(allowed == 5);
  CHECK(last->answers()[0].status == 429);
  CHECK(last->answers()[0].field("retry-after") == "1");
  CHECK(error_code(last->answers()[0]) == "rate_exceeded");
  const auto carol = world.client();
  carol->send(World::get("/x", "", "carol-token"));
  world.run(20);
  CHECK(carol->answers().at(0).status == 200);
  world.run(1'000);
  CHECK(world.ask("/x")->answers().at(0).status == 200);
  Http2TestClient http2(world);
  for (int i = 0; i < 4; ++i) {
    const auto stream = http2.send(http2.head("GET", "/x"));
    http2.run(10);
    CHECK(http2.answer(stream).status == (i == 0 ? 200 : 429));
  }
  world.check_recorded();
}

TEST_CASE("whoever is not known has one rate for all addresses of an IPv6 network") {
  World world(1, {"127.0.0.1"});
  serve(world, {make_fact("rate", record({{"perSecond", Json(std::int64_t{1})}, {"burst", Json(std::int64_t{3})}}))});
  int limited = 0;
  for (int i = 0; i < 8; ++i) {
    std::string header("\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24", 16);
    std::string address("\x20\x01\x0d\xb8\0\0\0\x01\0\0\0\0\0\0\0", 15);
    // The last is of another network.
    if (i == 7) address[7] = 2;
    header += address + static_cast<char>(i) + address + "\x01" + "\xdc\x04\x01\xbb";
    Client client(*world.client_loop, *world.anonymous_context, "site.test");
    client.send_raw(header);
    client.connect(io::Address::tcp("127.0.0.1", 7443));
    world.run(10);
    client.send("GET /x HTTP/1.1\r\nHost: site.test\r\n\r\n");
    world.run(10);
    REQUIRE(client.answers().size() == 1);
    const int status = client.answers()[0].status;
    limited += status == 429 ? 1 : 0;
    if (i == 7) CHECK(status == 401);
  }
  CHECK(limited == 4);
}

TEST_CASE("one principal has so many requests at work, and holds no place of the application's beyond them") {
  World world;
  std::vector<AppStream*> held;
  world.site->on_request = [&](AppStream& stream, const AppRequest&) { held.push_back(&stream); };
  serve(world, {make_fact("max_concurrent", std::int64_t{3})});
  std::vector<std::unique_ptr<Client>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(world.ask("/slow"));
  CHECK(held.size() == 3);
  const auto fourth = world.ask("/slow");
  REQUIRE(fourth->answers().size() == 1);
  CHECK(fourth->answers()[0].status == 429);
  CHECK(fourth->answers()[0].field("retry-after") == "1");
  CHECK(error_code(fourth->answers()[0]) == "concurrency_exceeded");
  const contract::Event refused = world.events().back();
  CHECK(fourth->answers()[0].body.find(refused.decision_id) != std::string::npos);
  CHECK(refused.actor == "Wary::User::\"alice\"");
  CHECK(refused.detail.find("\"decision\":\"deny\"") != std::string::npos);
  CHECK(refused.detail.find("\"reason\":\"concurrency_exceeded\"") != std::string::npos);
  CHECK(world.metrics.to_prometheus().find("wary_gateway_over_concurrency_total 1\n") != std::string::npos);
  // Over any protocol and any connection; and nobody else is touched.
  Http2TestClient http2(world);
  const auto stream = http2.send(http2.head("GET", "/slow"));
  http2.run(20);
  CHECK(http2.answer(stream).status == 429);
  const auto carol = world.client();
  carol->send(World::get("/slow", "", "carol-token"));
  world.run(20);
  CHECK(held.size() == 4);
  // Whom the policies deny hears that.
  const auto bob = world.client();
  bob->send(World::get("/slow", "", "bob-token"));
  world.run(20);
  CHECK(bob->answers().at(0).status == 403);
  // An answer's end, and a client's, give their places back.
  held[0]->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  waiting[1]->reset();
  world.run(20);
  for (int i = 0; i < 2; ++i) waiting.push_back(world.ask("/slow"));
  CHECK(held.size() == 6);
  CHECK(world.ask("/slow")->answers().at(0).status == 429);
  CHECK(held.size() == 6);
  world.check_recorded();
}

TEST_CASE("a WebSocket holds its place for as long as it is open, and gRPC has its own word for too many") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    if (request.field("upgrade").empty()) return stream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    stream.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
  };
  serve(world, {make_fact("max_concurrent", std::int64_t{1})});
  const std::string opens =
      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const auto socket = world.ask("/ws", opens);
  REQUIRE(socket->answers().at(0).status == 101);
  CHECK(world.ask("/ws", opens)->answers().at(0).status == 429);
  CHECK(world.ask("/x")->answers().at(0).status == 429);
  Http2TestClient grpc(world);
  auto fields = grpc.head("POST", "/service/Call");
  fields.push_back({"content-type", "application/grpc"});
  const auto call = grpc.send(fields, "12345");
  grpc.run(20);
  CHECK(grpc.answer(call).status == 200);
  CHECK(grpc.answer(call).field("grpc-status") == "8");
  socket->close();
  world.run(50);
  CHECK(world.ask("/x")->answers().at(0).status == 200);
}

TEST_CASE("an application that agrees to a WebSocket in HTTP/1.0 agrees to none") {
  for (const char minor : {'0', '1'}) {
    World world;
    world.site->on_request = [&](AppStream& stream, const AppRequest&) {
      stream.send(std::string("HTTP/1.") + minor +
                  " 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    };
    serve(world, {});
    const auto socket = world.ask("/ws",
                                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    REQUIRE(socket->answers().size() == 1);
    CHECK(socket->answers()[0].status == (minor == '1' ? 101 : 502));
  }
}

TEST_CASE("an App that says nothing of it lets 1,024 requests of one principal be at work, and no more") {
  World world;
  std::size_t at_work = 0;
  world.site->on_request = [&](AppStream&, const AppRequest&) { ++at_work; };
  std::vector<std::unique_ptr<Http2TestClient>> clients;
  for (int i = 0; i < 11; ++i) {
    clients.push_back(std::make_unique<Http2TestClient>(world));
    for (int k = 0; k < 100; ++k) clients.back()->send(clients.back()->head("GET", "/slow"));
    clients.back()->run(50);
  }
  CHECK(at_work == 1'024);
  world.revoke("alice");  // whatever ends a request gives its place back
  world.run(100);
  const auto carol = world.client();
  carol->send(World::get("/slow", "", "carol-token"));
  world.run(20);
  CHECK(at_work == 1'025);
}

TEST_CASE("whoever is not known shares what is at work with all of an address, and with nobody of another") {
  World world(1, {"127.0.0.1"});
  world.site->on_request = [](AppStream&, const AppRequest&) {};
  auto app =
      make_entity("Wary::App", "demo/site",
                  {make_fact("hosts", Json::array({Json("site.test")})), make_fact("upstream", "http://127.0.0.1:9000"),
                   make_fact("max_concurrent", std::int64_t{2})});
  auto open = make_entity("Wary::Route", "demo/open",
                          {make_fact("app", make_reference("Wary::App", "demo/site")), make_fact("path", "/open"),
                           make_fact("record", "with")},
                          {{"Wary::App", "demo/site"}});
  std::vector<Error> problems;
  world.worker->post_site(gateway::Site::build({&app}, {&open}, problems));
  world.change({app});
  std::vector<std::unique_ptr<Client>> clients;
  std::string statuses;
  for (const char address : {'\1', '\1', '\1', '\2', '\2', '\2'}) {
    std::string header("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16);
    header += std::string("\x0a\0\0", 3) + address + std::string("\x7f\0\0\x01\xdc\x04\x01\xbb", 8);
    auto client = std::make_unique<Client>(*world.client_loop, *world.anonymous_context, "site.test");
    client->send_raw(header);
    client->connect(io::Address::tcp("127.0.0.1", 7443));
    world.run(10);
    client->send(World::get("/open", "", ""));
    world.run(10);
    statuses += client->answers().empty() ? "- " : std::to_string(client->answers()[0].status) + " ";
    clients.push_back(std::move(client));
  }
  CHECK(statuses == "- - 429 - - 429 ");
}

TEST_CASE("a request larger than the application takes is refused, by its length or as it comes") {
  World world;
  serve(world, {make_fact("max_body", std::int64_t{1'000})});
  const auto measured = world.client();
  measured->send(kPost + "1001\r\n\r\n");
  world.run(20);
  CHECK(measured->answers().at(0).status == 413);
  CHECK(measured->ended_);
  const auto fits = world.client();
  fits->send(kPost + "1000\r\n\r\n" + std::string(1'000, 'x'));
  world.run(20);
  CHECK(fits->answers().at(0).status == 200);
  Http2TestClient open(world);
  const auto stream = open.send(open.head("POST", "/up"), std::string(900, 'x'), false);
  open.run(20);
  CHECK(open.answer(stream).status == 0);
  open.write(stream, std::string(200, 'x'));
  open.run(20);
  CHECK(open.answer(stream).status == 413);
  // The one that fitted is whole, the other never was.
  REQUIRE(world.site->requests.size() == 1);
  CHECK(world.site->requests[0].body.size() == 1'000);
}

TEST_CASE("a gRPC client's own deadline ends its call") {
  World world;
  Http2TestApp app(*world.app_loop, io::Address::tcp("127.0.0.1", 9002));
  app.on_end = nullptr;
  Http2TestClient client(world, "grpc.test");
  auto fields = client.head("POST", "/a.B/C");
  fields.push_back({"content-type", "application/grpc"});
  fields.push_back({"grpc-timeout", "1500m"});
  const auto stream = client.send(fields, "x");
  client.run(900);
  CHECK(client.answer(stream).status == 0);
  CHECK(app.call(0, 1).field("grpc-timeout") == "1500m");
  client.run(1'700);
  CHECK(client.answer(stream).field("grpc-status") == "4");
  CHECK(app.call(0, 1).closed);
}

TEST_CASE("an application over TLS gets a request only when it is who it should be") {
  const crypto::TlsServerContext reader = server_as(Authority::get().workload),
                                 named = server_as(Authority::get().server);
  struct Case {
    const crypto::TlsServerContext* server;
    const char *spiffe_id, *server_name;
    bool works;
  };
  for (const Case& one :
       {Case{&reader, "spiffe://local/demo/reader", "", true}, Case{&named, "", "site.test", true},
        Case{&reader, "spiffe://local/demo/writer", "", false}, Case{&named, "", "elsewhere.test", false},
        Case{&named, "spiffe://local/demo/reader", "", false}, Case{nullptr, "", "site.test", false}}) {
    World world;
    TestApp app(*world.app_loop, io::Address::tcp("127.0.0.1", 9443), one.server);
    serve(world,
          {make_fact("upstream_identity", record({{one.spiffe_id[0] != 0 ? "spiffeId" : "serverName",
                                                   Json(one.spiffe_id[0] != 0 ? one.spiffe_id : one.server_name)}}))},
          "https://127.0.0.1:9443");
    for (int i = 0; i < 3; ++i) {
      const auto client = world.ask("/secret");
      world.run(one.server != nullptr ? 100 : 6'000);
      REQUIRE(client->answers().size() == 1);
      CHECK(client->answers()[0].status == (one.works ? 200 : one.server != nullptr ? 502 : 504));
      if (!one.works) CHECK(error_code(client->answers()[0]).starts_with("upstream_"));
    }
    CHECK(app.requests.size() == (one.works ? 3U : 0U));
    CHECK(app.everything().find("secret") == (one.works ? app.everything().find("secret") : std::string::npos));
    if (one.works) CHECK(app.streams.size() == 1);  // kept and used again
  }
}

TEST_CASE("an application of HTTP/2 over TLS has the time for its answer, not for its handshake alone") {
  const crypto::TlsServerContext server = server_as(Authority::get().server);
  World world;
  Http2TestApp app(*world.app_loop, io::Address::tcp("127.0.0.1", 9443), &server);
  app.on_end = [](Http2TestApp::Peer&, std::int32_t, Http2TestApp::Call&) {};
  serve(world,
        {make_fact("protocol", "http2"), make_fact("upstream_identity", record({{"serverName", Json("site.test")}}))},
        "https://127.0.0.1:9443");
  const auto client = world.ask("/slow");
  world.run(20'000);
  CHECK(client->answers().empty());
  REQUIRE(app.peers.size() == 1);
  CHECK(app.call(0, 1).scheme == "https");  // what the connection is, or strict servers refuse the call
  auto& peer = *app.peers[0];
  peer.session.submit_answer(1, 200, {{"content-type", "text/plain"}}, false);
  peer.session.write(1, "late");
  peer.session.end(1, {});
  peer.flush();
  world.run(50);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 200);
  CHECK(client->answers()[0].body == "late");
}

TEST_CASE("an application that refuses its calls is not asked more often than its budget of retries says") {
  World world;
  Http2TestApp app(*world.app_loop, io::Address::tcp("127.0.0.1", 9004));
  std::size_t asked = 0;
  app.on_end = [&](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call&) {
    ++asked;
    peer.session.reset(stream, http::kHttp2RefusedStream);
  };
  serve(world,
        {make_fact("protocol", "http2"),
         make_fact("retries", record({{"attempts", Json(std::int64_t{3})}, {"percent", Json(std::int64_t{10})}}))},
        "http://127.0.0.1:9004");
  for (int i = 0; i < 100; ++i) {
    const auto client = world.ask("/x");
    world.run(20);
    REQUIRE(client->answers().size() == 1);
    CHECK(client->answers()[0].status == 502);
  }
  CHECK(asked <= 100 + 10 + 13);  // ten at once, and a tenth of what was asked
}

TEST_CASE("https without somebody to expect is not served, and neither is somebody without TLS") {
  for (const bool secure : {true, false}) {
    std::vector<contract::Fact> facts = {make_fact("hosts", Json::array({Json("site.test")})),
                                         make_fact("upstream", secure ? "https://127.0.0.1:1" : "http://127.0.0.1:1")};
    if (!secure) facts.push_back(make_fact("upstream_identity", record({{"spiffeId", Json("spiffe://local/a/b")}})));
    const auto app = make_entity("Wary::App", "demo/site", std::move(facts));
    World world;
    std::vector<Error> problems;
    CHECK(gateway::Site::build({&app}, {}, problems, verifier(world))->apps().empty());
    CHECK(problems.size() == 1);
  }
}

namespace {

// What alice's answer, nobody's refusal and the same without TLS tell a browser, by number of fields and value.
std::array<std::string, 3> told_of_tls(World& world) {
  const auto alice = world.ask("/x");
  const auto nobody = world.client();
  nobody->send("GET /x HTTP/1.1\r\nHost: site.test\r\n\r\n");
  const auto plain = world.plain_client();
  plain->send(World::get("/x"));
  world.run(20);
  std::array<std::string, 3> out;
  const std::array<const Client*, 3> clients = {alice.get(), nobody.get(), plain.get()};
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const auto answers = clients[i]->answers();
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].status == (i == 1 ? 401 : i == 0 ? 200 : 308));
    CHECK(answers[0].count("strict-transport-security") ==
          (answers[0].field("strict-transport-security").empty() ? 0 : 1));
    out[i] = answers[0].field("strict-transport-security");
  }
  return out;
}

using Told = std::array<std::string, 3>;

}  // namespace

TEST_CASE("browsers are told to keep to TLS, over TLS alone, and for as long as the App says") {
  const std::string year = "max-age=31536000";
  for (const auto& [facts, expected] : std::vector<std::pair<std::vector<contract::Fact>, std::string>>{
           {{}, year},
           {{make_fact("hsts", record({}))}, year},
           {{make_fact("hsts", record({{"maxAgeSeconds", Json(std::int64_t{0})}}))}, "max-age=0"},
           {{make_fact("hsts", record({{"maxAgeSeconds", Json(std::int64_t{60})}, {"includeSubDomains", Json(true)}}))},
            "max-age=60; includeSubDomains"}}) {
    World world;
    serve(world, facts);
    CHECK(told_of_tls(world) == Told{expected, expected, ""});
  }
}

TEST_CASE("what an application tells of TLS itself goes on, once") {
  World world;
  serve(world, {});
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nstrict-transport-Security: max-age=7; preload\r\nContent-Length: 0\r\n\r\n");
  };
  CHECK(told_of_tls(world) == Told{"max-age=7; preload", "max-age=31536000", ""});
}

TEST_CASE("names of this machine are told nothing of TLS unless somebody says so") {
  for (const bool is_said : {false, true}) {
    std::vector<contract::Fact> facts = {make_fact("upstream", "http://127.0.0.1:9000"),
                                         make_fact("hosts", Json::array({Json("localhost"), Json("site.test")}))};
    if (is_said) facts.push_back(make_fact("hsts", record({})));
    const auto app = make_entity("Wary::App", "demo/site", std::move(facts));
    std::vector<Error> problems;
    const auto site = gateway::Site::build({&app}, {}, problems);
    REQUIRE(problems.empty());
    const gateway::App& made = *site->apps().at(0);
    CHECK(made.hsts_of("localhost").empty() != is_said);
    CHECK(made.hsts_of("site.localhost").empty() != is_said);
    CHECK(made.hsts_of("site.test") == "max-age=31536000");
    CHECK(made.hsts_of("nolocalhost") == "max-age=31536000");
  }
}

TEST_CASE("a name that serves nothing, a call of gRPC and a WebSocket are told nothing of TLS") {
  World world;
  serve(world, {});
  const auto unknown = world.client("unknown.test");
  unknown->send("GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n");
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
  };
  const auto socket = world.ask("/ws",
                                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
  Http2TestClient two(world);
  auto fields = two.head("POST", "/call", "nobody");
  fields.push_back({"content-type", "application/grpc"});
  const auto call = two.send(fields);
  two.run(20);
  CHECK(unknown->answers().at(0).status == 421);
  CHECK(unknown->answers()[0].count("strict-transport-security") == 0);
  CHECK(unknown->answers()[0].field("x-content-type-options") == "nosniff");
  CHECK(socket->answers().at(0).status == 101);
  CHECK(socket->answers()[0].count("strict-transport-security") == 0);
  CHECK(two.answer(call).field("grpc-status") == "16");
  CHECK(two.answer(call).field("strict-transport-security").empty());
  CHECK(two.answer(call).field("content-security-policy").empty());
  const auto page = two.send(two.head("GET", "/page", "nobody"));
  two.run(20);
  CHECK(two.answer(page).field("strict-transport-security") == "max-age=31536000");
}
