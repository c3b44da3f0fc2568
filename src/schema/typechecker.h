// The typechecker: one expression in one request environment. Private to schema/.
//
// An answer may have a type although something in it is wrong, so that the rest is still looked at; and may be right
// without a type known (a literal of an unknown entity type, which the validator reports elsewhere). Recursion is
// bounded by the depth of the expression; each operand is entered once.
#pragma once

#include <initializer_list>
#include <unordered_map>

#include "schema/report.h"
#include "schema/shapes.h"

namespace wary::schema {

struct Answer {
  TypePtr type;            // null: not known
  bool is_right = true;    // false once something in it was wrong
  Capabilities when_true;  // what holds where the expression was true
  static Answer of(TypePtr type) { return {std::move(type), true, {}}; }
  static Answer wrong(TypePtr type = nullptr) { return {std::move(type), false, {}}; }
};

// Whether an entity of one type may be in one of the other, actions included; answers are remembered.
class Hierarchy {
 public:
  explicit Hierarchy(const Schema& schema) : schema_(schema) {}
  bool may_be_in(const std::string& type, const std::string& ancestor);

 private:
  bool actions_may_be_in(const std::string& type, const std::string& ancestor) const;
  const Schema& schema_;
  std::unordered_map<std::string, bool> actions_;
};

class Typechecker {
 public:
  using Types = std::unordered_map<const cedar::Expr*, TypePtr>;
  // `types` is filled when it is not null.
  Typechecker(const Schema& schema, Hierarchy& hierarchy, Shapes& shapes, Report& report,
              const Environment& environment, Types* types)
      : schema_(schema),
        hierarchy_(hierarchy),
        shapes_(shapes),
        report_(report),
        environment_(environment),
        types_(types) {}

  Answer check(const cedar::Expr& e, const Capabilities& prior);
  // The expression as a condition: a type that is no boolean is reported.
  Answer check_boolean(const cedar::Expr& e, const Capabilities& prior);
  // Two answers as operands of &&.
  static Answer conjunction(const Answer& left, const Answer& right);

 private:
  using Kinds = std::initializer_list<Type::Kind>;
  Answer dispatch(const cedar::Expr& e, const Capabilities& prior);
  Answer expect(const cedar::Expr& e, const Capabilities& prior, Kinds kinds, std::string_view expected,
                std::string_view hint = {});
  Answer expect_answer(const cedar::Expr& e, Answer answer, Kinds kinds, std::string_view expected,
                       std::string_view hint);
  void unexpected(const cedar::Expr& e, std::string_view expected, const Type& found, std::string_view hint = {});

  Answer literal(const cedar::Expr& e);
  Answer variable(const cedar::Expr& e);
  Answer conditional(const cedar::Expr& e, const Capabilities& prior);
  Answer both_branches(const cedar::Expr& e, const Answer& test, const Capabilities& prior);
  Answer all_of(const cedar::Expr& e, const Capabilities& prior);
  Answer any_of(const cedar::Expr& e, const Capabilities& prior);
  Answer negation(const cedar::Expr& e, const Capabilities& prior);
  // typechecker_operators.cc
  Answer equality(const cedar::Expr& e, const Capabilities& prior);
  Answer ordering(const cedar::Expr& e, const Capabilities& prior);
  Answer arithmetic(const cedar::Expr& e, const Capabilities& prior);
  Answer membership(const cedar::Expr& e, const Capabilities& prior);
  Answer membership(const cedar::Expr& left_expression, const Answer& left, const cedar::Expr& right_expression,
                    const Capabilities& prior);
  TypePtr action_membership(const cedar::EntityUid& action, const cedar::Expr& right) const;
  Answer is_type(const cedar::Expr& e, const Capabilities& prior);
  Answer set_method(const cedar::Expr& e, const Capabilities& prior);
  Answer set(const cedar::Expr& e, const Capabilities& prior);
  Answer record(const cedar::Expr& e, const Capabilities& prior);
  Answer call(const cedar::Expr& e, const Capabilities& prior);
  bool check_call(const cedar::Expr& e, std::size_t arguments);
  // typechecker_access.cc
  Answer get_attribute(const cedar::Expr& e, const Capabilities& prior);
  Answer has(const cedar::Expr& e, const Capabilities& prior);
  Answer has_one(const Answer& base, std::uint32_t base_shape, const std::string& name, const Capabilities& prior);
  Answer has_tag(const cedar::Expr& e, const Capabilities& prior);
  Answer get_tag(const cedar::Expr& e, const Capabilities& prior);
  const Attribute* attribute_of(const Type& type, std::string_view name) const;
  std::vector<std::string_view> attribute_names(const Type& type) const;

  void incompatible(const cedar::Expr& e, const Type& a, const Type& b, std::string_view what, std::string_view hint);
  // The entity an expression stands for whatever the request: a literal, or the action of the environment.
  const cedar::EntityUid* known_entity(const cedar::Expr& e) const;

  const Schema& schema_;
  Hierarchy& hierarchy_;
  Shapes& shapes_;
  Report& report_;
  const Environment& environment_;
  Types* types_;
};

}  // namespace wary::schema
