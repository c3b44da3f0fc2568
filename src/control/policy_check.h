// Policies as resources carry them, checked before they are taken: syntax, and names and types under the platform's
// schema (policy/validate.h), and whether the entities that they name are there (policy/entity_names.h).
//
//   policy::EntityNames names = names_of(next, settings);   // with what the same apply brings
//   PolicyProblems problems = check_policy(resource, object, &names);
//   if (!problems.errors.empty()) refuse();      // warnings are told, and do not refuse
//
// Only what is applied is refused. What is stored already keeps deciding, whatever a newer wary's schema says of it; at
// the start the log tells. Pure, but for the log; any thread. Limits: 100 findings of one policy.
#pragma once

#include <vector>

#include "base/log.h"
#include "control/derive.h"
#include "control/kinds.h"
#include "policy/entity_names.h"

namespace wary::control {

struct PolicyProblems {
  std::vector<ResourceError> errors;
  std::vector<ResourceError> warnings;
};

// The entities of these objects and those that are there without any. Borrows both.
policy::EntityNames names_of(const Objects& objects, const Settings& settings);

// `object` is its number in the request. Of a resource of kind Policy. Without `names` entities are not looked up.
PolicyProblems check_policy(const Resource& resource, std::size_t object, policy::EntityNames* names = nullptr);

// One line for each stored policy that would be refused today, at most 20, and one with their number.
void log_invalid_policies(const Objects& objects, Log& log);

}  // namespace wary::control
