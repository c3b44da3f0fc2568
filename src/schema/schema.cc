#include "schema/schema.h"

#include <algorithm>
#include <map>

#include "schema/resolver.h"

namespace wary::schema {

void Reach::close() {
  if (words_ == 0) return;
  const std::size_t count = bits_.size() / words_;
  for (std::size_t middle = 0; middle < count; ++middle) {
    const std::uint64_t* through = &bits_[middle * words_];
    for (std::size_t from = 0; from < count; ++from) {
      if (!has(from, middle)) continue;
      std::uint64_t* row = &bits_[from * words_];
      for (std::size_t word = 0; word < words_; ++word) row[word] |= through[word];
    }
  }
}

SchemaResult Schema::from_text(std::string_view name, std::string_view text) {
  ParsedDeclarations parsed = parse_schema(cedar::Source::make(name, text));
  if (parsed.declarations) return resolve(*parsed.declarations);
  SchemaResult out;
  out.errors = std::move(parsed.errors);
  return out;
}

SchemaResult Schema::from_json(const codec::Json& json) {
  auto declarations = declarations_from_json(json);
  if (declarations.ok()) return resolve(*declarations);
  SchemaResult out;
  out.errors.emplace_back().error = std::move(declarations).error();
  return out;
}

SchemaResult Schema::resolve(const Declarations& declarations) { return Resolver(declarations).run(); }

const EntityType* Schema::find_entity_type(std::string_view name) const {
  const auto at = std::lower_bound(entity_types_.begin(), entity_types_.end(), name,
                                   [](const EntityType& type, std::string_view key) { return type.name < key; });
  return at != entity_types_.end() && at->name == name ? &*at : nullptr;
}

const Action* Schema::find_action(const cedar::EntityUid& uid) const {
  const auto at = std::lower_bound(actions_.begin(), actions_.end(), uid,
                                   [](const Action& action, const cedar::EntityUid& key) { return *action.uid < key; });
  return at != actions_.end() && *at->uid == uid ? &*at : nullptr;
}

namespace {

TypeExpression expression_of(const Type& type) {
  TypeExpression out;
  switch (type.kind) {
    case Type::Kind::kBool:
    case Type::Kind::kTrue:
    case Type::Kind::kFalse: out.kind = TypeExpression::Kind::kBool; break;
    case Type::Kind::kLong: out.kind = TypeExpression::Kind::kLong; break;
    case Type::Kind::kString: out.kind = TypeExpression::Kind::kString; break;
    case Type::Kind::kEntity:
      out.kind = TypeExpression::Kind::kEntityOrCommon;
      out.name = type.entity;
      break;
    case Type::Kind::kSet:
      out.kind = TypeExpression::Kind::kSet;
      out.element.push_back(expression_of(*type.element));
      break;
    case Type::Kind::kRecord:
      for (const Attribute& attribute : type.attributes) {
        out.attributes.push_back({attribute.name, expression_of(*attribute.type), attribute.is_required, {}, {}});
      }
      break;
    default: out.kind = TypeExpression::Kind::kExtension; out.name = type_keyword(type.kind);
  }
  return out;
}

std::vector<NameReference> names_of(const std::vector<std::uint32_t>& indices, const Schema& schema) {
  std::vector<NameReference> out;
  for (const std::uint32_t index : indices) out.push_back({schema.entity_types()[index].name, {}});
  return out;
}

EntityDeclaration declaration_of(const EntityType& type, const Schema& schema) {
  EntityDeclaration out;
  out.name = base_name(type.name);
  out.is_enum = type.is_enum;
  out.choices = type.choices;
  for (const EntityType& ancestor : schema.entity_types()) {
    if (schema.is_beneath(type, ancestor)) out.parents.push_back({ancestor.name, {}});
  }
  for (const Attribute& attribute : type.attributes) {
    out.shape.attributes.push_back({attribute.name, expression_of(*attribute.type), attribute.is_required, {}, {}});
  }
  if (type.tags != nullptr) out.tags = expression_of(*type.tags);
  return out;
}

ActionDeclaration declaration_of(const Action& action, const Schema& schema) {
  ActionDeclaration out;
  out.name = action.uid->id;
  for (const Action& group : schema.actions()) {
    if (!schema.is_beneath(action, group)) continue;
    if (!out.parents) out.parents.emplace();
    out.parents->push_back({group.uid->type, group.uid->id, {}});
  }
  out.has_applies_to = !action.principals.empty() && !action.resources.empty();
  out.principals = names_of(action.principals, schema);
  out.resources = names_of(action.resources, schema);
  out.context = expression_of(*action.context);
  return out;
}

}  // namespace

Declarations Schema::declarations() const {
  std::map<std::string, NamespaceDeclaration, std::less<>> spaces;
  const auto space_of = [&](std::string_view name) -> NamespaceDeclaration& {
    NamespaceDeclaration& space = spaces[std::string(namespace_of(name))];
    space.name = namespace_of(name);
    return space;
  };
  for (const EntityType& type : entity_types_) space_of(type.name).entity_types.push_back(declaration_of(type, *this));
  for (const Action& action : actions_) space_of(action.uid->type).actions.push_back(declaration_of(action, *this));
  Declarations out;
  for (auto& [name, space] : spaces) out.namespaces.push_back(std::move(space));
  return out;
}

bool operator==(const Schema& a, const Schema& b) {
  const auto same_type = [&](const EntityType& x, const EntityType& y) {
    Type left;
    Type right;
    left.kind = right.kind = Type::Kind::kRecord;
    left.attributes = x.attributes;
    right.attributes = y.attributes;
    const bool same_tags = (x.tags == nullptr) == (y.tags == nullptr) && (x.tags == nullptr || *x.tags == *y.tags);
    return x.name == y.name && x.is_enum == y.is_enum && x.choices == y.choices && x.parents == y.parents &&
           same_tags && left == right;
  };
  const auto same_action = [&](const Action& x, const Action& y) {
    return *x.uid == *y.uid && x.parents == y.parents && x.principals == y.principals && x.resources == y.resources &&
           *x.context == *y.context;
  };
  return std::equal(a.entity_types().begin(), a.entity_types().end(), b.entity_types().begin(), b.entity_types().end(),
                    same_type) &&
         std::equal(a.actions().begin(), a.actions().end(), b.actions().begin(), b.actions().end(), same_action);
}

std::string_view namespace_of(std::string_view name) {
  const std::size_t separator = name.rfind("::");
  return separator == std::string_view::npos ? std::string_view() : name.substr(0, separator);
}

std::string_view base_name(std::string_view name) {
  const std::size_t separator = name.rfind("::");
  return separator == std::string_view::npos ? name : name.substr(separator + 2);
}

bool is_action_type(std::string_view name) { return base_name(name) == "Action"; }

}  // namespace wary::schema
