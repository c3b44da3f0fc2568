// Streams over streams, in the simulated world: a WebSocket through the server's upgrade, and TLS.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "base/random.h"
#include "crypto/x509.h"
#include "http/server.h"
#include "http/stream_client.h"
#include "http/tls_stream.h"
#include "http/websocket_stream.h"
#include "io/sim_loop.h"

using namespace wary;
using namespace wary::http;

namespace {

// An end of a stream that sends what it is given and keeps what it reads.
struct End {
  std::unique_ptr<io::Stream> stream;
  Bytes to_send, received;
  std::size_t at = 0, read_at_once = 5000;
  bool ended = false, failed = false, reads = true;

  void take(std::unique_ptr<io::Stream> made) {
    stream = std::move(made);
    stream->on_ready([this](bool, bool) { turn(); });
    stream->want(true, at < to_send.size());
  }
  void send(Bytes bytes) {
    append(to_send, bytes);
    if (stream) stream->want(reads, true);
  }
  void turn() {
    while (at < to_send.size()) {
      const auto put = stream->write(ByteView(to_send).subspan(at));
      if (put.state != io::IoCount::State::kSome) break;
      at += put.count;
    }
    // One small read a turn: the rest must be reported again.
    Bytes buffer(read_at_once);
    const auto got = stream->read(buffer);
    if (got.state == io::IoCount::State::kSome) append(received, ByteView(buffer).first(got.count));
    ended = ended || got.state == io::IoCount::State::kEnd;
    failed = failed || got.state == io::IoCount::State::kFailed;
    stream->want(reads && !ended && !failed, at < to_send.size() && !failed);
  }
};

Bytes pattern(std::size_t size, std::uint8_t seed) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(seed + i * 31 + (i >> 8U));
  return out;
}

ClientRequest upgrade_request() {
  ClientRequest request;
  request.path = "/link";
  request.headers = {{"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
  return request;
}

class MaskRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(next_ += 37);
  }

 private:
  unsigned next_ = 1;
};

struct UpgradeWorld {
  io::SimWorld sim{11};
  std::unique_ptr<io::Loop> loop = sim.make_loop(), peers = sim.make_loop();
  MaskRandom random;
  End server_end, client_end;
  bool refuses = false, mutes = false;
  std::unique_ptr<io::Stream> mute;
  std::optional<Result<StreamReply>> reply;
  std::shared_ptr<void> asking;
  Server server{*loop, [this](const std::shared_ptr<Exchange>& exchange) {
                  if (refuses) return exchange->respond(403, {}, "no");
                  const bool taken = exchange->upgrade(
                      {{"Sec-WebSocket-Accept", websocket_accept(exchange->request().header("sec-websocket-key"))}},
                      [this](std::unique_ptr<io::Stream> stream, const std::string& rest) {
                        if (mutes) return void(mute = std::move(stream));
                        server_end.take(std::make_unique<WebSocketStream>(
                            *loop, std::move(stream), WebSocketStream::Side::kServer, rest, random));
                      });
                  if (!taken) exchange->respond(400, {}, "no websocket");
                }};
  UpgradeWorld() { REQUIRE(server.listen(io::Address::unix_socket("/s"), {}).ok()); }
  void run(std::int64_t millis) { sim.run_for(millis * kNanosPerMilli); }
  void ask_for(const ClientRequest& request) {
    peers->connect(io::Address::unix_socket("/s"), kNanosPerSecond,
                   [this, request](Result<std::unique_ptr<io::Stream>> stream) {
                     REQUIRE(stream.ok());
                     asking = ask(*peers, std::move(*stream), request,
                                  [this](Result<StreamReply> got) { reply.emplace(std::move(got)); });
                   });
    run(50);
  }
  void open() {
    ask_for(upgrade_request());
    REQUIRE(reply.has_value());
    REQUIRE(reply->ok());
    REQUIRE((*reply)->response.status == 101);
    client_end.take(std::make_unique<WebSocketStream>(*peers, std::move((*reply)->stream),
                                                      WebSocketStream::Side::kClient, (*reply)->rest, random));
  }
};

TEST_CASE("the accept value is that of RFC 6455 section 1.3") {
  CHECK(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("a WebSocket carries bytes both ways, more than any buffer, whoever reads slowly") {
  UpgradeWorld world;
  world.open();
  CHECK((*world.reply)->response.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const Bytes up = pattern(700'001, 1), down = pattern(1'300'003, 2);
  world.server_end.read_at_once = 777;
  world.client_end.send(up);
  world.server_end.send(down);
  for (int i = 0; i < 400 && world.client_end.received.size() < down.size(); ++i) world.run(50);
  for (int i = 0; i < 400 && world.server_end.received.size() < up.size(); ++i) world.run(50);
  CHECK(world.server_end.received == up);
  CHECK(world.client_end.received == down);
  world.client_end.stream->shutdown_write();
  world.run(50);
  CHECK(world.server_end.ended);
}

TEST_CASE("a quiet WebSocket stays open; one whose other side is silent is taken for dead") {
  UpgradeWorld world;
  SUBCASE("quiet, then gone") {
    world.open();
    world.run(300'000);
    CHECK_FALSE(world.client_end.failed);
    world.client_end.send(pattern(3, 9));
    world.run(50);
    CHECK(world.server_end.received == pattern(3, 9));
    world.server_end.stream.reset();
    world.run(100);
    CHECK(world.client_end.ended);
  }
  SUBCASE("silent") {
    world.mutes = true;
    world.open();
    world.run(30'000);
    CHECK_FALSE(world.client_end.failed);
    world.run(30'000);
    CHECK(world.client_end.failed);
  }
}

TEST_CASE("a request is answered, refused, cut and timed out, each as such") {
  UpgradeWorld world;
  SUBCASE("refused") {
    world.refuses = true;
    world.ask_for(upgrade_request());
    REQUIRE(world.reply->ok());
    CHECK((*world.reply)->response.status == 403);
    CHECK((*world.reply)->response.body == "no");
    CHECK((*world.reply)->stream == nullptr);
  }
  SUBCASE("an ordinary request is no upgrade") {
    world.ask_for({});
    CHECK((*world.reply)->response.status == 400);
  }
  SUBCASE("cut and silent") {
    std::vector<std::unique_ptr<io::Stream>> held;
    bool keeps = true;
    auto raw = world.loop->listen(io::Address::unix_socket("/raw"), {}, [&](std::unique_ptr<io::Stream> stream) {
      if (keeps) held.push_back(std::move(stream));
    });
    const auto ask_raw = [&] {
      world.peers->connect(io::Address::unix_socket("/raw"), kNanosPerSecond,
                           [&](Result<std::unique_ptr<io::Stream>> stream) {
                             ClientRequest request;
                             request.timeout_nanos = kNanosPerSecond;
                             world.asking = ask(*world.peers, std::move(*stream), request,
                                                [&](Result<StreamReply> got) { world.reply.emplace(std::move(got)); });
                           });
      world.run(2000);
    };
    ask_raw();
    REQUIRE(world.reply.has_value());
    CHECK(world.reply->error().code == "http_timeout");
    world.reply.reset();
    keeps = false;
    ask_raw();
    REQUIRE(world.reply.has_value());
    CHECK(world.reply->error().code == "http_truncated");
  }
}

// A server that answers TLS with what it was sent.
struct TlsEcho {
  io::Loop& loop;
  crypto::TlsServerContext context;
  std::unique_ptr<io::Listener> listener;
  struct Peer {
    std::unique_ptr<io::Stream> stream;
    crypto::TlsSession session;
  };
  std::vector<std::unique_ptr<Peer>> peers;

  TlsEcho(io::Loop& own, crypto::TlsServerContext made) : loop(own), context(std::move(made)) {
    auto listening = loop.listen(io::Address::unix_socket("/tls"), {}, [this](std::unique_ptr<io::Stream> stream) {
      peers.push_back(std::make_unique<Peer>(Peer{std::move(stream), crypto::TlsSession(context)}));
      Peer* peer = peers.back().get();
      peer->stream->on_ready([this, peer](bool, bool) { turn(*peer); });
      peer->stream->want(true, false);
    });
    REQUIRE(listening.ok());
    listener = std::move(*listening);
  }
  void turn(Peer& peer) {
    std::array<std::uint8_t, 16384> buffer;
    const auto got = peer.stream->read(buffer);
    if (got.state == io::IoCount::State::kSome) {
      (void)peer.session.feed(ByteView(buffer).first(got.count));
      for (;;) {
        const auto plain = peer.session.read(buffer);
        if (!plain || *plain == 0) break;
        (void)peer.session.write(ByteView(buffer).first(*plain));
      }
    }
    const bool over = got.state == io::IoCount::State::kEnd || got.state == io::IoCount::State::kFailed;
    if (over) return peer.stream->want(false, false);
    while (!peer.session.output().empty()) {
      const auto put = peer.stream->write(peer.session.output());
      if (put.state != io::IoCount::State::kSome) break;
      peer.session.consume_output(put.count);
    }
    peer.stream->want(true, !peer.session.output().empty());
  }
};

struct TlsWorld {
  io::SimWorld sim{5};
  std::unique_ptr<io::Loop> loop = sim.make_loop(), peers = sim.make_loop();
  const UnixTime now = sim.clock().unix_time();
  std::shared_ptr<const crypto::PrivateKey> ca_key, key;
  Bytes ca;
  std::unique_ptr<TlsEcho> echo;
  std::optional<Result<std::unique_ptr<io::Stream>>> connected;
  std::shared_ptr<void> attempt;

  static std::shared_ptr<const crypto::PrivateKey> make_key() {
    return std::make_shared<const crypto::PrivateKey>(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
  }
  Bytes make_ca(const crypto::PrivateKey& with) const {
    return *crypto::create_ca(
        {"test CA", "", {now.nanos - 60 * kNanosPerSecond}, {now.nanos + 86'400 * kNanosPerSecond}}, with);
  }
  TlsWorld() : ca_key(make_key()), key(make_key()), ca(make_ca(*ca_key)) {
    crypto::LeafOptions leaf;
    leaf.dns_names = {"console.localhost"};
    leaf.not_before = {now.nanos - 60 * kNanosPerSecond};
    leaf.not_after = {now.nanos + 3600 * kNanosPerSecond};
    const auto csr = crypto::make_csr(*key, "echo");
    crypto::TlsServerOptions options;
    options.sites.push_back({{"console.localhost"}, {{*crypto::issue_leaf(ca, *ca_key, *csr, leaf)}, key}});
    auto context = crypto::TlsServerContext::build(std::move(options));
    if (!context) MESSAGE(context.error().message);
    REQUIRE(context.ok());
    echo = std::make_unique<TlsEcho>(*loop, *context);
  }
  void connect(const Bytes& root, const std::string& name, std::string_view path = "/tls") {
    crypto::TlsClientOptions options;
    options.verify_server = crypto::verify_server_name(*crypto::TrustRoots::build({root}), sim.clock());
    attempt = connect_tls(*peers, io::Address::unix_socket(path), *crypto::TlsClientContext::build(std::move(options)),
                          name, kNanosPerSecond,
                          [this](Result<std::unique_ptr<io::Stream>> made) { connected.emplace(std::move(made)); });
    sim.run_for(2 * kNanosPerSecond);
    REQUIRE(connected.has_value());
  }
};

TEST_CASE("TLS carries bytes both ways once the server is who it should be") {
  TlsWorld world;
  world.connect(world.ca, "console.localhost");
  REQUIRE(world.connected->ok());
  End end;
  end.take(std::move(**world.connected));
  const Bytes sent = pattern(400'000, 4);
  end.send(sent);
  for (int i = 0; i < 400 && end.received.size() < sent.size(); ++i) world.sim.run_for(50 * kNanosPerMilli);
  CHECK(end.received == sent);
}

TEST_CASE("a server that is somebody else, silent or gone is told apart") {
  TlsWorld world;
  SUBCASE("another CA") {
    world.connect(world.make_ca(*TlsWorld::make_key()), "console.localhost");
    CHECK(world.connected->error().code == "x509_untrusted");
  }
  SUBCASE("another name") {
    world.connect(world.ca, "other.localhost");
    CHECK(world.connected->error().code == "x509_name");
  }
  SUBCASE("silent, then gone") {
    std::vector<std::unique_ptr<io::Stream>> held;
    bool keeps = true;
    auto raw = world.loop->listen(io::Address::unix_socket("/raw"), {}, [&](std::unique_ptr<io::Stream> stream) {
      if (keeps) held.push_back(std::move(stream));
    });
    world.connect(world.ca, "console.localhost", "/raw");
    CHECK(world.connected->error().code == "tls_timeout");
    keeps = false;
    world.connected.reset();
    world.connect(world.ca, "console.localhost", "/raw");
    CHECK(world.connected->error().code == "tls_closed");
  }
  SUBCASE("nobody") {
    world.connect(world.ca, "console.localhost", "/nobody");
    CHECK(world.connected->error().code.starts_with("connect_"));
  }
}

}  // namespace
