// Comparison, arithmetic, membership, sets, records and calls.
#include <algorithm>
#include <array>

#include "schema/typechecker.h"

namespace wary::schema {

using cedar::Expr;
using cedar::ExprKind;
using cedar::ExtensionOp;
using Kind = Type::Kind;

namespace {

bool is_ordered(const Type& type) {
  return type.kind == Kind::kLong || type.kind == Kind::kDatetime || type.kind == Kind::kDuration;
}

struct Signature {
  std::array<Kind, 2> arguments;
  Kind result;
};

Signature signature(ExtensionOp op) {
  switch (op) {
    case ExtensionOp::kDecimal: return {{Kind::kString, Kind::kString}, Kind::kDecimal};
    case ExtensionOp::kIp: return {{Kind::kString, Kind::kString}, Kind::kIp};
    case ExtensionOp::kDatetime: return {{Kind::kString, Kind::kString}, Kind::kDatetime};
    case ExtensionOp::kDuration: return {{Kind::kString, Kind::kString}, Kind::kDuration};
    case ExtensionOp::kLessThan:
    case ExtensionOp::kLessThanOrEqual:
    case ExtensionOp::kGreaterThan:
    case ExtensionOp::kGreaterThanOrEqual: return {{Kind::kDecimal, Kind::kDecimal}, Kind::kBool};
    case ExtensionOp::kIsIpv4:
    case ExtensionOp::kIsIpv6:
    case ExtensionOp::kIsLoopback:
    case ExtensionOp::kIsMulticast:
    case ExtensionOp::kIsInRange: return {{Kind::kIp, Kind::kIp}, Kind::kBool};
    case ExtensionOp::kOffset: return {{Kind::kDatetime, Kind::kDuration}, Kind::kDatetime};
    case ExtensionOp::kDurationSince: return {{Kind::kDatetime, Kind::kDatetime}, Kind::kDuration};
    case ExtensionOp::kToDate: return {{Kind::kDatetime, Kind::kDatetime}, Kind::kDatetime};
    case ExtensionOp::kToTime: return {{Kind::kDatetime, Kind::kDatetime}, Kind::kDuration};
    default: return {{Kind::kDuration, Kind::kDuration}, Kind::kLong};
  }
}

bool is_constructor(ExtensionOp op) {
  return op == ExtensionOp::kDecimal || op == ExtensionOp::kIp || op == ExtensionOp::kDatetime ||
         op == ExtensionOp::kDuration;
}

TypePtr type_of(Kind kind) {
  if (kind == Kind::kBool) return bool_type();
  return kind == Kind::kLong ? long_type() : extension_type(kind);
}

}  // namespace

const cedar::EntityUid* Typechecker::known_entity(const Expr& e) const {
  if (e.kind == ExprKind::kVariable && e.variable == cedar::Variable::kAction) return environment_.action->uid.get();
  if (e.kind != ExprKind::kLiteral || e.literal.as_entity() == nullptr) return nullptr;
  return e.literal.as_entity()->get();
}

Answer Typechecker::equality(const Expr& e, const Capabilities& prior) {
  const Answer left = check(e.operands[0], prior);
  const Answer right = check(e.operands[1], prior);
  const bool is_right = left.is_right && right.is_right;
  const bool is_negated = e.kind == ExprKind::kNotEqual;
  const auto known = [&](bool equal) { return Answer{bool_type(equal != is_negated), is_right, {}}; };
  const bool both = left.type != nullptr && right.type != nullptr;
  if (both && left.type->kind == Kind::kEntity && right.type->kind == Kind::kEntity &&
      left.type->entity != right.type->entity) {
    return known(false);
  }
  const cedar::EntityUid* a = known_entity(e.operands[0]);
  const cedar::EntityUid* b = known_entity(e.operands[1]);
  const bool left_known = a != nullptr || e.operands[0].kind == ExprKind::kLiteral;
  const bool right_known = b != nullptr || e.operands[1].kind == ExprKind::kLiteral;
  if (left_known && right_known) {
    if (a != nullptr && b != nullptr) return known(*a == *b);
    return known(a == nullptr && b == nullptr && e.operands[0].literal == e.operands[1].literal);
  }
  if (both && least_upper_bound(left.type, right.type) == nullptr) {
    incompatible(e, *left.type, *right.type, "the types of the two sides", "values of different types are never equal");
    return Answer::wrong(bool_type());
  }
  return {bool_type(), is_right, {}};
}

Answer Typechecker::ordering(const Expr& e, const Capabilities& prior) {
  const Answer left = check(e.operands[0], prior);
  const Answer right = check(e.operands[1], prior);
  if (left.type == nullptr || right.type == nullptr) return Answer::wrong(bool_type());
  if (*left.type == *right.type && is_ordered(*left.type)) return {bool_type(), left.is_right && right.is_right, {}};
  constexpr std::string_view kAny = "Long, datetime or duration";
  constexpr std::string_view kHint = "decimals are compared with lessThan and greaterThan; strings have no order";
  if (is_ordered(*left.type) && (left.type->kind == Kind::kLong || right.type->kind != Kind::kLong)) {
    unexpected(e.operands[1], type_keyword(left.type->kind), *right.type, kHint);
  } else if (is_ordered(*right.type)) {
    unexpected(e.operands[0], type_keyword(right.type->kind), *left.type, kHint);
  } else {
    unexpected(e.operands[0], kAny, *left.type, kHint);
    unexpected(e.operands[1], kAny, *right.type, kHint);
  }
  return Answer::wrong(bool_type());
}

Answer Typechecker::arithmetic(const Expr& e, const Capabilities& prior) {
  bool is_right = true;
  const std::string_view hint = e.kind == ExprKind::kAdd ? "only numbers are added: strings cannot be joined" : "";
  for (const Expr& operand : e.operands) {
    is_right = expect(operand, prior, {Kind::kLong}, "Long", hint).is_right && is_right;
  }
  return {long_type(), is_right, {}};
}

Answer Typechecker::membership(const Expr& e, const Capabilities& prior) {
  const Answer left = expect(e.operands[0], prior, {Kind::kEntity}, "an entity", "sets have contains()");
  return membership(e.operands[0], left, e.operands[1], prior);
}

Answer Typechecker::membership(const Expr& left_expression, const Answer& left, const Expr& right_expression,
                               const Capabilities& prior) {
  constexpr std::string_view kExpected = "an entity or a set of entities";
  Answer right = expect(right_expression, prior, {Kind::kEntity, Kind::kSet}, kExpected);
  if (right.type != nullptr && right.type->kind == Kind::kSet && right.type->element->kind != Kind::kEntity) {
    unexpected(right_expression, kExpected, *right.type, "a value is looked for with contains()");
    right = Answer::wrong();
  }
  if (!left.is_right || !right.is_right) return Answer::wrong(bool_type());
  const cedar::EntityUid* action = known_entity(left_expression);
  if (action != nullptr && is_action_type(action->type)) {
    if (TypePtr known = action_membership(*action, right_expression)) return Answer::of(std::move(known));
  }
  const Type& target = right.type->kind == Kind::kSet ? *right.type->element : *right.type;
  return Answer::of(hierarchy_.may_be_in(left.type->entity, target.entity) ? bool_type() : bool_type(false));
}

// Both sides are known: the schema says whether the one is in the other. Null when the right side is not.
TypePtr Typechecker::action_membership(const cedar::EntityUid& action, const Expr& right) const {
  const Action* from = schema_.find_action(action);
  const auto is_in = [&](const cedar::EntityUid& group) {
    const Action* to = schema_.find_action(group);
    return from != nullptr && to != nullptr && (from == to || schema_.is_beneath(*from, *to));
  };
  if (const cedar::EntityUid* group = known_entity(right)) return bool_type(is_in(*group));
  if (right.kind != ExprKind::kSet) return nullptr;
  bool found = false;
  for (const Expr& element : right.operands) {
    const cedar::EntityUid* group = known_entity(element);
    if (group == nullptr) return nullptr;
    found = found || is_in(*group);
  }
  return bool_type(found);
}

Answer Typechecker::is_type(const Expr& e, const Capabilities& prior) {
  const Answer entity = expect(e.operands[0], prior, {Kind::kEntity}, "an entity", "only entities have a type to test");
  Answer is = entity.type == nullptr ? Answer::wrong(bool_type())
                                     : Answer{bool_type(entity.type->entity == e.name), entity.is_right, {}};
  if (e.operands.size() == 1 || is.type->kind == Kind::kFalse) return is;
  return conjunction(is, membership(e.operands[0], entity, e.operands[1], prior));
}

Answer Typechecker::set_method(const Expr& e, const Capabilities& prior) {
  const Answer receiver =
      expect(e.operands[0], prior, {Kind::kSet}, "a set", "entities have `in`, records `has`, strings `like`");
  if (e.kind == ExprKind::kIsEmpty) return {bool_type(), receiver.is_right, {}};
  const bool wants_set = e.kind != ExprKind::kContains;
  const Answer argument =
      wants_set ? expect(e.operands[1], prior, {Kind::kSet}, "a set", "one element is looked for with contains()")
                : check(e.operands[1], prior);
  if (receiver.type != nullptr && argument.type != nullptr) {
    const TypePtr& left = wants_set ? receiver.type : receiver.type->element;
    if (least_upper_bound(left, argument.type) == nullptr) {
      incompatible(e, *left, *argument.type, wants_set ? "the types of the two sets" : "the types of set and element",
                   "");
      return Answer::wrong(bool_type());
    }
  }
  return {bool_type(), receiver.is_right && argument.is_right, {}};
}

Answer Typechecker::set(const Expr& e, const Capabilities& prior) {
  if (e.operands.empty()) {
    report_.add(FindingKind::kEmptySetForbidden, e.span, "an empty set has no type", "a set with elements", "[]",
                "test a set with isEmpty()");
    return Answer::wrong();
  }
  bool is_right = true;
  std::vector<TypePtr> types;
  for (const Expr& operand : e.operands) {
    Answer element = check(operand, prior);
    is_right = is_right && element.is_right;
    types.push_back(std::move(element.type));
  }
  TypePtr bound = types.front();
  for (const TypePtr& type : types) {
    if (type == nullptr) return Answer::wrong();
  }
  for (const TypePtr& type : types) {
    TypePtr next = least_upper_bound(bound, type);
    if (next == nullptr) {
      incompatible(e, *bound, *type, "the types of the elements", "all elements of a set have one type");
      return Answer::wrong();
    }
    bound = std::move(next);
  }
  return {make_set(std::move(bound)), is_right, {}};
}

Answer Typechecker::record(const Expr& e, const Capabilities& prior) {
  bool is_right = true;
  bool is_known = true;
  std::vector<Attribute> attributes;
  for (std::size_t i = 0; i < e.operands.size(); ++i) {
    Answer value = check(e.operands[i], prior);
    is_right = is_right && value.is_right;
    is_known = is_known && value.type != nullptr;
    attributes.push_back({e.names[i], std::move(value.type), true});
  }
  if (!is_known) return Answer::wrong();
  return {make_record(std::move(attributes)), is_right, {}};
}

// The rules about how a function is called, whatever the types of its arguments.
bool Typechecker::check_call(const Expr& e, std::size_t arguments) {
  const std::string name(cedar::extension(e.call).name);
  bool passed = true;
  if (e.operands.size() != arguments) {
    report_.add(FindingKind::kWrongNumberArguments, e.span, "the wrong number of arguments for " + name,
                std::to_string(arguments), std::to_string(e.operands.size()));
    passed = false;
  }
  if (!is_constructor(e.call)) return passed;
  if (passed && e.operands[0].kind == ExprKind::kLiteral && e.operands[0].literal.as_string() != nullptr) {
    const cedar::ExtensionResult result = cedar::call_extension(e.call, {&e.operands[0].literal, 1});
    if (result.outcome != cedar::ExtensionResult::Outcome::kValue) {
      report_.add(FindingKind::kFunctionArgumentValidation, e.span,
                  name + "() cannot read its argument: " + result.message);
      passed = false;
    }
  }
  const auto is_literal = [](const Expr& operand) { return operand.kind == ExprKind::kLiteral; };
  if (!std::all_of(e.operands.begin(), e.operands.end(), is_literal)) {
    report_.add(FindingKind::kNonLitExtConstructor, e.span, name + "() of something that is no literal",
                "a string in quotes", {},
                "declare the attribute as " + std::string(type_keyword(signature(e.call).result)) + " instead");
    passed = false;
  }
  return passed;
}

Answer Typechecker::call(const Expr& e, const Capabilities& prior) {
  const Signature types = signature(e.call);
  const std::size_t arguments = cedar::extension(e.call).arguments;
  bool is_right = check_call(e, arguments);
  const bool may_expect = is_right;
  for (std::size_t i = 0; i < e.operands.size(); ++i) {
    const Answer argument = may_expect
                                ? expect(e.operands[i], prior, {types.arguments[i]}, type_keyword(types.arguments[i]))
                                : check(e.operands[i], prior);
    is_right = is_right && argument.is_right;
  }
  return {type_of(types.result), is_right, {}};
}

}  // namespace wary::schema
