#include "crypto/issuer.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "codec/der.h"
#include "codec/text.h"
#include "crypto/handles.h"
#include "crypto/x509_private.h"

namespace wary::crypto {

namespace {

namespace der = codec::der;

constexpr std::size_t kSerialSize = 16;
constexpr std::size_t kKeyIdSize = 20;

// SEQUENCE { ecdsa-with-SHA256 } (RFC 5758 section 3.2).
constexpr std::array<std::uint8_t, 12> kAlgorithm = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                                     0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
constexpr std::array<std::uint8_t, 5> kVersion3 = {0xa0, 0x03, 0x02, 0x01, 0x02};

// Extensions that every leaf has alike: not CA, digitalSignature (both critical), serverAuth and clientAuth; then the
// beginning of the subject's key id, whose 20 bytes follow.
constexpr auto kLeafExtensions = std::to_array<std::uint8_t>(
    {0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00,              // basic
     0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x07, 0x80,  // usage
     0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x16, 0x30, 0x14, 0x06, 0x08, 0x2b, 0x06, 0x01,  // extended
     0x05, 0x05, 0x07, 0x03, 0x01, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02,        // usage
     0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x0e, 0x04, 0x16, 0x04, 0x14});

// The extension up to the issuer's key id; the identifier of the names' extension.
constexpr auto kAuthorityKeyStart =
    std::to_array<std::uint8_t>({0x30, 0x1f, 0x06, 0x03, 0x55, 0x1d, 0x23, 0x04, 0x18, 0x30, 0x16, 0x80, 0x14});
constexpr auto kSubjectAltName = std::to_array<std::uint8_t>({0x06, 0x03, 0x55, 0x1d, 0x11});

Error bad_issue(std::string_view what) { return fail(ErrorKind::kInvalid, "x509_option", what); }

const EVP_MD* sha1_method() {
  static const Handle<EVP_MD, EVP_MD_free> method(EVP_MD_fetch(nullptr, "SHA1", nullptr));
  WARY_CHECK(method != nullptr);
  return method.get();
}

std::size_t header_size(std::size_t length) {
  return length < 0x80 ? 2 : length <= 0xff ? 3 : length <= 0xffff ? 4 : 5;
}
void put_header(Bytes& out, der::Tag tag, std::size_t length) {
  out.push_back(tag);
  if (length < 0x80) return out.push_back(static_cast<std::uint8_t>(length));
  const unsigned count = length <= 0xff ? 1 : length <= 0xffff ? 2 : 3;
  out.push_back(static_cast<std::uint8_t>(0x80 | count));
  for (unsigned i = count; i-- > 0;) out.push_back(static_cast<std::uint8_t>(length >> (8 * i)));
}

// Positive, of one length, 126 bits from the generator (RFC 5280 section 4.1.2.2).
std::array<std::uint8_t, kSerialSize> make_serial(Random& random) {
  std::array<std::uint8_t, kSerialSize> serial{};
  random.fill(serial);
  serial[0] = static_cast<std::uint8_t>((serial[0] & 0x3f) | 0x40);
  return serial;
}
std::string serial_text(ByteView serial) {
  std::string text = codec::encode_hex(serial);
  for (char& c : text) c = c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

// UTCTime to 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5).
void put_time(Bytes& out, UnixTime time) {
  using std::chrono::days;
  const std::int64_t seconds = time.nanos / kNanosPerSecond - (time.nanos % kNanosPerSecond < 0 ? 1 : 0);
  const std::int64_t day = seconds / 86400 - (seconds % 86400 < 0 ? 1 : 0);
  const std::chrono::year_month_day date{std::chrono::sys_days(days(day))};
  const auto rest = static_cast<unsigned>(seconds - day * 86400);
  const int year = static_cast<int>(date.year());
  const bool is_long = year >= 2050 || year < 1950;
  put_header(out, is_long ? der::kGeneralizedTime : der::kUtcTime, is_long ? 15 : 13);
  const auto two = [&](unsigned value) {
    out.push_back(static_cast<std::uint8_t>('0' + value / 10));
    out.push_back(static_cast<std::uint8_t>('0' + value % 10));
  };
  if (is_long) two(static_cast<unsigned>(year) / 100);
  two(static_cast<unsigned>(year) % 100);
  two(static_cast<unsigned>(date.month()));
  two(static_cast<unsigned>(date.day()));
  two(rest / 3600);
  two(rest / 60 % 60);
  two(rest % 60);
  out.push_back('Z');
}
Result<Bytes> validity_of(UnixTime not_before, UnixTime not_after) {
  if (not_after <= not_before) return bad_issue("the end of validity is not after its beginning");
  Bytes content, out;
  put_time(content, not_before);
  put_time(content, not_after);
  put_header(out, der::kSequence, content.size());
  append(out, content);
  return out;
}

// RDNSequence { serialNumber }, and before it a common name where there is one.
Bytes subject_name(std::string_view common_name, std::string_view serial) {
  constexpr std::array<std::uint8_t, 3> kCommonName = {0x55, 0x04, 0x03}, kSerialNumber = {0x55, 0x04, 0x05};
  const auto part = [](ByteView type, der::Tag tag, std::string_view text) {
    der::Writer pair, sequence, set;
    pair.add(der::kOid, type).add_text(tag, text);
    sequence.add_nested(der::kSequence, pair);
    set.add_nested(der::kSet, sequence);
    return set;
  };
  der::Writer parts, name;
  if (!common_name.empty()) parts.add_raw(part(kCommonName, der::kUtf8String, common_name).bytes());
  parts.add_raw(part(kSerialNumber, der::kPrintableString, serial).bytes());
  name.add_nested(der::kSequence, parts);
  return name.bytes();
}

struct IssuerParts {
  Bytes subject;
  Certificate shown;
};
Result<IssuerParts> read_issuer(ByteView issuer) {
  IssuerParts parts;
  WARY_ASSIGN_OR_RETURN(parts.shown, parse_certificate(issuer));
  if (!parts.shown.is_ca) return bad_issue("the issuer is no certificate authority");
  der::Reader outer(issuer), certificate, content;
  ByteView subject;
  const bool read =
      outer.read_constructed(der::kSequence, certificate) && certificate.read_constructed(der::kSequence, content) &&
      content.skip(der::context_constructed(0)) && content.skip(der::kInteger) && content.skip(der::kSequence) &&
      content.skip(der::kSequence) && content.skip(der::kSequence) && content.read_raw(subject);
  if (!read || parts.shown.subject_key_id.size() != kKeyIdSize) {
    return fail(ErrorKind::kInvalid, "x509_syntax", "the issuer's certificate has no subject or no key identifier");
  }
  parts.subject.assign(subject.begin(), subject.end());
  return parts;
}

Bytes authority_key_extension(ByteView key_id) {
  Bytes out;
  append(out, kAuthorityKeyStart);
  append(out, key_id);
  return out;
}

Bytes names_extension(const std::vector<std::string>& dns_names, std::string_view uri) {
  std::size_t length = uri.empty() ? 0 : header_size(uri.size()) + uri.size();
  for (const std::string& name : dns_names) length += header_size(name.size()) + name.size();
  const std::size_t names = header_size(length) + length;
  const std::size_t value = header_size(names) + names;
  Bytes out;
  put_header(out, der::kSequence, 5 + value);
  append(out, kSubjectAltName);
  put_header(out, der::kOctetString, names);
  put_header(out, der::kSequence, length);
  for (const std::string& name : dns_names) {
    put_header(out, der::context(2), name.size());
    append(out, as_bytes(name));
  }
  if (!uri.empty()) {
    put_header(out, der::context(6), uri.size());
    append(out, as_bytes(uri));
  }
  return out;
}

// TBSCertificate from its pieces, signed, and both in one SEQUENCE.
Result<Bytes> finish(std::initializer_list<ByteView> pieces, std::initializer_list<ByteView> extensions,
                     const SignMessage& sign) {
  std::size_t extensions_size = 0, length = 0;
  for (const ByteView extension : extensions) extensions_size += extension.size();
  const std::size_t list = header_size(extensions_size) + extensions_size;
  for (const ByteView piece : pieces) length += piece.size();
  length += header_size(list) + list;
  Bytes signed_part;
  signed_part.reserve(length + 8);
  put_header(signed_part, der::kSequence, length);
  for (const ByteView piece : pieces) append(signed_part, piece);
  put_header(signed_part, der::context_constructed(3), list);
  put_header(signed_part, der::kSequence, extensions_size);
  for (const ByteView extension : extensions) append(signed_part, extension);
  WARY_ASSIGN_OR_RETURN(const Bytes signature, sign(signed_part));
  Bytes out;
  const std::size_t bits = header_size(signature.size() + 1) + signature.size() + 1;
  const std::size_t all = signed_part.size() + kAlgorithm.size() + bits;
  out.reserve(all + 8);
  put_header(out, der::kSequence, all);
  append(out, signed_part);
  append(out, kAlgorithm);
  put_header(out, der::kBitString, signature.size() + 1);
  out.push_back(0);
  append(out, signature);
  return out;
}

Bytes integer_of(ByteView serial) {
  Bytes out;
  put_header(out, der::kInteger, serial.size());
  append(out, serial);
  return out;
}

}  // namespace

Result<Bytes> subject_key_id(ByteView spki) {
  der::Reader outer(spki), content;
  ByteView bits;
  unsigned unused = 0;
  if (!outer.read_constructed(der::kSequence, content) || !outer.is_empty() || !content.skip(der::kSequence) ||
      !content.read_bit_string(bits, unused) || unused != 0 || !content.is_empty()) {
    return fail(ErrorKind::kInvalid, "x509_syntax", "this is no public key");
  }
  thread_local const DigestContextHandle context(EVP_MD_CTX_new());
  Bytes id(kKeyIdSize);
  WARY_CHECK(context && EVP_DigestInit_ex2(context.get(), sha1_method(), nullptr) == 1 &&
             EVP_DigestUpdate(context.get(), bits.data(), bits.size()) == 1 &&
             EVP_DigestFinal_ex(context.get(), id.data(), nullptr) == 1);
  return id;
}

Result<Bytes> issue_authority(const AuthorityOptions& options, ByteView spki, ByteView issuer, Random& random,
                              const SignMessage& sign) {
  if (options.common_name.empty() || options.common_name.size() > 64)
    return bad_issue("a CA has a name of 1 to 64 bytes");
  WARY_ASSIGN_OR_RETURN(const SpiffeId id, parse_spiffe_id("spiffe://" + options.trust_domain));
  if (!id.path.empty()) return bad_issue("a trust domain has no path");
  const auto serial = make_serial(random);
  const Bytes subject = subject_name(options.common_name, serial_text(serial));
  WARY_ASSIGN_OR_RETURN(const Bytes key_id, subject_key_id(spki));
  Bytes issuer_name = subject, issuer_key_id = key_id;
  UnixTime not_after = options.not_after;
  if (!issuer.empty()) {
    WARY_ASSIGN_OR_RETURN(IssuerParts parts, read_issuer(issuer));
    issuer_name = std::move(parts.subject);
    issuer_key_id = parts.shown.subject_key_id;
    not_after = std::min(not_after, parts.shown.not_after);
  }
  WARY_ASSIGN_OR_RETURN(const Bytes validity, validity_of(options.not_before, not_after));
  // CA:TRUE (and no authority below it), keyCertSign and cRLSign: both critical.
  const Bytes basic = options.leaves_only ? Bytes{0x30, 0x12, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff,
                                                  0x04, 0x08, 0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00}
                                          : Bytes{0x30, 0x0f, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01,
                                                  0xff, 0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff};
  const Bytes usage = {0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x01, 0x06};
  Bytes key = {0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x0e, 0x04, 0x16, 0x04, 0x14};
  append(key, key_id);
  return finish({kVersion3, integer_of(serial), kAlgorithm, issuer_name, validity, subject, spki},
                {basic, usage, key, authority_key_extension(issuer_key_id), names_extension({}, id.to_string())}, sign);
}

Result<LeafIssuer> LeafIssuer::of(ByteView issuer) {
  WARY_ASSIGN_OR_RETURN(const IssuerParts parts, read_issuer(issuer));
  LeafIssuer made;
  made.name_.assign(kAlgorithm.begin(), kAlgorithm.end());
  append(made.name_, parts.subject);
  made.authority_key_ = authority_key_extension(parts.shown.subject_key_id);
  made.not_after_ = parts.shown.not_after;
  return made;
}

Result<Bytes> LeafIssuer::issue(ByteView spki, const LeafOptions& options, Random& random,
                                const SignMessage& sign) const {
  WARY_RETURN_IF_ERROR(check_leaf_options(options));
  const auto serial = make_serial(random);
  WARY_ASSIGN_OR_RETURN(const Bytes key_id, subject_key_id(spki));
  WARY_ASSIGN_OR_RETURN(const Bytes validity, validity_of(options.not_before, std::min(options.not_after, not_after_)));
  // Name ::= SEQUENCE { SET { SEQUENCE { serialNumber, PrintableString } } }, of one length as the serial is.
  Bytes subject = {0x30, 0x2b, 0x31, 0x29, 0x30, 0x27, 0x06, 0x03, 0x55, 0x04, 0x05, 0x13, 0x20};
  append(subject, as_bytes(serial_text(serial)));
  return finish({kVersion3, integer_of(serial), name_, validity, subject, spki},
                {kLeafExtensions, key_id, authority_key_, names_extension(options.dns_names, options.spiffe_id)}, sign);
}

}  // namespace wary::crypto
