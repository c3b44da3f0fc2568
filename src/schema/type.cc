#include "schema/type.h"

#include <algorithm>
#include <array>
#include <limits>

namespace wary::schema {

namespace {

using Kind = Type::Kind;
constexpr std::array<std::string_view, 12> kKeywords = {"Bool", "True",   "False",   "Long",   "String",   "entity",
                                                        "Set",  "record", "decimal", "ipaddr", "datetime", "duration"};

TypePtr plain(Kind kind) {
  static const std::array<TypePtr, 12> kTypes = [] {
    std::array<TypePtr, 12> out;
    for (std::size_t i = 0; i < out.size(); ++i) {
      auto type = std::make_shared<Type>();
      type->kind = static_cast<Kind>(i);
      out[i] = std::move(type);
    }
    return out;
  }();
  return kTypes[static_cast<std::size_t>(kind)];
}

std::uint32_t add_nodes(std::uint32_t a, std::uint32_t b) {
  const std::uint64_t sum = std::uint64_t{a} + b;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, std::numeric_limits<std::uint32_t>::max()));
}

std::uint16_t deeper(std::uint16_t depth) { return static_cast<std::uint16_t>(std::min<int>(depth + 1, 60'000)); }

TypePtr records_bound(const Type& a, const Type& b) {
  if (a.attributes.size() != b.attributes.size()) return nullptr;
  std::vector<Attribute> out;
  out.reserve(a.attributes.size());
  for (std::size_t i = 0; i < a.attributes.size(); ++i) {
    const Attribute& left = a.attributes[i];
    const Attribute& right = b.attributes[i];
    if (left.name != right.name || left.is_required != right.is_required) return nullptr;
    TypePtr bound = least_upper_bound(left.type, right.type);
    if (bound == nullptr) return nullptr;
    out.push_back({left.name, std::move(bound), left.is_required});
  }
  return make_record(std::move(out));
}

constexpr std::size_t kShown = 200;

void append(std::string& out, const Type& type) {
  if (out.size() > kShown) return;
  if (type.kind == Kind::kEntity) {
    out += type.entity;
  } else if (type.kind == Kind::kSet) {
    out += "Set<";
    append(out, *type.element);
    out += '>';
  } else if (type.kind == Kind::kRecord) {
    out += '{';
    for (std::size_t i = 0; i < type.attributes.size() && out.size() <= kShown; ++i) {
      const Attribute& attribute = type.attributes[i];
      out += (i > 0 ? ", " : "") + attribute.name + (attribute.is_required ? ": " : "?: ");
      append(out, *attribute.type);
    }
    out += '}';
  } else {
    out += type_keyword(type.kind);
  }
}

}  // namespace

const Attribute* find_attribute(const std::vector<Attribute>& sorted, std::string_view name) {
  const auto at =
      std::lower_bound(sorted.begin(), sorted.end(), name,
                       [](const Attribute& attribute, std::string_view key) { return attribute.name < key; });
  return at != sorted.end() && at->name == name ? &*at : nullptr;
}

const Attribute* Type::find(std::string_view name) const { return find_attribute(attributes, name); }

TypePtr bool_type() { return plain(Kind::kBool); }
TypePtr bool_type(bool value) { return plain(value ? Kind::kTrue : Kind::kFalse); }
TypePtr long_type() { return plain(Kind::kLong); }
TypePtr string_type() { return plain(Kind::kString); }
TypePtr extension_type(Kind kind) { return plain(kind); }

TypePtr extension_type(std::string_view name) {
  for (const Kind kind : {Kind::kDecimal, Kind::kIp, Kind::kDatetime, Kind::kDuration}) {
    if (type_keyword(kind) == name) return plain(kind);
  }
  return nullptr;
}

TypePtr make_entity_type(std::string_view name) {
  auto type = std::make_shared<Type>();
  type->kind = Kind::kEntity;
  type->entity = name;
  return type;
}

TypePtr make_set(TypePtr element) {
  auto type = std::make_shared<Type>();
  type->kind = Kind::kSet;
  type->depth = deeper(element->depth);
  type->nodes = add_nodes(element->nodes, 1);
  type->element = std::move(element);
  return type;
}

TypePtr make_record(std::vector<Attribute> attributes) {
  auto type = std::make_shared<Type>();
  type->kind = Kind::kRecord;
  std::sort(attributes.begin(), attributes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const Attribute& attribute : attributes) {
    type->depth = std::max(type->depth, deeper(attribute.type->depth));
    type->nodes = add_nodes(type->nodes, attribute.type->nodes);
  }
  type->attributes = std::move(attributes);
  return type;
}

bool operator==(const Type& a, const Type& b) {
  if (&a == &b) return true;
  if (a.kind != b.kind || a.attributes.size() != b.attributes.size()) return false;
  if (a.kind == Kind::kEntity) return a.entity == b.entity;
  if (a.kind == Kind::kSet) return *a.element == *b.element;
  for (std::size_t i = 0; i < a.attributes.size(); ++i) {
    const Attribute& left = a.attributes[i];
    const Attribute& right = b.attributes[i];
    if (left.name != right.name || left.is_required != right.is_required || !(*left.type == *right.type)) return false;
  }
  return true;
}

TypePtr least_upper_bound(const TypePtr& a, const TypePtr& b) {
  if (a == b) return a;
  if (a->is_boolean() && b->is_boolean()) return a->kind == b->kind ? a : bool_type();
  if (a->kind != b->kind) return nullptr;
  if (a->kind == Kind::kEntity) return a->entity == b->entity ? a : nullptr;
  if (a->kind == Kind::kSet) {
    TypePtr element = least_upper_bound(a->element, b->element);
    return element != nullptr ? make_set(std::move(element)) : nullptr;
  }
  return a->kind == Kind::kRecord ? records_bound(*a, *b) : a;
}

std::string to_string(const Type& type) {
  std::string out;
  append(out, type);
  if (out.size() <= kShown) return out;
  std::size_t cut = kShown;
  while (cut > 0 && (static_cast<unsigned char>(out[cut]) & 0xC0) == 0x80) --cut;
  return out.substr(0, cut) + "...";
}

std::string_view type_keyword(Kind kind) { return kKeywords[static_cast<std::size_t>(kind)]; }

}  // namespace wary::schema
