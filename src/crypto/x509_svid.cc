// The X509-SVID rules (X509-SVID.md), apart from the chain.
#include "crypto/x509.h"

namespace wary::crypto {

namespace {

// Bits of RFC 5280 section 4.2.1.3.
constexpr std::uint32_t kDigitalSignature = 1U << 0;
constexpr std::uint32_t kKeyCertSign = 1U << 5;
constexpr std::uint32_t kCrlSign = 1U << 6;
constexpr std::string_view kSpiffeScheme = "spiffe://";

Error svid_refusal(const Certificate& certificate, std::string_view code, std::string_view message) {
  return fail(ErrorKind::kUnauthenticated, code, message).at(certificate.subject);
}

Status check_leaf_usage(const Certificate& leaf) {
  if (leaf.is_ca) return svid_refusal(leaf, "svid_ca", "a leaf is no certificate authority");
  if (!leaf.has_key_usage) return svid_refusal(leaf, "svid_key_usage", "a leaf says what its key is for");
  if (!leaf.key_usage_is_critical) return svid_refusal(leaf, "svid_key_usage_critical", "key usage is critical");
  if ((leaf.key_usage & kKeyCertSign) != 0) {
    return svid_refusal(leaf, "svid_key_cert_sign", "a leaf may not sign certificates");
  }
  if ((leaf.key_usage & kCrlSign) != 0) {
    return svid_refusal(leaf, "svid_crl_sign", "a leaf may not sign revocation lists");
  }
  if ((leaf.key_usage & kDigitalSignature) == 0) {
    return svid_refusal(leaf, "svid_digital_signature", "key usage allows digital signatures");
  }
  if (leaf.has_extended_key_usage && !leaf.names_both_uses) {
    return svid_refusal(leaf, "svid_extended_key_usage",
                        "extended key usage names server and client authentication, both");
  }
  return {};
}

}  // namespace

Result<SpiffeId> check_svid(const Certificate& leaf) {
  if (leaf.uris.size() != 1) {
    return svid_refusal(leaf, "svid_uri_count", "an X509-SVID has exactly one URI name")
        .found(std::to_string(leaf.uris.size()));
  }
  auto id = parse_spiffe_id(leaf.uris.front());
  if (!id.ok()) return svid_refusal(leaf, "svid_id", id.error().message).found(leaf.uris.front());
  if (id->path.empty()) {
    return svid_refusal(leaf, "svid_path", "the SPIFFE ID of a leaf has a path").found(leaf.uris.front());
  }
  if (leaf.subject.empty() && !leaf.names_are_critical) {
    return svid_refusal(leaf, "svid_names_critical", "without a subject the names are critical").at(leaf.uris.front());
  }
  WARY_RETURN_IF_ERROR(check_leaf_usage(leaf));
  return id;
}

Status check_svid_signer(const Certificate& signer, std::string_view trust_domain) {
  if (!signer.is_ca) return svid_refusal(signer, "svid_signer_ca", "a signing certificate is a certificate authority");
  if (!signer.has_key_usage || (signer.key_usage & kKeyCertSign) == 0) {
    return svid_refusal(signer, "svid_signer_key_usage", "a signing certificate may sign certificates");
  }
  std::size_t ids = 0;
  for (const std::string& uri : signer.uris) ids += uri.starts_with(kSpiffeScheme) ? 1U : 0U;
  if (ids == 0) return {};  // it need not be an SVID itself
  if (signer.uris.size() != 1) {
    return svid_refusal(signer, "svid_signer_uri_count", "an X509-SVID has exactly one URI name")
        .found(std::to_string(signer.uris.size()));
  }
  if (!signer.key_usage_is_critical) {
    return svid_refusal(signer, "svid_signer_key_usage_critical", "key usage is critical");
  }
  std::string_view text = signer.uris.front();
  // The example of SPIFFE_Trust_Domain_and_Bundle.md, appendix A, ends in a slash, and such roots are in use.
  if (text.ends_with('/') && text.size() > kSpiffeScheme.size() + 1) text.remove_suffix(1);
  const auto id = parse_spiffe_id(text);
  if (!id.ok()) return svid_refusal(signer, "svid_signer_id", id.error().message).found(signer.uris.front());
  if (!id->path.empty()) {
    return svid_refusal(signer, "svid_signer_path", "the SPIFFE ID of a signing certificate has no path")
        .found(signer.uris.front());
  }
  if (id->trust_domain != trust_domain) {
    return svid_refusal(signer, "svid_signer_trust_domain", "the signing certificate is of another trust domain")
        .expected(trust_domain)
        .found(id->trust_domain);
  }
  return {};
}

}  // namespace wary::crypto
