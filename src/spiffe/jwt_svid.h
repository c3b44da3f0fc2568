// JWT-SVIDs (JWT-SVID.md): who a token speaks for, and making one.
//
//   spiffe::JwtSvidRules rules{.audience = "reports", .now = clock.unix_time()};
//   WARY_ASSIGN_OR_RETURN(spiffe::JwtSvid svid, spiffe::check_jwt_svid(token, bundles, rules));
//   ... svid.id.to_string(), svid.claims ...
//   WARY_ASSIGN_OR_RETURN(std::string token, spiffe::make_jwt_svid(wanted, {kEs256, kid}, sign));
//
// The bundle is that of sub's trust domain and no other. A header has alg, kid and typ and nothing else. Times have no
// leeway unless the caller gives one; a token with iat or nbf in the future is refused. Values; any thread that may
// read the set. Limits: 16 KiB a token, 100 audiences, 16 keys tried for a token without kid. Errors, all of kind
// unauthenticated: of parse_jws; jwt_svid_algorithm (EdDSA), jwt_svid_header, jwt_svid_typ, jwt_svid_claims (no object,
// or a repeated member), jwt_svid_sub_missing, jwt_svid_sub, jwt_svid_sub_path, jwt_svid_aud_missing,
// jwt_svid_aud_syntax, jwt_svid_exp_missing, jwt_svid_exp_syntax, jwt_svid_iat_syntax, jwt_svid_nbf_syntax,
// jwt_svid_trust_domain (no bundle is held), jwt_svid_no_keys (the bundle has none), of verify_jws; then
// jwt_svid_expired, jwt_svid_nbf, jwt_svid_iat, jwt_svid_aud. Of make_jwt_svid, kind invalid: jwt_svid_wanted, and of
// make_jws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "codec/json.h"
#include "crypto/jws.h"
#include "crypto/spiffe_id.h"
#include "spiffe/bundle.h"

namespace wary::spiffe {

constexpr std::size_t kAudiencesMax = 100;

struct JwtSvid {
  crypto::SpiffeId id;
  std::vector<std::string> audience;
  UnixTime expires_at;
  std::optional<UnixTime> issued_at;
  std::optional<UnixTime> not_before;
  codec::Json claims;  // all of them
};

struct JwtSvidRules {
  std::string audience;  // what the asker is called; the token must name it
  UnixTime now;
  std::int64_t leeway_s = 0;  // for exp, iat and nbf, where clocks differ; 0 to 3600
};

Result<JwtSvid> check_jwt_svid(std::string_view token, const BundleSet& bundles, const JwtSvidRules& rules);

// The form alone: nothing is verified. For whoever got the token from its issuer and wants to know what it says.
Result<JwtSvid> parse_jwt_svid(std::string_view token);

struct JwtSvidWanted {
  std::string id;                     // a SPIFFE ID with a path
  std::vector<std::string> audience;  // one is best: each can pass the token on to the others
  UnixTime issued_at;
  UnixTime expires_at;
  codec::Json more = codec::Json::object();  // further claims; not sub, aud, exp, iat
};
struct JwtSvidKey {
  crypto::SignatureAlgorithm algorithm = crypto::SignatureAlgorithm::kEs256;
  std::string kid;
};
Result<std::string> make_jwt_svid(const JwtSvidWanted& wanted, const JwtSvidKey& key, const crypto::SignJws& sign);

}  // namespace wary::spiffe
