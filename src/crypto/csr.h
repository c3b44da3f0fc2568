// Certificate requests (PKCS#10, RFC 2986): whose key is it, and does the asker have it?
//
//   crypto::CsrChecker checker;                                      // kept: it holds contexts
//   WARY_ASSIGN_OR_RETURN(Bytes spki, checker.check(csr));           // the key, once possession is proved
//
// P-256 with SHA-256 is read by hand and verified with kept contexts; anything else goes the general way (check_csr).
// Nothing else of a request is ever used. One thread. Limit: 64 KiB. Errors: csr_size, csr_syntax, csr_trailing,
// csr_version, csr_subject, csr_key, csr_point, csr_attributes, csr_algorithm, csr_signature (no bit string),
// csr_proof (not signed by its key); of the general way: those of check_csr.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/p256.h"

namespace wary::crypto {

class CsrChecker {
 public:
  // The SubjectPublicKeyInfo of the request's key.
  Result<Bytes> check(ByteView csr);

 private:
  P256Verifier verifier_;
};

}  // namespace wary::crypto
