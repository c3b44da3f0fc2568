// Certificates put together from DER by hand: as much of one as can be is made once for each issuer, and each new one
// is a few pieces put between. The signature is somebody else's: the issuer's key may lie in a file, an HSM or a TPM.
//
//   WARY_ASSIGN_OR_RETURN(Bytes root, crypto::issue_authority({.common_name = "root", ...}, spki, {}, random, sign));
//   WARY_ASSIGN_OR_RETURN(auto issuer, crypto::LeafIssuer::of(root));
//   WARY_ASSIGN_OR_RETURN(Bytes leaf, issuer.issue(spki, {.spiffe_id = "spiffe://local/orders", ...}, random, sign));
//
// A leaf says what crypto::issue_leaf would say. Everything is signed by ECDSA P-256 with SHA-256. Values; any thread.
// Limits: 100 names. Errors: x509_option, x509_syntax, and what `sign` says.
#pragma once

#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/x509.h"

namespace wary::crypto {

// ECDSA P-256 with SHA-256 over the message; DER.
using SignMessage = std::function<Result<Bytes>(ByteView message)>;

struct AuthorityOptions {
  std::string common_name;   // made unique by the serial number in the subject; at most 64 bytes
  std::string trust_domain;  // carried as spiffe://DOMAIN
  UnixTime not_before;
  UnixTime not_after;        // cut at the issuer's end
  bool leaves_only = false;  // it may sign no other authority
};
// An authority for the key of `spki`; of `issuer` (DER), or of itself if that is empty.
Result<Bytes> issue_authority(const AuthorityOptions& options, ByteView spki, ByteView issuer, Random& random,
                              const SignMessage& sign);

class LeafIssuer {
 public:
  static Result<LeafIssuer> of(ByteView issuer);
  // `spki` comes from a request that was checked (crypto/csr.h).
  Result<Bytes> issue(ByteView spki, const LeafOptions& options, Random& random, const SignMessage& sign) const;
  UnixTime not_after() const { return not_after_; }

 private:
  LeafIssuer() = default;
  Bytes name_;           // the algorithm's identifier, then the issuer's name
  Bytes authority_key_;  // the extension
  UnixTime not_after_;
};

// RFC 5280 section 4.2.1.2 (1): what a key is known by in certificates; SHA-1 here is a name, no protection.
Result<Bytes> subject_key_id(ByteView spki);

}  // namespace wary::crypto
