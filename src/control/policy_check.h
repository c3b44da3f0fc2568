// Policies as resources carry them, checked before they are taken: syntax, and names and types under the platform's
// schema (policy/validate.h).
//
//   PolicyProblems problems = check_policy(resource, object);
//   if (!problems.errors.empty()) refuse();      // warnings are told, and do not refuse
//
// Only what is applied is refused. What is stored already keeps deciding, whatever a newer wary's schema says of it; at
// the start the log tells. Pure, but for the log; any thread. Limits: 100 findings of one policy.
#pragma once

#include <vector>

#include "base/log.h"
#include "control/derive.h"
#include "control/kinds.h"

namespace wary::control {

struct PolicyProblems {
  std::vector<ResourceError> errors;
  std::vector<ResourceError> warnings;
};

// `object` is its number in the request. Of a resource of kind Policy.
PolicyProblems check_policy(const Resource& resource, std::size_t object);

// One line for each stored policy that would be refused today, at most 20, and one with their number.
void log_invalid_policies(const Objects& objects, Log& log);

}  // namespace wary::control
