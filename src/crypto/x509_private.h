// Private to crypto/: certificates as OpenSSL holds them.
#pragma once

#include "crypto/handles.h"
#include "crypto/x509.h"

namespace wary::crypto {

constexpr std::size_t kCertificateMax = 64 * 1024;
constexpr std::size_t kChainMax = 10;

// Leaf first, as they were shown.
struct ParsedChain {
  std::vector<X509Handle> certificates;
};

Result<X509Handle> read_x509(ByteView der);
Result<UnixTime> time_of(const ASN1_TIME* time);
Result<Certificate> describe(X509* x509, Bytes der);
Status check_leaf_options(const LeafOptions& options);

}  // namespace wary::crypto
