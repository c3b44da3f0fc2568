// Entities as JSON: whatever is accepted makes a store or a clean error, and writes back to the same value.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cedar/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const auto json = codec::parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!json.ok()) return 0;
  if (const auto value = cedar::value_from_json(*json); value.ok()) {
    const auto again = cedar::value_from_json(cedar::to_json(*value));
    if (!again.ok() || !(*again == *value)) std::abort();
  }
  auto entities = cedar::entities_from_json(*json);
  if (entities.ok()) (void)cedar::EntityStore::make(std::move(*entities)).ok();
  return 0;
}
