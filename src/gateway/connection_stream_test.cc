// The other side of a client's connection: bodies both ways, an application that misbehaves, WebSockets, backpressure.
#include "gateway/connection_test_world.h"

using namespace wary;
using namespace wary::gateway::test;

namespace {

std::string post(const std::string& fields, const std::string& body) {
  return "POST /up HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\n" + fields + "\r\n" + body;
}

std::string chunked(const std::string& body, std::size_t size) {
  std::string out;
  for (std::size_t at = 0; at < body.size(); at += size) {
    const std::string piece = body.substr(at, size);
    codec::http1::append_chunk_header(out, piece.size());
    out += piece + "\r\n";
  }
  return out + "0\r\n\r\n";
}

std::string noise(std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) out += static_cast<char>('a' + i * i % 26);
  return out;
}

// The application answers every request with these bytes, and may hang up.
void answer_with(World& world, const std::string& bytes, bool close = false) {
  world.site->on_request = [bytes, close](AppStream& stream, const AppRequest&) {
    stream.send(bytes);
    if (close) stream.close();
  };
}

const std::string kUpgrade =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    "dGhlIHNhbXBsZSBub25jZQ==\r\n";
const std::string kSwitch =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

// A client whose WebSocket is open; the application's end of it is site->streams[0].
std::unique_ptr<Client> open_socket(World& world) {
  world.site->on_bytes = [](AppStream& stream) {
    if (stream.parsed == 0 && stream.received.find("\r\n\r\n") != std::string::npos) {
      stream.parsed = 1;
      stream.send(kSwitch);
    }
  };
  auto client = world.ask("/ws", kUpgrade);
  REQUIRE(client->answers().at(0).status == 101);
  client->received.clear();
  world.site->streams[0]->received.clear();
  return client;
}

}  // namespace

TEST_CASE("request bodies arrive whole, by length and in chunks") {
  for (const std::size_t size : {1UL, 1'000UL, 300'000UL}) {
    World world;
    const std::string body = noise(size);
    const auto client = world.client();
    client->send(post("Content-Length: " + std::to_string(size) + "\r\n", body));
    world.run(200);
    client->send(post("Transfer-Encoding: chunked\r\n", chunked(body, 700)));
    world.run(200);
    REQUIRE(world.site->requests.size() == 2);
    CHECK(world.site->requests[0].body == body);
    CHECK(world.site->requests[1].body == body);
    CHECK(world.site->garbage == 0);
    CHECK(client->answers().size() == 2);
  }
}

TEST_CASE("an upload goes on when a slow application reads again") {
  for (const bool in_chunks : {false, true}) {
    World world;
    const std::string body = noise(600'000);
    const auto client = world.client();
    client->send(in_chunks ? post("Transfer-Encoding: chunked\r\n", chunked(body, 300))
                           : post("Content-Length: 600000\r\n", body));
    world.site->on_bytes = [](AppStream& stream) { stream.reads = false; };
    world.run(100);
    REQUIRE(world.site->streams.size() == 1);
    AppStream& stream = *world.site->streams[0];
    CHECK(stream.received.size() < 200'000);
    world.site->on_bytes = nullptr;
    for (int i = 0; i < 400 && world.site->requests.empty(); ++i) {
      stream.reads = true;
      stream.flush();
      world.run(5);
    }
    REQUIRE(world.site->requests.size() == 1);
    CHECK(world.site->requests[0].body == body);
  }
}

TEST_CASE("a client that sends slowly into a slow application costs bounded memory") {
  World world;
  const auto client = world.client();
  client->send(post("Content-Length: 40000000\r\n", ""));
  world.site->on_bytes = [](AppStream& stream) { stream.received.clear(); };
  world.run(20);
  AppStream& stream = *world.site->streams.at(0);
  const std::string piece = noise(30'000);
  for (int i = 0; i < 300; ++i) {
    client->send(piece);
    // The application takes a little, so that the gateway's queues are never empty.
    stream.reads = i % 3 == 0;
    stream.flush();
    world.run(1);
    CHECK(world.worker->held_bytes() < 700'000);
  }
}

TEST_CASE("an upload cut by the client never looks whole to the application") {
  for (const bool in_chunks : {false, true}) {
    World world;
    const auto client = world.client();
    client->send(in_chunks ? post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n")
                           : post("Content-Length: 10\r\n", "hello"));
    world.run(20);
    client->close();
    world.run(20);
    CHECK(world.site->requests.empty());
    CHECK(world.site->streams.at(0)->ended);
  }
}

TEST_CASE("a broken chunk ends the exchange on both sides") {
  World world;
  const auto client = world.client();
  client->send(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"));
  world.run(20);
  client->send("zz\r\n");
  world.run(50);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 400);
  CHECK(client->ended_);
  CHECK(world.site->requests.empty());
  CHECK(world.site->streams.at(0)->ended);
}

TEST_CASE("an early answer to an upload reaches a client that is still sending") {
  World world;
  world.site->on_bytes = [](AppStream& stream) {
    if (stream.parsed++ == 0) stream.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nbig\n");
  };
  const auto client = world.client();
  client->send(post("Content-Length: 5000000\r\n", noise(20'000)));
  client->pause();
  world.run(20);
  client->send(noise(50'000));
  world.run(20);
  client->resume();
  world.run(20);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].status == 413);
  CHECK(answers[0].body == "big\n");
  CHECK(answers[0].whole);
  CHECK_FALSE(client->was_reset);
  world.run(10'000);
  CHECK(client->ended_);
}

TEST_CASE("who sends on and on behind its last answer gets the answer, and is not read for ever") {
  World world;
  const auto client = world.client();
  client->send("GET / HTTP/1.1\r\n\r\n");  // no host
  world.run(5);
  constexpr std::size_t kAll = std::size_t{8} << 20;
  client->send_raw(noise(kAll));
  world.run(1'500);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 400);
  CHECK_FALSE(client->was_reset);
  CHECK(client->unsent() > kAll / 2);
  world.run(1'000);  // and then it ends
  CHECK(client->unsent() > 0);
  CHECK(client->ended_);
}

TEST_CASE("response bodies by length, in chunks and until close arrive whole") {
  const std::string body = noise(400'000);
  for (const auto& [head, tail, close] : std::vector<std::tuple<std::string, std::string, bool>>{
           {"Content-Length: 400000\r\n\r\n" + body, "", false},
           {"Transfer-Encoding: chunked\r\n\r\n", chunked(body, 501), false},
           {"\r\n" + body, "", true}}) {
    World world;
    answer_with(world, "HTTP/1.1 200 OK\r\n" + head + tail, close);
    const auto client = world.client();
    client->send(World::get("/"));
    world.run(500);
    auto answers = client->answers();
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].whole);
    CHECK(answers[0].body == body);
    client->send(World::get("/again"));
    world.run(500);
    CHECK(client->answers().size() == 2);
  }
}

TEST_CASE("an HTTP/1.0 client gets no chunks, and the end of the connection instead") {
  World world;
  answer_with(world, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  const auto client = world.client();
  client->send("GET /open HTTP/1.0\r\nHost: site.test\r\n\r\n");
  world.run(50);
  const auto answers = client->answers();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].count("transfer-encoding") == 0);
  CHECK(answers[0].body == "abc");
  CHECK(client->ended_);
  CHECK(client->said_goodbye());
}

TEST_CASE("the answer to HEAD has the application's length and no body") {
  World world;
  const auto client = world.client();
  for (const auto& [fields, expected] : std::vector<std::pair<std::string, std::string>>{
           {"Content-Length: 1234\r\n", "1234"}, {"Transfer-Encoding: chunked\r\n", ""}, {"", ""}}) {
    answer_with(world, "HTTP/1.1 200 OK\r\n" + fields + "\r\n");
    client->received.clear();
    client->send("HEAD /x HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\n\r\n");
    world.run(30);
    const auto answers = client->answers({"HEAD"});
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].status == 200);
    CHECK(answers[0].field("content-length") == expected);
    CHECK(client->received.ends_with("\r\n\r\n"));
    CHECK(client->is_open());
  }
  CHECK(world.site->streams.size() == 1);
}

TEST_CASE("answers without a body keep the connection") {
  World world;
  const auto client = world.client();
  for (const char* status : {"204 No Content", "304 Not Modified"}) {
    answer_with(world, "HTTP/1.1 " + std::string(status) + "\r\nETag: \"a\"\r\n\r\n");
    client->send(World::get("/"));
    world.run(30);
  }
  CHECK(client->answers().size() == 2);
  CHECK(client->received.find("Content-Length") == std::string::npos);
  CHECK(client->is_open());
}

TEST_CASE("interim answers are taken and not passed on") {
  World world;
  answer_with(world, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const auto client = world.ask("/");
  CHECK(client->received.find("103") == std::string::npos);
  CHECK(client->answers().at(0).body == "ok");
}

TEST_CASE("a client that waits for 100 gets it once it may send, and only then") {
  World world;
  const auto client = world.client();
  client->send(post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
  world.run(20);
  CHECK(client->received == "HTTP/1.1 100 Continue\r\n\r\n");
  client->send("hello");
  world.run(20);
  CHECK(world.site->requests.at(0).body == "hello");
  CHECK(world.site->requests[0].field("expect").empty());
  const auto denied = world.client();
  denied->send("POST /up HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  world.run(20);
  CHECK(denied->received.find("100 Continue") == std::string::npos);
  CHECK(denied->answers().at(0).status == 401);
  const auto before = world.client();
  before->send(
      "POST /before/x HTTP/1.1\r\nHost: site.test\r\nCookie: __Host-wary_session=alice-token\r\nContent-Length: 5\r\n"
      "Expect: 100-continue\r\n\r\n");
  world.run(20);
  CHECK(before->received.empty());  // not before the receipt
  world.give_receipts();
  world.run(20);
  CHECK(before->received == "HTTP/1.1 100 Continue\r\n\r\n");
}

TEST_CASE("an application that is not there, hangs up, or talks nonsense is a 502") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "upstream_closed"},
      {"HTTP/1.1 200 OK\r\nContent-Le", "upstream_closed"},
      {"SSH-2.0-OpenSSH\r\n\r\n", "upstream_answer_invalid"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "upstream_answer_invalid"},
      {kSwitch, "upstream_answer_invalid"}};
  for (const auto& [bytes, code] : cases) {
    World world;
    answer_with(world, bytes, true);
    const auto client = world.ask("/");
    const auto answers = client->answers();
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].status == 502);
    CHECK_MESSAGE(answers[0].body.find(code) != std::string::npos, bytes, answers[0].body);
    CHECK(client->is_open());
    world.check_recorded();
  }
  World world;
  const auto client = world.client("gone.test");
  world.set_policies(R"(permit (principal, action, resource);)");
  client->send("GET / HTTP/1.1\r\nHost: gone.test\r\n\r\n");
  world.run(50);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 502);
  CHECK(client->answers()[0].body.find("upstream_unreachable") != std::string::npos);
}

TEST_CASE("an application that never answers is a 504") {
  World world;
  world.site->on_request = [](AppStream&, const AppRequest&) {};
  const auto client = world.client();
  client->send(World::get("/") + World::get("/second"));
  world.run(30'000);
  CHECK(client->received.empty());
  world.site->on_request = [](AppStream& stream, const AppRequest&) { stream.send("HTTP/1.1 204 No Content\r\n\r\n"); };
  world.run(32'000);
  REQUIRE(client->answers().size() == 2);
  CHECK(client->answers()[0].status == 504);
  CHECK(client->answers()[1].status == 204);
}

TEST_CASE("an answer cut in the middle is cut for the client too") {
  for (const char* head : {"Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                           "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxx\r\n"}) {
    World world;
    answer_with(world, "HTTP/1.1 200 OK\r\n" + std::string(head), true);
    const auto client = world.ask("/");
    world.run(50);
    CHECK(client->ended_);
    CHECK(client->was_reset);
    CHECK_FALSE(client->said_goodbye());
  }
}

TEST_CASE("an answer that lasts until the connection closes is whole when it was closed, not when it broke") {
  for (const bool breaks : {false, true}) {
    World world;
    AppStream* asked = nullptr;
    world.site->on_request = [&](AppStream& stream, const AppRequest&) {
      stream.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf");
      asked = &stream;
    };
    const auto client = world.ask("/");
    REQUIRE(asked != nullptr);
    breaks ? asked->reset() : asked->close();
    world.run(50);
    REQUIRE(client->answers().size() == 1);
    CHECK(client->answers()[0].body == "half");
    CHECK(client->answers()[0].whole == !breaks);
  }
}

TEST_CASE("an idle upstream connection that closed is replaced once, and only for what can be repeated") {
  World world;
  const auto client = world.ask("/1");
  REQUIRE(world.site->streams.size() == 1);
  // It says nothing of closing until the next request is on its way.
  bool first = true;
  world.site->on_request = [&](AppStream& stream, const AppRequest& request) {
    if (first) return first = false, stream.reset();
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + request.target.substr(0, 2));
  };
  client->send(World::get("/2"));
  world.run(50);
  REQUIRE(client->answers().size() == 2);
  CHECK(client->answers()[1].body == "/2");
  CHECK(world.site->streams.size() == 2);
  // A POST gets a connection of its own.
  client->send(post("Content-Length: 1\r\n", "x"));
  world.run(50);
  CHECK(client->answers().size() == 3);
  CHECK(world.site->streams.size() == 3);
}

TEST_CASE("a request is repeated at most once however many idle connections are stale") {
  World world;
  std::vector<std::unique_ptr<Client>> clients;
  world.site->on_request = [](AppStream&, const AppRequest&) {};
  for (int i = 0; i < 4; ++i) {
    clients.push_back(world.client());
    clients.back()->send(World::get("/" + std::to_string(i)));
  }
  world.run(20);
  for (const auto& stream : world.site->streams) stream->send("HTTP/1.1 204 No Content\r\n\r\n");
  world.run(20);
  REQUIRE(world.site->streams.size() == 4);
  std::size_t seen = 0;
  world.site->on_request = [&](AppStream& stream, const AppRequest&) { ++seen, stream.reset(); };
  clients[0]->send(World::get("/again"));
  world.run(50);
  CHECK(seen == 2);
  CHECK(clients[0]->answers().at(1).status == 502);
}

TEST_CASE("bytes on an idle upstream connection are never an answer to the next request") {
  World world;
  const auto client = world.ask("/1");
  world.site->streams.at(0)->send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  world.run(20);
  client->send(World::get("/2"));
  world.run(20);
  CHECK(client->answers().at(1).body == "/2");
  // The same in one piece with the answer before.
  answer_with(world, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  client->send(World::get("/3"));
  world.run(20);
  world.site->on_request = [](AppStream& stream, const AppRequest&) { stream.send("HTTP/1.1 204 No Content\r\n\r\n"); };
  client->send(World::get("/4"));
  world.run(20);
  CHECK(client->answers().at(3).status == 204);
  CHECK(client->received.find("poison") == std::string::npos);
}

TEST_CASE("a slow reader holds back the application, loses nothing, and memory stays bounded") {
  for (const bool in_chunks : {false, true}) {
    World world;
    const std::string body = noise(3'000'000);
    answer_with(world,
                in_chunks ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 90)
                          : "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + body,
                true);
    const auto client = world.client();
    client->send(World::get("/"));
    client->pause();
    world.run(200);
    CHECK(world.worker->held_bytes() < 600'000);
    for (int i = 0; i < 4'000 && (client->answers().empty() || !client->answers()[0].whole); ++i) {
      client->resume();
      world.run(1);
      client->pause();
      world.run(1);
      CHECK(world.worker->held_bytes() < 600'000);
      if (i % 50 != 0) continue;
      client->resume();
      world.run(20);
      client->pause();
    }
    REQUIRE(client->answers().size() == 1);
    CHECK(client->answers()[0].body == body);
  }
}

TEST_CASE("the last bytes of an answer reach a slow reader of a connection that ends") {
  World world;
  const std::string body = noise(250'000);
  answer_with(world, "HTTP/1.1 200 OK\r\nContent-Length: 250000\r\n\r\n" + body);
  const auto client = world.client();
  client->send(World::get("/", "Connection: close\r\n"));
  client->pause();
  world.run(100);
  // Much slower than the time that an ending connection has without progress.
  for (int i = 0; i < 40 && !client->ended_; ++i) {
    world.run(1'000);
    client->resume();
    world.run(1);
    client->pause();
  }
  client->resume();
  world.run(100);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].body == body);
}

TEST_CASE("a WebSocket carries bytes both ways until either side ends it") {
  for (const bool client_ends : {false, true}) {
    World world;
    const auto client = open_socket(world);
    AppStream& app = *world.site->streams[0];
    client->send("to the app");
    app.send("to the client");
    world.run(20);
    CHECK(app.received == "to the app");
    CHECK(client->received == "to the client");
    if (client_ends)
      client->send("last words"), client->close();
    else
      app.send("last words"), app.close();
    world.run(100);
    if (client_ends) {
      CHECK(app.received == "to the applast words");
      CHECK(app.ended);
    } else {
      CHECK(client->received == "to the clientlast words");
      CHECK(client->ended_);
      CHECK(client->said_goodbye());
    }
    CHECK(world.worker->connections() == 0);
  }
}

TEST_CASE("bytes sent right behind the upgrade request reach the application after it") {
  World world;
  world.site->on_bytes = [](AppStream& stream) {
    if (stream.parsed == 0) stream.parsed = 1, stream.send(kSwitch + "first");
  };
  const auto client = world.client();
  client->send(World::get("/ws", kUpgrade) + "early");
  world.run(50);
  CHECK(client->received.ends_with("\r\n\r\nfirst"));
  CHECK(world.site->streams.at(0)->received.ends_with("\r\n\r\nearly"));
}

TEST_CASE(
    "a WebSocket in the middle of a frame hears behind it that the server goes away, and so does one that opens") {
  for (const bool opens : {false, true}) {
    World world;
    if (opens) world.site->on_bytes = [](AppStream&) {};
    const auto client = opens ? world.ask("/ws", kUpgrade) : open_socket(world);
    AppStream& app = *world.site->streams.at(0);
    if (!opens)
      app.send(
          "\x82\x04"
          "ha");
    world.run(20);
    world.worker->post_drain([] {}, gateway::Drain::kRestart);
    world.run(20);
    CHECK_FALSE(client->ended_);
    app.send(opens ? kSwitch : "lf");
    world.run(20);
    CHECK(client->received.ends_with(std::string(opens ? "\r\n" : "half") + "\x88\x02\x03\xf4"));
    CHECK(client->said_goodbye());
  }
}

TEST_CASE("an application may decline an upgrade") {
  World world;
  const auto client = world.ask("/ws", kUpgrade);
  REQUIRE(client->answers().size() == 1);
  CHECK(client->answers()[0].status == 200);
  client->send(World::get("/next"));
  world.run(20);
  CHECK(client->answers().size() == 2);
}

TEST_CASE("a tunnel holds back whoever is too fast, and goes on") {
  World world;
  const auto client = open_socket(world);
  AppStream& app = *world.site->streams[0];
  const std::string up = noise(500'000), down = noise(700'000);
  app.reads = false;
  client->pause();
  client->send(up);
  app.send(down);
  world.run(200);
  CHECK(world.worker->held_bytes() < 700'000);
  client->resume();
  for (int i = 0; i < 100; ++i) {
    app.reads = true;
    app.flush();
    world.run(5);
  }
  CHECK(app.received == up);
  CHECK(client->received == down);
}

TEST_CASE("no more than the limit of connections is served") {
  World world;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(world.client());
  CHECK(world.worker->connections() == 10);
  clients.clear();
  world.run(20);
  CHECK(world.worker->connections() == 0);
}
