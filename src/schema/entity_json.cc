// Entities and contexts from JSON, by the types of the schema.
#include <algorithm>

#include "codec/nearest.h"
#include "schema/conformance.h"
#include "schema/refusal.h"

namespace wary::schema {

using cedar::Value;
using codec::Json;

namespace {

constexpr std::size_t kDepthMax = 2 * kTypeDepth;

Result<Value> read_value(const Json& json, const Type& type, std::size_t depth);

// {"__entity": {"type", "id"}} or {"type", "id"}. Further members are not looked at, as the language has it where the
// type says what must stand here.
Result<Value> read_entity(const Json& json) {
  const Json* written = json.find("__entity");
  const Json& uid = written != nullptr ? *written : json;
  const Json* type = uid.find("type");
  const Json* id = uid.find("id");
  if (json.find("__expr") != nullptr || type == nullptr || id == nullptr || !type->is_string() || !id->is_string()) {
    return refuse("conformance_type", "not an entity").expected("{\"type\", \"id\"}");
  }
  if (!cedar::is_type_name(type->as_string())) {
    return refuse("cedar_type_name", "not an entity type").found(type->as_string());
  }
  return Value::entity(cedar::make_entity(type->as_string(), id->as_string()));
}

std::string_view constructor_of(Type::Kind kind) {
  switch (kind) {
    case Type::Kind::kIp: return "ip";
    case Type::Kind::kDecimal: return "decimal";
    case Type::Kind::kDatetime: return "datetime";
    default: return "duration";
  }
}

// "text", {"fn", "arg"}, or either within {"__extn": ...}.
Result<Value> read_extension(const Json& json, const Type& type) {
  if (json.is_string()) {
    const Value text{std::string_view(json.as_string())};
    const auto* function = cedar::find_extension(constructor_of(type.kind));
    cedar::ExtensionResult result = cedar::call_extension(function->op, {&text, 1});
    if (result.outcome == cedar::ExtensionResult::Outcome::kValue) return std::move(result.value);
    return refuse("cedar_extension", result.message);
  }
  if (json.find("fn") != nullptr) return cedar::value_from_json(Json::object({{"__extn", json}}));
  return cedar::value_from_json(json);
}

Result<Value> read_set(const Json& json, const Type& type, std::size_t depth) {
  if (!json.is_array()) return refuse("conformance_type", "not a set").expected("an array");
  Value::Set elements;
  elements.reserve(json.items().size());
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    auto element = read_value(json.items()[i], *type.element, depth + 1);
    if (!element.ok()) return inside(std::move(element).error(), std::to_string(i));
    elements.push_back(std::move(*element));
  }
  return Value::set(std::move(elements));
}

Result<Value::Record> read_members(const Json& json, const std::vector<Attribute>& declared, std::size_t depth) {
  if (!json.is_object()) return refuse("conformance_type", "not a record").expected("an object");
  Value::Record out;
  out.reserve(json.members().size());
  for (const auto& [name, member] : json.members()) {
    const Attribute* attribute = find_attribute(declared, name);
    if (attribute == nullptr) {
      std::vector<std::string_view> names;
      for (const Attribute& known : declared) names.push_back(known.name);
      const std::string near = codec::nearest(name, names);
      return inside(refuse("conformance_undeclared", "not declared in the schema")
                        .found(name)
                        .next(near.empty() ? std::string() : "did you mean `" + near + "`?"),
                    name);
    }
    auto value = read_value(member, *attribute->type, depth + 1);
    if (!value.ok()) return inside(std::move(value).error(), name);
    out.emplace_back(name, std::move(*value));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  const auto twice = std::adjacent_find(out.begin(), out.end(), same);
  if (twice != out.end()) return refuse("cedar_json_duplicate", "a member stands twice").found(twice->first);
  return out;
}

Result<Value> read_value(const Json& json, const Type& type, std::size_t depth) {
  if (depth > kDepthMax) return refuse("cedar_json_depth", "nested too deep");
  switch (type.kind) {
    case Type::Kind::kEntity: return read_entity(json);
    case Type::Kind::kSet: return read_set(json, type, depth);
    case Type::Kind::kRecord: {
      WARY_ASSIGN_OR_RETURN(Value::Record members, read_members(json, type.attributes, depth));
      return Value::record(std::move(members));
    }
    case Type::Kind::kIp:
    case Type::Kind::kDecimal:
    case Type::Kind::kDatetime:
    case Type::Kind::kDuration: return read_extension(json, type);
    default: return cedar::value_from_json(json);
  }
}

Result<Value::Record> read_tags(const Json& json, const EntityType& type) {
  Value::Record out;
  if (!json.is_object()) return refuse("conformance_type", "not the tags of an entity").expected("an object");
  for (const auto& [name, member] : json.members()) {
    if (type.tags == nullptr) {
      return inside(refuse("conformance_no_tags", "`" + type.name + "` has no tags").found(name), name);
    }
    auto value = read_value(member, *type.tags, 1);
    if (!value.ok()) return inside(std::move(value).error(), name);
    out.emplace_back(name, std::move(*value));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

Status check_shape(const Json& json) {
  if (!json.is_object() || json.find("uid") == nullptr || json.find("attrs") == nullptr ||
      json.find("parents") == nullptr) {
    return refuse("cedar_json_member", "not an entity").expected("{\"uid\", \"attrs\", \"parents\", \"tags\"?}");
  }
  for (const auto& [name, member] : json.members()) {
    if (name == "uid" || name == "attrs" || name == "parents" || name == "tags") continue;
    return refuse("cedar_json_member", "an unknown member").expected("uid, attrs, parents, tags").found(name);
  }
  for (const std::string_view name : {"attrs", "tags"}) {
    const Json* members = json.find(name);
    if (members == nullptr || !members->is_object() || members->members().size() <= cedar::kEntityAttributesMax)
      continue;
    return inside(refuse("cedar_json_items", "too many members")
                      .expected("at most " + std::to_string(cedar::kEntityAttributesMax)),
                  name);
  }
  return {};
}

Status read_parents(const Json& json, cedar::Entity& out) {
  if (!json.is_array()) return refuse("cedar_json_type", "not the JSON that stands here").expected("an array");
  if (json.items().size() > cedar::kEntityParentsMax) {
    return refuse("cedar_json_items", "too many parents")
        .expected("at most " + std::to_string(cedar::kEntityParentsMax));
  }
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    auto parent = cedar::entity_uid_from_json(json.items()[i]);
    if (!parent.ok()) return inside(std::move(parent).error(), std::to_string(i));
    out.parents.push_back(std::move(*parent));
  }
  return {};
}

}  // namespace

Result<Value> value_from_json(const Schema& schema, const Json& json, const Type& type) {
  WARY_ASSIGN_OR_RETURN(Value value, read_value(json, type, 1));
  WARY_RETURN_IF_ERROR(validate_value(schema, value, type));
  return value;
}

Result<cedar::EntityHandle> entity_from_json(const Schema& schema, const Json& json) {
  WARY_RETURN_IF_ERROR(check_shape(json));
  auto uid = cedar::entity_uid_from_json(*json.find("uid"));
  if (!uid.ok()) return inside(std::move(uid).error(), "uid");
  const EntityType* type = schema.find_entity_type((*uid)->type);
  if (type == nullptr) {  // an action, or nothing the schema knows
    WARY_ASSIGN_OR_RETURN(cedar::EntityHandle entity, cedar::entity_from_json(json));
    WARY_RETURN_IF_ERROR(validate_entity(schema, *entity));
    return entity;
  }
  auto entity = std::make_shared<cedar::Entity>();
  entity->uid = std::move(*uid);
  auto attributes = read_members(*json.find("attrs"), type->attributes, 1);
  if (!attributes.ok()) return inside(std::move(attributes).error(), "attrs");
  entity->attributes = std::move(*attributes);
  if (const Json* tags = json.find("tags")) {
    auto read = read_tags(*tags, *type);
    if (!read.ok()) return inside(std::move(read).error(), "tags");
    entity->tags = std::move(*read);
  }
  Status parents = read_parents(*json.find("parents"), *entity);
  if (!parents.ok()) return inside(std::move(parents).error(), "parents");
  WARY_RETURN_IF_ERROR(validate_entity(schema, *entity));
  return cedar::EntityHandle(std::move(entity));
}

Result<std::vector<cedar::EntityHandle>> entities_from_json(const Schema& schema, const Json& json) {
  if (!json.is_array())
    return refuse("cedar_json_type", "not the JSON that stands here").expected("an array of entities");
  std::vector<cedar::EntityHandle> out;
  out.reserve(json.items().size() + schema.actions().size());
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    auto entity = entity_from_json(schema, json.items()[i]);
    if (!entity.ok()) return inside(std::move(entity).error(), std::to_string(i));
    // An action is the schema's, whose groups are complete.
    if (!is_action_type((*entity)->uid->type)) out.push_back(std::move(*entity));
  }
  out.insert(out.end(), schema.action_entities().begin(), schema.action_entities().end());
  return out;
}

Result<Value> context_from_json(const Schema& schema, const Json& json, const Action& action) {
  return value_from_json(schema, json, *action.context);
}

}  // namespace wary::schema
