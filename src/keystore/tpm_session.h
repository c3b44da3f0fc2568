// What everything that speaks to a TPM 2.0 shares: its connection, loaded objects that go by themselves, the owner's
// storage key, blobs of keys below it. For the .cc files that do (tpm_store.cc, node/tpm_device.cc): no other header
// includes this one, for it includes the TPM stack's.
//
//   std::unique_ptr<keystore::Tpm> tpm;
//   TSS2_RC code = keystore::open_tpm("device:/dev/tpmrm0", tpm);
//   keystore::Loaded parent(*tpm), key(*tpm);
//   code = keystore::make_storage_key(*tpm, parent);            // then load_blob(*tpm, parent, blob, key)
//
// Functions give the TPM's answer; what it means to a user is the caller's to say. Nothing stays loaded: a TPM without
// a resource manager has room for three objects. One thread. Limit: 4 KiB a blob.
#pragma once

#include <tss2/tss2_esys.h>

#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"

namespace wary::keystore {

constexpr std::size_t kTpmBlobMax = 4096;

template <typename T>
struct EsysFree {
  void operator()(T* object) const { Esys_Free(object); }
};
template <typename T>
using Esys = std::unique_ptr<T, EsysFree<T>>;

// Of a format-1 answer, bits 8 to 11 say only which parameter, handle or session it is about.
TSS2_RC without_position(TSS2_RC code);

struct Tpm {
  Tpm() = default;
  Tpm(const Tpm&) = delete;
  Tpm& operator=(const Tpm&) = delete;
  ~Tpm();
  TSS2_TCTI_CONTEXT* tcti = nullptr;
  ESYS_CONTEXT* esys = nullptr;
};
// Connects, and starts a TPM that nobody started.
TSS2_RC open_tpm(const std::string& tcti, std::unique_ptr<Tpm>& out);

// A loaded object or a session, flushed when it goes.
class Loaded {
 public:
  explicit Loaded(Tpm& tpm) : tpm_(tpm) {}
  ~Loaded();
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  ESYS_TR handle = ESYS_TR_NONE;

 private:
  Tpm& tpm_;
};

// ECC P-256 with names of SHA-256, made in the TPM, bound to it and used with its own authorisation.
TPM2B_PUBLIC ecc_template(TPMA_OBJECT attributes);

// A primary key of that shape, the same every time until its hierarchy is cleared; `shown` may be nothing.
TSS2_RC make_primary(Tpm& tpm, ESYS_TR hierarchy, const TPM2B_PUBLIC& shape, Loaded& out, TPM2B_PUBLIC* shown);
// The owner's storage key.
TSS2_RC make_storage_key(Tpm& tpm, Loaded& out);

// A key as it lies outside: only the TPM that made it, under the same parent, can load it.
struct TpmBlob {
  TPM2B_PUBLIC shown{};
  TPM2B_PRIVATE hidden{};
};
std::optional<Bytes> write_tpm_blob(const TpmBlob& blob);
std::optional<TpmBlob> read_tpm_blob(ByteView bytes);
TSS2_RC create_blob(Tpm& tpm, const Loaded& parent, const TPM2B_SENSITIVE_CREATE& secret, const TPM2B_PUBLIC& shape,
                    TpmBlob& out);
TSS2_RC load_blob(Tpm& tpm, const Loaded& parent, const TpmBlob& blob, Loaded& out);

}  // namespace wary::keystore
