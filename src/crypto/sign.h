// Signing keys: Ed25519 (RFC 8032) and ECDSA P-256 with SHA-256 (FIPS 186-4).
//
//   WARY_ASSIGN_OR_RETURN(auto key, crypto::PrivateKey::generate(crypto::KeyType::kEd25519));
//   WARY_ASSIGN_OR_RETURN(Bytes signature, key.sign(message));
//   bool good = key.public_key().verify(message, signature);
//
// Immutable after construction; any thread. A PublicKey is cheap to copy; a PrivateKey moves only.
// Errors: key_syntax, key_type_unsupported, key_failed.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"

namespace wary::crypto {

enum class KeyType { kEd25519, kEcdsaP256 };

// What is inside stays in crypto/: an EVP_PKEY.
struct KeyMaterial;

class PublicKey {
 public:
  // DER SubjectPublicKeyInfo (RFC 5280 section 4.1). Trailing bytes and other algorithms are refused.
  static Result<PublicKey> decode_spki(ByteView der);
  // Ed25519: 32 bytes. P-256: 65 bytes, 04 || x || y, a point of the curve.
  static Result<PublicKey> from_raw(KeyType type, ByteView raw);
  KeyType type() const;
  Bytes to_spki() const;
  Bytes raw() const;
  // Ed25519: 64 bytes. ECDSA: DER, as in X.509. False for a malformed signature too.
  bool verify(ByteView message, ByteView signature) const;

 private:
  friend class PrivateKey;
  explicit PublicKey(std::shared_ptr<const KeyMaterial> material) : material_(std::move(material)) {}
  std::shared_ptr<const KeyMaterial> material_;  // shared: immutable, and copied into every verifier
};

class PrivateKey {
 public:
  static Result<PrivateKey> generate(KeyType type);
  static Result<PrivateKey> from_pkcs8(ByteView der);  // unencrypted PKCS#8 (RFC 5958)
  PrivateKey(PrivateKey&&) noexcept = default;
  PrivateKey& operator=(PrivateKey&&) noexcept = default;
  PrivateKey(const PrivateKey&) = delete;
  PrivateKey& operator=(const PrivateKey&) = delete;

  KeyType type() const;
  Result<Secret> to_pkcs8() const;
  PublicKey public_key() const;
  Result<Bytes> sign(ByteView message) const;
  const KeyMaterial& material() const { return *material_; }

 private:
  explicit PrivateKey(std::shared_ptr<const KeyMaterial> material) : material_(std::move(material)) {}
  std::shared_ptr<const KeyMaterial> material_;
};

// ECDSA signatures between DER and r || s of JOSE (RFC 7518 section 3.4), each as wide as the curve.
Result<Bytes> ecdsa_to_raw(ByteView der, std::size_t width = 32);
Result<Bytes> ecdsa_to_der(ByteView raw, std::size_t width = 32);

}  // namespace wary::crypto
