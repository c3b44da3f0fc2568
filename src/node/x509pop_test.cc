#include "node/x509pop.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "codec/text.h"
#include "crypto/hash.h"
#include "crypto/pem.h"
#include "node/node_test_world.h"
#include "node/statement.h"
#include "tests/support/openssl_run.h"
#include "tests/support/skip.h"

namespace wary::node {
namespace {

constexpr std::int64_t kDay = std::int64_t{24} * 3600 * kNanosPerSecond;

// An operator's authority and what it and others issued, made by the openssl program once.
class DeviceWorld {
 public:
  DeviceWorld() {
    openssl_.write("c.cnf",
                   "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n"
                   "keyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
                   "[device]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                   "[server]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
                   "[bare]\nsubjectKeyIdentifier=hash\n"
                   "[agree]\nkeyUsage=critical,keyAgreement\n");
    openssl_.run("req -x509 " + kP256 + "-keyout root.key -out root.pem -subj /CN=root -days 300 -extensions ca");
    openssl_.run("req -x509 " + kP256 + "-keyout other.key -out other.pem -subj /CN=root -days 300 -extensions ca");
  }
  bool usable() { return openssl_.run("version").find("OpenSSL") != std::string::npos; }
  Bytes certificate(const std::string& name) {
    const auto blocks = crypto::decode_pem(text_of(name));
    REQUIRE(blocks.ok());
    return blocks->front().bytes;
  }
  const std::string& text_of(const std::string& name) { return read_once("x509 -in " + name + ".pem"); }
  std::string run(const std::string& arguments) { return openssl_.run(arguments); }
  void write(const std::string& name, const std::string& text) { openssl_.write(name, text); }
  Bytes issue(const std::string& name, const std::string& issuer, const std::string& extensions,
              const std::string& key = kP256, const std::string& days = "20") {
    openssl_.run("req -new " + key + "-keyout " + name + ".key -out " + name + ".csr -subj /O=x/CN=" + name);
    openssl_.run("x509 -req -in " + name + ".csr -CA " + issuer + ".pem -CAkey " + issuer +
                 ".key -CAcreateserial -days " + days + " -extfile c.cnf -extensions " + extensions + " -out " + name +
                 ".pem");
    return certificate(name);
  }
  crypto::SigningKey key(const std::string& name) {
    auto key = decode_device_key(read_once("pkey -in " + name + ".key"));
    REQUIRE_MESSAGE(key.ok(), key.error().to_string());
    return std::move(key).value();
  }
  crypto::TrustRoots roots(const std::string& name = "root") {
    auto roots = crypto::TrustRoots::build({certificate(name)});
    REQUIRE(roots.ok());
    return std::move(roots).value();
  }
  UnixTime now() { return {crypto::parse_certificate(certificate("root"))->not_before.nanos + kDay}; }

  static inline const std::string kP256 = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config c.cnf ";

 private:
  // Starting the program is what takes the time.
  const std::string& read_once(const std::string& arguments) {
    const auto found = read_.find(arguments);
    return found != read_.end() ? found->second : read_.emplace(arguments, openssl_.run(arguments)).first->second;
  }
  test::OpensslRun openssl_;
  std::map<std::string, std::string> read_;
};

TEST_CASE("a statement differs by method and by every part, and parts do not run into each other") {
  StatementParts parts;
  parts.trust_domain = "example.org";
  const Bytes first = statement_of(Method::kX509Pop, parts);
  CHECK(first == statement_of(Method::kX509Pop, parts));
  // 4 + 23, 4 + 7, three times 4 + 32, 4 + 11.
  CHECK(first.size() == 27 + 11 + 108 + 15);
  std::vector<Bytes> all = {first, statement_of(Method::kTpm, parts)};
  StatementParts changed = parts;
  changed.server_nonce[31] = 1;
  all.push_back(statement_of(Method::kX509Pop, changed));
  changed = parts;
  changed.node_nonce[0] = 1;
  all.push_back(statement_of(Method::kX509Pop, changed));
  changed = parts;
  changed.csr_sha256[0] = 1;
  all.push_back(statement_of(Method::kX509Pop, changed));
  changed = parts;
  changed.trust_domain = "example.or";
  all.push_back(statement_of(Method::kX509Pop, changed));
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) CHECK(all[i] != all[j]);
  }
}

TEST_CASE("x509pop: every kind of key that is taken proves itself, and no other") {
  DeviceWorld world;
  if (!world.usable()) WARY_SKIP("no openssl program");
  const Bytes statement = statement_of(Method::kX509Pop, {.trust_domain = "example.org"});
  const std::map<std::string, std::string> kinds = {
      {"p256", DeviceWorld::kP256},
      {"p384", "-newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -config c.cnf "},
      {"ed25519", "-newkey ed25519 -nodes -config c.cnf "},
      {"rsa2048", "-newkey rsa:2048 -nodes -config c.cnf "},
      {"rsa3072", "-newkey rsa:3072 -nodes -config c.cnf "}};
  for (const auto& [name, options] : kinds) {
    CAPTURE(name);
    const Bytes leaf = world.issue(name, "root", "device", options);
    const auto signature = prove(world.key(name), statement);
    REQUIRE_MESSAGE(signature.ok(), signature.error().to_string());
    const auto identity = check_x509pop({leaf}, world.roots(), statement, *signature, world.now());
    REQUIRE_MESSAGE(identity.ok(), identity.error().to_string());
    CHECK(identity->common_name == name);
    CHECK(identity->fingerprint == codec::encode_hex(crypto::sha256(leaf)));
    std::string shown = world.run("x509 -noout -sha256 -fingerprint -in " + name + ".pem");
    std::erase(shown, ':');
    CHECK(codec::to_lower(shown).find(identity->fingerprint) != std::string::npos);
    for (const std::size_t at : {std::size_t{0}, signature->size() / 2, signature->size() - 1}) {
      Bytes altered = *signature;
      altered[at] ^= 1;
      CHECK(refusal_of(check_x509pop({leaf}, world.roots(), statement, altered, world.now())) == "x509pop_signature");
    }
    CHECK(refusal_of(check_x509pop({leaf}, world.roots(), statement, {}, world.now())) == "x509pop_signature");
    Bytes other = statement;
    other.back() ^= 1;
    CHECK(refusal_of(check_x509pop({leaf}, world.roots(), other, *signature, world.now())) == "x509pop_signature");
  }
  const std::map<std::string, std::string> refused = {
      {"p521", "-newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -config c.cnf "},
      {"k256", "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -config c.cnf "},
      {"ed448", "-newkey ed448 -nodes -config c.cnf "},
      {"rsa1024", "-newkey rsa:1024 -nodes -config c.cnf "}};
  for (const auto& [name, options] : refused) {
    CAPTURE(name);
    const Bytes leaf = world.issue(name, "root", "device", options);
    CHECK(refusal_of(check_x509pop({leaf}, world.roots(), statement, Bytes(64, 1), world.now())) == "x509pop_key");
    CHECK_FALSE(decode_device_key(world.run("pkey -in " + name + ".key")).ok());
  }
  const auto p521 = crypto::SigningKey::generate(crypto::JoseKeyType::kP521);
  CHECK(refusal_of(prove(*p521, statement)) == "x509pop_key");
}

TEST_CASE("x509pop: a signature of the right key in another form is none") {
  DeviceWorld world;
  if (!world.usable()) WARY_SKIP("no openssl program");
  world.write("statement", "text");
  const auto signed_with = [&](const std::string& name, const std::string& options) {
    return *codec::decode_hex(
        world.run("dgst -sha256 -sign " + name + ".key " + options + " statement | od -An -v -tx1 | tr -d ' \\n'"));
  };
  const auto code = [&](const std::string& name, const Bytes& signature) {
    return refusal_of(
        check_x509pop({world.certificate(name)}, world.roots(), as_bytes("text"), signature, world.now()));
  };
  world.issue("ec", "root", "device");
  world.issue("rsa", "root", "device", "-newkey rsa:2048 -nodes -config c.cnf ");
  CHECK(code("rsa", signed_with("rsa", "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32")) == "ok");
  CHECK(code("rsa", signed_with("rsa", "")) == "x509pop_signature");  // PKCS#1 v1.5
  CHECK(code("rsa", signed_with("rsa", "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:0")) ==
        "x509pop_signature");
  const Bytes der = signed_with("ec", "");
  CHECK(code("ec", der) == "x509pop_signature");
  CHECK(code("ec", *crypto::ecdsa_to_raw(der)) == "ok");
  CHECK(code("ec", Bytes(2000, 1)) == "x509pop_signature");
}

TEST_CASE("x509pop: chains are refused one by one, each by its own code") {
  DeviceWorld world;
  if (!world.usable()) WARY_SKIP("no openssl program");
  const Bytes statement = statement_of(Method::kX509Pop, {.trust_domain = "example.org"});
  const auto code = [&](const std::string& name, const std::vector<Bytes>& above = {}, std::int64_t days = 0,
                        const std::string& root = "root") {
    std::vector<Bytes> chain = {world.certificate(name)};
    chain.insert(chain.end(), above.begin(), above.end());
    const UnixTime at{world.now().nanos + days * kDay};
    return refusal_of(check_x509pop(chain, world.roots(root), statement, *prove(world.key(name), statement), at));
  };
  world.issue("good", "root", "device");
  CHECK(code("good") == "ok");
  CHECK(code("good", {}, 30) == "x509_expired");
  CHECK(code("good", {}, -30) == "x509_not_yet_valid");
  CHECK(code("good", {}, 0, "other") == "x509_untrusted");
  world.issue("bare", "root", "bare");
  CHECK(code("bare") == "ok");  // no keyUsage
  world.issue("server", "root", "server");
  CHECK(code("server") == "ok");  // of another extended use
  world.issue("agree", "root", "agree");
  CHECK(code("agree") == "x509pop_key_usage");
  world.issue("authority", "root", "ca");
  CHECK(code("authority") == "x509pop_leaf_ca");
  world.run("req -x509 " + DeviceWorld::kP256 + "-keyout self.key -out self.pem -subj /CN=x -extensions device");
  CHECK(code("self") == "x509_untrusted");
  // Up to four between the leaf and the root.
  std::vector<Bytes> between;
  std::string issuer = "root";
  for (int i = 1; i <= 5; ++i) {
    const std::string name = "between" + std::to_string(i);
    between.insert(between.begin(), world.issue(name, issuer, "ca"));
    issuer = name;
    const std::string leaf = "leaf" + std::to_string(i);
    world.issue(leaf, name, "device");
    CHECK(code(leaf, between) == (i <= 4 ? "ok" : "x509pop_chain"));
    if (i == 2) {
      CHECK(code(leaf, {between[1], between[0]}) == "ok");
      CHECK(code(leaf, {between[0]}) == "x509_untrusted");
    }
  }
  world.issue("short", "root", "ca", DeviceWorld::kP256, "2");
  world.issue("under_short", "short", "device");
  CHECK(code("under_short", {world.certificate("short")}) == "ok");
  CHECK(code("under_short", {world.certificate("short")}, 5) == "x509_expired");
  // A device cannot issue devices.
  world.issue("child", "good", "device");
  CHECK(code("child", {world.certificate("good")}) == "x509_not_ca");
  world.issue("bare_child", "bare", "device");
  CHECK(code("bare_child", {world.certificate("bare")}) == "x509_not_ca");
  const Bytes leaf = world.certificate("good"), proof = *prove(world.key("good"), statement);
  CHECK(refusal_of(check_x509pop({}, world.roots(), statement, proof, world.now())) == "x509pop_chain");
  Bytes longer = leaf;
  longer.push_back(0);
  CHECK(refusal_of(check_x509pop({longer}, world.roots(), statement, proof, world.now())) == "x509_syntax");
  CHECK(refusal_of(check_x509pop({leaf, to_bytes("x")}, world.roots(), statement, proof, world.now())) ==
        "x509_syntax");
  CHECK(refusal_of(check_x509pop({leaf}, world.roots(), {}, proof, world.now())) == "x509pop_statement");
  CHECK(refusal_of(check_x509pop({leaf}, world.roots(), Bytes(5000), proof, world.now())) == "x509pop_statement");
  CHECK(refusal_of(prove(world.key("good"), {})) == "x509pop_statement");
  // Another device of the same authority does not stand in.
  const Bytes others = *prove(world.key("bare"), statement);
  CHECK(refusal_of(check_x509pop({leaf}, world.roots(), statement, others, world.now())) == "x509pop_signature");
}

TEST_CASE("x509pop: a device's files are read whole or refused") {
  DeviceWorld world;
  if (!world.usable()) WARY_SKIP("no openssl program");
  world.issue("a", "root", "device");
  world.issue("b", "root", "device");
  const std::string key = world.run("pkey -in a.key");
  CHECK(decode_device_key(key).ok());
  CHECK(refusal_of(decode_device_key(key + key)) == "x509pop_pem");
  CHECK(refusal_of(decode_device_key("")) == "x509pop_pem");
  CHECK(refusal_of(decode_device_key(world.run("pkey -traditional -in a.key"))) == "x509pop_pem");  // SEC 1
  CHECK(refusal_of(decode_device_key(world.run("pkey -in a.key -aes128 -passout pass:x"))) == "x509pop_pem");
  CHECK(refusal_of(decode_device_key(key + "x")) == "pem_syntax");
  const std::string chain = world.text_of("a") + world.text_of("root");
  CHECK(decode_device_chain(chain)->size() == 2);
  CHECK(decode_device_chain(chain)->front() == world.certificate("a"));
  CHECK(refusal_of(decode_device_chain(chain + key)) == "x509pop_pem");
  CHECK(refusal_of(decode_device_chain("")) == "x509pop_chain");
  CHECK(refusal_of(decode_device_chain(chain + chain + chain)) == "x509pop_chain");
}

}  // namespace
}  // namespace wary::node
