#include "http/tls_stream.h"

#include <doctest/doctest.h>

#include "http/call.h"
#include "http/server.h"
#include "io/sim_loop.h"

using namespace wary;
using namespace wary::http;

namespace {

const io::Address kSecure = io::Address::tcp("127.0.0.1", 443);

// A server of one name, and clients that trust its CA or another.
struct SecureWorld {
  io::SimWorld sim{11};
  std::unique_ptr<io::Loop> served = sim.make_loop();
  std::unique_ptr<io::Loop> asked = sim.make_loop();
  crypto::PrivateKey ca_key = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  Bytes ca = make_ca(ca_key);
  std::optional<crypto::TlsServerContext> context;
  std::string body = "hello";
  std::size_t requests = 0;
  Server server{*served, [this](const std::shared_ptr<Exchange>& exchange) {
                  ++requests;
                  exchange->respond(200, {{"Content-Type", "text/plain"}}, body);
                }};
  std::unique_ptr<io::Listener> listener;

  SecureWorld() {
    auto key = std::make_shared<crypto::PrivateKey>(*crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
    const Bytes csr = *crypto::make_csr(*key, "server");
    crypto::LeafOptions leaf;
    leaf.dns_names = {"a.example"};
    leaf.not_before = now(-60);
    leaf.not_after = now(3600);
    crypto::TlsServerOptions options;
    options.sites.push_back({{}, {{*crypto::issue_leaf(ca, ca_key, csr, leaf)}, std::move(key)}});
    context = *crypto::TlsServerContext::build(std::move(options));
    listener = *served->listen(kSecure, {}, [this](std::unique_ptr<io::Stream> stream) {
      server.serve(std::make_unique<TlsStream>(*served, std::move(stream), crypto::TlsSession(*context)));
    });
  }
  UnixTime now(std::int64_t seconds) { return {sim.clock().unix_time().nanos + seconds * kNanosPerSecond}; }
  Bytes make_ca(const crypto::PrivateKey& key) {
    return *crypto::create_ca(
        {.common_name = "test", .trust_domain = "", .not_before = now(-60), .not_after = now(86400)}, key);
  }

  struct Answer {
    std::optional<Result<ClientResponse>> done;
    std::string code;  // of the session's failure
  };
  Answer get(const Bytes& root, std::string_view name, std::size_t body_bytes = std::size_t{1} << 20) {
    Answer answer;
    crypto::TlsClientOptions options;
    options.verify_server = crypto::verify_server_name(*crypto::TrustRoots::build({root}), sim.clock());
    const auto client = *crypto::TlsClientContext::build(std::move(options));
    TlsStream* secure = nullptr;
    ClientRequest request;
    request.host = name;
    Call call(std::move(request), {.body_bytes = body_bytes}, [&](Result<ClientResponse> done) {
      answer.done = std::move(done);
      if (secure != nullptr && secure->failure()) answer.code = secure->failure()->code;
    });
    REQUIRE(call.prepare().ok());
    asked->connect(kSecure, 0, [&](Result<std::unique_ptr<io::Stream>> stream) {
      REQUIRE(stream.ok());
      auto made = std::make_unique<TlsStream>(*asked, std::move(stream).value(), crypto::TlsSession(client, name));
      secure = made.get();
      call.begin(std::move(made));
    });
    sim.run_for(5 * kNanosPerSecond);
    return answer;
  }
};

}  // namespace

TEST_CASE("a request and its answer go through TLS, however large the answer is") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{16} << 10, std::size_t{700} << 10}) {
    SecureWorld world;
    world.body = std::string(size, 'x');
    const auto answer = world.get(world.ca, "a.example");
    REQUIRE(answer.done.has_value());
    REQUIRE_MESSAGE(answer.done->ok(), answer.code);
    CHECK((*answer.done)->status == 200);
    CHECK((*answer.done)->body == world.body);
  }
}

TEST_CASE("whose certificate does not hold is sent nothing, and the verifier's error is told") {
  SecureWorld world;
  const auto other = *crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  const auto untrusted = world.get(world.make_ca(other), "a.example");
  CHECK(untrusted.code == "x509_untrusted");
  REQUIRE(untrusted.done.has_value());
  CHECK(!untrusted.done->ok());
  CHECK(world.get(world.ca, "b.example").code == "x509_name");
  CHECK(world.requests == 0);
}

TEST_CASE("an answer that is too large, or is cut off, is no answer") {
  SecureWorld world;
  world.body = std::string(100'000, 'x');
  const auto large = world.get(world.ca, "a.example", 99'999);
  REQUIRE(large.done.has_value());
  CHECK(large.done->error().code == "http_body_too_large");
  world.sim.break_streams_after(50'000);
  const auto cut = world.get(world.ca, "a.example");
  REQUIRE(cut.done.has_value());
  CHECK(cut.done->error().code == "http_truncated");
  CHECK(cut.code == "tls_truncated");
}
