#include "node/tpm_device.h"

#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>

#include <algorithm>
#include <optional>

#include "codec/der.h"
#include "keystore/tpm_session.h"
#include "node/tpm_format.h"

namespace wary::node {

namespace {

using keystore::Esys;
using keystore::Loaded;
using keystore::Tpm;

constexpr std::size_t kEndorsementCertificateMax = 8192;
constexpr std::uint16_t kNvChunk = 512;  // what every TPM reads at once
constexpr unsigned kRegisters = 24;

// TCG EK credential profile: where the certificate and the persistent key of a default template are.
struct EndorsementPlace {
  TPM2_HANDLE certificate;
  TPM2_HANDLE key;
};
constexpr EndorsementPlace kRsaPlace = {0x01c00002, 0x81010001};
constexpr EndorsementPlace kEccPlace = {0x01c0000a, 0x81010002};

Error device_refusal(TSS2_RC code, std::string_view what) {
  const TSS2_RC plain = keystore::without_position(code);
  if (plain == TPM2_RC_AUTH_FAIL || plain == TPM2_RC_BAD_AUTH) {
    return fail(ErrorKind::kUnauthenticated, "tpm_device_authorisation", what)
        .found(Tss2_RC_Decode(code))
        .next("give the TPM's owner and endorsement hierarchies an empty authorisation");
  }
  return fail(ErrorKind::kUnavailable, "tpm_device_failed", what).found(Tss2_RC_Decode(code));
}

// A parameter that it refuses is one of the two that were sent. A TPM in software says "failure" where RSA finds no
// padding, and goes on; one that really failed would not have loaded the key a moment before.
bool refuses_credential(TSS2_RC code) {
  if (code == TPM2_RC_FAILURE) return true;
  return (code & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER && (code & TPM2_RC_FMT1) != 0 && (code & TPM2_RC_P) != 0;
}

TPM2B_PUBLIC endorsement_template(bool rsa) {
  TPM2B_PUBLIC out{};
  TPMT_PUBLIC& area = out.publicArea;
  area.type = rsa ? TPM2_ALG_RSA : TPM2_ALG_ECC;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                          TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  area.authPolicy.size = tpm::kEndorsementPolicy.size();
  std::ranges::copy(tpm::kEndorsementPolicy, area.authPolicy.buffer);
  TPMT_SYM_DEF_OBJECT symmetric{};
  symmetric.algorithm = TPM2_ALG_AES;
  symmetric.keyBits.aes = 128;
  symmetric.mode.aes = TPM2_ALG_CFB;
  if (rsa) {
    area.parameters.rsaDetail.symmetric = symmetric;
    area.parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
    area.parameters.rsaDetail.keyBits = 2048;
    area.unique.rsa.size = 256;  // zeros
  } else {
    area.parameters.eccDetail.symmetric = symmetric;
    area.parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
    area.parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
    area.parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    area.unique.ecc.x.size = 32;
    area.unique.ecc.y.size = 32;
  }
  return out;
}

TPM2B_PUBLIC attestation_template() {
  // Without the dictionary lockout: it has no authorisation that could be guessed.
  TPM2B_PUBLIC out = keystore::ecc_template(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_NODA);
  out.publicArea.parameters.eccDetail.scheme.scheme = TPM2_ALG_ECDSA;
  out.publicArea.parameters.eccDetail.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  return out;
}

std::optional<Bytes> write_public(const TPM2B_PUBLIC& shown) {
  Bytes out(keystore::kTpmBlobMax);
  std::size_t at = 0;
  if (Tss2_MU_TPM2B_PUBLIC_Marshal(&shown, out.data(), out.size(), &at) != TSS2_RC_SUCCESS) return std::nullopt;
  out.resize(at);
  return out;
}

// Asked first, for the library tells a log of its own about handles that are not there.
bool has_capability(Tpm& tpm, TPM2_CAP capability, std::uint32_t property) {
  TPMI_YES_NO more = 0;
  TPMS_CAPABILITY_DATA* found = nullptr;
  const TSS2_RC code =
      Esys_GetCapability(tpm.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, capability, property, 1, &more, &found);
  const Esys<TPMS_CAPABILITY_DATA> owned(found);
  if (code != TSS2_RC_SUCCESS) return false;
  if (capability == TPM2_CAP_HANDLES) {
    return found->data.handles.count > 0 && found->data.handles.handle[0] == property;
  }
  return found->data.algorithms.count > 0 && found->data.algorithms.algProperties[0].alg == property;
}

// A place of the TPM that stays where it is; only the library's note of it goes.
class Place {
 public:
  Place(Tpm& tpm, TPM2_HANDLE handle) : tpm_(tpm) {
    if (has_capability(tpm, TPM2_CAP_HANDLES, handle) &&
        Esys_TR_FromTPMPublic(tpm.esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &handle_) !=
            TSS2_RC_SUCCESS) {
      handle_ = ESYS_TR_NONE;
    }
  }
  ~Place() {
    if (handle_ != ESYS_TR_NONE) Esys_TR_Close(tpm_.esys, &handle_);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  bool is_there() const { return handle_ != ESYS_TR_NONE; }
  ESYS_TR handle() const { return handle_; }

 private:
  Tpm& tpm_;
  ESYS_TR handle_ = ESYS_TR_NONE;
};

// A vendor writes the index so that it reads itself; some only let the owner.
bool read_chunk(Tpm& tpm, ESYS_TR index, std::uint16_t size, std::uint16_t offset, Bytes& out) {
  for (const ESYS_TR by : {index, ESYS_TR{ESYS_TR_RH_OWNER}}) {
    TPM2B_MAX_NV_BUFFER* part = nullptr;
    const TSS2_RC code =
        Esys_NV_Read(tpm.esys, by, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, size, offset, &part);
    const Esys<TPM2B_MAX_NV_BUFFER> owned(part);
    if (code != TSS2_RC_SUCCESS) continue;
    append(out, {part->buffer, part->size});
    return part->size == size;
  }
  return false;
}

// Empty: none, or none that can be read.
Bytes read_certificate(Tpm& tpm, TPM2_HANDLE at) {
  const Place index(tpm, at);
  if (!index.is_there()) return {};
  TPM2B_NV_PUBLIC* shown = nullptr;
  TPM2B_NAME* name = nullptr;
  const TSS2_RC code =
      Esys_NV_ReadPublic(tpm.esys, index.handle(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &shown, &name);
  const Esys<TPM2B_NV_PUBLIC> a(shown);
  const Esys<TPM2B_NAME> b(name);
  if (code != TSS2_RC_SUCCESS || shown->nvPublic.dataSize > kEndorsementCertificateMax) return {};
  Bytes all;
  while (all.size() < shown->nvPublic.dataSize) {
    const auto offset = static_cast<std::uint16_t>(all.size());
    const auto left = static_cast<std::uint16_t>(shown->nvPublic.dataSize - offset);
    if (!read_chunk(tpm, index.handle(), std::min(left, kNvChunk), offset, all)) return {};
  }
  // The index may be longer than the certificate.
  codec::der::Reader reader(all);
  ByteView element;
  if (!reader.read_raw(element)) return {};
  return {element.begin(), element.end()};
}

}  // namespace

struct TpmDevice::State {
  std::unique_ptr<Tpm> tpm;
  bool rsa = true;
  Bytes endorsement;
  Bytes certificate;
  Bytes attestation;
  keystore::TpmBlob blob;

  void choose_endorsement(TpmDeviceOptions::Endorsement wanted);
  Status read_endorsement();
  Status load_or_make_attestation(io::Files& files, const std::string& directory);
  Status make_attestation(io::Files& files, const std::string& directory, const std::string& path);
  Status load_attestation(Loaded& out);
  Result<Secret> activate_with(ESYS_TR endorsement_key, const TPM2B_ID_OBJECT& blob_in,
                               const TPM2B_ENCRYPTED_SECRET& secret_in);
  // Whether the persistent key there is of the default template; its public area then.
  bool is_default(const Place& place, TPM2B_PUBLIC& shown) const;
  const EndorsementPlace& place() const { return rsa ? kRsaPlace : kEccPlace; }
};

void TpmDevice::State::choose_endorsement(TpmDeviceOptions::Endorsement wanted) {
  using Endorsement = TpmDeviceOptions::Endorsement;
  if (wanted != Endorsement::kEcc) {
    rsa = true;
    certificate = read_certificate(*tpm, kRsaPlace.certificate);
    if (wanted == Endorsement::kRsa || !certificate.empty()) return;
  }
  rsa = false;
  certificate = read_certificate(*tpm, kEccPlace.certificate);
  if (wanted == Endorsement::kBest && certificate.empty()) rsa = has_capability(*tpm, TPM2_CAP_ALGS, TPM2_ALG_RSA);
}

bool TpmDevice::State::is_default(const Place& place, TPM2B_PUBLIC& shown) const {
  if (!place.is_there()) return false;
  TPM2B_PUBLIC* read = nullptr;
  TPM2B_NAME* name = nullptr;
  TPM2B_NAME* qualified = nullptr;
  const TSS2_RC code =
      Esys_ReadPublic(tpm->esys, place.handle(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &read, &name, &qualified);
  const Esys<TPM2B_PUBLIC> a(read);
  const Esys<TPM2B_NAME> b(name);
  const Esys<TPM2B_NAME> c(qualified);
  if (code != TSS2_RC_SUCCESS) return false;
  shown = *read;
  const TPM2B_PUBLIC shape = endorsement_template(rsa);
  TPM2B_PUBLIC compared = *read;
  compared.publicArea.unique = shape.publicArea.unique;
  const auto bytes = write_public(compared);
  return bytes && bytes == write_public(shape);
}

Status TpmDevice::State::read_endorsement() {
  TPM2B_PUBLIC shown{};
  const Place persistent(*tpm, place().key);
  if (!is_default(persistent, shown)) {
    Loaded key(*tpm);
    const TSS2_RC code = keystore::make_primary(*tpm, ESYS_TR_RH_ENDORSEMENT, endorsement_template(rsa), key, &shown);
    if (code != TSS2_RC_SUCCESS) return device_refusal(code, "the TPM made no endorsement key");
  }
  const auto bytes = write_public(shown);
  if (!bytes) return fail(ErrorKind::kInternal, "tpm_device_failed", "the endorsement key cannot be written");
  endorsement = *bytes;
  return {};
}

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
const Bytes& TpmDevice::endorsement_public() const { return state_->endorsement; }
const Bytes& TpmDevice::endorsement_certificate() const { return state_->certificate; }
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
  state->choose_endorsement(options.endorsement);
  WARY_RETURN_IF_ERROR(state->read_endorsement());
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
  Tpm& tpm = *state_->tpm;
  const Place persistent(tpm, state_->place().key);
  TPM2B_PUBLIC shown{};
  if (state_->is_default(persistent, shown) && write_public(shown) == state_->endorsement) {
    return state_->activate_with(persistent.handle(), blob_in, secret_in);
  }
  Loaded key(tpm);
  const TSS2_RC code =
      keystore::make_primary(tpm, ESYS_TR_RH_ENDORSEMENT, endorsement_template(state_->rsa), key, nullptr);
  if (code != TSS2_RC_SUCCESS) return device_refusal(code, "the TPM made no endorsement key");
  return state_->activate_with(key.handle, blob_in, secret_in);
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
