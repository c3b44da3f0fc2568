#include "crypto/x509.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "codec/json.h"
#include "codec/text.h"
#include "crypto/crypto_test_world.h"
#include "crypto/pem.h"
#include "tests/support/archive.h"
#include "tests/support/openssl_run.h"
#include "tests/support/skip.h"
#include "tests/support/testdata.h"

namespace wary::crypto {
namespace {

constexpr std::int64_t kHour = 3600 * kNanosPerSecond;
UnixTime after(std::int64_t hours) { return {kNow.nanos + hours * kHour}; }

PrivateKey new_key(KeyType type = KeyType::kEcdsaP256) {
  auto key = PrivateKey::generate(type);
  REQUIRE(key.ok());
  return std::move(key).value();
}

struct Authority {
  PrivateKey key = new_key();
  Bytes certificate;
  explicit Authority(std::string domain = "local", UnixTime start = after(-24), UnixTime end = after(24 * 365)) {
    auto made = create_ca({"wary test CA", std::move(domain), start, end}, key);
    REQUIRE(made.ok());
    certificate = std::move(made).value();
  }
  Result<Bytes> issue(const LeafOptions& options, const PrivateKey& leaf_key) const {
    const Bytes csr = *make_csr(leaf_key, "ignored");
    return issue_leaf(certificate, key, csr, options);
  }
  Bytes leaf(LeafOptions options) const {
    options.not_before = after(-1);
    if (options.not_after == UnixTime{}) options.not_after = after(1);
    auto made = issue(options, new_key());
    REQUIRE(made.ok());
    return std::move(made).value();
  }
  TrustRoots roots() const { return *TrustRoots::build({certificate}); }
};

LeafOptions svid(std::string id) {
  LeafOptions options;
  options.spiffe_id = std::move(id);
  return options;
}
LeafOptions dns(std::vector<std::string> names) {
  LeafOptions options;
  options.dns_names = std::move(names);
  return options;
}
VerifyOptions as_svid(std::string domain = "local") {
  VerifyOptions options;
  options.svid = true;
  options.trust_domain = std::move(domain);
  return options;
}
VerifyOptions as_host(std::string name) {
  VerifyOptions options;
  options.dns_name = std::move(name);
  return options;
}

TEST_CASE("a local CA and its leaves say what they were told") {
  const Authority ca;
  const Certificate root = *parse_certificate(ca.certificate);
  CHECK(root.is_ca);
  CHECK(root.subject == root.issuer);
  CHECK(root.subject.find("wary test CA") != std::string::npos);
  CHECK(root.uris == std::vector<std::string>{"spiffe://local"});
  CHECK(root.subject_key_id == root.authority_key_id);
  CHECK(root.not_after == after(24 * 365));
  const Certificate other = *parse_certificate(Authority().certificate);
  CHECK(root.subject != other.subject);
  CHECK(root.serial != other.serial);

  const Certificate leaf = *parse_certificate(ca.leaf(dns({"a.example", "*.b.example"})));
  CHECK_FALSE(leaf.is_ca);
  CHECK(leaf.dns_names == std::vector<std::string>{"a.example", "*.b.example"});
  CHECK(leaf.issuer == root.subject);
  CHECK(leaf.authority_key_id == root.subject_key_id);
  CHECK(leaf.not_before == after(-1));
  CHECK(leaf.not_after == after(1));
  CHECK(leaf.key_usage == 1);
  CHECK(leaf.key_usage_is_critical);
  CHECK((leaf.for_server && leaf.for_client));
  CHECK(PublicKey::decode_spki(leaf.public_key).ok());

  const Certificate workload = *parse_certificate(ca.leaf(svid("spiffe://local/orders")));
  CHECK(check_svid(workload)->to_string() == "spiffe://local/orders");
}

TEST_CASE("a chain is verified at the given time, name and trust domain") {
  const Authority ca;
  const Bytes leaf = ca.leaf(dns({"a.example", "*.b.example"}));
  CHECK(ca.roots().verify({leaf}, kNow, as_host("a.example")).ok());
  CHECK(ca.roots().verify({leaf}, kNow, as_host("x.b.example")).ok());
  CHECK(ca.roots().verify({leaf}, kNow, as_host("x.y.b.example")).error().code == "x509_name");
  const Error other_name = ca.roots().verify({leaf}, kNow, as_host("b.example")).error();
  CHECK(other_name.code == "x509_name");
  CHECK(other_name.expected_text == "b.example");
  CHECK(!other_name.found_text.empty());
  CHECK(!other_name.next_step.empty());
  CHECK(ca.roots().verify({leaf}, kNow, as_host("wary test CA")).error().code == "x509_name");
  CHECK(ca.roots().verify({leaf}, after(2), {}).error().code == "x509_expired");
  CHECK(ca.roots().verify({leaf}, after(-2), {}).error().code == "x509_not_yet_valid");
  CHECK(Authority().roots().verify({leaf}, kNow, {}).error().code == "x509_untrusted");
  CHECK(ca.roots().verify({}, kNow, {}).error().code == "x509_untrusted");
  CHECK(ca.roots().verify(std::vector<Bytes>(11, leaf), kNow, {}).error().code == "x509_untrusted");
  CHECK(ca.roots().verify({to_bytes("x")}, kNow, {}).error().code == "x509_syntax");
  // A root that expired cannot vouch, whatever its leaf says.
  const Authority old("local", after(-48), after(-1));
  const Bytes cut = *old.issue(
      [] {
        LeafOptions options = dns({"a.example"});
        options.not_before = after(-24);
        options.not_after = after(24);
        return options;
      }(),
      new_key());
  CHECK(parse_certificate(cut)->not_after == after(-1));
  CHECK(old.roots().verify({cut}, kNow, {}).error().code == "x509_expired");
}

TEST_CASE("the SVID rules refuse what the chain alone would let through") {
  const Authority ca;
  CHECK(ca.roots().verify({ca.leaf(svid("spiffe://local/orders"))}, kNow, as_svid()).ok());
  CHECK(ca.roots().verify({ca.leaf(dns({"a.example"}))}, kNow, as_svid()).error().code == "svid_uri_count");
  CHECK(ca.roots().verify({ca.leaf(svid("spiffe://other/orders"))}, kNow, as_svid()).error().code ==
        "svid_trust_domain");
  CHECK(ca.roots().verify({ca.certificate}, kNow, as_svid()).error().code == "svid_path");

  Certificate leaf = *parse_certificate(ca.leaf(svid("spiffe://local/orders")));
  const auto refusal = [&](auto change) {
    Certificate changed = leaf;
    change(changed);
    const auto result = check_svid(changed);
    return result.ok() ? std::string("accepted") : result.error().code;
  };
  CHECK(refusal([](Certificate&) {}) == "accepted");
  CHECK(refusal([](Certificate& c) { c.uris.push_back("spiffe://local/b"); }) == "svid_uri_count");
  CHECK(refusal([](Certificate& c) { c.uris = {"https://local/b"}; }) == "svid_id");
  CHECK(refusal([](Certificate& c) { c.uris = {"spiffe://local"}; }) == "svid_path");
  CHECK(refusal([](Certificate& c) { c.is_ca = true; }) == "svid_ca");
  CHECK(refusal([](Certificate& c) { c.has_key_usage = false; }) == "svid_key_usage");
  CHECK(refusal([](Certificate& c) { c.key_usage_is_critical = false; }) == "svid_key_usage_critical");
  CHECK(refusal([](Certificate& c) { c.key_usage = 2; }) == "svid_digital_signature");
  CHECK(refusal([](Certificate& c) { c.key_usage |= 1U << 2 | 1U << 4; }) == "accepted");
  CHECK(refusal([](Certificate& c) { c.key_usage |= 1U << 5; }) == "svid_key_cert_sign");
  CHECK(refusal([](Certificate& c) { c.key_usage |= 1U << 6; }) == "svid_crl_sign");
  CHECK(refusal([](Certificate& c) { c.names_both_uses = false; }) == "svid_extended_key_usage");
  CHECK(refusal([](Certificate& c) { c.has_extended_key_usage = c.names_both_uses = false; }) == "accepted");
  CHECK(refusal([](Certificate& c) { c.subject = ""; }) == "svid_names_critical");
  CHECK(refusal([](Certificate& c) { c.subject = "", c.names_are_critical = true; }) == "accepted");
}

TEST_CASE("the rules for signing certificates refuse one by one") {
  const Authority ca;
  const Certificate root = *parse_certificate(ca.certificate);
  const auto refusal = [&](auto change) {
    Certificate changed = root;
    change(changed);
    const Status status = check_svid_signer(changed, "local");
    return status.ok() ? std::string("accepted") : status.error().code;
  };
  CHECK(refusal([](Certificate&) {}) == "accepted");
  CHECK(refusal([](Certificate& c) { c.uris.clear(); }) == "accepted");
  CHECK(refusal([](Certificate& c) { c.uris = {"https://local/policy"}; }) == "accepted");
  CHECK(refusal([](Certificate& c) { c.uris = {"spiffe://local/"}; }) == "accepted");
  CHECK(refusal([](Certificate& c) { c.is_ca = false; }) == "svid_signer_ca");
  CHECK(refusal([](Certificate& c) { c.has_key_usage = false; }) == "svid_signer_key_usage");
  CHECK(refusal([](Certificate& c) { c.key_usage = 1U << 6; }) == "svid_signer_key_usage");
  CHECK(refusal([](Certificate& c) { c.key_usage_is_critical = false; }) == "svid_signer_key_usage_critical");
  CHECK(refusal([](Certificate& c) { c.uris.push_back("https://x/"); }) == "svid_signer_uri_count");
  CHECK(refusal([](Certificate& c) { c.uris = {"spiffe://LOCAL"}; }) == "svid_signer_id");
  CHECK(refusal([](Certificate& c) { c.uris = {"spiffe:///"}; }) == "svid_signer_id");
  CHECK(refusal([](Certificate& c) { c.uris = {"spiffe://local/a"}; }) == "svid_signer_path");
  CHECK(refusal([](Certificate& c) { c.uris = {"spiffe://other"}; }) == "svid_signer_trust_domain");
  // In full verification: a root that says another trust domain vouches for none of these leaves.
  const Authority other("other");
  CHECK(other.roots().verify({other.leaf(svid("spiffe://local/a"))}, kNow, as_svid()).error().code ==
        "svid_signer_trust_domain");
}

TEST_CASE("a request whose signature is not by its own key is refused") {
  const Authority ca;
  Bytes csr = *make_csr(new_key(), "orders");
  CHECK(check_csr(csr).ok());
  csr.back() ^= 1;
  CHECK_FALSE(check_csr(csr).ok());
  // The key of another request in an otherwise good one.
  const Bytes other = new_key().public_key().to_spki();
  const PrivateKey own_key = new_key();
  Bytes swapped = *make_csr(own_key, "orders");
  const Bytes own = own_key.public_key().to_spki();
  const auto at = std::search(swapped.begin(), swapped.end(), own.begin(), own.end());
  REQUIRE(at != swapped.end());
  std::copy(other.begin(), other.end(), at);
  CHECK(check_csr(swapped).error().code == "x509_csr_signature");
  LeafOptions options = dns({"a.example"});
  options.not_before = after(-1);
  options.not_after = after(1);
  CHECK(issue_leaf(ca.certificate, ca.key, swapped, options).error().code == "x509_csr_signature");
  CHECK(check_csr(to_bytes("x")).error().code == "x509_syntax");
  CHECK(check_csr(Bytes(70'000)).error().code == "x509_syntax");
}

TEST_CASE("a leaf is not issued with options that no leaf has") {
  const Authority ca;
  const PrivateKey key = new_key(KeyType::kEd25519);
  const auto refusal = [&](LeafOptions options) {
    if (options.not_before == UnixTime{}) options.not_before = after(-1);
    if (options.not_after == UnixTime{}) options.not_after = after(1);
    const auto made = ca.issue(options, key);
    return made.ok() ? std::string("issued") : made.error().code;
  };
  CHECK(refusal(dns({"a.example"})) == "issued");
  CHECK(refusal({}) == "x509_option");
  for (const char* name : {"", "a b", "a..b", ".a", "a.", "a,URI:spiffe://x/y", "*", "a.*.b"}) {
    CAPTURE(name);
    CHECK(refusal(dns({name})) == "x509_option");
  }
  CHECK(refusal(svid("spiffe://local")) == "x509_option");
  CHECK(refusal(svid("http://local/a")) == "spiffe_id_syntax");
  LeafOptions both = svid("spiffe://local/a");
  both.dns_names = {"a.example"};
  CHECK(refusal(both) == "x509_option");
  LeafOptions backwards = dns({"a.example"});
  backwards.not_before = after(1);
  backwards.not_after = after(0);
  CHECK(refusal(backwards) == "x509_option");
  const Bytes csr = *make_csr(key, "");
  LeafOptions good = dns({"a.example"});
  good.not_before = after(-1);
  good.not_after = after(1);
  CHECK(issue_leaf(ca.certificate, new_key(), csr, good).error().code == "x509_option");
  CHECK(issue_leaf(ca.leaf(dns({"b.example"})), ca.key, csr, good).error().code == "x509_option");
  CHECK(create_ca({"", "", after(0), after(1)}, key).error().code == "x509_option");
  CHECK(create_ca({"x", "UPPER", after(0), after(1)}, key).error().code == "spiffe_id_syntax");
  CHECK(TrustRoots::build({ca.leaf(dns({"b.example"}))}).error().code == "x509_option");
}

TEST_CASE("a certificate with bytes after it, cut or altered, is never taken for the good one") {
  const Authority ca;
  const Bytes leaf = ca.leaf(dns({"a.example"}));
  Bytes longer = leaf;
  longer.push_back(0);
  CHECK(parse_certificate(longer).error().code == "x509_syntax");
  const TrustRoots roots = ca.roots();
  for (std::size_t i = 0; i < leaf.size(); ++i) CHECK_FALSE(parse_certificate(ByteView(leaf).first(i)).ok());
  for (std::size_t i = 0; i < leaf.size(); ++i) {
    Bytes altered = leaf;
    altered[i] ^= 1;
    CAPTURE(i);
    CHECK_FALSE(roots.verify({altered}, kNow, as_host("a.example")).ok());
  }
}

TEST_CASE("SPIFFE IDs are taken in one spelling") {
  CHECK(parse_spiffe_id("spiffe://example.org/a/b-c_d.E9")->path == "/a/b-c_d.E9");
  CHECK(parse_spiffe_id("spiffe://a_b.c-1")->trust_domain == "a_b.c-1");
  CHECK(parse_spiffe_id("spiffe://t/" + std::string(2048 - 11, 'a')).ok());
  CHECK_FALSE(parse_spiffe_id("spiffe://t/" + std::string(2048 - 10, 'a')).ok());
  CHECK(parse_spiffe_id("spiffe://" + std::string(255, 'a')).ok());
  CHECK_FALSE(parse_spiffe_id("spiffe://" + std::string(256, 'a')).ok());
  for (const char* bad :
       {"", "spiffe:", "spiffe://", "spiffe:///a", "SPIFFE://t/a", "http://t/a", "spiffe://T/a", "spiffe://t:80/a",
        "spiffe://u@t/a", "spiffe://t/", "spiffe://t//a", "spiffe://t/a/", "spiffe://t/./a", "spiffe://t/..",
        "spiffe://t/a?b", "spiffe://t/a#b", "spiffe://t/%61", "spiffe://t/a b", "spiffe://t%20"}) {
    CAPTURE(bad);
    const auto id = parse_spiffe_id(bad);
    REQUIRE_FALSE(id.ok());
    CHECK(id.error().code == "spiffe_id_syntax");
  }
}

std::vector<std::pair<std::string, std::string>> files_of(const test::UnpackedArchive& archive) {
  REQUIRE(archive.ok());
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(archive.path())) {
    if (entry.is_regular_file()) files.emplace_back(entry.path().string(), *test::read_file(entry.path().string()));
  }
  return files;
}

TEST_CASE("the openssl program verifies our certificates and reads the same in them") {
  test::OpensslRun openssl;
  if (openssl.run("version").find("OpenSSL") == std::string::npos) WARY_SKIP("no openssl program");
  const Authority ca;
  openssl.write("ca.pem", encode_pem("CERTIFICATE", ca.certificate));
  openssl.write("leaf.pem", encode_pem("CERTIFICATE", ca.leaf(dns({"a.example"}))));
  openssl.write("svid.pem", encode_pem("CERTIFICATE", ca.leaf(svid("spiffe://local/orders"))));
  const std::string at = std::to_string(kNow.nanos / kNanosPerSecond);
  const std::string verify = "verify -x509_strict -attime " + at + " -CAfile ca.pem ";
  CHECK(openssl.run(verify + "-purpose sslserver -verify_hostname a.example leaf.pem") == "leaf.pem: OK\n");
  CHECK(openssl.run(verify + "-purpose sslclient svid.pem") == "svid.pem: OK\n");
  CHECK(openssl.run(verify + "-verify_hostname b.example leaf.pem").find("hostname mismatch") != std::string::npos);
  const std::string text = openssl.run("x509 -in svid.pem -noout -text");
  for (const char* part : {"URI:spiffe://local/orders", "CA:FALSE", "Digital Signature", "id-ecPublicKey",
                           "TLS Web Server Authentication, TLS Web Client Authentication", "ecdsa-with-SHA256"}) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
  openssl.write("key.pem", encode_pem("PRIVATE KEY", ca.key.to_pkcs8()->reveal()));
  CHECK(openssl.run("pkey -in key.pem -noout -check").find("Key is valid") != std::string::npos);
  openssl.write("csr.pem", encode_pem("CERTIFICATE REQUEST", *make_csr(ca.key, "x")));
  CHECK(openssl.run("req -in csr.pem -noout -verify").find("verify OK") != std::string::npos);
}

TEST_CASE("certificates that openssl makes against the SVID rules are refused in full verification") {
  test::OpensslRun openssl;
  if (openssl.run("version").find("OpenSSL") == std::string::npos) WARY_SKIP("no openssl program");
  openssl.write("c.cnf",
                "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n"
                "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
                "[two]\nsubjectAltName=URI:spiffe://local/a,URI:spiffe://local/b\nkeyUsage=critical,digitalSignature\n"
                "[isca]\nsubjectAltName=URI:spiffe://local/a\nbasicConstraints=critical,CA:TRUE\n"
                "keyUsage=critical,digitalSignature\n"
                "[good]\nsubjectAltName=URI:spiffe://local/a\nkeyUsage=critical,digitalSignature\n");
  const std::string key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config c.cnf ";
  openssl.run("req -x509 " + key + "-keyout ca.key -out ca.pem -subj /CN=ca -days 30 -extensions ca");
  const auto decoded = [&](const std::string& name) {
    const std::string text = openssl.run("x509 -in " + name);
    const auto blocks = decode_pem(text);
    REQUIRE(blocks.ok());
    REQUIRE(blocks->size() == 1);
    return blocks->front().bytes;
  };
  const TrustRoots roots = *TrustRoots::build({decoded("ca.pem")});
  const UnixTime now = parse_certificate(decoded("ca.pem"))->not_before;
  const auto outcome = [&](const std::string& section) {
    openssl.run("req -new " + key + "-keyout leaf.key -out leaf.csr -subj /CN=leaf");
    openssl.run("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -days 10 -extfile c.cnf -extensions " + section +
                " -out " + section + ".pem");
    const auto result = roots.verify({decoded(section + ".pem")}, {now.nanos + 60 * kNanosPerSecond}, as_svid());
    return result.ok() ? std::string("accepted") : result.error().code;
  };
  CHECK(outcome("good") == "accepted");
  CHECK(outcome("two") == "svid_uri_count");
  CHECK(outcome("isca") == "svid_ca");
}

TEST_CASE("for any use, extended key usage does not matter and every signer is an authority by its own words") {
  test::OpensslRun openssl;
  if (openssl.run("version").find("OpenSSL") == std::string::npos) WARY_SKIP("no openssl program");
  openssl.write("c.cnf",
                "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n"
                "[signs]\nkeyUsage=critical,keyCertSign\n"
                "[other]\nextendedKeyUsage=1.2.3.4\n[tpm]\nextendedKeyUsage=1.2.3.4,2.23.133.8.1\n");
  const std::string key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config c.cnf ";
  openssl.run("req -x509 " + key + "-keyout ca.key -out ca.pem -subj /CN=ca -days 30 -extensions ca");
  const auto issue = [&](const std::string& name, const std::string& issuer, const std::string& extensions,
                         const std::string& subject) {
    openssl.run("req -new " + key + "-keyout " + name + ".key -out " + name + ".csr -utf8 -subj '" + subject + "'");
    openssl.run("x509 -req -in " + name + ".csr -CA " + issuer + ".pem -CAkey " + issuer +
                ".key -CAcreateserial -days 20 -extfile c.cnf -extensions " + extensions + " -out " + name + ".pem");
    const auto blocks = decode_pem(openssl.run("x509 -in " + name + ".pem"));
    REQUIRE(blocks.ok());
    return blocks->front().bytes;
  };
  const auto roots = TrustRoots::build({decode_pem(openssl.run("x509 -in ca.pem"))->front().bytes});
  REQUIRE(roots.ok());
  const Bytes leaf = issue("leaf", "ca", "other", "/O=x/CN=press 4"), tpm = issue("tpm", "ca", "tpm", "/O=x");
  const UnixTime soon{parse_certificate(leaf)->not_before.nanos + kHour};
  VerifyOptions any;
  any.use = VerifyOptions::Use::kAny;
  CHECK(roots->verify({leaf}, soon, {}).error().code == "x509_purpose");
  REQUIRE(roots->verify({leaf}, soon, any).ok());
  CHECK(roots->verify({leaf}, soon, any)->common_name == "press 4");
  CHECK_FALSE(roots->verify({leaf}, soon, any)->names_endorsement);
  REQUIRE(roots->verify({tpm}, soon, any).ok());
  CHECK(roots->verify({tpm}, soon, any)->common_name.empty());
  CHECK(roots->verify({tpm}, soon, any)->names_endorsement);
  CHECK(parse_certificate(issue("two", "ca", "other", "/CN=a/CN=b"))->common_name.empty());
  CHECK(parse_certificate(issue("bell", "ca", "other", "/CN=a\ab"))->common_name.empty());
  // Key usage alone says that it signs certificates: no authority for us.
  const Bytes signer = issue("signer", "ca", "signs", "/CN=signer");
  const Bytes below = issue("below", "signer", "other", "/CN=below");
  CHECK(roots->verify({below, signer}, soon, any).error().code == "x509_not_ca");
  const Bytes by_leaf = issue("by", "leaf", "other", "/CN=by");
  CHECK(roots->verify({by_leaf, leaf}, soon, any).error().code == "x509_not_ca");
}

TEST_CASE("published certificates for fuzzing go through within bounds") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  const test::UnpackedArchive archive(*data + "/craft/der_fuzz.tar.gz");
  const auto files = files_of(archive);
  std::size_t seen = 0;
  std::size_t good = 0;
  for (const auto& [name, content] : files) {
    ++seen;
    const auto certificate = parse_certificate(as_bytes(content));
    if (certificate.ok()) {
      ++good;
      CHECK(certificate->der.size() == content.size());
    } else {
      CHECK(certificate.error().code == "x509_syntax");
    }
    (void)check_csr(as_bytes(content));
    (void)PublicKey::decode_spki(as_bytes(content));
    (void)PrivateKey::from_pkcs8(as_bytes(content));
    (void)decode_pem(content);
  }
  CHECK(seen > 500);
  CHECK(good > 10);
}

Bytes hex_of(const codec::Json& json, std::string_view name) { return *codec::decode_hex(json.string_or(name, "")); }

TEST_CASE("Wycheproof's signature cases get the verdict they carry") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  std::size_t cases = 0;
  const test::UnpackedArchive archive(*data + "/identity/wycheproof.tar.zst");
  for (const auto& [name, content] : files_of(archive)) {
    const bool is_ed25519 = name.ends_with("/ed25519_test.json");
    const bool is_raw = name.ends_with("/ecdsa_secp256r1_sha256_p1363_test.json");
    if (!is_ed25519 && !is_raw && !name.ends_with("/ecdsa_secp256r1_sha256_test.json")) continue;
    const auto json = codec::parse_json(content, {.bytes = std::size_t{8} << 20});
    REQUIRE(json.ok());
    for (const codec::Json& group : json->find("testGroups")->items()) {
      const codec::Json* key_json = group.find("publicKey");
      const Bytes raw = hex_of(*key_json, is_ed25519 ? "pk" : "uncompressed");
      const auto key = PublicKey::from_raw(is_ed25519 ? KeyType::kEd25519 : KeyType::kEcdsaP256, raw);
      REQUIRE(key.ok());
      for (const codec::Json& test : group.find("tests")->items()) {
        ++cases;
        CAPTURE(name);
        CAPTURE(test.integer_or("tcId", 0));
        Bytes signature = hex_of(test, "sig");
        bool good = true;
        if (is_raw) {
          auto der = ecdsa_to_der(signature);
          good = der.ok();
          if (good) signature = std::move(der).value();
        }
        good = good && key->verify(hex_of(test, "msg"), signature);
        CHECK(good == (test.string_or("result", "") == "valid"));
      }
    }
  }
  CHECK(cases > 400);
  std::printf("[note] %zu Wycheproof signature cases\n", cases);
}

}  // namespace
}  // namespace wary::crypto
