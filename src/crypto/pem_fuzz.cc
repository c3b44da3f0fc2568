#include <cstdlib>

#include "crypto/pem.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto blocks = wary::crypto::decode_pem(wary::as_text({data, size}));
  if (!blocks.ok()) return 0;
  for (const auto& block : *blocks) {
    const auto again = wary::crypto::decode_pem(wary::crypto::encode_pem(block.label, block.bytes));
    if (!again.ok() || again->size() != 1 || again->front().bytes != block.bytes) std::abort();
  }
  return 0;
}
