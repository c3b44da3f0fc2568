#include "crypto/jose_key.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <string>

#include "crypto/handles.h"
#include "crypto/sign.h"

namespace wary::crypto {

struct VerifyKeyMaterial {
  KeyHandle key;
  JoseKeyType type;
  Bytes first;
  Bytes second;
};

struct SigningKeyMaterial {
  KeyHandle key;
  VerifyKey shown;
};

namespace {

using ParameterBuilder = Handle<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Parameters = Handle<OSSL_PARAM, OSSL_PARAM_free>;

constexpr std::size_t kDocumentMax = 16 * 1024;
constexpr int kRsaBitsMin = 2048;
constexpr int kRsaBitsMax = 8192;
constexpr std::size_t kExponentBytesMax = 4;

enum class Family { kPkcs1, kPss, kEcdsa, kEdDsa };

struct AlgorithmRow {
  SignatureAlgorithm algorithm;
  std::string_view name;
  Family family;
  const EVP_MD* (*digest)();
  JoseKeyType type;
};

constexpr std::array<AlgorithmRow, 10> kAlgorithms = {{
    {SignatureAlgorithm::kRs256, "RS256", Family::kPkcs1, EVP_sha256, JoseKeyType::kRsa},
    {SignatureAlgorithm::kRs384, "RS384", Family::kPkcs1, EVP_sha384, JoseKeyType::kRsa},
    {SignatureAlgorithm::kRs512, "RS512", Family::kPkcs1, EVP_sha512, JoseKeyType::kRsa},
    {SignatureAlgorithm::kPs256, "PS256", Family::kPss, EVP_sha256, JoseKeyType::kRsa},
    {SignatureAlgorithm::kPs384, "PS384", Family::kPss, EVP_sha384, JoseKeyType::kRsa},
    {SignatureAlgorithm::kPs512, "PS512", Family::kPss, EVP_sha512, JoseKeyType::kRsa},
    {SignatureAlgorithm::kEs256, "ES256", Family::kEcdsa, EVP_sha256, JoseKeyType::kP256},
    {SignatureAlgorithm::kEs384, "ES384", Family::kEcdsa, EVP_sha384, JoseKeyType::kP384},
    {SignatureAlgorithm::kEs512, "ES512", Family::kEcdsa, EVP_sha512, JoseKeyType::kP521},
    {SignatureAlgorithm::kEdDsa, "EdDSA", Family::kEdDsa, nullptr, JoseKeyType::kEd25519},
}};

const AlgorithmRow& row_of(SignatureAlgorithm algorithm) { return kAlgorithms[static_cast<std::size_t>(algorithm)]; }

struct CurveRow {
  JoseKeyType type;
  const char* group;
  std::size_t width;
};
constexpr std::array<CurveRow, 3> kCurves = {{{JoseKeyType::kP256, SN_X9_62_prime256v1, 32},
                                              {JoseKeyType::kP384, SN_secp384r1, 48},
                                              {JoseKeyType::kP521, SN_secp521r1, 66}}};

std::size_t curve_width(JoseKeyType type) {
  for (const CurveRow& row : kCurves) {
    if (row.type == type) return row.width;
  }
  return 0;
}

Error bad_key(std::string_view what) { return openssl_error(ErrorKind::kInvalid, "jose_key_syntax", what); }
Error bad_type() {
  ERR_clear_error();
  return fail(ErrorKind::kUnsupported, "jose_key_type", "the key is of another algorithm")
      .expected("EC P-256, P-384 or P-521, RSA, or Ed25519");
}
Error bad_rsa(std::string_view what) {
  ERR_clear_error();
  return fail(ErrorKind::kInvalid, "jose_key_rsa", what);
}

Result<KeyHandle> key_from(const char* type, OSSL_PARAM_BLD* builder) {
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  const KeyContextHandle context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return bad_key("the public key is malformed");
  }
  return KeyHandle(key);
}

Bytes integer_of(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &number) != 1) return {};
  const BignumHandle owned(number);
  Bytes out(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, out.data());
  return out;
}

// The public half of whatever OpenSSL decoded, made anew from its numbers: so no option of an encoding (explicit
// curves, compressed points, PSS parameters) comes along.
Result<VerifyKey> rebuild(const EVP_PKEY* key) {
  const int id = EVP_PKEY_get_base_id(key);
  if (id == EVP_PKEY_RSA) {
    return VerifyKey::from_rsa(integer_of(key, OSSL_PKEY_PARAM_RSA_N), integer_of(key, OSSL_PKEY_PARAM_RSA_E));
  }
  if (id == EVP_PKEY_ED25519) {
    Bytes raw(32);
    std::size_t size = raw.size();
    if (EVP_PKEY_get_raw_public_key(key, raw.data(), &size) != 1) return bad_key("the public key is malformed");
    return VerifyKey::from_ed25519(raw);
  }
  std::array<char, 64> group{};
  if (id != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1) return bad_type();
  for (const CurveRow& row : kCurves) {
    if (std::string_view(group.data()) != row.group) continue;
    const auto padded = [&](const char* name) {
      Bytes number = integer_of(key, name);
      if (number.size() < row.width) number.insert(number.begin(), row.width - number.size(), 0);
      return number;
    };
    return VerifyKey::from_point(row.type, padded(OSSL_PKEY_PARAM_EC_PUB_X), padded(OSSL_PKEY_PARAM_EC_PUB_Y));
  }
  return bad_type();
}

// What both directions set after init: the padding that the algorithm demands, whatever the key's default is.
bool set_padding(EVP_PKEY_CTX* context, const AlgorithmRow& row) {
  if (row.family == Family::kPkcs1) return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  if (row.family != Family::kPss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, row.digest()) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

const EVP_MD* digest_of(const AlgorithmRow& row) { return row.digest == nullptr ? nullptr : row.digest(); }

}  // namespace

std::string_view to_string(SignatureAlgorithm algorithm) { return row_of(algorithm).name; }

std::optional<SignatureAlgorithm> signature_algorithm_of(std::string_view name) {
  for (const AlgorithmRow& row : kAlgorithms) {
    if (row.name == name) return row.algorithm;
  }
  return std::nullopt;
}

Result<VerifyKey> VerifyKey::from_point(JoseKeyType type, ByteView x, ByteView y) {
  const std::size_t width = curve_width(type);
  if (width == 0) return bad_type();
  if (x.size() != width || y.size() != width) {
    return fail(ErrorKind::kInvalid, "jose_key_syntax", "a coordinate has the full width of its curve")
        .expected(std::to_string(width) + " bytes");
  }
  Bytes point = {4};
  append(point, x);
  append(point, y);
  const char* group = std::ranges::find(kCurves, type, &CurveRow::type)->group;
  const ParameterBuilder builder(OSSL_PARAM_BLD_new());
  WARY_CHECK(builder && OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
             OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) == 1);
  WARY_ASSIGN_OR_RETURN(KeyHandle key, key_from("EC", builder.get()));
  return VerifyKey(std::make_shared<const VerifyKeyMaterial>(
      VerifyKeyMaterial{std::move(key), type, Bytes(x.begin(), x.end()), Bytes(y.begin(), y.end())}));
}

Result<VerifyKey> VerifyKey::from_rsa(ByteView modulus, ByteView exponent) {
  if (modulus.empty() || modulus[0] == 0 || exponent.empty() || exponent[0] == 0) {
    return fail(ErrorKind::kInvalid, "jose_key_syntax", "a number is written in its fewest bytes");
  }
  if (modulus.size() > kRsaBitsMax / 8 || exponent.size() > kExponentBytesMax) {
    return bad_rsa("the modulus or the exponent is too long");
  }
  const BignumHandle n(BN_bin2bn(modulus.data(), static_cast<int>(modulus.size()), nullptr));
  const BignumHandle e(BN_bin2bn(exponent.data(), static_cast<int>(exponent.size()), nullptr));
  WARY_CHECK(n && e);
  if (BN_num_bits(n.get()) < kRsaBitsMin) {
    return bad_rsa("the modulus is too short")
        .expected("2048 to 8192 bits")
        .found(std::to_string(BN_num_bits(n.get())));
  }
  if (!BN_is_odd(n.get()) || !BN_is_odd(e.get()) || BN_is_one(e.get())) {
    return bad_rsa("modulus and exponent are odd, and the exponent is above 1");
  }
  const ParameterBuilder builder(OSSL_PARAM_BLD_new());
  WARY_CHECK(builder && OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) == 1 &&
             OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) == 1);
  WARY_ASSIGN_OR_RETURN(KeyHandle key, key_from("RSA", builder.get()));
  return VerifyKey(std::make_shared<const VerifyKeyMaterial>(
      VerifyKeyMaterial{std::move(key), JoseKeyType::kRsa, Bytes(modulus.begin(), modulus.end()),
                        Bytes(exponent.begin(), exponent.end())}));
}

Result<VerifyKey> VerifyKey::from_ed25519(ByteView raw) {
  KeyHandle key(raw.size() == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw.data(), raw.size())
                                 : nullptr);
  if (!key) return bad_key("an Ed25519 public key has 32 bytes");
  return VerifyKey(std::make_shared<const VerifyKeyMaterial>(
      VerifyKeyMaterial{std::move(key), JoseKeyType::kEd25519, Bytes(raw.begin(), raw.end()), {}}));
}

Result<VerifyKey> VerifyKey::decode_spki(ByteView der) {
  if (der.size() > kDocumentMax) return fail(ErrorKind::kInvalid, "jose_key_syntax", "the public key is too long");
  const std::uint8_t* at = der.data();
  const KeyHandle key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (!key) return bad_key("the public key is malformed");
  WARY_ASSIGN_OR_RETURN(VerifyKey built, rebuild(key.get()));
  if (!std::ranges::equal(built.to_spki(), der)) {
    return fail(ErrorKind::kInvalid, "jose_key_syntax", "the public key is not in its canonical DER form");
  }
  return built;
}

JoseKeyType VerifyKey::type() const { return material_->type; }
bool VerifyKey::fits(SignatureAlgorithm algorithm) const { return row_of(algorithm).type == type(); }
ByteView VerifyKey::first_part() const { return material_->first; }
ByteView VerifyKey::second_part() const { return material_->second; }

Bytes VerifyKey::to_spki() const {
  const int size = i2d_PUBKEY(material_->key.get(), nullptr);
  WARY_CHECK(size > 0);
  Bytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.data();
  WARY_CHECK(i2d_PUBKEY(material_->key.get(), &out) == size);
  return der;
}

namespace {

bool verify_with(EVP_PKEY* key, const AlgorithmRow& row, bool any_salt, ByteView message, ByteView signature) {
  const DigestContextHandle context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;  // the digest context owns it
  const bool good =
      context && EVP_DigestVerifyInit(context.get(), &key_context, digest_of(row), nullptr, key) == 1 &&
      set_padding(key_context, row) &&
      (!any_salt || EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_AUTO) == 1) &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
  ERR_clear_error();
  return good;
}

}  // namespace

bool VerifyKey::verify_der(SignatureAlgorithm algorithm, ByteView message, ByteView signature) const {
  return fits(algorithm) && verify_with(material_->key.get(), row_of(algorithm), false, message, signature);
}
bool VerifyKey::verify_pss_of_any_salt(ByteView message, ByteView signature) const {
  const AlgorithmRow& row = row_of(SignatureAlgorithm::kPs256);
  return type() == row.type && verify_with(material_->key.get(), row, true, message, signature);
}

bool VerifyKey::verify(SignatureAlgorithm algorithm, ByteView message, ByteView signature) const {
  if (!fits(algorithm)) return false;
  if (row_of(algorithm).family != Family::kEcdsa) return verify_der(algorithm, message, signature);
  const auto der = ecdsa_to_der(signature, curve_width(type()));
  return der.ok() && verify_der(algorithm, message, *der);
}

SigningKey::SigningKey(std::unique_ptr<const SigningKeyMaterial> material) : material_(std::move(material)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

Result<SigningKey> SigningKey::generate(JoseKeyType type) {
  KeyHandle key;
  if (type == JoseKeyType::kRsa) {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{kRsaBitsMin}));
  } else if (type == JoseKeyType::kEd25519) {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  } else {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", std::ranges::find(kCurves, type, &CurveRow::type)->group));
  }
  if (!key) return openssl_error(ErrorKind::kInternal, "key_failed", "no key was generated");
  WARY_ASSIGN_OR_RETURN(VerifyKey shown, rebuild(key.get()));
  return SigningKey(std::make_unique<const SigningKeyMaterial>(SigningKeyMaterial{std::move(key), std::move(shown)}));
}

Result<SigningKey> SigningKey::from_pkcs8(ByteView der) {
  if (der.size() > kDocumentMax) return fail(ErrorKind::kInvalid, "jose_key_syntax", "the private key is too long");
  const std::uint8_t* at = der.data();
  const Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> envelope(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (!envelope || at != der.data() + der.size()) return bad_key("the private key is no PKCS#8 structure");
  KeyHandle key(EVP_PKCS82PKEY(envelope.get()));
  if (!key) return bad_key("the private key is malformed");
  WARY_ASSIGN_OR_RETURN(VerifyKey shown, rebuild(key.get()));
  const KeyContextHandle check(EVP_PKEY_CTX_new(key.get(), nullptr));
  if (shown.type() != JoseKeyType::kEd25519 && EVP_PKEY_pairwise_check(check.get()) != 1) {
    return bad_key("the private and the public half do not belong together");
  }
  return SigningKey(std::make_unique<const SigningKeyMaterial>(SigningKeyMaterial{std::move(key), std::move(shown)}));
}

const VerifyKey& SigningKey::public_key() const { return material_->shown; }

Result<Secret> SigningKey::to_pkcs8() const {
  const Handle<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> envelope(EVP_PKEY2PKCS8(material_->key.get()));
  const int size = envelope ? i2d_PKCS8_PRIV_KEY_INFO(envelope.get(), nullptr) : 0;
  if (size <= 0) return openssl_error(ErrorKind::kInternal, "key_failed", "the key cannot be written");
  Secret der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.reveal_mutable().data();
  WARY_CHECK(i2d_PKCS8_PRIV_KEY_INFO(envelope.get(), &out) == size);
  return der;
}

Result<Bytes> SigningKey::sign(SignatureAlgorithm algorithm, ByteView message) const {
  if (!public_key().fits(algorithm)) {
    return fail(ErrorKind::kInvalid, "jose_key_type", "the key does not sign with that algorithm")
        .found(to_string(algorithm));
  }
  const AlgorithmRow& row = row_of(algorithm);
  const DigestContextHandle context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(material_->key.get()));
  Bytes signature(size);
  if (!context || EVP_DigestSignInit(context.get(), &key_context, digest_of(row), nullptr, material_->key.get()) != 1 ||
      !set_padding(key_context, row) ||
      EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1) {
    return openssl_error(ErrorKind::kInternal, "key_failed", "the message was not signed");
  }
  signature.resize(size);
  return row.family == Family::kEcdsa ? ecdsa_to_raw(signature, curve_width(public_key().type())) : signature;
}

}  // namespace wary::crypto
