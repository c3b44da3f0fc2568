#include "cedar/json.h"

#include <algorithm>
#include <array>

#include "cedar/extension.h"
#include "cedar/json_place.h"

namespace wary::cedar {

namespace {

using codec::Json;
constexpr std::size_t kDepthMax = 64;

Result<Value> parse_value(const Json& json, std::size_t depth);

// The parser of JSON text refuses them; a value that was built by code may hold them.
Status no_duplicates(const Value::Record& sorted) {
  const auto same = [](const Value::Member& a, const Value::Member& b) { return a.first == b.first; };
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end(), same);
  if (twice == sorted.end()) return {};
  return fail(ErrorKind::kInvalid, "cedar_json_duplicate", "a member stands twice").found(twice->first);
}

Result<Value> call_constructor(std::string_view name, const Value::Set& arguments) {
  const ExtensionFunction* function = find_extension(name);
  if (function == nullptr) {
    return fail(ErrorKind::kInvalid, "cedar_json_escape", "no such extension function")
        .expected("ip, decimal, datetime, duration or offset")
        .found(name);
  }
  if (function->arguments != arguments.size()) {
    return fail(ErrorKind::kInvalid, "cedar_json_escape", "wrong number of arguments").found(name);
  }
  ExtensionResult result = call_extension(function->op, arguments);
  if (result.outcome == ExtensionResult::Outcome::kValue) return std::move(result.value);
  return fail(ErrorKind::kInvalid, "cedar_extension", result.message);
}

Result<Value> parse_extension(const Json& call, std::size_t depth) {
  if (!call.is_object()) return wrong_type("{\"fn\", \"arg\"}", call);
  WARY_RETURN_IF_ERROR(only_members(call, {"fn", "arg", "args"}));
  const Json* name = call.find("fn");
  const Json* argument = call.find("arg");
  const Json* list = call.find("args");
  if (name == nullptr || !name->is_string() || (argument == nullptr) == (list == nullptr) ||
      (list != nullptr && !list->is_array())) {
    return fail(ErrorKind::kInvalid, "cedar_json_escape", "not an extension call").expected("{\"fn\", \"arg\"}");
  }
  Value::Set arguments;
  const auto add = [&](const Json& json) -> Status {
    WARY_ASSIGN_OR_RETURN(Value value, parse_value(json, depth + 1));
    arguments.push_back(std::move(value));
    return {};
  };
  if (argument != nullptr) {
    WARY_RETURN_IF_ERROR(add(*argument));
  } else {
    for (const Json& item : list->items()) WARY_RETURN_IF_ERROR(add(item));
  }
  return call_constructor(name->as_string(), arguments);
}

// An object with one of the escape members is that escape, whole, or an error: never half a record.
Result<Value> parse_object(const Json& json, std::size_t depth) {
  constexpr std::array<std::string_view, 3> kEscapes = {"__entity", "__extn", "__expr"};
  for (const std::string_view escape : kEscapes) {
    const Json* inner = json.find(escape);
    if (inner == nullptr) continue;
    if (json.members().size() != 1 || escape == "__expr") {
      return fail(ErrorKind::kInvalid, "cedar_json_escape", "a reserved member among others").found(escape);
    }
    if (escape == "__extn") {
      auto value = parse_extension(*inner, depth);
      if (!value.ok()) return inside(std::move(value).error(), escape);
      return value;
    }
    WARY_ASSIGN_OR_RETURN(EntityPtr uid, entity_uid_from_json(json));
    return Value::entity(std::move(uid));
  }
  Value::Record members;
  members.reserve(json.members().size());
  for (const auto& [name, member] : json.members()) {
    auto value = parse_value(member, depth + 1);
    if (!value.ok()) return inside(std::move(value).error(), name);
    members.emplace_back(name, std::move(*value));
  }
  Value record = Value::record(std::move(members));
  WARY_RETURN_IF_ERROR(no_duplicates(*record.as_record()));
  return record;
}

Result<Value> parse_array(const Json& json, std::size_t depth) {
  Value::Set elements;
  elements.reserve(json.items().size());
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    auto value = parse_value(json.items()[i], depth + 1);
    if (!value.ok()) return inside(std::move(value).error(), std::to_string(i));
    elements.push_back(std::move(*value));
  }
  return Value::set(std::move(elements));
}

Result<Value> parse_value(const Json& json, std::size_t depth) {
  if (depth > kDepthMax) {
    return fail(ErrorKind::kInvalid, "cedar_json_depth", "nested too deep").expected("at most 64 levels");
  }
  switch (json.type()) {
    case Json::Type::kBool: return Value(json.as_bool());
    case Json::Type::kInteger: return Value(json.as_integer());
    case Json::Type::kString: return Value(std::string_view(json.as_string()));
    case Json::Type::kArray: return parse_array(json, depth);
    case Json::Type::kObject: return parse_object(json, depth);
    case Json::Type::kNull:
    case Json::Type::kNumber: break;
  }
  return wrong_type("a boolean, integer, string, array or object", json);
}

Json call_json(std::string_view function, Json argument) {
  return Json::object({{"__extn", Json::object({{"fn", Json(function)}, {"arg", std::move(argument)}})}});
}

Json datetime_json(Datetime value) {
  // Out of the range of the text form: an offset from 1970, as the expression language would write it.
  const std::string call = format_datetime_call(value);
  constexpr std::string_view kStart = "datetime(\"";
  const std::string text = call.substr(kStart.size(), call.find('"', kStart.size()) - kStart.size());
  if (call.find(".offset(") == std::string::npos) return call_json("datetime", Json(text));
  Json arguments = Json::array();
  arguments.push(call_json("datetime", Json("1970-01-01")));
  arguments.push(call_json("duration", Json(format_duration({value.milliseconds}))));
  return Json::object({{"__extn", Json::object({{"fn", Json("offset")}, {"args", std::move(arguments)}})}});
}

Result<Value::Record> parse_members(const Json& json, std::string_view name) {
  if (!json.is_object()) return inside(wrong_type("an object", json), name);
  if (json.members().size() > kEntityAttributesMax) {
    return inside(fail(ErrorKind::kInvalid, "cedar_json_items", "too many members")
                      .expected("at most " + std::to_string(kEntityAttributesMax)),
                  name);
  }
  Value::Record out;
  for (const auto& [key, member] : json.members()) {
    auto value = parse_value(member, 1);
    if (!value.ok()) return inside(inside(std::move(value).error(), key), name);
    out.emplace_back(key, std::move(*value));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  auto duplicates = no_duplicates(out);
  if (!duplicates.ok()) return inside(std::move(duplicates).error(), name);
  return out;
}

}  // namespace

Result<Value> value_from_json(const Json& json) { return parse_value(json, 1); }

Json to_json(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kBool: return Json(*value.as_bool());
    case Value::Kind::kLong: return Json(*value.as_long());
    case Value::Kind::kString: return Json(*value.as_string());
    case Value::Kind::kEntity: return Json::object({{"__entity", to_json(**value.as_entity())}});
    case Value::Kind::kSet: {
      Json out = Json::array();
      for (const Value& element : *value.as_set()) out.push(to_json(element));
      return out;
    }
    case Value::Kind::kRecord: {
      Json out = Json::object();
      for (const auto& [name, member] : *value.as_record()) out.members().emplace_back(name, to_json(member));
      return out;
    }
    case Value::Kind::kDecimal: return call_json("decimal", Json(format_decimal(*value.as_decimal())));
    case Value::Kind::kIp: return call_json("ip", Json(format_ip(*value.as_ip())));
    case Value::Kind::kDatetime: return datetime_json(*value.as_datetime());
    case Value::Kind::kDuration: return call_json("duration", Json(format_duration(*value.as_duration())));
  }
  return {};
}

Result<EntityPtr> entity_uid_from_json(const Json& json) {
  if (!json.is_object()) return wrong_type("{\"type\", \"id\"}", json);
  const Json* escaped = json.find("__entity");
  if (escaped != nullptr) {
    WARY_RETURN_IF_ERROR(only_members(json, {"__entity"}));
    if (escaped->find("__entity") != nullptr) return wrong_type("{\"type\", \"id\"}", *escaped);
    auto uid = entity_uid_from_json(*escaped);
    if (!uid.ok()) return inside(std::move(uid).error(), "__entity");
    return uid;
  }
  WARY_RETURN_IF_ERROR(only_members(json, {"type", "id"}));
  const Json* type = json.find("type");
  const Json* id = json.find("id");
  if (type == nullptr || id == nullptr || !type->is_string() || !id->is_string()) {
    return wrong_type("{\"type\", \"id\"}, both strings", json);
  }
  if (!is_type_name(type->as_string())) {
    return fail(ErrorKind::kInvalid, "cedar_type_name", "not an entity type").found(type->as_string());
  }
  return make_entity(type->as_string(), id->as_string());
}

Json to_json(const EntityUid& uid) { return Json::object({{"type", Json(uid.type)}, {"id", Json(uid.id)}}); }

Result<EntityHandle> entity_from_json(const Json& json) {
  if (!json.is_object()) return wrong_type("{\"uid\", \"attrs\", \"parents\"}", json);
  WARY_RETURN_IF_ERROR(only_members(json, {"uid", "attrs", "parents", "tags"}));
  const Json* uid = json.find("uid");
  const Json* attributes = json.find("attrs");
  const Json* parents = json.find("parents");
  const Json* tags = json.find("tags");
  if (uid == nullptr || attributes == nullptr || parents == nullptr) {
    return fail(ErrorKind::kInvalid, "cedar_json_member", "a member is missing").expected("uid, attrs and parents");
  }
  auto entity = std::make_shared<Entity>();
  auto id = entity_uid_from_json(*uid);
  if (!id.ok()) return inside(std::move(id).error(), "uid");
  entity->uid = std::move(*id);
  WARY_ASSIGN_OR_RETURN(entity->attributes, parse_members(*attributes, "attrs"));
  if (tags != nullptr) {
    WARY_ASSIGN_OR_RETURN(entity->tags, parse_members(*tags, "tags"));
  }
  if (!parents->is_array()) return inside(wrong_type("an array", *parents), "parents");
  if (parents->items().size() > kEntityParentsMax) {
    return inside(fail(ErrorKind::kInvalid, "cedar_json_items", "too many parents")
                      .expected("at most " + std::to_string(kEntityParentsMax)),
                  "parents");
  }
  for (std::size_t i = 0; i < parents->items().size(); ++i) {
    auto parent = entity_uid_from_json(parents->items()[i]);
    if (!parent.ok()) return inside(inside(std::move(parent).error(), std::to_string(i)), "parents");
    entity->parents.push_back(std::move(*parent));
  }
  return EntityHandle(std::move(entity));
}

Json to_json(const Entity& entity) {
  Json out = Json::object();
  out.set("uid", to_json(*entity.uid));
  out.set("attrs", to_json(Value::record(entity.attributes)));
  Json parents = Json::array();
  for (const EntityPtr& parent : entity.parents) parents.push(to_json(*parent));
  out.set("parents", std::move(parents));
  if (!entity.tags.empty()) out.set("tags", to_json(Value::record(entity.tags)));
  return out;
}

Result<std::vector<EntityHandle>> entities_from_json(const Json& json) {
  if (!json.is_array()) return wrong_type("an array of entities", json);
  std::vector<EntityHandle> out;
  out.reserve(json.items().size());
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    auto entity = entity_from_json(json.items()[i]);
    if (!entity.ok()) return inside(std::move(entity).error(), std::to_string(i));
    out.push_back(std::move(*entity));
  }
  return out;
}

}  // namespace wary::cedar
