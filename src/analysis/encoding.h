// Cedar in the solver's words: sorts for types, terms for values, what is true of every store. Private to analysis/,
// and with compiler.h the only headers that include Z3.
//
// An entity is an element of an uninterpreted sort, one a type, with a constant for each id that policies name; of an
// enumeration where the schema lists the ids. Attributes are functions of it, one for each leaf of a record and one
// that says whether an optional attribute is there. Ancestors are a function to sets, one for each pair of types that
// the schema lets be in each other. Longs are 64-bit vectors, strings sequences, sets arrays to Bool, an address one
// vector of family, prefix and bits.
//
// What cannot be encoded throws Unsupported, inside of the worker only.
#pragma once

#include <z3++.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "schema/schema.h"

namespace wary::analysis {

struct Unsupported {
  std::string what;
};

struct Field;
struct Term {
  schema::TypePtr type;
  z3::expr value;             // meaningless for a record
  std::vector<Field> fields;  // of a record, as its type orders them
  // Of a set that was written out: its elements, for `value` is an array made of them.
  std::optional<std::vector<Term>> elements;
  Term(schema::TypePtr of, z3::expr with);
  const Field* find(std::string_view name) const;
};
struct Field {
  std::string name;
  z3::expr is_present;
  Term term;
};
// Where a field is complete: what a term holds is destroyed here if this throws.
inline Term::Term(schema::TypePtr of, z3::expr with) : type(std::move(of)), value(std::move(with)) {}

class Encoding {
 public:
  Encoding(z3::context& context, const schema::Schema& schema) : context_(context), schema_(schema) {}

  z3::context& context() { return context_; }
  const schema::Schema& schema() const { return schema_; }
  z3::expr boolean(bool value) { return context_.bool_val(value); }

  // What a request has: one constant for each leaf.
  Term variable(const std::string& name, const schema::TypePtr& type);
  Term entity(const cedar::EntityUid& uid);
  Term literal(const cedar::Value& value);  // boolean, long, string, entity, extension
  // An attribute of an entity that has it, and whether it has it.
  Term attribute(const Term& entity, const schema::Attribute& attribute);
  z3::expr has_attribute(const Term& entity, const schema::Attribute& attribute);
  Term tag(const Term& entity, const Term& key);
  z3::expr has_tag(const Term& entity, const Term& key);
  z3::expr tag_keys(const std::string& type, const z3::expr& entity);  // a set of strings

  z3::expr equal(const Term& a, const Term& b);
  Term choose(const z3::expr& condition, const Term& then_term, const Term& else_term);
  Term make_set(const schema::TypePtr& type, std::vector<Term> elements);
  z3::expr contains(const Term& set, const Term& element);
  z3::expr contains_all(const Term& set, const Term& other);
  z3::expr contains_any(const Term& set, const Term& other);
  z3::expr is_empty(const Term& set);
  z3::expr is_in(const Term& entity, const Term& ancestor);
  z3::expr is_in_any(const Term& entity, const Term& set);

  // Of a division that rounds down: at least 0, less than the divisor.
  z3::expr remainder(const z3::expr& number, std::int64_t divisor);

  // What holds in every store, of the terms met so far. Once, at the end.
  std::vector<z3::expr> facts();

  // For reading a model.
  z3::sort sort_of(const schema::Type& type);
  const std::map<std::string, std::map<std::string, z3::expr>>& named_entities() const { return named_; }
  const std::map<std::string, std::vector<z3::expr>>& members() const { return members_; }
  const std::vector<z3::expr>& elements() const { return elements_; }  // that sets were asked for
  bool knows(const std::string& function) const { return functions_.contains(function); }
  bool has_ancestors(const std::string& from, const std::string& to) const {
    return functions_.contains(ancestors_name(from, to));
  }
  z3::expr ancestors(const std::string& from, const std::string& to, const z3::expr& entity);
  bool is_listed(const std::string& type) const;  // its ids are known: enumerations and actions
  // Of an entity type or of a record of that name; the length keeps `a.b` apart from b of a.
  static std::string attribute_name(const std::string& owner, const std::string& name) {
    return owner + "." + std::to_string(name.size()) + ":" + name;
  }
  static std::string tag_name(const std::string& type) { return type + "#tag"; }
  z3::expr default_of(const z3::sort& sort);

 private:
  static std::string ancestors_name(const std::string& from, const std::string& to) { return from + " in " + to; }
  const std::vector<std::string>& listed(const std::string& type);
  bool may_be_in(const std::string& type, const std::string& ancestor) const;
  z3::expr apply(const std::string& name, const z3::expr_vector& arguments, const z3::sort& range);
  Term leaves(const std::string& name, const schema::TypePtr& type, const z3::expr_vector& arguments);
  z3::expr packed(const Term& term);
  void meet(const Term& term);
  void add_member(const std::string& type, const z3::expr& entity);
  z3::expr action_is_in(const Term& entity, const Term& ancestor);
  z3::expr intersects(const z3::expr& a, const z3::expr& b, const schema::Type& element);
  void add_hierarchy_facts();

  z3::context& context_;
  const schema::Schema& schema_;
  std::map<std::string, z3::sort> sorts_;                         // of entity types
  std::vector<std::pair<schema::Type, z3::sort>> tuples_;         // of records inside of sets
  std::vector<z3::func_decl> tuple_makers_;                       // beside tuples_
  std::map<std::string, std::vector<std::string>> listed_;        // ids of enumerations
  std::map<std::string, std::map<std::string, z3::expr>> named_;  // by type and id
  std::map<std::string, z3::func_decl> functions_;                // by name
  std::map<std::string, std::vector<z3::expr>> members_;          // by type: terms on either side of `in`
  std::set<std::pair<std::string, unsigned>> seen_members_;
  std::set<unsigned> met_;
  std::vector<z3::expr> facts_;
  std::vector<z3::expr> elements_;
  unsigned fresh_ = 0;
};

// Booleans that are known fold, so that what the schema decides is seen.
z3::expr both(const z3::expr& a, const z3::expr& b);
z3::expr either(const z3::expr& a, const z3::expr& b);
z3::expr negated(const z3::expr& a);

}  // namespace wary::analysis
