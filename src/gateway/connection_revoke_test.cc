// The end of trust while a connection is open, in every state it can be in; faults at every byte; published framing
// cases.
#include <algorithm>

#include "codec/text.h"
#include "gateway/connection_test_world.h"
#include "tests/support/skip.h"
#include "tests/support/testdata.h"

using namespace wary;
using namespace wary::gateway::test;

namespace {

std::size_t cuts(const World& world) {
  const auto events = world.events();
  return static_cast<std::size_t>(
      std::count_if(events.begin(), events.end(), [](const auto& event) { return event.action == "session.cut"; }));
}

void check_cut(World& world, Client& client) {
  world.run(20);
  client.close();
  world.run(20);
  CHECK(client.ended_);
  CHECK(world.worker->connections() == 0);
  CHECK(world.worker->live().size() == 0);
  CHECK(cuts(world) == 1);
}

}  // namespace

TEST_CASE("a revoked person's idle connection is cut, others stay") {
  World world;
  const auto alice = world.ask("/");
  const auto carol = world.client();
  carol->send(World::get("/", "", "carol-token"));
  world.run(20);
  world.revoke("alice");
  world.run(1);
  CHECK(alice->ended_);
  CHECK(alice->was_reset);
  CHECK(carol->is_open());
  carol->send(World::get("/more", "", "carol-token"));
  world.run(20);
  CHECK(carol->answers().size() == 2);
  CHECK(cuts(world) == 1);
  const auto events = world.events();
  const auto cut =
      std::find_if(events.begin(), events.end(), [](const auto& event) { return event.action == "session.cut"; });
  CHECK(cut->decision_id == events[0].decision_id);
  CHECK(cut->actor == "Wary::User::\"alice\"");
}

TEST_CASE("revocation cuts while a receipt is awaited, and the request never leaves") {
  World world;
  const auto client = world.ask("/before/x");
  world.revoke("alice");
  check_cut(world, *client);
  world.give_receipts();
  world.run(20);
  CHECK(world.site->streams.empty());
}

TEST_CASE("revocation cuts while the application is being connected") {
  World world;
  const auto client = world.client();
  client->send(World::get("/"));
  for (int i = 0; i < 1'000 && world.worker->live().size() == 0; ++i) world.sim.run_for(1'000);
  REQUIRE(world.worker->live().size() == 1);
  REQUIRE(world.site->streams.empty());
  world.revoke("alice");
  check_cut(world, *client);
  CHECK(world.site->requests.empty());
}

TEST_CASE("revocation cuts while an answer is awaited") {
  World world;
  world.site->on_request = [](AppStream&, const AppRequest&) {};
  const auto client = world.ask("/");
  world.revoke("alice");
  check_cut(world, *client);
  // Nothing waited in a queue, so it is told why.
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 403);
  CHECK(client->received.find("access_ended") != std::string::npos);
  CHECK(world.site->streams.at(0)->ended);
}

TEST_CASE("revocation cuts in the middle of an upload") {
  World world;
  const auto client = world.client();
  client->send(
      "POST / HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\nContent-Length: "
      "100\r\n\r\nhalf");
  world.run(20);
  world.revoke("alice");
  check_cut(world, *client);
  CHECK(world.site->requests.empty());
}

TEST_CASE("an expired certificate ends what is open under it, and is nobody's on a connection that stays") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  };
  const auto streaming = world.client("site.test", true), later = world.client("site.test", true);
  streaming->send(World::get("/data", "", ""));
  world.run(100);
  REQUIRE(streaming->received.find("c\r\n") != std::string::npos);  // its chunks are cut as its bytes arrive
  world.sim.jump_wall_clock(10'000'001 * kNanosPerSecond);          // past the workload's certificate
  later->send(World::get("/data", "", ""));
  world.run(1'000);
  CHECK(streaming->was_reset);
  CHECK(world.site->requests.size() == 1);
  REQUIRE(later->answers().size() == 1);
  CHECK(later->answers()[0].status == 401);
  CHECK(later->received.find("certificate_expired") != std::string::npos);
  CHECK(world.events().back().action == "session.cut");
  CHECK(world.events().back().detail.find("certificate_expired") != std::string::npos);
}

TEST_CASE("revocation cuts a streaming answer, and what is queued is not delivered") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + std::string(1'000'000, 'x'));
  };
  const auto client = world.client();
  client->pause();
  client->send(World::get("/"));
  world.run(100);
  const std::size_t before = client->received.size();
  world.revoke("alice");
  world.run(20);
  client->resume();
  check_cut(world, *client);
  CHECK(client->was_reset);
  CHECK(client->received.size() == before);
}

// A change that concerns thousands is decided in slices: what happens to a connection before its slice finds it
// decided.
TEST_CASE("a session that waits to be decided again is, before anything is done for it") {
  World world(1, {}, 1);
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  };
  std::vector<std::unique_ptr<Client>> alices;
  std::vector<AppStream*> answers;
  for (int i = 0; i < 12; ++i) {
    alices.push_back(world.ask("/stream"));
    answers.push_back(world.site->streams.back().get());
  }
  const auto carol = world.client();
  carol->send(World::get("/stream", "", "carol-token"));
  world.run(100);
  REQUIRE(world.worker->live().size() == 13);
  world.tells_worker = false;
  world.revoke("alice");
  world.worker->live().mark({{"Wary::User", "alice"}}, 1);
  world.run(50);
  CHECK(cuts(world) == 0);  // nothing has happened to them
  std::vector<std::size_t> received;
  for (const auto& client : alices) received.push_back(client->received.size());
  const std::size_t asked = world.site->everything().size();
  for (std::size_t i = 0; i < 4; ++i) answers[i]->send("3\r\ndef\r\n");
  for (std::size_t i = 4; i < 8; ++i) alices[i]->send("more");
  world.site->streams.back()->send("3\r\ndef\r\n");
  world.run(50);
  CHECK(cuts(world) == 8);
  CHECK(world.worker->live().size() == 5);
  CHECK(carol->answers().at(0).body == "abcdef");  // however its chunks were cut
  // The slices, of one session each.
  world.worker->post_changed(std::make_shared<const std::vector<contract::EntityId>>(), false, 2);
  world.run(50);
  CHECK(cuts(world) == 12);
  for (std::size_t i = 0; i < alices.size(); ++i) {
    CHECK(alices[i]->was_reset);
    CHECK(alices[i]->received.size() == received[i]);
  }
  CHECK(world.site->everything().size() == asked);
  CHECK(carol->is_open());
  CHECK(world.worker->live().size() == 1);
}

TEST_CASE("a connection that waits to be decided again meets its receipt and its application decided") {
  World waiting(1, {}, 1), connecting(1, {}, 1);
  const auto held = waiting.ask("/before/x");
  waiting.tells_worker = false;
  waiting.revoke("alice");
  waiting.worker->live().mark({{"Wary::User", "alice"}}, 1);
  waiting.give_receipts();
  check_cut(waiting, *held);
  CHECK(waiting.site->streams.empty());
  const auto client = connecting.client();
  client->send(World::get("/"));
  for (int i = 0; i < 1'000 && connecting.worker->live().size() == 0; ++i) connecting.sim.run_for(1'000);
  REQUIRE(connecting.site->streams.empty());
  connecting.tells_worker = false;
  connecting.revoke("alice");
  connecting.worker->live().mark({{"Wary::User", "alice"}}, 1);
  check_cut(connecting, *client);
  CHECK(connecting.site->requests.empty());
}

TEST_CASE("what an application has no room for does not go on to it before it is decided again") {
  World world;
  world.sim.let_resets_overtake(false);
  world.site->on_bytes = [](AppStream&) {};
  const auto client = world.client();
  client->send(
      "POST / HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\nContent-Length: "
      "400000\r\n\r\n");
  world.run(20);
  AppStream& app = *world.site->streams.at(0);
  app.reads = false;
  app.flush();
  client->send(std::string(300'000, 'b'));
  world.run(50);
  const std::size_t before = app.received.size();
  world.tells_worker = false;
  world.revoke("alice");
  world.worker->live().mark({{"Wary::User", "alice"}}, 1);
  app.reads = true;
  app.flush();
  world.run(50);
  CHECK(cuts(world) == 1);
  CHECK(app.ended);
  CHECK(app.received.size() - before <= 64 * 1024);  // that it had been sent already
}

TEST_CASE("a revoked WebSocket hears 1008, one with a queue or a frame half sent is reset") {
  for (const bool half : {false, true}) {
    World world;
    world.site->on_bytes = [](AppStream& stream) {
      if (stream.parsed++ == 0) {
        stream.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
      }
    };
    const auto client = world.ask("/ws",
                                  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    REQUIRE(client->answers().at(0).status == 101);
    client->received.clear();
    const std::string frame("\x81\x05hello\x82\x7e\x00\x80", 11);  // a whole text frame, then the head of 128 bytes
    world.site->streams[0]->send(half ? frame + "some" : frame.substr(0, 7));
    world.run(20);
    client->received.clear();
    world.revoke("alice");
    check_cut(world, *client);
    CHECK(client->received == (half ? "" : std::string("\x88\x02\x03\xf0", 4)));
    CHECK(client->said_goodbye() != half);
    CHECK(world.site->streams[0]->ended);
  }
}

TEST_CASE("a denied request leaves nothing to revoke") {
  World world;
  const auto client = world.ask("/");
  client->send(World::get("/", "", "bob-token"));
  world.run(20);
  world.revoke("alice");
  world.run(20);
  CHECK(client->is_open());
  CHECK(cuts(world) == 0);
}

TEST_CASE("a change that takes nothing away leaves the connection untouched") {
  World world;
  const auto client = world.ask("/");
  world.change({make_entity("Wary::Group", "new")});
  world.change({make_user("alice", false)});
  world.run(20);
  client->send(World::get("/2"));
  world.run(20);
  CHECK(client->answers().size() == 2);
}

TEST_CASE("a changed policy decides everything again") {
  World world;
  const auto alice = world.ask("/");
  const auto carol = world.client();
  carol->send(World::get("/", "", "carol-token"));
  world.run(20);
  world.set_policies(R"(permit (principal == Wary::User::"carol", action, resource);)");
  world.run(20);
  CHECK(alice->ended_);
  CHECK(carol->is_open());
}

TEST_CASE("a removed session ends its connections") {
  World world;
  const auto client = world.ask("/");
  world.change({}, {{"Wary::Session", "s-alice"}});
  check_cut(world, *client);
}

TEST_CASE("a session that expires while its connection is open is cut within a second") {
  World world;
  const auto client = world.client();
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  };
  client->send(World::get("/stream"));
  world.run(20);
  // The clocks of sessions are of the wall.
  const std::int64_t left = 1'790'003'600LL * kNanosPerSecond - world.sim.clock().unix_time().nanos;
  world.sim.jump_wall_clock(left - 2 * kNanosPerSecond);
  world.run(1'000);
  CHECK(client->is_open());
  world.run(2'000);
  CHECK(client->ended_);
  CHECK(cuts(world) == 1);
}

TEST_CASE("whose session has ended signs in again, and who is revoked is told so") {
  World world;
  const std::string html = "Accept: text/html\r\n";
  world.sim.jump_wall_clock(1'790'003'600LL * kNanosPerSecond - world.sim.clock().unix_time().nanos);
  auto answers = world.ask("/a?b=c", html)->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].status == 303);
  CHECK(answers[0].field("location") == "/a?b=c");
  CHECK(answers[0].field("set-cookie") == "__Host-wary_session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
  CHECK(world.events().back().actor == "Wary::User::\"alice\"");
  answers = world.ask("/a")->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].status == 401);
  CHECK(answers[0].body.find("session_ended") != std::string::npos);
  world.change({make_user("alice", true)});
  answers = world.ask("/a", html)->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].status == 403);
}

TEST_CASE("a fact that changes by itself without taking access away cuts nothing, and the next one is seen") {
  World world;
  world.set_policies(R"(permit (principal, action, resource) unless { principal.risk > 50 };)");
  const std::int64_t now = world.sim.clock().unix_time().nanos;
  auto risky = make_user("alice", false);
  auto fact = make_fact("risk", std::int64_t{0});
  fact.expires = UnixTime{now + 5 * kNanosPerSecond};
  fact.on_expiry = std::int64_t{20};
  risky.attributes.push_back(fact);
  world.change({risky});
  const auto client = world.ask("/");
  REQUIRE(client->answers().at(0).status == 200);
  world.run(7'000);
  CHECK(client->is_open());
  risky.attributes.back() = make_fact("risk", std::int64_t{90});
  world.change({risky});
  check_cut(world, *client);
}

TEST_CASE("a connection cut at any byte leaks nothing, and what the application was asked is recorded") {
  for (std::uint64_t at = 1; at < 9'000; at += at < 3'000 ? 7 : 131) {
    World world(at);
    world.site->on_request = [](AppStream& stream, const AppRequest& request) {
      stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n" +
                  request.body.substr(0, 0));
    };
    Client client(*world.client_loop, *world.anonymous_context, "site.test");
    world.sim.break_streams_after(at);
    client.connect(io::Address::tcp("127.0.0.1", 7443));
    world.run(5);
    if (client.is_open()) client.send(World::get("/1"));
    world.run(10);
    if (client.is_open())
      client.send(
          "POST /2 HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\nContent-Length: "
          "3000\r\n\r\n" +
          std::string(3'000, 'b'));
    world.run(20);
    world.check_recorded();
    CHECK(world.site->garbage == 0);
    for (const auto& answer : client.answers()) CHECK((answer.status == 200 || answer.status == 502));
    client.reset();
    world.run(70'000);
    CHECK(world.worker->connections() == 0);
    CHECK(world.worker->live().size() == 0);
  }
}

TEST_CASE("what is open to an application ends when that is removed, whatever the policies say") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest&) {
    stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
  };
  const auto streams = world.ask("/stream");
  CHECK_FALSE(streams->ended_);
  world.change({}, {{"Wary::App", "demo/chat"}});
  world.run(20);
  CHECK_FALSE(streams->ended_);
  world.change({}, {{"Wary::App", "demo/site"}});
  world.run(20);
  CHECK(streams->was_reset);
  CHECK(world.events().back().action == "session.cut");
  CHECK(world.events().back().detail.find("\"reason\":\"application_removed\"") != std::string::npos);
  CHECK(world.worker->live().size() == 0);
}

TEST_CASE("published framing cases: nothing that must be refused reaches an application") {
  const auto folder = wary::test::testdata();
  if (!folder) WARY_SKIP("WARY_TESTDATA is not set");
  const auto text = wary::test::read_file(*folder + "/access/http1/framing.json");
  if (!text) WARY_SKIP("no access/http1/framing.json there");
  const auto cases =
      codec::parse_json(*text, {.bytes = std::size_t{64} << 20, .depth = 64, .items = 100'000, .total = 1'000'000});
  REQUIRE(cases.ok());
  std::size_t ran = 0;
  for (const codec::Json& one : cases->items()) {
    const std::string id(one.string_or("id", ""));
    const auto raw = codec::decode_base64(one.string_or("raw_b64", ""));
    REQUIRE(raw.ok());
    World world;
    world.set_policies("permit (principal, action, resource);");
    // The cases name a host of their own.
    auto app = make_entity("Wary::App", "demo/site",
                           {make_fact("hosts", codec::Json::array({codec::Json("bench.local"), codec::Json("site.test"),
                                                                   codec::Json("a.example")})),
                            make_fact("upstream", "http://127.0.0.1:9000")});
    std::vector<Error> problems;
    world.worker->post_site(gateway::Site::build({&app}, {}, problems));
    world.change({app});
    const auto client = world.client();
    client->send(as_text(*raw));
    world.run(200);
    const std::string expect(one.string_or("expect", ""));
    const auto wanted = static_cast<std::size_t>(one.integer_or("upstream_requests", 0));
    CHECK_MESSAGE(world.site->garbage == 0, id);
    for (const auto& stream : world.site->streams)
      CHECK_MESSAGE((stream->parsed == stream->received.size() || stream->ended), id);
    if (expect == "forward")
      CHECK_MESSAGE(world.site->requests.size() == wanted, id);
    else if (expect.starts_with("reject-4"))
      CHECK_MESSAGE(world.site->requests.size() <= wanted, id);
    else
      CHECK_MESSAGE(world.site->requests.size() <= 1, id);
    if (const codec::Json* forbidden = one.find("forbidden_upstream")) {
      for (const codec::Json& text_of : forbidden->items()) {
        CHECK_MESSAGE(world.site->everything().find(text_of.as_string()) == std::string::npos, id);
      }
    }
    world.check_recorded();
    ++ran;
  }
  MESSAGE(ran, " framing cases");
  CHECK(ran > 0);
}

TEST_CASE("who signs out gets the answer that says so, and nothing after it") {
  World world;
  world.set_policies("permit (principal == Wary::User::\"alice\", action, resource);");
  auto console = make_entity("Wary::App", "wary/console",
                             {make_fact("hosts", codec::Json::array({codec::Json("site.test")})),
                              make_fact("upstream", "http://127.0.0.1:9000")});
  std::vector<Error> problems;
  world.worker->post_site(gateway::Site::build({&console}, {}, problems));
  world.change({console});
  world.site->on_request = [](AppStream&, const AppRequest&) {};
  const auto leaving = world.ask("/api/signout"), reading = world.ask("/api/me");
  REQUIRE(world.site->streams.size() == 2);
  world.revoke("alice");
  world.run(20);
  REQUIRE(reading->answers().size() == 1);
  CHECK(reading->answers()[0].status == 403);
  CHECK(leaving->answers().empty());
  AppStream& stream = *world.site->streams.at(0);
  stream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nout\n");
  world.run(20);
  REQUIRE(leaving->answers().size() == 1);
  CHECK(leaving->answers()[0].status == 200);
  CHECK(leaving->answers()[0].body == "out\n");
  leaving->send(World::get("/api/me"));
  world.run(20);
  REQUIRE(leaving->answers().size() == 2);
  CHECK(leaving->answers()[1].status == 403);
}
