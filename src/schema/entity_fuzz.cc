// entities_from_json by a schema: what is accepted conforms, and reads back from its explicit form as the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "schema/conformance.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  static const schema::SchemaResult made = schema::Schema::from_text("world", R"(
    entity U in [G] { n: Long, s?: String, o?: U, r?: { a: Long, b?: String }, l?: Set<G>, ip?: ipaddr, d?: decimal,
                      t?: datetime, e?: duration, c?: C } tags Set<ipaddr>;
    entity G in [G];
    entity C enum ["x", "y"];
    action v in [all] appliesTo { principal: U, resource: G };
    action all;)");
  const auto json = codec::parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!json.ok()) return 0;
  const auto entities = schema::entities_from_json(*made.schema, *json);
  if (!entities.ok()) return 0;
  for (const cedar::EntityHandle& entity : *entities) {
    if (!schema::validate_entity(*made.schema, *entity).ok()) std::abort();
    const auto again = schema::entity_from_json(*made.schema, cedar::to_json(*entity));
    if (!again.ok() || (*again)->attributes != entity->attributes || (*again)->tags != entity->tags) std::abort();
  }
  return 0;
}
