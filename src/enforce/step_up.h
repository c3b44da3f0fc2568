// Step-up (RFC 9470): that somebody signed in lately enough, or in a way that is good enough, for what a Route holds.
//
//   if (auto step_up = step_up_of(route_entity)) {
//     StepUpAnswer answer = check_step_up(*step_up, request, snapshot, now);
//     if (!answer.is_met) challenge = challenge_of(*step_up, "Bearer");
//   }
//
// Decided from the request alone: of a session, when it began; of a token, its `acr` and `auth_time`. An API key says
// nothing of anybody's sign-in and meets none. A workload or node that shows its certificate is no person and is asked
// for none: each connection proves its key anew. Facts of Wary::Route: step_up_acr (set), step_up_max_age (seconds).
// Functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "contract/decision.h"
#include "enforce/subject.h"
#include "policy/snapshot.h"

namespace wary::enforce {

struct StepUp {
  std::vector<std::string> acr;           // one of them is enough; empty: any
  std::optional<std::int64_t> max_age_s;  // since the sign-in
};
std::optional<StepUp> step_up_of(const contract::Entity& resource);

struct StepUpAnswer {
  bool is_met = false;
  std::optional<UnixTime> until;  // when it is met: until then
};
StepUpAnswer check_step_up(const StepUp& step_up, const contract::Request& request, const policy::Snapshot& snapshot,
                           UnixTime now);

// insufficient_user_authentication, with what would do.
Challenge challenge_of(const StepUp& step_up, std::string_view scheme);

}  // namespace wary::enforce
