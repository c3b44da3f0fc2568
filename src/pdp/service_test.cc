// The listeners over the simulated world: who is let in, and what keeps whom out.
#include "pdp/service.h"

#include <doctest/doctest.h>

#include <array>
#include <fstream>
#include <iterator>

#include "io/sim_loop.h"
#include "tests/support/pdp_world.h"

using namespace wary;
using namespace wary::pdp;

namespace {

constexpr uid_t kPeer = static_cast<uid_t>(-1);  // what the simulated world says of everybody
constexpr pid_t kPeerProcess = -1;

struct Peer {
  std::unique_ptr<io::Stream> stream;
  std::string received;
  std::string to_send;
  bool ended = false;

  Peer(io::Loop& loop, const std::string& path) {
    loop.connect(io::Address::unix_socket(path), 0, [this](Result<std::unique_ptr<io::Stream>> made) {
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
    if (!to_send.empty() && stream->write(as_bytes(to_send)).state == io::IoCount::State::kSome) to_send.clear();
    std::array<std::uint8_t, 4096> buffer;
    while (!ended) {
      const auto got = stream->read(buffer);
      if (got.state == io::IoCount::State::kWouldBlock) break;
      if (got.state == io::IoCount::State::kSome) {
        received += as_text(ByteView(buffer).first(got.count));
      } else {
        ended = true;
      }
    }
    stream->want(!ended, false);
  }
};

struct World {
  io::SimWorld sim{3};
  std::unique_ptr<io::Loop> loop = sim.make_loop(), peers = sim.make_loop();
  test::SnapshotAuthority authority;
  Service service;

  explicit World(uid_t own = kPeer, pid_t own_process = 1)
      : authority(*test::snapshot_of("permit (principal == Wary::User::\"alice\", action, resource);",
                                     {test::entity_of("Wary::User", "alice"), test::entity_of("Wary::User", "bob")})),
        service(*loop, authority, {"/run", own, own_process, {}}) {
    REQUIRE(service.listen().ok());
  }
  std::unique_ptr<Peer> peer(const std::string& socket) {
    auto made = std::make_unique<Peer>(*peers, "/run/" + socket);
    run();
    return made;
  }
  std::string ask(const std::string& request) {
    const auto one = peer("pdp.sock");
    one->send(request);
    run();
    return one->received;
  }
  void run() { sim.run_for(5 * kNanosPerMilli); }
};

std::string haproxy() {
  std::ifstream in(std::string(WARY_SOURCE_DIR) + "/fuzz/pdp_spop/session", std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string forward(const std::string& principal) {
  return "GET /forward-auth HTTP/1.1\r\nHost: pdp.localhost\r\nWary-Principal: " + principal +
         "\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /\r\nX-Forwarded-Host: site.localhost\r\n\r\n";
}

}  // namespace

TEST_CASE("connections that say nothing keep nobody out: the one silent longest makes way") {
  World world;
  std::vector<std::unique_ptr<Peer>> silent;
  for (int i = 0; i < 300; ++i) silent.push_back(world.peer(i % 2 == 0 ? "grpc.sock" : "spop.sock"));
  const auto one = world.peer("spop.sock");
  one->send(haproxy());
  world.run();
  CHECK(one->received.find("max-frame-size") != std::string::npos);
  CHECK(silent.front()->ended);
  CHECK(!silent.back()->ended);
  std::size_t ended = 0;
  for (const auto& peer : silent) ended += peer->ended ? 1U : 0U;
  CHECK(ended == 300 + 1 - 256);
}

TEST_CASE("strangers get 401, or nothing where the protocol has no word for it") {
  World world(7);
  const std::string answer = world.ask("GET /.well-known/authzen-configuration HTTP/1.1\r\nHost: l\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.1 401"));
  CHECK(world.ask(forward("Wary::User::\"alice\"")).starts_with("HTTP/1.1 401"));
  for (const char* socket : {"grpc.sock", "spop.sock"}) {
    const auto one = world.peer(socket);
    one->send(haproxy());
    world.run();
    CHECK(one->ended);
    CHECK(one->received.empty());
  }
  CHECK(world.authority.asked.empty());
}

TEST_CASE("through the gateway who asks needs a permit, and forward authentication is not answered") {
  World world(7, kPeerProcess);
  CHECK(world.ask(forward("Wary::User::\"bob\"")).starts_with("HTTP/1.1 403"));
  CHECK(world.ask(forward("nobody")).starts_with("HTTP/1.1 403"));
  CHECK(world.ask(forward("")).starts_with("HTTP/1.1 403"));
  const std::string answer = world.ask(forward("Wary::User::\"alice\""));
  CHECK(answer.starts_with("HTTP/1.1 404"));
  CHECK(answer.find("pdp_forward") != std::string::npos);
  CHECK(world
            .ask("GET /.well-known/authzen-configuration HTTP/1.1\r\nHost: l\r\nWary-Principal: "
                 "Wary::User::\"alice\"\r\n\r\n")
            .starts_with("HTTP/1.1 200"));
  for (const char* socket : {"grpc.sock", "spop.sock"}) CHECK(world.peer(socket)->ended);
}

TEST_CASE("while two processes are the gateway, what comes through either needs the permit") {
  World world(7, 1);
  world.service.set_other_process(kPeerProcess);
  CHECK(world.ask(forward("Wary::User::\"bob\"")).starts_with("HTTP/1.1 403"));
  CHECK(world.peer("spop.sock")->ended);
  world.service.set_other_process(0);
  CHECK(world.ask(forward("Wary::User::\"bob\"")).starts_with("HTTP/1.1 401"));
}
