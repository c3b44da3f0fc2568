#include "keystore/pkcs11_store.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <array>

#include "crypto/hash.h"
#include "crypto/p256.h"

namespace wary::keystore {

namespace {

constexpr std::size_t kPointSize = 65;
constexpr std::size_t kRawSignature = 64;
constexpr CK_ULONG kFoundMax = 8;
constexpr std::size_t kSlotsMax = 64;
std::array<std::uint8_t, 10> p256_oid() { return {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}; }

std::string code_text(CK_RV code) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out = "CKR 0x";
  for (int shift = 28; shift >= 0; shift -= 4) out += kDigits[(code >> shift) & 15];
  return out;
}

// What a person can do something about has its own code.
Error refusal_of(CK_RV code, std::string_view what) {
  switch (code) {
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      return fail(ErrorKind::kUnauthenticated, "key_store_pin", "the token does not take this PIN")
          .next("correct the PIN's file; a token locks itself after a few wrong ones");
    case CKR_PIN_LOCKED:
    case CKR_USER_PIN_NOT_INITIALIZED:
    case CKR_PIN_EXPIRED:
      return fail(ErrorKind::kUnavailable, "key_store_locked", "the token is locked, or has no user's PIN")
          .next("set the user's PIN as the token's security officer");
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_DEVICE_REMOVED:
    case CKR_SLOT_ID_INVALID:
    case CKR_TOKEN_NOT_RECOGNIZED:
      return fail(ErrorKind::kUnavailable, "key_store_absent", "the token is not there").found(code_text(code));
    case CKR_KEY_HANDLE_INVALID:
    case CKR_OBJECT_HANDLE_INVALID:
      return fail(ErrorKind::kDataLoss, "key_store_missing", "a key is gone from the token").found(code_text(code));
    default: return fail(ErrorKind::kUnavailable, "key_store_failed", what).found(code_text(code));
  }
}

struct Attributes {
  std::vector<CK_ATTRIBUTE> list;
  void add(CK_ATTRIBUTE_TYPE type, const void* value, std::size_t size) {
    list.push_back({type, const_cast<void*>(value), static_cast<CK_ULONG>(size)});  // NOLINT: the interface's type
  }
  CK_ULONG count() const { return static_cast<CK_ULONG>(list.size()); }
};

struct TokenSession {
  CK_FUNCTION_LIST* calls = nullptr;
  CK_SESSION_HANDLE handle = 0;
  bool is_initialized = false;
  std::string token;

  ~TokenSession() {
    if (handle != 0) calls->C_CloseSession(handle);
    if (is_initialized) calls->C_Finalize(nullptr);
  }

  Result<std::vector<CK_OBJECT_HANDLE>> find(std::string_view key, const CK_OBJECT_CLASS* kind) const {
    Attributes wanted;
    wanted.add(CKA_ID, key.data(), key.size());
    if (kind != nullptr) wanted.add(CKA_CLASS, kind, sizeof *kind);
    if (const CK_RV code = calls->C_FindObjectsInit(handle, wanted.list.data(), wanted.count()); code != CKR_OK) {
      return refusal_of(code, "the token does not look for keys");
    }
    std::vector<CK_OBJECT_HANDLE> found(kFoundMax);
    CK_ULONG count = 0;
    const CK_RV code = calls->C_FindObjects(handle, found.data(), kFoundMax, &count);
    calls->C_FindObjectsFinal(handle);
    if (code != CKR_OK) return refusal_of(code, "the token does not look for keys");
    found.resize(count);
    return found;
  }
  std::string place(std::string_view key) const { return "token " + token + ", key " + std::string(key); }
};

class TokenKey final : public Key {
 public:
  TokenKey(TokenSession& session, std::string name, CK_OBJECT_HANDLE handle, Bytes spki)
      : session_(session), name_(std::move(name)), handle_(handle), spki_(std::move(spki)) {}
  Bytes spki() const override { return spki_; }
  Result<Bytes> sign(ByteView message) override {
    crypto::Digest digest = crypto::sha256(message);
    CK_MECHANISM ecdsa{CKM_ECDSA, nullptr, 0};
    Bytes raw(kRawSignature);
    CK_ULONG size = kRawSignature;
    CK_RV code = session_.calls->C_SignInit(session_.handle, &ecdsa, handle_);
    if (code == CKR_OK) code = session_.calls->C_Sign(session_.handle, digest.data(), digest.size(), raw.data(), &size);
    if (code != CKR_OK) return refusal_of(code, "the token did not sign").at(session_.place(name_));
    raw.resize(size);
    return crypto::ecdsa_to_der(raw);
  }

 private:
  TokenSession& session_;
  std::string name_;
  CK_OBJECT_HANDLE handle_;
  Bytes spki_;
};

// CKA_EC_POINT is an OCTET STRING around the point; some modules leave the wrapping out.
Result<Bytes> public_half(const TokenSession& session, CK_OBJECT_HANDLE handle) {
  Bytes point(128);
  CK_ATTRIBUTE attribute{CKA_EC_POINT, point.data(), point.size()};
  const CK_RV code = session.calls->C_GetAttributeValue(session.handle, handle, &attribute, 1);
  if (code != CKR_OK) return refusal_of(code, "the token does not show a public key");
  point.resize(std::min<std::size_t>(attribute.ulValueLen, point.size()));
  if (point.size() == kPointSize + 2 && point[0] == 4 && point[1] == kPointSize)
    point.erase(point.begin(), point.begin() + 2);
  Bytes spki(crypto::kP256SpkiPrefix.begin(), crypto::kP256SpkiPrefix.end());
  append(spki, point);
  if (point.size() != kPointSize || !crypto::PublicKey::decode_spki(spki)) {
    return fail(ErrorKind::kDataLoss, "key_store_damaged", "a key of the token is none of P-256");
  }
  return spki;
}

class Pkcs11Store final : public KeyStore {
 public:
  explicit Pkcs11Store(std::unique_ptr<TokenSession> session) : session_(std::move(session)) {}
  std::string_view name() const override { return "pkcs11"; }

  Result<std::unique_ptr<Key>> generate(std::string_view key) override {
    WARY_RETURN_IF_ERROR(check_key_name(key));
    WARY_ASSIGN_OR_RETURN(const auto there, session_->find(key, nullptr));
    if (!there.empty()) {
      return fail(ErrorKind::kConflict, "key_store_exists", "there is a key of that name already")
          .at(session_->place(key));
    }
    const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    const auto oid = p256_oid();
    Attributes shown, hidden;
    for (Attributes* half : {&shown, &hidden}) {
      half->add(CKA_TOKEN, &yes, sizeof yes);
      half->add(CKA_ID, key.data(), key.size());
      half->add(CKA_LABEL, key.data(), key.size());
    }
    shown.add(CKA_EC_PARAMS, oid.data(), oid.size());
    shown.add(CKA_VERIFY, &yes, sizeof yes);
    hidden.add(CKA_PRIVATE, &yes, sizeof yes);
    hidden.add(CKA_SENSITIVE, &yes, sizeof yes);
    hidden.add(CKA_EXTRACTABLE, &no, sizeof no);
    hidden.add(CKA_SIGN, &yes, sizeof yes);
    CK_MECHANISM make{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    CK_OBJECT_HANDLE a = 0, b = 0;
    const CK_RV code = session_->calls->C_GenerateKeyPair(session_->handle, &make, shown.list.data(), shown.count(),
                                                          hidden.list.data(), hidden.count(), &a, &b);
    if (code != CKR_OK) return refusal_of(code, "the token made no key").at(session_->place(key));
    return load(key);
  }

  Result<std::unique_ptr<Key>> load(std::string_view key) override {
    WARY_RETURN_IF_ERROR(check_key_name(key));
    const CK_OBJECT_CLASS hidden = CKO_PRIVATE_KEY, shown = CKO_PUBLIC_KEY;
    WARY_ASSIGN_OR_RETURN(const auto keys, session_->find(key, &hidden));
    WARY_ASSIGN_OR_RETURN(const auto halves, session_->find(key, &shown));
    if (keys.size() != 1 || halves.size() != 1) {
      return fail(ErrorKind::kDataLoss, "key_store_missing", "a key is gone from the token, or there twice")
          .at(session_->place(key))
          .next("restore the token from its backup; no new key takes its place");
    }
    WARY_ASSIGN_OR_RETURN(Bytes spki, public_half(*session_, halves[0]));
    return std::unique_ptr<Key>(std::make_unique<TokenKey>(*session_, std::string(key), keys[0], std::move(spki)));
  }

  Status remove(std::string_view key) override {
    WARY_RETURN_IF_ERROR(check_key_name(key));
    WARY_ASSIGN_OR_RETURN(const auto found, session_->find(key, nullptr));
    for (const CK_OBJECT_HANDLE object : found) {
      const CK_RV code = session_->calls->C_DestroyObject(session_->handle, object);
      if (code != CKR_OK) return refusal_of(code, "the token did not remove a key").at(session_->place(key));
    }
    return {};
  }

 private:
  std::unique_ptr<TokenSession> session_;
};

Result<CK_SLOT_ID> find_token(CK_FUNCTION_LIST* calls, std::string_view label) {
  std::array<CK_SLOT_ID, kSlotsMax> slots{};
  CK_ULONG count = kSlotsMax;
  const CK_RV code = calls->C_GetSlotList(CK_TRUE, slots.data(), &count);
  if (code != CKR_OK) return refusal_of(code, "the module names no tokens");
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO token{};
    if (calls->C_GetTokenInfo(slots[i], &token) != CKR_OK) continue;
    std::string_view name(reinterpret_cast<const char*>(token.label), sizeof token.label);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (name != label) continue;
    if ((token.flags & CKF_USER_PIN_LOCKED) != 0) return refusal_of(CKR_PIN_LOCKED, "");
    return slots[i];
  }
  return fail(ErrorKind::kUnavailable, "key_store_absent", "the module has no token of this label")
      .found(label)
      .next("initialise the token, or name the right one");
}

}  // namespace

Result<std::unique_ptr<KeyStore>> open_pkcs11_store(const Pkcs11Options& options, const Secret& pin) {
  const auto absent = [&](std::string_view why) {
    return fail(ErrorKind::kUnavailable, "key_store_absent", "the PKCS#11 module cannot be used")
        .at(options.module)
        .found(why)
        .next("install the HSM's module, or correct its path");
  };
  if (pin.empty()) return refusal_of(CKR_PIN_LEN_RANGE, "");
  void* module = options.module.starts_with('/') ? dlopen(options.module.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (module == nullptr) return absent("it cannot be loaded");
  const auto entry = reinterpret_cast<CK_RV (*)(CK_FUNCTION_LIST**)>(dlsym(module, "C_GetFunctionList"));
  auto session = std::make_unique<TokenSession>();
  session->token = options.token;
  if (entry == nullptr || entry(&session->calls) != CKR_OK) return absent("it is no PKCS#11 module");
  CK_RV code = session->calls->C_Initialize(nullptr);
  if (code != CKR_OK) return absent(code_text(code));
  session->is_initialized = true;
  WARY_ASSIGN_OR_RETURN(const CK_SLOT_ID slot, find_token(session->calls, options.token));
  code = session->calls->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session->handle);
  if (code != CKR_OK) return refusal_of(code, "the token opens no session").at("token " + options.token);
  Bytes spoken(pin.reveal().begin(), pin.reveal().end());  // the interface wants it writable
  code = session->calls->C_Login(session->handle, CKU_USER, spoken.data(), spoken.size());
  wipe(spoken.data(), spoken.size());
  if (code != CKR_OK) return refusal_of(code, "the token takes no login").at("token " + options.token);
  return std::unique_ptr<KeyStore>(std::make_unique<Pkcs11Store>(std::move(session)));
}

}  // namespace wary::keystore
