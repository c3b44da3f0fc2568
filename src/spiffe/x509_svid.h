// X509-SVIDs against the bundles that are held: who is at the other end (X509-SVID.md section 5).
//
//   WARY_ASSIGN_OR_RETURN(crypto::SpiffeId id, spiffe::check_x509_svid(chain, bundles, now, use));
//
// The leaf says its trust domain, and the bundle of that one alone decides: a chain to another's root is refused. One
// thread, as the set. Limits and errors: of crypto/x509.h; x509_svid_trust_domain (no bundle of it is held).
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/x509.h"
#include "spiffe/bundle.h"

namespace wary::spiffe {

// Leaf first. The leaf's ID on success.
Result<crypto::SpiffeId> check_x509_svid(const std::vector<Bytes>& chain, const BundleSet& bundles, UnixTime now,
                                         crypto::VerifyOptions::Use use);

}  // namespace wary::spiffe
