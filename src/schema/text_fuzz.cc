// parse_schema and Schema::resolve: what is a schema converts to JSON and to text and back to the same one.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "schema/schema.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::schema;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = parse_schema(wary::cedar::Source::make("fuzz", text));
  if (parsed.declarations.has_value() != parsed.errors.empty()) std::abort();
  if (!parsed.declarations) return 0;
  const auto json = to_json(*parsed.declarations);
  const auto back = declarations_from_json(json);
  const auto made = Schema::resolve(*parsed.declarations);
  if (made.schema.has_value() != made.errors.empty()) std::abort();
  if (!back.ok()) std::abort();
  if (to_json(*back) != json) std::abort();
  const auto written = to_text(*parsed.declarations);
  if (!made.schema) return 0;
  const auto through_json = Schema::resolve(*back);
  if (!through_json.schema || !(*through_json.schema == *made.schema)) std::abort();
  if (!written.ok()) return 0;
  const auto through_text = Schema::from_text("again", *written);
  if (!through_text.schema || !(*through_text.schema == *made.schema)) std::abort();
  return 0;
}
