// Rules: the policies of a snapshot, compiled: to decide by, and to search by. Private to engine/.
#pragma once

#include <string>
#include <vector>

#include "engine/index.h"

namespace wary::engine {

// A clause without which a policy is not satisfied, and which ties principal or resource to a value that does not
// depend on it.
struct Narrowing {
  enum class Kind : std::uint8_t { kIs, kIn, kAttribute };
  cedar::Variable variable = cedar::Variable::kResource;
  Kind kind = Kind::kIs;       // it is the value, or in the set; is in the value; its attribute is the value
  std::uint32_t name = kNone;  // of the attribute
  std::uint32_t code = 0;      // of the value, in Rules::values
};
// One of them holds.
using Alternatives = std::vector<Narrowing>;

struct Rules {
  Program program;
  ScopeIndex index;
  std::vector<std::string> ids;
  Program values;                                   // expressions, each ending with kSatisfied
  std::vector<std::vector<Alternatives>> narrowed;  // by policy
};

// Reads what narrows out of the conditions of one policy, and appends it.
void find_narrowings(const cedar::Policy& policy, WorldNames& names, Rules& rules);

}  // namespace wary::engine
