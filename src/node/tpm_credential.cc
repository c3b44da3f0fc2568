// make_credential: TPM 2.0 library, part 1, sections 11.4.10 (key derivation), 24 (credentials), B.10.4 and C.6.1 (how
// the seed is sent).
#include <string>
#include <string_view>

#include "crypto/envelope.h"
#include "crypto/hash.h"
#include "node/tpm_evidence.h"

namespace wary::node {

namespace {

constexpr std::size_t kSeedSize = 32;  // of the endorsement key's name: SHA-256
constexpr std::size_t kSecretMin = 16;
constexpr std::size_t kSecretMax = 32;
constexpr std::uint32_t kCipherBits = 128;
constexpr std::uint32_t kHashBits = 256;
constexpr std::string_view kIdentityLabel("IDENTITY\0", 9);  // the TPM's labels end with their zero byte
constexpr std::string_view kStorageLabel("STORAGE\0", 8);
constexpr std::string_view kIntegrityLabel("INTEGRITY\0", 10);

Secret take_digest(crypto::Digest digest, std::size_t size) {
  Secret out = Secret::copy_of(ByteView(digest).first(size));
  wipe(digest.data(), digest.size());
  return out;
}

// KDFa with SHA-256, at most one block: NIST SP 800-108 in counter mode.
Secret derive(ByteView key, std::string_view label, ByteView context, std::uint32_t bits) {
  Bytes message;
  append_big_endian(message, std::uint32_t{1});
  append(message, as_bytes(label));
  append(message, context);
  append_big_endian(message, bits);
  return take_digest(crypto::hmac_sha256(key, message), bits / 8);
}

// KDFe with SHA-256, one block: NIST SP 800-56A's concatenation of the shared secret and both sides' x.
Secret derive_shared(ByteView shared, std::string_view label, ByteView own_x, ByteView their_x) {
  crypto::Sha256 hash;
  Bytes counter;
  append_big_endian(counter, std::uint32_t{1});
  hash.update(counter);
  hash.update(shared);
  hash.update(as_bytes(label));
  hash.update(own_x);
  hash.update(their_x);
  return take_digest(hash.finish(), kSeedSize);
}

void add_sized(Bytes& out, ByteView bytes) {
  append_big_endian(out, static_cast<std::uint16_t>(bytes.size()));
  append(out, bytes);
}

struct SentSeed {
  Secret seed;
  Bytes encrypted;  // what stands in TPM2B_ENCRYPTED_SECRET
};

Result<SentSeed> send_seed(const EndorsementKey& ek, Random& random) {
  if (ek.key.type() == crypto::JoseKeyType::kRsa) {
    Secret seed(kSeedSize);
    random.fill(seed.reveal_mutable());
    WARY_ASSIGN_OR_RETURN(Bytes encrypted, crypto::oaep_encrypt(ek.key, seed.reveal(), as_bytes(kIdentityLabel)));
    return SentSeed{std::move(seed), std::move(encrypted)};
  }
  WARY_ASSIGN_OR_RETURN(const crypto::EphemeralShare share, crypto::share_with(ek.key));
  Bytes point;
  add_sized(point, share.x);
  add_sized(point, share.y);
  return SentSeed{derive_shared(share.shared.reveal(), kIdentityLabel, share.x, ek.key.first_part()), std::move(point)};
}

}  // namespace

Result<Credential> make_credential(const EndorsementKey& ek, const AttestationKey& ak, const Secret& secret,
                                   Random& random) {
  if (secret.size() < kSecretMin || secret.size() > kSecretMax) {
    return fail(ErrorKind::kInvalid, "tpm_secret_size", "a credential's secret has 16 to 32 bytes")
        .found(std::to_string(secret.size()));
  }
  WARY_ASSIGN_OR_RETURN(const SentSeed sent, send_seed(ek, random));
  const Secret cipher_key = derive(sent.seed.reveal(), kStorageLabel, ak.name, kCipherBits);
  const Secret hash_key = derive(sent.seed.reveal(), kIntegrityLabel, {}, kHashBits);
  Bytes sized;
  add_sized(sized, secret.reveal());
  const auto identity = crypto::aes128_cfb_encrypt(cipher_key.reveal(), sized);
  wipe(sized.data(), sized.size());
  if (!identity) return identity.error();
  Bytes hashed = *identity;
  append(hashed, ak.name);
  Bytes content;
  add_sized(content, crypto::hmac_sha256(hash_key.reveal(), hashed));
  append(content, *identity);
  Credential out;
  add_sized(out.blob, content);
  add_sized(out.encrypted_secret, sent.encrypted);
  return out;
}

}  // namespace wary::node
