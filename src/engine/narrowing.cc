#include <algorithm>

#include "engine/program.h"

namespace wary::engine {

namespace {

using cedar::Expr;
using cedar::ExprKind;
using cedar::Variable;

bool mentions(const Expr& e, Variable variable) {
  if (e.kind == ExprKind::kVariable) return e.variable == variable;
  return std::any_of(e.operands.begin(), e.operands.end(), [&](const Expr& o) { return mentions(o, variable); });
}

bool is_variable(const Expr& e, Variable variable) { return e.kind == ExprKind::kVariable && e.variable == variable; }

class Finder {
 public:
  Finder(Variable variable, WorldNames& names) : variable_(variable), names_(names) {}

  // Every alternative of the clause, or none when one of them does not narrow.
  std::vector<Narrowing> alternatives(const Expr& e) {
    std::vector<Narrowing> out;
    if (e.kind != ExprKind::kOr) {
      add(e, out);
      return out;
    }
    for (const Expr& operand : e.operands) {
      if (!add(operand, out)) return {};
    }
    return out;
  }

 private:
  bool add(const Expr& e, std::vector<Narrowing>& out) {
    if (e.kind == ExprKind::kAnd) {
      return std::any_of(e.operands.begin(), e.operands.end(), [&](const Expr& operand) { return add(operand, out); });
    }
    if (e.kind == ExprKind::kIn && is_variable(e.operands[0], variable_)) {
      return found(Narrowing::Kind::kIn, kNone, e.operands[1], out);
    }
    if (e.kind == ExprKind::kIs && e.operands.size() == 2 && is_variable(e.operands[0], variable_)) {
      return found(Narrowing::Kind::kIn, kNone, e.operands[1], out);
    }
    if (e.kind == ExprKind::kContains && is_variable(e.operands[1], variable_)) {
      return found(Narrowing::Kind::kIs, kNone, e.operands[0], out);
    }
    if (e.kind != ExprKind::kEqual) return false;
    return add_equal(e.operands[0], e.operands[1], out) || add_equal(e.operands[1], e.operands[0], out);
  }

  bool add_equal(const Expr& left, const Expr& right, std::vector<Narrowing>& out) {
    if (is_variable(left, variable_)) return found(Narrowing::Kind::kIs, kNone, right, out);
    if (left.kind != ExprKind::kGetAttribute || !is_variable(left.operands[0], variable_)) return false;
    return found(Narrowing::Kind::kAttribute, names_.name(left.name), right, out);
  }

  bool found(Narrowing::Kind kind, std::uint32_t name, const Expr& value, std::vector<Narrowing>& out) {
    if (mentions(value, variable_)) return false;
    out.push_back({variable_, kind, name, compile_value(value, names_)});
    return true;
  }

  Variable variable_;
  WorldNames& names_;
};

}  // namespace

std::span<const Alternatives> find_narrowings(const cedar::Policy& policy, WorldNames& names) {
  std::vector<Alternatives> out;
  for (const Variable variable : {Variable::kPrincipal, Variable::kResource}) {
    Finder finder(variable, names);
    const auto add = [&](const Expr& clause) {
      const std::vector<Narrowing> alternatives = finder.alternatives(clause);
      if (alternatives.empty()) return;
      auto* kept = names.arena().make<Narrowing>(alternatives.size());
      std::copy(alternatives.begin(), alternatives.end(), kept);
      out.emplace_back(kept, alternatives.size());
    };
    for (const cedar::Condition& condition : policy.body->conditions) {
      if (condition.is_unless) continue;
      if (condition.expression.kind == ExprKind::kAnd) {
        std::for_each(condition.expression.operands.begin(), condition.expression.operands.end(), add);
      } else {
        add(condition.expression);
      }
    }
  }
  if (out.empty()) return {};
  auto* kept = names.arena().make<Alternatives>(out.size());
  std::copy(out.begin(), out.end(), kept);
  return {kept, out.size()};
}

}  // namespace wary::engine
