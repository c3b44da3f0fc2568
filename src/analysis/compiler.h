// Policies as terms: whether one is satisfied, whether it errors, in one request environment. Private to analysis/.
#pragma once

#include "analysis/encoding.h"
#include "cedar/policy_set.h"
#include "schema/validator.h"

namespace wary::analysis {

struct Computed {
  Term term;
  z3::expr error;  // then the term means nothing
};

struct PolicyTerms {
  z3::expr is_satisfied;
  z3::expr errors;
};

class Compiler {
 public:
  Compiler(Encoding& encoding, const schema::Environment& environment);

  PolicyTerms policy(const cedar::Policy& policy);
  const Term& principal() const { return principal_; }
  const Term& action() const { return action_; }
  const Term& resource() const { return resource_; }
  const Term& context() const { return context_; }

 private:
  z3::expr scope(const cedar::ScopeConstraint& constraint, const Term& subject, const cedar::EntityPtr& slot);
  Computed compile(const cedar::Expr& e);
  Computed dispatch(const cedar::Expr& e);
  Computed junction(const cedar::Expr& e);
  Computed conditional(const cedar::Expr& e);
  Computed ordering(const cedar::Expr& e);
  Computed arithmetic(const cedar::Expr& e);
  Computed negation(const cedar::Expr& e);
  Computed membership(const cedar::Expr& e);
  Computed get_attribute(const cedar::Expr& e);
  Computed has(const cedar::Expr& e);
  Computed is_type(const cedar::Expr& e);
  Computed set(const cedar::Expr& e);
  Computed record(const cedar::Expr& e);
  Computed binary_set(const cedar::Expr& e);
  Computed tag(const cedar::Expr& e);
  Computed like(const cedar::Expr& e);
  Computed call(const cedar::Expr& e);
  Computed call_time(const cedar::Expr& e, const std::vector<Computed>& arguments);
  z3::expr is_member(const Term& entity, const Term& target);
  const schema::Attribute* attribute_of(const schema::Type& type, std::string_view name) const;

  Computed boolean(z3::expr value, z3::expr error) const { return {Term(schema::bool_type(), value), error}; }
  z3::expr no() { return encoding_.boolean(false); }

  Encoding& encoding_;
  const schema::Environment& environment_;
  const schema::Typing* typing_ = nullptr;
  Term principal_;
  Term action_;
  Term resource_;
  Term context_;
};

}  // namespace wary::analysis
