// The evaluator: one request against policies and expressions, by walking the tree. The simple engine, kept for life:
// a faster one is checked against it.
//
//   StoreView view(store);
//   Evaluator evaluator(request, view);
//   switch (evaluator.evaluate(policy)) {
//     case Outcome::kSatisfied: ...
//     case Outcome::kError: report(evaluator.error());
//   }
//   evaluator.reads();   // every entity whose attributes, tags or parents were consulted
//
// One evaluator belongs to one thread and one request; it borrows both arguments. Time is linear in the policy and what
// it touches: an ancestor walk enters each entity once, `like` is linear. Recursion is bounded by the depth the parser
// allowed.
#pragma once

#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cedar/entities.h"
#include "cedar/policy_set.h"

namespace wary::cedar {

struct Request {
  EntityPtr principal;
  EntityPtr action;
  EntityPtr resource;
  Value context = Value::record({});  // a record
};

enum class EvalErrorKind : std::uint8_t {
  kEntityDoesNotExist,
  kEntityAttrDoesNotExist,
  kRecordAttrDoesNotExist,
  kTypeError,
  kWrongNumArguments,
  kIntegerOverflow,
  kUnlinkedSlot,
  kFailedExtensionFunctionExecution,
};
std::string_view to_string(EvalErrorKind kind);  // Cedar's name, e.g. "EntityDoesNotExist"

struct EvalError {
  EvalErrorKind kind = EvalErrorKind::kTypeError;
  std::string message;
  Span span;  // of the expression that failed, in the policy's source
};

enum class Outcome : std::uint8_t { kSatisfied, kNotSatisfied, kError };

// Entities in the order first read, each once.
class ReadSet {
 public:
  void add(const EntityPtr& uid);
  const std::vector<EntityPtr>& entities() const { return entities_; }

 private:
  struct Less {
    bool operator()(const EntityPtr& a, const EntityPtr& b) const { return *a < *b; }
  };
  std::vector<EntityPtr> entities_;
  std::set<EntityPtr, Less> index_;  // used once there are too many to look through
};

class Evaluator {
 public:
  Evaluator(const Request& request, EntityView& view);

  // Scope, then the conditions in order, until one decides.
  Outcome evaluate(const Policy& policy);
  Outcome evaluate_condition(const Condition& condition);
  // One part of the scope alone; this never fails.
  bool matches(const ScopeConstraint& constraint, Variable variable, const EntityPtr& slot);
  // The value, in `out` or in what outlives this evaluator; null on an error.
  const Value* evaluate(const Expr& expression, Value& out);
  const EvalError& error() const { return error_; }

  // The principal, action and resource themselves are read when something asks for what is behind them.
  const ReadSet& reads() const { return reads_; }
  bool is_in(const EntityPtr& uid, const EntityUid& ancestor);
  // All ancestors of the principal, action or resource (not of the context), each once.
  const std::vector<const EntityUid*>& ancestors(Variable variable);

 private:
  // What is known of principal, action and resource, which nearly every policy asks about.
  struct Subject {
    EntityPtr uid;
    const Entity* entity = nullptr;
    bool is_looked_up = false;
    std::optional<std::vector<const EntityUid*>> ancestors;  // sorted, as is_in searches them
  };

  const Value* variable(const Expr& e, Value& out);
  const Value* conditional(const Expr& e, Value& out);
  const Value* junction(const Expr& e, Value& out);
  const Value* negation(const Expr& e, Value& out);
  const Value* equality(const Expr& e, Value& out);
  const Value* ordering(const Expr& e, Value& out);
  const Value* arithmetic(const Expr& e, Value& out);
  const Value* membership(const Expr& e, Value& out);
  const Value* get_attribute(const Expr& e, Value& out);
  const Value* has_attribute(const Expr& e, Value& out);
  const Value* like(const Expr& e, Value& out);
  const Value* is_type(const Expr& e, Value& out);
  const Value* set(const Expr& e, Value& out);
  const Value* record(const Expr& e, Value& out);
  const Value* set_method(const Expr& e, Value& out);
  const Value* tag_method(const Expr& e, Value& out);
  const Value* call(const Expr& e, Value& out);

  // The operand as a boolean, long or entity; false with error_ set when it is not one.
  bool boolean(const Expr& e, bool& out);
  bool is_member(const Expr& at, const Value& left, const Value& right, bool& out);
  const Entity* look_up(const EntityPtr& uid);
  Subject* subject(const EntityPtr& uid);
  const std::vector<const EntityUid*>& ancestors(Subject& subject);
  bool walk_to(const EntityPtr& uid, const EntityUid& ancestor);

  const Value* refuse(const Expr& at, EvalErrorKind kind, std::string message);
  const Value* type_error(const Expr& at, std::string_view expected, const Value& found);

  const Request& request_;
  EntityView& view_;
  std::array<Subject, 3> subjects_;  // as Variable orders them
  std::array<Value, 3> subject_values_;
  ReadSet reads_;
  EvalError error_;
};

}  // namespace wary::cedar
