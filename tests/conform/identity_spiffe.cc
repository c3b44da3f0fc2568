// go-spiffe's bundles, certificates and keys, and the published schema of JWT-SVIDs.
#include <array>
#include <functional>
#include <map>

#include "codec/json_schema.h"
#include "codec/yaml.h"
#include "crypto/jose_key.h"
#include "crypto/pem.h"
#include "spiffe/bundle.h"
#include "spiffe/jwt_svid.h"
#include "tests/conform/identity.h"

namespace wary::test {
namespace {

using codec::Json;

struct BundleExpectation {
  std::string_view file;
  std::size_t x509, jwt;
  std::vector<std::string> left_out;
  std::string_view note;
};
const std::vector<BundleExpectation>& bundle_expectations() {
  static const std::vector<BundleExpectation> rows = {
      {"spiffebundle_valid_1.json", 1, 1, {}, ""},
      {"spiffebundle_multiple_x509.json",
       1,
       1,
       {"bundle_key_x5c_more"},
       "go-spiffe refuses the bundle; X509-SVID.md section 6.2 demands that the first certificate count"},
      {"spiffebundle_valid_with_wit.json", 1, 2, {"bundle_key_use", "bundle_key_use"}, "WIT-SVID keys are left out"},
      {"jwks_valid_1.json", 0, 0, {"bundle_key_use"}, "a JWKS without use trusts nothing as a SPIFFE bundle"},
      {"jwks_missing_kid.json", 0, 0, {"bundle_key_use", "bundle_key_use"}, "keys for WIT-SVIDs, which wary has not"},
      {"jwks_valid_2.json", 0, 0, {"bundle_key_use", "bundle_key_use"}, "keys for WIT-SVIDs, which wary has not"}};
  return rows;
}

bool run_bundle(const std::string& text, const std::string& file, FileCount& count) {
  for (const BundleExpectation& row : bundle_expectations()) {
    if (row.file != file) continue;
    const auto bundle = spiffe::parse_bundle("local", text);
    if (!bundle.ok()) return count.check(false, bundle.error().to_string()), true;
    std::vector<std::string> codes;
    for (const crypto::LeftOut& entry : bundle->left_out) codes.push_back(entry.error.code);
    count.check(bundle->x509_authorities.size() == row.x509, "X.509 authorities");
    count.check(bundle->jwt_authorities.size() == row.jwt, "JWT authorities");
    count.check(codes == row.left_out, "what is left out");
    if (!row.note.empty()) std::printf("  %s: %s\n", file.c_str(), std::string(row.note).c_str());
    const auto written = spiffe::write_bundle(*bundle);
    const auto again = spiffe::parse_bundle("local", written.ok() ? *written : "");
    count.check(again.ok() && again->x509_authorities == bundle->x509_authorities && again->left_out.empty(),
                "written and read back");
    if (file == "jwks_valid_1.json" || file == "jwks_valid_2.json") {
      const auto set = crypto::parse_jwk_set(text);
      count.check(set.ok() && !set->keys.empty() && set->left_out.empty(), "its keys are good by themselves");
    }
    return true;
  }
  return false;
}

// "accepted", or the code of the first refusal: PEM, certificates, leaf, signers.
std::string chain_outcome(const std::string& text) {
  const auto blocks = crypto::decode_pem(text);
  if (!blocks.ok()) return blocks.error().code;
  if (blocks->empty()) return "empty";
  std::vector<crypto::Certificate> chain;
  for (const crypto::PemBlock& block : *blocks) {
    if (block.label != "CERTIFICATE") return "no certificate";
    auto certificate = crypto::parse_certificate(block.bytes);
    if (!certificate.ok()) return certificate.error().code;
    chain.push_back(std::move(certificate).value());
  }
  const auto id = crypto::check_svid(chain.front());
  if (!id.ok()) return id.error().code;
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (const Status status = crypto::check_svid_signer(chain[i], id->trust_domain); !status.ok()) {
      return status.error().code;
    }
  }
  return "accepted";
}

constexpr std::array<crypto::SignatureAlgorithm, 9> kSvidAlgorithms = {
    crypto::SignatureAlgorithm::kRs256, crypto::SignatureAlgorithm::kRs384, crypto::SignatureAlgorithm::kRs512,
    crypto::SignatureAlgorithm::kPs256, crypto::SignatureAlgorithm::kPs384, crypto::SignatureAlgorithm::kPs512,
    crypto::SignatureAlgorithm::kEs256, crypto::SignatureAlgorithm::kEs384, crypto::SignatureAlgorithm::kEs512};

Json part_of_token(const std::string& token, std::size_t number) {
  std::size_t from = 0;
  for (std::size_t i = 0; i < number; ++i) from = token.find('.', from) + 1;
  const auto bytes = codec::decode_base64url(token.substr(from, token.find('.', from) - from));
  auto json = codec::parse_json(as_text(bytes.ok() ? *bytes : Bytes()));
  return json.ok() ? std::move(json).value() : Json();
}

}  // namespace

bool run_spiffe_file(const std::string& text, FileCount& count) {
  const std::string file = count.name().substr(count.name().rfind('/') + 1);
  if (run_bundle(text, file, count)) return true;
  static const std::map<std::string, std::string, std::less<>> expected = {
      {"corrupted.pem", "x509_syntax"},
      {"empty.pem", "empty"},
      {"key.pem", "no certificate"},
      {"corrupt-cert.pem", "x509_syntax"},
      {"not-pem", "pem_syntax"},
      {"wrong-intermediate-no-key-cert-sign.pem", "svid_signer_key_usage"},
      {"wrong-leaf-ca-true.pem", "svid_ca"},
      {"wrong-leaf-crl-sign.pem", "svid_crl_sign"}};
  if (file == "key-pkcs8-ecdsa.pem") {
    const auto blocks = crypto::decode_pem(text);
    const bool one = blocks.ok() && blocks->size() == 1 && blocks->front().label == "PRIVATE KEY";
    const auto key = one ? crypto::SigningKey::from_pkcs8(blocks->front().bytes)
                         : Result<crypto::SigningKey>(fail(ErrorKind::kInvalid, "pem_syntax", "no key"));
    count.check(key.ok() && key->public_key().type() == crypto::JoseKeyType::kP256, "the key is read");
    return true;
  }
  const auto row = expected.find(file);
  if (row == expected.end()) return false;
  const std::string outcome = chain_outcome(text);
  count.check(outcome == row->second, "expected " + row->second + ", found " + outcome);
  return true;
}

bool run_schema(const std::string& text, FileCount& count) {
  const auto documents = codec::parse_yaml(text, count.name());
  if (!documents.ok() || documents->size() != 1) return count.check(false, "unreadable"), true;
  const auto schema = codec::JsonSchema::compile(documents->front().value);
  if (!schema.ok()) return count.check(false, schema.error().to_string()), true;
  for (const auto algorithm : kSvidAlgorithms) {
    const std::string_view name = crypto::to_string(algorithm);
    auto key = crypto::SigningKey::generate(name == "ES256"   ? crypto::JoseKeyType::kP256
                                            : name == "ES384" ? crypto::JoseKeyType::kP384
                                            : name == "ES512" ? crypto::JoseKeyType::kP521
                                                              : crypto::JoseKeyType::kRsa);
    spiffe::JwtSvidWanted wanted;
    wanted.id = "spiffe://example.org/orders";
    wanted.audience = {"reports"};
    wanted.issued_at = {std::int64_t{1'800'000'000} * kNanosPerSecond};
    wanted.expires_at = {std::int64_t{1'800'000'300} * kNanosPerSecond};
    for (const char* kid : {"", "key-1"}) {
      const auto token =
          spiffe::make_jwt_svid(wanted, {algorithm, kid},
                                [&](crypto::SignatureAlgorithm one, ByteView bytes) { return key->sign(one, bytes); });
      const std::string what = std::string(name) + (*kid == '\0' ? " without kid" : " with kid");
      if (!token.ok()) {
        count.check(false, what + ": " + token.error().to_string());
        continue;
      }
      const Json parts = Json::object({{"header", part_of_token(*token, 0)}, {"payload", part_of_token(*token, 1)}});
      count.check(schema->validate(parts).empty(), what);
    }
  }
  const Json wrong =
      *codec::parse_json(R"({"header":{"alg":"HS256"},"payload":{"sub":"spiffe://a/b","aud":"c","exp":1}})");
  count.check(schema->validate(wrong).size() == 1, "the schema refuses HS256");
  return true;
}

}  // namespace wary::test
