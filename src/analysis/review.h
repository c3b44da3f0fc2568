// Review: what a change of policies does, before it is made. Three tiers, and every answer says which one gave it:
//
//   kScope     texts and scopes alone: what did not change, which environments a change can touch, which way it can go
//   kSolver    a proof over every request and store (prove.h), on the policies that matter to the edited ones
//   kEntities  live entities: who gains or loses what, by name (impact.h)
//
//   Review review = review_change(schema, old_policies, new_policies, {});
//   if (review.no_new_access() == Verdict::kHolds) ...             // proved for every request there can be
//   for (const EnvironmentReview& one : review.environments) ...   // environments that the change can touch
//
// The sets are borrowed while the call runs and by what it returns. Calls fork; any thread. Limits: ProofLimits;
// kSliceMax policies a question, beyond which the answer is unknown.
#pragma once

#include <string>
#include <vector>

#include "analysis/findings.h"

namespace wary::analysis {

constexpr std::size_t kSliceMax = 128;

enum class Tier : std::uint8_t { kScope, kSolver, kEntities };
std::string_view to_string(Tier tier);  // "scope"

// A policy that is not in both sets as it is. Policies with another id and the same meaning did not change.
struct PolicyChange {
  const cedar::Policy* before = nullptr;  // null: added
  const cedar::Policy* after = nullptr;   // null: removed
  const std::string& id() const { return after != nullptr ? after->id : before->id; }
};

struct Finding {
  Answer answer;  // holds: nothing is gained (lost)
  Tier tier = Tier::kScope;
};

struct EnvironmentReview {
  schema::Environment environment;
  Comparison comparison = Comparison::kUnknown;  // of the new set against the old
  Finding gained;
  Finding lost;
};

// What no environment of the schema speaks of: an edited policy that does not validate, and so may decide requests that
// the schema has not; an obligation, which a decision point demands beside Cedar. Where it may, nothing is proved.
struct NotCovered {
  std::string reason;
  bool may_gain = false;
  bool may_lose = false;
};

struct Review {
  std::vector<PolicyChange> changes;
  std::vector<EnvironmentReview> environments;  // all others are equivalent, by their scopes
  std::vector<NotCovered> not_covered;
  Verdict no_new_access() const;
  Verdict no_lost_access() const;
};

std::vector<PolicyChange> changes_between(const cedar::PolicySet& before, const cedar::PolicySet& after);
Review review_change(const schema::Schema& schema, const cedar::PolicySet& before, const cedar::PolicySet& after,
                     const ProofLimits& limits, Rule rule = Rule::kDecisionPoint);
// Several lines, as a person reads them.
std::string to_string(const Review& review);

}  // namespace wary::analysis
