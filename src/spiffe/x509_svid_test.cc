#include "spiffe/x509_svid.h"

#include <doctest/doctest.h>

#include "crypto/pem.h"
#include "spiffe/spiffe_test_world.h"
#include "tests/support/openssl_run.h"
#include "tests/support/skip.h"
#include "tests/support/svid_checklist.h"

namespace wary::spiffe {
namespace {

constexpr const char* kConfig = R"(
[req]
distinguished_name=dn
[dn]
[root]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
subjectAltName=URI:spiffe://local
[middle]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign
subjectAltName=URI:spiffe://local
[middle-path]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign
subjectAltName=URI:spiffe://local/ca
[middle-domain]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign
subjectAltName=URI:spiffe://fed
[middle-plain]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign
[middle-no-sign]
basicConstraints=critical,CA:TRUE
keyUsage=critical,cRLSign
[middle-leaf]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
subjectAltName=URI:spiffe://local/not-a-ca
[middle-names]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign
subjectAltName=URI:spiffe://local
nameConstraints=critical,permitted;URI:fed
[good]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectAltName=URI:spiffe://local/a
[dns]
keyUsage=critical,digitalSignature,keyEncipherment,keyAgreement
subjectAltName=URI:spiffe://local/a,DNS:a.example,DNS:b.example,email:a@example.org,IP:10.0.0.1
[critical]
keyUsage=critical,digitalSignature
subjectAltName=critical,URI:spiffe://local/a
[isca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,digitalSignature
subjectAltName=URI:spiffe://local/a
[certsign]
keyUsage=critical,digitalSignature,keyCertSign
subjectAltName=URI:spiffe://local/a
[crlsign]
keyUsage=critical,digitalSignature,cRLSign
subjectAltName=URI:spiffe://local/a
[two]
keyUsage=critical,digitalSignature
subjectAltName=URI:spiffe://local/a,URI:spiffe://local/b
[two-schemes]
keyUsage=critical,digitalSignature
subjectAltName=URI:https://local/a,URI:spiffe://local/b
[none]
keyUsage=critical,digitalSignature
subjectAltName=DNS:a.example
[https]
keyUsage=critical,digitalSignature
subjectAltName=URI:https://local/a
[no-path]
keyUsage=critical,digitalSignature
subjectAltName=URI:spiffe://local
[slash]
keyUsage=critical,digitalSignature
subjectAltName=URI:spiffe://local/
[dots]
keyUsage=critical,digitalSignature
subjectAltName=URI:spiffe://local/a/../b
[unknown]
keyUsage=critical,digitalSignature
subjectAltName=URI:spiffe://unknown/a
[fed]
keyUsage=critical,digitalSignature
subjectAltName=URI:spiffe://fed/a
[no-usage]
subjectAltName=URI:spiffe://local/a
[usage-not-critical]
keyUsage=digitalSignature
subjectAltName=URI:spiffe://local/a
[no-signature]
keyUsage=critical,keyAgreement
subjectAltName=URI:spiffe://local/a
[server-only]
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=URI:spiffe://local/a
[any-use]
keyUsage=critical,digitalSignature
extendedKeyUsage=anyExtendedKeyUsage
subjectAltName=URI:spiffe://local/a
)";

// Certificates that openssl makes, since create_ca and issue_leaf refuse to make bad ones.
class OpensslWorld {
 public:
  OpensslWorld() {
    run_.write("c.cnf", kConfig);
    run_.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out leaf.key");
    for (const char* root : {"local", "fed", "stranger"}) {
      std::string config = kConfig;
      const std::string id = root == std::string("stranger") ? "local" : root;
      config.replace(config.find("URI:spiffe://local"), 18, "URI:spiffe://" + id);
      run_.write(std::string(root) + ".cnf", config);
      run_.run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config " + std::string(root) +
               ".cnf -keyout " + root + ".key -out " + root + ".pem -subj /CN=" + root + " -days 30 -extensions root");
    }
  }
  bool ok() { return run_.run("version").find("OpenSSL") != std::string::npos; }
  // `section` of the configuration, signed by `issuer`; its file is `name`.pem.
  Bytes make(const std::string& section, const std::string& issuer, std::string name = "leaf",
             const std::string& subject = "/CN=x") {
    run_.run("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config c.cnf -keyout " + name +
             ".key -out x.csr -subj " + subject);
    run_.run("x509 -req -in x.csr -CA " + issuer + ".pem -CAkey " + issuer +
             ".key -CAcreateserial -days 10 -extfile c.cnf -extensions " + section + " -out " + name + ".pem");
    return decoded(name);
  }
  Bytes decoded(const std::string& name) {
    const auto blocks = crypto::decode_pem(run_.run("x509 -in " + name + ".pem"));
    REQUIRE(blocks.ok());
    REQUIRE(blocks->size() == 1);
    return blocks->front().bytes;
  }

 private:
  test::OpensslRun run_;
};

struct XvRow {
  const char* id;
  const char* section;
  const char* outcome;
  const char* issuer = "local";
  const char* subject = "/CN=x";
};
// The ids are those of the public SPIFFE conformance catalogue where one fits; the words are ours.
constexpr XvRow kXvRows[] = {
    {"XV-1", "good", "accepted"},
    {"XV-3", "dns", "accepted"},
    {"XV-4", "critical", "accepted", "local", "/"},
    {"XV-4, not critical", "good", "svid_names_critical", "local", "/"},
    {"XV-5", "good", "x509_untrusted", "stranger"},
    {"XV-8", "isca", "svid_ca"},
    {"XV-9", "certsign", "svid_key_cert_sign"},
    {"XV-10", "crlsign", "svid_crl_sign"},
    {"XV-11", "two", "svid_uri_count"},
    {"XV-11, another scheme", "two-schemes", "svid_uri_count"},
    {"XV-12", "none", "svid_uri_count"},
    {"XV-13", "https", "svid_id"},
    {"XV-14", "no-path", "svid_path"},
    {"ID-1, a slash at the end", "slash", "svid_id"},
    {"ID-1, dots", "dots", "svid_id"},
    {"XV-15", "unknown", "x509_svid_trust_domain"},
    {"XF-1", "fed", "accepted", "fed"},
    {"XF-2", "fed", "x509_untrusted", "local"},
    {"XF-2, the other way", "good", "x509_untrusted", "fed"},
    {"key usage absent", "no-usage", "svid_key_usage"},
    {"key usage not critical", "usage-not-critical", "svid_key_usage_critical"},
    {"no digital signature", "no-signature", "svid_digital_signature"},
    {"one use", "server-only", "svid_extended_key_usage"},
    {"any use", "any-use", "svid_extended_key_usage"},
};

std::string svid_code(const std::vector<Bytes>& chain, const BundleSet& bundles, UnixTime now,
                      crypto::VerifyOptions::Use use = crypto::VerifyOptions::Use::kClient) {
  return code_of_result(check_x509_svid(chain, bundles, now, use));
}

TEST_CASE("certificates that openssl makes are accepted or refused rule by rule") {
  OpensslWorld world;
  if (!world.ok()) WARY_SKIP("no openssl program");
  BundleSet bundles;
  for (const char* domain : {"local", "fed"}) {
    REQUIRE(bundles.put(bundle_of(domain, {world.decoded(domain)})).ok());
  }
  const crypto::Certificate root = *crypto::parse_certificate(world.decoded("local"));
  const auto later = [&](std::int64_t seconds) { return UnixTime{root.not_before.nanos + seconds * kNanosPerSecond}; };
  for (const XvRow& row : kXvRows) {
    CAPTURE(row.id);
    const Bytes leaf = world.make(row.section, row.issuer, "leaf", row.subject);
    CHECK(svid_code({leaf}, bundles, later(120)) == row.outcome);
    CHECK(svid_code({leaf}, bundles, later(120), crypto::VerifyOptions::Use::kServer) == row.outcome);
  }
  const Bytes leaf = world.make("good", "local");
  CHECK(check_x509_svid({leaf}, bundles, later(120), crypto::VerifyOptions::Use::kClient)->to_string() ==
        "spiffe://local/a");
  CHECK(svid_code({leaf}, bundles, later(11 * 24 * 3600)) == "x509_expired");  // XV-6
  CHECK(svid_code({leaf}, bundles, later(-3600)) == "x509_not_yet_valid");     // XV-7
  CHECK(svid_code({}, bundles, later(120)) == "x509_untrusted");
  CHECK(svid_code({to_bytes("x")}, bundles, later(120)) == "x509_syntax");

  // XV-2, and what an intermediate may not be.
  const std::pair<const char*, const char*> middles[] = {
      {"middle", "accepted"},
      {"middle-plain", "accepted"},
      {"middle-path", "svid_signer_path"},
      {"middle-domain", "svid_signer_trust_domain"},
      {"middle-no-sign", "x509_not_ca"},
      {"middle-leaf", "x509_not_ca"},
      {"middle-names", "x509_untrusted"},  // the name constraint leaves out spiffe://local/a
  };
  for (const auto& [section, outcome] : middles) {
    CAPTURE(section);
    const Bytes middle = world.make(section, "local", "middle", "/CN=middle");
    const Bytes below = world.make("good", "middle");
    CHECK(svid_code({below, middle}, bundles, later(120)) == outcome);
    CHECK(svid_code({below}, bundles, later(120)) == "x509_untrusted");
  }
  // A root that goes is trusted no more (XS-5, XF-3).
  REQUIRE(bundles.put(bundle_of("local")).ok());
  CHECK(svid_code({leaf}, bundles, later(120)) == "x509_untrusted");
  bundles.remove("local");
  CHECK(svid_code({leaf}, bundles, later(120)) == "x509_svid_trust_domain");
}

TEST_CASE("each case of the SPIFFE conformance catalogue's checklist has its outcome") {
  const std::vector<ChecklistRow> rows = run_checklist();
  for (const ChecklistRow& row : rows) {
    CAPTURE(row.number);
    CAPTURE(row.what);
    CHECK(row.seen == row.expected);
  }
  CHECK(missing_numbers(rows).empty());
}

}  // namespace
}  // namespace wary::spiffe
