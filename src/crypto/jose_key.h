// Keys for JOSE signatures (RFC 7518 section 3, RFC 8037): what other people's tokens are verified with, and what ours
// are signed with. A key fits the algorithms of its type and no other; the caller names the algorithm.
//
//   WARY_ASSIGN_OR_RETURN(auto key, crypto::VerifyKey::from_rsa(n, e));
//   bool good = key.verify(crypto::SignatureAlgorithm::kRs256, message, signature);
//
//   type      algorithms                 type      algorithms
//   EC P-256  ES256                      RSA       RS256 RS384 RS512 PS256 PS384 PS512
//   EC P-384  ES384                      Ed25519   EdDSA
//   EC P-521  ES512
//
// wary's own keys are sign.h's; these are for documents that travel (JWT-SVIDs, tokens of other issuers). `none` and
// HMAC are no values of SignatureAlgorithm. Immutable; any thread. A VerifyKey is cheap to copy; a SigningKey moves
// only. Limits: RSA moduli of 2048 to 8192 bits, odd exponents of 3 to 2^32 - 1; 16 KiB a document.
// Errors: jose_key_syntax, jose_key_type (another algorithm or curve), jose_key_rsa (modulus or exponent), key_failed.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"

namespace wary::crypto {

enum class SignatureAlgorithm { kRs256, kRs384, kRs512, kPs256, kPs384, kPs512, kEs256, kEs384, kEs512, kEdDsa };

std::string_view to_string(SignatureAlgorithm algorithm);  // "RS256"
std::optional<SignatureAlgorithm> signature_algorithm_of(std::string_view name);

enum class JoseKeyType { kP256, kP384, kP521, kRsa, kEd25519 };

// What is inside stays in crypto/.
struct VerifyKeyMaterial;
struct SigningKeyMaterial;

class VerifyKey {
 public:
  // DER SubjectPublicKeyInfo in its one canonical form: named curves, uncompressed points, nothing after it.
  static Result<VerifyKey> decode_spki(ByteView der);
  // Coordinates of the full width of the curve (32, 48 or 66 bytes), big-endian; a point of the curve.
  static Result<VerifyKey> from_point(JoseKeyType type, ByteView x, ByteView y);
  // Big-endian, no leading zero bytes.
  static Result<VerifyKey> from_rsa(ByteView modulus, ByteView exponent);
  static Result<VerifyKey> from_ed25519(ByteView raw);

  JoseKeyType type() const;
  bool fits(SignatureAlgorithm algorithm) const;
  Bytes to_spki() const;
  // x, modulus or the raw key; and y, exponent or nothing.
  ByteView first_part() const;
  ByteView second_part() const;

  // ECDSA signatures are r || s of the curve's width (RFC 7518 section 3.4). False for an algorithm that does not fit
  // and for a malformed signature.
  bool verify(SignatureAlgorithm algorithm, ByteView message, ByteView signature) const;
  // The same with ECDSA signatures in DER, as in X.509 and WebAuthn.
  bool verify_der(SignatureAlgorithm algorithm, ByteView message, ByteView signature) const;
  // PS256 with a salt of any length: a TPM takes the longest that fits, JOSE wants the digest's.
  bool verify_pss_of_any_salt(ByteView message, ByteView signature) const;

 private:
  explicit VerifyKey(std::shared_ptr<const VerifyKeyMaterial> material) : material_(std::move(material)) {}
  std::shared_ptr<const VerifyKeyMaterial> material_;  // shared: immutable, and copied with the set it stands in
};

class SigningKey {
 public:
  static Result<SigningKey> generate(JoseKeyType type);  // RSA: 2048 bits
  static Result<SigningKey> from_pkcs8(ByteView der);    // unencrypted PKCS#8 (RFC 5958)
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;
  ~SigningKey();

  const VerifyKey& public_key() const;
  Result<Secret> to_pkcs8() const;
  // In JOSE form. Error: jose_key_type where the algorithm does not fit.
  Result<Bytes> sign(SignatureAlgorithm algorithm, ByteView message) const;

 private:
  explicit SigningKey(std::unique_ptr<const SigningKeyMaterial> material);
  std::unique_ptr<const SigningKeyMaterial> material_;
};

}  // namespace wary::crypto
