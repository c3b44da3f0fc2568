#include <algorithm>
#include <array>
#include <ctime>

#include "codec/text.h"
#include "crypto/handles.h"
#include "crypto/lean_library.h"
#include "crypto/x509.h"
#include "crypto/x509_private.h"

namespace wary::crypto {

namespace {

constexpr std::size_t kNamesMax = 100;

Error syntax(std::string_view what) { return openssl_error(ErrorKind::kInvalid, "x509_syntax", what); }

Result<std::string> text_of(const X509_NAME* name) {
  const BioHandle out(BIO_new(BIO_s_mem()));
  if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return syntax("a name is malformed");
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

Bytes bytes_of(const ASN1_STRING* text) {
  if (text == nullptr) return {};
  const std::uint8_t* data = ASN1_STRING_get0_data(text);
  return {data, data + ASN1_STRING_length(text)};
}

Status read_names(const X509* x509, Certificate& out) {
  int critical = 0;
  const GeneralNamesHandle names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, &critical, nullptr)));
  if (!names) {
    if (critical == -1) return {};  // absent; -2 says twice, anything else malformed
    return syntax("the subject alternative names are malformed or there twice");
  }
  out.names_are_critical = critical == 1;
  const int count = sk_GENERAL_NAME_num(names.get());
  if (count < 0 || static_cast<std::size_t>(count) > kNamesMax) return syntax("there are more than 100 names");
  for (int i = 0; i < count; ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type != GEN_DNS && type != GEN_URI && type != GEN_IPADD) continue;
    const Bytes bytes = bytes_of(static_cast<const ASN1_STRING*>(value));
    if (type == GEN_IPADD) {
      if (bytes.size() != 4 && bytes.size() != 16) return syntax("an address has neither 4 nor 16 bytes");
      out.ip_addresses.push_back(bytes);
      continue;
    }
    // IA5String; a zero byte would end the name for a C library and not for us.
    const std::string text(as_text(bytes));
    if (std::ranges::any_of(text, [](char c) { return c <= 0x20 || c == 0x7f; })) {
      return syntax("a name holds a byte that no name has");
    }
    (type == GEN_DNS ? out.dns_names : out.uris).push_back(text);
  }
  return {};
}

// A name that is shown and compared: one, and nothing in it that a terminal or a log would act on.
std::string common_name_of(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) return {};
  std::uint8_t* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (size < 0) return {};
  std::string out(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(out, is_control) || !codec::is_utf8(out)) return {};
  return out;
}

bool names_endorsement_key(const X509* x509) {
  constexpr std::array<std::uint8_t, 5> kEndorsement = {0x67, 0x81, 0x05, 0x08, 0x01};  // 2.23.133.8.1
  const Handle<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free> uses(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(x509, NID_ext_key_usage, nullptr, nullptr)));
  for (int i = 0; i < sk_ASN1_OBJECT_num(uses.get()); ++i) {
    const ASN1_OBJECT* use = sk_ASN1_OBJECT_value(uses.get(), i);
    const ByteView oid(OBJ_get0_data(use), OBJ_length(use));
    if (std::ranges::equal(oid, kEndorsement)) return true;
  }
  return false;
}

void read_usage(X509* x509, Certificate& out) {
  // What basicConstraints says, whatever key usage says: X509_check_ca would call CA:TRUE without keyCertSign a leaf.
  out.is_ca = (X509_get_extension_flags(x509) & EXFLAG_CA) != 0;
  const int at = X509_get_ext_by_NID(x509, NID_key_usage, -1);
  out.has_key_usage = at >= 0;
  if (out.has_key_usage) {
    out.key_usage_is_critical = X509_EXTENSION_get_critical(X509_get_ext(x509, at)) == 1;
    const std::uint32_t bits = X509_get_key_usage(x509);
    // OpenSSL keeps the DER bit string's bytes: bit 0 is 0x80 of the first, bit 8 is 0x80 of the second.
    for (std::uint32_t i = 0; i < 8; ++i) out.key_usage |= ((bits >> (7 - i)) & 1) << i;
    out.key_usage |= ((bits >> 15) & 1) << 8;
  }
  out.has_extended_key_usage = X509_get_ext_by_NID(x509, NID_ext_key_usage, -1) >= 0;
  if (!out.has_extended_key_usage) return;
  const std::uint32_t uses = X509_get_extended_key_usage(x509);
  out.for_server = (uses & (XKU_SSL_SERVER | XKU_ANYEKU)) != 0;
  out.for_client = (uses & (XKU_SSL_CLIENT | XKU_ANYEKU)) != 0;
  out.names_both_uses = (uses & XKU_SSL_SERVER) != 0 && (uses & XKU_SSL_CLIENT) != 0;
  out.names_endorsement = names_endorsement_key(x509);
}

}  // namespace

Result<UnixTime> time_of(const ASN1_TIME* time) {
  std::tm broken{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &broken) != 1) return syntax("a validity time is malformed");
  const std::int64_t seconds = timegm(&broken);
  // RFC 5280 allows the year 9999; nanoseconds end in 2262, which is as good as never.
  constexpr std::int64_t kLast = INT64_MAX / kNanosPerSecond;
  return UnixTime{std::clamp(seconds, -kLast, kLast) * kNanosPerSecond};
}

Result<X509Handle> read_x509(ByteView der) {
  if (der.size() > kCertificateMax) return fail(ErrorKind::kInvalid, "x509_syntax", "the certificate is too long");
  const std::uint8_t* at = der.data();
  X509* filled = X509_new_ex(lean_library(), nullptr);
  WARY_CHECK(filled != nullptr);
  // On failure it is freed. d2i_X509 would judge the extensions as well: describe() does, and says so.
  X509Handle x509(reinterpret_cast<X509*>(ASN1_item_d2i(reinterpret_cast<ASN1_VALUE**>(&filled), &at,
                                                        static_cast<long>(der.size()), ASN1_ITEM_rptr(X509))));
  if (!x509) return syntax("this is no certificate");
  if (at != der.data() + der.size()) {
    return fail(ErrorKind::kInvalid, "x509_syntax", "bytes follow the certificate")
        .at("offset " + std::to_string(at - der.data()));
  }
  return x509;
}

Result<Certificate> describe(X509* x509, Bytes der) {
  Certificate out;
  // Fills OpenSSL's cache of the extensions; a malformed or doubled one makes the whole certificate malformed.
  const int purpose = X509_check_purpose(x509, -1, 0);
  if (purpose != 1 || (X509_get_extension_flags(x509) & EXFLAG_INVALID) != 0) {
    return syntax("an extension is malformed");
  }
  WARY_RETURN_IF_ERROR(read_names(x509, out));
  WARY_ASSIGN_OR_RETURN(out.subject, text_of(X509_get_subject_name(x509)));
  out.common_name = common_name_of(X509_get_subject_name(x509));
  WARY_ASSIGN_OR_RETURN(out.issuer, text_of(X509_get_issuer_name(x509)));
  out.serial = codec::encode_hex(bytes_of(X509_get0_serialNumber(x509)));
  WARY_ASSIGN_OR_RETURN(out.not_before, time_of(X509_get0_notBefore(x509)));
  WARY_ASSIGN_OR_RETURN(out.not_after, time_of(X509_get0_notAfter(x509)));
  read_usage(x509, out);
  out.subject_key_id = bytes_of(X509_get0_subject_key_id(x509));
  out.authority_key_id = bytes_of(X509_get0_authority_key_id(x509));
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), nullptr);
  if (size <= 0) return syntax("the public key is malformed");
  out.public_key.resize(static_cast<std::size_t>(size));
  std::uint8_t* at = out.public_key.data();
  i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &at);
  out.der = std::move(der);
  ERR_clear_error();
  return out;
}

Result<Certificate> parse_certificate(ByteView der) {
  WARY_ASSIGN_OR_RETURN(const X509Handle x509, read_x509(der));
  return describe(x509.get(), Bytes(der.begin(), der.end()));
}

}  // namespace wary::crypto
