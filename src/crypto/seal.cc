#include "crypto/seal.h"

#include <algorithm>

#include "crypto/handles.h"
#include "crypto/hash.h"

namespace wary::crypto {

namespace {

constexpr std::string_view kSealMagic{"WSEA\x01", 5};
constexpr std::string_view kKeyMagic{"WSEK\x01", 5};
constexpr std::size_t kKeySize = 32;
constexpr std::size_t kNonceSize = 12;
constexpr std::size_t kTagSize = 16;
constexpr std::size_t kCheckSize = 4;
constexpr std::size_t kOverhead = kSealMagic.size() + kNonceSize + kTagSize;
constexpr std::size_t kPlaintextMax = std::size_t{1} << 20;

Error seal_syntax(std::string_view what) { return fail(ErrorKind::kInvalid, "seal_syntax", what); }
Error seal_failed() { return openssl_error(ErrorKind::kInternal, "seal_failed", "the cipher failed"); }

int as_int(std::size_t size) { return static_cast<int>(size); }  // sizes here are below kPlaintextMax plus a little

}  // namespace

SealKey SealKey::generate(Random& random) {
  Secret key(kKeySize);
  random.fill(key.reveal_mutable());
  return SealKey(std::move(key));
}

Secret SealKey::to_key_file() const {
  Secret file(kKeyMagic.size() + kKeySize + kCheckSize);
  auto out = file.reveal_mutable();
  std::ranges::copy(as_bytes(kKeyMagic), out.begin());
  std::ranges::copy(key_.reveal(), out.begin() + kKeyMagic.size());
  const Digest digest = sha256(file.reveal().first(kKeyMagic.size() + kKeySize));
  std::copy_n(digest.begin(), kCheckSize, out.end() - kCheckSize);
  return file;
}

Result<SealKey> SealKey::decode_key_file(ByteView bytes) {
  if (bytes.size() != kKeyMagic.size() + kKeySize + kCheckSize || !as_text(bytes).starts_with(kKeyMagic)) {
    return seal_syntax("this is no sealing key of version 1");
  }
  const Digest digest = sha256(bytes.first(kKeyMagic.size() + kKeySize));
  if (!equals_in_constant_time(ByteView(digest).first(kCheckSize), bytes.last(kCheckSize))) {
    return fail(ErrorKind::kDataLoss, "seal_broken", "the sealing key file was altered")
        .next("restore seal.key from its backup: without it the sealed keys are lost");
  }
  return SealKey(Secret::copy_of(bytes.subspan(kKeyMagic.size(), kKeySize)));
}

Result<Bytes> seal(const SealKey& key, std::string_view name, ByteView plaintext, Random& random) {
  if (plaintext.size() > kPlaintextMax || name.size() > kPlaintextMax) return seal_syntax("too long to seal");
  Bytes sealed = to_bytes(kSealMagic);
  sealed.resize(kOverhead + plaintext.size());
  const std::span<std::uint8_t> nonce = std::span(sealed).subspan(kSealMagic.size(), kNonceSize);
  random.fill(nonce);
  std::uint8_t* out = sealed.data() + kSealMagic.size() + kNonceSize;
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  int n = 0;
  if (!context ||
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.reveal().data(), nonce.data()) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &n, sealed.data(), as_int(kSealMagic.size())) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &n, as_bytes(name).data(), as_int(name.size())) != 1 ||
      EVP_EncryptUpdate(context.get(), out, &n, plaintext.data(), as_int(plaintext.size())) != 1 ||
      EVP_EncryptFinal_ex(context.get(), out + n, &n) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, out + plaintext.size()) != 1) {
    return seal_failed();
  }
  return sealed;
}

Result<Secret> unseal(const SealKey& key, std::string_view name, ByteView sealed) {
  if (sealed.size() < kOverhead || sealed.size() > kOverhead + kPlaintextMax || name.size() > kPlaintextMax ||
      !as_text(sealed).starts_with(kSealMagic)) {
    return seal_syntax("these are no sealed bytes of version 1");
  }
  const ByteView nonce = sealed.subspan(kSealMagic.size(), kNonceSize);
  const ByteView body = sealed.subspan(kSealMagic.size() + kNonceSize, sealed.size() - kOverhead);
  Bytes tag(sealed.end() - kTagSize, sealed.end());
  Secret plaintext(body.size());
  std::uint8_t nothing = 0;
  std::uint8_t* out = plaintext.empty() ? &nothing : plaintext.reveal_mutable().data();
  const CipherContextHandle context(EVP_CIPHER_CTX_new());
  int n = 0;
  if (!context ||
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.reveal().data(), nonce.data()) != 1 ||
      EVP_DecryptUpdate(context.get(), nullptr, &n, sealed.data(), as_int(kSealMagic.size())) != 1 ||
      EVP_DecryptUpdate(context.get(), nullptr, &n, as_bytes(name).data(), as_int(name.size())) != 1 ||
      EVP_DecryptUpdate(context.get(), out, &n, body.data(), as_int(body.size())) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagSize, tag.data()) != 1) {
    return seal_failed();
  }
  if (EVP_DecryptFinal_ex(context.get(), out + n, &n) != 1) {
    ERR_clear_error();
    return fail(ErrorKind::kDataLoss, "seal_broken", "the sealed bytes were altered, or belong to another name or key")
        .at(std::string(name));
  }
  return plaintext;
}

}  // namespace wary::crypto
