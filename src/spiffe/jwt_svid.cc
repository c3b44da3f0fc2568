#include "spiffe/jwt_svid.h"

#include <algorithm>
#include <array>

namespace wary::spiffe {

namespace {

using codec::Json;
using crypto::SignatureAlgorithm;

// JWT-SVID.md section 2.1.
constexpr std::array<SignatureAlgorithm, 9> kJwtSvidAlgorithms = {
    SignatureAlgorithm::kRs256, SignatureAlgorithm::kRs384, SignatureAlgorithm::kRs512,
    SignatureAlgorithm::kPs256, SignatureAlgorithm::kPs384, SignatureAlgorithm::kPs512,
    SignatureAlgorithm::kEs256, SignatureAlgorithm::kEs384, SignatureAlgorithm::kEs512};
constexpr Limits kClaimLimits{.bytes = limits::kTokenBytes, .depth = 16, .items = 200, .total = 2000};
constexpr std::int64_t kLeewayMax = 3600;  // seconds
constexpr std::int64_t kLastSecond = INT64_MAX / kNanosPerSecond;

Error refuse_svid(std::string_view code, std::string_view message) {
  return fail(ErrorKind::kUnauthenticated, code, message);
}

bool is_jwt_svid_algorithm(SignatureAlgorithm algorithm) {
  return std::ranges::find(kJwtSvidAlgorithms, algorithm) != kJwtSvidAlgorithms.end();
}

Status check_header(const crypto::JwsHeader& header) {
  if (!is_jwt_svid_algorithm(header.algorithm)) {
    return refuse_svid("jwt_svid_algorithm", "a JWT-SVID is not signed with that algorithm")
        .found(crypto::to_string(header.algorithm));
  }
  if (!header.others.empty()) {
    return refuse_svid("jwt_svid_header", "a JWT-SVID's header has alg, kid and typ only").found(header.others.front());
  }
  if (header.typ && *header.typ != "JWT" && *header.typ != "JOSE") {
    return refuse_svid("jwt_svid_typ", "typ is JWT or JOSE, or absent").found(*header.typ);
  }
  return {};
}

// NumericDate of RFC 7519 section 2: seconds, perhaps with a fraction. What lies beyond 2262 is as good as never.
Result<std::optional<UnixTime>> date(const Json& claims, std::string_view name, bool is_whole, std::string_view code) {
  const Json* member = claims.find(name);
  if (member == nullptr) return std::optional<UnixTime>();
  if (member->is_integer()) {
    return std::optional(UnixTime{std::clamp(member->as_integer(), -kLastSecond, kLastSecond) * kNanosPerSecond});
  }
  if (is_whole || member->type() != Json::Type::kNumber) {
    return refuse_svid(code, "the time is a number of seconds").at(std::string(name));
  }
  const double limit = static_cast<double>(kLastSecond);
  const double nanos = std::clamp(member->as_number(), -limit, limit) * static_cast<double>(kNanosPerSecond);
  return std::optional(UnixTime{static_cast<std::int64_t>(nanos)});
}

Result<std::vector<std::string>> audience_of(const Json& claims) {
  const Json* member = claims.find("aud");
  if (member == nullptr) return refuse_svid("jwt_svid_aud_missing", "the token says nobody it is for");
  if (member->is_string()) return std::vector<std::string>{member->as_string()};
  if (!member->is_array()) return refuse_svid("jwt_svid_aud_syntax", "aud is a text or a list of texts");
  if (member->items().empty()) return refuse_svid("jwt_svid_aud_missing", "the token says nobody it is for");
  if (member->items().size() > kAudiencesMax) return refuse_svid("jwt_svid_aud_syntax", "aud has at most 100 texts");
  std::vector<std::string> out;
  for (const Json& item : member->items()) {
    if (!item.is_string()) return refuse_svid("jwt_svid_aud_syntax", "aud is a text or a list of texts");
    out.push_back(item.as_string());
  }
  return out;
}

Result<crypto::SpiffeId> subject_of(const Json& claims) {
  const Json* member = claims.find("sub");
  if (member == nullptr) return refuse_svid("jwt_svid_sub_missing", "the token says nobody it speaks for");
  if (!member->is_string()) return refuse_svid("jwt_svid_sub", "sub is a SPIFFE ID");
  auto id = crypto::parse_spiffe_id(member->as_string());
  if (!id.ok()) return refuse_svid("jwt_svid_sub", id.error().message).found(member->as_string());
  if (id->path.empty()) {
    return refuse_svid("jwt_svid_sub_path", "the SPIFFE ID of a workload has a path").found(member->as_string());
  }
  return id;
}

Result<JwtSvid> read_claims(ByteView payload) {
  auto claims = codec::parse_json(as_text(payload), kClaimLimits);
  if (!claims.ok()) return refuse_svid("jwt_svid_claims", claims.error().message).found(claims.error().code);
  if (!claims->is_object()) return refuse_svid("jwt_svid_claims", "the claims are an object");
  JwtSvid out;
  WARY_ASSIGN_OR_RETURN(out.id, subject_of(*claims));
  WARY_ASSIGN_OR_RETURN(out.audience, audience_of(*claims));
  WARY_ASSIGN_OR_RETURN(const std::optional<UnixTime> expiry, date(*claims, "exp", true, "jwt_svid_exp_syntax"));
  if (!expiry) return refuse_svid("jwt_svid_exp_missing", "the token does not say until when it holds");
  out.expires_at = *expiry;
  WARY_ASSIGN_OR_RETURN(out.issued_at, date(*claims, "iat", false, "jwt_svid_iat_syntax"));
  WARY_ASSIGN_OR_RETURN(out.not_before, date(*claims, "nbf", false, "jwt_svid_nbf_syntax"));
  out.claims = std::move(claims).value();
  return out;
}

Result<JwtSvid> read_svid(const crypto::Jws& jws) {
  WARY_RETURN_IF_ERROR(check_header(jws.header));
  return read_claims(jws.payload);
}

Status check_times(const JwtSvid& svid, const JwtSvidRules& rules) {
  const std::int64_t leeway = std::clamp(rules.leeway_s, std::int64_t{0}, kLeewayMax) * kNanosPerSecond;
  if (svid.expires_at.nanos <= rules.now.nanos - leeway) {
    return refuse_svid("jwt_svid_expired", "the token has expired").found(to_rfc3339(svid.expires_at));
  }
  const std::int64_t latest = rules.now.nanos + leeway;
  if (svid.not_before && svid.not_before->nanos > latest) {
    return refuse_svid("jwt_svid_nbf", "the token does not hold yet").found(to_rfc3339(*svid.not_before));
  }
  if (svid.issued_at && svid.issued_at->nanos > latest) {
    return refuse_svid("jwt_svid_iat", "the token is from the future").found(to_rfc3339(*svid.issued_at));
  }
  return {};
}

}  // namespace

Result<JwtSvid> parse_jwt_svid(std::string_view token) {
  WARY_ASSIGN_OR_RETURN(const crypto::Jws jws, crypto::parse_jws(token));
  return read_svid(jws);
}

Result<JwtSvid> check_jwt_svid(std::string_view token, const BundleSet& bundles, const JwtSvidRules& rules) {
  WARY_ASSIGN_OR_RETURN(const crypto::Jws jws, crypto::parse_jws(token));
  WARY_ASSIGN_OR_RETURN(JwtSvid svid, read_svid(jws));
  const Bundle* bundle = bundles.find(svid.id.trust_domain);
  if (bundle == nullptr) {
    return refuse_svid("jwt_svid_trust_domain", "no bundle of that trust domain is held here")
        .found(svid.id.trust_domain);
  }
  if (bundle->jwt_authorities.empty()) {
    return refuse_svid("jwt_svid_no_keys", "that trust domain has no key for tokens").found(svid.id.trust_domain);
  }
  WARY_RETURN_IF_ERROR(crypto::verify_jws(jws, bundle->jwt_authorities, kJwtSvidAlgorithms));
  WARY_RETURN_IF_ERROR(check_times(svid, rules));
  if (rules.audience.empty() || std::ranges::find(svid.audience, rules.audience) == svid.audience.end()) {
    return refuse_svid("jwt_svid_aud", "the token is for somebody else").expected(rules.audience);
  }
  return svid;
}

Result<std::string> make_jwt_svid(const JwtSvidWanted& wanted, const JwtSvidKey& key, const crypto::SignJws& sign) {
  const auto refuse = [](std::string_view message) { return fail(ErrorKind::kInvalid, "jwt_svid_wanted", message); };
  WARY_ASSIGN_OR_RETURN(const crypto::SpiffeId id, crypto::parse_spiffe_id(wanted.id));
  if (id.path.empty()) return refuse("the SPIFFE ID of a workload has a path").found(wanted.id);
  if (!is_jwt_svid_algorithm(key.algorithm)) return refuse("a JWT-SVID is not signed with that algorithm");
  if (wanted.audience.empty() || wanted.audience.size() > kAudiencesMax ||
      std::ranges::find(wanted.audience, "") != wanted.audience.end()) {
    return refuse("a token is for 1 to 100 audiences that have a name");
  }
  const std::int64_t issued_s = wanted.issued_at.nanos / kNanosPerSecond;
  const std::int64_t expires_s = wanted.expires_at.nanos / kNanosPerSecond;
  if (expires_s <= issued_s) return refuse("a token ends after it was made");
  if (!wanted.more.is_object()) return refuse("further claims are an object");
  Json claims = wanted.more;
  for (const std::string_view name : {"sub", "aud", "exp", "iat"}) {
    if (claims.find(name) != nullptr) return refuse("a further claim has the name of one that is set here").found(name);
  }
  claims.set("sub", wanted.id);
  // One as a text: JWT-SVID.schema knows no other form, and the specification's text knows both.
  if (wanted.audience.size() == 1) {
    claims.set("aud", wanted.audience.front());
  } else {
    Json audience = Json::array();
    for (const std::string& name : wanted.audience) audience.push(name);
    claims.set("aud", std::move(audience));
  }
  claims.set("exp", expires_s);
  claims.set("iat", issued_s);
  WARY_ASSIGN_OR_RETURN(std::string token,
                        crypto::make_jws({key.algorithm, key.kid, "JWT"}, as_bytes(claims.to_string()), sign));
  // Read back, so that nobody is given a token that a strict reader refuses.
  WARY_RETURN_IF_ERROR(parse_jwt_svid(token));
  return token;
}

}  // namespace wary::spiffe
