#include "enforce/dpop.h"

#include <array>

#include "codec/json.h"
#include "codec/text.h"
#include "codec/uri.h"
#include "crypto/jws.h"

namespace wary::enforce {

namespace {

using codec::Json;
using crypto::SignatureAlgorithm;

constexpr std::array<SignatureAlgorithm, 5> kProofAlgorithms = {SignatureAlgorithm::kEs256, SignatureAlgorithm::kEdDsa,
                                                                SignatureAlgorithm::kPs256, SignatureAlgorithm::kRs256,
                                                                SignatureAlgorithm::kEs384};
constexpr Limits kProofLimits{.bytes = kDpopBytesMax, .depth = 8, .items = 64, .total = 500};
constexpr std::size_t kJtiMax = 256;

Error refuse_proof(std::string_view code, std::string_view message) {
  return fail(ErrorKind::kUnauthenticated, code, message);
}

// Section 4.3 check 9: without query and fragment, and by what the address means.
bool is_address(std::string_view htu, const DpopRules& rules) {
  const auto said = codec::parse_uri(htu.substr(0, htu.find_first_of("?#")));
  const auto asked = codec::parse_uri("https://" + std::string(rules.authority) + "/");
  if (!said || !asked || said->scheme != "https") return false;
  const auto path = codec::normalise_path(said->path);
  return path && *path == rules.path && said->port == asked->port &&
         codec::host_name(said->host) == codec::host_name(asked->host);
}

Status check_time(const Json& claims, const DpopRules& rules, UnixTime& issued) {
  constexpr std::int64_t kLast = INT64_MAX / kNanosPerSecond;
  const Json* iat = claims.find("iat");
  if (iat == nullptr || !iat->is_integer() || iat->as_integer() < 0 || iat->as_integer() > kLast) {
    return refuse_proof("dpop_iat", "the proof does not say in whole seconds when it was made");
  }
  issued = {iat->as_integer() * kNanosPerSecond};
  if (issued.nanos < rules.now.nanos - kDpopAgeMax) return refuse_proof("dpop_iat", "the proof is too old");
  if (issued.nanos > rules.now.nanos + kDpopAheadMax) return refuse_proof("dpop_iat", "the proof is from the future");
  // Whole seconds: one of the second in which this process began may have been shown to the one before it.
  if (issued.nanos < rules.not_before.nanos) {
    return refuse_proof("dpop_iat", "the proof is older than this process; make a new one");
  }
  return {};
}

Status check_claims(const Json& claims, const DpopRules& rules, DpopProof& proof) {
  const std::string_view jti = claims.string_or("jti", "");
  if (jti.empty() || jti.size() > kJtiMax) return refuse_proof("dpop_jti", "a proof has a jti of 1 to 256 bytes");
  if (claims.string_or("htm", "") != rules.method) {
    return refuse_proof("dpop_htm", "the proof is for another method").expected(rules.method);
  }
  if (!is_address(claims.string_or("htu", ""), rules)) {
    return refuse_proof("dpop_htu", "the proof is for another address");
  }
  WARY_RETURN_IF_ERROR(check_time(claims, rules, proof.issued));
  const std::string hash = codec::encode_base64url(crypto::sha256(as_bytes(rules.token)));
  if (claims.string_or("ath", "") != hash) return refuse_proof("dpop_ath", "the proof is for another token");
  return {};
}

}  // namespace

Result<DpopProof> check_dpop(std::string_view text, const DpopRules& rules) {
  WARY_ASSIGN_OR_RETURN(const crypto::JwsWithKey shown, crypto::parse_jws_with_key(text, kDpopBytesMax));
  if (shown.jws.header.typ != "dpop+jwt") return refuse_proof("dpop_typ", "a proof's typ is dpop+jwt");
  const auto claims = codec::parse_json(as_text(shown.jws.payload), kProofLimits);
  if (!claims || !claims->is_object()) return refuse_proof("dpop_claims", "a proof's claims are an object");
  const std::string thumbprint = crypto::thumbprint(shown.key.key);
  if (rules.thumbprint.empty() || thumbprint != rules.thumbprint) {
    return refuse_proof("dpop_key", "the proof is by another key than the token is bound to");
  }
  DpopProof proof{};
  WARY_RETURN_IF_ERROR(check_claims(*claims, rules, proof));
  const std::array<crypto::Jwk, 1> keys = {shown.key};
  WARY_ASSIGN_OR_RETURN([[maybe_unused]] const std::size_t by, crypto::verify_jws(shown.jws, keys, kProofAlgorithms));
  proof.id = crypto::sha256(as_bytes(thumbprint + "." + std::string(claims->string_or("jti", ""))));
  return proof;
}

}  // namespace wary::enforce
