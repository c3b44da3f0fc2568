#include "spiffe/x509_svid.h"

namespace wary::spiffe {

Result<crypto::SpiffeId> check_x509_svid(const std::vector<Bytes>& chain, const BundleSet& bundles, UnixTime now,
                                         crypto::VerifyOptions::Use use) {
  if (chain.empty()) return fail(ErrorKind::kUnauthenticated, "x509_untrusted", "there is no certificate");
  WARY_ASSIGN_OR_RETURN(const crypto::Certificate leaf, crypto::parse_certificate(chain.front()));
  WARY_ASSIGN_OR_RETURN(crypto::SpiffeId id, crypto::check_svid(leaf));
  const crypto::TrustRoots* roots = bundles.find_roots(id.trust_domain);
  if (roots == nullptr) {
    return fail(ErrorKind::kUnauthenticated, "x509_svid_trust_domain", "no bundle of that trust domain is held here")
        .found(id.trust_domain);
  }
  crypto::VerifyOptions options;
  options.use = use;
  options.svid = true;
  options.trust_domain = id.trust_domain;
  WARY_RETURN_IF_ERROR(roots->verify(chain, now, options));
  return id;
}

}  // namespace wary::spiffe
