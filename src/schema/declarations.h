// Declarations: a Cedar schema as written, in its text form or its JSON form, before any name is resolved. The two
// forms convert into each other through it.
//
//   ParsedDeclarations parsed = parse_schema(cedar::Source::make("app.cedarschema", text));
//   codec::Json json = to_json(*parsed.declarations);
//   Result<Declarations> back = declarations_from_json(json);
//   Result<std::string> text = to_text(*back);
//
// Values; any thread. Limits: 4 MiB of text, types nest 64 levels, 10,000 declarations, elements of one list and
// attributes of one record each, 50 errors; of JSON what codec::parse_json allows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "cedar/ast.h"
#include "codec/json.h"

namespace wary::schema {

constexpr Limits kSchemaLimits{.bytes = std::size_t{4} << 20, .depth = 64, .items = 10'000, .total = 1'000'000};

constexpr std::size_t kErrorsMax = 50;

// Where something was written: a span of the text, or a pointer into the JSON.
struct Place {
  cedar::Span span;
  std::string pointer;
};

struct AttributeDeclaration;

// A type as written.
struct TypeExpression {
  enum class Kind : std::uint8_t {
    kBool,
    kLong,
    kString,
    kSet,            // element[0]
    kRecord,         // attributes
    kExtension,      // name
    kEntity,         // name: an entity type (JSON only)
    kCommon,         // name: a common type
    kEntityOrCommon  // name: what is found first
  };
  Kind kind = Kind::kRecord;
  std::string name;
  std::vector<TypeExpression> element;
  std::vector<AttributeDeclaration> attributes;  // in the order written; names differ
  Place place;

  bool is_empty_record() const { return kind == Kind::kRecord && attributes.empty(); }
};

struct AttributeDeclaration {
  std::string name;
  TypeExpression type;
  bool is_required = true;
  std::vector<cedar::Annotation> annotations;
  Place place;
};

struct NameReference {
  std::string name;
  Place place;
};

struct ActionReference {
  std::string type;  // empty: Action, of this namespace or of none
  std::string id;
  Place place;
};

struct CommonTypeDeclaration {
  std::string name;
  TypeExpression type;
  std::vector<cedar::Annotation> annotations;
  Place place;
};

struct EntityDeclaration {
  std::string name;
  bool is_enum = false;
  std::vector<std::string> choices;  // of an enum
  std::vector<NameReference> parents;
  TypeExpression shape;  // a record, or in JSON a common type that is one
  std::optional<TypeExpression> tags;
  std::vector<cedar::Annotation> annotations;
  Place place;
};

struct ActionDeclaration {
  std::string name;
  std::optional<std::vector<ActionReference>> parents;
  bool has_applies_to = false;
  std::vector<NameReference> principals;
  std::vector<NameReference> resources;
  TypeExpression context;  // a record or a common type
  std::vector<cedar::Annotation> annotations;
  Place place;
};

struct NamespaceDeclaration {
  std::string name;  // empty: what stands in no namespace
  std::vector<CommonTypeDeclaration> common_types;
  std::vector<EntityDeclaration> entity_types;
  std::vector<ActionDeclaration> actions;
  std::vector<cedar::Annotation> annotations;
  Place place;
};

struct Declarations {
  std::vector<NamespaceDeclaration> namespaces;  // names differ
  std::shared_ptr<const cedar::Source> source;   // of the text form; shared with the errors of later stages
};

struct ParsedDeclarations {
  std::optional<Declarations> declarations;  // when there is no error
  std::vector<cedar::SyntaxError> errors;
};

// Errors: cedar_syntax, cedar_depth, cedar_size, cedar_items, cedar_utf8, cedar_escape, cedar_reserved,
// cedar_duplicate_annotation, cedarschema_duplicate, cedarschema_applies_to.
ParsedDeclarations parse_schema(const std::shared_ptr<const cedar::Source>& source,
                                const Limits& limits = kSchemaLimits);

// Errors, with the JSON pointer in `where`: cedarschema_json_type, cedarschema_json_member, cedarschema_name,
// cedarschema_unsupported, cedarschema_duplicate, cedarschema_depth.
Result<Declarations> declarations_from_json(const codec::Json& json);

// Members in the order of the declarations.
codec::Json to_json(const Declarations& declarations);
// Errors: cedarschema_inexpressible (a shape that is not a record literal, or an entity type and a common type of one
// name, which the text form cannot tell apart).
Result<std::string> to_text(const Declarations& declarations);

}  // namespace wary::schema
