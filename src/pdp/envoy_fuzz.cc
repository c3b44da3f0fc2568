// CheckRequest bytes: read or refused; what is read is a part of the input.
#include <cstdlib>

#include "pdp/envoy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto target = wary::pdp::parse_check_request({reinterpret_cast<const char*>(data), size});
  if (target && target->method.size() + target->host.size() > 2 * size) std::abort();
  return 0;
}
