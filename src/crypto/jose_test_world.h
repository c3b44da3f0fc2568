// What the tests of JOSE share: keys of every type, made once, and tokens whose header a test writes itself.
#pragma once

#include <map>
#include <string>

#include "base/check.h"
#include "codec/text.h"
#include "crypto/jwk.h"
#include "crypto/jws.h"

namespace wary::crypto {

constexpr std::array<SignatureAlgorithm, 10> kEveryAlgorithm = {
    SignatureAlgorithm::kRs256, SignatureAlgorithm::kRs384, SignatureAlgorithm::kRs512, SignatureAlgorithm::kPs256,
    SignatureAlgorithm::kPs384, SignatureAlgorithm::kPs512, SignatureAlgorithm::kEs256, SignatureAlgorithm::kEs384,
    SignatureAlgorithm::kEs512, SignatureAlgorithm::kEdDsa};
constexpr std::array<JoseKeyType, 5> kEveryKeyType = {JoseKeyType::kP256, JoseKeyType::kP384, JoseKeyType::kP521,
                                                      JoseKeyType::kRsa, JoseKeyType::kEd25519};

// RSA keys take a while to make.
inline const SigningKey& jose_key(JoseKeyType type) {
  static std::map<JoseKeyType, SigningKey> keys;
  const auto found = keys.find(type);
  if (found != keys.end()) return found->second;
  auto made = SigningKey::generate(type);
  WARY_CHECK(made.ok());
  return keys.emplace(type, std::move(made).value()).first->second;
}

inline JoseKeyType key_type_of(SignatureAlgorithm algorithm) {
  for (const JoseKeyType type : kEveryKeyType) {
    if (jose_key(type).public_key().fits(algorithm)) return type;
  }
  WARY_CHECK(false);
  return JoseKeyType::kP256;
}

inline SignJws signs_with(const SigningKey& key) {
  return [&key](SignatureAlgorithm algorithm, ByteView input) { return key.sign(algorithm, input); };
}

inline std::string b64(std::string_view text) { return codec::encode_base64url(as_bytes(text)); }

// Header and payload as the test wrote them, signed.
inline std::string token_of(std::string_view header, std::string_view payload, const SigningKey& key,
                            SignatureAlgorithm algorithm) {
  const std::string input = b64(header) + "." + b64(payload);
  return input + "." + codec::encode_base64url(*key.sign(algorithm, as_bytes(input)));
}

template <typename T>
std::string code_of_result(const Result<T>& result) {
  return result.ok() ? "accepted" : result.error().code;
}

}  // namespace wary::crypto
