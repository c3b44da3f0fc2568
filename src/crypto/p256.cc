#include "crypto/p256.h"

#include "crypto/hash.h"
#include "crypto/key_material.h"

namespace wary::crypto {

namespace {

constexpr std::size_t kPointSize = 65;
constexpr std::size_t kSignatureMax = 72;

// A key whose public half is replaced at every use: what a new one costs is paid once.
KeyHandle make_replaceable_key() {
  KeyHandle key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  WARY_CHECK(key != nullptr);
  // Without its private half, which has no use here.
  const int size = i2d_PUBKEY(key.get(), nullptr);
  WARY_CHECK(size == static_cast<int>(kP256SpkiSize));
  Bytes der(kP256SpkiSize);
  std::uint8_t* out = der.data();
  WARY_CHECK(i2d_PUBKEY(key.get(), &out) == size);
  const std::uint8_t* at = der.data();
  KeyHandle shown(d2i_PUBKEY(nullptr, &at, size));
  WARY_CHECK(shown != nullptr);
  return shown;
}

}  // namespace

struct P256Signer::State {
  KeyContextHandle context;
};

P256Signer::P256Signer(std::unique_ptr<State> state) : state_(std::move(state)) {}
P256Signer::P256Signer(P256Signer&&) noexcept = default;
P256Signer& P256Signer::operator=(P256Signer&&) noexcept = default;
P256Signer::~P256Signer() = default;

Result<P256Signer> P256Signer::of(const PrivateKey& key) {
  if (key.type() != KeyType::kEcdsaP256) {
    return fail(ErrorKind::kUnsupported, "key_type_unsupported", "the key is of another algorithm")
        .expected("ECDSA P-256");
  }
  auto state = std::make_unique<State>();
  state->context.reset(EVP_PKEY_CTX_new(key.material().key.get(), nullptr));
  if (!state->context || EVP_PKEY_sign_init(state->context.get()) != 1) {
    return openssl_error(ErrorKind::kInternal, "key_failed", "the key does not sign");
  }
  return P256Signer(std::move(state));
}

Result<Bytes> P256Signer::sign(ByteView message) {
  const Digest digest = sha256(message);
  std::size_t size = kSignatureMax;
  Bytes signature(size);
  if (EVP_PKEY_sign(state_->context.get(), signature.data(), &size, digest.data(), digest.size()) != 1) {
    return openssl_error(ErrorKind::kInternal, "key_failed", "the message was not signed");
  }
  signature.resize(size);
  return signature;
}

struct P256Verifier::State {
  KeyHandle key = make_replaceable_key();
  KeyContextHandle context{EVP_PKEY_CTX_new(key.get(), nullptr)};
};

P256Verifier::P256Verifier() : state_(std::make_unique<State>()) { WARY_CHECK(state_->context != nullptr); }
P256Verifier::P256Verifier(P256Verifier&&) noexcept = default;
P256Verifier& P256Verifier::operator=(P256Verifier&&) noexcept = default;
P256Verifier::~P256Verifier() = default;

P256Verifier::Outcome P256Verifier::verify(ByteView point, ByteView message, ByteView signature) {
  if (point.size() != kPointSize || point[0] != 4) return Outcome::kNoPoint;
  // Decodes the point and checks that it lies on the curve; after a failure the old point stays.
  if (EVP_PKEY_set1_encoded_public_key(state_->key.get(), point.data(), point.size()) != 1) {
    ERR_clear_error();
    return Outcome::kNoPoint;
  }
  const Digest digest = sha256(message);
  const bool good =
      EVP_PKEY_verify_init(state_->context.get()) == 1 &&
      EVP_PKEY_verify(state_->context.get(), signature.data(), signature.size(), digest.data(), digest.size()) == 1;
  ERR_clear_error();
  return good ? Outcome::kGood : Outcome::kBadSignature;
}

}  // namespace wary::crypto
