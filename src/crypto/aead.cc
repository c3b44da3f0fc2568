#include "crypto/aead.h"

#include "crypto/handles.h"

namespace wary::crypto {

namespace {

Error gcm_failed() { return openssl_error(ErrorKind::kInternal, "seal_failed", "the cipher failed"); }
int gcm_int(std::size_t size) { return static_cast<int>(size); }

}  // namespace

Status gcm_seal(ByteView key, ByteView nonce, AdditionalData additional, ByteView plaintext,
                std::span<std::uint8_t> out) {
  WARY_CHECK(key.size() == kGcmKeySize && nonce.size() == kGcmNonceSize);
  WARY_CHECK(out.size() == plaintext.size() + kGcmTagSize);
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  if (!context || EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) != 1) {
    return gcm_failed();
  }
  int n = 0;
  for (const ByteView piece : additional) {
    if (!piece.empty() && EVP_EncryptUpdate(context.get(), nullptr, &n, piece.data(), gcm_int(piece.size())) != 1)
      return gcm_failed();
  }
  if (EVP_EncryptUpdate(context.get(), out.data(), &n, plaintext.data(), gcm_int(plaintext.size())) != 1 ||
      EVP_EncryptFinal_ex(context.get(), out.data() + n, &n) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kGcmTagSize, out.data() + plaintext.size()) != 1) {
    return gcm_failed();
  }
  return {};
}

Status gcm_open(ByteView key, ByteView nonce, AdditionalData additional, ByteView sealed, std::span<std::uint8_t> out) {
  WARY_CHECK(key.size() == kGcmKeySize && nonce.size() == kGcmNonceSize);
  WARY_CHECK(sealed.size() == out.size() + kGcmTagSize);
  Bytes tag(sealed.end() - kGcmTagSize, sealed.end());
  std::uint8_t nothing = 0;
  std::uint8_t* at = out.empty() ? &nothing : out.data();
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  if (!context || EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) != 1) {
    return gcm_failed();
  }
  int n = 0;
  for (const ByteView piece : additional) {
    if (!piece.empty() && EVP_DecryptUpdate(context.get(), nullptr, &n, piece.data(), gcm_int(piece.size())) != 1)
      return gcm_failed();
  }
  if (EVP_DecryptUpdate(context.get(), at, &n, sealed.data(), gcm_int(out.size())) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kGcmTagSize, tag.data()) != 1) {
    return gcm_failed();
  }
  if (EVP_DecryptFinal_ex(context.get(), at + n, &n) != 1) {
    ERR_clear_error();
    return fail(ErrorKind::kDataLoss, "seal_broken", "the sealed bytes were altered, or belong to another name or key");
  }
  return {};
}

}  // namespace wary::crypto
