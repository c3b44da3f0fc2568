// The resolver's second half: entity types, actions, and what follows from their hierarchies.
#include <algorithm>

#include "codec/nearest.h"

#include "schema/resolver.h"

namespace wary::schema {

namespace {

void sort_unique(std::vector<std::uint32_t>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

}  // namespace

void Resolver::resolve_entities() {
  // Indices first: parents may be declared later. The map has them by name, which is the order of the schema.
  schema_.entity_types_.resize(entities_.size());
  std::uint32_t index = 0;
  for (const auto& [name, declaration] : entities_) {
    EntityType& type = schema_.entity_types_[index];
    type.name = name;
    type.index = index++;
    type.type = entity_type(name);
  }
  schema_.type_ancestors_ = Reach(entities_.size());
  for (const NamespaceDeclaration& space : declarations_.namespaces) {
    for (const EntityDeclaration& declaration : space.entity_types) resolve_entity(space, declaration);
  }
  schema_.type_ancestors_.close();
}

void Resolver::resolve_entity(const NamespaceDeclaration& space, const EntityDeclaration& declaration) {
  const EntityType* found = schema_.find_entity_type(qualified(space.name, declaration.name));
  if (found == nullptr) return;  // refused before
  EntityType& type = schema_.entity_types_[found->index];
  type.is_enum = declaration.is_enum;
  type.choices = declaration.choices;
  std::sort(type.choices.begin(), type.choices.end());
  type.choices.erase(std::unique(type.choices.begin(), type.choices.end()), type.choices.end());
  type.parents = resolve_types(declaration.parents, space.name);
  for (const std::uint32_t parent : type.parents) schema_.type_ancestors_.add(type.index, parent);
  if (TypePtr shape = resolve_whole_record(declaration.shape, space.name, "the shape of an entity type")) {
    type.attributes = shape->attributes;
  }
  if (declaration.tags) type.tags = resolve(*declaration.tags, space.name, 1);
}

std::vector<std::uint32_t> Resolver::resolve_types(const std::vector<NameReference>& names, std::string_view space) {
  std::vector<std::uint32_t> out;
  for (const NameReference& name : names) {
    const EntityType* found = nullptr;
    for (const std::string& meaning : meanings(name.name, space)) {
      if (found == nullptr) found = schema_.find_entity_type(meaning);
    }
    if (found != nullptr)
      out.push_back(found->index);
    else
      refuse_undefined(name.place, name.name, "no such entity type");
  }
  sort_unique(out);
  return out;
}

void Resolver::resolve_actions() {
  schema_.actions_.resize(actions_.size());
  std::uint32_t index = 0;
  for (const auto& [uid, declaration] : actions_) {
    Action& action = schema_.actions_[index];
    action.uid = std::make_shared<const cedar::EntityUid>(uid);
    action.index = index++;
    action.type = entity_type(uid.type);
  }
  schema_.action_ancestors_ = Reach(actions_.size());
  for (const NamespaceDeclaration& space : declarations_.namespaces) {
    for (const ActionDeclaration& declaration : space.actions) resolve_action(space, declaration);
  }
  schema_.action_ancestors_.close();
}

void Resolver::resolve_action(const NamespaceDeclaration& space, const ActionDeclaration& declaration) {
  const Action* found = schema_.find_action({qualified(space.name, "Action"), declaration.name});
  if (found == nullptr) return;
  Action& action = schema_.actions_[found->index];
  action.principals = resolve_types(declaration.principals, space.name);
  action.resources = resolve_types(declaration.resources, space.name);
  action.context = resolve_whole_record(declaration.context, space.name, "the context of an action");
  resolve_parents(declaration, space.name, action);
}

void Resolver::resolve_parents(const ActionDeclaration& declaration, std::string_view space, Action& out) {
  if (!declaration.parents) return;
  for (const ActionReference& parent : *declaration.parents) {
    const Action* found = nullptr;
    for (const std::string& type : meanings(parent.type.empty() ? "Action" : parent.type, space)) {
      if (found == nullptr) found = schema_.find_action({type, parent.id});
    }
    if (found != nullptr) {
      out.parents.push_back(found->index);
      schema_.action_ancestors_.add(out.index, found->index);
      continue;
    }
    std::vector<std::string_view> known;
    for (const Action& action : schema_.actions_) known.push_back(action.uid->id);
    const std::string near = codec::nearest(parent.id, known);
    refuse(parent.place, "cedarschema_undefined", "no such action", "`" + parent.id + "`",
           near.empty() ? std::string() : "did you mean `" + near + "`?");
  }
  sort_unique(out.parents);
}

void Resolver::check_action_cycles() {
  for (const auto& [uid, declaration] : actions_) {
    const Action& action = *schema_.find_action(uid);
    if (!schema_.is_beneath(action, action)) continue;
    refuse(declaration->place, "cedarschema_cycle", "an action that is in itself", uid.to_string(),
           "leave one of the groups out");
    return;
  }
}

void Resolver::make_environments() {
  std::size_t count = 0;
  for (const Action& action : schema_.actions_) count += action.principals.size() * action.resources.size();
  if (count > kEnvironmentsMax) {
    refuse({}, "cedarschema_size", "too many kinds of requests: principal types times resource types of every action",
           std::to_string(count));
    return;
  }
  schema_.environments_.reserve(count);
  for (const Action& action : schema_.actions_) {
    for (const std::uint32_t principal : action.principals) {
      for (const std::uint32_t resource : action.resources) {
        Environment environment;
        environment.principal = &schema_.entity_types_[principal];
        environment.action = &action;
        environment.resource = &schema_.entity_types_[resource];
        schema_.environments_.push_back(environment);
      }
    }
  }
}

void Resolver::make_action_entities() {
  for (const Action& action : schema_.actions_) {
    auto entity = std::make_shared<cedar::Entity>();
    entity->uid = action.uid;
    for (const Action& group : schema_.actions_) {
      if (schema_.is_beneath(action, group)) entity->parents.push_back(group.uid);
    }
    schema_.action_entities_.push_back(std::move(entity));
  }
}

}  // namespace wary::schema
