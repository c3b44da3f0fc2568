#include "crypto/x509.h"

// parse_certificate, check_csr, and verification of a chain.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const auto certificate = crypto::parse_certificate({data, size});
  if (certificate.ok()) {
    (void)crypto::check_svid(*certificate);
    if (const auto roots = crypto::TrustRoots::build({certificate->der}); roots.ok()) {
      (void)roots->verify({certificate->der}, {}, {});
    }
  }
  (void)crypto::check_csr({data, size});
  return 0;
}
