// The listener without TLS: what is sent on, what is served, and that it is held to all that TLS is.
#include <algorithm>

#include "crypto/hash.h"
#include "enforce/jwt_test_world.h"
#include "gateway/connection_http2_test_client.h"

using namespace wary;
using namespace wary::gateway::test;
using codec::Json;

namespace {

const io::Address kPlainAddress = io::Address::tcp("127.0.0.1", 8080);

std::string code_told(const Client::Answer& answer) {
  const auto json = codec::parse_json(answer.body);
  const Json* error = json.ok() ? json->find("error") : nullptr;
  return error != nullptr ? std::string(error->string_or("code", "")) : "";
}

// The one answer to these bytes.
Client::Answer answer_to(World& world, const std::string& bytes, const std::string& method = "GET") {
  const auto client = world.plain_client();
  client->send(bytes);
  world.run(50);
  const auto answers = client->answers({method});
  REQUIRE(answers.size() == 1);
  return answers[0];
}

std::string request(const std::string& method, const std::string& target, const std::string& host,
                    const std::string& more = "") {
  return method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n";
}

// What a load balancer says ahead of a connection; `tls` are the flags of its word about TLS.
std::string proxy_header(std::optional<char> tls) {
  std::string rest("\xc0\x00\x02\x09\xc6\x33\x64\x02\xdc\x04\x01\xbb", 12);
  if (tls) rest += std::string("\x20\0\x05", 3) + *tls + std::string(4, '\0');
  return std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0", 15) + static_cast<char>(rest.size()) + rest;
}

}  // namespace

TEST_CASE("without TLS an application is sent on to https, by name, path and query, and nobody is asked for") {
  World world;
  for (const auto& [method, target, host, location] : std::vector<std::array<std::string, 4>>{
           {"GET", "/", "chat.test", "https://chat.test:7443/"},
           {"GET", "/a%20b/c?d=e&f", "Chat.TEST:8080", "https://chat.test:7443/a%20b/c?d=e&f"},
           {"HEAD", "//evil.test/x", "chat.test", "https://chat.test:7443//evil.test/x"},
           {"DELETE", "/x?", "chat.test", "https://chat.test:7443/x?"},
           {"GET", "http://chat.test/abs?q", "chat.test", "https://chat.test:7443/abs?q"},
           {"GET", "/.wary/continue?code=good&path=/", "chat.test",
            "https://chat.test:7443/.wary/continue?code=good&path=/"}}) {
    const auto answer =
        answer_to(world, request(method, target, host, "Cookie: __Host-wary_session=alice-chat-token\r\n"), method);
    CHECK(answer.status == 308);
    CHECK(answer.field("location") == location);
    CHECK(answer.field("strict-transport-security").empty());
    CHECK(answer.field("set-cookie").empty());
    CHECK(answer.whole);
  }
  // More than one of a connection, and one with a body, which is not read.
  const auto client = world.plain_client();
  client->send(request("GET", "/1", "chat.test") + request("GET", "/2", "chat.test"));
  world.run(20);
  client->send(request("POST", "/3", "chat.test", "Content-Length: 1000\r\n") + "part of it");
  world.run(20);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 3);
  for (const auto& answer : answers) CHECK(answer.status == 308);
  CHECK(answers[2].field("connection") == "close");
  CHECK(client->ended_);
  CHECK(world.events().empty());
  CHECK(world.redeemed.empty());
  CHECK(world.chat->streams.empty());
}

TEST_CASE("what serves nothing is refused without TLS as with it") {
  World world;
  for (const auto& [bytes, status, code] : std::vector<std::tuple<std::string, int, std::string>>{
           {request("GET", "/", "nobody.test"), 421, "host_unknown"},
           {"GET / HTTP/1.0\r\n\r\n", 421, "host_unknown"},
           {request("OPTIONS", "*", "chat.test"), 400, "target_asterisk"},
           {request("GET", "/a b", "chat.test"), 400, ""},
           {"GET / HTTP/1.1\r\n\r\n", 400, ""},
           {std::string("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", 15), 400, ""},
           {std::string("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 11) + std::string(160, '\n'), 400, ""},
           {"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505, ""},
           {proxy_header(std::nullopt), 400, ""},
           {"garbage\r\n\r\n", 400, ""}}) {
    const auto answer = answer_to(world, bytes);
    CHECK(answer.status == status);
    if (!code.empty()) CHECK(code_told(answer) == code);
    CHECK(answer.field("connection") == "close");
  }
  const auto live = answer_to(world, request("GET", "/.wary/live", "anything"));
  CHECK(live.status == 200);
  CHECK(world.events().empty());
}

TEST_CASE("a program that shakes hands where there is no TLS is not kept waiting") {
  World world;
  for (int i = 0; i < 20; ++i) {
    Client client(*world.client_loop, *world.anonymous_context, "site.test");
    client.connect(kPlainAddress);
    world.run(100);
    CHECK(client.ended_);
    CHECK(client.received.empty());
  }
  world.run(3'000);
  CHECK(world.worker->connections() == 0);
}

TEST_CASE("an application that says so is served without TLS: identified, decided, recorded, and told how it came") {
  World world;
  const auto client = world.plain_client();
  client->send(World::get("/x", "X-Forwarded-Proto: https\r\nForwarded: proto=https\r\n"));
  world.run(20);
  client->send(request("GET", "/nobody", "site.test"));
  world.run(20);
  client->send(World::get("/bob", "", "bob-token"));
  world.run(20);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 3);
  CHECK(answers[0].status == 200);
  CHECK(answers[0].body == "/x");
  CHECK(answers[1].status == 401);
  CHECK(answers[2].status == 403);
  REQUIRE(world.site->requests.size() == 1);
  const AppRequest& seen = world.site->requests[0];
  CHECK(seen.field("wary-principal") == "Wary::User::\"alice\"");
  CHECK(seen.field("x-forwarded-proto") == "http");
  CHECK(seen.field("forwarded").empty());
  CHECK(seen.field("cookie").empty());
  const auto events = world.events();
  REQUIRE(events.size() == 3);
  for (const auto& event : events) CHECK(event.detail.find(R"("transport":"plain"})") != std::string::npos);
  world.check_recorded();
}

TEST_CASE("who signs in without TLS comes back over TLS, whatever port they were at") {
  World world;
  for (const std::string host : {"site.test", "site.test:8080", "Site.Test:443"}) {
    const auto answer = answer_to(world, request("GET", "/page?q", host, "Accept: text/html\r\n"));
    CHECK(answer.status == 303);
    CHECK(answer.field("location")
              .starts_with("https://console.test:7443/continue?host=site.test%3A7443&path=%2Fpage%3Fq&state="));
    CHECK(answer.field("set-cookie").starts_with("__Host-wary_state="));
    CHECK(answer.field("set-cookie").find("; Secure;") != std::string::npos);
  }
}

TEST_CASE("what comes over TLS says nothing of its transport, and is asked again by the same answer") {
  World world;
  world.ask("/x");
  world.ask("/x");
  const auto events = world.events();
  REQUIRE(events.size() == 2);
  for (const auto& event : events) CHECK(event.detail.find("transport") == std::string::npos);
  CHECK(world.site->requests.at(0).field("x-forwarded-proto") == "https");
}

TEST_CASE("a policy forbids the way without TLS, whatever was answered over TLS before") {
  World world;
  world.set_policies(R"(permit (principal == Wary::User::"alice", action, resource);
forbid (principal, action, resource) when { context has transport && context.transport == "plain" };)");
  world.run(2);
  CHECK(world.ask("/x")->answers().at(0).status == 200);
  CHECK(answer_to(world, World::get("/x")).status == 403);
  CHECK(world.ask("/x")->answers().at(0).status == 200);
  CHECK(world.site->requests.size() == 2);
}

TEST_CASE("a policy that comes later ends what is open without TLS, and nothing else") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
  };
  const auto plain = world.plain_client();
  plain->send(World::get("/x"));
  const auto secure = world.ask("/x");
  REQUIRE(plain->received.find("part") != std::string::npos);
  world.set_policies(R"(permit (principal == Wary::User::"alice", action, resource);
forbid (principal, action, resource) when { context has transport };)");
  world.run(5);
  CHECK(plain->was_reset);
  CHECK(secure->is_open());
}

TEST_CASE("a revoked person's connections without TLS are cut in every state") {
  for (const std::string path : {"/idle", "/before/x", "/hangs", "/streams"}) {
    World world;
    world.site->on_request = [](AppStream& stream, const AppRequest& request) {
      if (request.target == "/idle") stream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      if (request.target == "/streams") stream.send("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nbegun");
    };
    const auto alice = world.plain_client(), carol = world.plain_client();
    alice->send(World::get(path));
    carol->send(World::get("/idle", "", "carol-token"));
    world.run(20);
    world.revoke("alice");
    world.run(1);
    world.site->streams.at(0)->send("nobody may read this");
    world.run(30);
    CHECK(alice->ended_);
    CHECK(alice->received.find("may read") == std::string::npos);
    CHECK(carol->is_open());
    const auto events = world.events();
    CHECK(std::count_if(events.begin(), events.end(),
                        [](const auto& event) { return event.action == "session.cut"; }) == 1);
  }
}

TEST_CASE("a WebSocket without TLS carries bytes both ways, and a revoked person's closes with 1008") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
  };
  const auto client = world.plain_client();
  client->send(World::get("/ws",
                          "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
  world.run(20);
  REQUIRE(client->answers().at(0).status == 101);
  const std::string up("\x82\x85\0\0\0\0hello", 11), down("\x82\x05hello", 7);
  client->send(up);
  world.run(20);
  CHECK(world.site->streams.at(0)->received.ends_with(up));
  world.site->streams.at(0)->send(down);
  world.run(20);
  CHECK(client->received.ends_with("\r\n\r\n" + down));
  world.revoke("alice");
  world.run(5);
  CHECK(client->received.ends_with(down + std::string("\x88\x02\x03\xf0", 4)));
  CHECK(client->ended_);
}

TEST_CASE("HTTP/2 is known by its preface, in one piece or byte by byte") {
  World world;
  Http2TestClient client(world, world.plain_client());
  auto fields = client.head("GET", "/over-two");
  fields[1].value = "http";
  const auto first = client.send(fields), second = client.send(client.head("GET", "/again"));
  client.run(20);
  CHECK(client.answer(first).status == 200);
  CHECK(client.answer(first).body == "/over-two");
  CHECK(client.answer(second).body == "/again");
  CHECK(world.site->requests.at(0).field("x-forwarded-proto") == "http");
  world.revoke("alice");
  client.run(10);
  CHECK(client.client().ended_);

  const auto slow = world.plain_client();
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings("\0\0\0\x04\0\0\0\0\0", 9);
  for (const char byte : preface) {
    CHECK(slow->received.empty());
    slow->send(std::string(1, byte));
    world.run(2);
  }
  slow->send(settings);
  world.run(2);
  CHECK(slow->received.size() > 9);
  CHECK(slow->received[3] == 4);  // its settings
  // What begins like it and goes on as another method is HTTP/1.1's.
  const auto other = world.plain_client();
  for (const std::string piece : {"P", "R", "OP"}) {
    other->send(piece);
    world.run(2);
  }
  other->send("FIND / HTTP/1.1\r\nHost: chat.test\r\n\r\n");
  world.run(10);
  CHECK(other->answers().at(0).status == 308);
}

TEST_CASE("HTTP/2 without TLS is sent on, and gRPC told in its own words") {
  World world;
  Http2TestClient client(world, world.plain_client());
  Http2TestClient::Fields fields = {
      {":method", "GET"}, {":scheme", "http"}, {":authority", "grpc.test"}, {":path", "/p?q"}};
  const auto page = client.send(fields);
  fields[0].value = "POST";
  fields.push_back({"content-type", "application/grpc"});
  fields.push_back({"te", "trailers"});
  const auto call = client.send(fields);
  client.run(20);
  CHECK(client.answer(page).status == 308);
  CHECK(client.answer(page).field("location") == "https://grpc.test:7443/p?q");
  CHECK(client.answer(call).status == 200);
  CHECK(client.answer(call).field("grpc-status") == "12");
  CHECK(world.events().empty());
}

namespace {

// A world that believes an issuer's tokens, and what one of them says in a request.
struct TokenWorld : World {
  TokenWorld() {
    change({make_entity(
        "Wary::Issuer", "corp",
        {make_fact("revoked", false), make_fact("disabled", false), make_fact("rules", corp.rules.to_string()),
         make_fact("jwks", corp.jwks()), make_fact("keys", Json::array({Json(corp.thumbprint("e1"))}))})});
    run(2'000);  // proofs from before the worker began are none
  }
  std::int64_t now() { return sim.clock().unix_time().nanos / kNanosPerSecond; }
  std::string token(const std::string& confirmation, const std::string& thumbprint) {
    Json claims = enforce::test::TestIssuer::claims();
    claims.set("iat", now()).set("exp", now() + 600);
    if (!confirmation.empty()) claims.set("cnf", Json::object({{confirmation, Json(std::string_view(thumbprint))}}));
    return corp.sign(claims);
  }
  // For a token that is bound to the issuer's own key; good for one request.
  std::string proof(const std::string& token, const std::string& address) {
    Json header = Json::object({{"alg", "ES256"}, {"typ", "dpop+jwt"}}), claims = Json::object();
    header.set("jwk", codec::parse_json(corp.jwks())->find("keys")->items().at(0));
    claims.set("htm", "GET").set("htu", std::string_view(address)).set("iat", now());
    claims.set("jti", std::string_view("proof-" + std::to_string(++proofs_)));
    claims.set("ath", codec::encode_base64url(crypto::sha256(as_bytes(token))));
    return corp.sign(claims, header.to_string());
  }
  enforce::test::TestIssuer corp;

 private:
  int proofs_ = 0;
};

}  // namespace

TEST_CASE("a token that is bound to a certificate is good without TLS for nobody; a bearer token is") {
  TokenWorld world;
  const std::string certificate = codec::encode_base64url(crypto::sha256(Authority::get().workload.chain.at(0)));
  const std::string bound = "Authorization: Bearer " + world.token("x5t#S256", certificate) + "\r\n";
  const std::string unbound = "Authorization: Bearer " + world.token("", "") + "\r\n";
  const auto refused = answer_to(world, request("GET", "/x", "site.test", bound));
  CHECK(refused.status == 401);
  CHECK(code_told(refused) == "token_bound");
  CHECK(world.site->requests.empty());
  CHECK(answer_to(world, request("GET", "/x", "site.test", unbound)).status == 200);
  // The same bound token over TLS, with its certificate.
  const auto secure = world.client("site.test", true);
  secure->send(request("GET", "/x", "site.test", bound));
  world.run(20);
  CHECK(secure->answers().at(0).status == 200);
}

TEST_CASE("a DPoP proof is for the address over TLS that its client knows, without TLS as well") {
  TokenWorld world;
  const std::string token = world.token("jkt", world.corp.thumbprint("e1"));
  for (const auto& [address, code] : std::vector<std::pair<std::string, std::string>>{
           {"https://site.test/x", ""}, {"http://site.test/x", "dpop_htu"}, {"https://chat.test/x", "dpop_htu"}}) {
    const auto answer =
        answer_to(world, request("GET", "/x?q", "site.test",
                                 "Authorization: DPoP " + token + "\r\nDPoP: " + world.proof(token, address) + "\r\n"));
    CHECK(answer.status == (code.empty() ? 200 : 401));
    CHECK(code_told(answer) == code);
  }
  CHECK(world.site->requests.size() == 1);
  CHECK(world.site->requests[0].field("dpop").empty());
}

TEST_CASE("a load balancer that ended the client's TLS says so, and is believed where it is named") {
  for (const auto& [flags, proto, transport] :
       std::vector<std::tuple<std::optional<char>, std::string, std::string>>{{'\x01', "https", "terminated"},
                                                                              {'\x07', "https", "terminated"},
                                                                              {'\0', "http", "plain"},
                                                                              {std::nullopt, "http", "plain"}}) {
    World world(1, {"127.0.0.1"});
    // In one piece with the request, and in pieces that cut it anywhere.
    for (const std::size_t step : {std::size_t{1000}, std::size_t{7}}) {
      const std::string bytes = proxy_header(flags) + World::get("/x");
      Client client(*world.client_loop);
      client.connect(kPlainAddress);
      for (std::size_t at = 0; at < bytes.size(); at += step) {
        client.send(bytes.substr(at, step));
        world.run(2);
      }
      world.run(20);
      REQUIRE(client.answers().size() == 1);
      CHECK(client.answers()[0].status == 200);
      const AppRequest& seen = world.site->requests.back();
      CHECK(seen.field("x-forwarded-for") == "192.0.2.9");
      CHECK(seen.field("x-forwarded-proto") == proto);
      CHECK(world.events().back().detail.find("\"transport\":\"" + transport + "\"") != std::string::npos);
    }
    // What it says makes nobody known, and HTTP/2 may follow it.
    Client preface(*world.client_loop);
    preface.connect(kPlainAddress);
    preface.send(proxy_header(flags) + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    Client silent(*world.client_loop);
    silent.connect(kPlainAddress);
    silent.send(World::get("/x"));
    world.run(20);
    CHECK(preface.received.size() > 9);
    CHECK(silent.ended_);
    CHECK(silent.received.empty());
  }
}

TEST_CASE("who is slow without TLS has the time that TLS gives") {
  World world;
  const auto silent = world.plain_client(), half = world.plain_client(), preface = world.plain_client();
  half->send("GET / HTTP/1.1\r\nHos");
  preface->send("PRI * HTTP");
  world.run(4'000);
  CHECK_FALSE(silent->ended_);
  CHECK_FALSE(preface->ended_);
  world.run(2'000);
  CHECK(silent->ended_);
  CHECK(preface->ended_);
  CHECK_FALSE(half->ended_);
  world.run(6'000);
  REQUIRE(half->answers().size() == 1);
  CHECK(half->answers()[0].status == 408);
  CHECK(half->ended_);
  CHECK(world.worker->connections() == 0);
}

TEST_CASE("a large answer without TLS comes whole to a slow reader, and little of it lies here") {
  World world;
  const std::string body = [] {
    std::string out;
    for (std::size_t i = 0; i < 3'000'000; ++i) out += static_cast<char>('a' + i * i % 26);
    return out;
  }();
  world.site->on_request = [&](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  const auto client = world.plain_client();
  client->send(World::get("/large"));
  for (int i = 0; i < 40; ++i) {
    i % 2 == 0 ? client->pause() : client->resume();
    world.run(20);
    CHECK(world.worker->held_bytes() < 1'500'000);
  }
  client->resume();
  world.run(2'000);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].whole);
  CHECK(client->answers()[0].body == body);
  client->send(World::get("/large"));
  world.run(2'000);
  CHECK(client->answers().size() == 2);
}

TEST_CASE("a worker that drains ends connections without TLS as it does others") {
  World world;
  world.site->on_request = [](AppStream&, const AppRequest&) {};
  const auto idle = world.plain_client(), running = world.plain_client();
  running->send(World::get("/slow"));
  world.run(20);
  bool drained = false;
  world.worker->post_drain([&] { drained = true; });
  world.run(20);
  CHECK(idle->ended_);
  CHECK_FALSE(running->ended_);
  CHECK_FALSE(drained);
  world.site->streams.at(0)->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  world.run(20);
  REQUIRE(running->answers().size() == 1);
  CHECK(running->answers()[0].field("connection") == "close");
  world.run(20);
  CHECK(drained);
}

TEST_CASE("at the limit of connections who says nothing without TLS gives way, and whoever rests") {
  World world(1, {}, gateway::WorkerOptions{}.slice_sessions, 3);
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    if (request.target != "/slow") stream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  const auto running = world.plain_client();
  running->send(World::get("/slow"));
  world.run(50);
  const auto silent = world.plain_client(), half = world.plain_client();
  half->send("PRI * HT");
  world.run(50);
  // Both would have gone by themselves in five seconds; nobody waits for that.
  const auto first = world.plain_client();
  first->send(World::get("/x"));
  world.run(50);
  CHECK(first->answers().at(0).status == 200);
  CHECK(silent->ended_);
  CHECK_FALSE(half->ended_);
  const auto second = world.ask("/y");
  CHECK(second->answers().at(0).status == 200);
  CHECK(half->ended_);
  CHECK_FALSE(first->ended_);
  world.run(50);
  const auto third = world.plain_client();
  CHECK(first->ended_);
  CHECK_FALSE(running->ended_);
  CHECK(world.worker->connections() == 3);
}

TEST_CASE("at the limit of connections who takes nothing of an answer gives way") {
  // HTTP/2 with a window of nothing, and one request of nobody's: its answer waits here, whole.
  const std::string settings("\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0", 15);
  const std::string request("\0\0\16\1\5\0\0\0\1\x82\x87\x84\x41\x09site.test", 23);
  World world(1, {}, gateway::WorkerOptions{}.slice_sessions, 3);
  world.site->on_request = [](AppStream& stream, const AppRequest& request_of) {
    if (request_of.target != "/slow") stream.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
  };
  const auto running = world.plain_client(), stalled = world.plain_client();
  running->send(World::get("/slow"));
  stalled->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + request);
  world.run(50);
  CHECK(stalled->is_open());
  const auto other = world.plain_client();
  other->send(World::get("/x"));
  world.run(2'000);
  const auto next = world.plain_client();
  CHECK(next->is_open());
  CHECK(stalled->ended_);
  CHECK_FALSE(running->ended_);
  CHECK_FALSE(other->ended_);
}
