// Sealed bytes: what lies on a disk only as ciphertext, bound to its name (AES-256-GCM).
//
//   crypto::SealKey key = crypto::SealKey::generate(random);      // kept in the file seal.key, mode 0600, root only
//   Bytes sealed = crypto::seal(key, "ca.key", pkcs8.reveal(), random);
//   WARY_ASSIGN_OR_RETURN(Secret pkcs8, crypto::unseal(key, "ca.key", sealed));
//
// This is a software seal: it keeps a stolen disk image of the sealed files, or a backup of them, from giving the keys
// away as long as seal.key is not part of it. Root of the running machine can unseal. A TPM or HSM takes the key's
// place.
//
// Sealed format, version 1: "WSEA" | u8 version=1 | nonce[12] | ciphertext | tag[16]. Additional data: the first five
// bytes, then the name. Key file: "WSEK" | u8 version=1 | key[32] | first 4 bytes of SHA-256 over what stands before.
// Nonces are random: at most 2^32 seals under one key (NIST SP 800-38D section 8.3), far above what a key store makes.
// Functions; any thread. Limit: 1 MiB. Errors: seal_syntax, seal_broken (altered, another name, or another key).
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"

namespace wary::crypto {

class SealKey {
 public:
  static SealKey generate(Random& random);
  static Result<SealKey> decode_key_file(ByteView bytes);
  Secret to_key_file() const;
  ByteView reveal() const { return key_.reveal(); }

 private:
  explicit SealKey(Secret key) : key_(std::move(key)) {}
  Secret key_;
};

Result<Bytes> seal(const SealKey& key, std::string_view name, ByteView plaintext, Random& random);
Result<Secret> unseal(const SealKey& key, std::string_view name, ByteView sealed);

}  // namespace wary::crypto
