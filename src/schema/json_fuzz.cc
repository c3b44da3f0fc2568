// declarations_from_json and Schema::from_json: what is a schema writes back to the same one.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "schema/schema.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const auto json = codec::parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!json.ok()) return 0;
  const auto declarations = schema::declarations_from_json(*json);
  if (!declarations.ok()) return 0;
  const auto made = schema::Schema::resolve(*declarations);
  (void)schema::to_text(*declarations).ok();
  if (!made.schema) return 0;
  const auto again = schema::Schema::from_json(schema::to_json(*declarations));
  if (!again.schema || !(*again.schema == *made.schema)) std::abort();
  return 0;
}
