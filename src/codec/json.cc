#include "codec/json.h"

#include <simdjson.h>

#include <algorithm>

#include "codec/json_scan.h"

namespace wary::codec {

namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kKeptBytes = std::size_t{64} << 10;
constexpr std::size_t kKeptDepth = 64;

// Builds the value from simdjson's tape. False: something is refused, scan_json says what and where.
class Builder {
 public:
  explicit Builder(const Limits& limits) : limits_(limits) {}

  bool build(dom::element element, std::size_t depth, Json& out) {
    if (++total_ > limits_.total) return false;
    switch (element.type()) {
      case dom::element_type::NULL_VALUE: return true;
      case dom::element_type::BOOL: out = Json(bool(element)); return true;
      case dom::element_type::INT64: out = Json(std::int64_t(element)); return true;
      case dom::element_type::UINT64: return false;  // only what does not fit int64 has this type
      case dom::element_type::DOUBLE: out = Json(double(element)); return true;
      case dom::element_type::STRING: out = Json(std::string_view(element)); return true;
      case dom::element_type::ARRAY: return build_array(dom::array(element), depth + 1, out);
      case dom::element_type::OBJECT: return build_object(dom::object(element), depth + 1, out);
    }
    return false;
  }

 private:
  bool build_array(dom::array array, std::size_t depth, Json& out) {
    if (depth > limits_.depth) return false;
    out = Json::array();
    std::vector<Json>& items = out.items();
    items.reserve(std::min(array.size(), limits_.items));
    for (const dom::element element : array) {
      if (items.size() >= limits_.items) return false;
      if (!build(element, depth, items.emplace_back())) return false;
    }
    return true;
  }

  bool build_object(dom::object object, std::size_t depth, Json& out) {
    if (depth > limits_.depth) return false;
    out = Json::object();
    std::vector<Json::Member>& members = out.members();
    members.reserve(std::min(object.size(), limits_.items));
    for (const dom::key_value_pair& pair : object) {
      if (members.size() >= limits_.items) return false;
      members.emplace_back(std::string(pair.key), Json());
      if (!build(pair.value, depth, members.back().second)) return false;
    }
    return has_unique_names(members);
  }

  // simdjson keeps duplicate keys; two readers of one document must never see different members.
  static bool has_unique_names(const std::vector<Json::Member>& members) {
    if (members.size() <= 8) {
      for (std::size_t i = 1; i < members.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
          if (members[i].first == members[k].first) return false;
        }
      }
      return true;
    }
    std::vector<std::string_view> names;
    names.reserve(members.size());
    for (const Json::Member& member : members) names.emplace_back(member.first);
    std::sort(names.begin(), names.end());
    return std::adjacent_find(names.begin(), names.end()) == names.end();
  }

  const Limits& limits_;
  std::size_t total_ = 0;
};

Error refusal(std::string_view text, const Limits& limits) {
  Status status = scan_json(text, limits);
  if (!status.ok()) return std::move(status).error();
  return fail(ErrorKind::kInvalid, "json_syntax", "the text is no JSON value");
}

}  // namespace

Result<Json> parse_json(std::string_view text, const Limits& limits) {
  if (text.size() > limits.bytes) return refusal(text, limits);
  // Its room is worth keeping for what is usual: making it costs more than parsing a short text. Under 1 MiB a thread.
  thread_local dom::parser kept;
  dom::parser once;
  const bool is_usual = text.size() <= kKeptBytes && limits.depth <= kKeptDepth;
  dom::parser& parser = is_usual ? kept : once;
  // Two above our own limit: simdjson counts the document as a level; the exact bound is Builder's.
  const std::size_t bytes = is_usual ? kKeptBytes : std::max<std::size_t>(text.size(), 1);
  const std::size_t depth = (is_usual ? kKeptDepth : limits.depth) + 2;
  if (parser.capacity() < bytes && parser.allocate(bytes, depth) != simdjson::SUCCESS) {
    return fail(ErrorKind::kExhausted, "json_memory", "there is no memory to parse the text");
  }
  dom::element root;
  if (parser.parse(text.data(), text.size(), true).get(root) != simdjson::SUCCESS) return refusal(text, limits);
  Json value;
  if (!Builder(limits).build(root, 0, value)) return refusal(text, limits);
  return value;
}

Json Json::array(std::vector<Json> items) {
  Json json;
  json.type_ = Type::kArray;
  json.items_ = std::move(items);
  return json;
}
Json Json::object(std::vector<Member> members) {
  Json json;
  json.type_ = Type::kObject;
  json.members_ = std::move(members);
  return json;
}

bool Json::as_bool() const {
  WARY_CHECK(type_ == Type::kBool);
  return integer_ != 0;
}
std::int64_t Json::as_integer() const {
  WARY_CHECK(type_ == Type::kInteger);
  return integer_;
}
double Json::as_number() const {
  WARY_CHECK(type_ == Type::kInteger || type_ == Type::kNumber);
  return type_ == Type::kInteger ? static_cast<double>(integer_) : number_;
}
const std::string& Json::as_string() const {
  WARY_CHECK(type_ == Type::kString);
  return text_;
}
const std::vector<Json>& Json::items() const {
  WARY_CHECK(type_ == Type::kArray);
  return items_;
}
std::vector<Json>& Json::items() {
  WARY_CHECK(type_ == Type::kArray);
  return items_;
}
const std::vector<Json::Member>& Json::members() const {
  WARY_CHECK(type_ == Type::kObject);
  return members_;
}
std::vector<Json::Member>& Json::members() {
  WARY_CHECK(type_ == Type::kObject);
  return members_;
}

const Json* Json::find(std::string_view name) const {
  for (const Member& member : members_) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}
std::string_view Json::string_or(std::string_view name, std::string_view fallback) const {
  const Json* member = find(name);
  return member != nullptr && member->is_string() ? std::string_view(member->text_) : fallback;
}
std::int64_t Json::integer_or(std::string_view name, std::int64_t fallback) const {
  const Json* member = find(name);
  return member != nullptr && member->is_integer() ? member->integer_ : fallback;
}
bool Json::bool_or(std::string_view name, bool fallback) const {
  const Json* member = find(name);
  return member != nullptr && member->is_bool() ? member->integer_ != 0 : fallback;
}

Json& Json::set(std::string_view name, Json value) {
  WARY_CHECK(type_ == Type::kObject);
  for (Member& member : members_) {
    if (member.first == name) {
      member.second = std::move(value);
      return *this;
    }
  }
  members_.emplace_back(std::string(name), std::move(value));
  return *this;
}
Json& Json::push(Json value) {
  WARY_CHECK(type_ == Type::kArray);
  items_.push_back(std::move(value));
  return *this;
}

}  // namespace wary::codec
