#include "keystore/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  (void)keystore::parse_store_config(as_text({data, size}));
  return 0;
}
