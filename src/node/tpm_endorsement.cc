#include "node/tpm_endorsement.h"

#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>

#include <algorithm>

#include "codec/der.h"
#include "node/tpm_format.h"

namespace wary::node {

namespace {

using keystore::Esys;
using keystore::Tpm;

constexpr std::size_t kEndorsementCertificateMax = 8192;
constexpr std::uint16_t kNvChunk = 512;  // what every TPM reads at once

// TCG EK credential profile: where the certificate and the persistent key of a default template are.
struct EndorsementPlace {
  TPM2_HANDLE certificate;
  TPM2_HANDLE key;
};
constexpr EndorsementPlace kRsaPlace = {0x01c00002, 0x81010001};
constexpr EndorsementPlace kEccPlace = {0x01c0000a, 0x81010002};

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

Error device_refusal(TSS2_RC code, std::string_view what) {
  const TSS2_RC plain = keystore::without_position(code);
  if (plain == TPM2_RC_AUTH_FAIL || plain == TPM2_RC_BAD_AUTH) {
    return fail(ErrorKind::kUnauthenticated, "tpm_device_authorisation", what)
        .found(Tss2_RC_Decode(code))
        .next("give the TPM's owner and endorsement hierarchies an empty authorisation");
  }
  return fail(ErrorKind::kUnavailable, "tpm_device_failed", what).found(Tss2_RC_Decode(code));
}

std::optional<Bytes> write_public(const TPM2B_PUBLIC& shown) {
  Bytes out(keystore::kTpmBlobMax);
  std::size_t at = 0;
  if (Tss2_MU_TPM2B_PUBLIC_Marshal(&shown, out.data(), out.size(), &at) != TSS2_RC_SUCCESS) return std::nullopt;
  out.resize(at);
  return out;
}

Place::Place(Tpm& tpm, TPM2_HANDLE handle) : tpm_(tpm) {
  if (has_capability(tpm, TPM2_CAP_HANDLES, handle) &&
      Esys_TR_FromTPMPublic(tpm.esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &handle_) != TSS2_RC_SUCCESS) {
    handle_ = ESYS_TR_NONE;
  }
}
Place::~Place() {
  if (handle_ != ESYS_TR_NONE) Esys_TR_Close(tpm_.esys, &handle_);
}

EndorsementHandle::EndorsementHandle(Tpm& tpm, bool rsa)
    : tpm_(tpm), rsa_(rsa), persistent_(tpm, (rsa ? kRsaPlace : kEccPlace).key), made_(tpm) {}

ESYS_TR EndorsementHandle::handle() const { return made_.handle != ESYS_TR_NONE ? made_.handle : persistent_.handle(); }

// Of the default template, whatever its key is.
bool EndorsementHandle::is_default_there() {
  if (!persistent_.is_there()) return false;
  TPM2B_PUBLIC* read = nullptr;
  TPM2B_NAME* name = nullptr;
  TPM2B_NAME* qualified = nullptr;
  const TSS2_RC code = Esys_ReadPublic(tpm_.esys, persistent_.handle(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &read,
                                       &name, &qualified);
  const Esys<TPM2B_PUBLIC> a(read);
  const Esys<TPM2B_NAME> b(name);
  const Esys<TPM2B_NAME> c(qualified);
  if (code != TSS2_RC_SUCCESS) return false;
  shown_ = *read;
  const TPM2B_PUBLIC shape = endorsement_template(rsa_);
  TPM2B_PUBLIC compared = *read;
  compared.publicArea.unique = shape.publicArea.unique;
  const auto bytes = write_public(compared);
  return bytes && bytes == write_public(shape);
}

Status EndorsementHandle::open() {
  if (is_default_there()) return {};
  const TSS2_RC code = keystore::make_primary(tpm_, ESYS_TR_RH_ENDORSEMENT, endorsement_template(rsa_), made_, &shown_);
  return code == TSS2_RC_SUCCESS ? Status() : Status(device_refusal(code, "the TPM made no endorsement key"));
}

Result<Endorsement> read_endorsement(Tpm& tpm, TpmDeviceOptions::Endorsement wanted) {
  using Kind = TpmDeviceOptions::Endorsement;
  Endorsement out;
  if (wanted != Kind::kEcc) out.certificate = read_certificate(tpm, kRsaPlace.certificate);
  if (wanted == Kind::kEcc || (wanted == Kind::kBest && out.certificate.empty())) {
    out.certificate = read_certificate(tpm, kEccPlace.certificate);
    const bool decided = wanted == Kind::kEcc || !out.certificate.empty();
    out.rsa = !decided && has_capability(tpm, TPM2_CAP_ALGS, TPM2_ALG_RSA);
  }
  EndorsementHandle key(tpm, out.rsa);
  WARY_RETURN_IF_ERROR(key.open());
  const auto bytes = write_public(key.shown());
  if (!bytes) return fail(ErrorKind::kInternal, "tpm_device_failed", "the endorsement key cannot be written");
  out.shown = *bytes;
  return out;
}

}  // namespace wary::node
