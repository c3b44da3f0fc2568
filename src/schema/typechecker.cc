#include "schema/typechecker.h"

#include <algorithm>

namespace wary::schema {

using cedar::Expr;
using cedar::ExprKind;
using Kind = Type::Kind;

bool Hierarchy::may_be_in(const std::string& type, const std::string& ancestor) {
  if (type == ancestor) return true;
  if (is_action_type(type) && is_action_type(ancestor)) {
    const auto [at, is_new] = actions_.try_emplace(type + " " + ancestor);
    if (is_new) at->second = actions_may_be_in(type, ancestor);
    return at->second;
  }
  const EntityType* from = schema_.find_entity_type(type);
  const EntityType* to = schema_.find_entity_type(ancestor);
  return from != nullptr && to != nullptr && schema_.is_beneath(*from, *to);
}

bool Hierarchy::actions_may_be_in(const std::string& type, const std::string& ancestor) const {
  for (const Action& action : schema_.actions()) {
    if (action.uid->type != type) continue;
    for (const Action& group : schema_.actions()) {
      if (group.uid->type == ancestor && schema_.is_beneath(action, group)) return true;
    }
  }
  return false;
}

Answer Typechecker::check(const Expr& e, const Capabilities& prior) {
  Answer answer = dispatch(e, prior);
  if (!answer.is_right) answer.when_true = {};
  if (types_ != nullptr && answer.type != nullptr) (*types_)[&e] = answer.type;
  return answer;
}

Answer Typechecker::dispatch(const Expr& e, const Capabilities& prior) {
  switch (e.kind) {
    case ExprKind::kLiteral: return literal(e);
    case ExprKind::kVariable: return variable(e);
    case ExprKind::kIf: return conditional(e, prior);
    case ExprKind::kOr: return any_of(e, prior);
    case ExprKind::kAnd: return all_of(e, prior);
    case ExprKind::kNot:
    case ExprKind::kNegate: return negation(e, prior);
    case ExprKind::kEqual:
    case ExprKind::kNotEqual: return equality(e, prior);
    case ExprKind::kLess:
    case ExprKind::kLessEqual:
    case ExprKind::kGreater:
    case ExprKind::kGreaterEqual: return ordering(e, prior);
    case ExprKind::kIn: return membership(e, prior);
    case ExprKind::kAdd:
    case ExprKind::kMultiply: return arithmetic(e, prior);
    case ExprKind::kGetAttribute: return get_attribute(e, prior);
    case ExprKind::kHas: return has(e, prior);
    case ExprKind::kLike: {
      Answer text = expect(e.operands[0], prior, {Kind::kString}, "String", "`like` compares strings");
      return {bool_type(), text.is_right, {}};
    }
    case ExprKind::kIs: return is_type(e, prior);
    case ExprKind::kSet: return set(e, prior);
    case ExprKind::kRecord: return record(e, prior);
    case ExprKind::kContains:
    case ExprKind::kContainsAll:
    case ExprKind::kContainsAny:
    case ExprKind::kIsEmpty: return set_method(e, prior);
    case ExprKind::kGetTag: return get_tag(e, prior);
    case ExprKind::kHasTag: return has_tag(e, prior);
    case ExprKind::kCall: break;
  }
  return call(e, prior);
}

Answer Typechecker::expect(const Expr& e, const Capabilities& prior, Kinds kinds, std::string_view expected,
                           std::string_view hint) {
  return expect_answer(e, check(e, prior), kinds, expected, hint);
}

Answer Typechecker::expect_answer(const Expr& e, Answer answer, Kinds kinds, std::string_view expected,
                                  std::string_view hint) {
  if (answer.type == nullptr) return Answer::wrong();
  if (std::find(kinds.begin(), kinds.end(), answer.type->kind) != kinds.end()) return answer;
  unexpected(e, expected, *answer.type, hint);
  return Answer::wrong();
}

void Typechecker::unexpected(const Expr& e, std::string_view expected, const Type& found, std::string_view hint) {
  report_.add(FindingKind::kUnexpectedType, e.span, "the wrong type: " + std::string(expected) + " is wanted here",
              expected, to_string(found), hint);
}

void Typechecker::incompatible(const Expr& e, const Type& a, const Type& b, std::string_view what,
                               std::string_view hint) {
  report_.add(FindingKind::kIncompatibleTypes, e.span,
              std::string(what) + " differ: " + to_string(a) + " and " + to_string(b), to_string(a), to_string(b),
              hint);
}

Answer Typechecker::check_boolean(const Expr& e, const Capabilities& prior) {
  return expect(e, prior, {Kind::kBool, Kind::kTrue, Kind::kFalse}, "Bool");
}

Answer Typechecker::literal(const Expr& e) {
  switch (e.literal.kind()) {
    case cedar::Value::Kind::kBool: return Answer::of(bool_type(*e.literal.as_bool()));
    case cedar::Value::Kind::kLong: return Answer::of(long_type());
    case cedar::Value::Kind::kString: return Answer::of(string_type());
    case cedar::Value::Kind::kEntity: break;
    default: return Answer::wrong();  // no such literal can be written
  }
  const cedar::EntityUid& uid = **e.literal.as_entity();
  if (is_action_type(uid.type)) {
    const Action* action = schema_.find_action(uid);
    return action != nullptr ? Answer::of(action->type) : Answer::wrong();
  }
  const EntityType* type = schema_.find_entity_type(uid.type);
  return type != nullptr ? Answer::of(type->type) : Answer::wrong();
}

Answer Typechecker::variable(const Expr& e) {
  switch (e.variable) {
    case cedar::Variable::kPrincipal: return Answer::of(environment_.principal->type);
    case cedar::Variable::kAction: return Answer::of(environment_.action->type);
    case cedar::Variable::kResource: return Answer::of(environment_.resource->type);
    case cedar::Variable::kContext: break;
  }
  return Answer::of(environment_.action->context);
}

Answer Typechecker::conditional(const Expr& e, const Capabilities& prior) {
  const Answer test = check_boolean(e.operands[0], prior);
  if (test.type != nullptr && test.type->kind == Kind::kTrue) {
    Answer out = check(e.operands[1], prior.joined(test.when_true));
    out.when_true = out.when_true.joined(test.when_true);
    out.is_right = out.is_right && test.is_right;
    return out;
  }
  if (test.type != nullptr && test.type->kind == Kind::kFalse) {
    Answer out = check(e.operands[2], prior);
    out.is_right = out.is_right && test.is_right;
    return out;
  }
  return both_branches(e, test, prior);
}

Answer Typechecker::both_branches(const Expr& e, const Answer& test, const Capabilities& prior) {
  Answer then_branch = check(e.operands[1], prior.joined(test.when_true));
  Answer else_branch = check(e.operands[2], prior);
  if (then_branch.type == nullptr || else_branch.type == nullptr) return Answer::wrong();
  TypePtr bound = least_upper_bound(then_branch.type, else_branch.type);
  if (bound == nullptr) {
    incompatible(e, *then_branch.type, *else_branch.type, "the types of the two branches",
                 "both branches of an `if` have one type");
    return Answer::wrong();
  }
  if (then_branch.is_right) then_branch.when_true = then_branch.when_true.joined(test.when_true);
  return {std::move(bound), test.is_right && then_branch.is_right && else_branch.is_right,
          else_branch.when_true.shared(then_branch.when_true)};
}

Answer Typechecker::conjunction(const Answer& left, const Answer& right) {
  Answer out;
  out.is_right = left.is_right && right.is_right;
  if (left.type == nullptr || right.type == nullptr) return Answer::wrong(bool_type());
  if (right.type->kind == Kind::kFalse) {
    out.type = right.type;
    return out;
  }
  out.type = right.type->kind == Kind::kTrue ? left.type : left.type->kind == Kind::kTrue ? right.type : bool_type();
  if (out.is_right) out.when_true = left.when_true.joined(right.when_true);
  return out;
}

Answer Typechecker::all_of(const Expr& e, const Capabilities& prior) {
  Answer left = check_boolean(e.operands[0], prior);
  for (std::size_t i = 1; i < e.operands.size(); ++i) {
    if (left.type != nullptr && left.type->kind == Kind::kFalse) return {left.type, left.is_right, {}};
    left = conjunction(left, check_boolean(e.operands[i], prior.joined(left.when_true)));
  }
  return left;
}

Answer Typechecker::any_of(const Expr& e, const Capabilities& prior) {
  Answer left = check_boolean(e.operands[0], prior);
  for (std::size_t i = 1; i < e.operands.size(); ++i) {
    if (left.type != nullptr && left.type->kind == Kind::kTrue) return left;
    const Answer right = check_boolean(e.operands[i], prior);
    Answer out;
    out.is_right = left.is_right && right.is_right;
    if (left.type == nullptr || right.type == nullptr) {
      out = Answer::wrong(bool_type());
    } else if (right.type->kind == Kind::kTrue || left.type->kind == Kind::kFalse) {
      out.type = right.type->kind == Kind::kFalse ? left.type : right.type;
      out.when_true = right.type->kind == Kind::kFalse ? left.when_true : right.when_true;
    } else if (right.type->kind == Kind::kFalse) {
      out.type = left.type;
      out.when_true = left.when_true;
    } else {
      out.type = bool_type();
      out.when_true = right.when_true.shared(left.when_true);
    }
    left = std::move(out);
  }
  return left;
}

Answer Typechecker::negation(const Expr& e, const Capabilities& prior) {
  if (e.kind == ExprKind::kNegate) {
    const Answer number = expect(e.operands[0], prior, {Kind::kLong}, "Long");
    return {long_type(), number.is_right, {}};
  }
  const Answer inner = check_boolean(e.operands[0], prior);
  if (inner.type == nullptr) return Answer::wrong(bool_type());
  TypePtr type = inner.type->kind == Kind::kTrue    ? bool_type(false)
                 : inner.type->kind == Kind::kFalse ? bool_type(true)
                                                    : bool_type();
  return {std::move(type), inner.is_right, {}};
}

}  // namespace wary::schema
