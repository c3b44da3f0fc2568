#include "cedar/authorizer.h"

namespace wary::cedar {

Response is_authorized(const PolicySet& policies, const Request& request, EntityView& view) {
  Evaluator evaluator(request, view);
  std::vector<std::string> permits;
  std::vector<std::string> forbids;
  Response response;
  for (const Policy& policy : policies.policies()) {
    switch (evaluator.evaluate(policy)) {
      case Outcome::kSatisfied:
        (policy.body->effect == Effect::kPermit ? permits : forbids).push_back(policy.id);
        break;
      case Outcome::kError: response.errors.push_back({policy.id, evaluator.error()}); break;
      case Outcome::kNotSatisfied: break;
    }
  }
  response.is_allowed = forbids.empty() && !permits.empty();
  response.reasons = response.is_allowed ? std::move(permits) : std::move(forbids);
  response.reads = evaluator.reads().entities();
  return response;
}

}  // namespace wary::cedar
