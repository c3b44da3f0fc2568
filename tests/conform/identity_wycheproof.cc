// Wycheproof: primitives. "acceptable" means that either outcome may be right; those are run and their flags printed.
#include <algorithm>
#include <map>

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/jwk.h"
#include "tests/conform/identity.h"

namespace wary::test {
namespace {

using codec::Json;
using crypto::SignatureAlgorithm;

std::string case_name(const Json& test) {
  return "case " + std::to_string(test.integer_or("tcId", 0)) + " (" + std::string(test.string_or("comment", "")) + ")";
}

void judge(bool accepted, const Json& test, FileCount& count) {
  const std::string_view result = test.string_or("result", "");
  if (result == "acceptable") {
    std::string flags;
    if (const Json* list = test.find("flags"); list != nullptr) {
      for (const Json& flag : list->items()) flags += " " + flag.as_string();
    }
    std::printf("  %s, acceptable (%s ): %s\n", case_name(test).c_str(), flags.c_str(),
                accepted ? "accepted" : "refused");
    return count.check(true, case_name(test));
  }
  count.check(accepted == (result == "valid"), case_name(test));
}

void run_signatures(const Json& group, SignatureAlgorithm algorithm, bool is_der, FileCount& count) {
  const auto key = crypto::VerifyKey::decode_spki(hex_member(group, "publicKeyDer"));
  const auto& tests = group.find("tests")->items();
  if (!key.ok()) {
    for (const Json& test : tests) count.check(false, case_name(test) + ": " + key.error().to_string());
    return;
  }
  // The key as JWK, where the group has it, is the same key.
  for (const char* name : {"publicKeyJwk", "keyJwk"}) {
    const Json* json = group.find(name);
    if (json == nullptr) continue;
    const auto jwk = crypto::jwk_from_json(*json);
    count.check_more(jwk.ok() && jwk->key.to_spki() == key->to_spki(), std::string(name) + " of a group");
  }
  for (const Json& test : tests) {
    const Bytes message = hex_member(test, "msg");
    const Bytes signature = hex_member(test, "sig");
    judge(is_der ? key->verify_der(algorithm, message, signature) : key->verify(algorithm, message, signature), test,
          count);
  }
}

void run_gcm(const Json& group, FileCount& count) {
  const auto& tests = group.find("tests")->items();
  if (group.integer_or("keySize", 0) != 256 || group.integer_or("ivSize", 0) != 96) {
    return count.skip("wary has AES-GCM with 256-bit keys and 96-bit nonces only", tests.size());
  }
  for (const Json& test : tests) {
    const Bytes key = hex_member(test, "key"), nonce = hex_member(test, "iv"), additional = hex_member(test, "aad");
    const Bytes message = hex_member(test, "msg");
    Bytes sealed = hex_member(test, "ct");
    append(sealed, hex_member(test, "tag"));
    Bytes opened(sealed.size() - crypto::kGcmTagSize);
    const bool good = crypto::gcm_open(key, nonce, {additional}, sealed, opened).ok() && opened == message;
    judge(good, test, count);
    if (test.string_or("result", "") != "valid") continue;
    Bytes made(message.size() + crypto::kGcmTagSize);
    count.check_more(crypto::gcm_seal(key, nonce, {additional}, message, made).ok() && made == sealed,
                     case_name(test) + " sealed");
  }
}

void run_hmac(const Json& group, FileCount& count) {
  const auto size = static_cast<std::size_t>(group.integer_or("tagSize", 0)) / 8;
  for (const Json& test : group.find("tests")->items()) {
    const crypto::Digest made = crypto::hmac_sha256(hex_member(test, "key"), hex_member(test, "msg"));
    judge(equals_in_constant_time(ByteView(made).first(size), hex_member(test, "tag")), test, count);
  }
}

void run_hkdf(const Json& group, FileCount& count) {
  for (const Json& test : group.find("tests")->items()) {
    const auto size = static_cast<std::size_t>(test.integer_or("size", 0));
    if (size > 255 * 32) {
      count.skip("hkdf_sha256 forbids its caller more than 255 * 32 bytes and stops the program");
      continue;
    }
    const Secret made =
        crypto::hkdf_sha256(hex_member(test, "ikm"), hex_member(test, "salt"), hex_member(test, "info"), size);
    judge(equals_in_constant_time(made.reveal(), hex_member(test, "okm")), test, count);
  }
}

struct SignatureFile {
  SignatureAlgorithm algorithm;
  bool is_der;
};
const std::map<std::string, SignatureFile, std::less<>>& signature_files() {
  static const std::map<std::string, SignatureFile, std::less<>> files = {
      {"ecdsa_secp256r1_sha256_p1363_test.json", {SignatureAlgorithm::kEs256, false}},
      {"ecdsa_secp256r1_sha256_test.json", {SignatureAlgorithm::kEs256, true}},
      {"ecdsa_secp384r1_sha384_p1363_test.json", {SignatureAlgorithm::kEs384, false}},
      {"ecdsa_secp384r1_sha384_test.json", {SignatureAlgorithm::kEs384, true}},
      {"ecdsa_secp521r1_sha512_p1363_test.json", {SignatureAlgorithm::kEs512, false}},
      {"ed25519_test.json", {SignatureAlgorithm::kEdDsa, false}},
      {"rsa_pss_2048_sha256_mgf1_32_test.json", {SignatureAlgorithm::kPs256, false}},
      {"rsa_signature_2048_sha256_test.json", {SignatureAlgorithm::kRs256, false}}};
  return files;
}

// Why wary has no code for the file's primitive.
std::string_view reason_of(std::string_view file) {
  if (file.starts_with("json_web_encryption")) return "wary has no JWE";
  if (file.starts_with("ecdh_") || file.starts_with("x25519")) return "key agreement is TLS's business";
  if (file.starts_with("rsa_oaep")) return "wary encrypts nothing with RSA";
  if (file.starts_with("pbkdf2")) return "wary derives nothing from passwords with PBKDF2";
  for (const char* name : {"aes_gcm_siv", "aes_kwp", "aes_wrap", "chacha20_poly1305", "xchacha20_poly1305"}) {
    if (file.starts_with(name)) return "wary seals with AES-256-GCM only";
  }
  return "";
}

}  // namespace

bool run_wycheproof(const std::string& text, FileCount& count) {
  const auto json = codec::parse_json(text, {.bytes = std::size_t{8} << 20});
  const Json* groups = json.ok() ? json->find("testGroups") : nullptr;
  if (groups == nullptr) return count.check(false, "unreadable"), true;
  const std::string file = count.name().substr(count.name().rfind('/') + 1);
  if (const auto reason = reason_of(file); !reason.empty()) {
    std::size_t cases = 0;
    for (const Json& group : groups->items()) cases += group.find("tests")->items().size();
    return count.skip(std::string(reason), cases), true;
  }
  if (file.starts_with("json_web_")) return run_wycheproof_jose(*json, count);
  const auto signatures = signature_files().find(file);
  for (const Json& group : groups->items()) {
    if (signatures != signature_files().end()) {
      run_signatures(group, signatures->second.algorithm, signatures->second.is_der, count);
    } else if (file == "aes_gcm_test.json") {
      run_gcm(group, count);
    } else if (file == "hmac_sha256_test.json") {
      run_hmac(group, count);
    } else if (file == "hkdf_sha256_test.json") {
      run_hkdf(group, count);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace wary::test
