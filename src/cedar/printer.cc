#include "cedar/printer.h"

namespace wary::cedar {

namespace {

// How tightly an expression binds, as the grammar nests its rules.
enum class Level { kIf, kOr, kAnd, kRelation, kSum, kProduct, kUnary, kMember };

bool is_negative_number(const Expr& e) {
  return e.kind == ExprKind::kLiteral && e.literal.as_long() != nullptr && *e.literal.as_long() < 0;
}

Level level(const Expr& e) {
  switch (e.kind) {
    case ExprKind::kIf: return Level::kIf;
    case ExprKind::kOr: return Level::kOr;
    case ExprKind::kAnd: return Level::kAnd;
    case ExprKind::kEqual:
    case ExprKind::kNotEqual:
    case ExprKind::kLess:
    case ExprKind::kLessEqual:
    case ExprKind::kGreater:
    case ExprKind::kGreaterEqual:
    case ExprKind::kIn:
    case ExprKind::kHas:
    case ExprKind::kLike:
    case ExprKind::kIs: return Level::kRelation;
    case ExprKind::kAdd: return Level::kSum;
    case ExprKind::kMultiply: return Level::kProduct;
    case ExprKind::kNot:
    case ExprKind::kNegate: return Level::kUnary;
    default: return is_negative_number(e) ? Level::kUnary : Level::kMember;
  }
}

class Printer {
 public:
  std::string take() { return std::move(out_); }

  void expression(const Expr& e, Level at_least) {
    const bool parenthesized = level(e) < at_least;
    if (parenthesized) out_ += '(';
    bare(e);
    if (parenthesized) out_ += ')';
  }

 private:
  void bare(const Expr& e) {
    switch (e.kind) {
      case ExprKind::kLiteral: out_ += e.literal.to_string(); break;
      case ExprKind::kVariable: out_ += to_string(e.variable); break;
      case ExprKind::kIf: conditional(e); break;
      case ExprKind::kOr: joined(e.operands, " || ", Level::kAnd); break;
      case ExprKind::kAnd: joined(e.operands, " && ", Level::kRelation); break;
      case ExprKind::kNot: prefixed('!', e); break;
      case ExprKind::kNegate: prefixed('-', e); break;
      case ExprKind::kEqual: joined(e.operands, " == ", Level::kSum); break;
      case ExprKind::kNotEqual: joined(e.operands, " != ", Level::kSum); break;
      case ExprKind::kLess: joined(e.operands, " < ", Level::kSum); break;
      case ExprKind::kLessEqual: joined(e.operands, " <= ", Level::kSum); break;
      case ExprKind::kGreater: joined(e.operands, " > ", Level::kSum); break;
      case ExprKind::kGreaterEqual: joined(e.operands, " >= ", Level::kSum); break;
      case ExprKind::kIn: joined(e.operands, " in ", Level::kSum); break;
      case ExprKind::kAdd: sum(e); break;
      case ExprKind::kMultiply: joined(e.operands, " * ", Level::kUnary); break;
      case ExprKind::kGetAttribute: attribute(e); break;
      case ExprKind::kHas: has(e); break;
      case ExprKind::kLike: like(e); break;
      case ExprKind::kIs: is_type(e); break;
      case ExprKind::kSet: enclosed('[', e.operands, 0, ']'); break;
      case ExprKind::kRecord: record(e); break;
      case ExprKind::kContains: method("contains", e); break;
      case ExprKind::kContainsAll: method("containsAll", e); break;
      case ExprKind::kContainsAny: method("containsAny", e); break;
      case ExprKind::kIsEmpty: method("isEmpty", e); break;
      case ExprKind::kGetTag: method("getTag", e); break;
      case ExprKind::kHasTag: method("hasTag", e); break;
      case ExprKind::kCall: call(e); break;
    }
  }

  void joined(const std::vector<Expr>& operands, std::string_view separator, Level at_least) {
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (i > 0) out_ += separator;
      expression(operands[i], at_least);
    }
  }

  void enclosed(char open, const std::vector<Expr>& operands, std::size_t first, char close) {
    out_ += open;
    for (std::size_t i = first; i < operands.size(); ++i) {
      if (i > first) out_ += ", ";
      expression(operands[i], Level::kIf);
    }
    out_ += close;
  }

  void conditional(const Expr& e) {
    out_ += "if ";
    expression(e.operands[0], Level::kIf);
    out_ += " then ";
    expression(e.operands[1], Level::kIf);
    out_ += " else ";
    expression(e.operands[2], Level::kIf);
  }

  // At most four of one sign stand in a row, and a minus before a number is part of the number: parentheses keep the
  // operand apart in every case but a member expression.
  void prefixed(char sign, const Expr& e) {
    out_ += sign;
    const Expr& operand = e.operands[0];
    const bool is_number = operand.kind == ExprKind::kLiteral && operand.literal.as_long() != nullptr;
    if (level(operand) == Level::kMember && !is_number) {
      bare(operand);
    } else {
      out_ += '(';
      bare(operand);
      out_ += ')';
    }
  }

  void sum(const Expr& e) {
    for (std::size_t i = 0; i < e.operands.size(); ++i) {
      if (i > 0) out_ += e.subtracts[i] ? " - " : " + ";
      expression(e.operands[i], Level::kProduct);
    }
  }

  void attribute(const Expr& e) {
    expression(e.operands[0], Level::kMember);
    if (is_identifier(e.name)) {
      out_ += "." + e.name;
    } else {
      out_ += '[';
      append_string_literal(out_, e.name);
      out_ += ']';
    }
  }

  void has(const Expr& e) {
    expression(e.operands[0], Level::kSum);
    out_ += " has ";
    if (e.has_string) {
      append_string_literal(out_, e.names[0]);
      return;
    }
    for (std::size_t i = 0; i < e.names.size(); ++i) out_ += (i > 0 ? "." : "") + e.names[i];
  }

  void like(const Expr& e) {
    expression(e.operands[0], Level::kSum);
    // Escaped as a string first; a star is then told from a wildcard by its backslash.
    out_ += " like \"";
    for (const PatternElement& element : e.pattern) {
      if (element.is_wildcard) {
        out_ += '*';
      } else if (element.code_point == '*') {
        out_ += "\\*";
      } else {
        std::string character;
        append_utf8(character, element.code_point);
        std::string literal;
        append_string_literal(literal, character);
        out_ += literal.substr(1, literal.size() - 2);
      }
    }
    out_ += '"';
  }

  void is_type(const Expr& e) {
    expression(e.operands[0], Level::kSum);
    out_ += " is " + e.name;
    if (e.operands.size() == 2) {
      out_ += " in ";
      expression(e.operands[1], Level::kSum);
    }
  }

  void record(const Expr& e) {
    out_ += '{';
    for (std::size_t i = 0; i < e.operands.size(); ++i) {
      if (i > 0) out_ += ", ";
      append_string_literal(out_, e.names[i]);
      out_ += ": ";
      expression(e.operands[i], Level::kIf);
    }
    out_ += '}';
  }

  void method(std::string_view name, const Expr& e) {
    expression(e.operands[0], Level::kMember);
    out_ += ".";
    out_ += name;
    enclosed('(', e.operands, 1, ')');
  }

  void call(const Expr& e) {
    const ExtensionFunction& function = extension(e.call);
    if (function.is_method) return method(function.name, e);
    out_ += function.name;
    enclosed('(', e.operands, 0, ')');
  }

  std::string out_;
};

std::string target(const ScopeConstraint& constraint, Variable variable) {
  if (constraint.is_slot) return "?" + std::string(to_string(variable));
  if (!constraint.is_list) return constraint.entities.front()->to_string();
  std::string out = "[";
  for (std::size_t i = 0; i < constraint.entities.size(); ++i) {
    out += (i > 0 ? ", " : "") + constraint.entities[i]->to_string();
  }
  return out + "]";
}

}  // namespace

std::string print(const Expr& e) {
  Printer printer;
  printer.expression(e, Level::kIf);
  return printer.take();
}

std::string print(const ScopeConstraint& constraint, Variable variable) {
  const std::string name(to_string(variable));
  switch (constraint.kind) {
    case ScopeConstraint::Kind::kAny: return name;
    case ScopeConstraint::Kind::kEqual: return name + " == " + target(constraint, variable);
    case ScopeConstraint::Kind::kIn: return name + " in " + target(constraint, variable);
    case ScopeConstraint::Kind::kIs: return name + " is " + constraint.type;
    case ScopeConstraint::Kind::kIsIn: return name + " is " + constraint.type + " in " + target(constraint, variable);
  }
  return name;
}

std::string print(const PolicyBody& policy) {
  std::string out;
  for (const Annotation& annotation : policy.annotations) {
    out += "@" + annotation.name;
    if (annotation.value) {
      out += '(';
      append_string_literal(out, *annotation.value);
      out += ')';
    }
    out += ' ';
  }
  out += policy.effect == Effect::kPermit ? "permit (" : "forbid (";
  out += print(policy.principal, Variable::kPrincipal) + ", " + print(policy.action, Variable::kAction) + ", " +
         print(policy.resource, Variable::kResource) + ")";
  for (const Condition& condition : policy.conditions) {
    out += (condition.is_unless ? " unless { " : " when { ") + print(condition.expression) + " }";
  }
  return out + ";";
}

}  // namespace wary::cedar
