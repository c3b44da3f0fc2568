// A WebSocket over TLS, in the simulated world: from a call through the server's upgrade to bytes both ways.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "base/random.h"
#include "crypto/x509.h"
#include "http/call.h"
#include "http/server.h"
#include "http/tls_call.h"
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
  request.asks_for_websocket = true;
  request.timeout_nanos = kNanosPerSecond;
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

const io::Address kWebSockets = io::Address::tcp("127.0.0.1", 443);
const io::Address kOther = io::Address::tcp("127.0.0.1", 444);

struct UpgradeWorld {
  io::SimWorld sim{11};
  std::unique_ptr<io::Loop> loop = sim.make_loop(), peers = sim.make_loop();
  crypto::PrivateKey ca_key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  Bytes ca = make_ca(ca_key);
  std::optional<crypto::TlsServerContext> context;
  MaskRandom random;
  End server_end, client_end;
  bool refuses = false, mutes = false;
  std::unique_ptr<io::Stream> mute;
  std::optional<Result<TlsReply>> reply;
  std::shared_ptr<void> calling;
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
  std::unique_ptr<io::Listener> listener;

  UnixTime now(std::int64_t seconds) { return {sim.clock().unix_time().nanos + seconds * kNanosPerSecond}; }
  Bytes make_ca(const crypto::PrivateKey& key) { return *crypto::create_ca({"test", "", now(-60), now(86400)}, key); }

  UpgradeWorld() {
    auto key = std::make_shared<crypto::PrivateKey>(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
    crypto::LeafOptions leaf;
    leaf.dns_names = {"a.example"};
    leaf.not_before = now(-60);
    leaf.not_after = now(3600);
    crypto::TlsServerOptions options;
    options.sites.push_back(
        {{}, {{*crypto::issue_leaf(ca, ca_key, *crypto::make_csr(*key, "server"), leaf)}, std::move(key)}});
    context = *crypto::TlsServerContext::build(std::move(options));
    listener = *loop->listen(kWebSockets, {}, [this](std::unique_ptr<io::Stream> stream) {
      server.serve(std::make_unique<TlsStream>(*loop, std::move(stream), crypto::TlsSession(*context)));
    });
  }
  void run(std::int64_t millis) { sim.run_for(millis * kNanosPerMilli); }
  void call(const ClientRequest& request, const Bytes& root, const io::Address& address = kWebSockets) {
    crypto::TlsClientOptions options;
    options.verify_server = crypto::verify_server_name(*crypto::TrustRoots::build({root}), sim.clock());
    reply.reset();
    calling = call_tls(*peers, {address, "a.example"}, *crypto::TlsClientContext::build(std::move(options)), request,
                       [this](Result<TlsReply> got) { reply.emplace(std::move(got)); });
    run(1500);
    REQUIRE(reply.has_value());
  }
  void open() {
    call(upgrade_request(), ca);
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

TEST_CASE("a call that leads nowhere says why") {
  UpgradeWorld world;
  SUBCASE("refused, and no upgrade where none was asked for") {
    world.refuses = true;
    world.call(upgrade_request(), world.ca);
    REQUIRE(world.reply->ok());
    CHECK((*world.reply)->response.status == 403);
    CHECK((*world.reply)->response.body == "no");
    CHECK((*world.reply)->stream == nullptr);
    world.refuses = false;
    ClientRequest plain;
    plain.timeout_nanos = kNanosPerSecond;
    world.call(plain, world.ca);
    CHECK((*world.reply)->response.status == 400);
  }
  SUBCASE("a server of another CA, and nobody") {
    world.call(upgrade_request(), world.make_ca(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256)));
    CHECK(world.reply->error().code == "x509_untrusted");
    world.call(upgrade_request(), world.ca, kOther);
    CHECK(world.reply->error().code.starts_with("connect_"));
  }
  SUBCASE("silent, then gone") {
    std::vector<std::unique_ptr<io::Stream>> held;
    bool keeps = true;
    const auto raw = world.loop->listen(kOther, {}, [&](std::unique_ptr<io::Stream> stream) {
      if (keeps) held.push_back(std::move(stream));
    });
    world.call(upgrade_request(), world.ca, kOther);
    CHECK(world.reply->error().code == "http_timeout");
    keeps = false;
    world.call(upgrade_request(), world.ca, kOther);
    CHECK(world.reply->error().code == "tls_truncated");
  }
  SUBCASE("a change of protocol that nobody asked for") {
    End end;
    const auto raw = world.loop->listen(kOther, {}, [&](std::unique_ptr<io::Stream> stream) {
      end.to_send = to_bytes("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
      end.take(std::move(stream));
    });
    std::string code;
    Call call({}, {}, [&](Result<ClientResponse> answer) { code = answer ? "" : answer.error().code; });
    REQUIRE(call.prepare().ok());
    world.peers->connect(kOther, kNanosPerSecond,
                         [&](Result<std::unique_ptr<io::Stream>> stream) { call.begin(std::move(*stream)); });
    world.run(500);
    CHECK(code == "http_upgrade");
  }
}

}  // namespace
