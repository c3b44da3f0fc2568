// Validating: one walk over the value, with the schema nodes beside it.
#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/limits.h"
#include "codec/json_schema_impl.h"
#include "codec/nearest.h"
#include "codec/text.h"
#include "codec/uri.h"

namespace wary::codec {

namespace {

constexpr std::size_t kSteps = 1'000'000;

bool is_number(const Json& value) { return value.is_integer() || value.type() == Json::Type::kNumber; }

// Doubles that are whole and exact become integers, so that 1 and 1.0 are one value.
Json with_whole_numbers(const Json& value) {
  switch (value.type()) {
    case Json::Type::kNumber: {
      const double number = value.as_number();
      const bool exact = std::fabs(number) < 9007199254740992.0 && number == std::floor(number);
      return exact ? Json(static_cast<std::int64_t>(number)) : value;
    }
    case Json::Type::kArray: {
      Json out = Json::array();
      for (const Json& item : value.items()) out.push(with_whole_numbers(item));
      return out;
    }
    case Json::Type::kObject: {
      std::vector<Json::Member> members;
      for (const auto& [name, member] : value.members()) members.emplace_back(name, with_whole_numbers(member));
      return Json::object(std::move(members));
    }
    default: return value;
  }
}

unsigned types_of(const Json& value) {
  switch (value.type()) {
    case Json::Type::kNull: return kSchemaNull;
    case Json::Type::kBool: return kSchemaBoolean;
    case Json::Type::kInteger: return kSchemaInteger | kSchemaNumber;
    case Json::Type::kNumber:
      return value.as_number() == std::floor(value.as_number()) ? kSchemaInteger | kSchemaNumber : kSchemaNumber;
    case Json::Type::kString: return kSchemaString;
    case Json::Type::kArray: return kSchemaArray;
    case Json::Type::kObject: return kSchemaObject;
  }
  return 0;
}

std::string name_types(unsigned types) {
  std::string out;
  const std::string_view names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
  for (unsigned i = 0; i < 7; ++i) {
    if ((types & 1u << i) == 0) continue;
    if (!out.empty()) out += " or ";
    out += names[i];
  }
  return out;
}

// -1, 0, 1; exact where both are integers.
int compare(const Json& a, const Json& b) {
  if (a.is_integer() && b.is_integer()) return a.as_integer() < b.as_integer() ? -1 : a.as_integer() > b.as_integer();
  return a.as_number() < b.as_number() ? -1 : a.as_number() > b.as_number();
}

std::string shown(const Json& value) {
  std::string out;
  append_printable(out, value.to_string().substr(0, 80));
  return out;
}

bool is_dns_label(std::string_view text) {
  if (text.empty() || text.size() > limits::kNameBytes || text.front() == '-' || text.back() == '-') return false;
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

bool is_hostname(std::string_view text) {
  if (text.size() > 253) return false;
  while (true) {
    const std::size_t dot = std::min(text.find('.'), text.size());
    if (!is_dns_label(to_lower(text.substr(0, dot)))) return false;
    if (dot == text.size()) return true;
    text.remove_prefix(dot + 1);
  }
}

bool has_format(std::string_view text, std::string_view format) {
  if (format == "dns-label") return is_dns_label(text);
  if (format == "hostname") return is_hostname(text);
  if (format == "uri") return parse_uri(text).ok();
  return parse_spiffe_id(text).ok();
}

std::string nearest_of(const std::vector<SchemaNode::Property>& known, std::string_view name) {
  std::vector<std::string_view> names;
  for (const SchemaNode::Property& property : known) names.push_back(property.name);
  return nearest(name, names);
}

class Walk {
 public:
  Walk(const std::vector<SchemaNode>& nodes, std::size_t errors_max) : nodes_(nodes), errors_max_(errors_max) {}

  std::vector<SchemaError> take() { return std::move(errors_); }

  void check(std::size_t index, const Json& value) {
    if (errors_.size() >= errors_max_) return;
    if (++steps_ > kSteps || depth_ > kSchemaChain) return exhausted();
    ++depth_;
    check_node(nodes_[index], value);
    --depth_;
  }

 private:
  void check_node(const SchemaNode& node, const Json& value) {
    if (node.never) return add("schema_never", "nothing is allowed here", "", shown(value));
    if (node.types != 0 && (types_of(value) & node.types) == 0) {
      return add("schema_type", "the value is of another type", name_types(node.types),
                 name_types(types_of(value) & ~(value.is_integer() ? unsigned{kSchemaNumber} : 0u)));
    }
    if (node.ref) check(*node.ref, value);
    for (const std::size_t part : node.all_of) check(part, value);
    if (node.choices) check_choices(node, value);
    if (is_number(value)) check_number(node, value);
    if (value.is_string()) check_string(node, value.as_string());
    if (value.is_array()) check_array(node, value);
    if (value.is_object()) check_object(node, value);
    if (!node.any_of.empty() && count_valid(node.any_of, value, 1) == 0) {
      add("schema_any_of", "the value fits none of the alternatives", "", shown(value));
    }
    if (!node.one_of.empty() && count_valid(node.one_of, value, 2) != 1) {
      add("schema_one_of", "the value does not fit exactly one of the alternatives", "", shown(value));
    }
  }

  void add(std::string_view code, std::string_view message, std::string expected, std::string found) {
    if (errors_.size() >= errors_max_) return;
    errors_.push_back({pointer_, std::string(code), std::string(message), std::move(expected), std::move(found)});
  }
  // Also inside alternatives this must count as an error, never as a fit.
  void exhausted() { add("schema_steps", "the value takes too long to validate", "", ""); }

  std::size_t count_valid(const std::vector<std::size_t>& alternatives, const Json& value, std::size_t enough) {
    std::size_t valid = 0;
    for (const std::size_t alternative : alternatives) {
      Walk inner(nodes_, 1);
      inner.steps_ = steps_;
      inner.depth_ = depth_;
      inner.check(alternative, value);
      steps_ = inner.steps_;
      if (inner.errors_.empty()) ++valid;
      if (steps_ > kSteps) return exhausted(), 0;
      if (valid >= enough) break;
    }
    return valid;
  }

  void check_choices(const SchemaNode& node, const Json& value) {
    const std::string key = schema_equality_key(value);
    if (std::find(node.choices->begin(), node.choices->end(), key) != node.choices->end()) return;
    add("schema_enum", "the value is none of those allowed", node.choices_text, shown(value));
  }

  void check_number(const SchemaNode& node, const Json& value) {
    if (node.minimum && compare(value, *node.minimum) < 0) {
      add("schema_minimum", "the number is too small", ">= " + node.minimum->to_string(), shown(value));
    }
    if (node.maximum && compare(value, *node.maximum) > 0) {
      add("schema_maximum", "the number is too large", "<= " + node.maximum->to_string(), shown(value));
    }
    if (node.exclusive_minimum && compare(value, *node.exclusive_minimum) <= 0) {
      add("schema_minimum", "the number is too small", "> " + node.exclusive_minimum->to_string(), shown(value));
    }
    if (node.exclusive_maximum && compare(value, *node.exclusive_maximum) >= 0) {
      add("schema_maximum", "the number is too large", "< " + node.exclusive_maximum->to_string(), shown(value));
    }
  }

  void check_string(const SchemaNode& node, const std::string& text) {
    if (node.min_length || node.max_length) {
      const auto length = static_cast<std::size_t>(std::count_if(
          text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }));
      if (node.min_length && length < *node.min_length) {
        add("schema_min_length", "the text is too short", std::to_string(*node.min_length), std::to_string(length));
      }
      if (node.max_length && length > *node.max_length) {
        add("schema_max_length", "the text is too long", std::to_string(*node.max_length), std::to_string(length));
      }
    }
    if (node.pattern && !node.pattern->matches(text)) {
      add("schema_pattern", "the text does not match", node.pattern_text, shown(Json(text)));
    }
    if (!node.format.empty() && !has_format(text, node.format)) {
      add("schema_format", "the text is of another format", node.format, shown(Json(text)));
    }
  }

  void check_array(const SchemaNode& node, const Json& value) {
    const std::size_t size = value.items().size();
    if (node.min_items && size < *node.min_items) {
      add("schema_min_items", "the list is too short", std::to_string(*node.min_items), std::to_string(size));
    }
    if (node.max_items && size > *node.max_items) {
      add("schema_max_items", "the list is too long", std::to_string(*node.max_items), std::to_string(size));
    }
    std::unordered_set<std::string> seen;
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t before = pointer_.size();
      append_pointer(pointer_, std::to_string(i));
      if (node.items) check(*node.items, value.items()[i]);
      if (node.unique_items && !seen.insert(schema_equality_key(value.items()[i])).second) {
        add("schema_unique_items", "the list has this item already", "", shown(value.items()[i]));
      }
      pointer_.resize(before);
    }
  }

  void check_object(const SchemaNode& node, const Json& value) {
    for (const std::string& name : node.required) {
      if (value.find(name) == nullptr) add("schema_required", "a required member is missing", name, "");
    }
    for (const auto& [name, member] : value.members()) {
      const auto known = std::lower_bound(node.properties.begin(), node.properties.end(), name,
                                          [](const auto& property, const std::string& n) { return property.name < n; });
      const bool is_known = known != node.properties.end() && known->name == name;
      const std::size_t before = pointer_.size();
      append_pointer(pointer_, name);
      if (is_known) {
        check(known->schema, member);
      } else if (node.additional && nodes_[*node.additional].never) {
        std::string found;
        append_printable(found, name.substr(0, 80));
        add("schema_unknown_property", "this member is not known here", nearest_of(node.properties, name), found);
      } else if (node.additional) {
        check(*node.additional, member);
      }
      pointer_.resize(before);
    }
  }

  const std::vector<SchemaNode>& nodes_;
  std::size_t errors_max_;
  std::vector<SchemaError> errors_;
  std::string pointer_;
  std::size_t steps_ = 0;
  std::size_t depth_ = 0;
};

}  // namespace

std::string schema_equality_key(const Json& value) { return with_whole_numbers(value).to_canonical_string(); }

bool is_known_schema_format(std::string_view format) {
  return format == "dns-label" || format == "hostname" || format == "uri" || format == "spiffe-id";
}

std::vector<SchemaError> JsonSchema::validate(const Json& value, std::size_t errors_max) const {
  Walk walk(impl_->nodes, errors_max);
  walk.check(0, value);
  return walk.take();
}

}  // namespace wary::codec
