#include "identity/token.h"

#include <algorithm>

#include "codec/text.h"
#include "crypto/sign.h"
#include "crypto/spiffe_id.h"

namespace wary::identity {

namespace {

constexpr std::size_t kAudiencesMax = 16;
constexpr std::size_t kAudienceMax = 256;
constexpr std::int64_t kTokenLifeMax = 3600;
constexpr std::int64_t kTokenLife = 300;

}  // namespace

Result<TokenClaims> read_token_claims(const codec::Json& request, std::string_view trust_domain) {
  TokenClaims claims;
  claims.subject = request.string_or("spiffe_id", "");
  WARY_ASSIGN_OR_RETURN(const crypto::SpiffeId id, crypto::parse_spiffe_id(claims.subject));
  if (id.trust_domain != trust_domain || id.path.empty()) {
    return fail(ErrorKind::kInvalid, "signer_trust_domain", "this identity is not of this trust domain")
        .found(claims.subject);
  }
  const auto bad_audience = [] {
    return fail(ErrorKind::kInvalid, "signer_audience", "a token names for whom it is")
        .expected("1 to 16 different texts of 1 to 256 bytes");
  };
  const codec::Json* audiences = request.find("audiences");
  if (audiences == nullptr || !audiences->is_array()) return bad_audience();
  if (audiences->items().empty() || audiences->items().size() > kAudiencesMax) return bad_audience();
  for (const codec::Json& audience : audiences->items()) {
    if (!audience.is_string()) return bad_audience();
    const std::string& text = audience.as_string();
    if (text.empty() || text.size() > kAudienceMax || std::ranges::count(claims.audiences, text) != 0) {
      return bad_audience();
    }
    claims.audiences.push_back(text);
  }
  claims.ttl_seconds = request.integer_or("ttl_seconds", kTokenLife);
  if (claims.ttl_seconds < 1 || claims.ttl_seconds > kTokenLifeMax) {
    return fail(ErrorKind::kInvalid, "signer_ttl", "a token cannot live that long")
        .expected("1.." + std::to_string(kTokenLifeMax) + " seconds")
        .found(std::to_string(claims.ttl_seconds));
  }
  return claims;
}

Result<std::string> make_token(const TokenClaims& claims, UnixTime now, std::string_view kid, keystore::Key& key) {
  codec::Json header = codec::Json::object(), payload = codec::Json::object(), audiences = codec::Json::array();
  header.set("alg", "ES256").set("kid", kid).set("typ", "JWT");
  for (const std::string& audience : claims.audiences) audiences.push(codec::Json(audience));
  const std::int64_t issued = now.nanos / kNanosPerSecond;
  payload.set("aud", std::move(audiences)).set("exp", issued + claims.ttl_seconds).set("iat", issued);
  payload.set("sub", std::string_view(claims.subject));
  std::string token = codec::encode_base64url(as_bytes(header.to_string())) + "." +
                      codec::encode_base64url(as_bytes(payload.to_string()));
  WARY_ASSIGN_OR_RETURN(const Bytes signature, key.sign(as_bytes(token)));
  WARY_ASSIGN_OR_RETURN(const Bytes raw, crypto::ecdsa_to_raw(signature));
  return token + "." + codec::encode_base64url(raw);
}

}  // namespace wary::identity
