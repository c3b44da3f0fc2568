// JSON Web Signatures, compact form (RFC 7515): header.payload.signature, each base64url without padding.
//
//   WARY_ASSIGN_OR_RETURN(crypto::Jws jws, crypto::parse_jws(token));      // nothing is verified yet
//   WARY_RETURN_IF_ERROR(crypto::verify_jws(jws, keys, {{crypto::SignatureAlgorithm::kEs256}}));
//   ... jws.payload ...
//   std::string token = *crypto::make_jws({kEs256, "key-1", "JWT"}, payload, signer);
//
// The caller says which algorithms it accepts, and each key is bound to those of its type: the header only has to
// agree. A token that brings its key or says where to get it (jwk, jku, x5c, x5u), that changes how it is read (crit,
// b64), or that has no signature or one by a shared secret (none, HS*) is refused; so are repeated members and a second
// spelling of base64url. `kid` narrows the keys; without one every key that fits is tried, at most 16. Values; any
// thread. Limits: 16 KiB a token, 4 KiB its header with 32 members, 512 bytes a kid. Errors: jws_size, jws_syntax
// (parts and base64url), jws_header (no JSON object of the form, or a repeated member), jws_algorithm_unknown,
// jws_header_refused; of verify_jws: jws_algorithm_refused (not one the caller accepts), jws_kid_unknown,
// jws_key_mismatch (no key is for that algorithm), jws_keys_many, jws_signature. JSON serialization is jws_syntax.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"
#include "crypto/jose_key.h"
#include "crypto/jwk.h"

namespace wary::crypto {

constexpr std::size_t kJwsKeysTried = 16;

struct JwsHeader {
  SignatureAlgorithm algorithm;
  std::optional<std::string> kid;
  std::optional<std::string> typ;
  std::vector<std::string> others;  // names of the members beside alg, kid and typ: they mean nothing here
};

struct Jws {
  JwsHeader header;
  Bytes payload;
  std::string signing_input;  // header.payload as they came
  Bytes signature;
};

Result<Jws> parse_jws(std::string_view token, std::size_t bytes_max = limits::kTokenBytes);

// A JWS that has to bring its own key, as a DPoP proof does (RFC 9449 section 4.2): whoever made it has that key, and
// nothing else is said by it. The header has no kid then. Errors besides those of parse_jws: jws_header (no `jwk`), and
// of jwk.h those of a key (jwk_private: it brought the secret).
struct JwsWithKey {
  Jws jws;
  Jwk key;
};
Result<JwsWithKey> parse_jws_with_key(std::string_view token, std::size_t bytes_max = limits::kTokenBytes);

// The index of the key that made the signature. Keys whose `use` is "enc" are none; the caller has chosen the others.
Result<std::size_t> verify_jws(const Jws& jws, std::span<const Jwk> keys, std::span<const SignatureAlgorithm> accepted);

// Signs in the form of jose_key.h. Whoever holds the key gives this: a SigningKey here, another process there.
using SignJws = std::function<Result<Bytes>(SignatureAlgorithm algorithm, ByteView signing_input)>;
struct JwsMaking {
  SignatureAlgorithm algorithm;
  std::string kid;  // empty: none
  std::string typ;  // empty: none
};
Result<std::string> make_jws(const JwsMaking& making, ByteView payload, const SignJws& sign);

}  // namespace wary::crypto
