// The compiled form: nodes in one vector, subschemas by index.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "codec/json_schema.h"
#include "codec/pattern.h"

namespace wary::codec {

// Schemas one inside the other while a value is checked, references included: bounds the recursion.
constexpr std::size_t kSchemaChain = 1000;

enum SchemaType : unsigned {
  kSchemaNull = 1,
  kSchemaBoolean = 2,
  kSchemaInteger = 4,
  kSchemaNumber = 8,
  kSchemaString = 16,
  kSchemaArray = 32,
  kSchemaObject = 64,
};

struct SchemaNode {
  using Index = std::size_t;
  struct Property {
    std::string name;
    Index schema;
  };
  bool never = false;  // the schema `false`
  unsigned types = 0;  // 0: any
  std::optional<Index> ref, additional, items;
  std::vector<Property> properties;  // sorted by name
  std::vector<std::string> required;
  std::optional<std::vector<std::string>> choices;  // enum and const, as equality keys
  std::string choices_text;
  std::optional<std::size_t> min_items, max_items, min_length, max_length;
  bool unique_items = false;
  std::optional<Json> minimum, maximum, exclusive_minimum, exclusive_maximum;
  std::optional<Pattern> pattern;
  std::string pattern_text;
  std::string format;
  std::vector<Index> any_of, one_of, all_of;
};

struct JsonSchema::Impl {
  std::vector<SchemaNode> nodes;  // the root first
};

// Equal values have equal keys: 1 and 1.0 are equal, and the order of members does not matter.
std::string schema_equality_key(const Json& value);
bool is_known_schema_format(std::string_view format);
void append_pointer(std::string& pointer, std::string_view token);

}  // namespace wary::codec
