// JSON Web Signatures and Keys: Wycheproof's files and the RFC 7520 cookbook.
#include <algorithm>
#include <array>

#include "codec/der.h"
#include "crypto/jws.h"
#include "enforce/jwt_issuer.h"
#include "tests/conform/identity.h"

namespace wary::test {
namespace {

using codec::Json;
using crypto::SignatureAlgorithm;

constexpr std::array<SignatureAlgorithm, 10> kAll = {
    SignatureAlgorithm::kRs256, SignatureAlgorithm::kRs384, SignatureAlgorithm::kRs512, SignatureAlgorithm::kPs256,
    SignatureAlgorithm::kPs384, SignatureAlgorithm::kPs512, SignatureAlgorithm::kEs256, SignatureAlgorithm::kEs384,
    SignatureAlgorithm::kEs512, SignatureAlgorithm::kEdDsa};
constexpr std::array<std::string_view, 8> kPrivateParts = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

// The key, or each key of a set, without its private members.
Json published(const Json& key) {
  Json out = Json::object();
  for (const auto& [name, value] : key.members()) {
    if (name == "keys") {
      Json keys = Json::array();
      for (const Json& item : value.items()) keys.push(item.string_or("kty", "") == "oct" ? item : published(item));
      out.set(name, std::move(keys));
    } else if (std::ranges::find(kPrivateParts, name) == kPrivateParts.end()) {
      out.set(name, value);
    }
  }
  return out;
}

bool is_shared_secret(const Json& key) {
  const Json* keys = key.find("keys");
  if (keys == nullptr) return key.string_or("kty", "") == "oct";
  return std::ranges::all_of(keys->items(), [](const Json& item) { return item.string_or("kty", "") == "oct"; });
}

std::string jws_outcome(const Json& key, std::string_view token) {
  std::vector<crypto::Jwk> keys;
  if (key.find("keys") != nullptr) {
    auto set = crypto::jwk_set_from_json(key);
    if (!set.ok()) return set.error().code;
    keys = std::move(set->keys);
  } else {
    auto one = crypto::jwk_from_json(key);
    if (!one.ok()) return one.error().code;
    keys.push_back(std::move(one).value());
  }
  const auto jws = crypto::parse_jws(token);
  if (!jws.ok()) return jws.error().code;
  const auto verified = crypto::verify_jws(*jws, keys, kAll);
  return verified.ok() ? "accepted" : verified.error().code;
}

// The same key as an Issuer's, with every algorithm allowed: what a gateway believes a token by.
std::string issuer_outcome(const Json& key, std::string_view token) {
  Json algorithms = Json::array();
  for (const SignatureAlgorithm algorithm : kAll) algorithms.push(crypto::to_string(algorithm));
  Json rules = Json::object({{"url", "https://idp.test/"}, {"audiences", Json::array({Json("api")})}});
  rules.set("algorithms", std::move(algorithms));
  const Json set = key.find("keys") != nullptr ? key : Json::object({{"keys", Json::array({key})}});
  const auto issuer = enforce::issuer_from("wycheproof", rules, set.to_string());
  if (!issuer.ok()) return issuer.error().code;
  const auto jws = crypto::parse_jws(token);
  if (!jws.ok()) return jws.error().code;
  const auto verified = crypto::verify_jws(*jws, issuer->keys, issuer->algorithms);
  return verified.ok() ? "accepted" : verified.error().code;
}

Json without(const Json& json, std::string_view left_out) {
  Json out = Json::object();
  for (const auto& [name, value] : json.members()) {
    if (name != left_out) out.set(name, value);
  }
  return out;
}

void run_jws_case(const Json& key, const Json& test, FileCount& count) {
  const std::string name =
      "case " + std::to_string(test.integer_or("tcId", 0)) + " (" + std::string(test.string_or("comment", "")) + ")";
  const std::string_view token = test.string_or("jws", "");
  const std::string outcome = jws_outcome(key, token);
  const bool is_valid = test.string_or("result", "") == "valid";
  const auto jws = crypto::parse_jws(token);
  const std::string_view own = key.string_or("alg", "");
  if (is_valid && jws.ok() && !own.empty() && own != crypto::to_string(jws->header.algorithm)) {
    // The key says that it is for another algorithm than the token's: wary holds it to its word (RFC 7517 section 4.4),
    // and takes the same key without that word.
    std::printf("  %s: the key says %s, the token %s: refused; accepted once the key says nothing\n", name.c_str(),
                std::string(own).c_str(), std::string(crypto::to_string(jws->header.algorithm)).c_str());
    count.skip("the key is for another algorithm than the token's, which wary refuses");
    count.check_more(outcome == "jws_key_mismatch" && jws_outcome(without(key, "alg"), token) == "accepted",
                     name + " without the key's alg");
    return;
  }
  count.check((outcome == "accepted") == is_valid, name + ": " + outcome);
  const std::string by_issuer = issuer_outcome(key, token);
  count.check_more((by_issuer == "accepted") == is_valid, name + " by an Issuer: " + by_issuer);
}

// The private half of a cookbook key as PKCS#8: RSA by RFC 8017 appendix A.1.2, Ed25519 by RFC 8410 section 7.
Result<crypto::SigningKey> signing_key(const Json& jwk) {
  using codec::der::Writer;
  const auto number = [&](std::string_view name) { return *codec::decode_base64url(jwk.string_or(name, "")); };
  Writer inner, algorithm, envelope, whole;
  if (jwk.string_or("kty", "") == "OKP") {
    inner.add(codec::der::kOctetString, number("d"));
    algorithm.add(codec::der::kOid, *codec::der::oid_from_text("1.3.101.112"));
  } else {
    Writer numbers;
    numbers.add_integer(0);
    for (const char* name : {"n", "e", "d", "p", "q", "dp", "dq", "qi"}) numbers.add_unsigned(number(name));
    inner.add_nested(codec::der::kSequence, numbers);
    algorithm.add(codec::der::kOid, *codec::der::oid_from_text("1.2.840.113549.1.1.1"));
    algorithm.add_null();
  }
  envelope.add_integer(0).add_nested(codec::der::kSequence, algorithm).add_nested(codec::der::kOctetString, inner);
  whole.add_nested(codec::der::kSequence, envelope);
  return crypto::SigningKey::from_pkcs8(whole.bytes());
}

// Input, signing and output of one signature of the cookbook.
void run_cookbook_signature(const Json& json, FileCount& count) {
  const Json& input = *json.find("input");
  const Json& key = *input.find("key");
  if (key.string_or("kty", "") == "oct") {
    return count.skip("RFC 7520/7797 with a shared secret (HS256, b64): wary signs and verifies with key pairs only");
  }
  const std::string compact(json.find("output")->string_or("compact", ""));
  count.check(jws_outcome(key, compact) == "jwk_private", "a private key is not taken for a public one");
  const Json shown = published(key);
  count.check(jws_outcome(shown, compact) == "accepted", "verified");
  const auto jws = crypto::parse_jws(compact);
  count.check(jws.ok() && as_text(jws->payload) == input.string_or("payload", ""), "the payload is the example's");
  for (const char* form : {"json", "json_flat"}) {
    const Json* other = json.find("output")->find(form);
    if (other == nullptr) continue;
    count.check(jws_outcome(shown, other->to_string()) == "jws_syntax", std::string(form) + " is refused");
  }
  if (!json.bool_or("reproducible", false)) return;
  auto signer = signing_key(key);
  if (!signer.ok()) return count.check(false, "signed: " + signer.error().to_string());
  const auto made = crypto::make_jws(
      {*crypto::signature_algorithm_of(input.string_or("alg", "")), std::string(key.string_or("kid", "")), ""},
      as_bytes(input.string_or("payload", "")),
      [&](SignatureAlgorithm algorithm, ByteView bytes) { return signer->sign(algorithm, bytes); });
  count.check(made.ok() && *made == compact, "signed, byte for byte");
}

}  // namespace

bool run_wycheproof_jose(const Json& file, FileCount& count) {
  for (const Json& group : file.find("testGroups")->items()) {
    const Json* shown = group.find("public");
    const Json key = published(shown != nullptr ? *shown : *group.find("private"));
    const Json& whole = shown != nullptr ? *shown : *group.find("private");
    for (const Json& test : group.find("tests")->items()) {
      if (test.find("jwe") != nullptr) {
        count.skip("wary has no JWE");
      } else if (is_shared_secret(whole)) {
        count.skip("wary has no signatures by shared secrets (HS256, HS384, HS512)");
      } else {
        run_jws_case(key, test, count);
      }
    }
  }
  return true;
}

bool run_cookbook(const std::string& text, FileCount& count) {
  const auto json = codec::parse_json(text);
  if (!json.ok()) return count.check(false, "unreadable"), true;
  if (count.name().find("/jwk/") != std::string::npos) {
    const bool is_private = json->find("d") != nullptr;
    if (is_private) {
      const auto refused = crypto::jwk_from_json(*json);
      count.check(!refused.ok() && refused.error().code == "jwk_private",
                  "a private key is not taken for a public one");
    }
    const Json shown = published(*json);
    const auto key = crypto::jwk_from_json(shown);
    bool same = key.ok();
    for (const auto& [name, value] : shown.members()) {
      same = same && crypto::to_json(*key).find(name) != nullptr && *crypto::to_json(*key).find(name) == value;
    }
    return count.check(same, "read, and written as it was"), true;
  }
  if (const Json* sign = json->find("sign"); sign != nullptr) {  // 6: nested
    run_cookbook_signature(*sign, count);
    return count.skip("RFC 7520 JWE: wary has none"), true;
  }
  if (json->find("signing") != nullptr) return run_cookbook_signature(*json, count), true;
  return count.skip("RFC 7520 JWE: wary has none"), true;
}

}  // namespace wary::test
