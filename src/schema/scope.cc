#include "schema/scope.h"

#include <algorithm>

namespace wary::schema {

using cedar::ScopeConstraint;
using Constraint = ScopeConstraint::Kind;

Scope::Scope(const Schema& schema, Hierarchy& hierarchy, const cedar::PolicyBody& body)
    : schema_(schema),
      hierarchy_(hierarchy),
      body_(body),
      principals_(types_of(body.principal, true)),
      resources_(types_of(body.resource, true)) {
  find_actions();
}

std::vector<bool> Scope::types_of(const ScopeConstraint& constraint, bool lets_unknown) const {
  // A slot may be filled with something of the variable's own type, which is what it asks for.
  const std::string* target =
      constraint.is_slot || constraint.entities.empty() ? nullptr : &constraint.entities.front()->type;
  if (target != nullptr && lets_unknown) {
    const bool is_known = is_action_type(*target) ? schema_.find_action(*constraint.entities.front()) != nullptr
                                                  : schema_.find_entity_type(*target) != nullptr;
    if (!is_known) target = nullptr;
  }
  const auto lets = [&](const EntityType& type) {
    switch (constraint.kind) {
      case Constraint::kAny: return true;
      case Constraint::kEqual: return target == nullptr || *target == type.name;
      case Constraint::kIn: return target == nullptr || hierarchy_.may_be_in(type.name, *target);
      case Constraint::kIs: return constraint.type == type.name;
      case Constraint::kIsIn: break;
    }
    return constraint.type == type.name && (target == nullptr || hierarchy_.may_be_in(type.name, *target));
  };
  std::vector<bool> out(schema_.entity_types().size());
  for (const EntityType& type : schema_.entity_types()) out[type.index] = lets(type);
  return out;
}

void Scope::find_actions() {
  const ScopeConstraint& constraint = body_.action;
  actions_.assign(schema_.actions().size(), constraint.kind == Constraint::kAny);
  if (constraint.kind == Constraint::kAny) return;
  for (const cedar::EntityPtr& uid : constraint.entities) {
    const Action* named = schema_.find_action(*uid);
    if (named == nullptr) {  // reported by the validator
      is_undecided_ = constraint.kind == Constraint::kIn;
      if (is_undecided_) actions_.assign(actions_.size(), false);
      if (is_undecided_) return;
      continue;
    }
    actions_[named->index] = true;
    if (constraint.kind != Constraint::kIn) continue;
    for (const Action& action : schema_.actions()) {
      if (schema_.is_beneath(action, *named)) actions_[action.index] = true;
    }
  }
  if (!constraint.is_list) return;
  is_untyped_list_ = constraint.entities.empty();
  for (const cedar::EntityPtr& uid : constraint.entities) {
    is_untyped_list_ = is_untyped_list_ || uid->type != constraint.entities.front()->type;
  }
  is_undecided_ = is_untyped_list_;
}

void Scope::check_list(Report& report) const {
  const ScopeConstraint& list = body_.action;
  const auto is_typed = [&](const Action& action) {
    const auto lets = [&](std::uint32_t type) { return principals_[type]; };
    return !action.resources.empty() && std::any_of(action.principals.begin(), action.principals.end(), lets);
  };
  if (!is_untyped_list_ || std::none_of(schema_.actions().begin(), schema_.actions().end(), is_typed)) return;
  if (list.entities.empty()) {
    report.add(FindingKind::kEmptySetForbidden, list.span, "an empty list of actions", "at least one action", "[]",
               "a policy for every action names none");
    return;
  }
  const std::string& first = list.entities.front()->type;
  for (const cedar::EntityPtr& uid : list.entities) {
    if (uid->type == first) continue;
    report.add(FindingKind::kIncompatibleTypes, list.span, "actions of different namespaces in one list", first,
               uid->type, "write one policy for each namespace");
    return;
  }
}

bool Scope::is_certain(const Environment& environment) const {
  const auto certain = [](const ScopeConstraint& constraint) {
    return constraint.kind == Constraint::kAny || constraint.kind == Constraint::kIs;
  };
  return certain(body_.principal) && certain(body_.resource) && !is_undecided_ && actions_[environment.action->index];
}

bool Scope::is_applicable() const {
  const std::vector<bool> principals = types_of(body_.principal, false);
  const std::vector<bool> resources = types_of(body_.resource, false);
  const auto any = [](const std::vector<std::uint32_t>& types, const std::vector<bool>& lets) {
    return std::any_of(types.begin(), types.end(), [&](std::uint32_t type) { return lets[type]; });
  };
  for (const Action& action : schema_.actions()) {
    if (actions_[action.index] && any(action.principals, principals) && any(action.resources, resources)) return true;
  }
  return false;
}

}  // namespace wary::schema
