#include "crypto/seal.h"

#include <algorithm>

#include "crypto/aead.h"
#include "crypto/hash.h"

namespace wary::crypto {

namespace {

constexpr std::string_view kSealMagic{"WSEA\x01", 5};
constexpr std::string_view kKeyMagic{"WSEK\x01", 5};
constexpr std::size_t kKeySize = kGcmKeySize;
constexpr std::size_t kCheckSize = 4;
constexpr std::size_t kOverhead = kSealMagic.size() + kGcmNonceSize + kGcmTagSize;
constexpr std::size_t kPlaintextMax = std::size_t{1} << 20;

Error seal_syntax(std::string_view what) { return fail(ErrorKind::kInvalid, "seal_syntax", what); }

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
  const std::span<std::uint8_t> nonce = std::span(sealed).subspan(kSealMagic.size(), kGcmNonceSize);
  random.fill(nonce);
  WARY_RETURN_IF_ERROR(gcm_seal(key.reveal(), nonce, {as_bytes(kSealMagic), as_bytes(name)}, plaintext,
                                std::span(sealed).subspan(kSealMagic.size() + kGcmNonceSize)));
  return sealed;
}

Result<Secret> unseal(const SealKey& key, std::string_view name, ByteView sealed) {
  if (sealed.size() < kOverhead || sealed.size() > kOverhead + kPlaintextMax || name.size() > kPlaintextMax ||
      !as_text(sealed).starts_with(kSealMagic)) {
    return seal_syntax("these are no sealed bytes of version 1");
  }
  const ByteView nonce = sealed.subspan(kSealMagic.size(), kGcmNonceSize);
  Secret plaintext(sealed.size() - kOverhead);  // wiped when it goes, also when the tag is wrong
  Status opened = gcm_open(key.reveal(), nonce, {as_bytes(kSealMagic), as_bytes(name)},
                           sealed.subspan(kSealMagic.size() + kGcmNonceSize), plaintext.reveal_mutable());
  if (!opened.ok()) return std::move(opened).error().at(std::string(name));
  return plaintext;
}

}  // namespace wary::crypto
