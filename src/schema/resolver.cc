#include "schema/resolver.h"

#include <algorithm>
#include <array>

#include "codec/nearest.h"

namespace wary::schema {

namespace {

using WrittenKind = TypeExpression::Kind;
constexpr std::size_t kDeclarationsMax = 10'000;
constexpr std::string_view kBuiltinSpace = "__cedar";

bool names_reserved_space(std::string_view name) {
  while (true) {
    const std::size_t separator = name.find("::");
    if (name.substr(0, separator) == kBuiltinSpace) return true;
    if (separator == std::string_view::npos) return false;
    name.remove_prefix(separator + 2);
  }
}

// Words of the JSON form, which a common type of that name could not be told from.
bool is_json_keyword(std::string_view name) {
  constexpr std::array<std::string_view, 8> kWords = {"Bool", "Boolean", "Entity", "Extension",
                                                      "Long", "Record",  "Set",    "String"};
  return std::find(kWords.begin(), kWords.end(), name) != kWords.end();
}

}  // namespace

void Resolver::refuse(const Place& place, std::string_view code, std::string_view message, std::string_view found,
                      std::string_view hint) {
  if (errors_.size() == kErrorsMax) return;
  cedar::Refusal refusal{std::string(code),  std::string(message), {},
                         std::string(found), std::string(hint),    place.span};
  if (declarations_.source != nullptr) {
    errors_.push_back(cedar::syntax_error(*declarations_.source, refusal));
    return;
  }
  cedar::SyntaxError error;
  error.error = fail(ErrorKind::kInvalid, code, message).found(found).next(hint).at(place.pointer);
  errors_.push_back(std::move(error));
}

void Resolver::refuse_undefined(const Place& place, std::string_view name, std::string_view what) {
  std::vector<std::string_view> known;
  for (const auto& [key, declaration] : entities_) known.push_back(key);
  for (const auto& [key, common] : commons_) known.push_back(key);
  for (const std::string_view word : {"Bool", "Long", "String", "ipaddr", "decimal", "datetime", "duration"})
    known.push_back(word);
  const std::string near = codec::nearest(name, known);
  refuse(place, "cedarschema_undefined", what, "`" + std::string(name) + "`",
         near.empty() ? std::string() : "did you mean `" + near + "`?");
}

std::string Resolver::qualified(std::string_view space, std::string_view name) const {
  return space.empty() ? std::string(name) : std::string(space) + "::" + std::string(name);
}

std::vector<std::string> Resolver::meanings(std::string_view name, std::string_view space) const {
  if (space.empty() || name.find("::") != std::string_view::npos) return {std::string(name)};
  return {qualified(space, name), std::string(name)};
}

void Resolver::collect() {
  std::size_t count = 0;
  std::set<std::string_view> spaces;
  for (const NamespaceDeclaration& space : declarations_.namespaces) {
    if (!spaces.insert(space.name).second) {
      refuse(space.place, "cedarschema_duplicate", "a namespace stands twice", space.name);
    }
    if (names_reserved_space(space.name)) {
      refuse(space.place, "cedar_reserved", "__cedar is reserved", space.name, "choose another name");
    }
    count += space.common_types.size() + space.entity_types.size() + space.actions.size();
    if (count > kDeclarationsMax) {
      refuse(space.place, "cedarschema_size", "too many declarations", std::to_string(count));
      return;
    }
    collect(space);
  }
}

void Resolver::collect(const NamespaceDeclaration& space) {
  constexpr std::string_view kTwice = "a name is declared twice";
  for (const CommonTypeDeclaration& common : space.common_types) {
    if (is_json_keyword(common.name)) {
      refuse(common.place, "cedar_reserved", "the name of a built-in type", common.name, "choose another name");
    } else if (!commons_.try_emplace(qualified(space.name, common.name), Common{&common, space.name, {}, {}}).second) {
      refuse(common.place, "cedarschema_duplicate", kTwice, common.name);
    }
  }
  for (const EntityDeclaration& entity : space.entity_types) {
    if (entity.name == "Action") {
      refuse(entity.place, "cedarschema_action_type", "Action is the type of actions", entity.name,
             "declare actions with `action`");
    } else if (!entities_.try_emplace(qualified(space.name, entity.name), &entity).second) {
      refuse(entity.place, "cedarschema_duplicate", kTwice, entity.name);
    }
  }
  const std::string type = qualified(space.name, "Action");
  if (!space.actions.empty()) action_types_.insert(type);
  for (const ActionDeclaration& action : space.actions) {
    if (!actions_.try_emplace(cedar::EntityUid{type, action.name}, &action).second) {
      refuse(action.place, "cedarschema_duplicate", kTwice, action.name);
    }
  }
}

// What stands in no namespace may not have the name of something in one: a name would change its meaning by being
// moved.
void Resolver::check_shadowing() {
  constexpr std::string_view kMessage = "a declaration in a namespace hides one of the same name outside of any";
  constexpr std::string_view kHint = "rename one of them, or put both into namespaces";
  const auto check = [&](const std::string& name, const Place& place) {
    if (namespace_of(name).empty()) return;
    const std::string base(base_name(name));
    if (commons_.count(base) > 0 || entities_.count(base) > 0) {
      refuse(place, "cedarschema_shadows", kMessage, "`" + name + "`", kHint);
    }
  };
  for (const auto& [name, common] : commons_) check(name, common.declaration->place);
  for (const auto& [name, entity] : entities_) check(name, entity->place);
  for (const auto& [uid, action] : actions_) {
    if (uid.type != "Action" && actions_.count({"Action", uid.id}) > 0) {
      refuse(action->place, "cedarschema_shadows", kMessage, uid.to_string(), kHint);
    }
  }
}

TypePtr Resolver::builtin(std::string_view name) const {
  if (name.starts_with("__cedar::")) {
    name.remove_prefix(kBuiltinSpace.size() + 2);
  } else if (entities_.count(name) > 0 || commons_.count(name) > 0) {
    return nullptr;
  }
  if (name == "Bool") return bool_type();
  if (name == "Long") return long_type();
  if (name == "String") return string_type();
  return extension_type(name);
}

TypePtr Resolver::entity_type(const std::string& name) {
  TypePtr& handle = entity_handles_[name];
  if (handle == nullptr) handle = make_entity_type(name);
  return handle;
}

TypePtr Resolver::resolve(const TypeExpression& type, std::string_view space, std::size_t depth) {
  switch (type.kind) {
    case WrittenKind::kBool: return bool_type();
    case WrittenKind::kLong: return long_type();
    case WrittenKind::kString: return string_type();
    case WrittenKind::kSet: {
      TypePtr element = resolve(type.element.front(), space, depth + 1);
      return element != nullptr ? make_set(std::move(element)) : nullptr;
    }
    case WrittenKind::kRecord: return resolve_record(type, space, depth);
    case WrittenKind::kExtension: {
      TypePtr extension = extension_type(type.name);
      if (extension == nullptr) {
        refuse(type.place, "cedarschema_undefined", "no such extension type", type.name,
               "ipaddr, decimal, datetime or duration");
      }
      return extension;
    }
    case WrittenKind::kEntity: return resolve_name(type, space, Wanted::kEntity, depth);
    case WrittenKind::kCommon: return resolve_name(type, space, Wanted::kCommon, depth);
    case WrittenKind::kEntityOrCommon: break;
  }
  return resolve_name(type, space, Wanted::kEither, depth);
}

TypePtr Resolver::resolve_record(const TypeExpression& type, std::string_view space, std::size_t depth) {
  std::vector<Attribute> attributes;
  attributes.reserve(type.attributes.size());
  for (const AttributeDeclaration& attribute : type.attributes) {
    TypePtr resolved = resolve(attribute.type, space, depth + 1);
    if (resolved == nullptr) return nullptr;
    attributes.push_back({attribute.name, std::move(resolved), attribute.is_required});
  }
  TypePtr record = make_record(std::move(attributes));
  if (record->nodes <= kTypeNodes && record->depth <= kTypeDepth) return record;
  refuse(type.place, "cedarschema_size", "a type that is too large when its common types are written out");
  return nullptr;
}

TypePtr Resolver::resolve_name(const TypeExpression& type, std::string_view space, Wanted wanted, std::size_t depth) {
  for (const std::string& name : meanings(type.name, space)) {
    if (wanted != Wanted::kEntity) {
      if (commons_.count(name) > 0) return resolve_common(name, type.place, depth);
      if (TypePtr found = builtin(name)) return found;
    }
    if (wanted != Wanted::kCommon && (entities_.count(name) > 0 || action_types_.count(name) > 0)) {
      return entity_type(name);
    }
  }
  refuse_undefined(type.place, type.name,
                   wanted == Wanted::kEntity   ? "no such entity type"
                   : wanted == Wanted::kCommon ? "no such common type"
                                               : "no such type");
  return nullptr;
}

TypePtr Resolver::resolve_common(const std::string& name, const Place& place, std::size_t depth) {
  Common& common = commons_.find(name)->second;
  if (common.state == Common::State::kDone) return common.type;
  if (common.state == Common::State::kOpen) {
    refuse(place, "cedarschema_cycle", "a common type that contains itself", "`" + name + "`",
           "only entities may refer back: make one of the types an entity type");
    return nullptr;
  }
  // Types nest so deep at most, so a longer way here cannot end in a type that is allowed.
  if (depth > 2 * kTypeDepth) {
    refuse(place, "cedarschema_size", "common types that refer to each other too deep");
    return nullptr;
  }
  common.state = Common::State::kOpen;
  common.type = resolve(common.declaration->type, common.space, depth + 1);
  if (common.type != nullptr && (common.type->nodes > kTypeNodes || common.type->depth > kTypeDepth)) {
    refuse(common.declaration->place, "cedarschema_size",
           "a type that is too large when its common types are written out");
    common.type = nullptr;
  }
  common.state = Common::State::kDone;
  return common.type;
}

TypePtr Resolver::resolve_whole_record(const TypeExpression& type, std::string_view space, std::string_view what) {
  TypePtr resolved = resolve(type, space, 1);
  if (resolved == nullptr || resolved->kind == Type::Kind::kRecord) return resolved;
  refuse(type.place, "cedarschema_not_record", std::string(what) + " is a record", to_string(*resolved));
  return nullptr;
}

SchemaResult Resolver::run() {
  SchemaResult out;
  collect();
  check_shadowing();
  if (errors_.empty()) {
    for (auto& [name, common] : commons_) {
      if (common.state == Common::State::kUnseen) resolve_common(name, common.declaration->place, 0);
    }
    resolve_entities();
    resolve_actions();
  }
  if (errors_.empty()) check_action_cycles();
  if (errors_.empty()) make_environments();
  if (errors_.empty()) {
    make_action_entities();
    out.schema = std::move(schema_);
  }
  out.errors = std::move(errors_);
  return out;
}

}  // namespace wary::schema
