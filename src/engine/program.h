// Programs: policies as flat code for a stack machine. Private to engine/.
//
// An operation is 12 bytes; operands lie in pools. Conditions end with kWhen or kUnless, so that a policy is decided as
// soon as one fails. What can be known without a request is computed when compiling; a computation that would fail
// stays in the code and fails when it is reached, as the language wants. How deep the stack can get is known
// beforehand.
#pragma once

#include <cstdint>
#include <vector>

#include "cedar/ast.h"
#include "cedar/policy_set.h"
#include "engine/convert.h"

namespace wary::engine {

enum class Code : std::uint8_t {
  kConstant,        // a: constant; push
  kVariable,        // variable; push
  kVariableMember,  // variable, a: name; push the member
  kMember,          // a: name; replace by the member
  kHas,             // a: first of b names; replace by a boolean
  kVariableHas,     // variable, a: name; push a boolean
  kAnd,             // a: where to go with false; pops true
  kOr,              // a: where to go with true; pops false
  kBoolean,         // the top must be a boolean
  kBranch,          // a: where to go when the popped boolean is false
  kJump,            // a: where to go
  kNot,
  kNegate,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kVariableIn,  // variable, in the top
  kAdd,
  kSubtract,
  kMultiply,
  kLike,        // a: pattern
  kIs,          // a: type name
  kIsBeforeIn,  // a: type name, b: where to go with false; keeps the entity
  kSet,         // a: count
  kRecord,      // a: first of b names, ascending; the values lie in the order of `order`
  kContains,
  kContainsAll,
  kContainsAny,
  kIsEmpty,
  kGetTag,
  kHasTag,
  kCall,        // variable: cedar::ExtensionOp; a: count
  kWrongCount,  // a: count; arguments were evaluated, their number is wrong
  kWhen,        // pops; false: not satisfied
  kUnless,      // pops; true: not satisfied
  kSatisfied,
};

struct Operation {
  Code code = Code::kSatisfied;
  std::uint8_t variable = 0;  // cedar::Variable
  std::uint16_t unused = 0;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
};
static_assert(sizeof(Operation) == 12);

// One part of a scope. Of an `in` list, `refs` names all.
struct Scope {
  cedar::ScopeConstraint::Kind kind = cedar::ScopeConstraint::Kind::kAny;
  std::uint32_t type = kNone;
  std::uint32_t ref = kNone;  // the first
  std::uint32_t first = 0;    // of a list, into Program::refs
  std::uint32_t count = 0;
};

// What the first clause of a policy starts with, if that is "a member of a variable equals a constant": while the
// member is there and is not the constant, the policy is not satisfied, and nothing of it can err.
struct FirstTest {
  bool is_there = false;
  cedar::Variable variable = cedar::Variable::kResource;
  std::uint32_t name = kNone;
  Cell constant;
};

struct CompiledPolicy {
  Scope principal;
  Scope action;
  Scope resource;
  std::uint32_t code = 0;  // where it begins
  bool is_forbid = false;
  bool has_conditions = false;
  FirstTest first;
};

struct Program {
  std::vector<Operation> code;
  std::vector<Cell> constants;
  std::vector<std::uint32_t> names;
  std::vector<std::uint32_t> refs;
  std::vector<std::vector<cedar::PatternElement>> patterns;
  std::vector<CompiledPolicy> policies;
  std::uint32_t stack = 1;  // cells that a run needs at most
};

// Appends one policy. Its slots must have values.
void compile(const cedar::Policy& policy, WorldNames& names, Program& program);
// Appends an expression alone, ending with kSatisfied; where it begins.
std::uint32_t compile_value(const cedar::Expr& expression, WorldNames& names, Program& program);

}  // namespace wary::engine
