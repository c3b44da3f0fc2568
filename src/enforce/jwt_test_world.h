// What the tests of tokens share: an issuer with a key of each usual type, its rules, and tokens that say what a test
// wants.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "codec/text.h"
#include "crypto/jose_key.h"
#include "crypto/jwk.h"
#include "enforce/jwt_issuer.h"

namespace wary::enforce::test {

constexpr std::int64_t kTokenNow = 1'800'000'000;  // seconds

class TestIssuer {
 public:
  TestIssuer() {
    add("e1", crypto::JoseKeyType::kP256);
    add("o1", crypto::JoseKeyType::kEd25519);
    add("r1", crypto::JoseKeyType::kRsa);
  }

  codec::Json rules = *codec::parse_json(R"({"url":"https://idp.test/","audiences":["https://api.test","api"],
      "algorithms":["ES256","EdDSA","RS256","PS256"],"skew":30,
      "subjects":[{"value":"ci","type":"Wary::Workload","id":"spiffe://local/a/b"},
                  {"value":"root","type":"Wary::User","id":"owner"}],
      "groups_claim":"groups","groups":[{"value":"engineering","group":"eng"},{"value":"on call","group":"sre"}]})");

  void add(const std::string& kid, crypto::JoseKeyType type) {
    auto made = crypto::SigningKey::generate(type);
    REQUIRE(made.ok());
    keys_.insert_or_assign(kid, std::move(made).value());
  }
  void remove(const std::string& kid) { keys_.erase(kid); }
  std::string jwks() const {
    codec::Json list = codec::Json::array();
    for (const auto& [kid, key] : keys_) list.push(crypto::to_json(crypto::Jwk{key.public_key(), kid, {}, {}, {}}));
    return codec::Json::object({{"keys", std::move(list)}}).to_string();
  }
  std::string thumbprint(const std::string& kid) const { return crypto::thumbprint(keys_.at(kid).public_key()); }
  JwtIssuer read() const {
    auto issuer = issuer_from("corp", rules, jwks());
    REQUIRE_MESSAGE(issuer.ok(), (issuer.ok() ? "" : issuer.error().to_string()));
    return std::move(issuer).value();
  }

  static codec::Json claims() {
    return *codec::parse_json(R"({"iss":"https://idp.test/","aud":"https://api.test","sub":"alice","client_id":"cli",
        "jti":"t1","iat":1799999990,"exp":1800000600,"scope":"read write","groups":["engineering","other"]})");
  }
  // One member changed; nothing of it where `json` is empty.
  static codec::Json claims_with(std::string_view name, std::string_view json) {
    codec::Json out = codec::Json::object();
    const codec::Json usual = claims();
    for (const auto& [member, value] : usual.members()) {
      if (member != name) out.set(member, value);
    }
    if (!json.empty()) out.set(name, codec::parse_json("[" + std::string(json) + "]")->items()[0]);
    return out;
  }
  std::string sign(const codec::Json& payload, std::string_view header = R"({"alg":"ES256","kid":"e1","typ":"at+jwt"})",
                   const std::string& kid = "e1",
                   crypto::SignatureAlgorithm algorithm = crypto::SignatureAlgorithm::kEs256) const {
    const std::string input =
        codec::encode_base64url(as_bytes(header)) + "." + codec::encode_base64url(as_bytes(payload.to_string()));
    return input + "." + codec::encode_base64url(*keys_.at(kid).sign(algorithm, as_bytes(input)));
  }

 private:
  std::map<std::string, crypto::SigningKey> keys_;
};

}  // namespace wary::enforce::test
