// JSON Schema (draft 2020-12), the part that resource kinds need: a schema is compiled once and validates many values.
//
//   WARY_ASSIGN_OR_RETURN(codec::JsonSchema schema, codec::JsonSchema::compile(json));
//   for (const codec::SchemaError& error : schema.validate(value)) ... error.pointer, error.code ...
//
// Keywords: type, enum, const, properties, required, additionalProperties, items, minItems, maxItems, uniqueItems,
// minLength, maxLength (code points), pattern (see pattern.h), format (dns-label, hostname, uri, spiffe-id: asserted),
// minimum, maximum, exclusiveMinimum, exclusiveMaximum, anyOf, oneOf, allOf, $ref to "#" or "#/$defs/NAME", $defs at
// the root; $schema, $id, $comment, title, description, default, examples as annotations. Any other keyword is an
// error: a rule that is not checked must not look as if it were. Immutable after compile; any thread. Limits: schemas
// nest to 64; a validation ends after 1,000,000 steps.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "codec/json.h"

namespace wary::codec {

struct SchemaError {
  std::string pointer;  // of the value that is wrong, RFC 6901
  std::string code;     // schema_type, schema_required, schema_unknown_property, schema_enum, ...
  std::string message;
  std::string expected;
  std::string found;
  bool operator==(const SchemaError&) const = default;
  // As an error of the product; `where` is the pointer, for the caller to replace by a place in a file.
  Error to_error() const;
};

class JsonSchema {
 public:
  // Errors: schema_keyword (unknown), schema_syntax (a keyword's value is wrong), schema_ref, schema_loop,
  // schema_depth, with the JSON pointer into the schema in `where`.
  static Result<JsonSchema> compile(const Json& schema);
  JsonSchema(JsonSchema&&) noexcept;
  JsonSchema& operator=(JsonSchema&&) noexcept;
  ~JsonSchema();

  // Empty: valid. At most `errors_max` errors, in the order of the value.
  std::vector<SchemaError> validate(const Json& value, std::size_t errors_max = 50) const;

  struct Impl;

 private:
  explicit JsonSchema(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wary::codec
