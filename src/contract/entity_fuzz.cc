#include <cstdlib>

#include "base/bytes.h"
#include "contract/entity.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text = as_text({data, size});
  if (const auto id = contract::parse_entity_id(text); id.ok()) {
    const auto again = contract::parse_entity_id(id->to_string());
    if (!again.ok() || *again != *id) std::abort();
  }
  if (const auto json = codec::parse_json(text); json.ok()) {
    if (const auto entity = contract::entity_from_json(*json); entity.ok()) {
      const auto again = contract::entity_from_json(contract::to_json(*entity));
      if (!again.ok() || !(*again == *entity)) std::abort();
    }
  }
  return 0;
}
