#include "crypto/csr.h"

#include "crypto/x509.h"

// What the reader by hand takes, the general way takes too, and both see the same key.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  static crypto::CsrChecker checker;
  const auto fast = checker.check({data, size});
  if (!fast) return 0;
  const auto slow = crypto::check_csr({data, size});
  WARY_CHECK(slow.ok() && slow->to_spki() == *fast);
  return 0;
}
