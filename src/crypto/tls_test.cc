#include "crypto/tls.h"

#include <doctest/doctest.h>

#include <array>

#include "crypto/crypto_test_world.h"
#include "crypto/handles.h"

namespace wary::crypto {
namespace {

UnixTime seconds_after(std::int64_t seconds) { return {kNow.nanos + seconds * kNanosPerSecond}; }

class FixedClock final : public Clock {
 public:
  UnixTime unix_time() override { return now; }
  Monotonic monotonic() override { return {now.nanos}; }
  UnixTime now = kNow;
};

struct World {
  FixedClock clock;
  PrivateKey ca_key = *PrivateKey::generate(KeyType::kEcdsaP256);
  Bytes ca = *create_ca({"CA", "local", seconds_after(-3600), seconds_after(360000)}, ca_key);
  TrustRoots roots = *TrustRoots::build({ca});

  TlsIdentity identity(const LeafOptions& options, KeyType type = KeyType::kEcdsaP256) const {
    auto key = std::make_shared<const PrivateKey>(*PrivateKey::generate(type));
    auto leaf = issue_leaf(ca, ca_key, *make_csr(*key, ""), options);
    REQUIRE(leaf.ok());
    return {{*leaf}, key};
  }
  TlsIdentity host(std::string name, KeyType type = KeyType::kEcdsaP256) const {
    LeafOptions options;
    options.dns_names = {std::move(name)};
    options.not_before = seconds_after(-60);
    options.not_after = seconds_after(3600);
    return identity(options, type);
  }
  TlsIdentity workload(std::string id, std::int64_t end = 3600) const {
    LeafOptions options;
    options.spiffe_id = std::move(id);
    options.not_before = seconds_after(-60);
    options.not_after = seconds_after(end);
    return identity(options);
  }
  TlsServerOptions server_options() const {
    TlsServerOptions options;
    options.sites.push_back({{"a.example"}, host("a.example")});
    return options;
  }
  TlsClientOptions client_options() {
    TlsClientOptions options;
    options.verify_server = verify_server_name(roots, clock);
    return options;
  }
  TlsServerOptions mutual_options() {
    TlsServerOptions options = server_options();
    options.client_auth = ClientAuth::kRequired;
    options.verify_client = verify_svid(roots, "local", VerifyOptions::Use::kClient, clock);
    return options;
  }
};

struct Outcome {
  Status client;
  Status server;
};

// Carries bytes both ways until nobody has any left, `step` at a time.
Outcome carry(TlsSession& client, TlsSession& server, std::size_t step = 100'000) {
  Outcome outcome;
  const auto move = [step](TlsSession& from, TlsSession& to, Status& status) {
    bool moved = false;
    while (!from.output().empty()) {
      const ByteView view = from.output().first(std::min(step, from.output().size()));
      if (status.ok() && !to.has_failed()) status = to.feed(view);
      from.consume_output(view.size());
      moved = true;
    }
    return moved;
  };
  while (move(client, server, outcome.server) | move(server, client, outcome.client)) {
  }
  return outcome;
}

std::string read_all(TlsSession& session) {
  std::string text;
  std::array<std::uint8_t, 1000> buffer{};
  for (;;) {
    const auto n = session.read(buffer);
    REQUIRE(n.ok());
    if (*n == 0) return text;
    text += as_text(ByteView(buffer).first(*n));
  }
}

TEST_CASE("a client and a server shake hands, talk, and close") {
  World world;
  TlsServerOptions options = world.server_options();
  options.alpn = {"h2", "http/1.1"};
  const TlsServerContext context = *TlsServerContext::build(std::move(options));
  TlsClientOptions client_options = world.client_options();
  client_options.alpn = {"http/1.1"};
  const TlsClientContext client_context = *TlsClientContext::build(std::move(client_options));
  for (const std::size_t step : {1UL, 77UL, 100'000UL}) {
    TlsSession client(client_context, "a.example");
    TlsSession server(context);
    const Outcome outcome = carry(client, server, step);
    REQUIRE(outcome.client.ok());
    REQUIRE(outcome.server.ok());
    REQUIRE(client.is_open());
    REQUIRE(server.is_open());
    CHECK(client.alpn() == "http/1.1");
    CHECK(server.alpn() == "http/1.1");
    CHECK(server.server_name() == "a.example");
    CHECK(client.peer()->dns_names == std::vector<std::string>{"a.example"});
    CHECK_FALSE(server.peer());
    CHECK(client.cipher() == "TLS_AES_128_GCM_SHA256");
    REQUIRE(client.write(as_bytes("hello")).ok());
    carry(client, server, step);
    CHECK(read_all(server) == "hello");
    const std::string big(100'000, 'x');
    REQUIRE(server.write(as_bytes(big)).ok());
    carry(client, server, step);
    CHECK(read_all(client) == big);
    client.close();
    CHECK(client.write(as_bytes("x")).error().code == "tls_closed");
    carry(client, server, step);
    CHECK(read_all(server).empty());
    CHECK(server.is_closed_by_peer());
    CHECK_FALSE(server.is_open());
  }
}

TEST_CASE("mutual TLS knows the workload by its SPIFFE ID") {
  World world;
  const TlsServerContext context = *TlsServerContext::build(world.mutual_options());
  const auto attempt = [&](std::optional<TlsIdentity> identity) {
    TlsClientOptions options = world.client_options();
    options.identity = std::move(identity);
    TlsSession client(*TlsClientContext::build(std::move(options)), "a.example");
    TlsSession server(context);
    const Outcome outcome = carry(client, server);
    if (outcome.server.ok()) {
      CHECK(server.is_open());
      return std::string(server.peer_spiffe_id());
    }
    CHECK(server.has_failed());
    CHECK_FALSE(server.is_open());
    CHECK(server.write(as_bytes("x")).error().code == "tls_closed");
    CHECK(server.feed(as_bytes("x")).error().code == "tls_closed");
    // The client hears of it as an alert.
    std::array<std::uint8_t, 10> buffer{};
    CHECK_FALSE((outcome.client.ok() && client.read(buffer).ok()));
    return outcome.server.error().code;
  };
  CHECK(attempt(world.workload("spiffe://local/orders")) == "spiffe://local/orders");
  CHECK(attempt(world.workload("spiffe://elsewhere/orders")) == "svid_trust_domain");
  CHECK(attempt(world.host("a.example")) == "svid_uri_count");
  CHECK(attempt(world.workload("spiffe://local/late", -1)) == "x509_expired");
  CHECK(attempt(std::nullopt) == "tls_handshake");
  World stranger;
  CHECK(attempt(stranger.workload("spiffe://local/orders")) == "x509_untrusted");
}

TEST_CASE("a chain that was verified once is refused as soon as it has ended, or its roots are others") {
  World world;
  const TlsIdentity workload = world.workload("spiffe://local/orders", 600);
  const auto attempt = [&](const TlsServerContext& context) {
    TlsClientOptions options = world.client_options();
    options.identity = workload;
    TlsSession client(*TlsClientContext::build(std::move(options)), "a.example");
    TlsSession server(context);
    const Outcome outcome = carry(client, server);
    return outcome.server.ok() ? server.peer() : nullptr;
  };
  const TlsServerContext context = *TlsServerContext::build(world.mutual_options());
  const PeerCertificate first = attempt(context);
  REQUIRE(first);
  CHECK(attempt(context) == first);  // remembered: one value for both
  world.clock.now = seconds_after(599);
  CHECK(attempt(context) == first);
  world.clock.now = seconds_after(600);
  CHECK_FALSE(attempt(context));
  world.clock.now = seconds_after(0);
  CHECK(attempt(context));
  World stranger;
  TlsServerOptions others = world.mutual_options();
  others.verify_client = verify_svid(stranger.roots, "local", VerifyOptions::Use::kClient, world.clock);
  CHECK_FALSE(attempt(*TlsServerContext::build(std::move(others))));
}

TEST_CASE("a chain that was verified once ends with the authority above it") {
  FixedClock clock;
  const PrivateKey root_key = *PrivateKey::generate(KeyType::kEcdsaP256);
  const Bytes root = *create_ca({"root", "local", seconds_after(-3600), seconds_after(300)}, root_key);
  const PrivateKey key = *PrivateKey::generate(KeyType::kEcdsaP256);
  LeafOptions options;
  options.spiffe_id = "spiffe://local/orders";
  options.not_before = seconds_after(-60);
  options.not_after = seconds_after(300);
  const Bytes leaf = *issue_leaf(root, root_key, *make_csr(key, ""), options);
  VerifyOptions rules;
  rules.use = VerifyOptions::Use::kClient;
  rules.svid = true;
  rules.trust_domain = "local";
  const auto verified = TrustRoots::build({root})->verify_chain({leaf}, clock.now, rules);
  REQUIRE(verified.ok());
  CHECK(verified->from.nanos == seconds_after(-60).nanos);
  CHECK(verified->until.nanos == seconds_after(300).nanos);
}

TEST_CASE("what was refused once is verified anew, and a chain that differs in one byte is another") {
  World world;
  const VerifyPeer verify = verify_svid(world.roots, "local", VerifyOptions::Use::kClient, world.clock);
  const Bytes early = [&] {
    LeafOptions options;
    options.spiffe_id = "spiffe://local/orders";
    options.not_before = seconds_after(100);
    options.not_after = seconds_after(200);
    return world.identity(options).chain.front();
  }();
  CHECK(verify({early}, "").error().code == "x509_not_yet_valid");
  world.clock.now = seconds_after(150);
  CHECK(verify({early}, "").ok());
  Bytes altered = early;
  altered.back() ^= 1;  // of the signature
  CHECK_FALSE(verify({altered}, "").ok());
  CHECK(verify({early}, "").ok());
}

TEST_CASE("a chain that is padded with certificates nobody needs is verified, and not remembered") {
  World world;
  const VerifyPeer verify = verify_svid(world.roots, "local", VerifyOptions::Use::kClient, world.clock);
  const Bytes leaf = world.workload("spiffe://local/orders").chain.front();
  const auto first = verify({leaf}, "");
  REQUIRE(first.ok());
  CHECK(*verify({leaf}, "") == *first);
  LeafOptions wide;
  for (int i = 0; i < 90; ++i) wide.dns_names.push_back(std::string(60, 'a') + std::to_string(i) + ".example");
  wide.not_before = seconds_after(-60);
  wide.not_after = seconds_after(600);
  const Bytes padding = world.identity(wide).chain.front();
  const std::vector<Bytes> padded = {leaf, padding, padding};
  REQUIRE(leaf.size() + 2 * padding.size() > 8 * 1024);
  const auto once = verify(padded, "");
  const auto again = verify(padded, "");
  REQUIRE((once.ok() && again.ok()));
  CHECK(*once != *again);  // two values: none was kept
}

TEST_CASE("an optional client certificate may be absent and may not be bad") {
  World world;
  TlsServerOptions options = world.mutual_options();
  options.client_auth = ClientAuth::kOptional;
  const TlsServerContext context = *TlsServerContext::build(std::move(options));
  TlsSession client(*TlsClientContext::build(world.client_options()), "a.example");
  TlsSession server(context);
  carry(client, server);
  CHECK(server.is_open());
  CHECK(server.peer_spiffe_id().empty());
  World stranger;
  TlsClientOptions bad = world.client_options();
  bad.identity = stranger.workload("spiffe://local/orders");
  TlsSession bad_client(*TlsClientContext::build(std::move(bad)), "a.example");
  TlsSession bad_server(context);
  CHECK(carry(bad_client, bad_server).server.error().code == "x509_untrusted");
}

TEST_CASE("the client refuses a server of another name, another root, or another time") {
  World world;
  const TlsServerContext context = *TlsServerContext::build(world.server_options());
  const auto refusal = [&](TlsClientOptions options, std::string_view name) {
    TlsSession client(*TlsClientContext::build(std::move(options)), name);
    TlsSession server(context);
    const Outcome outcome = carry(client, server);
    CHECK_FALSE(server.is_open());
    return outcome.client.ok() ? std::string("accepted") : outcome.client.error().code;
  };
  CHECK(refusal(world.client_options(), "b.example") == "x509_name");
  CHECK(refusal(world.client_options(), "127.0.0.1") == "x509_name");
  CHECK(refusal(world.client_options(), "") == "x509_name");
  World stranger;
  CHECK(refusal(stranger.client_options(), "a.example") == "x509_untrusted");
  world.clock.now = seconds_after(7200);
  CHECK(refusal(world.client_options(), "a.example") == "x509_expired");
}

TEST_CASE("the certificate is chosen by the name that the client asks for") {
  World world;
  for (const bool refuse : {false, true}) {
    TlsServerOptions options = world.server_options();
    options.refuse_unknown_names = refuse;
    options.sites.push_back({{"*.b.example", "B.example"}, world.host("*.b.example", KeyType::kEd25519)});
    const TlsServerContext context = *TlsServerContext::build(std::move(options));
    const auto shown = [&](std::string_view name) {
      TlsClientOptions any;
      any.verify_server = [](const std::vector<Bytes>& chain, std::string_view) -> Result<PeerCertificate> {
        return std::make_shared<const Certificate>(*parse_certificate(chain.front()));
      };
      TlsSession client(*TlsClientContext::build(std::move(any)), name);
      TlsSession server(context);
      carry(client, server);
      return client.is_open() ? client.peer()->dns_names.front() : std::string("refused");
    };
    CHECK(shown("a.example") == "a.example");
    CHECK(shown("A.EXAMPLE") == "a.example");
    CHECK(shown("x.b.example") == "*.b.example");
    CHECK(shown("b.example") == "*.b.example");
    CHECK(shown("x.y.b.example") == (refuse ? "refused" : "a.example"));
    CHECK(shown("") == "a.example");
  }
}

TEST_CASE("a protocol that nobody has in common ends the handshake") {
  World world;
  TlsServerOptions options = world.server_options();
  options.alpn = {"h2"};
  const TlsServerContext context = *TlsServerContext::build(std::move(options));
  TlsClientOptions client_options = world.client_options();
  client_options.alpn = {"http/1.1"};
  TlsSession client(*TlsClientContext::build(std::move(client_options)), "a.example");
  TlsSession server(context);
  CHECK(carry(client, server).server.error().code == "tls_handshake");
}

TEST_CASE("a TLS 1.2 client is refused") {
  World world;
  const SslContextHandle old(SSL_CTX_new(TLS_client_method()));
  REQUIRE(SSL_CTX_set_max_proto_version(old.get(), TLS1_2_VERSION) == 1);
  const SslHandle ssl(SSL_new(old.get()));
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), in, out);
  SSL_set_connect_state(ssl.get());
  CHECK(SSL_do_handshake(ssl.get()) != 1);
  char* hello = nullptr;
  const long size = BIO_get_mem_data(out, &hello);
  TlsSession server(*TlsServerContext::build(world.server_options()));
  const Status status = server.feed(as_bytes({hello, static_cast<std::size_t>(size)}));
  REQUIRE_FALSE(status.ok());
  CHECK(status.error().code == "tls_handshake");
  CHECK(status.error().message.find("unsupported protocol") != std::string::npos);
  // And it is told so: alert 70, protocol_version.
  REQUIRE(server.output().size() == 7);
  CHECK(server.output()[0] == 21);
  CHECK(server.output()[6] == 70);
}

namespace {

// A client of OpenSSL's own, over memory: what ours does not speak (TLS 1.2, resumption).
struct OpenSslClient {
  explicit OpenSslClient(SSL_CTX* context, SSL_SESSION* session = nullptr) : ssl(SSL_new(context)) {
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), in, out);
    SSL_set_connect_state(ssl.get());
    SSL_set_tlsext_host_name(ssl.get(), "a.example");
    if (session != nullptr) SSL_set_session(ssl.get(), session);
  }
  bool shake_hands(TlsSession& server) {
    for (int i = 0; i < 10; ++i) {
      (void)SSL_do_handshake(ssl.get());
      char* bytes = nullptr;
      const long size = BIO_get_mem_data(out, &bytes);
      if (size > 0 && !server.feed(as_bytes({bytes, static_cast<std::size_t>(size)})).ok()) return false;
      (void)BIO_reset(out);
      const ByteView answer = server.output();
      if (!answer.empty()) BIO_write(in, answer.data(), static_cast<int>(answer.size()));
      server.consume_output(answer.size());
    }
    // The ticket comes after the handshake, and is read with the first bytes.
    char byte = 0;
    (void)SSL_read(ssl.get(), &byte, 1);
    return SSL_is_init_finished(ssl.get()) == 1 && server.is_open();
  }
  SslHandle ssl;
  BIO* in = nullptr;
  BIO* out = nullptr;
};

}  // namespace

TEST_CASE("a server that allows TLS 1.2 speaks it with ephemeral keys and authenticated ciphers alone") {
  World world;
  TlsServerOptions options = world.server_options();
  options.allows_tls12 = true;
  options.resumes = true;
  const TlsServerContext context = *TlsServerContext::build(std::move(options));
  const auto shakes = [&](const char* ciphers, int most) {
    const SslContextHandle old(SSL_CTX_new(TLS_client_method()));
    REQUIRE(SSL_CTX_set_max_proto_version(old.get(), most) == 1);
    SSL_CTX_set_min_proto_version(old.get(), 0);
    SSL_CTX_set_security_level(old.get(), 0);
    REQUIRE(SSL_CTX_set_cipher_list(old.get(), ciphers) == 1);
    TlsSession server(context);
    OpenSslClient client(old.get());
    return client.shake_hands(server) ? std::string(server.version()) + " " + std::string(server.cipher()) : "refused";
  };
  CHECK(shakes("ALL", TLS1_2_VERSION) == "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256");
  CHECK(shakes("ECDHE-ECDSA-CHACHA20-POLY1305", TLS1_2_VERSION) == "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305");
  CHECK(shakes("ECDHE-ECDSA-AES128-SHA256", TLS1_2_VERSION) == "refused");
  CHECK(shakes("ECDHE-ECDSA-AES128-CCM8", TLS1_2_VERSION) == "refused");
  CHECK(shakes("ALL:@SECLEVEL=0", TLS1_1_VERSION) == "refused");
  CHECK(shakes("ALL", TLS1_3_VERSION).starts_with("TLSv1.3"));
}

TEST_CASE("a session is resumed by who showed no certificate, in TLS 1.3, and by nobody else") {
  World world;
  for (const bool resumes : {true, false}) {
    for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
      TlsServerOptions options = world.mutual_options();
      options.client_auth = ClientAuth::kOptional;
      options.allows_tls12 = true;
      options.resumes = resumes;
      const TlsServerContext context = *TlsServerContext::build(std::move(options));
      const SslContextHandle own(SSL_CTX_new(TLS_client_method()));
      REQUIRE(SSL_CTX_set_max_proto_version(own.get(), version) == 1);
      TlsSession first(context);
      OpenSslClient client(own.get());
      REQUIRE(client.shake_hands(first));
      CHECK_FALSE(first.is_resumed());
      SSL_SESSION* session = SSL_get1_session(client.ssl.get());
      TlsSession second(context);
      OpenSslClient again(own.get(), session);
      REQUIRE(again.shake_hands(second));
      CHECK(second.is_resumed() == (resumes && version == TLS1_3_VERSION));
      CHECK_FALSE(second.peer());
      SSL_SESSION_free(session);
    }
  }
  // With a certificate no ticket is given, and one from elsewhere would not be taken.
  TlsServerOptions options = world.mutual_options();
  options.resumes = true;
  const TlsServerContext context = *TlsServerContext::build(std::move(options));
  TlsClientOptions with_identity = world.client_options();
  with_identity.identity = world.workload("spiffe://local/ns/payments");
  TlsSession client(*TlsClientContext::build(std::move(with_identity)), "a.example");
  TlsSession server(context);
  carry(client, server);
  REQUIRE(server.is_open());
  CHECK(server.peer());
  CHECK_FALSE(server.is_resumed());
}

TEST_CASE("garbage ends a session and nothing else") {
  World world;
  const TlsServerContext context = *TlsServerContext::build(world.mutual_options());
  const TlsClientContext client_context = *TlsClientContext::build(world.client_options());
  TlsSession http(context);
  CHECK_FALSE(http.feed(as_bytes("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")).ok());
  CHECK(http.has_failed());
  // Every byte of a good first flight altered once.
  TlsSession model(client_context, "a.example");
  const Bytes hello(model.output().begin(), model.output().end());
  for (std::size_t i = 0; i < hello.size(); ++i) {
    Bytes altered = hello;
    altered[i] ^= 0x41;
    TlsSession server(context);
    (void)server.feed(altered);
    CHECK_FALSE(server.is_open());
  }
  // An altered record of an open session.
  TlsSession client(*TlsClientContext::build(world.client_options()), "a.example");
  TlsSession server(*TlsServerContext::build(world.server_options()));
  carry(client, server);
  REQUIRE(client.write(as_bytes("secret")).ok());
  Bytes record(client.output().begin(), client.output().end());
  record.back() ^= 1;
  REQUIRE(server.feed(record).ok());
  std::array<std::uint8_t, 10> buffer{};
  CHECK(server.read(buffer).error().code == "tls_protocol");
  CHECK(server.has_failed());
  CHECK(server.read(buffer).error().code == "tls_closed");
}

TEST_CASE("what is fed and not read is bounded") {
  World world;
  TlsSession client(*TlsClientContext::build(world.client_options()), "a.example");
  TlsSession server(*TlsServerContext::build(world.server_options()));
  carry(client, server);
  REQUIRE(client.write(Bytes(300'000, 'x')).ok());
  const ByteView all = client.output();
  REQUIRE(server.feed(all.first(200'000)).ok());
  CHECK(server.feed(all.subspan(200'000)).error().code == "tls_backpressure");
  CHECK(server.is_open());
  const std::size_t first = read_all(server).size();
  REQUIRE(server.feed(all.subspan(200'000)).ok());
  CHECK(first + read_all(server).size() == 300'000);
}

TEST_CASE("contexts are not built from options that cannot work") {
  World world;
  const auto code = [](auto result) { return result.ok() ? std::string("built") : result.error().code; };
  CHECK(code(TlsServerContext::build({})) == "tls_option");
  CHECK(code(TlsClientContext::build({})) == "tls_option");
  TlsServerOptions no_verifier = world.server_options();
  no_verifier.client_auth = ClientAuth::kRequired;
  CHECK(code(TlsServerContext::build(std::move(no_verifier))) == "tls_option");
  TlsServerOptions twice = world.server_options();
  twice.sites.push_back({{"A.example"}, world.host("a.example")});
  CHECK(code(TlsServerContext::build(std::move(twice))) == "tls_option");
  TlsServerOptions wrong_key = world.server_options();
  wrong_key.sites[0].identity.key = world.host("b.example").key;
  CHECK(code(TlsServerContext::build(std::move(wrong_key))) == "tls_option");
  TlsServerOptions empty_alpn = world.server_options();
  empty_alpn.alpn = {""};
  CHECK(code(TlsServerContext::build(std::move(empty_alpn))) == "tls_option");
  TlsServerOptions no_chain = world.server_options();
  no_chain.sites[0].identity.chain.clear();
  CHECK(code(TlsServerContext::build(std::move(no_chain))) == "tls_option");
}

}  // namespace
}  // namespace wary::crypto
