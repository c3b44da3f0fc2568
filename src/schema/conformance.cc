#include "schema/conformance.h"

#include <algorithm>

#include "codec/nearest.h"
#include "schema/refusal.h"

namespace wary::schema {

using cedar::EntityUid;
using cedar::Value;

namespace {

// An entity that something refers to: an id of an enum must be one of it, an action one of the schema.
Status check_reference(const Schema& schema, const EntityUid& uid) {
  if (is_action_type(uid.type)) {
    if (schema.find_action(uid) != nullptr) return {};
    return refuse("conformance_unknown_action", "no action of the schema").found(uid.to_string());
  }
  const EntityType* type = schema.find_entity_type(uid.type);
  if (type == nullptr || !type->is_enum) return {};
  if (std::binary_search(type->choices.begin(), type->choices.end(), uid.id)) return {};
  const std::string near = codec::nearest(uid.id, {type->choices.begin(), type->choices.end()});
  return refuse("conformance_enum_id", "none of the ids of its type")
      .found(uid.to_string())
      .next(near.empty() ? std::string() : "did you mean \"" + near + "\"?");
}

Error wrong_type(const Type& type, const Value& value) {
  return refuse("conformance_type", "not the declared type").expected(to_string(type)).found(value.type_name());
}

Status check_members(const Schema& schema, const Value::Record& members, const std::vector<Attribute>& declared) {
  for (const Attribute& attribute : declared) {
    const Value* member = cedar::find_member(members, attribute.name);
    if (member == nullptr && attribute.is_required) {
      return inside(
          refuse("conformance_missing", "a required attribute is missing").expected(to_string(*attribute.type)),
          attribute.name);
    }
    if (member == nullptr) continue;
    Status fits = validate_value(schema, *member, *attribute.type);
    if (!fits.ok()) return inside(std::move(fits).error(), attribute.name);
  }
  for (const auto& [name, member] : members) {
    if (find_attribute(declared, name) != nullptr) continue;
    std::vector<std::string_view> names;
    for (const Attribute& attribute : declared) names.push_back(attribute.name);
    const std::string near = codec::nearest(name, names);
    return inside(refuse("conformance_undeclared", "not declared in the schema")
                      .found(name)
                      .next(near.empty() ? std::string() : "did you mean `" + near + "`?"),
                  name);
  }
  return {};
}

bool has_kind(const Type& type, const Value& value) {
  using Kind = Type::Kind;
  switch (value.kind()) {
    case Value::Kind::kBool:
      return type.kind == Kind::kBool || (type.kind == Kind::kTrue && *value.as_bool()) ||
             (type.kind == Kind::kFalse && !*value.as_bool());
    case Value::Kind::kLong: return type.kind == Kind::kLong;
    case Value::Kind::kString: return type.kind == Kind::kString;
    case Value::Kind::kEntity: return type.kind == Kind::kEntity;
    case Value::Kind::kSet: return type.kind == Kind::kSet;
    case Value::Kind::kRecord: return type.kind == Kind::kRecord;
    case Value::Kind::kDecimal: return type.kind == Kind::kDecimal;
    case Value::Kind::kIp: return type.kind == Kind::kIp;
    case Value::Kind::kDatetime: return type.kind == Kind::kDatetime;
    case Value::Kind::kDuration: break;
  }
  return type.kind == Kind::kDuration;
}

// A supplied action says no more and no less than the schema does; its groups may be given in part, where the rest
// follows from them.
Status check_action(const Schema& schema, const cedar::Entity& entity) {
  const Action* action = schema.find_action(*entity.uid);
  if (action == nullptr) {
    return inside(refuse("conformance_unknown_action", "no action of the schema").found(entity.uid->to_string()),
                  "uid");
  }
  bool is_same = entity.attributes.empty() && entity.tags.empty();
  std::vector<bool> above(schema.actions().size());
  for (const cedar::EntityPtr& parent : entity.parents) {
    const Action* group = schema.find_action(*parent);
    if (group == nullptr || !schema.is_beneath(*action, *group)) {
      is_same = false;
      continue;
    }
    for (const Action& other : schema.actions()) {
      if (&other == group || schema.is_beneath(*group, other)) above[other.index] = true;
    }
  }
  for (const Action& other : schema.actions())
    is_same = is_same && above[other.index] == schema.is_beneath(*action, other);
  if (is_same) return {};
  return refuse("conformance_action", "an action that differs from its declaration in the schema")
      .found(entity.uid->to_string())
      .next("leave actions out: they are taken from the schema");
}

Status check_parents(const Schema& schema, const EntityType& type, const cedar::Entity& entity) {
  for (std::size_t i = 0; i < entity.parents.size(); ++i) {
    const EntityUid& parent = *entity.parents[i];
    const auto refused = [&](Error error) { return inside(inside(std::move(error), std::to_string(i)), "parents"); };
    Status reference = check_reference(schema, parent);
    if (!reference.ok()) return refused(std::move(reference).error());
    const EntityType* above = schema.find_entity_type(parent.type);
    if (above != nullptr && schema.is_beneath(type, *above)) continue;
    return refused(refuse("conformance_parent", "the schema does not let `" + type.name + "` be in this")
                       .found(parent.to_string()));
  }
  return {};
}

}  // namespace

Status validate_value(const Schema& schema, const Value& value, const Type& type) {
  if (!has_kind(type, value)) return wrong_type(type, value);
  if (const cedar::EntityPtr* uid = value.as_entity()) {
    if ((*uid)->type != type.entity) return wrong_type(type, value);
    return check_reference(schema, **uid);
  }
  if (const Value::Set* set = value.as_set()) {
    for (std::size_t i = 0; i < set->size(); ++i) {
      Status fits = validate_value(schema, (*set)[i], *type.element);
      if (!fits.ok()) return inside(std::move(fits).error(), std::to_string(i));
    }
  }
  const Value::Record* record = value.as_record();
  return record != nullptr ? check_members(schema, *record, type.attributes) : Status();
}

Status validate_entity(const Schema& schema, const cedar::Entity& entity) {
  const EntityUid& uid = *entity.uid;
  if (is_action_type(uid.type)) return check_action(schema, entity);
  const EntityType* type = schema.find_entity_type(uid.type);
  if (type == nullptr) {
    return inside(refuse("conformance_unknown_type", "no entity type of the schema").found(uid.type), "uid");
  }
  Status reference = check_reference(schema, uid);
  if (!reference.ok()) return inside(std::move(reference).error(), "uid");
  Status attributes = check_members(schema, entity.attributes, type->attributes);
  if (!attributes.ok()) return inside(std::move(attributes).error(), "attrs");
  WARY_RETURN_IF_ERROR(check_parents(schema, *type, entity));
  for (const auto& [name, tag] : entity.tags) {
    if (type->tags == nullptr) {
      return inside(refuse("conformance_no_tags", "`" + type->name + "` has no tags").found(name), "tags");
    }
    Status fits = validate_value(schema, tag, *type->tags);
    if (!fits.ok()) return inside(inside(std::move(fits).error(), name), "tags");
  }
  return {};
}

Status validate_entities(const Schema& schema, const std::vector<cedar::EntityHandle>& entities) {
  for (std::size_t i = 0; i < entities.size(); ++i) {
    Status fits = validate_entity(schema, *entities[i]);
    if (!fits.ok()) return inside(std::move(fits).error(), std::to_string(i));
  }
  auto store = cedar::EntityStore::make(entities);
  return store.ok() ? Status() : Status(std::move(store).error());
}

Status validate_request(const Schema& schema, const cedar::Request& request) {
  const auto check = [&](const cedar::EntityPtr& uid, std::string_view name) -> Status {
    if (schema.find_entity_type(uid->type) == nullptr) {
      return inside(refuse("conformance_unknown_type", "no entity type of the schema").found(uid->type), name);
    }
    Status reference = check_reference(schema, *uid);
    return reference.ok() ? Status() : Status(inside(std::move(reference).error(), name));
  };
  WARY_RETURN_IF_ERROR(check(request.principal, "principal"));
  WARY_RETURN_IF_ERROR(check(request.resource, "resource"));
  const Action* action = schema.find_action(*request.action);
  if (action == nullptr) {
    return inside(refuse("conformance_unknown_action", "no action of the schema").found(request.action->to_string()),
                  "action");
  }
  const auto applies = [&](const cedar::EntityPtr& uid, const std::vector<std::uint32_t>& types,
                           std::string_view name) -> Status {
    if (std::binary_search(types.begin(), types.end(), schema.find_entity_type(uid->type)->index)) return {};
    return inside(refuse("conformance_not_applicable", "the action does not apply to this").found(uid->type), name);
  };
  WARY_RETURN_IF_ERROR(applies(request.principal, action->principals, "principal"));
  WARY_RETURN_IF_ERROR(applies(request.resource, action->resources, "resource"));
  Status context = validate_value(schema, request.context, *action->context);
  return context.ok() ? Status() : Status(inside(std::move(context).error(), "context"));
}

}  // namespace wary::schema
