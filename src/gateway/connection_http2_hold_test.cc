// A client's HTTP/2 where something is held: cookies in pieces, answers that nobody reads, and what of an answer that
// is whole waits in a queue when access ends.
#include <algorithm>

#include "gateway/connection_http2_test_client.h"
#include "http/websocket_stream.h"

using namespace wary;
using namespace wary::gateway::test;

namespace {

const io::Address kShopAddress = io::Address::tcp("127.0.0.1", 9002);

void answer_with(World& world, std::size_t size) {
  world.site->on_request = [size](AppStream& stream, const AppRequest& request) {
    if (request.target == "/never") return;
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" + std::string(size, 'x'));
  };
}

}  // namespace

TEST_CASE("a cookie that comes in pieces is one cookie, and a session that comes twice is none") {
  World world;
  Http2TestClient client(world);
  auto split = client.head("GET", "/split", "theme=dark");
  split.push_back({"cookie", "__Host-wary_session=alice-token"});
  split.push_back({"cookie", "lang=en"});
  const auto first = client.send(split);
  auto twice = client.head("GET", "/twice");
  twice.push_back({"cookie", "__Host-wary_session=bob-token"});
  const auto second = client.send(twice);
  client.run(20);
  CHECK(client.answer(first).status == 200);
  CHECK(client.answer(second).status == 401);
  REQUIRE(world.site->requests.size() == 1);
  CHECK(world.site->requests[0].field("cookie") == "theme=dark; lang=en");
  CHECK(world.site->requests[0].field("wary-principal") == "Wary::User::\"alice\"");
}

TEST_CASE("the answer to HEAD has no body, however an application of HTTP/2 ends it") {
  World world;
  Http2TestApp app(*world.app_loop, kShopAddress);
  app.on_end = [](Http2TestApp::Peer& peer, std::int32_t stream, Http2TestApp::Call&) {
    peer.session.submit_answer(stream, 200, {{"content-type", "text/plain"}}, false);
    peer.session.end(stream, {});
  };
  const auto client = world.client("grpc.test");
  client->send(
      "HEAD /x HTTP/1.1\r\nHost: grpc.test\r\nCookie: __Host-wary_session=alice-grpc-token\r\n\r\n"
      "HEAD /y HTTP/1.1\r\nHost: grpc.test\r\nCookie: __Host-wary_session=alice-grpc-token\r\n\r\n");
  world.run(50);
  const auto answers = client->answers({"HEAD", "HEAD"});
  REQUIRE(answers.size() == 2);
  CHECK(answers[1].status == 200);
}

TEST_CASE("what comes behind a WebSocket's opening waits for the application to agree to it") {
  // To an application that does not, these bytes would be its next request.
  const std::string smuggled = "GET /admin HTTP/1.1\r\nHost: site.test\r\nWary-Principal: root\r\n\r\n";
  for (const bool agrees : {false, true}) {
    World world;
    AppStream* asked = nullptr;
    world.site->on_bytes = [&](AppStream& stream) { asked = &stream; };
    Http2TestClient client(world);
    client.run(3);
    const auto stream = client.send({{":method", "CONNECT"},
                                     {":protocol", "websocket"},
                                     {":scheme", "https"},
                                     {":authority", "site.test"},
                                     {":path", "/ws"},
                                     {"cookie", "__Host-wary_session=alice-token"},
                                     {"sec-websocket-version", "13"}},
                                    smuggled, false);
    client.run(20);
    REQUIRE(asked != nullptr);
    CHECK(asked->received.ends_with("\r\n\r\n"));
    CHECK(asked->received.find("root") == std::string::npos);
    const std::size_t key = asked->received.find("Sec-WebSocket-Key: ") + 19;
    asked->send(agrees ? "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                         "Sec-WebSocket-Accept: " +
                             http::websocket_accept(asked->received.substr(key, 24)) + "\r\n\r\n"
                       : "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    client.run(20);
    CHECK(client.answer(stream).status == (agrees ? 200 : 404));
    CHECK(asked->received.ends_with(smuggled) == agrees);
    CHECK(world.site->streams.size() == 1);
  }
}

TEST_CASE("who never reads an answer that is whole is given up, whatever they hold back") {
  struct Case {
    bool reads;
    int requests;
    std::int64_t seconds;
  };
  // Of twenty some are still being read from the application: they end with their own time limit.
  for (const Case& one : {Case{true, 20, 400}, Case{false, 20, 400}, Case{false, 8, 100}}) {
    World world;
    answer_with(world, 100'000);
    Http2TestClient client(world);
    client.run(5);
    client.consumes = false;
    if (!one.reads) client.client().pause();
    for (int i = 0; i < one.requests; ++i) client.send(client.head("GET", "/large"));
    client.run(300);
    CHECK(world.worker->held_bytes() > 200'000);
    world.run(one.seconds * 1'000);
    CHECK(world.worker->held_bytes() < 100'000);
    CHECK(world.worker->connections() == 0);
  }
}

TEST_CASE("an answer that stops half way ends its stream, and the connection goes on") {
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    const std::string length = request.target == "/half" ? "10" : "4";
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: " + length + "\r\n\r\nhalf");
  };
  Http2TestClient client(world);
  const auto half = client.send(client.head("GET", "/half"));
  client.run(20);
  REQUIRE(client.answer(half).body == "half");
  world.run(299'000);
  for (int i = 0; i < 20 && !client.answer(half).closed; ++i) client.run(100);
  CHECK(client.answer(half).error == http::kHttp2InternalError);
  CHECK_FALSE(client.client().ended_);
  const auto next = client.send(client.head("GET", "/next"));
  client.run(20);
  CHECK(client.answer(next).body == "half");
  CHECK(client.answer(next).whole);
}

TEST_CASE("whose streams have all ended does not hold the connection by not reading what waits on it") {
  std::size_t most = 0;
  for (std::size_t size = 60'000; size < 260'000; size += 10'000) {
    World world;
    answer_with(world, size);
    Http2TestClient client(world);
    client.run(5);
    client.client().pause();
    client.send(client.head("GET", "/large"));
    client.run(100);
    most = std::max(most, world.worker->held_bytes());
    world.run(400'000);
    CHECK_MESSAGE(world.worker->connections() == 0, size);
  }
  CHECK(most > 100'000);
}

TEST_CASE("who reads slowly, but reads, gets the whole of it") {
  World world;
  answer_with(world, 120'000);
  Http2TestClient client(world);
  client.run(5);
  client.consumes = false;
  std::vector<std::int32_t> streams;
  for (int i = 0; i < 12; ++i) streams.push_back(client.send(client.head("GET", "/large")));
  client.run(300);
  for (int i = 0; i < 30; ++i) {
    for (const std::int32_t stream : streams) {
      client.session().consume(stream, std::min<std::size_t>(client.session().unconsumed(stream), 30'000));
    }
    client.run(10);
    world.run(20'000);
  }
  for (const std::int32_t stream : streams) CHECK(client.answer(stream).body.size() == 120'000);
}

// Carol's answer fills the way to the client, alice's waits behind it.
TEST_CASE("an answer that is whole but waits in the queue does not reach whom access was taken from") {
  const std::string carol = "__Host-wary_session=carol-token";
  for (const bool is_last : {true, false}) {
    World world;
    answer_with(world, 60'000);
    Http2TestClient client(world);
    client.run(5);
    client.client().pause();
    const auto open = client.send(client.head("GET", "/never", carol));
    client.send(client.head("GET", "/large", carol));
    client.run(20);
    client.send(client.head("GET", "/large"));
    client.run(20);
    if (!is_last) client.send(client.head("GET", "/x", "other=1"));
    client.run(20);
    const std::size_t before = client.client().received.size();
    CHECK(world.worker->held_bytes() > 20'000);
    world.revoke("alice");
    client.run(20);
    client.client().resume();
    client.run(50);
    CHECK(client.client().was_reset);
    CHECK(client.client().received.size() == before);
    CHECK(client.answer(open).status == 0);
  }
}

// The last stream that ended has nothing in the queue, and the connection is cut for it; the one before it has.
TEST_CASE("what waits of one stream does not go out with the goodbye to another") {
  for (const std::size_t slice : {std::size_t{1}, std::size_t{64}}) {
    World world(1, {}, slice);
    world.site->on_bytes = [](AppStream& stream) {
      const bool is_early = stream.received.starts_with("POST");
      if (is_early ? stream.parsed++ > 0 : !stream.received.ends_with("\r\n\r\n")) return;
      const std::size_t size = is_early ? 0 : 60'000;
      stream.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" + std::string(size, 'x'));
    };
    Http2TestClient client(world);
    client.run(5);
    const auto early = client.send(client.head("POST", "/early"), "half", false);
    client.run(20);
    REQUIRE(client.answer(early).whole);
    client.client().pause();
    client.send(client.head("GET", "/first"));
    client.run(20);
    const auto waits = client.send(client.head("GET", "/second"));
    client.run(20);
    client.write(early, "", true);
    client.run(20);
    REQUIRE(world.worker->live().size() == 2);  // what went out before them has nothing to lose
    client.client().resume();                   // there is room for the rest in the very turn in which access ends
    world.revoke("alice");
    client.run(50);
    CHECK(client.client().was_reset);
    CHECK_FALSE(client.answer(waits).whole);
  }
}

// A cut that tells why is one write; what waits on the connection would go out with it.
TEST_CASE("what waits of one stream does not go out with the cut of another, in whatever slice that is") {
  for (const bool in_slices : {true, false}) {
    World world(1, {}, 1);
    AppStream* streaming = nullptr;
    world.site->on_request = [&](AppStream& stream, const AppRequest& request) {
      if (request.target == "/stream") streaming = &stream;
      stream.send(request.target == "/stream"
                      ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                      : "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + std::string(200'000, 'x'));
    };
    world.sim.let_resets_overtake(false);
    Http2TestClient client(world);
    client.run(5);
    const auto stream = client.send(client.head("GET", "/stream"));
    client.run(20);
    REQUIRE(client.answer(stream).body == "abc");
    client.client().pause();
    client.send(client.head("GET", "/first"));
    client.send(client.head("GET", "/second"));
    client.run(50);
    const std::size_t before = client.client().received.size();
    REQUIRE(world.worker->held_bytes() > 100'000);
    REQUIRE(world.worker->live().size() == 3);
    world.tells_worker = in_slices;
    world.revoke("alice");
    if (!in_slices) {
      world.worker->live().mark({{"Wary::User", "alice"}}, 1);
      streaming->send("3\r\ndef\r\n");
    }
    client.client().resume();
    client.client().send("");  // which makes room at once, and before the edge is told so
    client.run(50);
    CHECK(client.client().was_reset);
    CHECK(client.client().received.size() - before <= 64 * 1024);  // what was on its way
  }
}

TEST_CASE("a head that waits in the queue does not reach whom access was taken from either") {
  const std::string carol = "__Host-wary_session=carol-token";
  World world;
  world.site->on_request = [](AppStream& stream, const AppRequest& request) {
    const bool is_large = request.target == "/large";
    stream.send(is_large ? "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + std::string(70'000, 'x')
                         : "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-Secret: it\r\n\r\n");
  };
  Http2TestClient client(world);
  client.run(5);
  client.client().pause();
  client.send(client.head("GET", "/large", carol));
  client.run(20);
  const auto secret = client.send(client.head("GET", "/secret"));
  client.run(20);
  world.revoke("alice");
  client.run(20);
  client.client().resume();
  client.run(50);
  CHECK(client.client().was_reset);
  CHECK(client.answer(secret).field("x-secret").empty());
}

TEST_CASE("a body that waits for an application's window is decided before it goes on") {
  World world;
  Http2TestApp app(*world.app_loop, kShopAddress);
  app.on_head = [](Http2TestApp::Peer& peer, std::int32_t, Http2TestApp::Call&) { peer.consumes = false; };
  const auto client = world.client("grpc.test");
  client->send(
      "POST /x HTTP/1.1\r\nHost: grpc.test\r\nCookie: __Host-wary_session=alice-grpc-token\r\nContent-Length: "
      "600000\r\n\r\n" +
      std::string(400'000, 'b'));
  world.run(100);
  REQUIRE(app.peers.size() == 1);
  Http2TestApp::Peer& peer = *app.peers[0];
  const std::size_t before = peer.calls[1].body.size();
  REQUIRE(before > 100'000);
  world.tells_worker = false;
  world.revoke("alice");
  world.worker->live().mark({{"Wary::User", "alice"}}, 1);
  peer.session.consume(1, before);
  peer.flush();
  world.run(50);
  CHECK(peer.calls[1].closed);
  CHECK(peer.calls[1].body.size() == before);
  CHECK(world.worker->live().size() == 0);
}

TEST_CASE("an HTTP/1.1 answer that waits is still its own request's when another is pipelined behind it") {
  World world;
  answer_with(world, 100'000);
  const auto client = world.client();
  world.run(10);
  client->pause();
  client->send(World::get("/large") + World::get("/never", "", "carol-token"));
  world.run(50);
  const std::size_t before = client->received.size();
  world.revoke("alice");
  world.run(20);
  client->resume();
  world.run(50);
  CHECK(client->was_reset);
  CHECK(client->received.size() == before);
}

TEST_CASE("a stream has nothing of the request that was served before in its place") {
  // What each request is answered by itself, on a connection of its own.
  enum class Kind { kGet, kHead, kDenied, kCall, kElsewhere, kLarge, kTakenBack, kCount };
  const auto ask = [](Http2TestClient& client, Kind kind) {
    auto fields =
        client.head(kind == Kind::kHead                               ? "HEAD"
                    : kind == Kind::kCall || kind == Kind::kTakenBack ? "POST"
                                                                      : "GET",
                    "/some/where", kind == Kind::kDenied || kind == Kind::kCall ? "__Host-wary_session=bob-token" : "");
    if (kind == Kind::kCall) fields.push_back({"content-type", "application/grpc"});
    if (kind == Kind::kElsewhere) fields[2].value = "elsewhere.test";
    for (int i = 0; kind == Kind::kLarge && i < 110; ++i) fields.push_back({"x-many", "x"});
    const auto stream = client.send(fields, "", kind != Kind::kTakenBack);
    client.run(20);
    if (kind == Kind::kTakenBack) client.reset(stream);
    client.run(20);
    const auto& answer = client.answer(stream);
    std::string out = std::to_string(answer.status) + " " + std::to_string(answer.whole) + " ";
    for (const auto& [name, value] : answer.fields) {
      const bool is_numbered = name == "wary-decision" || (name == "content-length" && answer.status != 200);
      out += name + (is_numbered ? " " : ":" + value + " ");
    }
    const std::size_t reference = answer.body.find("\"reference\"");
    return out + answer.body.substr(0, reference);
  };
  std::vector<std::string> alone;
  for (int kind = 0; kind < static_cast<int>(Kind::kCount); ++kind) {
    World world;
    Http2TestClient client(world);
    client.run(2);
    alone.push_back(ask(client, static_cast<Kind>(kind)));
  }
  CHECK(alone[0].starts_with("200"));
  CHECK(alone[2].starts_with("403"));
  CHECK(alone[5].starts_with("431"));
  World world;
  Http2TestClient client(world);
  client.run(2);
  std::uint32_t state = 5;
  for (int i = 0; i < 120; ++i) {
    state = state * 1664525 + 1013904223;
    const auto kind = static_cast<std::size_t>(state >> 8) % alone.size();
    REQUIRE(ask(client, static_cast<Kind>(kind)) == alone[kind]);
  }
  world.check_recorded();
  CHECK(world.site->garbage == 0);
}

TEST_CASE("heads of requests that are answered are not kept, however long their streams stay open") {
  World world;
  Http2TestClient client(world);
  client.run(5);
  // A field that is sent once and then named by its number alone.
  const std::string value(3'500, 'v');
  auto fields = client.head("POST", "/x", "other=1");
  for (int i = 0; i < 15; ++i) fields.push_back({"x-long", value});
  client.client().pause();
  for (int i = 0; i < 90; ++i) client.send(fields, "", false);
  client.run(50);
  CHECK(world.worker->held_bytes() < 500'000);
}

// What the kernel has is gone, and so is what is framed on a connection that others share; all else of a call that is
// cut stays here.
TEST_CASE("of an upload that is cut little more than the kernel holds reaches an application of HTTP/2") {
  World world;
  Http2TestApp app(*world.app_loop, kShopAddress);
  app.on_end = [](Http2TestApp::Peer&, std::int32_t, Http2TestApp::Call&) {};
  Http2TestClient client(world, "grpc.test");
  const auto first = client.send(client.head("POST", "/upload"), "first", false);
  client.run(20);
  REQUIRE(app.peers.size() == 1);
  auto& peer = *app.peers[0];
  REQUIRE(app.call(0, 1).body == "first");
  peer.stream->want(false, false);  // and reads no more
  std::vector<std::int32_t> uploads = {first};
  for (int i = 0; i < 8; ++i) uploads.push_back(client.send(client.head("POST", "/upload"), "", false));
  for (int round = 0; round < 10; ++round) {
    for (const std::int32_t stream : uploads) client.write(stream, std::string(20'000, 'x'));
    client.run(20);
  }
  world.revoke("alice");
  client.run(50);
  peer.ready();
  client.run(200);
  std::size_t came = 0;
  for (const auto& [stream, call] : peer.calls) {
    came += call.body.size();
    CHECK(call.closed);
  }
  constexpr std::size_t kKernel = 64 * 1024, kFramed = 32 * 1024;  // sim_loop.h; upstream_http2.cc
  CHECK(came > kKernel / 2);
  CHECK(came <= kKernel + kFramed);
}
