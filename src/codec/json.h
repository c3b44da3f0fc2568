// JSON (RFC 8259): a value, a strict parser over simdjson, and a writer.
//
//   WARY_ASSIGN_OR_RETURN(codec::Json value, codec::parse_json(text));
//   const codec::Json* name = value.find("name");
//   std::string text = value.to_string();
//
// Integers are exact over the whole int64 range and never pass through a double; an integer token outside it is refused
// (json_integer_range). Duplicate keys, trailing data, invalid UTF-8 and lone surrogates are refused. Objects keep
// their order. Values; any thread. Limits: see parse_json; base/limits.h has the defaults.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/result.h"

namespace wary::codec {

class Json {
 public:
  enum class Type { kNull, kBool, kInteger, kNumber, kString, kArray, kObject };
  using Member = std::pair<std::string, Json>;

  Json() = default;                                                           // null
  Json(bool value) : type_(Type::kBool), integer_(value ? 1 : 0) {}           // NOLINT
  Json(std::int64_t value) : type_(Type::kInteger), integer_(value) {}        // NOLINT
  Json(int value) : type_(Type::kInteger), integer_(value) {}                 // NOLINT
  Json(double value) : type_(Type::kNumber), number_(value) {}                // NOLINT
  Json(std::string value) : type_(Type::kString), text_(std::move(value)) {}  // NOLINT
  Json(std::string_view value) : type_(Type::kString), text_(value) {}        // NOLINT
  Json(const char* value) : type_(Type::kString), text_(value) {}             // NOLINT
  static Json array(std::vector<Json> items = {});
  static Json object(std::vector<Member> members = {});

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_bool() const { return type_ == Type::kBool; }
  bool is_integer() const { return type_ == Type::kInteger; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_array() const { return type_ == Type::kArray; }
  bool is_object() const { return type_ == Type::kObject; }
  // Each wants its own type (a broken invariant otherwise): ask first.
  bool as_bool() const;
  std::int64_t as_integer() const;
  double as_number() const;  // of an integer too
  const std::string& as_string() const;
  const std::vector<Json>& items() const;
  std::vector<Json>& items();
  const std::vector<Member>& members() const;
  std::vector<Member>& members();

  // The member of that name, or null; null also when this is no object.
  const Json* find(std::string_view name) const;
  // Convenience for optional members of the right type; the fallback otherwise.
  std::string_view string_or(std::string_view name, std::string_view fallback) const;
  std::int64_t integer_or(std::string_view name, std::int64_t fallback) const;
  bool bool_or(std::string_view name, bool fallback) const;

  Json& set(std::string_view name, Json value);  // adds or replaces; returns *this
  Json& push(Json value);                        // appends to an array; returns *this

  bool operator==(const Json& other) const = default;  // objects compare in order

  // Compact; object order kept; strings escaped minimally; doubles shortest round-trip and recognisable as doubles
  // ("1.0"); infinities and NaN become null, bytes that are no UTF-8 become U+FFFD.
  std::string to_string() const;
  std::string to_pretty_string() const;  // two spaces
  // Object keys sorted by bytes at every level: what is hashed or signed.
  std::string to_canonical_string() const;

 private:
  Type type_ = Type::kNull;
  std::int64_t integer_ = 0;
  double number_ = 0;
  std::string text_;
  std::vector<Json> items_;
  std::vector<Member> members_;
};

// Errors: json_syntax, json_duplicate_key, json_integer_range, json_number_range (no finite double), json_depth,
// json_size, json_items, json_utf8, json_memory, with the place in `where`: "line 3, column 7 (byte 41)".
Result<Json> parse_json(std::string_view text, const Limits& limits = {});

// Appends `text` as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace wary::codec
