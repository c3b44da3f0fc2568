// The syntax tree of Cedar policies. Plain values; what the parser makes, the evaluator walks and the printer prints.
//
// `&&`, `||` and chains of + - or * are one node with many operands, so that a long chain is not a deep tree; every
// node knows its depth, which the parser bounds (limits::kPolicyDepth), so walking a tree may recurse. `a > b` stays
// what was written; the evaluator gives it Cedar's meaning, !(a <= b).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cedar/extension.h"
#include "cedar/lexer.h"
#include "cedar/source.h"
#include "cedar/value.h"

namespace wary::cedar {

enum class Variable : std::uint8_t { kPrincipal, kAction, kResource, kContext };
enum class Slot : std::uint8_t { kPrincipal, kResource };
std::string_view to_string(Variable variable);
std::string_view to_string(Slot slot);  // "?principal"

enum class ExprKind : std::uint8_t {
  kLiteral,   // literal
  kVariable,  // variable
  kIf,        // condition, then, else
  kOr,
  kAnd,  // two or more operands
  kNot,
  kNegate,  // one operand
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,            // two operands
  kAdd,           // two or more operands; `subtracts[i]` tells the sign of operand i (0 is never set)
  kMultiply,      // two or more operands
  kGetAttribute,  // one operand, name
  kHas,           // one operand, names: `e has a.b.c`; `has_string` for one no identifier: `e has "a b"`
  kLike,          // one operand, pattern
  kIs,            // one operand and name (the type); a second operand is what it must be `in`
  kSet,           // operands
  kRecord,        // operands with names
  kContains,
  kContainsAll,
  kContainsAny,
  kGetTag,
  kHasTag,   // two operands: receiver, argument
  kIsEmpty,  // one operand
  kCall,     // extension function or method, operands with the receiver first
};

struct Expr {
  ExprKind kind = ExprKind::kLiteral;
  Variable variable = Variable::kPrincipal;
  ExtensionOp call = ExtensionOp::kDecimal;
  bool has_string = false;
  std::uint16_t depth = 1;  // 1 + the deepest operand
  Span span;
  Value literal;
  std::string name;
  std::vector<std::string> names;
  std::vector<PatternElement> pattern;
  std::vector<bool> subtracts;
  std::vector<Expr> operands;
};

enum class Effect : std::uint8_t { kPermit, kForbid };

// One part of a policy's scope: principal, action or resource.
struct ScopeConstraint {
  enum class Kind : std::uint8_t {
    kAny,
    kEqual,  // entities[0] or the slot
    kIn,     // any of entities, or the slot
    kIs,     // type
    kIsIn,   // type, and in entities[0] or the slot
  };
  Kind kind = Kind::kAny;
  bool is_slot = false;  // of its own variable: ?principal or ?resource
  bool is_list = false;  // action in [ ... ], which may be empty
  std::string type;
  std::vector<EntityPtr> entities;
  Span span;
};

struct Condition {
  bool is_unless = false;
  Expr expression;
  Span span;  // from `when` to `}`
};

struct Annotation {
  std::string name;
  std::optional<std::string> value;  // @name without parentheses has none
};

// A policy as written: static, or a template when a scope part is a slot.
struct PolicyBody {
  Effect effect = Effect::kPermit;
  std::vector<Annotation> annotations;  // in the order written; names differ
  ScopeConstraint principal;
  ScopeConstraint action;
  ScopeConstraint resource;
  std::vector<Condition> conditions;
  Span span;                             // from the first annotation to the semicolon
  std::shared_ptr<const Source> source;  // shared by the policies of one text

  bool is_template() const { return principal.is_slot || resource.is_slot; }
  // The annotation's value ("" for one without), or null.
  const std::string* annotation(std::string_view name) const;
};

}  // namespace wary::cedar
