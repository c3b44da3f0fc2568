#include <algorithm>

#include "crypto/key_material.h"
#include "crypto/x509.h"
#include "crypto/x509_private.h"

namespace wary::crypto {

namespace {

Error failed(std::string_view what) { return openssl_error(ErrorKind::kInternal, "x509_failed", what); }
Error bad_option(std::string_view what) { return fail(ErrorKind::kInvalid, "x509_option", what); }

EVP_PKEY* key_of(const PrivateKey& key) { return key.material().key.get(); }

template <typename T, int (*kEncode)(const T*, std::uint8_t**)>
Result<Bytes> encode_der(const T* object) {
  const int size = kEncode(object, nullptr);
  if (size <= 0) return failed("the structure cannot be written");
  Bytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.data();
  if (kEncode(object, &out) != size) return failed("the structure cannot be written");
  return der;
}

bool is_dns_name(std::string_view name) {
  if (name.starts_with("*.")) name.remove_prefix(2);
  if (name.empty() || name.size() > 253 || name.front() == '.' || name.back() == '.') return false;
  std::size_t label = 0;
  for (const char c : name) {
    const bool word =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!word && c != '.') return false;
    label = c == '.' ? 0 : label + 1;
    if (label > 63 || (c == '.' && label == 0 && name.find("..") != name.npos)) return false;
  }
  return true;
}

// 16 random bytes (RFC 5280 section 4.1.2.2: positive, at most 20; CA/B: at least 64 bits from a generator).
Status set_serial(X509* x509, std::string& text) {
  const BignumHandle number(BN_new());
  if (!number || BN_rand(number.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)) == nullptr) {
    return failed("no serial number");
  }
  char* hex = BN_bn2hex(number.get());
  if (hex == nullptr) return failed("no serial number");
  text = hex;
  OPENSSL_free(hex);
  return {};
}

Status set_times(X509* x509, UnixTime not_before, UnixTime not_after) {
  if (not_after <= not_before) return bad_option("the end of validity is not after its beginning");
  if (ASN1_TIME_set(X509_getm_notBefore(x509), not_before.nanos / kNanosPerSecond) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(x509), not_after.nanos / kNanosPerSecond) == nullptr) {
    return failed("the validity times were not set");
  }
  return {};
}

Status add_text_entry(X509_NAME* name, const char* field, std::string_view text) {
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, as_bytes(text).data(), static_cast<int>(text.size()), -1,
                                 0) != 1) {
    ERR_clear_error();
    return bad_option("a name is too long or no UTF-8");
  }
  return {};
}

// `value` is written by us alone: OpenSSL's extension language could be told anything.
Status add_extension(X509* x509, X509* issuer, int nid, const char* value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  const ExtensionHandle extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  if (!extension || X509_add_ext(x509, extension.get(), -1) != 1) return failed("an extension was not added");
  return {};
}

Status add_names(X509* x509, const std::vector<std::string>& dns_names, std::string_view uri, bool critical) {
  const GeneralNamesHandle names(GENERAL_NAMES_new());
  const auto add = [&](int type, std::string_view text) {
    Handle<GENERAL_NAME, GENERAL_NAME_free> name(GENERAL_NAME_new());
    Handle<ASN1_IA5STRING, ASN1_IA5STRING_free> value(ASN1_IA5STRING_new());
    if (!name || !value || ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size())) != 1) return false;
    GENERAL_NAME_set0_value(name.get(), type, value.release());
    if (sk_GENERAL_NAME_push(names.get(), name.get()) <= 0) return false;
    (void)name.release();  // the list owns it now
    return true;
  };
  bool good = names != nullptr;
  for (const std::string& name : dns_names) good = good && add(GEN_DNS, name);
  if (!uri.empty()) good = good && add(GEN_URI, uri);
  if (!good || X509_add1_ext_i2d(x509, NID_subject_alt_name, names.get(), critical ? 1 : 0, 0) != 1) {
    return failed("the names were not added");
  }
  return {};
}

Result<X509ReqHandle> decode_csr(ByteView csr) {
  if (csr.size() > kCertificateMax) return fail(ErrorKind::kInvalid, "x509_syntax", "the request is too long");
  const std::uint8_t* at = csr.data();
  X509ReqHandle request(d2i_X509_REQ(nullptr, &at, static_cast<long>(csr.size())));
  if (!request || at != csr.data() + csr.size()) {
    return openssl_error(ErrorKind::kInvalid, "x509_syntax", "this is no certificate request");
  }
  return request;
}

}  // namespace

Status check_leaf_options(const LeafOptions& options) {
  if (options.spiffe_id.empty() == options.dns_names.empty()) {
    return bad_option("a leaf has DNS names or one SPIFFE ID, and not both");
  }
  if (!options.spiffe_id.empty()) {
    WARY_ASSIGN_OR_RETURN(const SpiffeId id, parse_spiffe_id(options.spiffe_id));
    if (id.path.empty()) return bad_option("the SPIFFE ID of a leaf has a path");
  }
  if (options.dns_names.size() > 100) return bad_option("a leaf has at most 100 names");
  for (const std::string& name : options.dns_names) {
    if (!is_dns_name(name)) return fail(ErrorKind::kInvalid, "x509_option", "this is no DNS name").found(name);
  }
  return {};
}

Result<Bytes> create_ca(const CaOptions& options, const PrivateKey& key) {
  const X509Handle x509(X509_new());
  if (!x509 || X509_set_version(x509.get(), X509_VERSION_3) != 1) return failed("no certificate");
  std::string serial;
  WARY_RETURN_IF_ERROR(set_serial(x509.get(), serial));
  WARY_RETURN_IF_ERROR(set_times(x509.get(), options.not_before, options.not_after));
  X509_NAME* name = X509_get_subject_name(x509.get());
  // Two CAs of one name would make path building a guess: the serial number goes into the subject as well.
  if (options.common_name.empty()) return bad_option("a CA has a name");
  WARY_RETURN_IF_ERROR(add_text_entry(name, "CN", options.common_name));
  WARY_RETURN_IF_ERROR(add_text_entry(name, "serialNumber", serial));
  if (X509_set_issuer_name(x509.get(), name) != 1 || X509_set_pubkey(x509.get(), key_of(key)) != 1) {
    return failed("the certificate was not filled");
  }
  X509* self = x509.get();
  WARY_RETURN_IF_ERROR(add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE"));
  WARY_RETURN_IF_ERROR(add_extension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign"));
  WARY_RETURN_IF_ERROR(add_extension(self, self, NID_subject_key_identifier, "hash"));
  WARY_RETURN_IF_ERROR(add_extension(self, self, NID_authority_key_identifier, "keyid:always"));
  if (!options.trust_domain.empty()) {
    WARY_ASSIGN_OR_RETURN(const SpiffeId id, parse_spiffe_id("spiffe://" + options.trust_domain));
    if (!id.path.empty()) return bad_option("a trust domain has no path");
    WARY_RETURN_IF_ERROR(add_names(self, {}, id.to_string(), false));
  }
  if (X509_sign(self, key_of(key), digest_for(key.type())) <= 0) return failed("the certificate was not signed");
  return encode_der<X509, i2d_X509>(self);
}

Result<Bytes> make_csr(const PrivateKey& key, std::string_view common_name) {
  const X509ReqHandle request(X509_REQ_new());
  if (!request || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key_of(key)) != 1) {
    return failed("no request");
  }
  if (!common_name.empty()) {
    WARY_RETURN_IF_ERROR(add_text_entry(X509_REQ_get_subject_name(request.get()), "CN", common_name));
  }
  if (X509_REQ_sign(request.get(), key_of(key), digest_for(key.type())) <= 0)
    return failed("the request was not signed");
  return encode_der<X509_REQ, i2d_X509_REQ>(request.get());
}

Result<PublicKey> check_csr(ByteView csr) {
  WARY_ASSIGN_OR_RETURN(const X509ReqHandle request, decode_csr(csr));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr) return openssl_error(ErrorKind::kInvalid, "x509_syntax", "the request's key is malformed");
  const int size = i2d_PUBKEY(key, nullptr);
  if (size <= 0) return openssl_error(ErrorKind::kInvalid, "x509_syntax", "the request's key is malformed");
  Bytes spki(static_cast<std::size_t>(size));
  std::uint8_t* out = spki.data();
  i2d_PUBKEY(key, &out);
  WARY_ASSIGN_OR_RETURN(PublicKey shown, PublicKey::decode_spki(spki));
  if (X509_REQ_verify(request.get(), key) != 1) {
    ERR_clear_error();
    return fail(ErrorKind::kUnauthenticated, "x509_csr_signature", "the request is not signed by the key it names");
  }
  return shown;
}

Result<Bytes> issue_leaf(ByteView ca, const PrivateKey& ca_key, ByteView csr, const LeafOptions& options) {
  WARY_RETURN_IF_ERROR(check_leaf_options(options));
  WARY_RETURN_IF_ERROR(check_csr(csr));
  WARY_ASSIGN_OR_RETURN(const X509ReqHandle request, decode_csr(csr));
  WARY_ASSIGN_OR_RETURN(const X509Handle issuer, read_x509(ca));
  WARY_ASSIGN_OR_RETURN(const Certificate issuer_shown, parse_certificate(ca));
  if (!issuer_shown.is_ca) return bad_option("the issuer is no certificate authority");
  if (X509_check_private_key(issuer.get(), key_of(ca_key)) != 1) {
    ERR_clear_error();
    return bad_option("the issuer's key is another one");
  }
  const X509Handle x509(X509_new());
  X509* leaf = x509.get();
  if (leaf == nullptr || X509_set_version(leaf, X509_VERSION_3) != 1 ||
      X509_set_issuer_name(leaf, X509_get_subject_name(issuer.get())) != 1 ||
      X509_set_pubkey(leaf, X509_REQ_get0_pubkey(request.get())) != 1) {
    return failed("the certificate was not filled");
  }
  std::string serial;
  WARY_RETURN_IF_ERROR(set_serial(leaf, serial));
  WARY_RETURN_IF_ERROR(set_times(leaf, options.not_before, std::min(options.not_after, issuer_shown.not_after)));
  WARY_RETURN_IF_ERROR(add_text_entry(X509_get_subject_name(leaf), "serialNumber", serial));
  WARY_RETURN_IF_ERROR(add_extension(leaf, issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  WARY_RETURN_IF_ERROR(add_extension(leaf, issuer.get(), NID_key_usage, "critical,digitalSignature"));
  WARY_RETURN_IF_ERROR(add_extension(leaf, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  WARY_RETURN_IF_ERROR(add_extension(leaf, issuer.get(), NID_subject_key_identifier, "hash"));
  WARY_RETURN_IF_ERROR(add_extension(leaf, issuer.get(), NID_authority_key_identifier, "keyid:always"));
  WARY_RETURN_IF_ERROR(add_names(leaf, options.dns_names, options.spiffe_id, false));
  if (X509_sign(leaf, key_of(ca_key), digest_for(ca_key.type())) <= 0) return failed("the certificate was not signed");
  return encode_der<X509, i2d_X509>(leaf);
}

}  // namespace wary::crypto
