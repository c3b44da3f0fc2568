// SPIFFE trust bundles: what one trust domain's SVIDs are verified with (SPIFFE_Trust_Domain_and_Bundle.md section 4).
//
//   WARY_ASSIGN_OR_RETURN(spiffe::Bundle bundle, spiffe::parse_bundle("example.org", text));
//   spiffe::BundleSet bundles;
//   WARY_RETURN_IF_ERROR(bundles.put(std::move(bundle)));      // takes the place of the one before
//   const spiffe::Bundle* found = bundles.find("example.org");
//   std::string text = *spiffe::write_bundle(*found);
//
// The document does not say whose it is: the caller knows, and nothing here ever merges two. An entry of an unknown
// type or use, or one that breaks its rules, is left out and named in `left_out`; a bundle without entries means that
// nothing of that trust domain is trusted. Of x5c the first certificate counts (X509-SVID.md section 6.2) and the rest
// is named in `left_out`. Values; a BundleSet belongs to one thread, or is not changed any more. Limits: 1 MiB, 256
// entries, 64 KiB a certificate, 1,024 trust domains a set. Errors: of codec/json.h; bundle_syntax, bundle_sequence,
// bundle_refresh_hint, bundle_size, bundle_kid_repeated, bundle_trust_domain, bundle_set_size. Of an entry, in
// `left_out`: bundle_key_type, bundle_key_use, bundle_key_kid, bundle_key_x5c, bundle_key_x5c_more (only the rest of
// the list), bundle_key_x5c_other (it is not the entry's key), and those of jwk.h, x509.h and check_svid_signer.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/jwk.h"
#include "crypto/x509.h"

namespace wary::spiffe {

constexpr std::size_t kBundleKeysMax = 256;
constexpr std::size_t kBundleSetMax = 1024;
constexpr std::int64_t kRefreshHintDefault = 300;  // seconds

struct Bundle {
  std::string trust_domain;
  std::vector<Bytes> x509_authorities;         // DER, each a signing certificate
  std::vector<crypto::Jwk> jwt_authorities;    // each with its own kid
  std::optional<std::int64_t> sequence;        // not negative
  std::optional<std::int64_t> refresh_hint_s;  // not negative
  std::vector<crypto::LeftOut> left_out;       // only of a parsed one

  bool trusts_nothing() const { return x509_authorities.empty() && jwt_authorities.empty(); }
  std::int64_t refresh_after_s() const { return refresh_hint_s.value_or(kRefreshHintDefault); }
};

Result<Bundle> parse_bundle(std::string_view trust_domain, std::string_view text);
// The document: sequence, refresh hint, then X.509 and JWT entries. Refuses what parse_bundle would leave out.
Result<std::string> write_bundle(const Bundle& bundle);
// A name by itself, without "spiffe://" (SPIFFE-ID.md section 2.1). Error: bundle_trust_domain.
Status check_trust_domain(std::string_view name);

class BundleSet {
 public:
  // The trust domain's bundle from now on, whole. Errors: bundle_trust_domain, bundle_set_size, of TrustRoots::build.
  Status put(Bundle bundle);
  void remove(std::string_view trust_domain);
  const Bundle* find(std::string_view trust_domain) const;
  const crypto::TrustRoots* find_roots(std::string_view trust_domain) const;
  std::size_t size() const { return held_.size(); }

 private:
  struct Held {
    Bundle bundle;
    crypto::TrustRoots roots;
  };
  std::map<std::string, Held, std::less<>> held_;
};

}  // namespace wary::spiffe
