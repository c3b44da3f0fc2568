// JwtIssuer: one authorization server whose access tokens are believed here, as its Wary::Issuer entity says; and what
// one of its tokens says once it is verified (RFC 7519, RFC 8725, RFC 9068).
//
//   WARY_ASSIGN_OR_RETURN(JwtIssuer issuer, issuer_from("corp", rules, jwks));
//   WARY_ASSIGN_OR_RETURN(UncheckedToken token, read_token(text));      // says whose it wants to be, no more
//   WARY_ASSIGN_OR_RETURN(VerifiedToken who, check_token(token, issuer, clock.unix_time()));
//
// Whom a token speaks for is always somebody wary knows: a User or Workload object, by a claim's value or by the
// issuer's list. So revoking, disabling and groups stay wary's own, and a token of a person nobody entered is nobody's.
// The machine's owner is never meant unless listed. A groups claim makes nobody a member: what of it the issuer's list
// names, stands in `context.token.groups`, where a policy has to ask for it.
//
// Pure; any thread. Limits: 16 KiB a token, 100 scopes, 100 groups, 1,000 subjects and groups listed, skew of 60 s.
// Errors, all unauthenticated: of parse_jws and verify_jws; token_claims, token_typ, token_issuer, token_audience,
// token_expired, token_not_yet, token_claim_missing, token_claim, token_confirmation (a cnf that cannot be checked),
// token_no_keys, token_principal (nobody is named). Of issuer_from, invalid: issuer_rules, issuer_algorithm,
// issuer_keys and those of parse_jwk_set.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "codec/json.h"
#include "contract/entity.h"
#include "crypto/jws.h"

namespace wary::enforce {

constexpr std::int64_t kSkewMax = 60;  // seconds

struct JwtIssuer {
  std::string name;  // of the Wary::Issuer
  std::string url;   // `iss`
  std::vector<std::string> audiences;
  std::vector<crypto::SignatureAlgorithm> algorithms;
  std::vector<crypto::Jwk> keys;
  bool allow_untyped = false;
  bool require_dpop = false;
  std::int64_t skew_s = 30;
  std::string claim = "sub";                           // that names the principal
  std::string suffix;                                  // what it ends with, and is taken off: "@example.org"
  bool only_listed = false;                            // nobody but who is in `subjects`
  std::map<std::string, contract::EntityId> subjects;  // by the claim's value
  std::string groups_claim;                            // empty: none is read
  std::map<std::string, std::string> groups;           // by the claim's value: a Wary::Group
};

// `rules` as the control plane derives them from an Issuer object; `jwks` may be empty: no keys yet.
Result<JwtIssuer> issuer_from(std::string_view name, const codec::Json& rules, std::string_view jwks);

struct UncheckedToken {
  crypto::Jws jws;
  codec::Json claims;
  std::string issuer;  // `iss`; nothing vouches for it
};
Result<UncheckedToken> read_token(std::string_view token);

struct VerifiedToken {
  contract::EntityId principal;
  std::string issuer;   // the Wary::Issuer's name
  std::string subject;  // `sub`
  std::string id;       // `jti`; empty where an untyped token has none
  std::string client;   // `client_id`, or `azp`
  std::string key;      // thumbprint of the key that signed
  std::vector<std::string> scopes;
  std::vector<std::string> groups;  // of Wary::Group
  std::string acr;
  std::optional<UnixTime> auth_time;
  UnixTime expires;  // with the skew
  bool require_dpop = false;
  std::string jkt;  // cnf: bound to that key (RFC 9449)
  std::string x5t;  // cnf: bound to that certificate (RFC 8705), base64url of SHA-256
  bool is_bound() const { return !jkt.empty() || !x5t.empty(); }
};
Result<VerifiedToken> check_token(const UncheckedToken& token, const JwtIssuer& issuer, UnixTime now);

// Id of the Wary::Token that a revocation of it makes: the issuer's name and the hash of its id.
std::string token_entity_id(std::string_view issuer, std::string_view token_id);

}  // namespace wary::enforce
