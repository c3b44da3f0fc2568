#include "identity/authority.h"

#include <doctest/doctest.h>

#include <array>
#include <set>

#include "codec/text.h"
#include "crypto/tls.h"
#include "identity/signer.h"
#include "identity/token.h"
#include "io/sim_files.h"
#include "io/system.h"

using namespace wary;
using namespace wary::identity;

namespace {

constexpr std::int64_t kAnHour = 3600;
constexpr std::int64_t kADay = 24 * kAnHour;

class HandClock final : public Clock {
 public:
  UnixTime unix_time() override { return now; }
  Monotonic monotonic() override { return {now.nanos}; }
  void pass(std::int64_t seconds) { now.nanos += seconds * kNanosPerSecond; }
  UnixTime now{std::int64_t{1'800'000'000} * kNanosPerSecond};
};

// Years in weeks: roots follow one another every 22 days, intermediates every 4, token keys every 6.
AuthorityOptions fast_options() {
  AuthorityOptions options;
  options.root_life = 40 * kADay;
  options.intermediate_life = 6 * kADay;
  options.root = {20 * kADay, 2 * kADay, 25 * kAnHour};
  options.intermediate = {3 * kADay, 1 * kADay, 25 * kAnHour};
  options.token = {4 * kADay, 2 * kADay, 2 * kAnHour};
  return options;
}

struct Home {
  io::SimFiles files{1};
  HandClock clock;
  std::unique_ptr<Random> random = io::make_system_random();
  crypto::SealKey seal = crypto::SealKey::generate(*random);
  keystore::FileStore store{files, "signer/keys", seal, *random};
  AuthorityOptions options = fast_options();
  std::unique_ptr<Authority> authority;

  explicit Home(AuthorityOptions its_options = fast_options()) : options(std::move(its_options)) {
    REQUIRE(files.make_directory("signer").ok());
    authority = open(true).value();
    REQUIRE(authority->mark_complete().ok());
  }
  AuthorityParts parts() {
    return {.files = files,
            .directory = "signer",
            .clock = clock,
            .random = *random,
            .log = null_log(),
            .seal = seal,
            .stores = {&store},
            .root_store = store,
            .intermediate_store = store,
            .token_store = store,
            .first_root = std::nullopt};
  }
  Result<std::unique_ptr<Authority>> open(bool may_begin) { return Authority::open(parts(), options, may_begin); }
  Authority::Issued leaf(const crypto::PrivateKey& key, const std::string& id, std::int64_t life = kADay) {
    crypto::LeafOptions leaf;
    leaf.spiffe_id = id;
    leaf.not_before = {clock.now.nanos - 60 * kNanosPerSecond};
    leaf.not_after = {clock.now.nanos + life * kNanosPerSecond};
    auto issued = authority->issue(*crypto::make_csr(key, ""), leaf);
    REQUIRE_MESSAGE(issued.ok(), issued.error().to_string());
    return std::move(issued).value();
  }
  std::string token() {
    const Authority::TokenKey key = authority->token_key();
    return make_token({"spiffe://local/a", {"b"}, 3600}, clock.now, key.kid, *key.key).value();
  }
};

bool is_good_token(const std::string& token, const Authorities& trusted) {
  const std::size_t first = token.find('.'), last = token.rfind('.');
  const auto header = codec::parse_json(as_text(*codec::decode_base64url(token.substr(0, first))));
  for (const JwtAuthority& one : trusted.jwt) {
    if (one.kid != header->string_or("kid", "")) continue;
    const Bytes signature = *crypto::ecdsa_to_der(*codec::decode_base64url(token.substr(last + 1)));
    return crypto::PublicKey::decode_spki(one.spki)->verify(as_bytes(token.substr(0, last)), signature);
  }
  return false;
}

// A workload: it renews its leaf when half of its time is over, and reads what is trusted once a day.
struct Party {
  std::string id;
  std::int64_t phase;
  std::shared_ptr<const crypto::PrivateKey> key =
      std::make_shared<const crypto::PrivateKey>(crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value());
  std::vector<Bytes> chain = {};
  Authorities trusted = {};
  std::string token = {};

  void live_an_hour(Home& home, std::int64_t hour) {
    if (chain.empty() || (hour + phase) % 12 == 0) chain = home.leaf(*key, id).chain;
    if (trusted.sequence == 0 || (hour + phase) % 24 == 0) trusted = home.authority->authorities();
    token = home.token();
  }
};

// A handshake with certificates on both sides; each verifies the other by what it trusts.
bool shake_hands(Home& home, const Party& client, const Party& server) {
  crypto::TlsServerOptions serving;
  serving.sites.push_back({{"any.example"}, {server.chain, server.key}});
  serving.client_auth = crypto::ClientAuth::kRequired;
  serving.verify_client = crypto::verify_svid(*crypto::TrustRoots::build(server.trusted.x509_roots), "local",
                                              crypto::VerifyOptions::Use::kClient, home.clock);
  crypto::TlsClientOptions asking;
  asking.identity = crypto::TlsIdentity{client.chain, client.key};
  asking.verify_server = crypto::verify_svid(*crypto::TrustRoots::build(client.trusted.x509_roots), "local",
                                             crypto::VerifyOptions::Use::kServer, home.clock);
  const auto server_context = crypto::TlsServerContext::build(std::move(serving));
  const auto client_context = crypto::TlsClientContext::build(std::move(asking));
  REQUIRE(server_context.ok());
  REQUIRE(client_context.ok());
  crypto::TlsSession a(*client_context, "any.example"), b(*server_context);
  for (int i = 0; i < 10 && !(a.is_open() && b.is_open()); ++i) {
    for (const auto& [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
      const Bytes flight(from->output().begin(), from->output().end());
      from->consume_output(flight.size());
      if (!flight.empty() && !to->feed(flight)) return false;
    }
  }
  return a.is_open() && b.is_open() && a.peer_spiffe_id() == server.id && b.peer_spiffe_id() == client.id;
}

struct Refusals {
  int handshakes = 0;
  int tokens = 0;
};
Refusals live(Home& home, std::array<Party, 3>& parties, std::int64_t from, std::int64_t hours) {
  Refusals refusals;
  for (std::int64_t hour = from; hour < from + hours; ++hour) {
    for (Party& party : parties) party.live_an_hour(home, hour);
    const auto at = static_cast<std::size_t>(hour % 3);
    const Party &client = parties[at], &server = parties[(at + 1) % 3];
    refusals.handshakes += shake_hands(home, client, server) ? 0 : 1;
    refusals.tokens += is_good_token(client.token, server.trusted) ? 0 : 1;
    home.clock.pass(kAnHour);
  }
  return refusals;
}
std::array<Party, 3> three_parties() {
  return {Party{"spiffe://local/a", 0}, Party{"spiffe://local/b", 7}, Party{"spiffe://local/c", 17}};
}

}  // namespace

TEST_CASE("no handshake and no token is refused while roots, intermediates and token keys follow one another") {
  Home home;
  auto parties = three_parties();
  const Bytes first_root = home.authority->active_root();
  const std::uint64_t first_sequence = home.authority->authorities().sequence;
  const Refusals refusals = live(home, parties, 0, 50 * 24);
  CHECK(refusals.handshakes == 0);
  CHECK(refusals.tokens == 0);
  CHECK(home.authority->active_root() != first_root);
  // Two roots and eight token keys came, and what they followed went.
  CHECK(home.authority->authorities().sequence >= first_sequence + 16);
  CHECK(home.authority->authorities().x509_roots.size() <= 2);
  CHECK(home.files.list("signer/keys").value().size() <= 6);
}

TEST_CASE("a root that signs before others know it is what the handshakes of this test notice") {
  AuthorityOptions options = fast_options();
  options.root.ahead = 0;
  options.token.ahead = 0;
  Home home(options);
  auto parties = three_parties();
  const Refusals refusals = live(home, parties, 0, 24 * 24);
  CHECK(refusals.handshakes > 0);
  CHECK(refusals.tokens > 0);
}

TEST_CASE("a rotation that somebody begins refuses nothing either, unless it is to be at once") {
  Home home;
  auto parties = three_parties();
  (void)live(home, parties, 0, 24);
  const Bytes first_root = home.authority->active_root();
  REQUIRE(home.authority->rotate({.kind = KeyKind::kRoot}).ok());
  CHECK(home.authority->active_root() == first_root);
  CHECK(home.authority->authorities().x509_roots.size() == 2);
  CHECK(home.authority->rotate({.kind = KeyKind::kRoot}).error().code == "rotation_under_way");
  REQUIRE(home.authority->rotate({.kind = KeyKind::kToken}).ok());
  REQUIRE(home.authority->rotate({.kind = KeyKind::kIntermediate}).ok());
  const Refusals gentle = live(home, parties, 24, 5 * 24);
  CHECK(gentle.handshakes == 0);
  CHECK(gentle.tokens == 0);
  CHECK(home.authority->active_root() != first_root);
  CHECK(home.authority->authorities().x509_roots.size() == 1);

  const Bytes tainted = home.authority->active_root();
  REQUIRE(home.authority->rotate({.kind = KeyKind::kRoot, .at_once = true, .grace_seconds = 2 * kAnHour}).ok());
  CHECK(home.authority->active_root() != tainted);
  CHECK(home.authority->authorities().x509_roots.size() == 2);
  home.clock.pass(2 * kAnHour + 61);
  REQUIRE(home.authority->advance().ok());
  CHECK(home.authority->authorities().x509_roots == std::vector<Bytes>{home.authority->active_root()});
  // Without grace nobody is to trust it from now on, and what it signed is refused.
  const auto leaf = home.leaf(*parties[0].key, "spiffe://local/a");
  REQUIRE(home.authority->rotate({.kind = KeyKind::kRoot, .at_once = true}).ok());
  const Authorities now = home.authority->authorities();
  REQUIRE(now.x509_roots.size() == 1);
  CHECK(crypto::TrustRoots::build(now.x509_roots)->verify(leaf.chain, home.clock.now, {}).error().code ==
        "x509_untrusted");
  const auto fresh = home.leaf(*parties[0].key, "spiffe://local/a");
  CHECK(crypto::TrustRoots::build(now.x509_roots)->verify(fresh.chain, home.clock.now, {}).ok());
  const std::string token = home.token();
  REQUIRE(home.authority->rotate({.kind = KeyKind::kToken, .at_once = true}).ok());
  CHECK(!is_good_token(token, home.authority->authorities()));
  CHECK(is_good_token(home.token(), home.authority->authorities()));
  CHECK(home.authority->rotate({.kind = KeyKind::kRoot, .at_once = true, .grace_seconds = -1}).error().code ==
        "rotation_grace");
}

TEST_CASE("a signer that was off for longer than its intermediate, or its root, goes on with new ones") {
  Home home;
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  for (const std::int64_t days : {10, 100}) {
    const Bytes root = home.authority->active_root();
    home.authority.reset();
    home.clock.pass(days * kADay);
    home.authority = home.open(false).value();
    const auto issued = home.leaf(key, "spiffe://local/a");
    const auto roots = crypto::TrustRoots::build(home.authority->authorities().x509_roots);
    CHECK(roots->verify(issued.chain, home.clock.now, {}).ok());
    CHECK((home.authority->active_root() == root) == (days == 10));
  }
}

TEST_CASE("every authority certificate has a subject and a key of its own") {
  Home home;
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  std::set<std::string> subjects;
  std::set<Bytes> keys;
  for (int i = 0; i < 5; ++i) {
    for (const Bytes& certificate : {home.authority->active_root(), home.leaf(key, "spiffe://local/a").chain[1]}) {
      const auto shown = crypto::parse_certificate(certificate).value();
      subjects.insert(shown.subject);
      keys.insert(shown.subject_key_id);
      CHECK(shown.is_ca);
      CHECK(shown.uris == std::vector<std::string>{"spiffe://local"});
    }
    REQUIRE(home.authority->rotate({.kind = KeyKind::kRoot, .at_once = true}).ok());
  }
  CHECK(subjects.size() == 10);
  CHECK(keys.size() == 10);
}

TEST_CASE("a disk that takes nothing stops no certificate, and the rotation that was due is done when it takes again") {
  Home home;
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  home.clock.pass(4 * kADay);
  home.files.set_capacity(1);
  const auto before = home.leaf(key, "spiffe://local/a");
  CHECK(!home.authority->rotate({.kind = KeyKind::kIntermediate}).ok());
  home.clock.pass(120);
  CHECK(home.leaf(key, "spiffe://local/a").chain[1] == before.chain[1]);
  home.files.set_capacity(1 << 20);
  REQUIRE(home.authority->rotate({.kind = KeyKind::kIntermediate}).ok());
  CHECK(home.leaf(key, "spiffe://local/a").chain[1] != before.chain[1]);
  home.authority = home.open(false).value();
  CHECK(home.leaf(key, "spiffe://local/a").chain[1] != before.chain[1]);
}

TEST_CASE("state that is damaged, gone or another trust domain's is refused") {
  Home home;
  home.authority.reset();
  home.options.trust_domain = "other";
  CHECK(home.open(false).error().code == "authority_trust_domain");
  home.options.trust_domain = "local";
  home.files.flip_bit("signer/authority.state", 50);
  CHECK(home.open(true).error().code == "authority_state");
  REQUIRE(home.files.remove("signer/authority.state").ok());
  CHECK(home.open(false).error().code == "authority_missing");
}

namespace {

// What a power cut at one place leaves: the first start, rotations of everything, and a day on which things were due.
struct Script {
  io::SimFiles& files;
  HandClock& clock;
  Random& random;
  std::uint64_t acknowledged = 0;  // the newest sequence that somebody was told

  Result<std::unique_ptr<Signer>> open() {
    return Signer::open(files, "signer", clock, random,
                        {.trust_domain = "local", .authority = fast_options(), .log = nullptr});
  }
  void run() {
    if (!files.make_directory("signer") || !files.sync_directory(".")) return;
    auto signer = open();
    if (!signer) return;
    acknowledged = 1;
    for (const auto& [kind, at_once] :
         {std::pair{"root", false}, {"token", true}, {"intermediate", false}, {"root", true}}) {
      codec::Json request = codec::Json::object();
      request.set("op", "ca.rotate").set("kind", kind).set("at_once", at_once);
      const auto answer = (*signer)->handle(Role::kControl, request);
      if (answer) acknowledged = static_cast<std::uint64_t>(answer->integer_or("sequence", 0));
      clock.pass(2 * kADay);
      if (!(*signer)->advance()) return;
    }
  }
};

std::uint64_t sequence_of(Signer& signer) {
  codec::Json request = codec::Json::object();
  request.set("op", "authorities");
  const auto answer = signer.handle(Role::kControl, request);
  REQUIRE(answer.ok());
  REQUIRE(answer->find("x509_roots")->items().size() >= 1);
  return static_cast<std::uint64_t>(answer->integer_or("sequence", 0));
}

}  // namespace

TEST_CASE("after a power cut at any write the authority stands as it was or as it was to be") {
  const auto random = io::make_system_random();
  io::SimFiles whole(1);
  HandClock clock;
  Script clean{whole, clock, *random};
  clean.run();
  REQUIRE(clean.acknowledged > 5);
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  REQUIRE(whole.calls() > 100);
  for (std::uint64_t call = 0; call < whole.calls(); ++call) {
    CAPTURE(call);
    io::SimFiles files(call + 7);
    HandClock its_clock;
    Script script{files, its_clock, *random};
    files.fail_at(call, io::SimFault::kPowerCut);
    script.run();
    files.crash();
    files.clear_faults();
    if (!files.status("signer")) REQUIRE(files.make_directory("signer").ok());
    auto signer = script.open();
    REQUIRE_MESSAGE(signer.ok(), signer.error().to_string());
    CHECK(sequence_of(**signer) >= script.acknowledged);
    // It issues, what it issues is trusted by what it says is to be trusted, and it is the same after a restart.
    codec::Json request = codec::Json::object();
    request.set("op", "certificate.issue").set("csr", codec::encode_base64(*crypto::make_csr(key, "")));
    request.set("spiffe_id", "spiffe://local/a");
    const auto issued = (*signer)->handle(Role::kControl, request);
    REQUIRE_MESSAGE(issued.ok(), issued.error().to_string());
    const std::uint64_t sequence = sequence_of(**signer);
    signer->reset();
    auto again = script.open();
    REQUIRE_MESSAGE(again.ok(), again.error().to_string());
    CHECK(sequence_of(**again) == sequence);
  }
}

TEST_CASE("the one CA of a directory of before becomes the first root") {
  const auto random = io::make_system_random();
  HandClock clock;
  io::SimFiles files(1);
  REQUIRE(files.make_directory("signer").ok());
  const auto options = SignerOptions{.trust_domain = "local", .authority = fast_options(), .log = nullptr};
  // Such a directory: sealed ca.key beside ca.der.
  const auto seal = crypto::SealKey::generate(*random);
  const auto ca_key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256).value();
  const Bytes ca = crypto::create_ca({"wary local CA",
                                      "local",
                                      {clock.now.nanos - kNanosPerSecond},
                                      {clock.now.nanos + 3650 * kADay * kNanosPerSecond}},
                                     ca_key)
                       .value();
  const auto write = [&](const std::string& name, ByteView bytes) {
    REQUIRE(io::write_file_atomically(files, "signer/" + name, bytes).ok());
  };
  write("seal.key", seal.to_key_file().reveal());
  write("ca.der", ca);
  write("ca.key", crypto::seal(seal, "ca.key", ca_key.to_pkcs8()->reveal(), *random).value());
  for (const char* name : {"ledger.key", "snapshot.key"}) {
    const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEd25519).value();
    write(name, crypto::seal(seal, name, key.to_pkcs8()->reveal(), *random).value());
  }
  write("origin", as_bytes("wary.local/ledger/abcdefgh"));
  for (int i = 0; i < 2; ++i) {
    auto signer = Signer::open(files, "signer", clock, *random, options);
    REQUIRE_MESSAGE(signer.ok(), signer.error().to_string());
    codec::Json request = codec::Json::object();
    request.set("op", "public");
    CHECK((*signer)->handle(Role::kEdge, request)->string_or("ca", "") == codec::encode_base64(ca));
    CHECK(!files.status("signer/ca.key").ok());
    CHECK(!files.status("signer/ca.der").ok());
  }
  REQUIRE(files.remove("signer/authority.state").ok());
  CHECK(Signer::open(files, "signer", clock, *random, options).error().code == "signer_key_missing");
}
