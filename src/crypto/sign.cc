#include "crypto/sign.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>

#include <algorithm>
#include <array>

#include "crypto/key_material.h"

namespace wary::crypto {

namespace {

constexpr std::size_t kDerMax = 4096;

Error key_syntax(std::string_view what) { return openssl_error(ErrorKind::kInvalid, "key_syntax", what); }

std::shared_ptr<const KeyMaterial> share(KeyMaterial material) {
  return std::make_shared<const KeyMaterial>(std::move(material));
}

Bytes spki_of(const EVP_PKEY* key) {
  const int size = i2d_PUBKEY(key, nullptr);
  WARY_CHECK(size > 0);
  Bytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.data();
  WARY_CHECK(i2d_PUBKEY(key, &out) == size);
  return der;
}

// SubjectPublicKeyInfo of P-256 up to the point: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING }.
constexpr std::array<std::uint8_t, 26> kP256Prefix = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                                      0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                                      0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

}  // namespace

const EVP_MD* digest_for(KeyType type) { return type == KeyType::kEd25519 ? nullptr : EVP_sha256(); }

Result<KeyMaterial> classify(KeyHandle key) {
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_ED25519) return KeyMaterial{std::move(key), KeyType::kEd25519};
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC) {
    std::array<char, 64> group{};
    std::size_t length = 0;
    if (EVP_PKEY_get_group_name(key.get(), group.data(), group.size(), &length) == 1 &&
        std::string_view(group.data(), length) == SN_X9_62_prime256v1) {
      return KeyMaterial{std::move(key), KeyType::kEcdsaP256};
    }
  }
  ERR_clear_error();
  return fail(ErrorKind::kUnsupported, "key_type_unsupported", "the key is of another algorithm")
      .expected("Ed25519 or ECDSA P-256");
}

Result<PublicKey> PublicKey::decode_spki(ByteView der) {
  if (der.size() > kDerMax) return fail(ErrorKind::kInvalid, "key_syntax", "the public key is too long");
  const std::uint8_t* at = der.data();
  KeyHandle key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (!key) return key_syntax("the public key is malformed");
  if (at != der.data() + der.size()) {
    return fail(ErrorKind::kInvalid, "key_syntax", "bytes follow the public key")
        .at("offset " + std::to_string(at - der.data()));
  }
  WARY_ASSIGN_OR_RETURN(KeyMaterial material, classify(std::move(key)));
  // One spelling a key: compressed points and long-form lengths would make two pins of one key.
  if (!std::ranges::equal(spki_of(material.key.get()), der)) {
    return fail(ErrorKind::kInvalid, "key_syntax", "the public key is not in its canonical DER form");
  }
  return PublicKey(share(std::move(material)));
}

Result<PublicKey> PublicKey::from_raw(KeyType type, ByteView raw) {
  if (type == KeyType::kEcdsaP256) {
    if (raw.size() != 65 || raw[0] != 4) {
      return fail(ErrorKind::kInvalid, "key_syntax", "a P-256 point is 04, x and y").expected("65 bytes");
    }
    Bytes der(kP256Prefix.begin(), kP256Prefix.end());
    append(der, raw);
    return decode_spki(der);
  }
  KeyHandle key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw.data(), raw.size()));
  if (!key) return key_syntax("an Ed25519 public key has 32 bytes");
  return PublicKey(share({std::move(key), KeyType::kEd25519}));
}

KeyType PublicKey::type() const { return material_->type; }
Bytes PublicKey::to_spki() const { return spki_of(material_->key.get()); }

Bytes PublicKey::raw() const {
  const Bytes spki = to_spki();
  const std::size_t size = type() == KeyType::kEd25519 ? 32 : 65;
  return {spki.end() - static_cast<std::ptrdiff_t>(size), spki.end()};
}

bool PublicKey::verify(ByteView message, ByteView signature) const {
  const DigestContextHandle context(EVP_MD_CTX_new());
  const bool good =
      context && EVP_DigestVerifyInit(context.get(), nullptr, digest_for(type()), nullptr, material_->key.get()) == 1 &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
  ERR_clear_error();
  return good;
}

Result<PrivateKey> PrivateKey::generate(KeyType type) {
  KeyHandle key(type == KeyType::kEd25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                                          : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  if (!key) return openssl_error(ErrorKind::kInternal, "key_failed", "no key was generated");
  return PrivateKey(share({std::move(key), type}));
}

Result<PrivateKey> PrivateKey::from_pkcs8(ByteView der) {
  if (der.size() > kDerMax) return fail(ErrorKind::kInvalid, "key_syntax", "the private key is too long");
  const std::uint8_t* at = der.data();
  const Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> envelope(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (!envelope || at != der.data() + der.size()) return key_syntax("the private key is no PKCS#8 structure");
  KeyHandle key(EVP_PKCS82PKEY(envelope.get()));
  if (!key) return key_syntax("the private key is malformed");
  WARY_ASSIGN_OR_RETURN(KeyMaterial material, classify(std::move(key)));
  const KeyContextHandle check(EVP_PKEY_CTX_new(material.key.get(), nullptr));
  if (material.type == KeyType::kEcdsaP256 && EVP_PKEY_pairwise_check(check.get()) != 1) {
    return key_syntax("the private and the public half do not belong together");
  }
  return PrivateKey(share(std::move(material)));
}

KeyType PrivateKey::type() const { return material_->type; }

Result<Secret> PrivateKey::to_pkcs8() const {
  const Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> envelope(EVP_PKEY2PKCS8(material_->key.get()));
  const int size = envelope ? i2d_PKCS8_PRIV_KEY_INFO(envelope.get(), nullptr) : 0;
  if (size <= 0) return openssl_error(ErrorKind::kInternal, "key_failed", "the key cannot be written");
  Secret der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.reveal_mutable().data();
  if (i2d_PKCS8_PRIV_KEY_INFO(envelope.get(), &out) != size) {
    return openssl_error(ErrorKind::kInternal, "key_failed", "the key cannot be written");
  }
  return der;
}

PublicKey PrivateKey::public_key() const {
  auto key = PublicKey::decode_spki(spki_of(material_->key.get()));
  WARY_CHECK(key.ok());
  return std::move(key).value();
}

Result<Bytes> PrivateKey::sign(ByteView message) const {
  const DigestContextHandle context(EVP_MD_CTX_new());
  std::size_t size = 80;  // 64 for Ed25519, at most 72 for P-256 in DER
  Bytes signature(size);
  if (!context || EVP_DigestSignInit(context.get(), nullptr, digest_for(type()), nullptr, material_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1) {
    return openssl_error(ErrorKind::kInternal, "key_failed", "the message was not signed");
  }
  signature.resize(size);
  return signature;
}

Result<Bytes> ecdsa_to_raw(ByteView der, std::size_t width) {
  const std::uint8_t* at = der.data();
  const Handle<ECDSA_SIG, ECDSA_SIG_free> signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!signature || at != der.data() + der.size()) return key_syntax("this is no ECDSA signature in DER");
  Bytes raw(2 * width);
  const int scalar = static_cast<int>(width);
  if (BN_is_negative(ECDSA_SIG_get0_r(signature.get())) || BN_is_negative(ECDSA_SIG_get0_s(signature.get())) ||
      BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), scalar) != scalar ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + width, scalar) != scalar) {
    return key_syntax("the signature is out of range");
  }
  return raw;
}

Result<Bytes> ecdsa_to_der(ByteView raw, std::size_t width) {
  if (raw.size() != 2 * width) {
    return fail(ErrorKind::kInvalid, "key_syntax", "a raw ECDSA signature is r and s")
        .expected(std::to_string(2 * width) + " bytes");
  }
  const int scalar = static_cast<int>(width);
  const Handle<ECDSA_SIG, ECDSA_SIG_free> signature(ECDSA_SIG_new());
  BignumHandle r(BN_bin2bn(raw.data(), scalar, nullptr));
  BignumHandle s(BN_bin2bn(raw.data() + width, scalar, nullptr));
  WARY_CHECK(signature && r && s && ECDSA_SIG_set0(signature.get(), r.get(), s.get()) == 1);
  (void)r.release();  // set0 owns both now
  (void)s.release();
  const int size = i2d_ECDSA_SIG(signature.get(), nullptr);
  WARY_CHECK(size > 0);
  Bytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.data();
  WARY_CHECK(i2d_ECDSA_SIG(signature.get(), &out) == size);
  return der;
}

}  // namespace wary::crypto
