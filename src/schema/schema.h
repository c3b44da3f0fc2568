// Schema: what a policy may speak of, with every name resolved: entity types with their attributes and tags, actions
// with the types they apply to, the hierarchies of both, and the request environments that follow from them.
//
//   SchemaResult made = Schema::from_text("app.cedarschema", text);
//   if (!made.schema) print(made.errors[0].error.to_string(), made.errors[0].caret);
//   const EntityType* user = made.schema->find_entity_type("App::User");
//   for (const Environment& environment : made.schema->environments()) ...
//
// Immutable; any thread; movable, and what it hands out stays where it is until it is destroyed. Limits: those of
// declarations.h, 10,000 entity types and as many actions, 1,000,000 environments.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cedar/entities.h"
#include "schema/declarations.h"
#include "schema/type.h"

namespace wary::schema {

constexpr std::size_t kEnvironmentsMax = 1'000'000;

struct EntityType {
  std::string name;                    // "App::User"
  std::uint32_t index = 0;             // into Schema::entity_types()
  bool is_enum = false;                // its ids are `choices` and no other
  std::vector<std::string> choices;    // sorted
  std::vector<Attribute> attributes;   // sorted by name
  TypePtr tags;                        // the type of every tag; null: it has none
  std::vector<std::uint32_t> parents;  // declared with `in`, sorted
  TypePtr type;                        // of an entity of this type

  const Attribute* find(std::string_view attribute) const { return find_attribute(attributes, attribute); }
};

struct Action {
  cedar::EntityPtr uid;
  std::uint32_t index = 0;                // into Schema::actions()
  std::vector<std::uint32_t> parents;     // declared with `in`, sorted
  std::vector<std::uint32_t> principals;  // entity types it applies to, sorted
  std::vector<std::uint32_t> resources;
  TypePtr context;  // a record
  TypePtr type;     // of its entity type, "App::Action"
};

// One kind of request. Borrows from the schema.
struct Environment {
  const EntityType* principal = nullptr;
  const Action* action = nullptr;
  const EntityType* resource = nullptr;
};

// Which of n things are beneath which: one bit for each pair.
class Reach {
 public:
  Reach() = default;
  explicit Reach(std::size_t count) : words_((count + 63) / 64), bits_(words_ * count) {}
  bool has(std::size_t from, std::size_t to) const { return (bits_[from * words_ + to / 64] >> (to % 64) & 1) != 0; }
  void add(std::size_t from, std::size_t to) { bits_[from * words_ + to / 64] |= std::uint64_t{1} << (to % 64); }
  void close();  // transitively

 private:
  std::size_t words_ = 0;
  std::vector<std::uint64_t> bits_;
};

struct SchemaResult;

class Schema {
 public:
  // Errors of the text or JSON (declarations.h), and: cedarschema_undefined, cedarschema_duplicate, cedar_reserved,
  // cedarschema_shadows, cedarschema_cycle, cedarschema_not_record, cedarschema_action_type, cedarschema_size. Of the
  // JSON form the span is empty and `where` of the error is a JSON pointer.
  static SchemaResult from_text(std::string_view name, std::string_view text);
  static SchemaResult from_json(const codec::Json& json);
  static SchemaResult resolve(const Declarations& declarations);

  Schema(Schema&&) noexcept = default;
  Schema& operator=(Schema&&) noexcept = default;

  const std::vector<EntityType>& entity_types() const { return entity_types_; }  // sorted by name
  const std::vector<Action>& actions() const { return actions_; }                // sorted by type, then id
  const std::vector<Environment>& environments() const { return environments_; }
  const EntityType* find_entity_type(std::string_view name) const;
  const Action* find_action(const cedar::EntityUid& uid) const;

  // Whether an entity of `type` may be in one of `ancestor`, the same type included only where the schema allows it.
  bool is_beneath(const EntityType& type, const EntityType& ancestor) const {
    return type_ancestors_.has(type.index, ancestor.index);
  }
  // Whether the action is in the group, itself excluded.
  bool is_beneath(const Action& action, const Action& group) const {
    return action_ancestors_.has(action.index, group.index);
  }
  // The actions as entities, each with all its groups as parents: what a store must hold.
  const std::vector<cedar::EntityHandle>& action_entities() const { return action_entities_; }

  // The schema as declarations again, with common types inlined and names sorted.
  Declarations declarations() const;

 private:
  friend class Resolver;
  Schema() = default;

  std::vector<EntityType> entity_types_;
  std::vector<Action> actions_;
  std::vector<Environment> environments_;
  std::vector<cedar::EntityHandle> action_entities_;
  Reach type_ancestors_;
  Reach action_ancestors_;
};

struct SchemaResult {
  std::optional<Schema> schema;  // when there is no error
  std::vector<cedar::SyntaxError> errors;
};

// Equal: the same types, actions and hierarchies.
bool operator==(const Schema& a, const Schema& b);

// "App" of "App::User", "" of "User"; and the other half.
std::string_view namespace_of(std::string_view name);
std::string_view base_name(std::string_view name);
// Whether the last part of an entity type's name is Action.
bool is_action_type(std::string_view name);

}  // namespace wary::schema
