// P-256 as often as a certificate authority needs it: contexts are kept and methods fetched once, so that a signature
// costs little more than its arithmetic.
//
//   WARY_ASSIGN_OR_RETURN(crypto::P256Signer signer, crypto::P256Signer::of(key));
//   WARY_ASSIGN_OR_RETURN(Bytes signature, signer.sign(message));            // ECDSA with SHA-256, DER
//   bool good = verifier.verify(point, message, signature) == crypto::P256Verifier::Outcome::kGood;
//
// An object belongs to one thread at a time. Errors: key_type_unsupported, key_failed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/sign.h"

namespace wary::crypto {

// SubjectPublicKeyInfo up to the point: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING }. 65 bytes
// follow, 04 || x || y.
inline constexpr std::array<std::uint8_t, 26> kP256SpkiPrefix = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                                                 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                                                 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
inline constexpr std::size_t kP256SpkiSize = kP256SpkiPrefix.size() + 65;

class P256Signer {
 public:
  static Result<P256Signer> of(const PrivateKey& key);
  P256Signer(P256Signer&&) noexcept;
  P256Signer& operator=(P256Signer&&) noexcept;
  ~P256Signer();
  Result<Bytes> sign(ByteView message);

 private:
  struct State;
  explicit P256Signer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class P256Verifier {
 public:
  enum class Outcome { kGood, kNoPoint, kBadSignature };
  P256Verifier();
  P256Verifier(P256Verifier&&) noexcept;
  P256Verifier& operator=(P256Verifier&&) noexcept;
  ~P256Verifier();
  // `point`: 04 || x || y; kNoPoint unless it lies on the curve.
  Outcome verify(ByteView point, ByteView message, ByteView signature);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace wary::crypto
