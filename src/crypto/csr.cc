#include "crypto/csr.h"

#include <algorithm>
#include <array>

#include "codec/der.h"
#include "crypto/x509.h"

namespace wary::crypto {

namespace {

namespace der = codec::der;

constexpr std::size_t kCsrMax = 64 * 1024;
constexpr std::size_t kCsrDepth = 16;
constexpr std::array<std::uint8_t, 12> kEcdsaSha256 = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                                       0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};

Error bad_csr(std::string_view code, std::string_view message) { return fail(ErrorKind::kInvalid, code, message); }

struct CsrParts {
  ByteView signed_part;
  ByteView spki;
  ByteView algorithm;
  ByteView signature;
};

// Strict DER at every level, and nothing after it.
Status der_whole(ByteView csr) {
  const Status status = der::check_der(csr, kCsrDepth);
  if (status) return {};
  const std::string_view code = status.error().code == "der_trailing" ? "csr_trailing" : "csr_syntax";
  return bad_csr(code, status.error().message).at(status.error().where);
}

bool is_sequence(ByteView element) { return !element.empty() && element[0] == der::kSequence; }

// CertificationRequest ::= SEQUENCE { info, algorithm, signature }, info ::= SEQUENCE { version 0, subject, key,
// attributes [0] }. Whether it is DER all the way down was checked before.
Result<CsrParts> read_csr(ByteView csr) {
  CsrParts parts;
  der::Reader outer(csr), request, info;
  if (!outer.read_constructed(der::kSequence, request)) return bad_csr("csr_syntax", "the request is no sequence");
  der::Reader ahead = request;
  if (!ahead.read_raw(parts.signed_part) || !request.read_constructed(der::kSequence, info)) {
    return bad_csr("csr_syntax", "the request's content is no sequence");
  }
  std::uint64_t version = 1;
  if (!info.read_uint64(version) || version != 0) return bad_csr("csr_version", "a request is of version 1");
  ByteView subject;
  if (!info.read_raw(subject) || !is_sequence(subject)) return bad_csr("csr_subject", "the request has no subject");
  if (!info.read_raw(parts.spki) || !is_sequence(parts.spki)) return bad_csr("csr_key", "the request has no key");
  if (!info.is_empty() && (!info.skip(der::context_constructed(0)) || !info.is_empty())) {
    return bad_csr("csr_attributes", "after the key come the attributes and nothing else");
  }
  if (!request.read_raw(parts.algorithm) || !is_sequence(parts.algorithm)) {
    return bad_csr("csr_algorithm", "the signature's algorithm is missing");
  }
  unsigned unused = 0;
  if (!request.read_bit_string(parts.signature, unused) || unused != 0 || !request.is_empty()) {
    return bad_csr("csr_signature", "the request ends with a signature of whole bytes");
  }
  return parts;
}

}  // namespace

Result<Bytes> CsrChecker::check(ByteView csr) {
  if (csr.size() > kCsrMax) return bad_csr("csr_size", "the request is too long");
  if (const Status status = der_whole(csr); !status) return status.error();
  WARY_ASSIGN_OR_RETURN(const CsrParts parts, read_csr(csr));
  const bool p256 = parts.spki.size() == kP256SpkiSize &&
                    std::ranges::equal(parts.spki.first(kP256SpkiPrefix.size()), kP256SpkiPrefix);
  if (!p256 || !std::ranges::equal(parts.algorithm, kEcdsaSha256)) {
    WARY_ASSIGN_OR_RETURN(const PublicKey key, check_csr(csr));
    return key.to_spki();
  }
  switch (verifier_.verify(parts.spki.subspan(kP256SpkiPrefix.size()), parts.signed_part, parts.signature)) {
    case P256Verifier::Outcome::kNoPoint: return bad_csr("csr_point", "the key is no point of its curve");
    case P256Verifier::Outcome::kBadSignature:
      return fail(ErrorKind::kUnauthenticated, "csr_proof", "the request is not signed by the key it names");
    case P256Verifier::Outcome::kGood: break;
  }
  return Bytes(parts.spki.begin(), parts.spki.end());
}

}  // namespace wary::crypto
