#include "gateway/site.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto address = wary::gateway::parse_upstream({reinterpret_cast<const char*>(data), size});
  if (address && address->host.empty()) __builtin_trap();
  return 0;
}
