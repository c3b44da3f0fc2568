#include "crypto/envelope.h"

#include <openssl/rsa.h>

#include <array>

#include "crypto/handles.h"

namespace wary::crypto {

namespace {

constexpr std::size_t kEnvelopeMax = 64 * 1024;
constexpr std::size_t kEnvelopeWidth = 32;
constexpr std::size_t kCfbKeySize = 16;

Error envelope_failed(std::string_view what) { return openssl_error(ErrorKind::kInternal, "envelope_failed", what); }

Result<KeyHandle> key_to(const VerifyKey& to, JoseKeyType type) {
  if (to.type() != type) return fail(ErrorKind::kInvalid, "jose_key_type", "nothing is sent to a key of that kind");
  const Bytes spki = to.to_spki();
  const std::uint8_t* at = spki.data();
  KeyHandle key(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (!key) return envelope_failed("the key cannot be used");
  return key;
}

}  // namespace

Result<Bytes> oaep_encrypt(const VerifyKey& to, ByteView message, ByteView label) {
  WARY_ASSIGN_OR_RETURN(const KeyHandle key, key_to(to, JoseKeyType::kRsa));
  const KeyContextHandle context(EVP_PKEY_CTX_new(key.get(), nullptr));
  if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), EVP_sha256()) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), EVP_sha256()) != 1) {
    return envelope_failed("OAEP is not there");
  }
  if (!label.empty()) {
    void* copy = OPENSSL_memdup(label.data(), label.size());
    // The context owns the copy once it took it.
    if (copy == nullptr || EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), copy, static_cast<int>(label.size())) != 1) {
      OPENSSL_free(copy);
      return envelope_failed("the label was not taken");
    }
  }
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(key.get()));
  Bytes out(size);
  if (EVP_PKEY_encrypt(context.get(), out.data(), &size, message.data(), message.size()) != 1) {
    return envelope_failed("the message was not encrypted");
  }
  out.resize(size);
  return out;
}

Result<EphemeralShare> share_with(const VerifyKey& to) {
  WARY_ASSIGN_OR_RETURN(const KeyHandle peer, key_to(to, JoseKeyType::kP256));
  const KeyHandle own(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  if (!own) return envelope_failed("no key was generated");
  const KeyContextHandle context(EVP_PKEY_CTX_new(own.get(), nullptr));
  EphemeralShare out{.x = {}, .y = {}, .shared = Secret(kEnvelopeWidth)};
  std::size_t size = kEnvelopeWidth;
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), out.shared.reveal_mutable().data(), &size) != 1 || size != kEnvelopeWidth) {
    return envelope_failed("no secret was shared");
  }
  std::array<std::uint8_t, 1 + 2 * kEnvelopeWidth> point{};
  std::uint8_t* at = nullptr;
  const std::size_t written = EVP_PKEY_get1_encoded_public_key(own.get(), &at);
  WARY_CHECK(written == point.size() && at[0] == 4);
  std::copy(at, at + written, point.begin());
  OPENSSL_free(at);
  out.x.assign(point.begin() + 1, point.begin() + 1 + kEnvelopeWidth);
  out.y.assign(point.begin() + 1 + kEnvelopeWidth, point.end());
  return out;
}

Result<Bytes> aes128_cfb_encrypt(ByteView key, ByteView message) {
  WARY_CHECK(key.size() == kCfbKeySize && message.size() <= kEnvelopeMax);
  const std::array<std::uint8_t, 16> zero{};
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  Bytes out(message.size());
  int n = 0;
  if (!context || EVP_EncryptInit_ex(context.get(), EVP_aes_128_cfb128(), nullptr, key.data(), zero.data()) != 1 ||
      EVP_EncryptUpdate(context.get(), out.data(), &n, message.data(), static_cast<int>(message.size())) != 1 ||
      static_cast<std::size_t>(n) != message.size()) {
    return envelope_failed("the cipher failed");
  }
  return out;
}

}  // namespace wary::crypto
