#include "keystore/tpm_session.h"

#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

namespace wary::keystore {

TSS2_RC without_position(TSS2_RC code) { return (code & TPM2_RC_FMT1) != 0 ? code & ~TSS2_RC(0xf40) : code; }

Tpm::~Tpm() {
  if (esys != nullptr) Esys_Finalize(&esys);
  if (tcti != nullptr) Tss2_TctiLdr_Finalize(&tcti);
}

TSS2_RC open_tpm(const std::string& tcti, std::unique_ptr<Tpm>& out) {
  auto tpm = std::make_unique<Tpm>();
  TSS2_RC code = Tss2_TctiLdr_Initialize(tcti.c_str(), &tpm->tcti);
  if (code == TSS2_RC_SUCCESS) code = Esys_Initialize(&tpm->esys, tpm->tcti, nullptr);
  if (code != TSS2_RC_SUCCESS) return code;
  // A TPM without a resource manager may not have been started; one that was says so.
  code = Esys_Startup(tpm->esys, TPM2_SU_CLEAR);
  if (code != TSS2_RC_SUCCESS && code != TPM2_RC_INITIALIZE) return code;
  out = std::move(tpm);
  return TSS2_RC_SUCCESS;
}

Loaded::~Loaded() {
  if (handle != ESYS_TR_NONE) Esys_FlushContext(tpm_.esys, handle);
}

TPM2B_PUBLIC ecc_template(TPMA_OBJECT attributes) {
  TPM2B_PUBLIC out{};
  TPMT_PUBLIC& area = out.publicArea;
  area.type = TPM2_ALG_ECC;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = attributes | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                          TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH;
  area.parameters.eccDetail.symmetric.algorithm = TPM2_ALG_NULL;
  area.parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
  area.parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
  area.parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
  return out;
}

TSS2_RC make_primary(Tpm& tpm, ESYS_TR hierarchy, const TPM2B_PUBLIC& shape, Loaded& out, TPM2B_PUBLIC* shown) {
  const TPM2B_SENSITIVE_CREATE secret{};
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION none{};
  TPM2B_PUBLIC* made = nullptr;
  TPM2B_CREATION_DATA* data = nullptr;
  TPM2B_DIGEST* hash = nullptr;
  TPMT_TK_CREATION* ticket = nullptr;
  const TSS2_RC code = Esys_CreatePrimary(tpm.esys, hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &secret,
                                          &shape, &outside, &none, &out.handle, &made, &data, &hash, &ticket);
  const Esys<TPM2B_PUBLIC> a(made);
  const Esys<TPM2B_CREATION_DATA> b(data);
  const Esys<TPM2B_DIGEST> c(hash);
  const Esys<TPMT_TK_CREATION> d(ticket);
  if (code != TSS2_RC_SUCCESS) {
    out.handle = ESYS_TR_NONE;
  } else if (shown != nullptr) {
    *shown = *made;
  }
  return code;
}

TSS2_RC make_storage_key(Tpm& tpm, Loaded& out) {
  TPM2B_PUBLIC shape = ecc_template(TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_NODA);
  shape.publicArea.parameters.eccDetail.symmetric.algorithm = TPM2_ALG_AES;
  shape.publicArea.parameters.eccDetail.symmetric.keyBits.aes = 128;
  shape.publicArea.parameters.eccDetail.symmetric.mode.aes = TPM2_ALG_CFB;
  return make_primary(tpm, ESYS_TR_RH_OWNER, shape, out, nullptr);
}

std::optional<Bytes> write_tpm_blob(const TpmBlob& blob) {
  Bytes out(kTpmBlobMax);
  std::size_t at = 0;
  if (Tss2_MU_TPM2B_PUBLIC_Marshal(&blob.shown, out.data(), out.size(), &at) != TSS2_RC_SUCCESS ||
      Tss2_MU_TPM2B_PRIVATE_Marshal(&blob.hidden, out.data(), out.size(), &at) != TSS2_RC_SUCCESS) {
    return std::nullopt;
  }
  out.resize(at);
  return out;
}

std::optional<TpmBlob> read_tpm_blob(ByteView bytes) {
  TpmBlob blob;
  std::size_t at = 0;
  if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(bytes.data(), bytes.size(), &at, &blob.shown) != TSS2_RC_SUCCESS ||
      Tss2_MU_TPM2B_PRIVATE_Unmarshal(bytes.data(), bytes.size(), &at, &blob.hidden) != TSS2_RC_SUCCESS ||
      at != bytes.size()) {
    return std::nullopt;
  }
  return blob;
}

TSS2_RC create_blob(Tpm& tpm, const Loaded& parent, const TPM2B_SENSITIVE_CREATE& secret, const TPM2B_PUBLIC& shape,
                    TpmBlob& out) {
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION none{};
  TPM2B_PRIVATE* hidden = nullptr;
  TPM2B_PUBLIC* shown = nullptr;
  TPM2B_CREATION_DATA* data = nullptr;
  TPM2B_DIGEST* hash = nullptr;
  TPMT_TK_CREATION* ticket = nullptr;
  const TSS2_RC code = Esys_Create(tpm.esys, parent.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &secret,
                                   &shape, &outside, &none, &hidden, &shown, &data, &hash, &ticket);
  const Esys<TPM2B_PRIVATE> a(hidden);
  const Esys<TPM2B_PUBLIC> b(shown);
  const Esys<TPM2B_CREATION_DATA> c(data);
  const Esys<TPM2B_DIGEST> d(hash);
  const Esys<TPMT_TK_CREATION> e(ticket);
  if (code == TSS2_RC_SUCCESS) out = {*shown, *hidden};
  return code;
}

TSS2_RC load_blob(Tpm& tpm, const Loaded& parent, const TpmBlob& blob, Loaded& out) {
  const TSS2_RC code = Esys_Load(tpm.esys, parent.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &blob.hidden,
                                 &blob.shown, &out.handle);
  if (code != TSS2_RC_SUCCESS) out.handle = ESYS_TR_NONE;
  return code;
}

}  // namespace wary::keystore
