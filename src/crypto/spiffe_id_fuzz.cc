#include <cstdlib>

#include "base/bytes.h"
#include "crypto/spiffe_id.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = wary::as_text({data, size});
  const auto id = wary::crypto::parse_spiffe_id(text);
  if (id.ok() && id->to_string() != text) std::abort();
  return 0;
}
