#include "identity/signer_service.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "codec/text.h"
#include "crypto/x509.h"
#include "identity/signer_queue.h"
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

// Asks many at once, as the control plane's loop does, and counts what it is told.
struct Asker {
  explicit Asker(Machine& machine, const std::string& path)
      : loop(io::make_epoll_loop(*machine.clock)), queue(std::make_unique<SignerQueue>(*loop, path)) {}
  void ask(const crypto::PrivateKey& key, const std::string& id, std::uint32_t ttl = 60) {
    ask(*crypto::make_csr(key, ""), id, ttl);
  }
  void ask(Bytes csr, const std::string& id, std::uint32_t ttl = 60) {
    const std::size_t place = answers.size();
    answers.emplace_back();
    queue->issue(std::move(csr), id, ttl, [this, place](Result<Authority::Issued> issued) {
      REQUIRE_FALSE(answers[place].has_value());
      CHECK(place == told);  // in order
      answers[place].emplace(std::move(issued));
      if (++told == answers.size()) loop->stop();
    });
  }
  void run() {
    const io::TimerId late = loop->after(20 * kNanosPerSecond, [this] { loop->stop(); });
    loop->run();
    loop->cancel(late);
    REQUIRE(told == answers.size());
  }
  std::string code(std::size_t place) const { return *answers[place] ? "" : answers[place]->error().code; }
  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<SignerQueue> queue;
  std::vector<std::optional<Result<Authority::Issued>>> answers;
  std::size_t told = 0;
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

TEST_CASE("who starts beside the signer waits for it, and not for ever") {
  Machine machine;
  machine.stop();
  SignerClient control(*machine.clock, machine.control());
  CHECK(control.public_keys(30 * kNanosPerMilli).error().code == "signer_unavailable");
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    machine.start();
  });
  CHECK(control.public_keys(60 * kNanosPerSecond).ok());
  later.join();
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

TEST_CASE("many certificates are asked for at once, in order, and a bad request spoils no other") {
  Machine machine;
  Asker asker(machine, machine.control());
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  const auto other = crypto::PrivateKey::generate(crypto::KeyType::kEd25519).value();
  Bytes forged = *crypto::make_csr(key, "");
  forged.back() ^= 1;
  for (std::size_t i = 0; i < 50; ++i) asker.ask(i % 2 == 0 ? key : other, "spiffe://local/w" + std::to_string(i));
  asker.ask(forged, "spiffe://local/forged");
  asker.ask(key, "spiffe://elsewhere/w");
  asker.ask(key, "spiffe://local/w", 3601);
  asker.ask(key, "spiffe://local/w", 0);
  asker.ask(Bytes(), "spiffe://local/w");
  asker.run();
  const auto trusted = SignerClient(*machine.clock, machine.control()).authorities();
  const auto roots = crypto::TrustRoots::build(trusted->x509_roots);
  crypto::VerifyOptions verify;
  verify.svid = true;
  verify.trust_domain = "local";
  for (std::size_t i = 0; i < 50; ++i) {
    REQUIRE(asker.code(i).empty());
    const auto leaf = roots->verify((*asker.answers[i])->chain, machine.clock->unix_time(), verify);
    REQUIRE(leaf.ok());
    CHECK(leaf->uris == std::vector<std::string>{"spiffe://local/w" + std::to_string(i)});
    CHECK(leaf->public_key == (i % 2 == 0 ? key : other).public_key().to_spki());
    CHECK(leaf->not_after.nanos - machine.clock->unix_time().nanos <= 60 * kNanosPerSecond);
  }
  CHECK(asker.code(50) == "csr_proof");
  CHECK(asker.code(51) == "signer_trust_domain");
  CHECK(asker.code(52) == "signer_ttl");
  CHECK(asker.code(53) == "signer_ttl");
  CHECK(asker.code(54).starts_with("csr_"));
}

TEST_CASE("what a signer had not answered when it ended is asked of the next one, and refused when there is none") {
  Machine machine;
  Asker asker(machine, machine.control());
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  asker.ask(key, "spiffe://local/first");
  asker.run();
  CHECK(asker.code(0).empty());
  // On its way while the signer ends: the next one is there before the loss is seen.
  machine.stop();
  machine.start();
  for (int i = 0; i < 40; ++i) asker.ask(key, "spiffe://local/again");
  asker.run();
  for (std::size_t i = 1; i < asker.answers.size(); ++i) CHECK(asker.code(i).empty());
  machine.stop();
  asker.ask(key, "spiffe://local/never");
  asker.run();
  CHECK(asker.code(asker.answers.size() - 1) == "signer_unavailable");
  machine.start();
  asker.ask(key, "spiffe://local/later");
  asker.run();
  CHECK(asker.code(asker.answers.size() - 1).empty());
}

TEST_CASE("the queue refuses what is too large or too much, and the edge gets no workload's certificate by it") {
  Machine machine;
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  Asker asker(machine, machine.control());
  asker.ask(Bytes(60'000, 1), "spiffe://local/w");
  asker.run();
  CHECK(asker.code(0) == "signer_request_size");
  Asker edge(machine, machine.edge());
  edge.ask(key, "spiffe://local/w");
  edge.run();
  CHECK(edge.code(0) == "signer_unavailable");
  Asker many(machine, machine.control());
  std::size_t busy = 0, told = 0;
  for (int i = 0; i < 4100; ++i) {
    many.queue->issue(Bytes(1, 1), "spiffe://local/w", 60, [&](const Result<Authority::Issued>& issued) {
      busy += !issued && issued.error().code == "signer_busy" ? 1U : 0U;
      if (++told == 4100) many.loop->stop();
    });
  }
  many.run();
  CHECK(told == 4100);
  CHECK(busy == 4);
}

TEST_CASE("a client that is interrupted waits no longer for a signer that hangs, and asks it nothing more") {
  Machine machine;
  const std::string path = machine.folder + "/hangs.sock";
  // Taken by the kernel, and read by nobody.
  const auto loop = io::make_epoll_loop(*machine.clock);
  const auto listener = loop->listen(io::Address::unix_socket(path), {}, [](std::unique_ptr<io::Stream>) {});
  REQUIRE(listener.ok());
  SignerClient client(*machine.clock, path);
  const std::int64_t begun = machine.clock->monotonic().nanos;
  std::thread other([&client] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    client.interrupt();
  });
  CHECK(client.authorities().error().code == "signer_unavailable");
  other.join();
  CHECK(client.authorities().error().code == "signer_unavailable");
  CHECK(machine.clock->monotonic().nanos - begun < 2 * kNanosPerSecond);
}
