#include "keystore/tpm_store.h"

#include <tss2/tss2_rc.h>

#include <algorithm>
#include <optional>

#include "crypto/hash.h"
#include "crypto/p256.h"
#include "keystore/tpm_session.h"

namespace wary::keystore {

namespace {

constexpr std::size_t kPinMax = 32;
constexpr std::size_t kCoordinate = 32;

Error tpm_refusal(TSS2_RC code, std::string_view what) {
  const TSS2_RC plain = without_position(code);
  if (plain == TPM2_RC_AUTH_FAIL || plain == TPM2_RC_BAD_AUTH) {
    return fail(ErrorKind::kUnauthenticated, "key_store_pin", "the TPM does not take this PIN")
        .next("correct the PIN's file; a TPM locks itself after a few wrong ones");
  }
  if (plain == TPM2_RC_LOCKOUT) {
    return fail(ErrorKind::kUnavailable, "key_store_locked", "the TPM is locked after wrong PINs")
        .next("wait for its recovery time, or clear the lockout as its administrator");
  }
  if (plain == TPM2_RC_INTEGRITY) {
    return fail(ErrorKind::kDataLoss, "key_store_missing",
                "this TPM cannot load the key: another TPM made it, or its owner was cleared")
        .next("restore the machine's TPM; no new key takes its place");
  }
  return fail(ErrorKind::kUnavailable, "key_store_failed", what).found(Tss2_RC_Decode(code));
}

Status load_parent(Tpm& tpm, Loaded& out) {
  const TSS2_RC code = make_storage_key(tpm, out);
  return code == TSS2_RC_SUCCESS ? Status() : Status(tpm_refusal(code, "the TPM made no storage key"));
}

bool add_padded(Bytes& out, const TPM2B_ECC_PARAMETER& number) {
  if (number.size > kCoordinate) return false;
  out.insert(out.end(), kCoordinate - number.size, 0);
  out.insert(out.end(), number.buffer, number.buffer + number.size);
  return true;
}

std::optional<Bytes> spki_of_blob(const TpmBlob& blob) {
  Bytes spki(crypto::kP256SpkiPrefix.begin(), crypto::kP256SpkiPrefix.end());
  spki.push_back(4);
  const TPMT_PUBLIC& area = blob.shown.publicArea;
  const bool good =
      area.type == TPM2_ALG_ECC && add_padded(spki, area.unique.ecc.x) && add_padded(spki, area.unique.ecc.y);
  if (!good || !crypto::PublicKey::decode_spki(spki)) return std::nullopt;
  return spki;
}

class TpmKey final : public Key {
 public:
  TpmKey(Tpm& tpm, const Secret& pin, std::string place, const TpmBlob& blob, Bytes spki)
      : tpm_(tpm), pin_(pin), place_(std::move(place)), blob_(blob), spki_(std::move(spki)) {}
  Bytes spki() const override { return spki_; }

  Result<Bytes> sign(ByteView message) override {
    Loaded parent(tpm_), key(tpm_);
    WARY_RETURN_IF_ERROR(load(parent, key));
    const crypto::Digest hash = crypto::sha256(message);
    TPM2B_DIGEST digest{};
    digest.size = static_cast<UINT16>(hash.size());
    std::copy(hash.begin(), hash.end(), digest.buffer);
    TPMT_SIG_SCHEME scheme{};
    scheme.scheme = TPM2_ALG_ECDSA;
    scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
    TPMT_TK_HASHCHECK unchecked{};
    unchecked.tag = TPM2_ST_HASHCHECK;
    unchecked.hierarchy = TPM2_RH_NULL;
    TPMT_SIGNATURE* made = nullptr;
    const TSS2_RC code = Esys_Sign(tpm_.esys, key.handle, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                   &scheme, &unchecked, &made);
    const Esys<TPMT_SIGNATURE> signature(made);
    if (code != TSS2_RC_SUCCESS) return tpm_refusal(code, "the TPM did not sign").at(place_);
    Bytes raw;
    if (!add_padded(raw, signature->signature.ecdsa.signatureR) ||
        !add_padded(raw, signature->signature.ecdsa.signatureS)) {
      return fail(ErrorKind::kInternal, "key_store_failed", "the TPM's signature is none of P-256").at(place_);
    }
    return crypto::ecdsa_to_der(raw);
  }

  // That this TPM can load the key at all is found at the start, not at the first rotation in months.
  Status check() {
    Loaded parent(tpm_), key(tpm_);
    return load(parent, key);
  }

 private:
  Status load(Loaded& parent, Loaded& key) {
    WARY_RETURN_IF_ERROR(load_parent(tpm_, parent));
    TSS2_RC code = load_blob(tpm_, parent, blob_, key);
    if (code != TSS2_RC_SUCCESS) return tpm_refusal(code, "the TPM does not load the key").at(place_);
    TPM2B_AUTH auth{};
    auth.size = static_cast<UINT16>(pin_.size());
    std::ranges::copy(pin_.reveal(), auth.buffer);
    code = Esys_TR_SetAuth(tpm_.esys, key.handle, &auth);
    wipe(&auth, sizeof auth);
    return code == TSS2_RC_SUCCESS ? Status() : Status(tpm_refusal(code, "the key takes no PIN").at(place_));
  }

  Tpm& tpm_;
  const Secret& pin_;
  std::string place_;
  TpmBlob blob_;
  Bytes spki_;
};

class TpmStore final : public KeyStore {
 public:
  TpmStore(io::Files& files, std::string directory, std::unique_ptr<Tpm> tpm, Secret pin)
      : files_(files), directory_(std::move(directory)), tpm_(std::move(tpm)), pin_(std::move(pin)) {}
  std::string_view name() const override { return "tpm"; }

  Result<std::unique_ptr<Key>> generate(std::string_view key) override {
    WARY_RETURN_IF_ERROR(check_key_name(key));
    const std::string path = path_of(key);
    WARY_RETURN_IF_ERROR(files_.make_directory(directory_));
    WARY_RETURN_IF_ERROR(files_.sync_directory(io::folder_of(directory_)));
    if (files_.status(path)) {
      return fail(ErrorKind::kConflict, "key_store_exists", "there is a key of that name already").at(path);
    }
    WARY_ASSIGN_OR_RETURN(const TpmBlob blob, create());
    const auto bytes = write_tpm_blob(blob);
    if (!bytes) return fail(ErrorKind::kInternal, "key_store_failed", "the key's blob cannot be written");
    WARY_RETURN_IF_ERROR(io::write_file_atomically(files_, path, *bytes));
    return load(key);
  }

  Result<std::unique_ptr<Key>> load(std::string_view key) override {
    WARY_RETURN_IF_ERROR(check_key_name(key));
    const std::string path = path_of(key);
    const auto stored = io::read_file(files_, path, kTpmBlobMax);
    if (!stored) {
      if (stored.error().kind != ErrorKind::kNotFound) return stored.error();
      return fail(ErrorKind::kDataLoss, "key_store_missing", "a key's blob is gone")
          .at(path)
          .next("restore it from a backup; no new key takes its place");
    }
    const auto blob = read_tpm_blob(*stored);
    const auto spki = blob ? spki_of_blob(*blob) : std::nullopt;
    if (!spki) {
      return fail(ErrorKind::kDataLoss, "key_store_damaged", "a key's blob is damaged")
          .at(path)
          .next("restore this file from a backup; no new key takes its place");
    }
    auto loaded = std::make_unique<TpmKey>(*tpm_, pin_, path, *blob, *spki);
    WARY_RETURN_IF_ERROR(loaded->check());
    return std::unique_ptr<Key>(std::move(loaded));
  }

  Status remove(std::string_view key) override {
    WARY_RETURN_IF_ERROR(check_key_name(key));
    const Status removed = files_.remove(path_of(key));
    if (!removed) return removed.error().kind == ErrorKind::kNotFound ? Status() : removed;
    return files_.sync_directory(directory_);
  }

 private:
  std::string path_of(std::string_view key) const { return directory_ + "/" + std::string(key) + ".tpm"; }

  Result<TpmBlob> create() {
    Loaded parent(*tpm_);
    WARY_RETURN_IF_ERROR(load_parent(*tpm_, parent));
    TPM2B_SENSITIVE_CREATE secret{};
    secret.sensitive.userAuth.size = static_cast<UINT16>(pin_.size());
    std::ranges::copy(pin_.reveal(), secret.sensitive.userAuth.buffer);
    TpmBlob blob;
    const TSS2_RC code = create_blob(*tpm_, parent, secret, ecc_template(TPMA_OBJECT_SIGN_ENCRYPT), blob);
    wipe(&secret, sizeof secret);
    if (code != TSS2_RC_SUCCESS) return tpm_refusal(code, "the TPM made no key");
    return blob;
  }

  io::Files& files_;
  std::string directory_;
  std::unique_ptr<Tpm> tpm_;
  Secret pin_;
};

}  // namespace

Result<std::unique_ptr<KeyStore>> open_tpm_store(io::Files& files, std::string directory, const TpmOptions& options,
                                                 Secret pin) {
  const auto absent = [&](TSS2_RC code) {
    return fail(ErrorKind::kUnavailable, "key_store_absent", "there is no TPM")
        .at(options.tcti)
        .found(Tss2_RC_Decode(code))
        .next("correct which TPM is meant, and let the signer's user open it");
  };
  if (pin.size() > kPinMax) {
    return fail(ErrorKind::kInvalid, "key_store_pin", "a TPM's PIN has at most 32 bytes");
  }
  std::unique_ptr<Tpm> tpm;
  const TSS2_RC code = open_tpm(options.tcti, tpm);
  if (code != TSS2_RC_SUCCESS) return absent(code);
  return std::unique_ptr<KeyStore>(
      std::make_unique<TpmStore>(files, std::move(directory), std::move(tpm), std::move(pin)));
}

}  // namespace wary::keystore
