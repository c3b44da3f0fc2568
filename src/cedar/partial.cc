#include "cedar/partial.h"

#include <algorithm>

#include "cedar/printer.h"

namespace wary::cedar {

namespace {

// An expression after its known parts were computed.
struct Reduced {
  enum class Kind : std::uint8_t {
    kValue,     // a literal
    kError,     // errs whenever it is reached
    kResidual,  // nobody knows
  };
  Kind kind = Kind::kResidual;
  Expr expression;

  const bool* as_bool() const { return kind == Kind::kValue ? expression.literal.as_bool() : nullptr; }
};

Expr literal(Value value, Span span) {
  Expr out;
  out.kind = ExprKind::kLiteral;
  out.literal = std::move(value);
  out.span = span;
  return out;
}

Reduced value_of(Value value, Span span) { return {Reduced::Kind::kValue, literal(std::move(value), span)}; }

// Whether it gives a boolean or errs, whatever its operands are.
bool is_boolean(const Expr& e) {
  switch (e.kind) {
    case ExprKind::kLiteral: return e.literal.as_bool() != nullptr;
    case ExprKind::kOr:
    case ExprKind::kAnd:
    case ExprKind::kNot:
    case ExprKind::kEqual:
    case ExprKind::kNotEqual:
    case ExprKind::kLess:
    case ExprKind::kLessEqual:
    case ExprKind::kGreater:
    case ExprKind::kGreaterEqual:
    case ExprKind::kIn:
    case ExprKind::kHas:
    case ExprKind::kLike:
    case ExprKind::kIs:
    case ExprKind::kContains:
    case ExprKind::kContainsAll:
    case ExprKind::kContainsAny:
    case ExprKind::kHasTag:
    case ExprKind::kIsEmpty: return true;
    default: return false;
  }
}

void set_depth(Expr& e) {
  std::uint16_t deepest = 0;
  for (const Expr& operand : e.operands) deepest = std::max(deepest, operand.depth);
  e.depth = static_cast<std::uint16_t>(deepest + 1);
}

Expr node(ExprKind kind, Span span, std::vector<Expr> operands) {
  Expr out;
  out.kind = kind;
  out.span = span;
  out.operands = std::move(operands);
  set_depth(out);
  return out;
}

class Reducer {
 public:
  Reducer(const PartialRequest& request, EntityView& view) : partial_(request), view_(view) {
    const auto filled = [](const PartialUid& part) { return part.uid != nullptr ? part.uid : make_entity("?", ""); };
    request_ = {filled(request.principal), filled(request.action), filled(request.resource),
                request.context.value_or(Value::record({}))};
  }

  Reduced reduce(const Expr& e) {
    switch (e.kind) {
      case ExprKind::kLiteral: return {Reduced::Kind::kValue, e};
      case ExprKind::kVariable: return variable(e);
      case ExprKind::kAnd:
      case ExprKind::kOr: return junction(e);
      case ExprKind::kIf: return conditional(e);
      case ExprKind::kIs: return is(e);
      case ExprKind::kEqual:
      case ExprKind::kNotEqual: return equality(e);
      default: return operation(e, reduce_operands(e));
    }
  }

  // A part of a scope as an expression. It cannot err.
  Reduced scope(const ScopeConstraint& part, Variable name, const EntityPtr& slot) {
    if (part.kind == ScopeConstraint::Kind::kAny) return value_of(Value(true), part.span);
    Expr subject;
    subject.kind = ExprKind::kVariable;
    subject.variable = name;
    subject.span = part.span;
    std::vector<EntityPtr> named = part.entities;
    if (part.is_slot) named = {slot};
    const auto uid = [&](std::size_t i) { return literal(Value::entity(named[i]), part.span); };
    switch (part.kind) {
      case ScopeConstraint::Kind::kEqual: return reduce(node(ExprKind::kEqual, part.span, {subject, uid(0)}));
      case ScopeConstraint::Kind::kIs:
      case ScopeConstraint::Kind::kIsIn: {
        Expr test = node(ExprKind::kIs, part.span, {subject});
        test.name = part.type;
        if (part.kind == ScopeConstraint::Kind::kIsIn) test.operands.push_back(uid(0));
        set_depth(test);
        return reduce(test);
      }
      default: break;
    }
    if (!part.is_list) return reduce(node(ExprKind::kIn, part.span, {subject, uid(0)}));
    Value::Set all;
    for (const EntityPtr& one : named) all.push_back(Value::entity(one));
    return reduce(node(ExprKind::kIn, part.span, {subject, literal(Value::set(std::move(all)), part.span)}));
  }

  // Left to right, as the language evaluates: what decides ends it, what is neutral goes.
  Reduced join(ExprKind kind, Span span, std::vector<Reduced> operands) {
    const bool decisive = kind == ExprKind::kOr;
    std::vector<Expr> left;
    for (Reduced& operand : operands) {
      const bool* known = operand.as_bool();
      if (known != nullptr && *known != decisive) continue;
      if (left.empty() && operand.kind == Reduced::Kind::kError) return operand;
      // Decides, or errs for not being a boolean.
      if (operand.kind == Reduced::Kind::kValue && left.empty() && known != nullptr) return operand;
      const bool ends = operand.kind != Reduced::Kind::kResidual;
      left.push_back(std::move(operand.expression));
      if (ends) break;
    }
    if (left.empty()) return value_of(Value(!decisive), span);
    if (left.size() == 1) {
      if (left[0].kind == ExprKind::kLiteral) {  // no boolean
        return {Reduced::Kind::kError, node(kind, span, {left[0], literal(Value(!decisive), span)})};
      }
      if (is_boolean(left[0])) return {Reduced::Kind::kResidual, std::move(left[0])};
      left.push_back(literal(Value(!decisive), span));
    }
    return {Reduced::Kind::kResidual, node(kind, span, std::move(left))};
  }

 private:
  const PartialUid* part(Variable variable) const {
    switch (variable) {
      case Variable::kPrincipal: return &partial_.principal;
      case Variable::kAction: return &partial_.action;
      case Variable::kResource: return &partial_.resource;
      default: return nullptr;
    }
  }

  Reduced variable(const Expr& e) {
    if (e.variable == Variable::kContext) {
      return partial_.context ? value_of(*partial_.context, e.span) : Reduced{Reduced::Kind::kResidual, e};
    }
    const PartialUid& known = *part(e.variable);
    return known.uid != nullptr ? value_of(Value::entity(known.uid), e.span) : Reduced{Reduced::Kind::kResidual, e};
  }

  std::vector<Reduced> reduce_operands(const Expr& e) {
    std::vector<Reduced> out;
    out.reserve(e.operands.size());
    for (const Expr& operand : e.operands) out.push_back(reduce(operand));
    return out;
  }

  Reduced junction(const Expr& e) { return join(e.kind, e.span, reduce_operands(e)); }

  Reduced conditional(const Expr& e) {
    Reduced condition = reduce(e.operands[0]);
    if (const bool* known = condition.as_bool()) return reduce(e.operands[*known ? 1 : 2]);
    const bool errs = condition.kind != Reduced::Kind::kResidual;
    Expr out =
        node(ExprKind::kIf, e.span,
             {std::move(condition.expression), reduce(e.operands[1]).expression, reduce(e.operands[2]).expression});
    return {errs ? Reduced::Kind::kError : Reduced::Kind::kResidual, std::move(out)};
  }

  // The type of an unknown principal, action or resource, if that much is known.
  const std::string* type_of_unknown(const Expr& e) const {
    if (e.kind != ExprKind::kVariable || e.variable == Variable::kContext) return nullptr;
    const PartialUid& known = *part(e.variable);
    return known.uid == nullptr && !known.type.empty() ? &known.type : nullptr;
  }

  Reduced is(const Expr& e) {
    Reduced subject = reduce(e.operands[0]);
    if (const std::string* type = type_of_unknown(subject.expression)) {
      if (*type != e.name) return value_of(Value(false), e.span);
      if (e.operands.size() == 1) return value_of(Value(true), e.span);
      std::vector<Reduced> operands;
      operands.push_back(std::move(subject));
      operands.push_back(reduce(e.operands[1]));
      return operation(node(ExprKind::kIn, e.span, {}), std::move(operands));
    }
    // What the second operand does matters only if the type is right, which the evaluator knows.
    std::vector<Reduced> operands;
    operands.push_back(std::move(subject));
    if (e.operands.size() == 2) {
      const EntityPtr* uid =
          operands[0].kind == Reduced::Kind::kValue ? operands[0].expression.literal.as_entity() : nullptr;
      if (uid != nullptr && (*uid)->type != e.name) return value_of(Value(false), e.span);
      operands.push_back(reduce(e.operands[1]));
      if (uid == nullptr && operands[0].kind == Reduced::Kind::kResidual) {
        return {Reduced::Kind::kResidual, with_operands(e, operands)};
      }
    }
    return operation(e, std::move(operands));
  }

  Reduced equality(const Expr& e) {
    std::vector<Reduced> operands = reduce_operands(e);
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      const std::string* type = type_of_unknown(operands[i].expression);
      const Reduced& other = operands[1 - i];
      if (type == nullptr || other.kind != Reduced::Kind::kValue) continue;
      const EntityPtr* uid = other.expression.literal.as_entity();
      if (uid == nullptr || (*uid)->type != *type) return value_of(Value(e.kind == ExprKind::kNotEqual), e.span);
    }
    return operation(e, std::move(operands));
  }

  static Expr with_operands(const Expr& e, std::vector<Reduced>& operands) {
    Expr out;
    out.kind = e.kind;
    out.variable = e.variable;
    out.call = e.call;
    out.has_string = e.has_string;
    out.span = e.span;
    out.name = e.name;
    out.names = e.names;
    out.pattern = e.pattern;
    out.subtracts = e.subtracts;
    for (Reduced& operand : operands) out.operands.push_back(std::move(operand.expression));
    set_depth(out);
    return out;
  }

  // Everything that evaluates all its operands: known when they all are.
  Reduced operation(const Expr& e, std::vector<Reduced> operands) {
    const bool known = std::all_of(operands.begin(), operands.end(),
                                   [](const Reduced& operand) { return operand.kind == Reduced::Kind::kValue; });
    const bool errs =
        !operands.empty() && operands.front().kind == Reduced::Kind::kError && e.kind != ExprKind::kRecord;
    Expr out = with_operands(e, operands);
    if (!known) return {errs ? Reduced::Kind::kError : Reduced::Kind::kResidual, std::move(out)};
    Evaluator evaluator(request_, view_);
    Value room;
    const Value* value = evaluator.evaluate(out, room);
    if (value == nullptr) return {Reduced::Kind::kError, std::move(out)};
    return value_of(*value, e.span);
  }

  const PartialRequest& partial_;
  EntityView& view_;
  Request request_;
};

PartialAnswer::Decision decide(const std::vector<Residual>& residuals) {
  const auto any = [&](Effect effect, Residual::Kind kind) {
    return std::any_of(residuals.begin(), residuals.end(),
                       [&](const Residual& r) { return r.effect == effect && r.kind == kind; });
  };
  using Decision = PartialAnswer::Decision;
  if (any(Effect::kForbid, Residual::Kind::kSatisfied)) return Decision::kDeny;
  const bool permits = any(Effect::kPermit, Residual::Kind::kSatisfied);
  if (!permits && !any(Effect::kPermit, Residual::Kind::kOpen)) return Decision::kDeny;
  if (permits && !any(Effect::kForbid, Residual::Kind::kOpen)) return Decision::kAllow;
  return Decision::kUnknown;
}

}  // namespace

Residual partially_evaluate(const Policy& policy, const PartialRequest& request, EntityView& view) {
  const PolicyBody& body = *policy.body;
  Reducer reducer(request, view);
  std::vector<Reduced> parts;
  parts.push_back(reducer.scope(body.principal, Variable::kPrincipal, policy.slots.principal));
  parts.push_back(reducer.scope(body.action, Variable::kAction, nullptr));
  parts.push_back(reducer.scope(body.resource, Variable::kResource, policy.slots.resource));
  for (const Condition& condition : body.conditions) {
    parts.push_back(condition.is_unless ? reducer.reduce(node(ExprKind::kNot, condition.span, {condition.expression}))
                                        : reducer.reduce(condition.expression));
  }
  Reduced whole = reducer.join(ExprKind::kAnd, body.span, std::move(parts));
  Residual out{policy.id, body.effect, Residual::Kind::kOpen, std::move(whole.expression)};
  if (whole.kind == Reduced::Kind::kError) {
    out.kind = Residual::Kind::kError;
  } else if (whole.kind == Reduced::Kind::kValue) {
    const bool* holds = out.condition.literal.as_bool();
    out.kind = holds == nullptr ? Residual::Kind::kError
               : *holds         ? Residual::Kind::kSatisfied
                                : Residual::Kind::kNotSatisfied;
  }
  return out;
}

PartialAnswer partially_evaluate(const PolicySet& policies, const PartialRequest& request, EntityView& view) {
  PartialAnswer out;
  for (const Policy& policy : policies.policies()) {
    Residual residual = partially_evaluate(policy, request, view);
    if (residual.kind != Residual::Kind::kNotSatisfied) out.residuals.push_back(std::move(residual));
  }
  out.decision = decide(out.residuals);
  return out;
}

Policy policy_of(const Residual& residual) {
  auto body = std::make_shared<PolicyBody>();
  body->effect = residual.effect;
  Condition condition;
  condition.expression = residual.condition;
  body->conditions.push_back(std::move(condition));
  body->source = Source::make(residual.policy_id, print(residual.condition));
  return {residual.policy_id, std::move(body), {}, {}};
}

}  // namespace wary::cedar
