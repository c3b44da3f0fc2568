#include "analysis/compiler.h"

namespace wary::analysis {

using cedar::Expr;
using cedar::ExprKind;
using Kind = schema::Type::Kind;
using schema::TypePtr;

Compiler::Compiler(Encoding& encoding, const schema::Environment& environment)
    : encoding_(encoding),
      environment_(environment),
      principal_(encoding.variable("principal", environment.principal->type)),
      action_(encoding.entity(*environment.action->uid)),
      resource_(encoding.variable("resource", environment.resource->type)),
      context_(encoding.variable("context", environment.action->context)) {}

z3::expr Compiler::scope(const cedar::ScopeConstraint& constraint, const Term& subject, const cedar::EntityPtr& slot) {
  using ScopeKind = cedar::ScopeConstraint::Kind;
  if (constraint.kind == ScopeKind::kAny) return encoding_.boolean(true);
  const bool is_typed = constraint.kind == ScopeKind::kIs || constraint.kind == ScopeKind::kIsIn;
  if (is_typed && subject.type->entity != constraint.type) return no();
  if (constraint.kind == ScopeKind::kIs) return encoding_.boolean(true);
  if (constraint.is_slot && slot == nullptr) throw Unsupported{"a template without values"};
  const std::vector<cedar::EntityPtr> filled = {slot};
  z3::expr out = no();
  for (const cedar::EntityPtr& uid : constraint.is_slot ? filled : constraint.entities) {
    // An id of another type that nothing of this one can be in needs no term; it may name an action unknown here.
    const Term target = encoding_.entity(*uid);
    out = either(out, constraint.kind == ScopeKind::kEqual ? encoding_.equal(subject, target)
                                                           : encoding_.is_in(subject, target));
  }
  return out;
}

PolicyTerms Compiler::policy(const cedar::Policy& policy) {
  const cedar::PolicyBody& body = *policy.body;
  z3::expr holds =
      both(scope(body.principal, principal_, policy.slots.principal),
           both(scope(body.action, action_, nullptr), scope(body.resource, resource_, policy.slots.resource)));
  z3::expr error = no();
  if (holds.is_false()) return {holds, error};
  const schema::Typing typing = schema::type_policy(encoding_.schema(), body, environment_);
  if (typing.outcome == schema::Typing::Outcome::kFailed) {
    throw Unsupported{"policy " + policy.id + " does not validate"};
  }
  typing_ = &typing;
  for (const cedar::Condition& condition : body.conditions) {
    if (holds.is_false()) break;  // what is behind was not typed
    const Computed one = compile(condition.expression);
    error = either(error, both(holds, one.error));
    holds = both(holds, condition.is_unless ? negated(one.term.value) : one.term.value);
  }
  typing_ = nullptr;
  return {both(holds, negated(error)), error};
}

// What the typechecker knows the value of has it, unless it errors.
Computed Compiler::compile(const Expr& e) {
  const auto known = typing_->types.find(&e);
  if (known == typing_->types.end()) throw Unsupported{"an expression without a type"};
  Computed out = dispatch(e);
  if (known->second->kind == Kind::kTrue) out.term = Term(known->second, encoding_.boolean(true));
  if (known->second->kind == Kind::kFalse) out.term = Term(known->second, no());
  return out;
}

Computed Compiler::dispatch(const Expr& e) {
  switch (e.kind) {
    case ExprKind::kLiteral: return {encoding_.literal(e.literal), no()};
    case ExprKind::kVariable:
      switch (e.variable) {
        case cedar::Variable::kPrincipal: return {principal_, no()};
        case cedar::Variable::kAction: return {action_, no()};
        case cedar::Variable::kResource: return {resource_, no()};
        case cedar::Variable::kContext: return {context_, no()};
      }
      break;
    case ExprKind::kIf: return conditional(e);
    case ExprKind::kOr:
    case ExprKind::kAnd: return junction(e);
    case ExprKind::kNot: {
      const Computed inner = compile(e.operands[0]);
      return boolean(negated(inner.term.value), inner.error);
    }
    case ExprKind::kNegate: return negation(e);
    case ExprKind::kEqual:
    case ExprKind::kNotEqual: {
      const Computed left = compile(e.operands[0]);
      const Computed right = compile(e.operands[1]);
      const z3::expr same = encoding_.equal(left.term, right.term);
      return boolean(e.kind == ExprKind::kEqual ? same : negated(same), either(left.error, right.error));
    }
    case ExprKind::kLess:
    case ExprKind::kLessEqual:
    case ExprKind::kGreater:
    case ExprKind::kGreaterEqual: return ordering(e);
    case ExprKind::kIn: return membership(e);
    case ExprKind::kAdd:
    case ExprKind::kMultiply: return arithmetic(e);
    case ExprKind::kGetAttribute: return get_attribute(e);
    case ExprKind::kHas: return has(e);
    case ExprKind::kLike: return like(e);
    case ExprKind::kIs: return is_type(e);
    case ExprKind::kSet: return set(e);
    case ExprKind::kRecord: return record(e);
    case ExprKind::kContains:
    case ExprKind::kContainsAll:
    case ExprKind::kContainsAny:
    case ExprKind::kIsEmpty: return binary_set(e);
    case ExprKind::kGetTag:
    case ExprKind::kHasTag: return tag(e);
    case ExprKind::kCall: break;
  }
  return call(e);
}

// Operands in order, until one decides; those behind a known decision were not typed.
Computed Compiler::junction(const Expr& e) {
  const bool is_and = e.kind == ExprKind::kAnd;
  Computed out = compile(e.operands[0]);
  for (std::size_t i = 1; i < e.operands.size(); ++i) {
    if (is_and ? out.term.value.is_false() : out.term.value.is_true()) break;
    const z3::expr goes_on = is_and ? out.term.value : negated(out.term.value);
    const Computed next = compile(e.operands[i]);
    out.error = either(out.error, both(goes_on, next.error));
    out.term = Term(schema::bool_type(),
                    is_and ? both(out.term.value, next.term.value) : either(out.term.value, next.term.value));
  }
  return out;
}

Computed Compiler::conditional(const Expr& e) {
  const Computed test = compile(e.operands[0]);
  const z3::expr& condition = test.term.value;
  if (condition.is_true() || condition.is_false()) {
    Computed taken = compile(e.operands[condition.is_true() ? 1 : 2]);
    taken.error = either(test.error, taken.error);
    return taken;
  }
  const Computed then_branch = compile(e.operands[1]);
  const Computed else_branch = compile(e.operands[2]);
  const z3::expr error = either(both(condition, then_branch.error), both(negated(condition), else_branch.error));
  return {encoding_.choose(condition, then_branch.term, else_branch.term), either(test.error, error)};
}

Computed Compiler::ordering(const Expr& e) {
  const Computed left = compile(e.operands[0]);
  const Computed right = compile(e.operands[1]);
  const z3::expr& a = left.term.value;
  const z3::expr& b = right.term.value;
  const z3::expr holds = e.kind == ExprKind::kLess        ? a < b
                         : e.kind == ExprKind::kLessEqual ? a <= b
                         : e.kind == ExprKind::kGreater   ? a > b
                                                          : a >= b;
  return boolean(holds.simplify(), either(left.error, right.error));
}

Computed Compiler::negation(const Expr& e) {
  const Computed inner = compile(e.operands[0]);
  const z3::expr error = negated(z3::bvneg_no_overflow(inner.term.value).simplify());
  return {Term(schema::long_type(), -inner.term.value), either(inner.error, error)};
}

Computed Compiler::arithmetic(const Expr& e) {
  Computed total = compile(e.operands[0]);
  for (std::size_t i = 1; i < e.operands.size(); ++i) {
    const Computed next = compile(e.operands[i]);
    const z3::expr a = total.term.value;
    const z3::expr& b = next.term.value;
    z3::expr fits = no();
    z3::expr result = a;
    if (e.kind == ExprKind::kMultiply) {
      fits = z3::bvmul_no_overflow(a, b, true) && z3::bvmul_no_underflow(a, b);
      result = a * b;
    } else if (e.subtracts[i]) {
      fits = z3::bvsub_no_overflow(a, b) && z3::bvsub_no_underflow(a, b, true);
      result = a - b;
    } else {
      fits = z3::bvadd_no_overflow(a, b, true) && z3::bvadd_no_underflow(a, b);
      result = a + b;
    }
    total.error = either(either(total.error, next.error), negated(fits.simplify()));
    total.term = Term(schema::long_type(), result);
  }
  return total;
}

z3::expr Compiler::is_member(const Term& entity, const Term& target) {
  return target.type->kind == Kind::kSet ? encoding_.is_in_any(entity, target) : encoding_.is_in(entity, target);
}

Computed Compiler::membership(const Expr& e) {
  const Computed left = compile(e.operands[0]);
  const Computed right = compile(e.operands[1]);
  return boolean(is_member(left.term, right.term), either(left.error, right.error));
}

Computed Compiler::is_type(const Expr& e) {
  const Computed left = compile(e.operands[0]);
  if (left.term.type->entity != e.name) return boolean(no(), left.error);
  if (e.operands.size() == 1) return boolean(encoding_.boolean(true), left.error);
  const Computed right = compile(e.operands[1]);
  return boolean(is_member(left.term, right.term), either(left.error, right.error));
}

const schema::Attribute* Compiler::attribute_of(const schema::Type& type, std::string_view name) const {
  if (type.kind == Kind::kRecord) return type.find(name);
  const schema::EntityType* entity = encoding_.schema().find_entity_type(type.entity);
  return entity != nullptr ? entity->find(name) : nullptr;
}

Computed Compiler::get_attribute(const Expr& e) {
  const Computed base = compile(e.operands[0]);
  if (base.term.type->kind == Kind::kRecord) {
    const Field* field = base.term.find(e.name);
    if (field == nullptr) throw Unsupported{"an attribute that is not declared"};
    return {field->term, either(base.error, negated(field->is_present))};
  }
  const schema::Attribute* attribute = attribute_of(*base.term.type, e.name);
  if (attribute == nullptr) throw Unsupported{"an attribute that is not declared"};
  const z3::expr present = encoding_.has_attribute(base.term, *attribute);
  return {encoding_.attribute(base.term, *attribute), either(base.error, negated(present))};
}

// `e has a.b.c`: each step must be there.
Computed Compiler::has(const Expr& e) {
  const Computed base = compile(e.operands[0]);
  z3::expr holds = encoding_.boolean(true);
  Term at = base.term;
  for (const std::string& name : e.names) {
    if (at.type->kind == Kind::kRecord) {
      const Field* field = at.find(name);
      if (field == nullptr) return boolean(no(), base.error);
      holds = both(holds, field->is_present);
      const Term next = field->term;
      at = next;
      continue;
    }
    const schema::Attribute* attribute = at.type->kind == Kind::kEntity ? attribute_of(*at.type, name) : nullptr;
    if (attribute == nullptr) return boolean(no(), base.error);
    holds = both(holds, encoding_.has_attribute(at, *attribute));
    at = encoding_.attribute(at, *attribute);
  }
  return boolean(holds, base.error);
}

Computed Compiler::tag(const Expr& e) {
  const Computed base = compile(e.operands[0]);
  const Computed key = compile(e.operands[1]);
  const z3::expr error = either(base.error, key.error);
  const z3::expr present = encoding_.has_tag(base.term, key.term);
  if (e.kind == ExprKind::kHasTag) return boolean(present, error);
  return {encoding_.tag(base.term, key.term), either(error, negated(present))};
}

Computed Compiler::set(const Expr& e) {
  std::vector<Term> elements;
  z3::expr error = no();
  for (const Expr& operand : e.operands) {
    Computed one = compile(operand);
    error = either(error, one.error);
    elements.push_back(std::move(one.term));
  }
  return {encoding_.make_set(typing_->types.at(&e), std::move(elements)), error};
}

Computed Compiler::record(const Expr& e) {
  Term out(typing_->types.at(&e), encoding_.boolean(true));
  z3::expr error = no();
  for (const schema::Attribute& attribute : out.type->attributes) {
    for (std::size_t i = 0; i < e.names.size(); ++i) {
      if (e.names[i] != attribute.name) continue;
      Computed one = compile(e.operands[i]);
      error = either(error, one.error);
      out.fields.push_back({attribute.name, encoding_.boolean(true), std::move(one.term)});
    }
  }
  return {std::move(out), error};
}

Computed Compiler::binary_set(const Expr& e) {
  const Computed left = compile(e.operands[0]);
  if (e.kind == ExprKind::kIsEmpty) return boolean(encoding_.is_empty(left.term), left.error);
  const Computed right = compile(e.operands[1]);
  const z3::expr holds = e.kind == ExprKind::kContains      ? encoding_.contains(left.term, right.term)
                         : e.kind == ExprKind::kContainsAll ? encoding_.contains_all(left.term, right.term)
                                                            : encoding_.contains_any(left.term, right.term);
  return boolean(holds, either(left.error, right.error));
}

}  // namespace wary::analysis
