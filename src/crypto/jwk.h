// JSON Web Keys and sets of them (RFC 7517, 7518 section 6, 8037), public ones only, and their thumbprints (RFC 7638).
//
//   WARY_ASSIGN_OR_RETURN(crypto::JwkSet set, crypto::parse_jwk_set(text));
//   for (const crypto::Jwk& key : set.keys) ... key.kid, key.key.verify(...)
//   std::string text = crypto::to_json(jwk).to_string();
//
// A set gives the keys that can be used; one of an unknown type, or broken, is left out and named in `left_out`, as
// RFC 7517 section 5 asks for. Numbers have one spelling: base64url without padding, coordinates as wide as the curve,
// RSA numbers without leading zeros. Values; any thread. Limits: 64 KiB a key and 1 MiB a set unless told otherwise,
// 256 keys a set, 512 bytes a text. Errors: those of codec/json.h; jwk_syntax; jwk_type (kty or crv unknown);
// jwk_private (the document holds a private or symmetric key: it was sent to the wrong place); of jose_key.h those for
// a key. jwk_set_size; jwk_kid_repeated (two keys of one name: which is meant, differs between readers).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "codec/json.h"
#include "crypto/jose_key.h"

namespace wary::crypto {

constexpr std::size_t kJwkSetMax = 256;
constexpr std::size_t kJwkTextMax = 512;
constexpr Limits kJwkLimits{.bytes = 64 * 1024, .depth = 8, .items = 64, .total = 1000};
constexpr Limits kJwkSetLimits{.bytes = std::size_t{1} << 20, .depth = 8, .items = kJwkSetMax, .total = 20'000};

struct Jwk {
  VerifyKey key;
  std::string kid;                                     // empty: none
  std::string use;                                     // empty: none
  std::optional<std::string> algorithm;                // `alg`: then the key is for that one alone
  std::optional<std::vector<std::string>> operations;  // `key_ops`

  // The key's type allows the algorithm, and so do `alg`, and `key_ops` ("verify").
  bool may_verify(SignatureAlgorithm algorithm) const;
};

struct LeftOut {
  std::size_t index = 0;  // in `keys`
  Error error;
};

struct JwkSet {
  std::vector<Jwk> keys;
  std::vector<LeftOut> left_out;
};

Result<Jwk> parse_jwk(std::string_view text, const Limits& limits = kJwkLimits);
Result<Jwk> jwk_from_json(const codec::Json& json);
Result<JwkSet> parse_jwk_set(std::string_view text, const Limits& limits = kJwkSetLimits);
Result<JwkSet> jwk_set_from_json(const codec::Json& json);

// Members in the order kty, crv, x, y, n, e, then what is known of kid, use, alg, key_ops.
codec::Json to_json(const Jwk& key);
// base64url of SHA-256 over the required members; what wary calls a key by default.
std::string thumbprint(const VerifyKey& key);

}  // namespace wary::crypto
