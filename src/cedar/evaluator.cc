#include "cedar/evaluator.h"

#include <algorithm>
#include <numeric>

#include "cedar/pattern.h"

namespace wary::cedar {

namespace {

// Ids first: they differ sooner than types do.
struct UidLess {
  bool operator()(const EntityUid* a, const EntityUid* b) const {
    const int order = a->id.compare(b->id);
    return order != 0 ? order < 0 : a->type < b->type;
  }
};

// Distinct ids; looked through while they are few, in a tree beyond.
class UidSet {
 public:
  bool insert(const EntityUid* uid) {
    constexpr std::size_t kLinear = 16;
    if (!index_.empty()) {
      if (!index_.insert(uid).second) return false;
    } else if (std::any_of(all_.begin(), all_.end(), [&](const EntityUid* known) { return *known == *uid; })) {
      return false;
    }
    all_.push_back(uid);
    if (all_.size() == kLinear) index_.insert(all_.begin(), all_.end());
    return true;
  }
  std::vector<const EntityUid*> take_sorted() {
    std::sort(all_.begin(), all_.end(), UidLess());
    return std::move(all_);
  }

 private:
  std::vector<const EntityUid*> all_;
  std::set<const EntityUid*, UidLess> index_;
};

std::string quoted(std::string_view name) { return "`" + std::string(name) + "`"; }

}  // namespace

std::string_view to_string(EvalErrorKind kind) {
  switch (kind) {
    case EvalErrorKind::kEntityDoesNotExist: return "EntityDoesNotExist";
    case EvalErrorKind::kEntityAttrDoesNotExist: return "EntityAttrDoesNotExist";
    case EvalErrorKind::kRecordAttrDoesNotExist: return "RecordAttrDoesNotExist";
    case EvalErrorKind::kTypeError: return "TypeError";
    case EvalErrorKind::kWrongNumArguments: return "WrongNumArguments";
    case EvalErrorKind::kIntegerOverflow: return "IntegerOverflow";
    case EvalErrorKind::kUnlinkedSlot: return "UnlinkedSlot";
    case EvalErrorKind::kFailedExtensionFunctionExecution: return "FailedExtensionFunctionExecution";
  }
  return "";
}

void ReadSet::add(const EntityPtr& uid) {
  constexpr std::size_t kLinear = 16;
  if (!index_.empty()) {
    if (index_.insert(uid).second) entities_.push_back(uid);
    return;
  }
  for (const EntityPtr& known : entities_) {
    if (known == uid || *known == *uid) return;
  }
  entities_.push_back(uid);
  if (entities_.size() > kLinear) index_.insert(entities_.begin(), entities_.end());
}

Evaluator::Evaluator(const Request& request, EntityView& view) : request_(request), view_(view) {
  const std::array<EntityPtr, 3> uids = {request.principal, request.action, request.resource};
  for (std::size_t i = 0; i < uids.size(); ++i) {
    subjects_[i].uid = uids[i];
    subject_values_[i] = Value::entity(uids[i]);
  }
}

const Value* Evaluator::refuse(const Expr& at, EvalErrorKind kind, std::string message) {
  error_ = {kind, std::move(message), at.span};
  return nullptr;
}

const Value* Evaluator::type_error(const Expr& at, std::string_view expected, const Value& found) {
  return refuse(at, EvalErrorKind::kTypeError, "expected " + std::string(expected) + ", got " + found.type_name());
}

Outcome Evaluator::evaluate(const Policy& policy) {
  const PolicyBody& body = *policy.body;
  const bool unlinked = (body.principal.is_slot && policy.slots.principal == nullptr) ||
                        (body.resource.is_slot && policy.slots.resource == nullptr);
  if (unlinked) {
    error_ = {EvalErrorKind::kUnlinkedSlot, "a template was evaluated without values for its slots", body.span};
    return Outcome::kError;
  }
  if (!matches(body.principal, Variable::kPrincipal, policy.slots.principal) ||
      !matches(body.action, Variable::kAction, nullptr) ||
      !matches(body.resource, Variable::kResource, policy.slots.resource)) {
    return Outcome::kNotSatisfied;
  }
  for (const Condition& condition : body.conditions) {
    const Outcome outcome = evaluate_condition(condition);
    if (outcome != Outcome::kSatisfied) return outcome;
  }
  return Outcome::kSatisfied;
}

Outcome Evaluator::evaluate_condition(const Condition& condition) {
  bool holds = false;
  if (!boolean(condition.expression, holds)) return Outcome::kError;
  return holds != condition.is_unless ? Outcome::kSatisfied : Outcome::kNotSatisfied;
}

bool Evaluator::matches(const ScopeConstraint& constraint, Variable variable, const EntityPtr& slot) {
  const EntityPtr& uid = subjects_[static_cast<std::size_t>(variable)].uid;
  const auto in_any = [&] {
    if (constraint.is_slot) return is_in(uid, *slot);
    return std::any_of(constraint.entities.begin(), constraint.entities.end(),
                       [&](const EntityPtr& ancestor) { return is_in(uid, *ancestor); });
  };
  switch (constraint.kind) {
    case ScopeConstraint::Kind::kAny: return true;
    case ScopeConstraint::Kind::kEqual: return *uid == (constraint.is_slot ? *slot : *constraint.entities.front());
    case ScopeConstraint::Kind::kIn: return in_any();
    case ScopeConstraint::Kind::kIs: return uid->type == constraint.type;
    case ScopeConstraint::Kind::kIsIn: return uid->type == constraint.type && in_any();
  }
  return false;
}

const Value* Evaluator::evaluate(const Expr& e, Value& out) {
  switch (e.kind) {
    case ExprKind::kLiteral: return &e.literal;
    case ExprKind::kVariable: return variable(e, out);
    case ExprKind::kIf: return conditional(e, out);
    case ExprKind::kOr:
    case ExprKind::kAnd: return junction(e, out);
    case ExprKind::kNot:
    case ExprKind::kNegate: return negation(e, out);
    case ExprKind::kEqual:
    case ExprKind::kNotEqual: return equality(e, out);
    case ExprKind::kLess:
    case ExprKind::kLessEqual:
    case ExprKind::kGreater:
    case ExprKind::kGreaterEqual: return ordering(e, out);
    case ExprKind::kIn: return membership(e, out);
    case ExprKind::kAdd:
    case ExprKind::kMultiply: return arithmetic(e, out);
    case ExprKind::kGetAttribute: return get_attribute(e, out);
    case ExprKind::kHas: return has_attribute(e, out);
    case ExprKind::kLike: return like(e, out);
    case ExprKind::kIs: return is_type(e, out);
    case ExprKind::kSet: return set(e, out);
    case ExprKind::kRecord: return record(e, out);
    case ExprKind::kContains:
    case ExprKind::kContainsAll:
    case ExprKind::kContainsAny:
    case ExprKind::kIsEmpty: return set_method(e, out);
    case ExprKind::kGetTag:
    case ExprKind::kHasTag: return tag_method(e, out);
    case ExprKind::kCall: return call(e, out);
  }
  return nullptr;
}

const Value* Evaluator::variable(const Expr& e, Value&) {
  if (e.variable == Variable::kContext) return &request_.context;
  return &subject_values_[static_cast<std::size_t>(e.variable)];
}

bool Evaluator::boolean(const Expr& e, bool& out) {
  Value temporary;
  const Value* value = evaluate(e, temporary);
  if (value == nullptr) return false;
  const bool* holds = value->as_bool();
  if (holds == nullptr) return type_error(e, "bool", *value) != nullptr;
  out = *holds;
  return true;
}

const Value* Evaluator::conditional(const Expr& e, Value& out) {
  bool holds = false;
  if (!boolean(e.operands[0], holds)) return nullptr;
  return evaluate(e.operands[holds ? 1 : 2], out);
}

// Left to right, only as far as needed; what is reached must be a boolean.
const Value* Evaluator::junction(const Expr& e, Value& out) {
  const bool decisive = e.kind == ExprKind::kOr;
  for (const Expr& operand : e.operands) {
    bool holds = false;
    if (!boolean(operand, holds)) return nullptr;
    if (holds != decisive) continue;
    out = Value(decisive);
    return &out;
  }
  out = Value(!decisive);
  return &out;
}

const Value* Evaluator::negation(const Expr& e, Value& out) {
  const Expr& operand = e.operands[0];
  if (e.kind == ExprKind::kNot) {
    bool holds = false;
    if (!boolean(operand, holds)) return nullptr;
    out = Value(!holds);
    return &out;
  }
  Value temporary;
  const Value* value = evaluate(operand, temporary);
  if (value == nullptr) return nullptr;
  const std::int64_t* number = value->as_long();
  if (number == nullptr) return type_error(operand, "long", *value);
  std::int64_t negated = 0;
  if (__builtin_sub_overflow(std::int64_t{0}, *number, &negated)) {
    return refuse(e, EvalErrorKind::kIntegerOverflow, "integer overflow negating " + quoted(std::to_string(*number)));
  }
  out = Value(negated);
  return &out;
}

const Value* Evaluator::equality(const Expr& e, Value& out) {
  Value left_temporary;
  Value right_temporary;
  const Value* left = evaluate(e.operands[0], left_temporary);
  if (left == nullptr) return nullptr;
  const Value* right = evaluate(e.operands[1], right_temporary);
  if (right == nullptr) return nullptr;
  out = Value((*left == *right) == (e.kind == ExprKind::kEqual));
  return &out;
}

const Value* Evaluator::ordering(const Expr& e, Value& out) {
  Value left_temporary;
  Value right_temporary;
  const Value* left = evaluate(e.operands[0], left_temporary);
  if (left == nullptr) return nullptr;
  const Value* right = evaluate(e.operands[1], right_temporary);
  if (right == nullptr) return nullptr;
  const auto is_ordered = [](const Value& value) {
    return value.as_long() != nullptr || value.as_datetime() != nullptr || value.as_duration() != nullptr;
  };
  if (!is_ordered(*left) && !is_ordered(*right)) {
    return type_error(e.operands[0], "one of [long, datetime, duration]", *left);
  }
  if (left->kind() != right->kind()) {
    const bool right_is_wrong = is_ordered(*left) && right->as_long() == nullptr;
    return right_is_wrong ? type_error(e.operands[1], left->type_name(), *right)
                          : type_error(e.operands[0], right->type_name(), *left);
  }
  const auto order = *left <=> *right;
  switch (e.kind) {
    case ExprKind::kLess: out = Value(order < 0); break;
    case ExprKind::kLessEqual: out = Value(order <= 0); break;
    case ExprKind::kGreater: out = Value(order > 0); break;
    default: out = Value(order >= 0);
  }
  return &out;
}

const Value* Evaluator::arithmetic(const Expr& e, Value& out) {
  std::int64_t total = 0;
  std::optional<Value> first;  // a first operand of the wrong type is told after the second was evaluated
  for (std::size_t i = 0; i < e.operands.size(); ++i) {
    Value temporary;
    const Value* value = evaluate(e.operands[i], temporary);
    if (value == nullptr) return nullptr;
    if (i == 0) {
      first = *value;
      continue;
    }
    if (i == 1) {
      if (first->as_long() == nullptr) return type_error(e.operands[0], "long", *first);
      total = *first->as_long();
    }
    const std::int64_t* number = value->as_long();
    if (number == nullptr) return type_error(e.operands[i], "long", *value);
    const bool subtracts = e.kind == ExprKind::kAdd && e.subtracts[i];
    std::int64_t next = 0;
    const bool overflowed = e.kind == ExprKind::kMultiply ? __builtin_mul_overflow(total, *number, &next)
                            : subtracts                   ? __builtin_sub_overflow(total, *number, &next)
                                                          : __builtin_add_overflow(total, *number, &next);
    if (overflowed) {
      const char* operation = e.kind == ExprKind::kMultiply ? " * " : subtracts ? " - " : " + ";
      return refuse(e, EvalErrorKind::kIntegerOverflow,
                    "integer overflow in " + quoted(std::to_string(total) + operation + std::to_string(*number)));
    }
    total = next;
  }
  out = Value(total);
  return &out;
}

bool Evaluator::is_member(const Expr& at, const Value& left, const Value& right, bool& out) {
  const EntityPtr* uid = left.as_entity();
  if (uid == nullptr) return type_error(at.operands[0], "entity", left) != nullptr;
  out = false;
  if (const EntityPtr* ancestor = right.as_entity()) {
    out = is_in(*uid, **ancestor);
    return true;
  }
  const Value::Set* set = right.as_set();
  if (set == nullptr) return type_error(at.operands[1], "set or entity", right) != nullptr;
  // Every element must be an entity, even behind one that decides.
  for (const Value& element : *set) {
    if (element.as_entity() == nullptr) return type_error(at.operands[1], "set of entities", element) != nullptr;
  }
  out = std::any_of(set->begin(), set->end(), [&](const Value& element) { return is_in(*uid, **element.as_entity()); });
  return true;
}

const Value* Evaluator::membership(const Expr& e, Value& out) {
  Value left_temporary;
  Value right_temporary;
  const Value* left = evaluate(e.operands[0], left_temporary);
  if (left == nullptr) return nullptr;
  const Value* right = evaluate(e.operands[1], right_temporary);
  bool member = false;
  if (right == nullptr || !is_member(e, *left, *right, member)) return nullptr;
  out = Value(member);
  return &out;
}

const Value* Evaluator::get_attribute(const Expr& e, Value& out) {
  Value temporary;
  const Value* base = evaluate(e.operands[0], temporary);
  if (base == nullptr) return nullptr;
  if (base->as_record() != nullptr) {
    const Value* found = base->find(e.name);
    if (found == nullptr) {
      return refuse(e, EvalErrorKind::kRecordAttrDoesNotExist, "record does not have the attribute " + quoted(e.name));
    }
    if (base != &temporary) return found;
    out = *found;  // the record goes with its temporary
    return &out;
  }
  const EntityPtr* uid = base->as_entity();
  if (uid == nullptr) return type_error(e.operands[0], "record or entity", *base);
  const Entity* entity = look_up(*uid);
  if (entity == nullptr) {
    return refuse(e.operands[0], EvalErrorKind::kEntityDoesNotExist,
                  "entity " + quoted((*uid)->to_string()) + " does not exist");
  }
  const Value* found = view_.attribute(*entity, e.name);
  if (found != nullptr) return found;
  return refuse(e, EvalErrorKind::kEntityAttrDoesNotExist,
                quoted((*uid)->to_string()) + " does not have the attribute " + quoted(e.name));
}

// `e has a.b.c`: each step but the last must lead to a record or entity; a missing one is false.
const Value* Evaluator::has_attribute(const Expr& e, Value& out) {
  Value temporary;
  const Value* base = evaluate(e.operands[0], temporary);
  if (base == nullptr) return nullptr;
  for (const std::string& name : e.names) {
    const Value* found = nullptr;
    if (base->as_record() != nullptr) {
      found = base->find(name);
    } else if (const EntityPtr* uid = base->as_entity()) {
      const Entity* entity = look_up(*uid);
      if (entity != nullptr) found = view_.attribute(*entity, name);
    } else {
      return type_error(e.operands[0], "record or entity", *base);
    }
    if (found == nullptr) {
      out = Value(false);
      return &out;
    }
    base = found;
  }
  out = Value(true);
  return &out;
}

const Value* Evaluator::like(const Expr& e, Value& out) {
  Value temporary;
  const Value* value = evaluate(e.operands[0], temporary);
  if (value == nullptr) return nullptr;
  const std::string* text = value->as_string();
  if (text == nullptr) return type_error(e.operands[0], "string", *value);
  out = Value(matches_pattern(*text, e.pattern));
  return &out;
}

const Value* Evaluator::is_type(const Expr& e, Value& out) {
  Value temporary;
  const Value* value = evaluate(e.operands[0], temporary);
  if (value == nullptr) return nullptr;
  const EntityPtr* uid = value->as_entity();
  if (uid == nullptr) return type_error(e.operands[0], "entity", *value);
  bool holds = (*uid)->type == e.name;
  // `e is T in x` means `e is T && e in x`.
  if (holds && e.operands.size() == 2) {
    Value right_temporary;
    const Value* right = evaluate(e.operands[1], right_temporary);
    if (right == nullptr || !is_member(e, *value, *right, holds)) return nullptr;
  }
  out = Value(holds);
  return &out;
}

const Value* Evaluator::set(const Expr& e, Value& out) {
  Value::Set elements;
  elements.reserve(e.operands.size());
  for (const Expr& operand : e.operands) {
    Value temporary;
    const Value* value = evaluate(operand, temporary);
    if (value == nullptr) return nullptr;
    elements.push_back(*value);
  }
  out = Value::set(std::move(elements));
  return &out;
}

// In the order of the names, which decides whose error is told when several attributes fail.
const Value* Evaluator::record(const Expr& e, Value& out) {
  std::vector<std::size_t> order(e.operands.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return e.names[a] < e.names[b]; });
  Value::Record members;
  members.reserve(e.operands.size());
  for (const std::size_t i : order) {
    Value temporary;
    const Value* value = evaluate(e.operands[i], temporary);
    if (value == nullptr) return nullptr;
    members.emplace_back(e.names[i], *value);
  }
  out = Value::record(std::move(members));
  return &out;
}

const Value* Evaluator::set_method(const Expr& e, Value& out) {
  Value receiver_temporary;
  Value argument_temporary;
  const Value* receiver = evaluate(e.operands[0], receiver_temporary);
  if (receiver == nullptr) return nullptr;
  const Value* argument = nullptr;
  if (e.operands.size() == 2) {
    argument = evaluate(e.operands[1], argument_temporary);
    if (argument == nullptr) return nullptr;
  }
  const Value::Set* set = receiver->as_set();
  if (set == nullptr) return type_error(e.operands[0], "set", *receiver);
  if (e.kind == ExprKind::kIsEmpty) {
    out = Value(set->empty());
    return &out;
  }
  if (e.kind == ExprKind::kContains) {
    out = Value(receiver->contains(*argument));
    return &out;
  }
  const Value::Set* other = argument->as_set();
  if (other == nullptr) return type_error(e.operands[1], "set", *argument);
  const auto contains = [&](const Value& element) { return receiver->contains(element); };
  out = Value(e.kind == ExprKind::kContainsAll ? std::all_of(other->begin(), other->end(), contains)
                                               : std::any_of(other->begin(), other->end(), contains));
  return &out;
}

const Value* Evaluator::tag_method(const Expr& e, Value& out) {
  Value receiver_temporary;
  Value key_temporary;
  const Value* receiver = evaluate(e.operands[0], receiver_temporary);
  if (receiver == nullptr) return nullptr;
  const Value* key = evaluate(e.operands[1], key_temporary);
  if (key == nullptr) return nullptr;
  const EntityPtr* uid = receiver->as_entity();
  if (uid == nullptr) return type_error(e.operands[0], "entity", *receiver);
  const std::string* name = key->as_string();
  if (name == nullptr) return type_error(e.operands[1], "string", *key);
  const Entity* entity = look_up(*uid);
  const Value* found = entity != nullptr ? view_.tag(*entity, *name) : nullptr;
  if (e.kind == ExprKind::kHasTag) {
    out = Value(found != nullptr);
    return &out;
  }
  if (found != nullptr) return found;
  if (entity == nullptr) {
    return refuse(e.operands[0], EvalErrorKind::kEntityDoesNotExist,
                  "entity " + quoted((*uid)->to_string()) + " does not exist");
  }
  return refuse(e, EvalErrorKind::kEntityAttrDoesNotExist,
                quoted((*uid)->to_string()) + " does not have the tag " + quoted(*name));
}

const Value* Evaluator::call(const Expr& e, Value& out) {
  std::vector<Value> arguments;
  arguments.reserve(e.operands.size());
  for (const Expr& operand : e.operands) {
    Value temporary;
    const Value* value = evaluate(operand, temporary);
    if (value == nullptr) return nullptr;
    arguments.push_back(*value);
  }
  const ExtensionFunction& function = extension(e.call);
  if (arguments.size() != function.arguments) {
    return refuse(e, EvalErrorKind::kWrongNumArguments,
                  "wrong number of arguments for " + quoted(function.name) + ": expected " +
                      std::to_string(function.arguments) + ", got " + std::to_string(arguments.size()));
  }
  ExtensionResult result = call_extension(e.call, arguments);
  if (result.outcome == ExtensionResult::Outcome::kTypeError) {
    return refuse(e, EvalErrorKind::kTypeError, std::move(result.message));
  }
  if (result.outcome == ExtensionResult::Outcome::kFailed) {
    return refuse(e, EvalErrorKind::kFailedExtensionFunctionExecution, std::move(result.message));
  }
  out = std::move(result.value);
  return &out;
}

Evaluator::Subject* Evaluator::subject(const EntityPtr& uid) {
  for (Subject& known : subjects_) {
    if (known.uid == uid || *known.uid == *uid) return &known;
  }
  return nullptr;
}

const Entity* Evaluator::look_up(const EntityPtr& uid) {
  Subject* known = subject(uid);
  if (known == nullptr) {
    reads_.add(uid);
    return view_.find(*uid);
  }
  if (!known->is_looked_up) {
    reads_.add(known->uid);
    known->entity = view_.find(*known->uid);
    known->is_looked_up = true;
  }
  return known->entity;
}

bool Evaluator::is_in(const EntityPtr& uid, const EntityUid& ancestor) {
  if (*uid == ancestor) return true;
  Subject* known = subject(uid);
  if (known == nullptr) return walk_to(uid, ancestor);
  const auto& all = ancestors(*known);
  return std::binary_search(all.begin(), all.end(), &ancestor, UidLess());
}

const std::vector<const EntityUid*>& Evaluator::ancestors(Variable variable) {
  return ancestors(subjects_[static_cast<std::size_t>(variable)]);
}

const std::vector<const EntityUid*>& Evaluator::ancestors(Subject& known) {
  if (known.ancestors) return *known.ancestors;
  UidSet seen;
  std::vector<const Entity*> open;
  if (const Entity* entity = look_up(known.uid)) open.push_back(entity);
  while (!open.empty()) {
    const Entity* entity = open.back();
    open.pop_back();
    for (const EntityPtr& parent : entity->parents) {
      if (!seen.insert(parent.get())) continue;
      if (const Entity* next = look_up(parent)) open.push_back(next);
    }
  }
  known.ancestors = seen.take_sorted();
  return *known.ancestors;
}

bool Evaluator::walk_to(const EntityPtr& uid, const EntityUid& ancestor) {
  UidSet seen;
  std::vector<const Entity*> open;
  if (const Entity* entity = look_up(uid)) open.push_back(entity);
  while (!open.empty()) {
    const Entity* entity = open.back();
    open.pop_back();
    for (const EntityPtr& parent : entity->parents) {
      if (!seen.insert(parent.get())) continue;
      if (*parent == ancestor) return true;
      if (const Entity* next = look_up(parent)) open.push_back(next);
    }
  }
  return false;
}

}  // namespace wary::cedar
