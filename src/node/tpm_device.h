// The TPM 2.0 of this machine, as far as attestation needs it: its endorsement key and that key's certificate, an
// attestation key of its own, credentials opened and registers quoted. What is made here, tpm_evidence.h checks above.
//
//   WARY_ASSIGN_OR_RETURN(auto device, node::TpmDevice::open(files, "agent/tpm", {.tcti = "device:/dev/tpmrm0"}));
//   // sent: device->endorsement_public(), endorsement_certificate(), attestation_public()
//   WARY_ASSIGN_OR_RETURN(Secret secret, device->activate(credential.blob, credential.encrypted_secret));
//   WARY_ASSIGN_OR_RETURN(node::QuoteEvidence quote, device->quote(crypto::sha256(statement), {{0, 7}}));
//
// The endorsement key is of the default template, the TPM's persistent one where it is that. The attestation key is
// ECC P-256 below the owner's storage key; it lies in DIRECTORY/attestation.tpm as a blob that only this TPM can load,
// and is the same after a restart. No authorisation is asked for: the TPM's owner and endorsement hierarchies are as
// delivered, or their authorisation is empty. Nothing stays loaded between two calls, nor after a failed one.
//
// A real TPM takes seconds for an RSA endorsement key, so a call does; one thread. Limits: 8 KiB a certificate, 24
// registers of the SHA-256 bank, 64 bytes of qualifying data. Errors: tpm_device_absent (there is no TPM),
// tpm_device_authorisation (a hierarchy wants one), tpm_device_damaged (the blob), tpm_device_key_lost (another TPM
// made it, or its owner was cleared), tpm_device_credential (for another TPM or another key), tpm_device_option,
// tpm_device_failed; and those of io/files.h.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"
#include "io/files.h"

namespace wary::node {

struct TpmDeviceOptions {
  // kBest: the one that has a certificate, RSA before ECC; without one RSA if the TPM does RSA.
  enum class Endorsement { kBest, kRsa, kEcc };
  std::string tcti;  // "device:/dev/tpmrm0", or for tests "swtpm:host=127.0.0.1,port=2321"
  Endorsement endorsement = Endorsement::kBest;
};

struct QuoteEvidence {
  Bytes attested;   // TPMS_ATTEST
  Bytes signature;  // TPMT_SIGNATURE over it
};

class TpmDevice {
 public:
  // `files` outlives it.
  static Result<std::unique_ptr<TpmDevice>> open(io::Files& files, std::string directory,
                                                 const TpmDeviceOptions& options);
  ~TpmDevice();

  const Bytes& endorsement_public() const;       // TPM2B_PUBLIC
  const Bytes& endorsement_certificate() const;  // DER; empty: the TPM shows none for this key
  const Bytes& attestation_public() const;       // TPM2B_PUBLIC

  // What only this TPM reads: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, made for the attestation key's name.
  Result<Secret> activate(ByteView blob, ByteView encrypted_secret);
  Result<QuoteEvidence> quote(ByteView qualifying_data, std::span<const unsigned> registers);

 private:
  struct State;
  explicit TpmDevice(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wary::node
