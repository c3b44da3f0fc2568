// Expressions to JSON.
#include "cedar/expr_json.h"
#include "cedar/json.h"
#include "cedar/policy_json.h"

namespace wary::cedar {

namespace {

using codec::Json;

Json wrapped(std::string_view name, Json inner) { return Json::object({{std::string(name), std::move(inner)}}); }

Json binary(std::string_view name, Json left, Json right) {
  return wrapped(name, Json::object({{"left", std::move(left)}, {"right", std::move(right)}}));
}

std::string_view operator_name(ExprKind kind) {
  for (const JsonOperator& op : kJsonOperators) {
    if (op.kind == kind) return op.name;
  }
  return "";
}

class Writer {
 public:
  Result<Json> write(const Expr& e, std::size_t depth) {
    // Behind the deepest name of an operator two more levels are written: its object and a value or escape in it.
    if (depth + 4 > kExpressionJsonDepth) {
      return fail(ErrorKind::kInvalid, "cedar_json_depth", "the expression nests too deep as JSON")
          .expected("at most " + std::to_string(kExpressionJsonDepth) + " levels");
    }
    switch (e.kind) {
      case ExprKind::kLiteral: return wrapped("Value", to_json(e.literal));
      case ExprKind::kVariable: return wrapped("Var", Json(to_string(e.variable)));
      case ExprKind::kIf: return conditional(e, depth);
      case ExprKind::kAnd:
      case ExprKind::kOr:
      case ExprKind::kAdd:
      case ExprKind::kMultiply: return chain(e, depth);
      case ExprKind::kGetAttribute: return with_left(e, ".", {"attr", Json(e.name)}, depth);
      case ExprKind::kHas: return has(e, depth);
      case ExprKind::kLike: return like(e, depth);
      case ExprKind::kIs: return is_type(e, depth);
      case ExprKind::kSet: return list("Set", e, depth);
      case ExprKind::kRecord: return record(e, depth);
      case ExprKind::kCall: return list(extension(e.call).name, e, depth);
      default: return plain(e, depth);
    }
  }

 private:
  Result<Json> plain(const Expr& e, std::size_t depth) {
    const std::string_view name = operator_name(e.kind);
    WARY_ASSIGN_OR_RETURN(Json left, write(e.operands[0], depth + 2));
    if (e.operands.size() == 1) return wrapped(name, wrapped("arg", std::move(left)));
    WARY_ASSIGN_OR_RETURN(Json right, write(e.operands[1], depth + 2));
    return binary(name, std::move(left), std::move(right));
  }

  // The first operand stands deepest.
  Result<Json> chain(const Expr& e, std::size_t depth) {
    const std::size_t operators = e.operands.size() - 1;
    WARY_ASSIGN_OR_RETURN(Json out, write(e.operands[0], depth + 2 * operators));
    for (std::size_t i = 1; i <= operators; ++i) {
      WARY_ASSIGN_OR_RETURN(Json right, write(e.operands[i], depth + 2 * (operators - i + 1)));
      const bool subtracts = e.kind == ExprKind::kAdd && e.subtracts[i];
      out = binary(subtracts ? "-" : operator_name(e.kind), std::move(out), std::move(right));
    }
    return out;
  }

  Result<Json> conditional(const Expr& e, std::size_t depth) {
    WARY_ASSIGN_OR_RETURN(Json condition, write(e.operands[0], depth + 2));
    WARY_ASSIGN_OR_RETURN(Json then_part, write(e.operands[1], depth + 2));
    WARY_ASSIGN_OR_RETURN(Json else_part, write(e.operands[2], depth + 2));
    return wrapped(
        "if-then-else",
        Json::object({{"if", std::move(condition)}, {"then", std::move(then_part)}, {"else", std::move(else_part)}}));
  }

  Result<Json> with_left(const Expr& e, std::string_view name, Json::Member second, std::size_t depth) {
    WARY_ASSIGN_OR_RETURN(Json left, write(e.operands[0], depth + 2));
    return wrapped(name, Json::object({{"left", std::move(left)}, std::move(second)}));
  }

  Result<Json> has(const Expr& e, std::size_t depth) {
    if (e.names.size() == 1) return with_left(e, "has", {"attr", Json(e.names[0])}, depth);
    Json path = Json::array();
    for (const std::string& name : e.names) path.push(Json(name));
    return with_left(e, "has", {"attr", std::move(path)}, depth);
  }

  Result<Json> like(const Expr& e, std::size_t depth) {
    Json pattern = Json::array();
    for (const PatternElement& element : e.pattern) {
      if (element.is_wildcard) {
        pattern.push(Json("Wildcard"));
        continue;
      }
      std::string character;
      append_utf8(character, element.code_point);
      pattern.push(wrapped("Literal", Json(std::move(character))));
    }
    return with_left(e, "like", {"pattern", std::move(pattern)}, depth);
  }

  Result<Json> is_type(const Expr& e, std::size_t depth) {
    WARY_ASSIGN_OR_RETURN(Json left, write(e.operands[0], depth + 2));
    Json members = Json::object({{"left", std::move(left)}, {"entity_type", Json(e.name)}});
    if (e.operands.size() == 2) {
      WARY_ASSIGN_OR_RETURN(Json in, write(e.operands[1], depth + 2));
      members.set("in", std::move(in));
    }
    return wrapped("is", std::move(members));
  }

  Result<Json> list(std::string_view name, const Expr& e, std::size_t depth) {
    Json items = Json::array();
    for (const Expr& operand : e.operands) {
      WARY_ASSIGN_OR_RETURN(Json item, write(operand, depth + 2));
      items.push(std::move(item));
    }
    return wrapped(name, std::move(items));
  }

  Result<Json> record(const Expr& e, std::size_t depth) {
    Json members = Json::object();
    for (std::size_t i = 0; i < e.operands.size(); ++i) {
      WARY_ASSIGN_OR_RETURN(Json value, write(e.operands[i], depth + 2));
      members.members().emplace_back(e.names[i], std::move(value));
    }
    return wrapped("Record", std::move(members));
  }
};

}  // namespace

Result<Json> write_expression(const Expr& e, std::size_t depth) { return Writer().write(e, depth); }

}  // namespace wary::cedar
