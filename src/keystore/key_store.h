// KeyStore: where private keys of ECDSA P-256 lie and sign. A key is made there and never leaves.
//
//   auto store = keystore::make_file_store(files, "signer/keys", seal_key, random);
//   WARY_ASSIGN_OR_RETURN(auto key, store->generate("root-k7..."));
//   WARY_ASSIGN_OR_RETURN(Bytes signature, key->sign(message));
//
// Three stores: files sealed by a key beside them (here), an HSM through PKCS#11 (pkcs11_store.h), a TPM 2.0
// (tpm_store.h). A key's name is a-z, 0-9 and '-', at most 64; it is the caller's to choose and never used twice.
// One thread. Errors of every store: key_store_name, key_store_exists, key_store_missing (the key is gone),
// key_store_damaged, key_store_failed; of PKCS#11 and TPM also key_store_absent (no module, no token, no TPM),
// key_store_pin, key_store_locked. None of them carries a secret.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "crypto/seal.h"
#include "crypto/sign.h"
#include "io/files.h"

namespace wary::keystore {

class Key {
 public:
  virtual ~Key() = default;
  virtual Bytes spki() const = 0;                    // DER SubjectPublicKeyInfo, 91 bytes
  virtual Result<Bytes> sign(ByteView message) = 0;  // ECDSA with SHA-256, in DER
};

class KeyStore {
 public:
  virtual ~KeyStore() = default;
  virtual std::string_view name() const = 0;  // "file", "pkcs11", "tpm": what state that refers to keys writes down
  // Durable when it returns.
  virtual Result<std::unique_ptr<Key>> generate(std::string_view key) = 0;
  virtual Result<std::unique_ptr<Key>> load(std::string_view key) = 0;
  virtual Status remove(std::string_view key) = 0;  // a key that is not there is no error
};

Status check_key_name(std::string_view key);

// One sealed file a key: DIRECTORY/NAME.key. The directory is made when it is missing.
class FileStore : public KeyStore {
 public:
  FileStore(io::Files& files, std::string directory, const crypto::SealKey& seal, Random& random);
  std::string_view name() const override { return "file"; }
  Result<std::unique_ptr<Key>> generate(std::string_view key) override;
  Result<std::unique_ptr<Key>> load(std::string_view key) override;
  Status remove(std::string_view key) override;
  // A key that was made elsewhere before there was a store.
  Status import(std::string_view key, const crypto::PrivateKey& made);

 private:
  std::string path_of(std::string_view key) const;
  io::Files& files_;
  std::string directory_;
  const crypto::SealKey& seal_;
  Random& random_;
};

}  // namespace wary::keystore
