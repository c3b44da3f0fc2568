// The resolver: declarations to a schema. Private to schema/.
//
// A name in namespace N without `::` means N::name, else the name in no namespace; a common type goes before an entity
// type of one name. The built-in types are common types of the namespace __cedar, and of none where nothing declared
// has their name.
#pragma once

#include <map>
#include <set>

#include "schema/schema.h"

namespace wary::schema {

class Resolver {
 public:
  explicit Resolver(const Declarations& declarations) : declarations_(declarations) {}
  SchemaResult run();

 private:
  struct Common {
    const CommonTypeDeclaration* declaration = nullptr;
    std::string_view space;
    enum class State { kUnseen, kOpen, kDone } state = State::kUnseen;
    TypePtr type;
  };
  enum class Wanted { kCommon, kEntity, kEither };

  void collect();
  void collect(const NamespaceDeclaration& space);
  void check_shadowing();
  void resolve_entities();
  void resolve_entity(const NamespaceDeclaration& space, const EntityDeclaration& declaration);
  void resolve_actions();
  void resolve_action(const NamespaceDeclaration& space, const ActionDeclaration& declaration);
  std::vector<std::uint32_t> resolve_types(const std::vector<NameReference>& names, std::string_view space);
  void resolve_parents(const ActionDeclaration& declaration, std::string_view space, Action& out);
  void check_action_cycles();
  void make_environments();
  void make_action_entities();

  // Null after an error was noted.
  TypePtr resolve(const TypeExpression& type, std::string_view space, std::size_t depth);
  TypePtr resolve_record(const TypeExpression& type, std::string_view space, std::size_t depth);
  TypePtr resolve_name(const TypeExpression& type, std::string_view space, Wanted wanted, std::size_t depth);
  TypePtr resolve_common(const std::string& name, const Place& place, std::size_t depth);
  TypePtr resolve_whole_record(const TypeExpression& type, std::string_view space, std::string_view what);
  TypePtr builtin(std::string_view name) const;
  TypePtr entity_type(const std::string& name);

  // "N::name" and "name", or the name alone where it says its namespace.
  std::vector<std::string> meanings(std::string_view name, std::string_view space) const;
  std::string qualified(std::string_view space, std::string_view name) const;

  void refuse(const Place& place, std::string_view code, std::string_view message, std::string_view found = {},
              std::string_view hint = {});
  void refuse_undefined(const Place& place, std::string_view name, std::string_view what);

  const Declarations& declarations_;
  std::vector<cedar::SyntaxError> errors_;
  std::map<std::string, Common, std::less<>> commons_;
  std::map<std::string, const EntityDeclaration*, std::less<>> entities_;
  std::map<cedar::EntityUid, const ActionDeclaration*> actions_;
  std::set<std::string, std::less<>> action_types_;
  std::map<std::string, TypePtr, std::less<>> entity_handles_;
  Schema schema_;
};

}  // namespace wary::schema
