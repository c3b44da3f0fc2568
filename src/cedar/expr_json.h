// Expressions to and from JSON, the part of policy_json that knows the operators. Private to cedar/.
#pragma once

#include <array>
#include <string_view>

#include "cedar/ast.h"
#include "codec/json.h"

namespace wary::cedar {

// The operators that are written {"OPERATOR": {"left", "right"}} or {"OPERATOR": {"arg"}}.
struct JsonOperator {
  std::string_view name;
  ExprKind kind;
  std::size_t operands;
};
constexpr std::array<JsonOperator, 20> kJsonOperators = {{
    {"!", ExprKind::kNot, 1},
    {"neg", ExprKind::kNegate, 1},
    {"isEmpty", ExprKind::kIsEmpty, 1},
    {"==", ExprKind::kEqual, 2},
    {"!=", ExprKind::kNotEqual, 2},
    {"<", ExprKind::kLess, 2},
    {"<=", ExprKind::kLessEqual, 2},
    {">", ExprKind::kGreater, 2},
    {">=", ExprKind::kGreaterEqual, 2},
    {"in", ExprKind::kIn, 2},
    {"&&", ExprKind::kAnd, 2},
    {"||", ExprKind::kOr, 2},
    {"+", ExprKind::kAdd, 2},
    {"-", ExprKind::kAdd, 2},
    {"*", ExprKind::kMultiply, 2},
    {"contains", ExprKind::kContains, 2},
    {"containsAll", ExprKind::kContainsAll, 2},
    {"containsAny", ExprKind::kContainsAny, 2},
    {"getTag", ExprKind::kGetTag, 2},
    {"hasTag", ExprKind::kHasTag, 2},
}};

// Two or more operands in one node, written in JSON as operators nested to the left.
constexpr bool is_chain(ExprKind kind) {
  return kind == ExprKind::kAnd || kind == ExprKind::kOr || kind == ExprKind::kAdd || kind == ExprKind::kMultiply;
}

// `depth` is the level of the JSON value that is written or read.
Result<codec::Json> write_expression(const Expr& expression, std::size_t depth);
// Without spans and without depths: for printing, and parsing what was printed.
Result<Expr> read_expression(const codec::Json& json, std::size_t depth);

}  // namespace wary::cedar
