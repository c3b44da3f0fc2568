// The printer: expressions and policies back to Cedar text, on one line, with only the parentheses the grammar needs.
// What it prints parses to the same tree. Pure; any thread.
#pragma once

#include <string>

#include "cedar/policy_set.h"

namespace wary::cedar {

std::string print(const Expr& expression);
std::string print(const ScopeConstraint& constraint, Variable variable);  // principal in Group::"sre"
std::string print(const PolicyBody& policy);                              // with annotations

}  // namespace wary::cedar
