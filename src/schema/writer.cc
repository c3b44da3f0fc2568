// Both forms of a schema: writing them.
#include <algorithm>

#include "schema/declarations.h"

namespace wary::schema {

namespace {

using codec::Json;
using WrittenKind = TypeExpression::Kind;

Json annotations_json(const std::vector<cedar::Annotation>& annotations) {
  Json out = Json::object();
  for (const cedar::Annotation& annotation : annotations)
    out.members().emplace_back(annotation.name, Json(annotation.value.value_or("")));
  return out;
}

void add_annotations(Json& out, const std::vector<cedar::Annotation>& annotations) {
  if (!annotations.empty()) out.members().emplace_back("annotations", annotations_json(annotations));
}

Json type_json(const TypeExpression& type) {
  const auto named = [&](std::string_view kind) {
    return Json::object({{"type", Json(kind)}, {"name", Json(type.name)}});
  };
  switch (type.kind) {
    case WrittenKind::kBool: return Json::object({{"type", Json("Boolean")}});
    case WrittenKind::kLong: return Json::object({{"type", Json("Long")}});
    case WrittenKind::kString: return Json::object({{"type", Json("String")}});
    case WrittenKind::kSet: return Json::object({{"type", Json("Set")}, {"element", type_json(type.element.front())}});
    case WrittenKind::kExtension: return named("Extension");
    case WrittenKind::kEntity: return named("Entity");
    case WrittenKind::kEntityOrCommon: return named("EntityOrCommon");
    case WrittenKind::kCommon: return Json::object({{"type", Json(type.name)}});
    case WrittenKind::kRecord: break;
  }
  Json attributes = Json::object();
  for (const AttributeDeclaration& attribute : type.attributes) {
    Json member = type_json(attribute.type);
    if (!attribute.is_required) member.members().emplace_back("required", Json(false));
    add_annotations(member, attribute.annotations);
    attributes.members().emplace_back(attribute.name, std::move(member));
  }
  return Json::object({{"type", Json("Record")}, {"attributes", std::move(attributes)}});
}

Json names_json(const std::vector<NameReference>& names) {
  Json out = Json::array();
  for (const NameReference& name : names) out.push(Json(name.name));
  return out;
}

Json entity_json(const EntityDeclaration& entity) {
  Json out = Json::object();
  if (entity.is_enum) {
    Json choices = Json::array();
    for (const std::string& choice : entity.choices) choices.push(Json(choice));
    out.set("enum", std::move(choices));
  } else {
    if (!entity.parents.empty()) out.set("memberOfTypes", names_json(entity.parents));
    if (!entity.shape.is_empty_record()) out.set("shape", type_json(entity.shape));
    if (entity.tags) out.set("tags", type_json(*entity.tags));
  }
  add_annotations(out, entity.annotations);
  return out;
}

Json action_json(const ActionDeclaration& action) {
  Json applies = Json::object(
      {{"resourceTypes", names_json(action.resources)}, {"principalTypes", names_json(action.principals)}});
  if (!action.context.is_empty_record()) applies.set("context", type_json(action.context));
  Json out = Json::object({{"appliesTo", std::move(applies)}});
  if (action.parents) {
    Json parents = Json::array();
    for (const ActionReference& parent : *action.parents) {
      Json item = Json::object({{"id", Json(parent.id)}});
      if (!parent.type.empty()) item.set("type", Json(parent.type));
      parents.push(std::move(item));
    }
    out.set("memberOf", std::move(parents));
  }
  add_annotations(out, action.annotations);
  return out;
}

void append_annotations(std::string& out, const std::vector<cedar::Annotation>& annotations,
                        const std::string& indent) {
  for (const cedar::Annotation& annotation : annotations) {
    out += indent + "@" + annotation.name;
    if (annotation.value) {
      out += '(';
      cedar::append_string_literal(out, *annotation.value);
      out += ')';
    }
    out += '\n';
  }
}

void append_type(std::string& out, const TypeExpression& type, const std::string& indent) {
  switch (type.kind) {
    case WrittenKind::kBool: out += "__cedar::Bool"; return;
    case WrittenKind::kLong: out += "__cedar::Long"; return;
    case WrittenKind::kString: out += "__cedar::String"; return;
    case WrittenKind::kExtension: out += "__cedar::" + type.name; return;
    case WrittenKind::kEntity:
    case WrittenKind::kCommon:
    case WrittenKind::kEntityOrCommon: out += type.name; return;
    case WrittenKind::kSet:
      out += "Set<";
      append_type(out, type.element.front(), indent);
      out += '>';
      return;
    case WrittenKind::kRecord: break;
  }
  if (type.attributes.empty()) {
    out += "{}";
    return;
  }
  const std::string inner = indent + "  ";
  out += "{\n";
  for (std::size_t i = 0; i < type.attributes.size(); ++i) {
    const AttributeDeclaration& attribute = type.attributes[i];
    append_annotations(out, attribute.annotations, inner);
    out += inner;
    if (cedar::is_identifier(attribute.name))
      out += attribute.name;
    else
      cedar::append_string_literal(out, attribute.name);
    out += attribute.is_required ? ": " : "?: ";
    append_type(out, attribute.type, inner);
    out += i + 1 < type.attributes.size() ? ",\n" : "\n";
  }
  out += indent + "}";
}

void append_names(std::string& out, const std::vector<NameReference>& names) {
  out += '[';
  for (std::size_t i = 0; i < names.size(); ++i) out += (i > 0 ? ", " : "") + names[i].name;
  out += ']';
}

void append_entity(std::string& out, const EntityDeclaration& entity, const std::string& indent) {
  append_annotations(out, entity.annotations, indent);
  out += indent + "entity " + entity.name;
  if (entity.is_enum) {
    out += " enum [";
    for (std::size_t i = 0; i < entity.choices.size(); ++i) {
      if (i > 0) out += ", ";
      cedar::append_string_literal(out, entity.choices[i]);
    }
    out += "];\n";
    return;
  }
  if (!entity.parents.empty()) {
    out += " in ";
    append_names(out, entity.parents);
  }
  if (!entity.shape.is_empty_record()) {
    out += " = ";
    append_type(out, entity.shape, indent);
  }
  if (entity.tags) {
    out += " tags ";
    append_type(out, *entity.tags, indent);
  }
  out += ";\n";
}

void append_parents(std::string& out, const std::vector<ActionReference>& parents) {
  out += " in [";
  for (std::size_t i = 0; i < parents.size(); ++i) {
    if (i > 0) out += ", ";
    if (!parents[i].type.empty()) out += parents[i].type + "::";
    cedar::append_string_literal(out, parents[i].id);
  }
  out += ']';
}

void append_action(std::string& out, const ActionDeclaration& action, const std::string& indent) {
  append_annotations(out, action.annotations, indent);
  out += indent + "action ";
  cedar::append_string_literal(out, action.name);
  if (action.parents && !action.parents->empty()) append_parents(out, *action.parents);
  // A list without types means the same as no appliesTo, and only that can be written.
  if (!action.principals.empty() && !action.resources.empty()) {
    const std::string inner = indent + "  ";
    out += " appliesTo {\n" + inner + "principal: ";
    append_names(out, action.principals);
    out += ",\n" + inner + "resource: ";
    append_names(out, action.resources);
    out += ",\n" + inner + "context: ";
    append_type(out, action.context, inner);
    out += "\n" + indent + "}";
  }
  out += ";\n";
}

Status check_expressible(const NamespaceDeclaration& space) {
  const auto refuse = [&](const std::string& name, std::string_view message) {
    return fail(ErrorKind::kUnsupported, "cedarschema_inexpressible", message)
        .at(space.name + (space.name.empty() ? "" : "::") + name);
  };
  for (const EntityDeclaration& entity : space.entity_types) {
    if (!entity.is_enum && entity.shape.kind != WrittenKind::kRecord) {
      return refuse(entity.name, "the text form writes the attributes of an entity type out, not as a common type");
    }
    const auto is_same = [&](const CommonTypeDeclaration& common) { return common.name == entity.name; };
    if (!space.name.empty() && std::any_of(space.common_types.begin(), space.common_types.end(), is_same)) {
      return refuse(entity.name, "an entity type and a common type of one name cannot be told apart in the text form");
    }
  }
  return {};
}

void append_namespace(std::string& out, const NamespaceDeclaration& space) {
  const bool is_named = !space.name.empty();
  const std::string indent = is_named ? "  " : "";
  append_annotations(out, space.annotations, "");
  if (is_named) out += "namespace " + space.name + " {\n";
  bool is_first = true;
  const auto separate = [&] {
    if (!is_first) out += '\n';
    is_first = false;
  };
  for (const CommonTypeDeclaration& common : space.common_types) {
    separate();
    append_annotations(out, common.annotations, indent);
    out += indent + "type " + common.name + " = ";
    append_type(out, common.type, indent);
    out += ";\n";
  }
  for (const EntityDeclaration& entity : space.entity_types) {
    separate();
    append_entity(out, entity, indent);
  }
  for (const ActionDeclaration& action : space.actions) {
    separate();
    append_action(out, action, indent);
  }
  if (is_named) out += "}\n";
}

}  // namespace

Json to_json(const Declarations& declarations) {
  Json out = Json::object();
  for (const NamespaceDeclaration& space : declarations.namespaces) {
    Json body = Json::object();
    if (!space.common_types.empty()) {
      Json commons = Json::object();
      for (const CommonTypeDeclaration& common : space.common_types) {
        Json type = type_json(common.type);
        add_annotations(type, common.annotations);
        commons.members().emplace_back(common.name, std::move(type));
      }
      body.set("commonTypes", std::move(commons));
    }
    Json entities = Json::object();
    for (const EntityDeclaration& entity : space.entity_types)
      entities.members().emplace_back(entity.name, entity_json(entity));
    Json actions = Json::object();
    for (const ActionDeclaration& action : space.actions)
      actions.members().emplace_back(action.name, action_json(action));
    body.set("entityTypes", std::move(entities));
    body.set("actions", std::move(actions));
    add_annotations(body, space.annotations);
    out.members().emplace_back(space.name, std::move(body));
  }
  return out;
}

Result<std::string> to_text(const Declarations& declarations) {
  std::string out;
  for (const NamespaceDeclaration& space : declarations.namespaces) {
    WARY_RETURN_IF_ERROR(check_expressible(space));
    if (!out.empty()) out += '\n';
    append_namespace(out, space);
  }
  return out;
}

}  // namespace wary::schema
