// DecisionCache: answers that were given lately, for questions that are asked again and again under one snapshot.
//
//   std::string question = ...;                                 // append_question, and the context as far as it is
//   read if (const auto* known = cache.find(snapshot, question, now)) return *known; cache.put(snapshot, question,
//   decision, now);
//
// An answer is a function of the snapshot, the question and the time. So it is kept for the very snapshot that it was
// made by: with the next one, whatever it changed, everything is forgotten, and a revoked principal is asked about
// anew. And it is kept from the moment it was made to its `valid_until`, a clock that is set back included. The text of
// the question must hold all that policies can look at (CompiledPolicies::may_read_context), and `device`, which decide
// looks at itself. An answer with errors is not kept: what they say may be of the rest of the context. What is decided
// beside the policies (a stale snapshot, a ledger that takes nothing) is no part of it and asked each time.
//
// Thread rule: one thread's. Limits: kDecisionsKept answers, each of at most kKeptDependencies entities; a question of
// RecentTable's longest key.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/recent_table.h"
#include "base/time.h"
#include "contract/decision.h"
#include "policy/snapshot.h"

namespace wary::policy {

constexpr std::size_t kDecisionsKept = 2048;
constexpr std::size_t kKeptDependencies = 128;

// Shared with who is open under it: a decision of the cache has no id of its own.
using SharedDecision = std::shared_ptr<const contract::Decision>;

class DecisionCache {
 public:
  explicit DecisionCache(std::size_t entries = kDecisionsKept) : kept_(entries) {}

  // Null where nothing is known; the pointer holds until the next call.
  const SharedDecision* find(const SnapshotPtr& snapshot, std::string_view question, UnixTime now);
  void put(const SnapshotPtr& snapshot, std::string_view question, SharedDecision decision, UnixTime now);
  std::size_t size() const { return kept_.size(); }

 private:
  struct Answer {
    SharedDecision decision;
    UnixTime made;
  };
  void follow(const SnapshotPtr& snapshot);
  RecentTable<Answer> kept_;
  SnapshotPtr snapshot_;  // shared with its readers; held, so that no other can ever lie at its address
};

// Appends tenant and ids as a text that no other question has.
void append_question(std::string& out, std::string_view tenant, const contract::EntityId& principal,
                     const contract::EntityId& action, const contract::EntityId& resource);

}  // namespace wary::policy
