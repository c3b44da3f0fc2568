// Programs: policies as flat code for a stack machine. Private to engine/.
//
// An operation is 12 bytes; operands lie in pools behind it. A policy is one block of memory of a world, which neither
// moves nor changes; its scopes and its code are read together. Conditions end with kWhen or kUnless, so that a policy
// is decided as soon as one fails. What can be known without a request is computed when compiling; a computation that
// would fail stays in the code and fails when it is reached, as the language wants. How deep the stack can get is known
// beforehand.
#pragma once

#include <cstdint>
#include <span>
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
  kVariableIn,        // variable, in the top
  kVariableInMember,  // variable, in member a of `other`, or in b of that if b is a name; push a boolean
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
  std::uint16_t other = 0;    // a second variable
  std::uint32_t a = 0;
  std::uint32_t b = 0;
};
static_assert(sizeof(Operation) == 12);

// One part of a scope. Of an `in` list, `refs` names all.
struct Scope {
  cedar::ScopeConstraint::Kind kind = cedar::ScopeConstraint::Kind::kAny;
  std::uint32_t type = kNone;
  std::uint32_t ref = kNone;  // the first
  std::uint32_t count = 0;
  const std::uint32_t* refs = nullptr;
  std::span<const std::uint32_t> all() const { return {refs, count}; }
};

// What the first clause of a policy starts with, if that is "a member of a variable equals a constant": while the
// member is there and is not the constant, the policy is not satisfied, and nothing of it can err.
struct FirstTest {
  bool is_there = false;
  cedar::Variable variable = cedar::Variable::kResource;
  std::uint32_t name = kNone;
  Cell constant;
};

// Code, from its beginning, and its pools.
struct Program {
  const Operation* code = nullptr;
  const Cell* constants = nullptr;
  const std::uint32_t* names = nullptr;
  const std::span<const cedar::PatternElement>* patterns = nullptr;
  std::uint32_t stack = 1;  // cells that a run needs at most
};

// A clause without which a policy is not satisfied, and which ties principal or resource to a value that does not
// depend on it.
struct Narrowing {
  enum class Kind : std::uint8_t { kIs, kIn, kAttribute };
  cedar::Variable variable = cedar::Variable::kResource;
  Kind kind = Kind::kIs;       // it is the value, or in the set; is in the value; its attribute is the value
  std::uint32_t name = kNone;  // of the attribute
  Program value;
};
using Alternatives = std::span<const Narrowing>;  // one of them holds

struct CompiledPolicy {
  Scope resource;
  Scope principal;
  Program program;
  std::uint32_t number = 0;
  bool is_forbid = false;
  bool has_conditions = false;
  Scope action;
  FirstTest first;
  const Text* id = nullptr;
  std::span<const Alternatives> narrowed;  // each of them holds
};

// A policy's block. Its slots must have values.
const CompiledPolicy* compile(const cedar::Policy& policy, std::uint32_t number, WorldNames& names);
// An expression alone, ending with kSatisfied.
Program compile_value(const cedar::Expr& expression, WorldNames& names);
// What narrows in the conditions of a policy.
std::span<const Alternatives> find_narrowings(const cedar::Policy& policy, WorldNames& names);

}  // namespace wary::engine
