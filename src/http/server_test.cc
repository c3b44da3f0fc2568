#include "http/server.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <thread>

#include "codec/http1.h"
#include "http/client.h"
#include "io/sim_loop.h"
#include "io/system.h"

using namespace wary;
using namespace wary::http;

namespace {

// A raw peer in the simulated world.
struct Peer {
  std::unique_ptr<io::Stream> stream;
  std::string received;
  std::string to_send;
  bool reads = true;
  bool ended = false;
  bool reset = false;

  void start(io::Loop& loop) {
    loop.connect(io::Address::unix_socket("/admin.sock"), 0, [this](Result<std::unique_ptr<io::Stream>> made) {
      REQUIRE(made.ok());
      stream = std::move(*made);
      stream->on_ready([this](bool, bool) { turn(); });
      turn();
    });
  }
  void send(std::string_view text) {
    to_send += text;
    if (stream) turn();
  }
  void turn() {
    while (!to_send.empty()) {
      const auto put = stream->write(as_bytes(to_send));
      if (put.state == io::IoCount::State::kFailed) to_send.clear();
      if (put.state != io::IoCount::State::kSome) break;
      to_send.erase(0, put.count);
    }
    std::array<std::uint8_t, 4096> buffer;
    while (reads && !ended) {
      const auto got = stream->read(buffer);
      if (got.state == io::IoCount::State::kWouldBlock) break;
      if (got.state != io::IoCount::State::kSome) {
        ended = true;
        reset = got.state == io::IoCount::State::kFailed;
        break;
      }
      received += as_text(ByteView(buffer).first(got.count));
    }
    stream->want(reads && !ended, !to_send.empty() && !ended);
  }
};

struct World {
  io::SimWorld sim{7};
  std::unique_ptr<io::Loop> loop = sim.make_loop(), peers = sim.make_loop();
  std::vector<std::shared_ptr<Exchange>> held;  // answered by the test
  bool answers = true;
  std::size_t handled = 0;
  std::unique_ptr<Server> server = std::make_unique<Server>(*loop, [this](std::shared_ptr<Exchange> exchange) {
    ++handled;
    if (!answers) return held.push_back(exchange);
    exchange->respond(200, {{"Content-Type", "text/plain"}}, exchange->request().path + exchange->request().body);
  });
  World() { REQUIRE(server->listen(io::Address::unix_socket("/admin.sock"), {}).ok()); }
  void run(std::int64_t millis) { sim.run_for(millis * kNanosPerMilli); }
  std::unique_ptr<Peer> peer() {
    auto made = std::make_unique<Peer>();
    made->start(*peers);
    run(2);
    return made;
  }
};

std::string get(const std::string& path, const std::string& more = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("requests of one connection are answered in order, pipelined or not") {
  World world;
  const auto peer = world.peer();
  peer->send(get("/1") + get("/2") + "POST /3 HTTP/1.1\r\nHost: l\r\nContent-Length: 2\r\n\r\nab" + get("/4"));
  world.run(50);
  peer->send(get("/5"));
  world.run(50);
  CHECK(count(peer->received, "HTTP/1.1 200 OK") == 5);
  CHECK(peer->received.find("/3ab") < peer->received.find("/4"));
  CHECK_FALSE(peer->ended);
}

TEST_CASE("a later answer holds back the request behind it") {
  World world;
  world.answers = false;
  const auto peer = world.peer();
  peer->send(get("/1") + get("/2"));
  world.run(20);
  REQUIRE(world.held.size() == 1);
  world.held[0]->respond(200, {}, "first");
  world.held[0]->respond(500, {}, "an exchange has one answer");
  world.run(20);
  REQUIRE(world.held.size() == 2);
  CHECK(world.held[1]->request().path == "/2");
  CHECK(count(peer->received, "HTTP/1.1") == 1);
}

TEST_CASE("what the parser refuses is answered once, and the connection ends") {
  for (const auto& [request, status] : std::vector<std::pair<std::string, std::string>>{
           {"GET / HTTP/1.1\nHost: l\r\n\r\n", "400"},
           {get("/", "X: " + std::string(70'000, 'x') + "\r\n"), "431"},
           {"POST / HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
           {"POST / HTTP/1.1\r\nHost: l\r\nContent-Length: 3000000\r\n\r\n" + std::string(2'200'000, 'b'), "413"}}) {
    World world;
    const auto peer = world.peer();
    peer->send(request + get("/next"));
    world.run(500);
    CHECK(peer->received.starts_with("HTTP/1.1 " + status));
    CHECK(count(peer->received, "HTTP/1.1") == 1);
    CHECK(peer->ended);
    CHECK(world.handled == 0);
  }
}

TEST_CASE("a request that does not arrive, and an answer that nobody reads, end after ten seconds") {
  World world;
  const auto slow = world.peer();
  slow->send("GET / HTTP/1.1\r\nHos");
  const auto deaf = world.peer();
  world.answers = false;
  deaf->send(get("/", "Connection: close\r\n"));
  world.run(20);
  deaf->reads = false;
  deaf->turn();
  world.held.at(0)->respond(200, {}, std::string(500'000, 'x'));
  world.held.clear();
  world.run(11'000);
  CHECK(slow->ended);
  deaf->reads = true;
  deaf->turn();
  world.run(100);
  CHECK(deaf->ended);
  CHECK(deaf->received.size() < 200'000);
}

TEST_CASE("a stream goes to its reader in chunks until it ends") {
  World world;
  world.answers = false;
  const auto peer = world.peer();
  peer->send(get("/events"));
  world.run(20);
  Exchange& exchange = *world.held.at(0);
  CHECK_FALSE(exchange.write("too early"));
  exchange.start(200, {{"Content-Type", "text/event-stream"}});
  CHECK(exchange.write("one"));
  CHECK(exchange.write(""));
  world.run(60'000);  // a stream has no time limit
  CHECK(exchange.write("two"));
  exchange.end();
  CHECK_FALSE(exchange.write("late"));
  world.run(20);
  CHECK(peer->received.ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
  CHECK_FALSE(peer->ended);
}

TEST_CASE("the writer of a stream learns that its reader is too slow, and nothing grows") {
  World world;
  world.answers = false;
  const auto peer = world.peer();
  peer->send(get("/events"));
  world.run(20);
  peer->reads = false;
  peer->turn();
  world.held.at(0)->start(200, {});
  std::size_t written = 0;
  while (world.held[0]->write(std::string(10'000, 'x')) && written < 1'000) ++written;
  CHECK(written > 90);
  CHECK(written < 130);
}

TEST_CASE("who waits for an answer and goes is noticed, and the answer is swallowed") {
  World world;
  world.answers = false;
  auto peer = world.peer();
  peer->send(get("/"));
  world.run(20);
  bool closed = false;
  world.held.at(0)->on_closed([&] { closed = true; });
  peer.reset();
  world.run(20);
  CHECK(closed);
  world.held[0]->respond(200, {}, "nobody");
  world.held[0]->start(200, {});
  CHECK_FALSE(world.held[0]->write("nobody"));
}

TEST_CASE("a server that goes away leaves its exchanges harmless") {
  World world;
  world.answers = false;
  const auto peer = world.peer();
  peer->send(get("/"));
  world.run(20);
  world.server.reset();
  world.held.at(0)->respond(200, {}, "late");
  world.held.clear();
  world.run(20);
  CHECK(peer->ended);
  CHECK(peer->received.empty());
}

TEST_CASE("no more than 256 connections are held") {
  World world;
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 260; ++i) peers.push_back(world.peer());
  world.run(20);
  std::size_t open = 0;
  for (const auto& peer : peers) open += peer->ended ? 0U : 1U;
  CHECK(open == 256);
}

TEST_CASE("who says nothing keeps nobody out, and strangers share a few places") {
  World world;
  std::vector<std::unique_ptr<Peer>> silent;
  for (int i = 0; i < 256; ++i) silent.push_back(world.peer());
  silent[0]->send("POST / HTTP/1.1\r\nHost: l\r\nContent-Length: 100\r\n\r\nhalf");
  world.run(20);
  const auto late = world.peer();
  late->send(get("/late"));
  world.run(20);
  CHECK(count(late->received, "HTTP/1.1 200 OK") == 1);
  CHECK(silent[0]->ended);
  CHECK_FALSE(silent[1]->ended);

  World other;
  other.server->is_known = [](const io::PeerCredentials&) { return false; };
  std::vector<std::unique_ptr<Peer>> strangers;
  for (int i = 0; i < 20; ++i) strangers.push_back(other.peer());
  other.run(20);
  CHECK(std::count_if(strangers.begin(), strangers.end(), [](const auto& one) { return !one->ended; }) == 16);
}

TEST_CASE("all bodies together are bounded, and what was answered is held no longer") {
  World world;
  world.answers = false;
  const std::string body(2'000'000, 'x');
  const std::string post = "POST / HTTP/1.1\r\nHost: l\r\nContent-Length: 2000000\r\n\r\n";
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 34; ++i) {
    peers.push_back(world.peer());
    peers.back()->send(post + body);
    world.run(2'000);
  }
  CHECK(world.held.size() == 33);
  CHECK(peers.back()->received.find("http_busy") != std::string::npos);
  for (const auto& exchange : world.held) exchange->respond(200, {}, "");
  world.held.clear();
  world.run(50);
  peers[0]->send(post + body);
  world.run(2'000);
  CHECK(world.held.size() == 1);
}

TEST_CASE("headers and parameters are read as they were sent") {
  Request request;
  request.headers = {{"Origin", "a"}, {"X-Two", "1"}, {"x-two", "2"}};
  request.query = "a=1&b=%41%20c&a=2&bad=%zz&empty";
  CHECK(request.header("origin") == "a");
  CHECK(request.header("x-two").empty());
  CHECK(request.parameter("a") == "1");
  CHECK(request.parameter("b") == "A c");
  CHECK(request.parameter("bad").empty());
  CHECK(request.parameter("empty").empty());
  CHECK(request.parameter("none").empty());
}

TEST_CASE("a server that leaves takes no connection more, and says so with the next answer of each") {
  World world;
  const auto peer = world.peer();
  peer->send(get("/a"));
  world.run(20);
  CHECK(count(peer->received, "HTTP/1.1 200 OK") == 1);
  world.server->leave();
  world.run(20);
  CHECK_FALSE(peer->ended);
  peer->send(get("/b"));
  world.run(20);
  CHECK(count(peer->received, "HTTP/1.1 200 OK") == 2);
  CHECK(count(peer->received, "Connection: close") == 1);
  CHECK(peer->ended);
}

namespace {

// A server on a real unix socket, on a thread of its own.
struct RealServer {
  std::string folder = (std::filesystem::temp_directory_path() / "wary-http-XXXXXX").string();
  std::unique_ptr<Clock> clock = io::make_system_clock();
  std::unique_ptr<io::Loop> loop = io::make_epoll_loop(*clock);
  std::unique_ptr<Server> server;
  std::thread thread;
  io::Address address;
  explicit RealServer(Server::Handler handler) {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    address = io::Address::unix_socket(folder + "/s");
    server = std::make_unique<Server>(*loop, std::move(handler));
    REQUIRE(server->listen(address, {}).ok());
    thread = std::thread([this] { loop->run(); });
  }
  ~RealServer() {
    loop->stop();
    thread.join();
    server.reset();
    std::filesystem::remove_all(folder);
  }
};

ClientRequest to(std::string path) {
  ClientRequest request;
  request.path = std::move(path);
  return request;
}

}  // namespace

TEST_CASE("fetch brings whole answers over a real socket, and knows its peer") {
  RealServer real([](std::shared_ptr<Exchange> exchange) {
    const Request& request = exchange->request();
    if (request.path == "/big") return exchange->respond(200, {}, std::string(3'000'000, 'x'));
    if (request.path == "/stream") {
      exchange->start(200, {});
      for (int i = 0; i < 3; ++i) exchange->write("line\n");
      return;  // never ends
    }
    if (request.path == "/quiet") return exchange->on_closed([] {});
    exchange->respond(201, {{"X-Uid", std::to_string(request.peer.uid)}},
                      request.method + " " + request.query + " " + request.body);
  });
  ClientRequest post = to("/a");
  post.method = "POST";
  post.query = "b=c";
  post.body = std::string(1'000'000, 'y');
  const auto answer = fetch(*real.clock, real.address, post);
  REQUIRE(answer.ok());
  CHECK(answer->status == 201);
  CHECK(answer->header("x-uid") == std::to_string(getuid()));
  CHECK(answer->body == "POST b=c " + std::string(1'000'000, 'y'));
  CHECK(fetch(*real.clock, real.address, to("/big"))->body.size() == 3'000'000);
  std::string seen;
  const auto stream = fetch(*real.clock, real.address, to("/stream"), [&](std::string_view data) {
    seen += data;
    return seen.size() < 15;
  });
  CHECK(stream.ok());
  CHECK(seen == "line\nline\nline\n");
  ClientRequest quiet = to("/quiet");
  quiet.timeout_nanos = 50 * kNanosPerMilli;
  CHECK(fetch(*real.clock, real.address, quiet).error().code == "http_timeout");
  CHECK(fetch(*real.clock, real.address, to("no path")).error().code == "http_write_target");
  CHECK(fetch(*real.clock, io::Address::unix_socket(real.folder + "/none"), {}).error().code == "connect_refused");
}

TEST_CASE("an answer that ends early is an error") {
  RealServer real([](std::shared_ptr<Exchange> exchange) {
    exchange->start(200, {});
    exchange->write("half");
    exchange->on_closed([] {});
  });
  std::thread cut([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    real.loop->post([&] { real.server.reset(); });
  });
  CHECK(fetch(*real.clock, real.address, {}).error().code == "http_truncated");
  cut.join();
}
