// Unused permissions: which permits nobody used, and the smallest scope that what was used would need.
//
//   std::vector<PermitUse> uses = find_unused(schema, policies, recorded, {});
//   for (const PermitUse& use : uses)
//     if (use.count == 0) print(use.policy_id, "was never used");
//     else if (use.is_narrower == Verdict::kHolds) print(use.proposal);      // Cedar text
//
// A proposal names the actions that were seen, and the principals where they are few; it is validated, and proved to
// match nothing that the permit does not (Tier::kSolver): without that proof `is_narrower` is kUnknown and the text is
// to be read, not applied. Recorded requests say nothing of what will be asked: a quiet permit may be an emergency's.
// Calls fork; any thread. Limits: kPrincipalsNamedMax; ProofLimits.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "analysis/prove.h"

namespace wary::analysis {

constexpr std::size_t kPrincipalsNamedMax = 16;

struct RecordedRequest {
  cedar::EntityPtr principal;
  cedar::EntityPtr action;
  cedar::EntityPtr resource;
  bool is_allowed = false;
  std::vector<std::string> determining;  // ids of policies
};

struct PermitUse {
  std::string policy_id;
  std::size_t count = 0;                // allowed requests that it determined
  std::vector<std::string> actions;     // seen, as Cedar text, sorted
  std::vector<std::string> principals;  // at most kPrincipalsNamedMax + 1
  std::string proposal;                 // "" where there is none: never used, a link, or as narrow already
  Verdict is_narrower = Verdict::kUnknown;
  std::string reason;  // of kUnknown
};

// One entry a permit, in the order of the set.
std::vector<PermitUse> find_unused(const schema::Schema& schema, const cedar::PolicySet& policies,
                                   std::span<const RecordedRequest> requests, const ProofLimits& limits);

}  // namespace wary::analysis
