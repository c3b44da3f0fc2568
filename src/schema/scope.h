// The scope of a policy against the schema: which principals, actions and resources it lets through. Private to
// schema/.
#pragma once

#include "schema/typechecker.h"

namespace wary::schema {

class Scope {
 public:
  // Borrows all three; `report` receives what is wrong with a list of actions.
  Scope(const Schema& schema, Hierarchy& hierarchy, const cedar::PolicyBody& body);

  // What cannot be told, because something is not declared, is let through to be typed.
  bool lets_principal(std::uint32_t type) const { return principals_[type]; }
  bool lets_resource(std::uint32_t type) const { return resources_[type]; }
  bool lets_action(std::uint32_t action) const { return is_undecided_ || actions_[action]; }
  // Nothing in the scope can be false for such a request.
  bool is_certain(const Environment& environment) const;
  // Lists of actions that are empty or of several types, which strict validation has no type for.
  void check_list(Report& report) const;
  // The actions cannot be told: such a list, or one that names an action which is not declared.
  bool is_undecided() const { return is_undecided_; }
  // Whether some action applies to what the scope asks for.
  bool is_applicable() const;

 private:
  std::vector<bool> types_of(const cedar::ScopeConstraint& constraint, bool lets_unknown) const;
  void find_actions();

  const Schema& schema_;
  Hierarchy& hierarchy_;
  const cedar::PolicyBody& body_;
  std::vector<bool> principals_;
  std::vector<bool> resources_;
  std::vector<bool> actions_;
  bool is_untyped_list_ = false;
  bool is_undecided_ = false;
};

}  // namespace wary::schema
