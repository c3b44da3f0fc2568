// Private to node/, for its .cc files: a TPM's endorsement key as the TPM holds it, and its certificate. It includes
// the TPM stack's headers.
//
//   WARY_ASSIGN_OR_RETURN(node::Endorsement ek, node::read_endorsement(*tpm, options.endorsement));
//   node::EndorsementHandle key(*tpm, ek.rsa);
//   WARY_RETURN_IF_ERROR(key.open());              // then key.handle(), until it goes
//
// One thread. Limit: 8 KiB a certificate. Errors: tpm_device_authorisation, tpm_device_failed.
#pragma once

#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "keystore/tpm_session.h"
#include "node/tpm_device.h"

namespace wary::node {

// The TPM's answer as an error of tpm_device.h.
Error device_refusal(TSS2_RC code, std::string_view what);
std::optional<Bytes> write_public(const TPM2B_PUBLIC& shown);

struct Endorsement {
  bool rsa = true;
  Bytes shown;        // TPM2B_PUBLIC
  Bytes certificate;  // DER, or empty
};
Result<Endorsement> read_endorsement(keystore::Tpm& tpm, TpmDeviceOptions::Endorsement wanted);

// A place of the TPM that stays where it is; only the library's note of it goes.
class Place {
 public:
  Place(keystore::Tpm& tpm, TPM2_HANDLE handle);
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  bool is_there() const { return handle_ != ESYS_TR_NONE; }
  ESYS_TR handle() const { return handle_; }

 private:
  keystore::Tpm& tpm_;
  ESYS_TR handle_ = ESYS_TR_NONE;
};

// The key of the default template: the persistent one where it is that, else made for this value's life.
class EndorsementHandle {
 public:
  EndorsementHandle(keystore::Tpm& tpm, bool rsa);
  Status open();
  ESYS_TR handle() const;
  const TPM2B_PUBLIC& shown() const { return shown_; }

 private:
  bool is_default_there();
  keystore::Tpm& tpm_;
  bool rsa_;
  Place persistent_;
  keystore::Loaded made_;
  TPM2B_PUBLIC shown_{};
};

}  // namespace wary::node
