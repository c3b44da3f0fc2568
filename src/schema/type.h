// Type: what the schema says a value is, with every name resolved. What an expression has, what an attribute holds.
//
//   TypePtr names = make_set(string_type());
//   TypePtr both = least_upper_bound(bool_type(true), bool_type(false));   // Bool
//   std::string text = to_string(*names);                                  // "Set<String>"
//
// `true` and `false` are types of their own, beneath Bool: the validator knows the value of an expression that cannot
// have another one. Immutable; shared, because the attributes of a type are used by every policy. Any thread. Types of
// a schema nest at most kTypeDepth levels and have at most kTypeNodes nodes when written out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace wary::schema {

constexpr std::size_t kTypeDepth = 64;
constexpr std::size_t kTypeNodes = 100'000;

struct Type;
using TypePtr = std::shared_ptr<const Type>;

struct Attribute {
  std::string name;
  TypePtr type;
  bool is_required = true;
};

struct Type {
  enum class Kind : std::uint8_t {
    kBool,
    kTrue,   // always true
    kFalse,  // always false
    kLong,
    kString,
    kEntity,  // of one entity type: `entity`
    kSet,     // of `element`
    kRecord,  // of exactly these `attributes`
    kDecimal,
    kIp,
    kDatetime,
    kDuration,
  };
  Kind kind = Kind::kBool;
  std::uint16_t depth = 1;
  std::uint32_t nodes = 1;            // of the type written out, saturated
  std::string entity;                 // fully qualified
  TypePtr element;                    // of kSet
  std::vector<Attribute> attributes;  // sorted by name

  const Attribute* find(std::string_view name) const;  // of a record, or null
  bool is_boolean() const { return kind == Kind::kBool || kind == Kind::kTrue || kind == Kind::kFalse; }
};

TypePtr bool_type();
TypePtr bool_type(bool value);  // True or False
TypePtr long_type();
TypePtr string_type();
// The extension type of that name ("ipaddr", "decimal", "datetime", "duration"), or null.
TypePtr extension_type(std::string_view name);
TypePtr extension_type(Type::Kind kind);
TypePtr make_entity_type(std::string_view name);
TypePtr make_set(TypePtr element);
TypePtr make_record(std::vector<Attribute> attributes);  // sorts; names differ

const Attribute* find_attribute(const std::vector<Attribute>& sorted, std::string_view name);

bool operator==(const Type& a, const Type& b);
// The one type both belong to, or null where there is none: strict, so that records have the same attributes with the
// same presence and entities the same type.
TypePtr least_upper_bound(const TypePtr& a, const TypePtr& b);

// As messages write it: "Set<{a: Long, b?: User}>", shortened to about 200 bytes.
std::string to_string(const Type& type);
std::string_view type_keyword(Type::Kind kind);  // "String", "ipaddr"

}  // namespace wary::schema
