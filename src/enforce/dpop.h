// DPoP proofs (RFC 9449): that who shows a token has the key it is bound to, for this one request.
//
//   WARY_ASSIGN_OR_RETURN(DpopProof proof, check_dpop(header, {.method = "GET", .authority = "api.test", .path = "/a",
//                                                              .token = token, .thumbprint = jkt, .now = now}));
//   if (shared.proofs.add(proof.id, clock.monotonic()) != SeenSet::Added::kNew) refuse("dpop_replayed");
//
// A proof is for one method and one address: scheme, host, port and the normalised path; query and fragment are left
// out on both sides (section 4.3). It is good from 60 s before to 5 s after `now`, and never when it is older than
// `not_before`: what an earlier process saw is not remembered. That it is shown once is the caller's to see to. Pure;
// any thread. Limits: 8 KiB a proof, 256 bytes a jti. Errors: of parse_jws_with_key and verify_jws; dpop_typ,
// dpop_claims, dpop_jti, dpop_htm, dpop_htu, dpop_iat, dpop_ath, dpop_key (another key than the token's).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "crypto/hash.h"

namespace wary::enforce {

constexpr std::size_t kDpopBytesMax = std::size_t{8} << 10;
constexpr std::int64_t kDpopAgeMax = 60 * kNanosPerSecond;
constexpr std::int64_t kDpopAheadMax = 5 * kNanosPerSecond;
// As they stand in a challenge's `algs`.
constexpr std::string_view kDpopAlgorithms = "ES256 EdDSA PS256 RS256 ES384";

struct DpopRules {
  std::string_view method;
  std::string_view authority;   // host[:port] of the request; https
  std::string_view path;        // normalised (codec/uri.h)
  std::string_view token;       // as it was shown
  std::string_view thumbprint;  // cnf.jkt
  UnixTime now;
  UnixTime not_before = {};
};

struct DpopProof {
  crypto::Digest id;  // of key and jti: what may be seen once
  UnixTime issued;
};

Result<DpopProof> check_dpop(std::string_view proof, const DpopRules& rules);

}  // namespace wary::enforce
