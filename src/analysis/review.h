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
// Where the schema changes too, each set is decided by the actions of its own schema, and what is gained is asked of
// all requests and stores that fit the new one, what is lost of those that fit the old one. Kinds of request that only
// one of them has are named (`lone`); nothing is proved about them. The same requests and stores are put to both sets:
// what a store will look like by the new schema, nobody knows.
//
//   Review review = review_change({old_schema, old_policies}, {new_schema, new_policies}, {});
//
// Sets and schemas are borrowed while the call runs and by what it returns. Calls fork; any thread. Limits:
// ProofLimits; kSliceMax policies a question, beyond which the answer is unknown.
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

// A kind of request that only one of the schemas has.
struct LoneEnvironment {
  schema::Environment environment;
  bool is_added = false;             // else removed
  std::vector<std::string> permits;  // of its side, whose scopes let it pass; none: nothing is gained or lost by it
};

struct Review {
  std::vector<PolicyChange> changes;
  // The same text on both sides, but the schema has other actions in the groups that its scope names.
  std::vector<PolicyChange> moved;
  std::vector<std::string> schema_changes;  // a line each
  std::vector<LoneEnvironment> lone;
  std::vector<EnvironmentReview> environments;  // of the new schema; all others are equivalent, by their scopes
  std::vector<NotCovered> not_covered;
  Verdict no_new_access() const;
  Verdict no_lost_access() const;
};

std::vector<PolicyChange> changes_between(const cedar::PolicySet& before, const cedar::PolicySet& after);
Review review_change(const schema::Schema& schema, const cedar::PolicySet& before, const cedar::PolicySet& after,
                     const ProofLimits& limits, Rule rule = Rule::kDecisionPoint);

struct ReviewSide {
  const schema::Schema& schema;
  const cedar::PolicySet& policies;
};
Review review_change(const ReviewSide& before, const ReviewSide& after, const ProofLimits& limits,
                     Rule rule = Rule::kDecisionPoint);

// Several lines, as a person reads them.
std::string to_string(const Review& review);

}  // namespace wary::analysis
