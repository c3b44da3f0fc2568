// check_quote: TPM 2.0 library, part 2, section 10.12 (what is attested) and 11.3 (signatures).
#include <algorithm>

#include "node/tpm_evidence.h"
#include "node/tpm_format.h"

namespace wary::node {

namespace {

constexpr std::uint32_t kTpmGenerated = 0xff544347;
constexpr std::uint16_t kAttestQuote = 0x8018;
constexpr std::size_t kAttestedMax = 1024;
constexpr std::size_t kNameMax = 66;
constexpr std::size_t kQualifyingMax = 64;
constexpr std::uint32_t kBanksMax = 16;
constexpr std::uint8_t kSelectMax = 4;
constexpr std::size_t kScalar = 32;

Error quote_refusal(ErrorKind kind, std::string_view code, std::string_view what) { return fail(kind, code, what); }
Error quote_syntax() { return quote_refusal(ErrorKind::kInvalid, "tpm_quote_syntax", "the quote is malformed"); }

struct Attested {
  Quote quote;
  ByteView qualifying;
};

bool read_selection(TpmReader& reader, std::vector<PcrSelection>& out) {
  std::uint32_t banks = 0;
  if (!reader.read(banks) || banks > kBanksMax) return false;
  for (std::uint32_t i = 0; i < banks; ++i) {
    PcrSelection bank;
    std::uint8_t size = 0;
    ByteView bits;
    if (!reader.read(bank.hash) || !reader.read(size) || size > kSelectMax || !reader.read_bytes(bits, size)) {
      return false;
    }
    for (std::size_t at = 0; at < bits.size(); ++at) bank.registers |= std::uint32_t{bits[at]} << (8 * at);
    out.push_back(bank);
  }
  return true;
}

bool read_quote(TpmReader& reader, Attested& out) {
  ByteView signer, digest;
  std::uint8_t safe = 0;
  Quote& quote = out.quote;
  if (!reader.read_sized(signer, kNameMax) || !reader.read_sized(out.qualifying, kQualifyingMax) ||
      !reader.read(quote.clock_ms) || !reader.read(quote.reset_count) || !reader.read(quote.restart_count) ||
      !reader.read(safe) || safe > 1 || !reader.read(quote.firmware_version) ||
      !read_selection(reader, quote.selection) || !reader.read_sized(digest, kQualifyingMax) || !reader.is_empty() ||
      digest.size() != quote.pcr_digest.size()) {
    return false;
  }
  quote.clock_is_safe = safe == 1;
  std::ranges::copy(digest, quote.pcr_digest.begin());
  return true;
}

Result<Attested> read_attested(ByteView bytes) {
  TpmReader reader(bytes);
  std::uint32_t magic = 0;
  std::uint16_t type = 0;
  if (bytes.size() > kAttestedMax || !reader.read(magic) || !reader.read(type)) return quote_syntax();
  if (magic != kTpmGenerated) {
    return quote_refusal(ErrorKind::kUnauthenticated, "tpm_quote_magic", "what was signed was not made by a TPM");
  }
  if (type != kAttestQuote) {
    return quote_refusal(ErrorKind::kUnauthenticated, "tpm_quote_type", "what was signed is no quote");
  }
  Attested out;
  if (!read_quote(reader, out)) return quote_syntax();
  return out;
}

// r || s, each 32 bytes: a TPM may leave zero bytes at the front out.
Bytes raw_of(const TpmSignature& signature) {
  Bytes raw;
  for (const ByteView number : {signature.first, signature.second}) {
    if (number.size() > kScalar) return {};
    raw.insert(raw.end(), kScalar - number.size(), 0);
    append(raw, number);
  }
  return raw;
}

bool verify_attested(const AttestationKey& ak, const TpmSignature& signature, ByteView attested) {
  if (signature.hash != tpm::kSha256) return false;
  switch (ak.scheme) {
    case AttestationKey::Scheme::kEcdsa:
      return signature.scheme == tpm::kEcdsa &&
             ak.key.verify(crypto::SignatureAlgorithm::kEs256, attested, raw_of(signature));
    case AttestationKey::Scheme::kRsaSsa:
      return signature.scheme == tpm::kRsaSsa &&
             ak.key.verify(crypto::SignatureAlgorithm::kRs256, attested, signature.first);
    case AttestationKey::Scheme::kRsaPss: break;
  }
  return signature.scheme == tpm::kRsaPss && ak.key.verify_pss_of_any_salt(attested, signature.first);
}

}  // namespace

Result<Quote> check_quote(const AttestationKey& ak, ByteView attested, ByteView signature, ByteView qualifying_data) {
  WARY_ASSIGN_OR_RETURN(Attested read, read_attested(attested));
  const auto signed_by = read_signature(signature);
  if (!signed_by) return quote_syntax();
  if (!verify_attested(ak, *signed_by, attested)) {
    return quote_refusal(ErrorKind::kUnauthenticated, "tpm_quote_signature", "the attestation key did not sign this");
  }
  if (qualifying_data.empty() || !std::ranges::equal(read.qualifying, qualifying_data)) {
    return quote_refusal(ErrorKind::kUnauthenticated, "tpm_quote_stale", "the quote answers another challenge");
  }
  return std::move(read.quote);
}

}  // namespace wary::node
