// What can be told of policies from their texts and scopes alone. Private to analysis/.
#pragma once

#include <string>

#include "cedar/policy_set.h"

namespace wary::analysis {

// Effect, obligations, scope with its slots filled, and conditions, as text: equal texts decide equally.
std::string meaning_of(const cedar::Policy& policy);
// Cheaper: the same tree or the same source text, and the same slots. False says nothing.
bool is_plainly_same(const cedar::Policy& a, const cedar::Policy& b);
// No request passes both scopes: their principals or resources differ, or their actions.
bool are_disjoint(const cedar::Policy& a, const cedar::Policy& b);

}  // namespace wary::analysis
