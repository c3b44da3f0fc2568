// What the tests of spiffe/ share: a moment, trust domains with keys, and their bundles as documents.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/check.h"
#include "crypto/crypto_test_world.h"
#include "crypto/jose_test_world.h"
#include "spiffe/bundle.h"

namespace wary::spiffe {

using crypto::code_of_result;
using crypto::JoseKeyType;
using crypto::kNow;

constexpr std::int64_t kNowSeconds = kNow.nanos / kNanosPerSecond;

// A key for each name that a table says; the types repeat, the keys do not.
inline const crypto::SigningKey& world_key(const std::string& name) {
  static const std::map<std::string, JoseKeyType> types = {{"ec384", JoseKeyType::kP384},
                                                           {"ec521", JoseKeyType::kP521},
                                                           {"rsa", JoseKeyType::kRsa},
                                                           {"ed", JoseKeyType::kEd25519}};
  static std::map<std::string, crypto::SigningKey> made;
  if (const auto at = made.find(name); at != made.end()) return at->second;
  const auto type = types.find(name);
  auto key = crypto::SigningKey::generate(type == types.end() ? JoseKeyType::kP256 : type->second);
  WARY_CHECK(key.ok());
  return made.emplace(name, std::move(key).value()).first->second;
}

inline codec::Json entry_of(const std::string& name, std::string use = "jwt-svid") {
  return crypto::to_json({world_key(name).public_key(), name, std::move(use), {}, {}});
}

inline std::string document(std::vector<codec::Json> entries) {
  return codec::Json::object({{"keys", codec::Json::array(std::move(entries))}}).to_string();
}

inline Bundle bundle_of(std::string trust_domain, std::vector<Bytes> x509_authorities = {}) {
  Bundle bundle;
  bundle.trust_domain = std::move(trust_domain);
  bundle.x509_authorities = std::move(x509_authorities);
  return bundle;
}

inline void put_document(BundleSet& set, std::string_view trust_domain, const std::string& text) {
  auto bundle = parse_bundle(trust_domain, text);
  WARY_CHECK(bundle.ok());
  WARY_CHECK(set.put(std::move(bundle).value()).ok());
}

// The trust domains of tests/spiffe/jwt_svid.txt.
inline BundleSet world_bundles() {
  BundleSet set;
  codec::Json unused = entry_of("no-use", "");
  put_document(
      set, "example.org",
      document({entry_of("for-x509", "x509-svid"), unused, codec::Json::object({{"kty", "new"}, {"use", "jwt-svid"}}),
                entry_of("ec384"), entry_of("ec"), entry_of("ec521"), entry_of("rsa"), entry_of("ed")}));
  for (const char* domain : {"other.example", "t_1.9-x", "10.0.0.1"}) {
    put_document(set, domain, document({entry_of("other")}));
  }
  put_document(set, "empty.example", document({}));
  return set;
}

}  // namespace wary::spiffe
