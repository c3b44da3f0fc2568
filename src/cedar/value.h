// Value: what a Cedar expression evaluates to. Booleans, 64-bit longs, strings, entity ids, sets, records, and the four
// extension types. Comparison is structural and total, so a set is a sorted vector without duplicates and a record a
// vector sorted by key: contains is a binary search, equality a walk.
//
//   Value owner = Value::entity(make_entity("User", "alice"));
//   Value set = Value::set({Value(1), Value("x"), Value(1)});   // two elements
//   const Value* name = record.find("name");                   // null when absent
//
// Immutable once made; copying shares what is behind it. Any thread. Strings are UTF-8.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace wary::cedar {

struct EntityUid {
  std::string type;  // "Wary::User"
  std::string id;
  auto operator<=>(const EntityUid&) const = default;
  // Ids first: they differ more often than types do.
  bool operator==(const EntityUid& other) const { return id == other.id && type == other.type; }
  std::string to_string() const;  // Wary::User::"alice"
};
// Shared, because one id stands in policies, entities, requests and the record of what a decision read.
using EntityPtr = std::shared_ptr<const EntityUid>;
inline EntityPtr make_entity(std::string_view type, std::string_view id) {
  return std::make_shared<const EntityUid>(EntityUid{std::string(type), std::string(id)});
}

// A fixed-point number: ten-thousandths.
struct Decimal {
  std::int64_t ten_thousandths = 0;
  auto operator<=>(const Decimal&) const = default;
};
// Milliseconds since 1970-01-01T00:00:00Z.
struct Datetime {
  std::int64_t milliseconds = 0;
  auto operator<=>(const Datetime&) const = default;
};
struct Duration {
  std::int64_t milliseconds = 0;
  auto operator<=>(const Duration&) const = default;
};
// An address with its prefix length; an IPv4 address stands in the first four bytes.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};
  std::uint8_t prefix = 0;
  bool is_v6 = false;
  auto operator<=>(const IpAddress&) const = default;
};

class Value {
 public:
  enum class Kind : std::uint8_t { kBool, kLong, kString, kEntity, kSet, kRecord, kDecimal, kIp, kDatetime, kDuration };
  using Set = std::vector<Value>;
  using Member = std::pair<std::string, Value>;
  using Record = std::vector<Member>;

  Value() : data_(false) {}
  explicit Value(bool value) : data_(value) {}
  explicit Value(std::int64_t value) : data_(value) {}
  explicit Value(int value) : data_(static_cast<std::int64_t>(value)) {}
  explicit Value(std::string_view text) : data_(std::make_shared<const std::string>(text)) {}
  explicit Value(const char* text) : Value(std::string_view(text)) {}
  explicit Value(Decimal value) : data_(value) {}
  explicit Value(IpAddress value) : data_(value) {}
  explicit Value(Datetime value) : data_(value) {}
  explicit Value(Duration value) : data_(value) {}
  static Value entity(EntityPtr uid);
  static Value set(Set elements);       // sorts and removes duplicates
  static Value record(Record members);  // sorts; keys must differ

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  const bool* as_bool() const { return std::get_if<bool>(&data_); }
  const std::int64_t* as_long() const { return std::get_if<std::int64_t>(&data_); }
  const std::string* as_string() const;
  const EntityPtr* as_entity() const { return std::get_if<EntityPtr>(&data_); }
  const Set* as_set() const;
  const Record* as_record() const;
  const Decimal* as_decimal() const { return std::get_if<Decimal>(&data_); }
  const IpAddress* as_ip() const { return std::get_if<IpAddress>(&data_); }
  const Datetime* as_datetime() const { return std::get_if<Datetime>(&data_); }
  const Duration* as_duration() const { return std::get_if<Duration>(&data_); }

  // Of a record: the member, or null; null also when this is no record.
  const Value* find(std::string_view key) const;
  // Of a set (sorted): membership.
  bool contains(const Value& element) const;

  std::strong_ordering operator<=>(const Value& other) const;
  bool operator==(const Value& other) const { return (*this <=> other) == std::strong_ordering::equal; }

  std::string type_name() const;  // as error messages name it: "long", "(entity of type `User`)"
  std::string to_string() const;  // Cedar text; extension values as constructor calls

 private:
  using StringPtr = std::shared_ptr<const std::string>;
  using SetPtr = std::shared_ptr<const Set>;
  using RecordPtr = std::shared_ptr<const Record>;
  // In the order of Kind.
  std::variant<bool, std::int64_t, StringPtr, EntityPtr, SetPtr, RecordPtr, Decimal, IpAddress, Datetime, Duration>
      data_;
};

const Value* find_member(const Value::Record& record, std::string_view key);

// Appends text as a Cedar string literal, with quotes.
void append_string_literal(std::string& out, std::string_view text);
// ASCII letters, digits and _, not starting with a digit; and none of the reserved words.
bool is_identifier(std::string_view text);
// Identifiers joined by "::", none reserved, none __cedar: an entity type.
bool is_type_name(std::string_view text);
bool is_valid_utf8(std::string_view text);

}  // namespace wary::cedar
