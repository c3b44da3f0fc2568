#include "node/tpm_device.h"

#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>

#include <algorithm>

#include "keystore/tpm_session.h"
#include "node/tpm_endorsement.h"

namespace wary::node {

namespace {

using keystore::Esys;
using keystore::Loaded;
using keystore::Tpm;

constexpr unsigned kRegisters = 24;

// A parameter that it refuses is one of the two that were sent. A TPM in software says "failure" where RSA finds no
// padding, and goes on; one that really failed would not have loaded the key a moment before.
bool refuses_credential(TSS2_RC code) {
  if (code == TPM2_RC_FAILURE) return true;
  return (code & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER && (code & TPM2_RC_FMT1) != 0 && (code & TPM2_RC_P) != 0;
}

TPM2B_PUBLIC attestation_template() {
  // Without the dictionary lockout: it has no authorisation that could be guessed.
  TPM2B_PUBLIC out = keystore::ecc_template(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_NODA);
  out.publicArea.parameters.eccDetail.scheme.scheme = TPM2_ALG_ECDSA;
  out.publicArea.parameters.eccDetail.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  return out;
}

}  // namespace

struct TpmDevice::State {
  std::unique_ptr<Tpm> tpm;
  Endorsement endorsement;
  Bytes attestation;
  keystore::TpmBlob blob;

  Status load_or_make_attestation(io::Files& files, const std::string& directory);
  Status make_attestation(io::Files& files, const std::string& directory, const std::string& path);
  Status load_attestation(Loaded& out);
  Result<Secret> activate_with(ESYS_TR endorsement_key, const TPM2B_ID_OBJECT& blob_in,
                               const TPM2B_ENCRYPTED_SECRET& secret_in);
};

Status TpmDevice::State::make_attestation(io::Files& files, const std::string& directory, const std::string& path) {
  Loaded parent(*tpm);
  TSS2_RC code = keystore::make_storage_key(*tpm, parent);
  if (code != TSS2_RC_SUCCESS) return device_refusal(code, "the TPM made no storage key");
  code = keystore::create_blob(*tpm, parent, {}, attestation_template(), blob);
  if (code != TSS2_RC_SUCCESS) return device_refusal(code, "the TPM made no attestation key");
  const auto bytes = keystore::write_tpm_blob(blob);
  if (!bytes) return fail(ErrorKind::kInternal, "tpm_device_failed", "the attestation key cannot be written");
  WARY_RETURN_IF_ERROR(files.make_directory(directory));
  WARY_RETURN_IF_ERROR(files.sync_directory(io::folder_of(directory)));
  return io::write_file_atomically(files, path, *bytes);
}

Status TpmDevice::State::load_or_make_attestation(io::Files& files, const std::string& directory) {
  const std::string path = directory + "/attestation.tpm";
  const auto stored = io::read_file(files, path, keystore::kTpmBlobMax);
  if (!stored) {
    if (stored.error().kind != ErrorKind::kNotFound) return stored.error();
    WARY_RETURN_IF_ERROR(make_attestation(files, directory, path));
  } else {
    const auto read = keystore::read_tpm_blob(*stored);
    if (!read) {
      return fail(ErrorKind::kDataLoss, "tpm_device_damaged", "the attestation key's blob is damaged")
          .at(path)
          .next("restore it, or remove it and attest this machine anew");
    }
    blob = *read;
  }
  Loaded key(*tpm);
  const Status loaded = load_attestation(key);
  if (!loaded) return Error(loaded.error()).at(path);
  const auto bytes = write_public(blob.shown);
  if (!bytes) return fail(ErrorKind::kInternal, "tpm_device_failed", "the attestation key cannot be written");
  attestation = *bytes;
  return {};
}

Status TpmDevice::State::load_attestation(Loaded& out) {
  Loaded parent(*tpm);
  TSS2_RC code = keystore::make_storage_key(*tpm, parent);
  if (code != TSS2_RC_SUCCESS) return device_refusal(code, "the TPM made no storage key");
  code = keystore::load_blob(*tpm, parent, blob, out);
  if (code == TSS2_RC_SUCCESS) return {};
  if (keystore::without_position(code) == TPM2_RC_INTEGRITY) {
    return fail(ErrorKind::kDataLoss, "tpm_device_key_lost",
                "this TPM cannot load the attestation key: another TPM made it, or its owner was cleared")
        .next("remove the blob and attest this machine anew");
  }
  return device_refusal(code, "the TPM does not load the attestation key");
}

Result<Secret> TpmDevice::State::activate_with(ESYS_TR endorsement_key, const TPM2B_ID_OBJECT& blob_in,
                                               const TPM2B_ENCRYPTED_SECRET& secret_in) {
  Loaded key(*tpm), session(*tpm);
  WARY_RETURN_IF_ERROR(load_attestation(key));
  TPMT_SYM_DEF plain{};
  plain.algorithm = TPM2_ALG_NULL;
  TSS2_RC code = Esys_StartAuthSession(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       nullptr, TPM2_SE_POLICY, &plain, TPM2_ALG_SHA256, &session.handle);
  if (code != TSS2_RC_SUCCESS) {
    session.handle = ESYS_TR_NONE;
    return device_refusal(code, "the TPM started no session");
  }
  // It stays after its command, so that it goes in one place, whatever failed.
  code = Esys_TRSess_SetAttributes(tpm->esys, session.handle, TPMA_SESSION_CONTINUESESSION, 0xff);
  if (code != TSS2_RC_SUCCESS) return device_refusal(code, "the session takes no attributes");
  TPM2B_TIMEOUT* timeout = nullptr;
  TPMT_TK_AUTH* ticket = nullptr;
  code = Esys_PolicySecret(tpm->esys, ESYS_TR_RH_ENDORSEMENT, session.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                           ESYS_TR_NONE, nullptr, nullptr, nullptr, 0, &timeout, &ticket);
  const Esys<TPM2B_TIMEOUT> a(timeout);
  const Esys<TPMT_TK_AUTH> b(ticket);
  if (code != TSS2_RC_SUCCESS) return device_refusal(code, "the endorsement key is not opened");
  TPM2B_DIGEST* opened = nullptr;
  code = Esys_ActivateCredential(tpm->esys, key.handle, endorsement_key, ESYS_TR_PASSWORD, session.handle, ESYS_TR_NONE,
                                 &blob_in, &secret_in, &opened);
  const Esys<TPM2B_DIGEST> c(opened);
  if (code == TSS2_RC_SUCCESS) {
    Secret secret = Secret::copy_of({opened->buffer, opened->size});
    wipe(opened->buffer, opened->size);
    return secret;
  }
  if (refuses_credential(code)) {
    return fail(ErrorKind::kUnauthenticated, "tpm_device_credential",
                "the credential was made for another TPM or another attestation key")
        .found(Tss2_RC_Decode(code));
  }
  return device_refusal(code, "the TPM does not open the credential");
}

TpmDevice::TpmDevice(std::unique_ptr<State> state) : state_(std::move(state)) {}
TpmDevice::~TpmDevice() = default;
const Bytes& TpmDevice::endorsement_public() const { return state_->endorsement.shown; }
const Bytes& TpmDevice::endorsement_certificate() const { return state_->endorsement.certificate; }
const Bytes& TpmDevice::attestation_public() const { return state_->attestation; }

Result<std::unique_ptr<TpmDevice>> TpmDevice::open(io::Files& files, std::string directory,
                                                   const TpmDeviceOptions& options) {
  auto state = std::make_unique<State>();
  const TSS2_RC code = keystore::open_tpm(options.tcti, state->tpm);
  if (code != TSS2_RC_SUCCESS) {
    return fail(ErrorKind::kUnavailable, "tpm_device_absent", "there is no TPM")
        .at(options.tcti)
        .found(Tss2_RC_Decode(code))
        .next("correct which TPM is meant, and let the agent's user open it");
  }
  WARY_ASSIGN_OR_RETURN(state->endorsement, read_endorsement(*state->tpm, options.endorsement));
  WARY_RETURN_IF_ERROR(state->load_or_make_attestation(files, directory));
  return std::unique_ptr<TpmDevice>(new TpmDevice(std::move(state)));
}

Result<Secret> TpmDevice::activate(ByteView blob, ByteView encrypted_secret) {
  TPM2B_ID_OBJECT blob_in{};
  TPM2B_ENCRYPTED_SECRET secret_in{};
  std::size_t blob_end = 0, secret_end = 0;
  if (Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(blob.data(), blob.size(), &blob_end, &blob_in) != TSS2_RC_SUCCESS ||
      Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(encrypted_secret.data(), encrypted_secret.size(), &secret_end,
                                               &secret_in) != TSS2_RC_SUCCESS ||
      blob_end != blob.size() || secret_end != encrypted_secret.size()) {
    return fail(ErrorKind::kInvalid, "tpm_device_credential", "the credential is malformed");
  }
  EndorsementHandle key(*state_->tpm, state_->endorsement.rsa);
  WARY_RETURN_IF_ERROR(key.open());
  return state_->activate_with(key.handle(), blob_in, secret_in);
}

Result<QuoteEvidence> TpmDevice::quote(ByteView qualifying_data, std::span<const unsigned> registers) {
  TPM2B_DATA qualifying{};
  TPML_PCR_SELECTION selection{};
  selection.count = 1;
  selection.pcrSelections[0].hash = TPM2_ALG_SHA256;
  selection.pcrSelections[0].sizeofSelect = kRegisters / 8;
  bool good = qualifying_data.size() <= sizeof qualifying.buffer;
  for (const unsigned number : registers) {
    good = good && number < kRegisters;
    if (!good) break;
    BYTE& bits = selection.pcrSelections[0].pcrSelect[number / 8];
    bits = static_cast<BYTE>(bits | 1u << (number % 8));
  }
  if (!good) {
    return fail(ErrorKind::kInvalid, "tpm_device_option", "a quote is of registers 0 to 23 and at most 64 bytes");
  }
  qualifying.size = static_cast<UINT16>(qualifying_data.size());
  std::ranges::copy(qualifying_data, qualifying.buffer);
  Tpm& tpm = *state_->tpm;
  Loaded key(tpm);
  WARY_RETURN_IF_ERROR(state_->load_attestation(key));
  TPMT_SIG_SCHEME own{};
  own.scheme = TPM2_ALG_NULL;  // the key's
  TPM2B_ATTEST* attested = nullptr;
  TPMT_SIGNATURE* made = nullptr;
  const TSS2_RC code = Esys_Quote(tpm.esys, key.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying, &own,
                                  &selection, &attested, &made);
  const Esys<TPM2B_ATTEST> a(attested);
  const Esys<TPMT_SIGNATURE> b(made);
  if (code != TSS2_RC_SUCCESS) return device_refusal(code, "the TPM quotes nothing");
  QuoteEvidence out;
  out.attested.assign(attested->attestationData, attested->attestationData + attested->size);
  out.signature.resize(sizeof(TPMT_SIGNATURE));
  std::size_t end = 0;
  if (Tss2_MU_TPMT_SIGNATURE_Marshal(made, out.signature.data(), out.signature.size(), &end) != TSS2_RC_SUCCESS) {
    return fail(ErrorKind::kInternal, "tpm_device_failed", "the signature cannot be written");
  }
  out.signature.resize(end);
  return out;
}

}  // namespace wary::node
