#include "cedar/value.h"

#include <algorithm>

#include "cedar/characters.h"
#include "cedar/extension.h"

namespace wary::cedar {

namespace {

template <typename Sequence, typename Compare>
std::strong_ordering compare_sequences(const Sequence& a, const Sequence& b, Compare compare) {
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    const std::strong_ordering order = compare(a[i], b[i]);
    if (order != 0) return order;
  }
  return a.size() <=> b.size();
}

std::strong_ordering compare_members(const Value::Member& a, const Value::Member& b) {
  const std::strong_ordering order = a.first <=> b.first;
  return order != 0 ? order : a.second <=> b.second;
}

bool is_reserved_key(std::string_view text) {
  constexpr std::array<std::string_view, 10> kReserved = {"true", "false", "if",   "then", "else",
                                                          "in",   "is",    "like", "has",  "__cedar"};
  return std::find(kReserved.begin(), kReserved.end(), text) != kReserved.end();
}

}  // namespace

std::string EntityUid::to_string() const {
  std::string out = type + "::";
  append_string_literal(out, id);
  return out;
}

Value Value::entity(EntityPtr uid) {
  Value value;
  value.data_ = std::move(uid);
  return value;
}

Value Value::set(Set elements) {
  std::sort(elements.begin(), elements.end(), [](const Value& a, const Value& b) { return a < b; });
  elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
  Value value;
  value.data_ = std::make_shared<const Set>(std::move(elements));
  return value;
}

Value Value::record(Record members) {
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.first < b.first; });
  Value value;
  value.data_ = std::make_shared<const Record>(std::move(members));
  return value;
}

const std::string* Value::as_string() const {
  const StringPtr* text = std::get_if<StringPtr>(&data_);
  return text != nullptr ? text->get() : nullptr;
}
const Value::Set* Value::as_set() const {
  const SetPtr* set = std::get_if<SetPtr>(&data_);
  return set != nullptr ? set->get() : nullptr;
}
const Value::Record* Value::as_record() const {
  const RecordPtr* record = std::get_if<RecordPtr>(&data_);
  return record != nullptr ? record->get() : nullptr;
}

const Value* find_member(const Value::Record& record, std::string_view key) {
  const auto at = std::lower_bound(record.begin(), record.end(), key,
                                   [](const Value::Member& member, std::string_view k) { return member.first < k; });
  return at != record.end() && at->first == key ? &at->second : nullptr;
}

const Value* Value::find(std::string_view key) const {
  const Record* record = as_record();
  return record != nullptr ? find_member(*record, key) : nullptr;
}

bool Value::contains(const Value& element) const {
  const Set* set = as_set();
  return set != nullptr &&
         std::binary_search(set->begin(), set->end(), element, [](const Value& a, const Value& b) { return a < b; });
}

std::strong_ordering Value::operator<=>(const Value& other) const {
  if (data_.index() != other.data_.index()) return data_.index() <=> other.data_.index();
  switch (kind()) {
    case Kind::kBool: return *as_bool() <=> *other.as_bool();
    case Kind::kLong: return *as_long() <=> *other.as_long();
    case Kind::kString: return *as_string() <=> *other.as_string();
    case Kind::kEntity:
      if (*as_entity() == *other.as_entity()) return std::strong_ordering::equal;
      return **as_entity() <=> **other.as_entity();
    case Kind::kSet:
      if (as_set() == other.as_set()) return std::strong_ordering::equal;
      return compare_sequences(*as_set(), *other.as_set(), [](const Value& a, const Value& b) { return a <=> b; });
    case Kind::kRecord:
      if (as_record() == other.as_record()) return std::strong_ordering::equal;
      return compare_sequences(*as_record(), *other.as_record(), compare_members);
    case Kind::kDecimal: return *as_decimal() <=> *other.as_decimal();
    case Kind::kIp: return *as_ip() <=> *other.as_ip();
    case Kind::kDatetime: return *as_datetime() <=> *other.as_datetime();
    case Kind::kDuration: return *as_duration() <=> *other.as_duration();
  }
  return std::strong_ordering::equal;
}

std::string Value::type_name() const {
  switch (kind()) {
    case Kind::kBool: return "bool";
    case Kind::kLong: return "long";
    case Kind::kString: return "string";
    case Kind::kEntity: return "(entity of type `" + (*as_entity())->type + "`)";
    case Kind::kSet: return "set";
    case Kind::kRecord: return "record";
    case Kind::kDecimal: return "decimal";
    case Kind::kIp: return "ipaddr";
    case Kind::kDatetime: return "datetime";
    case Kind::kDuration: return "duration";
  }
  return "unknown";
}

namespace {

void append_value(std::string& out, const Value& value);

void append_set(std::string& out, const Value::Set& set) {
  out += '[';
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (i > 0) out += ", ";
    append_value(out, set[i]);
  }
  out += ']';
}

void append_record(std::string& out, const Value::Record& record) {
  out += '{';
  for (std::size_t i = 0; i < record.size(); ++i) {
    if (i > 0) out += ", ";
    append_string_literal(out, record[i].first);
    out += ": ";
    append_value(out, record[i].second);
  }
  out += '}';
}

void append_value(std::string& out, const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kBool: out += *value.as_bool() ? "true" : "false"; break;
    case Value::Kind::kLong: out += std::to_string(*value.as_long()); break;
    case Value::Kind::kString: append_string_literal(out, *value.as_string()); break;
    case Value::Kind::kEntity: out += (*value.as_entity())->to_string(); break;
    case Value::Kind::kSet: append_set(out, *value.as_set()); break;
    case Value::Kind::kRecord: append_record(out, *value.as_record()); break;
    case Value::Kind::kDecimal: out += "decimal(\"" + format_decimal(*value.as_decimal()) + "\")"; break;
    case Value::Kind::kIp: out += "ip(\"" + format_ip(*value.as_ip()) + "\")"; break;
    case Value::Kind::kDatetime: out += format_datetime_call(*value.as_datetime()); break;
    case Value::Kind::kDuration: out += "duration(\"" + format_duration(*value.as_duration()) + "\")"; break;
  }
}

}  // namespace

std::string Value::to_string() const {
  std::string out;
  append_value(out, *this);
  return out;
}

void append_string_literal(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\0': out += "\\0"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          out += "\\x";
          out += kHex[static_cast<unsigned char>(c) >> 4];
          out += kHex[static_cast<unsigned char>(c) & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

bool is_identifier(std::string_view text) {
  if (text.empty() || !starts_identifier(text.front()) || is_reserved_key(text)) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return starts_identifier(c) || (c >= '0' && c <= '9'); });
}

bool is_type_name(std::string_view text) {
  while (true) {
    const std::size_t separator = text.find("::");
    if (!is_identifier(text.substr(0, separator))) return false;
    if (separator == std::string_view::npos) return true;
    text.remove_prefix(separator + 2);
  }
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xC2 ? 0
                               : lead < 0xE0 ? 2
                               : lead < 0xF0 ? 3
                               : lead < 0xF5 ? 4
                                             : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    }
    const auto second = length > 1 ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
    if (overlong || (lead == 0xED && second > 0x9F) || (lead == 0xF4 && second > 0x8F)) return false;
    i += length;
  }
  return true;
}

}  // namespace wary::cedar
