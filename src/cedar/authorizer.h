// The authorizer: Cedar's decision over a set of policies.
//
//   Response response = is_authorized(set, request, view);
//
// Allow when no forbid and at least one permit is satisfied. A policy that errors is as if absent, whatever its effect:
// what that means for a product is the decision point's business, not Cedar's. Every matching policy is evaluated, so
// reasons and errors are complete. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "cedar/evaluator.h"

namespace wary::cedar {

struct PolicyFailure {
  std::string policy_id;
  EvalError error;
};

struct Response {
  bool is_allowed = false;
  std::vector<std::string> reasons;  // satisfied permits of an allow, satisfied forbids of a deny; in policy order
  std::vector<PolicyFailure> errors;
  std::vector<EntityPtr> reads;
};

Response is_authorized(const PolicySet& policies, const Request& request, EntityView& view);

}  // namespace wary::cedar
