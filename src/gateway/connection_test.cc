// A client's connection from the handshake to a decision: what is refused, denied, allowed and recorded.
#include <algorithm>

#include "codec/text.h"
#include "crypto/hash.h"
#include "gateway/connection_test_world.h"

using namespace wary;
using namespace wary::gateway::test;
using gateway::Redeemed;

namespace {

std::string code_of(const Client::Answer& answer) {
  const auto json = codec::parse_json(answer.body);
  const codec::Json* error = json.ok() ? json->find("error") : nullptr;
  return error != nullptr ? std::string(error->string_or("code", "")) : "";
}

// The one answer of a connection that then ends.
void check_refused(World& world, const std::string& request, int status, const std::string& code) {
  const auto client = world.client();
  client->send(request);
  world.run(100);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].status == status);
  CHECK(code_of(answers[0]) == code);
  CHECK(answers[0].whole);
  CHECK(answers[0].field("connection") == "close");
  CHECK(client->ended_);
  CHECK(client->said_goodbye());
  CHECK(world.site->requests.empty());
  CHECK(world.site->everything().empty());
}

}  // namespace

TEST_CASE("a client that never shakes hands is cut after five seconds") {
  World world;
  Client client(*world.client_loop, *world.anonymous_context, "site.test");
  auto silent = world.client_loop.get();
  std::unique_ptr<io::Stream> stream;
  bool ended = false;
  silent->connect(io::Address::tcp("127.0.0.1", 7443), 0, [&](Result<std::unique_ptr<io::Stream>> made) {
    stream = std::move(*made);
    stream->on_ready([&](bool, bool) {
      std::uint8_t byte[1];
      if (stream->read(byte).state == io::IoCount::State::kEnd) {
        ended = true;
        stream->want(false, false);
      }
    });
    stream->want(true, false);
  });
  world.run(4'000);
  CHECK_FALSE(ended);
  world.run(2'000);
  CHECK(ended);
}

TEST_CASE("bytes that are no TLS get an alert and the end") {
  World world;
  Client client(*world.client_loop, *world.anonymous_context, "site.test");
  client.send_raw("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n");
  client.connect(io::Address::tcp("127.0.0.1", 7443));
  world.run(50);
  CHECK(client.ended_);
  CHECK(client.received.empty());
  CHECK(world.events().empty());
}

TEST_CASE("a head that stops half-way is answered 408, an idle connection goes quietly") {
  World world;
  const auto client = world.client();
  client->send("GET / HTTP/1.1\r\nHos");
  const auto idle = world.client();
  world.run(12'000);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 408);
  CHECK(client->ended_);
  CHECK(idle->ended_);
  CHECK(idle->said_goodbye());
  CHECK(idle->received.empty());
}

TEST_CASE("a head that is too large is answered 431") {
  World world;
  check_refused(world, World::get("/", "X-Long: " + std::string(70'000, 'a') + "\r\n"), 431, "http_head_size");
}

TEST_CASE("what the parser refuses is answered and nothing reaches the application") {
  for (const auto& [request, status, code] : std::vector<std::tuple<std::string, int, std::string>>{
           {"GET / HTTP/1.1\nHost: site.test\r\n\r\n", 400, "http_bare_lf"},
           {"POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, ""},
           {"GET / HTTP/1.1\r\n\r\n", 400, ""},
           {"GET /%2f HTTP/1.1\r\nHost: site.test\r\n\r\n", 400, "path_ambiguous"},
           {"OPTIONS * HTTP/1.1\r\nHost: site.test\r\n\r\n", 400, "target_asterisk"},
           {"GET / HTTP/2.0\r\nHost: site.test\r\n\r\n", 505, ""}}) {
    World world;
    const auto client = world.client();
    client->send(request);
    world.run(100);
    const auto answers = client->answers();
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].status == status);
    if (!code.empty()) CHECK(code_of(answers[0]) == code);
    CHECK(client->ended_);
    CHECK(world.site->everything().empty());
  }
}

TEST_CASE("a refused HEAD has no body") {
  World world;
  const auto client = world.client();
  client->send("HEAD / HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
  world.run(50);
  CHECK(client->received.find("421") != std::string::npos);
  CHECK(client->received.ends_with("\r\n\r\n"));
}

TEST_CASE("what cannot be read after a HEAD is refused with its body all the same") {
  World world;
  const auto client = world.client();
  client->send("HEAD /a HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\n\r\n");
  world.run(50);
  client->send("no request at all\r\n\r\n");
  world.run(50);
  const auto answers = client->answers({"HEAD", "GET"});
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].status == 200);
  CHECK(answers[1].status == 400);
  CHECK(answers[1].whole);
  CHECK(answers[1].body.find("\"error\"") != std::string::npos);
}

TEST_CASE("a host that is not served, or not the handshake's, is misdirected") {
  World world;
  check_refused(world, "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n", 421, "host_unknown");
  check_refused(world, "GET / HTTP/1.1\r\nHost: chat.test\r\n\r\n", 421, "host_unknown");
}

TEST_CASE("an anonymous browser is sent to sign in, with a state only it knows") {
  World world;
  const auto client = world.client();
  client->send(World::get("/a/b?c=d", "Accept: text/html\r\n", ""));
  world.run(20);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].status == 303);
  const std::string cookie = answers[0].field("set-cookie"), location = answers[0].field("location");
  REQUIRE(cookie.starts_with("__Host-wary_state="));
  const std::string state = cookie.substr(18, cookie.find(';') - 18);
  CHECK(location == "https://console.test:7443/continue?host=site.test%3A7443&path=%2Fa%2Fb%3Fc%3Dd&state=" +
                        codec::encode_hex(crypto::sha256(as_bytes(state))));
  CHECK(cookie.find("; Secure; HttpOnly; SameSite=Lax") != std::string::npos);
  CHECK(world.site->requests.empty());
  CHECK(client->is_open());
}

TEST_CASE("who may not gets a reference: JSON for programs, a page for people") {
  World world;
  const auto client = world.client();
  client->send(World::get("/x", "", ""));
  client->send(World::get("/x", "", "bob-token"));
  client->send(World::get("/x", "Accept: text/html\r\n", "bob-token"));
  client->send(World::get("/x", "", "alice-chat-token"));  // another host's token is nobody's
  world.run(50);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 4);
  CHECK(answers[0].status == 401);
  CHECK(code_of(answers[0]) == "unauthenticated");
  CHECK(answers[1].status == 403);
  CHECK(code_of(answers[1]) == "denied");
  CHECK(answers[2].status == 403);
  CHECK(answers[2].field("content-type") == "text/html; charset=utf-8");
  CHECK(answers[2].body.find(answers[2].field("wary-decision")) != std::string::npos);
  CHECK(answers[3].status == 401);
  const auto events = world.events();
  REQUIRE(events.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(events[i].decision_id == answers[i].field("wary-decision"));
    CHECK(events[i].detail.find("\"decision\":\"deny\"") != std::string::npos);
  }
  CHECK(events[1].actor == "Wary::User::\"bob\"");
  CHECK(events[1].session == "s-bob");
  CHECK(client->is_open());
  CHECK(world.site->requests.empty());
}

TEST_CASE("several requests of one connection are each decided and reach one upstream connection") {
  World world;
  const auto client = world.client();
  for (int i = 0; i < 3; ++i) {
    client->send(World::get("/page" + std::to_string(i)));
    world.run(20);
  }
  const auto answers = client->answers();
  REQUIRE(answers.size() == 3);
  for (int i = 0; i < 3; ++i) CHECK(answers[std::size_t(i)].body == "/page" + std::to_string(i));
  CHECK(world.site->streams.size() == 1);
  CHECK(world.events().size() == 3);
  world.check_recorded();
}

TEST_CASE("pipelined requests are answered in order, a denied one among them") {
  World world;
  const auto client = world.client();
  client->send(World::get("/1") + World::get("/2", "", "bob-token") + World::get("/3") + World::get("/4"));
  world.run(50);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 4);
  CHECK(answers[0].body == "/1");
  CHECK(answers[1].status == 403);
  CHECK(answers[2].body == "/3");
  CHECK(answers[3].body == "/4");
  world.check_recorded();
}

TEST_CASE("identity comes from the gateway alone, and its cookies stay with it") {
  World world;
  const auto client = world.client();
  client->send(
      "GET /me HTTP/1.1\r\nHost: site.test\r\nCookie: a=1; __Host-wary_session=alice-token; b=2; "
      "__Host-wary_state=s\r\n"
      "Wary-Principal: Wary::User::\"root\"\r\nwary_principal: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-User: "
      "root\r\n"
      "Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nConnection: X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\n"
      "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n\r\n");
  world.run(20);
  REQUIRE(world.site->requests.size() == 1);
  const AppRequest& seen = world.site->requests[0];
  CHECK(seen.field("wary-principal") == "Wary::User::\"alice\"");
  CHECK(seen.field("wary-session") == "s-alice");
  CHECK(seen.field("x-forwarded-for") == "127.0.0.1");
  CHECK(seen.field("x-forwarded-proto") == "https");
  CHECK(seen.field("cookie") == "a=1; b=2");
  // No part of the trace itself: its parent is the application's.
  CHECK(seen.field("traceparent") == "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01");
  for (const char* text : {"6.6.6.6", "root", "alice-token", "X-Secret", "__Host-wary", "trailers"}) {
    CHECK_MESSAGE(world.site->everything().find(text) == std::string::npos, text);
  }
  CHECK(world.events().at(0).trace_id == "0123456789abcdef0123456789abcdef");
}

TEST_CASE("a policy sees one name of the host, whatever port the client writes behind it") {
  World world;
  const auto client = world.client();
  for (const char* host : {"site.test", "SITE.test:7443", "site.test:1"}) {
    client->send("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
    world.run(20);
  }
  REQUIRE(world.events().size() == 3);
  for (const contract::Event& event : world.events()) {
    const auto detail = codec::parse_json(event.detail);
    CHECK(detail->find("context")->string_or("host", "") == "site.test");
  }
}

TEST_CASE("without a traceparent the event and the upstream get one trace") {
  World world;
  const auto client = world.ask("/t");
  REQUIRE(world.site->requests.size() == 1);
  const std::string trace = world.events().at(0).trace_id;
  CHECK(trace.size() == 32);
  CHECK(world.site->requests[0].field("traceparent").substr(3, 32) == trace);
}

TEST_CASE("an application cannot set the gateway's cookies nor speak as it") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: __Host-wary_session=evil; Path=/\r\nSet-Cookie: mine=1\r\n"
        "Wary-Decision: forged\r\nKeep-Alive: timeout=5\r\n\r\n");
  };
  const auto client = world.ask("/");
  const auto answers = client->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].count("set-cookie") == 1);
  CHECK(answers[0].field("set-cookie") == "mine=1");
  CHECK(answers[0].count("keep-alive") == 0);
  CHECK(answers[0].count("wary-decision") == 1);
  CHECK(answers[0].field("wary-decision") == world.events().at(0).decision_id);
}

TEST_CASE("an application that sends interim answers without end is given up") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    std::string all;
    for (int i = 0; i < 101; ++i) all += "HTTP/1.1 103 Early Hints\r\n\r\n";
    stream.send(all + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  };
  const auto client = world.ask("/");
  world.run(100);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 502);
}

TEST_CASE("a workload is known by its certificate and may what its policy says") {
  World world;
  const auto client = world.client("site.test", true);
  client->send(World::get("/data", "", ""));
  client->send("POST /data HTTP/1.1\r\nHost: site.test\r\nContent-Length: 0\r\n\r\n");
  world.run(30);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].status == 200);
  CHECK(answers[1].status == 403);
  CHECK(world.site->requests.at(0).field("wary-principal") == "Wary::Workload::\"spiffe://local/demo/reader\"");
}

TEST_CASE("sign-in goes on only with this browser's state, and sets the host's cookie") {
  World world;
  const auto client = world.client();
  client->send(
      "GET /.wary/continue?code=good&path=%2Fhome%3Fa HTTP/1.1\r\nHost: site.test:7443\r\n"
      "Cookie: __Host-wary_state=abc\r\n\r\n");
  world.run(20);
  auto answers = client->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].status == 303);
  CHECK(answers[0].field("location") == "/home?a");
  CHECK(client->received.find("Set-Cookie: __Host-wary_session=fresh-token; Path=/; Secure; HttpOnly") !=
        std::string::npos);
  CHECK(client->received.find("Set-Cookie: __Host-wary_state=;") != std::string::npos);
  CHECK(world.redeemed ==
        std::vector<std::string>{"good|site.test|" + codec::encode_hex(crypto::sha256(as_bytes("abc")))});
  for (const auto& [path, where] : std::vector<std::pair<std::string, std::string>>{{"%2F%2Fevil.test", "/"},
                                                                                    {"https%3A%2F%2Fevil.test", "/"},
                                                                                    {"%2F%5Cevil.test", "/"},
                                                                                    {"%2Fa%0D%0AX:1", "/"},
                                                                                    {"", "/"}}) {
    const auto other = world.client();
    other->send("GET /.wary/continue?code=good&path=" + path +
                " HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_state=abc\r\n\r\n");
    world.run(20);
    REQUIRE(other->answers().size() == 1);
    CHECK(other->answers()[0].field("location") == where);
  }
  CHECK(world.site->requests.empty());
}

TEST_CASE("sign-in without state, without code, or with a bad code is refused") {
  World world;
  check_refused(world, "GET /.wary/continue?code=good HTTP/1.1\r\nHost: site.test\r\n\r\n", 400, "sign_in_incomplete");
  check_refused(world, "GET /.wary/continue HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_state=a\r\n\r\n", 400,
                "sign_in_incomplete");
  check_refused(world,
                "GET /.wary/continue?code=bad HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_state=a\r\n\r\n", 403,
                "sign_in_refused");
}

TEST_CASE("a route that records before waits for the receipt") {
  World world;
  const auto client = world.ask("/before/a");
  CHECK(world.site->requests.empty());
  CHECK(client->received.empty());
  CHECK(world.events().size() == 1);
  world.give_receipts();
  world.run(20);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].body == "/before/a");
}

TEST_CASE("without a receipt the answer is 504, and what was pipelined behind it goes on") {
  World world;
  const auto client = world.client();
  client->send(World::get("/before/a") + World::get("/next"));
  world.run(4'000);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].status == 504);
  CHECK(answers[1].body == "/next");
  CHECK(world.site->requests.size() == 1);
}

TEST_CASE("a late receipt of one request does not let the next one pass") {
  World world;
  const auto client = world.client();
  client->send(World::get("/before/a"));
  world.run(3'000);
  REQUIRE(client->answers().size() == 1);
  client->send(World::get("/before/b"));
  world.run(20);
  world.worker->post_receipt(world.ring->boot(), 1);
  world.run(20);
  CHECK(world.site->requests.empty());
  world.worker->post_receipt(world.ring->boot(), 2);
  world.run(20);
  REQUIRE(world.site->requests.size() == 1);
  CHECK(world.site->requests[0].target == "/before/b");
}

TEST_CASE("a late receipt does not send an old request in place of a sign-in") {
  World world;
  world.redeem_holds = true;
  const auto client = world.client();
  client->send(World::get("/before/a"));
  world.run(3'000);
  client->send("GET /.wary/continue?code=good HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_state=abc\r\n\r\n");
  world.run(20);
  world.give_receipts();
  world.run(50);
  CHECK(world.site->requests.empty());
  REQUIRE(world.redeem_later);
  world.redeem_later(Redeemed{"fresh-token"});
  world.run(20);
  REQUIRE(client->answers().size() == 2);
  CHECK(client->answers()[1].status == 303);
}

TEST_CASE("an answer to an old sign-in is not given to a new one") {
  World world;
  world.redeem_holds = true;
  const auto client = world.client();
  const auto sign_in = [&](const std::string& code) {
    client->send("GET /.wary/continue?code=" + code +
                 " HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_state=abc\r\n\r\n");
  };
  sign_in("one");
  world.run(3'000);
  const auto first = world.redeem_later;
  REQUIRE(client->answers().size() == 1);
  sign_in("two");
  world.run(20);
  first(Redeemed{"token-of-one"});
  world.run(20);
  CHECK(client->received.find("token-of-one") == std::string::npos);
}

TEST_CASE("a sign-in that nobody confirms says so, and not that it could not be recorded") {
  World world;
  world.redeem_holds = true;
  const auto client = world.client();
  client->send("GET /.wary/continue?code=good HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_state=abc\r\n\r\n");
  world.run(3'000);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 504);
  CHECK(code_of(client->answers()[0]) == "sign_in_timeout");
}

TEST_CASE("while the ledger takes nothing nobody passes") {
  World world;
  world.shared.ledger_available = false;
  check_refused(world, World::get("/"), 503, "ledger_unavailable");
  world.shared.ledger_available = true;
  const auto client = world.ask("/");
  CHECK(client->answers().at(0).status == 200);
}

TEST_CASE("a full ring refuses, and freed it allows again") {
  World world;
  const auto client = world.client();
  std::size_t asked = 0;
  while (client->is_open() && asked < 5'000) {
    client->send(World::get("/"));
    world.run(5);
    ++asked;
  }
  const auto answers = client->answers();
  CHECK(answers.back().status == 503);
  CHECK(code_of(answers.back()) == "ledger_unavailable");
  CHECK(world.site->requests.size() == answers.size() - 1);
  world.check_recorded();
  world.ring->release(world.ring->boot(), world.ring->next_sequence() - 1);
  CHECK(world.ask("/")->answers().at(0).status == 200);
}

TEST_CASE("without a snapshot, or with one too old, nobody passes") {
  World world;
  const policy::SnapshotPtr snapshot = world.shared.snapshot.current();
  world.shared.snapshot.swap(nullptr);
  check_refused(world, World::get("/"), 503, "policy_unavailable");
  world.shared.snapshot.swap(snapshot);
  world.run(2 * 3'600'000);
  check_refused(world, World::get("/"), 503, "policy_unavailable");
}

TEST_CASE("a path as long as the parser takes is decided and recorded") {
  World world;
  const std::string path = "/" + std::string(8'000, 'p');
  const auto client = world.ask(path);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 200);
}

TEST_CASE("a load balancer that is named says whose connection it is, others cannot") {
  for (const bool is_named : {true, false}) {
    World world(1, is_named ? std::vector<std::string>{"127.0.0.1"} : std::vector<std::string>{});
    std::string header("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16);
    header += std::string("\xc0\x00\x02\x09\xc6\x33\x64\x02\xdc\x04\x01\xbb", 12);
    Client client(*world.client_loop, *world.anonymous_context, "site.test");
    client.send_raw(header);
    client.connect(io::Address::tcp("127.0.0.1", 7443));
    world.run(20);
    CHECK(client.is_open() == is_named);
    if (!is_named) continue;
    client.send(World::get("/x"));
    world.run(20);
    REQUIRE(world.site->requests.size() == 1);
    CHECK(world.site->requests[0].field("x-forwarded-for") == "192.0.2.9");
    CHECK(world.events().at(0).detail.find("\"client\":\"192.0.2.9\"") != std::string::npos);
    // One that says nothing, or something else, is not served.
    Client silent(*world.client_loop, *world.anonymous_context, "site.test");
    silent.connect(io::Address::tcp("127.0.0.1", 7443));
    Client wrong(*world.client_loop, *world.anonymous_context, "site.test");
    wrong.send_raw("PROXY TCP4 192.0.2.9 198.51.100.2 56324 443\r\n");
    wrong.connect(io::Address::tcp("127.0.0.1", 7443));
    world.run(20);
    CHECK(silent.ended_);
    CHECK(wrong.ended_);
    CHECK(world.site->requests.size() == 1);
  }
}

TEST_CASE("at the limit of connections the one that rested longest goes for a new one, and none that runs") {
  World world(1, {}, gateway::WorkerOptions{}.slice_sessions, 4);
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    if (request.target != "/slow") stream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  const auto running = world.ask("/slow");
  world.run(100);
  const auto longest = world.http2_client(), half = world.client(), shorter = world.client();
  world.run(100);
  half->send("GET / HTTP/1.1\r\nHost: site.te");  // for ever: nothing that keeps a place
  world.run(100);
  const auto fifth = world.ask("/x");
  CHECK(fifth->answers().at(0).status == 200);
  CHECK(longest->ended_);
  CHECK(longest->said_goodbye());
  CHECK(longest->received.find(std::string("\0\0\x08\x07", 4)) != std::string::npos);  // GOAWAY
  CHECK(world.worker->connections() == 4);
  // Whoever never shakes hands holds a place no better.
  std::vector<std::unique_ptr<Client>> silent;
  for (int i = 0; i < 8; ++i) {
    silent.push_back(std::make_unique<Client>(*world.client_loop, *world.anonymous_context, "site.test"));
    silent.back()->pause();
    silent.back()->connect(io::Address::tcp("127.0.0.1", 7443));
    world.run(50);
  }
  CHECK_FALSE(running->ended_);
  CHECK(shorter->ended_);
  CHECK(world.ask("/y")->answers().at(0).status == 200);
  CHECK(world.worker->connections() <= 4);
  world.site->streams.at(0)->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  world.run(20);
  CHECK(running->answers().at(0).status == 200);
  CHECK(world.metrics.counter("wary_gateway_made_room_total", "").value() >= 9);
}

TEST_CASE("where a worker may open no more, who rests gives way for what an application is asked") {
  World world(1, {}, gateway::WorkerOptions{}.slice_sessions, gateway::WorkerOptions{}.connections_max, 7);
  world.site->on_request = [](AppStream&, const AppRequest&) {};  // holds its connection
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(world.client());
    world.run(100);
  }
  CHECK(world.worker->connections() == 6);
  for (int i = 5; i >= 3; --i) {
    clients[static_cast<std::size_t>(i)]->send(World::get("/slow"));
    world.run(20);
  }
  CHECK(world.site->requests.size() == 3);
  CHECK(world.worker->connections() == 4);
  CHECK(*world.worker->upstream_descriptors() == 3);
  for (int i = 0; i < 6; ++i) CHECK(clients[static_cast<std::size_t>(i)]->ended_ == (i < 2));
  clients.clear();
  world.run(1'000);
  CHECK(*world.worker->upstream_descriptors() == 0);
}

TEST_CASE("at the limit of connections, where all have something running, a new one is refused") {
  World world(1, {}, gateway::WorkerOptions{}.slice_sessions, 2);
  world.site->on_request = [](AppStream&, const AppRequest&) {};
  const auto first = world.ask("/slow"), second = world.ask("/slow");
  Client third(*world.client_loop, *world.anonymous_context, "site.test");
  third.connect(io::Address::tcp("127.0.0.1", 7443));
  world.run(20);
  CHECK(third.ended_);
  CHECK_FALSE(first->ended_);
  CHECK_FALSE(second->ended_);
  CHECK(world.worker->connections() == 2);
}

TEST_CASE("a worker that drains lets what runs end with its protocol's own words") {
  World world;
  world.site->on_request = [](AppStream&, const AppRequest&) {};  // answered below
  const auto idle = world.client(), running = world.ask("/slow");
  bool drained = false;
  world.worker->post_drain([&] { drained = true; });
  world.run(20);
  CHECK(idle->ended_);
  CHECK(idle->said_goodbye());
  CHECK_FALSE(drained);
  CHECK_FALSE(running->ended_);
  world.site->streams.at(0)->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  world.run(20);
  REQUIRE(running->answers().size() == 1);
  CHECK(running->answers()[0].whole);
  CHECK(running->answers()[0].field("connection") == "close");
  running->close();
  world.run(20);
  CHECK(drained);
  CHECK(world.worker->connections() == 0);
}

TEST_CASE("a worker that is left ends nothing: each connection goes with its next answer") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    if (request.target != "/slow") stream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
  const auto idle = world.client(), running = world.ask("/slow");
  Client begins(*world.client_loop, *world.anonymous_context, "site.test");
  begins.connect(io::Address::tcp("127.0.0.1", 7443));
  while (world.worker->connections() < 3) world.run(1);
  bool drained = false;
  world.worker->post_drain([&] { drained = true; }, gateway::Drain::kLeave);
  world.run(200);
  CHECK_FALSE(idle->ended_);
  CHECK_FALSE(drained);
  idle->send(World::get("/next", "", "alice-token"));
  world.run(20);
  REQUIRE(idle->answers().size() == 1);
  CHECK(idle->answers()[0].status == 200);
  CHECK(idle->answers()[0].field("connection") == "close");
  CHECK(idle->said_goodbye());
  world.site->streams.at(0)->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  world.run(20);
  REQUIRE(running->answers().size() == 1);
  CHECK(running->answers()[0].field("connection") == "close");
  // Who was at its handshake is served once.
  begins.send(World::get("/begun", "", "alice-token"));
  world.run(20);
  REQUIRE(begins.answers().size() == 1);
  CHECK(begins.answers()[0].field("connection") == "close");
  idle->close();
  running->close();
  begins.close();
  world.run(20);
  CHECK(drained);
}

TEST_CASE("an answer that began as one of several is not made the last by leaving") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
  };
  const auto client = world.ask("/half");
  world.worker->post_drain([] {}, gateway::Drain::kLeave);
  world.run(20);
  world.site->streams.at(0)->send("lf");
  world.run(100);
  CHECK(client->answers().at(0).field("connection") != "close");
  CHECK_FALSE(client->ended_);
  world.worker->post_drain([] {}, gateway::Drain::kNow);
  world.run(20);
  CHECK(client->ended_);
}

TEST_CASE("obligations of a permit are kept, and one that is not known here denies") {
  World world;
  world.set_policies(
      "@obligation(\"redact_header\") @obligation_value(\"X-Secret\") permit (principal == Wary::User::\"alice\", "
      "action, "
      "resource in Wary::App::\"demo/site\");"
      "@obligation(\"record_before\") permit (principal == Wary::User::\"carol\", action, resource in "
      "Wary::App::\"demo/site\");"
      "@obligation(\"fold_paper\") permit (principal == Wary::User::\"bob\", action, resource in "
      "Wary::App::\"demo/site\");");
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nx-secret: 1\r\nX-Open: 2\r\nX-SECRET: 3\r\nContent-Length: 0\r\n\r\n");
  };
  const auto alice = world.ask("/");
  REQUIRE(alice->answers().size() == 1);
  CHECK(alice->answers()[0].field("x-open") == "2");
  CHECK(alice->answers()[0].count("x-secret") == 0);
  const auto carol = world.client();
  carol->send(World::get("/", "", "carol-token"));
  world.run(20);
  CHECK(carol->answers().empty());
  CHECK(world.site->requests.size() == 1);
  world.give_receipts();
  world.run(20);
  REQUIRE(carol->answers().size() == 1);
  CHECK(carol->answers()[0].count("x-secret") == 2);
  const auto bob = world.client();
  bob->send(World::get("/", "", "bob-token"));
  world.run(20);
  CHECK(bob->answers().at(0).status == 403);
  CHECK(world.events().back().detail.find("obligation_unknown") != std::string::npos);
}

TEST_CASE("an obligation that comes while the application is asked holds for its answer") {
  World world;
  AppStream* asked = nullptr;
  world.site->on_request = [&](AppStream& stream, const AppRequest&) { asked = &stream; };
  const auto client = world.ask("/");
  REQUIRE(asked != nullptr);
  world.set_policies(
      "@obligation(\"redact_header\") @obligation_value(\"X-Secret\") permit (principal, action, "
      "resource in Wary::App::\"demo/site\");");
  world.run(20);
  asked->send("HTTP/1.1 200 OK\r\nX-Secret: 1\r\nX-Open: 2\r\nContent-Length: 0\r\n\r\n");
  world.run(20);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].field("x-open") == "2");
  CHECK(client->answers()[0].count("x-secret") == 0);
}

TEST_CASE("a connection that is idle holds nothing of its last request") {
  World world;
  const auto client = world.client("site.test", true);
  for (int i = 0; i < 2; ++i) {
    client->received.clear();
    client->send(World::get("/page", "X-Long: " + std::string(1500, 'x') + "\r\n"));
    world.run(20);
    REQUIRE(client->answers().size() == 1);
    CHECK(client->answers()[0].whole);
    CHECK(world.worker->held_bytes() > 1500);
    world.run(1'200);
    CHECK(world.worker->held_bytes() < 500);  // the question that it is open under, to be asked again
    CHECK(client->is_open());
  }
}
