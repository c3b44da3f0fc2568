// Keys of a TPM 2.0: each is made by it under its owner's storage key and lies in DIRECTORY/NAME.tpm as a blob that
// only this TPM can load.
//
//   WARY_ASSIGN_OR_RETURN(auto store, keystore::open_tpm_store(files, "signer/keys", {.tcti = "device:/dev/tpmrm0"},
//                                                              pin));
//
// Nothing stays loaded between two signatures, so that a TPM without a resource manager is not filled; a signature
// takes a good part of a second on real ones: for a root, not for leaves. The PIN (up to 32 bytes, or none) is every
// key's own and is guarded by the TPM's dictionary lockout. One thread; the store outlives its keys. Errors: those of
// key_store.h.
#pragma once

#include <memory>
#include <string>

#include "keystore/key_store.h"

namespace wary::keystore {

struct TpmOptions {
  std::string tcti;  // "device:/dev/tpmrm0", or for tests "swtpm:host=127.0.0.1,port=2321"
};
Result<std::unique_ptr<KeyStore>> open_tpm_store(io::Files& files, std::string directory, const TpmOptions& options,
                                                 Secret pin);

}  // namespace wary::keystore
