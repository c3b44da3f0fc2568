#include "identity/signer_service.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "codec/text.h"
#include "crypto/x509.h"
#include "io/sim_files.h"
#include "io/sim_loop.h"
#include "io/system.h"

using namespace wary;
using namespace wary::identity;

namespace {

// A signer on real sockets, on a thread of its own; it can be killed and started again.
struct Machine {
  std::string folder = (std::filesystem::temp_directory_path() / "wary-signer-XXXXXX").string();
  std::unique_ptr<Clock> clock = io::make_system_clock();
  std::unique_ptr<Random> random = io::make_system_random();
  io::SimFiles files{1};
  std::unique_ptr<Signer> signer;
  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<SignerService> service;
  std::thread thread;
  uid_t edge_uid = getuid();

  explicit Machine(uid_t uid = getuid()) : edge_uid(uid) {
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    REQUIRE(files.make_directory("signer").ok());
    start();
  }
  ~Machine() {
    stop();
    std::filesystem::remove_all(folder);
  }
  std::string edge() const { return folder + "/edge.sock"; }
  std::string control() const { return folder + "/control.sock"; }
  void start() {
    signer = Signer::open(files, "signer", *clock, *random, {.trust_domain = "local", .authority = {}, .log = nullptr})
                 .value();
    loop = io::make_epoll_loop(*clock);
    service = std::make_unique<SignerService>(*loop, *signer, null_log());
    REQUIRE(service->listen(Role::kEdge, edge(), edge_uid).ok());
    REQUIRE(service->listen(Role::kControl, control(), getuid()).ok());
    thread = std::thread([this] { loop->run(); });
  }
  void stop() {
    if (!thread.joinable()) return;
    loop->stop();
    thread.join();
    service.reset();
    loop.reset();
    signer.reset();
  }
};

codec::Json ask(std::string_view op) { return codec::Json::object({{"op", codec::Json(op)}}); }

}  // namespace

TEST_CASE("each role gets what its table allows, over its own socket") {
  Machine machine;
  SignerClient control(*machine.clock, machine.control()), edge(*machine.clock, machine.edge());
  const auto keys = control.public_keys();
  REQUIRE(keys.ok());
  const auto key = crypto::PublicKey::from_raw(crypto::KeyType::kEd25519, keys->snapshot);
  const auto signature = control.sign("snapshot.sign", as_bytes("wary snapshot v2\nmessage"));
  REQUIRE(signature.ok());
  CHECK(key->verify(as_bytes("wary snapshot v2\nmessage"), *signature));
  const auto own = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  const auto issued = edge.issue_names(*crypto::make_csr(*own, "edge"), {"site.localhost"});
  REQUIRE(issued.ok());
  REQUIRE(issued->chain.size() == 2);
  CHECK(crypto::parse_certificate(issued->chain[0])->dns_names == std::vector<std::string>{"site.localhost"});
  const auto trusted = edge.authorities();
  REQUIRE(trusted.ok());
  REQUIRE(trusted->x509_roots == std::vector<Bytes>{keys->ca});
  crypto::VerifyOptions verify;
  verify.dns_name = "site.localhost";
  const auto roots = crypto::TrustRoots::build(trusted->x509_roots);
  CHECK(roots->verify(issued->chain, machine.clock->unix_time(), verify).ok());
  CHECK(issued->not_after.nanos - machine.clock->unix_time().nanos <= 24 * 3600 * kNanosPerSecond);
}

TEST_CASE("a token is signed for the control plane by a key that is published") {
  Machine machine;
  SignerClient control(*machine.clock, machine.control()), edge(*machine.clock, machine.edge());
  const auto token = control.sign_jwt("spiffe://local/orders", {"billing"}, 60);
  REQUIRE(token.ok());
  const std::size_t first = token->find('.'), last = token->rfind('.');
  const auto header = codec::parse_json(as_text(*codec::decode_base64url(token->substr(0, first))));
  const auto claims = codec::parse_json(as_text(*codec::decode_base64url(token->substr(first + 1, last - first - 1))));
  const auto trusted = control.authorities();
  REQUIRE(trusted->jwt.size() == 1);
  CHECK(header->string_or("alg", "") == "ES256");
  CHECK(header->string_or("typ", "") == "JWT");
  CHECK(header->string_or("kid", "") == trusted->jwt[0].kid);
  CHECK(claims->string_or("sub", "") == "spiffe://local/orders");
  CHECK(*claims->find("aud") == codec::Json::array({codec::Json("billing")}));
  CHECK(claims->integer_or("exp", 0) - claims->integer_or("iat", 0) == 60);
  const auto key = crypto::PublicKey::decode_spki(trusted->jwt[0].spki);
  const Bytes raw = *codec::decode_base64url(token->substr(last + 1));
  CHECK(key->verify(as_bytes(token->substr(0, last)), *crypto::ecdsa_to_der(raw)));
  CHECK(control.sign_jwt("spiffe://other/orders", {"billing"}, 60).error().code == "signer_trust_domain");
  CHECK(control.sign_jwt("spiffe://local", {"billing"}, 60).error().code == "signer_trust_domain");
  CHECK(control.sign_jwt("spiffe://local/orders", {}, 60).error().code == "signer_audience");
  CHECK(control.sign_jwt("spiffe://local/orders", {""}, 60).error().code == "signer_audience");
  CHECK(control.sign_jwt("spiffe://local/orders", {"a", "a"}, 60).error().code == "signer_audience");
  CHECK(control.sign_jwt("spiffe://local/orders", std::vector<std::string>(17, "a"), 60).error().code ==
        "signer_audience");
  CHECK(control.sign_jwt("spiffe://local/orders", {"billing"}, 3601).error().code == "signer_ttl");
  CHECK(control.sign_jwt("spiffe://local/orders", {"billing"}, 0).error().code == "signer_ttl");
  CHECK(edge.sign_jwt("spiffe://local/orders", {"billing"}, 60).error().code == "signer_unavailable");
}

TEST_CASE("what is too large for the signer is refused, and the next call is answered") {
  Machine machine;
  SignerClient control(*machine.clock, machine.control());
  for (int i = 0; i < 2; ++i) {
    CHECK(control.sign_jwt("spiffe://local/orders", {std::string(70'000, 'x')}, 60).error().code ==
          "signer_request_size");
    CHECK(control.sign_jwt("spiffe://local/orders", {"billing"}, 60).ok());
  }
}

TEST_CASE("a forbidden operation closes the connection, and the next call gets a new one") {
  Machine machine;
  SignerClient edge(*machine.clock, machine.edge());
  REQUIRE(edge.public_keys().ok());
  CHECK(edge.sign("snapshot.sign", as_bytes("m")).error().code == "signer_unavailable");
  CHECK(edge.sign("checkpoint.sign", as_bytes("m")).error().code == "signer_unavailable");
  CHECK(edge.public_keys().ok());
}

TEST_CASE("a user who is not the role's is refused") {
  Machine machine(getuid() + 1);
  SignerClient edge(*machine.clock, machine.edge());
  CHECK(edge.public_keys().error().code == "signer_unavailable");
  SignerClient control(*machine.clock, machine.control());
  CHECK(control.public_keys().ok());
}

TEST_CASE("a request that is malformed is answered or closed, never more") {
  Machine machine;
  SignerClient edge(*machine.clock, machine.edge());
  for (const codec::Json& request :
       {codec::Json::object(), ask("certificate.issue"), ask("nonsense"), codec::Json::array()}) {
    CHECK_FALSE(edge.call(request).ok());
  }
  CHECK_FALSE(edge.issue_names(as_bytes("no request"), {"a.localhost"}).ok());
  CHECK(edge.public_keys().ok());
}

TEST_CASE("a client goes on after the signer was started again, with the same keys") {
  Machine machine;
  SignerClient control(*machine.clock, machine.control());
  const auto before = control.public_keys();
  REQUIRE(before.ok());
  machine.stop();
  const auto away = control.public_keys();
  REQUIRE_FALSE(away.ok());
  CHECK(away.error().code == "signer_unavailable");
  machine.start();
  const auto after = control.public_keys();
  REQUIRE(after.ok());
  CHECK(after->ledger == before->ledger);
  CHECK(after->ca == before->ca);
  machine.stop();
  machine.start();
  CHECK(control.sign("snapshot.sign", as_bytes("wary snapshot v2\nm")).ok());  // asked once more, unseen by the caller
}
