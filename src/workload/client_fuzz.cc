// What a Workload API sends a client: SVIDs, keys and bundles that fit together, or nothing.
#include <cstdlib>

#include "workload/client.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto context = workload::decode_x509_context(bytes)) {
    for (const workload::X509Identity& one : context->identities) {
      if (one.chain.empty() || one.bundle.empty() || one.key.empty()) std::abort();
    }
  }
  (void)workload::endpoint(bytes);
  return 0;
}
