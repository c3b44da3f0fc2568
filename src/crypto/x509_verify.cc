#include "crypto/x509_private.h"

namespace wary::crypto {

struct TrustRoots::Store {
  X509StoreHandle store;
};

namespace {

std::string_view code_of(int reason) {
  switch (reason) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return "x509_expired";
    case X509_V_ERR_CERT_NOT_YET_VALID: return "x509_not_yet_valid";
    case X509_V_ERR_INVALID_PURPOSE: return "x509_purpose";
    case X509_V_ERR_HOSTNAME_MISMATCH: return "x509_name";
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_NON_CA:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN: return "x509_not_ca";
    default: return "x509_untrusted";
  }
}

struct StackFreer {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};

// What the leaf says by itself: cheaper than the chain, and the more telling refusal.
Status check_leaf(const Certificate& leaf, const VerifyOptions& options) {
  WARY_ASSIGN_OR_RETURN(const SpiffeId id, check_svid(leaf));
  if (id.trust_domain != options.trust_domain) {
    return fail(ErrorKind::kUnauthenticated, "svid_trust_domain", "these roots do not speak for that trust domain")
        .at(leaf.subject)
        .expected(options.trust_domain)
        .found(id.trust_domain);
  }
  return {};
}

// Of the chain that was built, from the leaf's issuer to the root.
Status check_signers(X509_STORE_CTX* context, std::string_view trust_domain) {
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context);
  for (int i = 1; i < sk_X509_num(chain); ++i) {
    WARY_ASSIGN_OR_RETURN(const Certificate signer, describe(sk_X509_value(chain, i), {}));
    WARY_RETURN_IF_ERROR(check_svid_signer(signer, trust_domain));
  }
  return {};
}

// To when every certificate of the chain that was built is valid, its root's too.
Status narrow_validity(X509_STORE_CTX* context, VerifiedChain& verified) {
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context);
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    const X509* one = sk_X509_value(chain, i);
    WARY_ASSIGN_OR_RETURN(const UnixTime from, time_of(X509_get0_notBefore(one)));
    WARY_ASSIGN_OR_RETURN(const UnixTime until, time_of(X509_get0_notAfter(one)));
    verified.from = std::max(verified.from, from);
    verified.until = std::min(verified.until, until);
  }
  return {};
}

int purpose_of(VerifyOptions::Use use) {
  switch (use) {
    case VerifyOptions::Use::kServer: return X509_PURPOSE_SSL_SERVER;
    case VerifyOptions::Use::kClient: return X509_PURPOSE_SSL_CLIENT;
    case VerifyOptions::Use::kAny: break;
  }
  return X509_PURPOSE_ANY;
}

// What it was asked by, and what it has.
void name_mismatch(const Certificate& leaf, const std::string& wanted, Error& error) {
  constexpr std::size_t kNamesShown = 3;
  error.expected_text = wanted;
  for (std::size_t i = 0; i < std::min(leaf.dns_names.size(), kNamesShown); ++i) {
    error.found_text += (i == 0 ? "" : ", ") + leaf.dns_names[i];
  }
  error.next_step = leaf.dns_names.empty() ? "have a certificate issued for that name: this one has no DNS name"
                                           : "ask by a name that its certificate has";
}

}  // namespace

Result<TrustRoots> TrustRoots::build(const std::vector<Bytes>& roots) {
  auto built = std::make_shared<Store>();
  built->store.reset(X509_STORE_new());
  if (!built->store) return openssl_error(ErrorKind::kInternal, "x509_failed", "no store");
  for (const Bytes& root : roots) {
    WARY_ASSIGN_OR_RETURN(const X509Handle x509, read_x509(root));
    WARY_ASSIGN_OR_RETURN(const Certificate shown, describe(x509.get(), root));
    if (!shown.is_ca) {
      return fail(ErrorKind::kInvalid, "x509_option", "a root is no certificate authority").at(shown.subject);
    }
    if (X509_STORE_add_cert(built->store.get(), x509.get()) != 1) {
      return openssl_error(ErrorKind::kInternal, "x509_failed", "a root was not added");
    }
  }
  return TrustRoots(std::move(built));
}

Result<Certificate> TrustRoots::verify(const std::vector<Bytes>& chain, UnixTime at,
                                       const VerifyOptions& options) const {
  WARY_ASSIGN_OR_RETURN(VerifiedChain verified, verify_chain(chain, at, options));
  return std::move(verified.leaf);
}

Result<VerifiedChain> TrustRoots::verify_chain(const std::vector<Bytes>& chain, UnixTime at,
                                               const VerifyOptions& options) const {
  if (chain.empty() || chain.size() > kChainMax) {
    return fail(ErrorKind::kUnauthenticated, "x509_untrusted", "a chain has 1 to 10 certificates")
        .found(std::to_string(chain.size()));
  }
  const auto parsed = std::make_shared<ParsedChain>();
  WARY_ASSIGN_OR_RETURN(X509Handle first, read_x509(chain.front()));
  X509* const leaf = first.get();
  parsed->certificates.push_back(std::move(first));
  WARY_ASSIGN_OR_RETURN(Certificate shown, describe(leaf, chain.front()));
  if (options.svid) WARY_RETURN_IF_ERROR(check_leaf(shown, options));
  const std::unique_ptr<STACK_OF(X509), StackFreer> others(sk_X509_new_null());  // borrows them
  for (std::size_t i = 1; i < chain.size(); ++i) {
    WARY_ASSIGN_OR_RETURN(X509Handle other, read_x509(chain[i]));
    WARY_CHECK(sk_X509_push(others.get(), other.get()) > 0);
    parsed->certificates.push_back(std::move(other));
  }
  const X509StoreContextHandle context(X509_STORE_CTX_new());
  if (!context || X509_STORE_CTX_init(context.get(), store_->store.get(), leaf, others.get()) != 1) {
    return openssl_error(ErrorKind::kInternal, "x509_failed", "no verification");
  }
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(rules, at.nanos / kNanosPerSecond);
  X509_VERIFY_PARAM_set_depth(rules, static_cast<int>(kChainMax));
  X509_VERIFY_PARAM_set_auth_level(rules, 2);  // 112 bits: no SHA-1, no RSA below 2048
  X509_VERIFY_PARAM_set_purpose(rules, purpose_of(options.use));
  if (!options.dns_name.empty()) {
    // The subject's common name is no name (RFC 9525 section 1.2), and "*" is never a part of a label.
    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(rules, options.dns_name.data(), options.dns_name.size()) != 1) {
      ERR_clear_error();
      return fail(ErrorKind::kInvalid, "x509_name", "the expected name is malformed")
          .found(options.dns_name)
          .next("give the server's DNS name alone, without port or path");
    }
  }
  if (X509_verify_cert(context.get()) != 1) {
    const int reason = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    Error error =
        fail(ErrorKind::kUnauthenticated, code_of(reason), X509_verify_cert_error_string(reason)).at(shown.subject);
    if (reason == X509_V_ERR_HOSTNAME_MISMATCH) name_mismatch(shown, options.dns_name, error);
    return error;
  }
  if (options.svid) WARY_RETURN_IF_ERROR(check_signers(context.get(), options.trust_domain));
  shown.parsed = parsed;
  VerifiedChain verified{std::move(shown), {INT64_MIN}, {INT64_MAX}};
  WARY_RETURN_IF_ERROR(narrow_validity(context.get(), verified));
  return verified;
}

}  // namespace wary::crypto
