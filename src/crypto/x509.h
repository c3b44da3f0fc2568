// X.509 certificates (RFC 5280) and X509-SVIDs: read, make, and verify against given roots at a given time.
//
//   WARY_ASSIGN_OR_RETURN(Bytes ca, crypto::create_ca({.common_name = "wary local CA", ...}, ca_key));
//   WARY_ASSIGN_OR_RETURN(Bytes csr, crypto::make_csr(leaf_key, "orders"));
//   WARY_ASSIGN_OR_RETURN(Bytes leaf, crypto::issue_leaf(ca, ca_key, csr, {.spiffe_id = "spiffe://local/orders",
//   ...})); WARY_ASSIGN_OR_RETURN(auto roots, crypto::TrustRoots::build({ca}));
//   WARY_ASSIGN_OR_RETURN(crypto::Certificate peer, roots.verify(chain, now, {.svid = true, .trust_domain = "local"}));
//
// What goes into a leaf comes from LeafOptions alone; of the request only the key is taken, after its signature proved
// possession. Values; TrustRoots is immutable and shareable. Limits: 64 KiB a certificate, 10 in a chain, 100 names.
// Errors: x509_syntax, x509_csr_signature, x509_option, x509_failed; of verify: x509_untrusted, x509_expired,
// x509_not_yet_valid, x509_purpose, x509_name, x509_not_ca (a certificate of the chain may not sign others),
// svid_trust_domain, and those of check_svid and check_svid_signer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/sign.h"
#include "crypto/spiffe_id.h"

namespace wary::crypto {

struct Certificate {
  Bytes der;
  std::string subject;      // RFC 2253 text
  std::string common_name;  // the subject's one, UTF-8 without control characters; empty: none, several or another
  std::string issuer;
  std::string serial;  // hex
  std::vector<std::string> dns_names;
  std::vector<std::string> uris;
  std::vector<Bytes> ip_addresses;  // 4 or 16 bytes
  UnixTime not_before;
  UnixTime not_after;
  bool is_ca = false;
  std::uint32_t key_usage = 0;  // bit n of RFC 5280 section 4.2.1.3; 0 with has_key_usage false: absent
  bool has_key_usage = false;
  bool key_usage_is_critical = false;
  bool has_extended_key_usage = false;
  bool for_server = false;  // extended key usage names it, or anyExtendedKeyUsage
  bool for_client = false;
  bool names_both_uses = false;     // extended key usage spells out server and client authentication
  bool names_endorsement = false;   // extended key usage names a TPM's endorsement key (tcg-kp-EKCertificate)
  bool names_are_critical = false;  // the subject alternative names
  Bytes public_key;                 // SubjectPublicKeyInfo
  Bytes subject_key_id;
  Bytes authority_key_id;
  // Private to crypto/: the chain it was shown with as the library holds it, of one that was verified. Shared: by all
  // connections that show it.
  std::shared_ptr<const struct ParsedChain> parsed;
};

Result<Certificate> parse_certificate(ByteView der);
// The rules for a leaf (X509-SVID.md sections 2 to 5), apart from the chain. The ID on success. Errors: svid_uri_count,
// svid_id, svid_path (it has none), svid_ca, svid_key_usage (absent), svid_key_usage_critical, svid_digital_signature,
// svid_key_cert_sign, svid_crl_sign, svid_extended_key_usage, svid_names_critical (they must be, without a subject).
Result<SpiffeId> check_svid(const Certificate& leaf);
// The rules for a signing certificate (sections 3.2 and 4). One that carries a SPIFFE ID is an SVID itself; wary wants
// it to be of the leaf's trust domain, which the specification only recommends. Errors: svid_signer_ca,
// svid_signer_key_usage (no keyCertSign), svid_signer_key_usage_critical, svid_signer_uri_count, svid_signer_id,
// svid_signer_path, svid_signer_trust_domain.
Status check_svid_signer(const Certificate& signer, std::string_view trust_domain);

struct CaOptions {
  std::string common_name;   // made unique by the serial number in the subject
  std::string trust_domain;  // a SPIFFE signing certificate carries it as spiffe://DOMAIN; empty: none
  UnixTime not_before;
  UnixTime not_after;
};
Result<Bytes> create_ca(const CaOptions& options, const PrivateKey& key);

struct LeafOptions {
  std::vector<std::string> dns_names;  // these, or one SPIFFE ID
  std::string spiffe_id;
  UnixTime not_before;
  UnixTime not_after;  // cut at the CA's end
};
Result<Bytes> make_csr(const PrivateKey& key, std::string_view common_name);
// The request's key, once its signature is good.
Result<PublicKey> check_csr(ByteView csr);
Result<Bytes> issue_leaf(ByteView ca, const PrivateKey& ca_key, ByteView csr, const LeafOptions& options);

struct VerifyOptions {
  // kAny: extended key usage is the caller's business (devices, endorsement keys). Signers are still authorities by
  // their basicConstraints: OpenSSL asks that of intermediates, build of roots.
  enum class Use { kServer, kClient, kAny };
  Use use = Use::kServer;
  bool svid = false;         // then the SVID rules hold
  std::string trust_domain;  // with svid: the only one these roots speak for
  std::string dns_name;      // the leaf must carry it (RFC 9525; a wildcard is the whole first label), unless empty
};

// The chain holds from `from` on until `until`, which is no part of that: by every certificate that is in it.
struct VerifiedChain {
  Certificate leaf;
  UnixTime from, until;
};

class TrustRoots {
 public:
  static Result<TrustRoots> build(const std::vector<Bytes>& roots);
  // Leaf first. The leaf on success.
  Result<Certificate> verify(const std::vector<Bytes>& chain, UnixTime at, const VerifyOptions& options) const;
  Result<VerifiedChain> verify_chain(const std::vector<Bytes>& chain, UnixTime at, const VerifyOptions& options) const;

 private:
  struct Store;
  explicit TrustRoots(std::shared_ptr<const Store> store) : store_(std::move(store)) {}
  std::shared_ptr<const Store> store_;  // shared: one set of roots serves every connection
};

}  // namespace wary::crypto
