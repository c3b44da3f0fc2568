// The JSON form of a schema: reading it.
#include <algorithm>
#include <initializer_list>

#include "schema/declarations.h"

namespace wary::schema {

namespace {

using codec::Json;
using WrittenKind = TypeExpression::Kind;

std::string step(const std::string& pointer, std::string_view name) {
  std::string out = pointer + "/";
  for (const char c : name) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out += c;
  }
  return out;
}

Error refuse(std::string_view code, std::string_view message, const std::string& pointer) {
  return fail(ErrorKind::kInvalid, code, message).at(pointer.empty() ? "/" : pointer);
}

Error wrong_type(std::string_view expected, const std::string& pointer) {
  return refuse("cedarschema_json_type", "not the JSON that stands here", pointer).expected(expected);
}

Status only_members(const Json& json, const std::string& pointer, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : json.members()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string expected;
    for (const std::string_view member : known) expected += (expected.empty() ? "" : ", ") + std::string(member);
    return refuse("cedarschema_json_member", "an unknown member", step(pointer, name)).expected(expected).found(name);
  }
  return {};
}

bool is_path(std::string_view name) {
  while (true) {
    const std::size_t separator = name.find("::");
    const std::string_view part = name.substr(0, separator);
    if (!cedar::is_identifier(part) && part != "__cedar") return false;
    if (separator == std::string_view::npos) return true;
    name.remove_prefix(separator + 2);
  }
}

Status check_declared(const std::string& name, const std::string& pointer) {
  if (cedar::is_identifier(name) && name != "__cedar") return {};
  return refuse("cedarschema_name", "not a name that can be declared", pointer).expected("an identifier").found(name);
}

Result<NameReference> read_name(const Json* json, const std::string& pointer) {
  if (json == nullptr || !json->is_string()) return wrong_type("the name of a type", pointer);
  if (!is_path(json->as_string())) {
    return refuse("cedarschema_name", "not the name of a type", pointer).found(json->as_string());
  }
  return NameReference{json->as_string(), {{}, pointer}};
}

Status read_names(const Json* json, const std::string& pointer, std::vector<NameReference>& out) {
  if (json == nullptr || !json->is_array()) return wrong_type("a list of entity types", pointer);
  for (std::size_t i = 0; i < json->items().size(); ++i) {
    WARY_ASSIGN_OR_RETURN(NameReference name, read_name(&json->items()[i], step(pointer, std::to_string(i))));
    out.push_back(std::move(name));
  }
  return {};
}

Status read_annotations(const Json& owner, const std::string& pointer, std::vector<cedar::Annotation>& out) {
  const Json* json = owner.find("annotations");
  if (json == nullptr) return {};
  const std::string place = step(pointer, "annotations");
  if (!json->is_object()) return wrong_type("an object of strings", place);
  for (const auto& [name, value] : json->members()) {
    // A reserved word may name an annotation.
    if (!cedar::is_identifier("a" + name) || name.empty() || (name[0] >= '0' && name[0] <= '9')) {
      return refuse("cedarschema_name", "not the name of an annotation", place).found(name);
    }
    if (!value.is_string() && !value.is_null()) return wrong_type("a string", step(place, name));
    std::optional<std::string> text;
    if (value.is_string()) text = value.as_string();
    out.push_back({name, std::move(text)});
  }
  return {};
}

Result<TypeExpression> read_type(const Json& json, const std::string& pointer, std::size_t depth, bool is_attribute,
                                 bool is_common = false);

Status read_record(const Json& json, const std::string& pointer, std::size_t depth, TypeExpression& out) {
  out.kind = WrittenKind::kRecord;
  const Json* open = json.find("additionalAttributes");
  if (open != nullptr && (!open->is_bool() || open->as_bool())) {
    return refuse("cedarschema_unsupported", "records with further attributes are not part of the language",
                  step(pointer, "additionalAttributes"))
        .expected("false");
  }
  const Json* attributes = json.find("attributes");
  const std::string place = step(pointer, "attributes");
  if (attributes == nullptr || !attributes->is_object()) return wrong_type("an object of attributes", place);
  for (const auto& [name, value] : attributes->members()) {
    AttributeDeclaration attribute;
    attribute.name = name;
    attribute.place.pointer = step(place, name);
    WARY_ASSIGN_OR_RETURN(attribute.type, read_type(value, attribute.place.pointer, depth + 1, true));
    const Json* required = value.find("required");
    if (required != nullptr && !required->is_bool())
      return wrong_type("a boolean", step(attribute.place.pointer, "required"));
    attribute.is_required = required == nullptr || required->as_bool();
    WARY_RETURN_IF_ERROR(read_annotations(value, attribute.place.pointer, attribute.annotations));
    out.attributes.push_back(std::move(attribute));
  }
  return {};
}

Status read_named(const Json& json, const std::string& pointer, WrittenKind kind, TypeExpression& out) {
  WARY_ASSIGN_OR_RETURN(NameReference name, read_name(json.find("name"), step(pointer, "name")));
  if (kind == WrittenKind::kExtension && name.name.find("::") != std::string::npos) {
    return refuse("cedarschema_name", "not the name of an extension type", step(pointer, "name")).found(name.name);
  }
  out.kind = kind;
  out.name = std::move(name.name);
  return {};
}

// The kind of a type by its "type" member; anything else names a common type.
Status read_variant(const Json& json, const std::string& type, const std::string& pointer, std::size_t depth,
                    TypeExpression& out) {
  if (type == "Set") {
    const Json* element = json.find("element");
    if (element == nullptr) return wrong_type("the type of the elements", step(pointer, "element"));
    out.kind = WrittenKind::kSet;
    WARY_ASSIGN_OR_RETURN(TypeExpression inner, read_type(*element, step(pointer, "element"), depth + 1, false));
    out.element.push_back(std::move(inner));
    return {};
  }
  if (type == "Record") return read_record(json, pointer, depth, out);
  if (type == "Entity") return read_named(json, pointer, WrittenKind::kEntity, out);
  if (type == "EntityOrCommon") return read_named(json, pointer, WrittenKind::kEntityOrCommon, out);
  if (type == "Extension") return read_named(json, pointer, WrittenKind::kExtension, out);
  if (type == "Boolean") {
    out.kind = WrittenKind::kBool;
  } else if (type == "Long") {
    out.kind = WrittenKind::kLong;
  } else if (type == "String") {
    out.kind = WrittenKind::kString;
  } else {
    WARY_ASSIGN_OR_RETURN(NameReference name, read_name(json.find("type"), step(pointer, "type")));
    out.kind = WrittenKind::kCommon;
    out.name = std::move(name.name);
  }
  return {};
}

Status check_members(const Json& json, const std::string& type, const std::string& pointer, bool is_attribute,
                     bool is_common) {
  std::vector<std::string_view> known = {"type"};
  if (type == "Set") known.push_back("element");
  if (type == "Record") known.insert(known.end(), {"attributes", "additionalAttributes"});
  if (type == "Entity" || type == "EntityOrCommon" || type == "Extension") known.push_back("name");
  if (is_attribute) known.push_back("required");
  if (is_attribute || is_common) known.push_back("annotations");
  for (const auto& [name, value] : json.members()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return refuse("cedarschema_json_member", "an unknown member of a type", step(pointer, name)).found(name);
  }
  return {};
}

Result<TypeExpression> read_type(const Json& json, const std::string& pointer, std::size_t depth, bool is_attribute,
                                 bool is_common) {
  if (depth > kSchemaLimits.depth) {
    return refuse("cedarschema_depth", "the type is nested too deep", pointer)
        .expected("at most " + std::to_string(kSchemaLimits.depth) + " levels");
  }
  if (!json.is_object()) return wrong_type("a type: {\"type\": ...}", pointer);
  const Json* type = json.find("type");
  if (type == nullptr || !type->is_string()) return wrong_type("the kind or name of a type", step(pointer, "type"));
  WARY_RETURN_IF_ERROR(check_members(json, type->as_string(), pointer, is_attribute, is_common));
  TypeExpression out;
  out.place.pointer = pointer;
  WARY_RETURN_IF_ERROR(read_variant(json, type->as_string(), pointer, depth, out));
  return out;
}

Result<CommonTypeDeclaration> read_common(const std::string& name, const Json& json, const std::string& pointer) {
  CommonTypeDeclaration out;
  WARY_RETURN_IF_ERROR(check_declared(name, pointer));
  out.name = name;
  out.place.pointer = pointer;
  WARY_ASSIGN_OR_RETURN(out.type, read_type(json, pointer, 1, false, true));
  WARY_RETURN_IF_ERROR(read_annotations(json, pointer, out.annotations));
  return out;
}

Status read_choices(const Json& json, const std::string& pointer, EntityDeclaration& out) {
  WARY_RETURN_IF_ERROR(only_members(json, pointer, {"enum", "annotations"}));
  const Json& choices = *json.find("enum");
  const std::string place = step(pointer, "enum");
  out.is_enum = true;
  if (!choices.is_array() || choices.items().empty()) return wrong_type("a list of ids, not empty", place);
  for (const Json& choice : choices.items()) {
    if (!choice.is_string()) return wrong_type("ids as strings", place);
    out.choices.push_back(choice.as_string());
  }
  return {};
}

Result<EntityDeclaration> read_entity_type(const std::string& name, const Json& json, const std::string& pointer) {
  EntityDeclaration out;
  WARY_RETURN_IF_ERROR(check_declared(name, pointer));
  out.name = name;
  out.place.pointer = pointer;
  if (!json.is_object()) return wrong_type("an entity type", pointer);
  WARY_RETURN_IF_ERROR(read_annotations(json, pointer, out.annotations));
  if (json.find("enum") != nullptr) {
    WARY_RETURN_IF_ERROR(read_choices(json, pointer, out));
    return out;
  }
  WARY_RETURN_IF_ERROR(only_members(json, pointer, {"memberOfTypes", "shape", "tags", "annotations"}));
  if (const Json* parents = json.find("memberOfTypes")) {
    WARY_RETURN_IF_ERROR(read_names(parents, step(pointer, "memberOfTypes"), out.parents));
  }
  if (const Json* shape = json.find("shape")) {
    WARY_ASSIGN_OR_RETURN(out.shape, read_type(*shape, step(pointer, "shape"), 1, false));
  }
  if (const Json* tags = json.find("tags")) {
    WARY_ASSIGN_OR_RETURN(out.tags.emplace(), read_type(*tags, step(pointer, "tags"), 1, false));
  }
  return out;
}

Status read_parents(const Json& json, const std::string& pointer, ActionDeclaration& out) {
  std::vector<ActionReference>& parents = out.parents.emplace();
  if (!json.is_array()) return wrong_type("a list of actions", pointer);
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    const Json& item = json.items()[i];
    ActionReference parent;
    parent.place.pointer = step(pointer, std::to_string(i));
    if (!item.is_object()) return wrong_type("{\"id\", \"type\"?}", parent.place.pointer);
    WARY_RETURN_IF_ERROR(only_members(item, parent.place.pointer, {"id", "type"}));
    const Json* id = item.find("id");
    if (id == nullptr || !id->is_string()) return wrong_type("the action's name", step(parent.place.pointer, "id"));
    parent.id = id->as_string();
    if (const Json* type = item.find("type"); type != nullptr && !type->is_null()) {
      WARY_ASSIGN_OR_RETURN(NameReference name, read_name(type, step(parent.place.pointer, "type")));
      parent.type = std::move(name.name);
    }
    parents.push_back(std::move(parent));
  }
  return {};
}

Status read_applies_to(const Json& json, const std::string& pointer, ActionDeclaration& out) {
  if (!json.is_object()) return wrong_type("{\"principalTypes\", \"resourceTypes\", \"context\"?}", pointer);
  WARY_RETURN_IF_ERROR(only_members(json, pointer, {"principalTypes", "resourceTypes", "context"}));
  out.has_applies_to = true;
  WARY_RETURN_IF_ERROR(read_names(json.find("principalTypes"), step(pointer, "principalTypes"), out.principals));
  WARY_RETURN_IF_ERROR(read_names(json.find("resourceTypes"), step(pointer, "resourceTypes"), out.resources));
  if (const Json* context = json.find("context")) {
    WARY_ASSIGN_OR_RETURN(out.context, read_type(*context, step(pointer, "context"), 1, false));
  }
  return {};
}

Result<ActionDeclaration> read_action(const std::string& name, const Json& json, const std::string& pointer) {
  ActionDeclaration out;
  out.name = name;
  out.place.pointer = pointer;
  if (!json.is_object()) return wrong_type("an action", pointer);
  WARY_RETURN_IF_ERROR(only_members(json, pointer, {"appliesTo", "memberOf", "attributes", "annotations"}));
  if (json.find("attributes") != nullptr && !json.find("attributes")->is_null()) {
    return refuse("cedarschema_unsupported", "actions have no attributes", step(pointer, "attributes"));
  }
  WARY_RETURN_IF_ERROR(read_annotations(json, pointer, out.annotations));
  if (const Json* parents = json.find("memberOf"); parents != nullptr && !parents->is_null()) {
    WARY_RETURN_IF_ERROR(read_parents(*parents, step(pointer, "memberOf"), out));
  }
  if (const Json* applies = json.find("appliesTo"); applies != nullptr && !applies->is_null()) {
    WARY_RETURN_IF_ERROR(read_applies_to(*applies, step(pointer, "appliesTo"), out));
  }
  return out;
}

template <typename Declaration, typename Read>
Status read_all(const Json* json, const std::string& pointer, std::vector<Declaration>& out, const Read& read) {
  if (json == nullptr || !json->is_object()) return wrong_type("an object", pointer);
  for (const auto& [name, value] : json->members()) {
    WARY_ASSIGN_OR_RETURN(Declaration declaration, read(name, value, step(pointer, name)));
    out.push_back(std::move(declaration));
  }
  return {};
}

Result<NamespaceDeclaration> read_namespace(const std::string& name, const Json& json, const std::string& pointer) {
  NamespaceDeclaration out;
  out.name = name;
  out.place.pointer = pointer;
  if (!name.empty() && !is_path(name)) return refuse("cedarschema_name", "not a namespace", pointer).found(name);
  if (!json.is_object()) return wrong_type("{\"entityTypes\", \"actions\", \"commonTypes\"?}", pointer);
  WARY_RETURN_IF_ERROR(only_members(json, pointer, {"commonTypes", "entityTypes", "actions", "annotations"}));
  WARY_RETURN_IF_ERROR(read_annotations(json, pointer, out.annotations));
  if (name.empty() && !out.annotations.empty()) {
    return refuse("cedarschema_json_member", "annotations need a namespace with a name", step(pointer, "annotations"));
  }
  if (json.find("commonTypes") != nullptr) {
    WARY_RETURN_IF_ERROR(
        read_all(json.find("commonTypes"), step(pointer, "commonTypes"), out.common_types, read_common));
  }
  WARY_RETURN_IF_ERROR(
      read_all(json.find("entityTypes"), step(pointer, "entityTypes"), out.entity_types, read_entity_type));
  WARY_RETURN_IF_ERROR(read_all(json.find("actions"), step(pointer, "actions"), out.actions, read_action));
  return out;
}

}  // namespace

Result<Declarations> declarations_from_json(const Json& json) {
  if (!json.is_object()) return wrong_type("an object of namespaces", "");
  Declarations out;
  for (const auto& [name, value] : json.members()) {
    WARY_ASSIGN_OR_RETURN(NamespaceDeclaration space, read_namespace(name, value, step("", name)));
    out.namespaces.push_back(std::move(space));
  }
  return out;
}

}  // namespace wary::schema
