#include "crypto/jwk.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "crypto/crypto_test_world.h"
#include "crypto/jose_test_world.h"
#include "crypto/sign.h"

namespace wary::crypto {
namespace {

std::string jwk_text(JoseKeyType type) { return to_json({jose_key(type).public_key(), {}, {}, {}, {}}).to_string(); }

std::string jwk_code(std::string_view text) { return code_of_result(parse_jwk(text)); }

TEST_CASE("every algorithm signs and verifies with the keys of its type and with no other") {
  for (const SignatureAlgorithm algorithm : kEveryAlgorithm) {
    CAPTURE(to_string(algorithm));
    CHECK(signature_algorithm_of(to_string(algorithm)) == algorithm);
    for (const JoseKeyType type : kEveryKeyType) {
      const SigningKey& key = jose_key(type);
      const auto signature = key.sign(algorithm, as_bytes("message"));
      CHECK(signature.ok() == key.public_key().fits(algorithm));
      if (!signature.ok()) {
        CHECK(signature.error().code == "jose_key_type");
        CHECK_FALSE(key.public_key().verify(algorithm, as_bytes("message"), Bytes(64)));
        continue;
      }
      CHECK(key.public_key().verify(algorithm, as_bytes("message"), *signature));
      CHECK_FALSE(key.public_key().verify(algorithm, as_bytes("Message"), *signature));
      CHECK_FALSE(key.public_key().verify(algorithm, as_bytes("message"), {}));
      CHECK_FALSE(key.public_key().verify(algorithm, as_bytes("message"), ByteView(*signature).first(31)));
      Bytes longer = *signature;
      longer.push_back(0);
      CHECK_FALSE(key.public_key().verify(algorithm, as_bytes("message"), longer));
      // A signature is for its algorithm: none of the others of the same key takes it.
      for (const SignatureAlgorithm other : kEveryAlgorithm) {
        if (other != algorithm) CHECK_FALSE(key.public_key().verify(other, as_bytes("message"), *signature));
      }
      // ECDSA in DER is another form, and each call takes its own.
      if (algorithm == SignatureAlgorithm::kEs384) {
        const Bytes der = *ecdsa_to_der(*signature, 48);
        CHECK(key.public_key().verify_der(algorithm, as_bytes("message"), der));
        CHECK_FALSE(key.public_key().verify(algorithm, as_bytes("message"), der));
        CHECK_FALSE(key.public_key().verify_der(algorithm, as_bytes("message"), *signature));
      }
    }
  }
  CHECK_FALSE(signature_algorithm_of("none").has_value());
  CHECK_FALSE(signature_algorithm_of("HS256").has_value());
  CHECK_FALSE(signature_algorithm_of("es256").has_value());
  CHECK_FALSE(signature_algorithm_of("").has_value());
}

TEST_CASE("keys come back from SPKI, PKCS#8 and JWK as they were") {
  for (const JoseKeyType type : kEveryKeyType) {
    const SigningKey& key = jose_key(type);
    const Bytes spki = key.public_key().to_spki();
    const auto decoded = VerifyKey::decode_spki(spki);
    REQUIRE(decoded.ok());
    CHECK(decoded->type() == type);
    CHECK(decoded->to_spki() == spki);
    Bytes longer = spki;
    longer.push_back(0);
    CHECK(VerifyKey::decode_spki(longer).error().code == "jose_key_syntax");
    const auto again = SigningKey::from_pkcs8(key.to_pkcs8()->reveal());
    REQUIRE(again.ok());
    CHECK(again->public_key().to_spki() == spki);
    const auto jwk = parse_jwk(jwk_text(type));
    REQUIRE(jwk.ok());
    CHECK(jwk->key.to_spki() == spki);
    CHECK(jwk->kid.empty());
    CHECK(to_json(*jwk).to_string() == jwk_text(type));
    CHECK(thumbprint(jwk->key).size() == 43);
  }
  const Bytes own = PrivateKey::generate(KeyType::kEcdsaP256)->public_key().to_spki();
  CHECK(VerifyKey::decode_spki(own)->to_spki() == own);
  CHECK(VerifyKey::decode_spki({}).error().code == "jose_key_syntax");
  CHECK(VerifyKey::decode_spki(Bytes(20'000)).error().code == "jose_key_syntax");
  CHECK(SigningKey::from_pkcs8(as_bytes("no key")).error().code == "jose_key_syntax");
  // The same point compressed: another spelling of the key.
  const VerifyKey& p256 = jose_key(JoseKeyType::kP256).public_key();
  Bytes compressed = hex("3039301306072a8648ce3d020106082a8648ce3d030107032200");
  compressed.push_back(static_cast<std::uint8_t>(2 | (p256.second_part().back() & 1)));
  append(compressed, p256.first_part());
  CHECK(VerifyKey::decode_spki(compressed).error().code == "jose_key_syntax");
  Bytes x25519 = hex("302a300506032b656e032100");
  append(x25519, Bytes(32, 9));
  CHECK(VerifyKey::decode_spki(x25519).error().code == "jose_key_type");
}

TEST_CASE("thumbprints are those of RFC 7638 section 3.1 and RFC 8037 appendix A.3") {
  constexpr std::string_view kRsa =
      R"({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJ)"
      R"(ECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqz)"
      R"(s8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqb)"
      R"(w0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"})";
  const auto rsa = parse_jwk(kRsa);
  REQUIRE(rsa.ok());
  CHECK(thumbprint(rsa->key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  CHECK(rsa->kid == "2011-04-29");
  CHECK(rsa->may_verify(SignatureAlgorithm::kRs256));
  CHECK_FALSE(rsa->may_verify(SignatureAlgorithm::kPs256));  // its own alg says otherwise
  const auto ed = parse_jwk(R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})");
  REQUIRE(ed.ok());
  CHECK(thumbprint(ed->key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

TEST_CASE("a JWK that is no public key in its one spelling is refused with its code") {
  const codec::Json p256 = *codec::parse_json(jwk_text(JoseKeyType::kP256));
  const codec::Json rsa = *codec::parse_json(jwk_text(JoseKeyType::kRsa));
  const auto with = [](codec::Json json, std::string_view name, codec::Json value) {
    json.set(name, std::move(value));
    return jwk_code(json.to_string());
  };
  const std::string x = p256.find("x")->as_string();
  CHECK(with(p256, "kid", "a") == "accepted");
  CHECK(with(p256, "kid", "") == "jwk_syntax");
  CHECK(with(p256, "kid", 1) == "jwk_syntax");
  CHECK(with(p256, "kid", std::string(513, 'a')) == "jwk_syntax");
  CHECK(with(p256, "kty", "ec") == "jwk_type");
  CHECK(with(p256, "kty", "oct") == "jwk_private");
  CHECK(with(p256, "kty", "OKP") == "jwk_type");
  CHECK(with(p256, "crv", "P-384") == "jose_key_syntax");
  CHECK(with(p256, "crv", "secp256k1") == "jwk_type");
  CHECK(with(p256, "crv", "X25519") == "jwk_type");
  CHECK(with(p256, "d", "AA") == "jwk_private");
  CHECK(with(p256, "k", "AA") == "jwk_private");
  CHECK(with(p256, "x", x + "=") == "jwk_syntax");
  CHECK(with(p256, "x", x + "AAAA") == "jose_key_syntax");
  CHECK(with(p256, "x", x.substr(0, 40)) == "jose_key_syntax");
  CHECK(with(p256, "x", p256.find("y")->as_string()) == "jose_key_syntax");  // not on the curve
  CHECK(with(p256, "x", 5) == "jwk_syntax");
  CHECK(with(p256, "key_ops", codec::Json::array({"verify"})) == "accepted");
  CHECK(with(p256, "key_ops", codec::Json::array({"verify", "verify"})) == "jwk_syntax");
  CHECK(with(p256, "key_ops", "verify") == "jwk_syntax");
  CHECK(with(rsa, "e", "Aw") == "accepted");             // 3
  CHECK(with(rsa, "e", "AQ") == "jose_key_rsa");         // 1
  CHECK(with(rsa, "e", "Ag") == "jose_key_rsa");         // 2
  CHECK(with(rsa, "e", "AAEAAQ") == "jose_key_syntax");  // a leading zero
  CHECK(with(rsa, "e", "AQAAAAE") == "jose_key_rsa");    // 2^32 + 1
  CHECK(with(rsa, "e", "") == "jose_key_syntax");
  const auto modulus = [](std::size_t bytes) {
    Bytes number(bytes, 0xff);
    return codec::encode_base64url(number);
  };
  CHECK(with(rsa, "n", modulus(256)) == "accepted");
  CHECK(with(rsa, "n", modulus(1024)) == "accepted");
  CHECK(with(rsa, "n", modulus(255)) == "jose_key_rsa");
  CHECK(with(rsa, "n", modulus(1025)) == "jose_key_rsa");
  CHECK(jwk_code(R"({"kty":"RSA"})") == "jwk_syntax");
  CHECK(jwk_code(R"({})") == "jwk_syntax");
  CHECK(jwk_code("[]") == "jwk_syntax");
  CHECK(jwk_code("") == "json_syntax");
  CHECK(jwk_code(R"({"kty":"RSA","kty":"RSA"})") == "json_duplicate_key");
  CHECK(jwk_code("{\"kty\":\"" + std::string(70'000, 'a') + "\"}") == "json_size");
}

TEST_CASE("a set gives the keys that can be used and says which were left out") {
  const std::string good = jwk_text(JoseKeyType::kP256);
  const auto set = parse_jwk_set(R"({"other":1,"keys":[{"kty":"new"},)" + good + R"(,{"kty":"oct","k":"AA"}]})");
  REQUIRE(set.ok());
  REQUIRE(set->keys.size() == 1);
  REQUIRE(set->left_out.size() == 2);
  CHECK(set->left_out[0].index == 0);
  CHECK(set->left_out[0].error.code == "jwk_type");
  CHECK(set->left_out[1].error.code == "jwk_private");
  CHECK(parse_jwk_set(R"({"keys":[]})")->keys.empty());
  CHECK(code_of_result(parse_jwk_set("{}")) == "jwk_syntax");
  CHECK(code_of_result(parse_jwk_set(R"({"keys":{}})")) == "jwk_syntax");
  CHECK(code_of_result(parse_jwk_set("[]")) == "jwk_syntax");
  codec::Json twin = *codec::parse_json(good);
  twin.set("kid", "a");
  const std::string twice = R"({"keys":[)" + twin.to_string() + "," + twin.to_string() + "]}";
  CHECK(code_of_result(parse_jwk_set(twice)) == "jwk_kid_repeated");
  std::string many = R"({"keys":[{})";
  for (int i = 0; i < 256; ++i) many += ",{}";
  CHECK(code_of_result(parse_jwk_set(many + "]}")) == "json_items");
}

}  // namespace
}  // namespace wary::crypto
