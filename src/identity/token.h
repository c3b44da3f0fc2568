// Private to identity/: JWT-SVIDs, written by the signer itself, so that its token key signs nothing else.
//
//   WARY_ASSIGN_OR_RETURN(TokenClaims claims, read_token_claims(request, "local"));
//   WARY_ASSIGN_OR_RETURN(std::string token, make_token(claims, now, kid, key));
//
// Limits: 16 audiences of 256 bytes, 1 h. Errors: signer_trust_domain, signer_audience, signer_ttl.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "codec/json.h"
#include "keystore/key_store.h"

namespace wary::identity {

struct TokenClaims {
  std::string subject;
  std::vector<std::string> audiences;
  std::int64_t ttl_seconds = 0;
};

// {spiffe_id, audiences, ttl_seconds}; without the last, five minutes.
Result<TokenClaims> read_token_claims(const codec::Json& request, std::string_view trust_domain);
// Compact JWS (RFC 7515 section 3.1), ES256 (RFC 7518 section 3.4).
Result<std::string> make_token(const TokenClaims& claims, UnixTime now, std::string_view kid, keystore::Key& key);

}  // namespace wary::identity
