// Impact: who gains or loses what, by name, over the entities there are; and which recorded requests would be answered
// otherwise.
//
//   ImpactQuery query{.schema = schema, .changes = review.changes, .now = now};
//   Result<Impact> impact = find_impact(old_snapshot, new_policies, query);
//   impact->gained; impact->lost; impact->examples;          // exact counts where impact->is_complete
//   std::vector<Replayed> other = replay_requests(*before, *after, requests, now);
//
// Only what an edited policy can touch is looked at: its principals and resources are searched for (engine/search.h),
// and each pair is decided by both sets. Exact for the context that is given, for entities that are in the snapshot and
// ids that edited scopes name. Where that context is not one that the schema asks for, a forbid that reads it fails,
// and denies by the decision point's rule: such pairs are `undecided`, neither gained nor lost. `find_impact` makes
// snapshots after the given one, which must be the latest of its line. One thread. Limits: those of the query; what
// they cut off is told (`is_complete`, `reason`).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "analysis/review.h"
#include "engine/search.h"

namespace wary::analysis {

struct AccessChange {
  std::string principal;  // Cedar text
  std::string action;
  std::string resource;
  bool is_gained = false;
};

struct ImpactQuery {
  const schema::Schema& schema;
  // Of the old set, where it is another: the new set is decided by the actions of `schema`, and only kinds of request
  // that both have are looked at.
  const schema::Schema* schema_before = nullptr;
  std::span<const PolicyChange> changes;
  cedar::Value context = cedar::Value::record({});
  UnixTime now = {};
  Rule rule = Rule::kDecisionPoint;
  std::size_t examples_max = 100;
  std::size_t decisions_max = 5'000'000;
  std::size_t searches_max = 2'000'000;
};

struct Impact {
  std::size_t gained = 0;  // principals x actions x resources
  std::size_t lost = 0;
  std::size_t undecided = 0;   // a forbid that failed for want of a context alone denies them, before or after
  std::size_t principals = 0;  // of those that gain or lose something
  std::vector<AccessChange> examples;
  std::size_t decided = 0;
  bool is_complete = true;
  std::string reason;
  engine::SnapshotPtr after;  // by the new policies
};

// `before` holds the actions of its schema. Errors: those of engine::Snapshot::with and engine::search.
Result<Impact> find_impact(const engine::SnapshotPtr& before, std::span<const cedar::Policy> after,
                           const ImpactQuery& query);

struct Replayed {
  std::size_t request = 0;  // its number
  bool was_allowed = false;
  bool is_allowed = false;
};

// Those that are answered otherwise. Both snapshots of one line or of two.
std::vector<Replayed> replay_requests(const engine::Snapshot& before, const engine::Snapshot& after,
                                      std::span<const cedar::Request> requests, UnixTime now,
                                      Rule rule = Rule::kDecisionPoint);

}  // namespace wary::analysis
