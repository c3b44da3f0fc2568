// A key that is accepted is its own text.
#include "base/bytes.h"
#include "base/check.h"
#include "store/store.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = wary::as_text({data, size});
  const auto key = wary::store::parse_key(text);
  WARY_CHECK(!key.ok() || key->to_string() == text);
  return 0;
}
