// Recorded: decisions that were made, asked again of two policy sets over the entities there are now: who would have
// got in and no longer does, or the other way, among those who really asked.
//
//   Replayer replayer({*before, old_set, *after, new_set}, now, changed_since);
//   for (const RecordedDecision& decision : recorded) replayer.add(decision);
//   const Replay& replay = replayer.result();    // gained, lost, same, unknown: each request is in one of them
//
// Both sets are asked by the decision point's rule: a forbid that fails denies. A request is `unknown`, never `same`,
// when it was not recorded completely, when what it rests on is no longer as it was (`changed_since` says so), or when
// only the asking program knows whether it can keep what the sets oblige it to. All is borrowed; one thread. Limits:
// kReplayGroupsMax different changes and as many unknowns are named; all are counted.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "cedar/policy_set.h"
#include "engine/engine.h"

namespace wary::analysis {

constexpr std::size_t kReplayGroupsMax = 1'000;

struct RecordedDecision {
  cedar::Request request;
  UnixTime decided;
  std::string unknown;  // why it cannot be asked again; empty: it can
};

// The same request several times is one group.
struct ReplayGroup {
  std::string principal;  // Cedar text
  std::string action;
  std::string resource;
  std::string reason;  // of an unknown
  std::size_t count = 0;
};

struct Replay {
  std::size_t gained = 0;  // denied by the old set, allowed by the new
  std::size_t lost = 0;
  std::size_t same = 0;
  std::size_t unknown = 0;
  std::vector<ReplayGroup> gains;
  std::vector<ReplayGroup> losses;
  std::vector<ReplayGroup> unknowns;
  std::size_t unnamed = 0;  // of the counted ones, those beyond what is named
};

struct ReplaySides {
  const engine::Snapshot& before;
  const cedar::PolicySet& old_policies;  // those `before` was made of
  const engine::Snapshot& after;
  const cedar::PolicySet& new_policies;
};

// Why an entity that an answer rests on is not what it was then; empty where it is. `is_named`: the request names it.
using ChangedSince = std::function<std::string(const cedar::EntityUid& uid, UnixTime decided, bool is_named)>;

class Replayer {
 public:
  Replayer(const ReplaySides& sides, UnixTime now, ChangedSince changed_since)
      : sides_(sides), now_(now), changed_since_(std::move(changed_since)) {}
  void add(const RecordedDecision& decision);
  const Replay& result() const { return out_; }

 private:
  struct Side {
    bool is_allowed = false;
    std::vector<std::string> obligations;
    std::string unknown;
  };
  Side ask(const engine::Snapshot& snapshot, const cedar::PolicySet& policies, const RecordedDecision& decision);
  void count(std::vector<ReplayGroup>& groups, const cedar::Request& request, const std::string& reason);

  ReplaySides sides_;
  UnixTime now_;
  ChangedSince changed_since_;
  engine::Worker worker_;
  std::map<std::string, std::size_t> group_of_;
  Replay out_;
};

}  // namespace wary::analysis
