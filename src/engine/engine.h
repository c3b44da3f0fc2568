// The compiled engine: the same answers as cedar/'s tree walker, in well under a microsecond.
//
//   Result<SnapshotPtr> first = Snapshot::make(policies, entities, {.seed = random.next()});
//   Result<SnapshotPtr> next = (*first)->with({.upserts = changed});      // shares all that did not change
//   Worker worker;                                                        // one a thread
//   const Answer& answer = worker.decide(**next, request, now);
//   if (answer.is_allowed) ...
//
// A snapshot is immutable and may be read by any thread while the next one is made; making the next one from the latest
// is for one thread at a time (engine_stale otherwise: make it anew). A worker belongs to one thread. Nothing is
// allocated for a decision once the worker has grown. Every policy that can match is evaluated, so that reasons and
// errors are complete. Limits: kAncestorsMax ancestors an entity; attributes, tags and parents 65,535 an entity.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cedar/authorizer.h"
#include "cedar/entities.h"

namespace wary::engine {

struct World;
class Machine;
class EntityTable;
struct Rules;
struct CompiledPolicy;

// An attribute or tag that takes another value at a moment.
struct Expiry {
  std::string name;
  bool is_tag = false;
  UnixTime at;
  cedar::Value then;
};

struct EntityInput {
  const cedar::Entity* entity = nullptr;
  std::span<const Expiry> expiries;
};

// Answers name a policy by its number, which the caller gives and does not use again.
struct PolicyInput {
  const cedar::Policy* policy = nullptr;
  std::uint32_t number = 0;
};
// By their places in the list, from `first` on.
std::vector<PolicyInput> numbered(std::span<const cedar::Policy> policies, std::uint32_t first = 0);

struct Changes {
  std::vector<EntityInput> upserts = {};  // after the removals
  std::vector<cedar::EntityUid> removals = {};
  std::vector<PolicyInput> added_policies = {};  // by ascending number, above every number that there was
  std::vector<std::uint32_t> removed_policies = {};
};

struct Options {
  std::uint64_t seed = 0;  // secret: of the hash over ids that others choose
};

class Snapshot;
using SnapshotPtr = std::shared_ptr<const Snapshot>;  // held by readers for as long as they decide by it

class Snapshot {
 public:
  // Errors: cedar_entity_cycle, engine_ancestors, engine_entity.
  static Result<SnapshotPtr> make(std::span<const PolicyInput> policies, std::span<const EntityInput> entities,
                                  const Options& options);
  static Result<SnapshotPtr> make(std::span<const cedar::Policy> policies, std::span<const EntityInput> entities,
                                  const Options& options) {
    return make(numbered(policies), entities, options);
  }
  // Errors: also engine_stale: this is not the latest of its line.
  Result<SnapshotPtr> with(const Changes& changes) const;
  // These policies instead of those it has, numbered on from the last.
  Result<SnapshotPtr> with_policies(std::span<const cedar::Policy> policies) const;

  std::size_t entity_count() const;
  std::size_t policy_count() const;
  // Bytes of entities, ids and their index; with those that earlier snapshots of the line had and this has no more.
  std::size_t entity_bytes() const;
  // A line only grows. Whether it has grown to so much more than it began with that the next snapshot is better made
  // anew.
  bool is_wasteful() const;
  std::string_view policy_id(std::uint32_t policy) const;
  // For the engine itself. The first snapshot of a world whose entities are there.
  static SnapshotPtr start(std::shared_ptr<World> world, std::span<const PolicyInput> policies);
  const World& world() const { return *world_; }
  const EntityTable& entities() const { return *entities_; }
  const Rules& rules() const { return *rules_; }

  Snapshot();
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  friend class Worker;
  std::shared_ptr<World> world_;  // shared by the snapshots of a line
  std::unique_ptr<const EntityTable> entities_;
  std::shared_ptr<const Rules> rules_;  // shared by the snapshots with the same policies
  std::uint64_t number_ = 0;            // in its line
};

struct Failure {
  std::uint32_t policy;
  cedar::EvalErrorKind kind;
  bool is_forbid = false;
};

// Policies by their numbers. Ascending, each once.
struct Answer {
  bool is_allowed = false;
  std::vector<std::uint32_t> permits;  // satisfied
  std::vector<std::uint32_t> forbids;  // satisfied
  std::vector<Failure> errors;
  const std::vector<std::uint32_t>& reasons() const { return forbids.empty() ? permits : forbids; }
};

class Worker {
 public:
  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The answer is this worker's until the next call.
  const Answer& decide(const Snapshot& snapshot, const cedar::Request& request, UnixTime now);
  // Of the last decision, before the next: every entity whose attributes, tags or ancestors it rests on, each once.
  std::vector<cedar::EntityUid> reads(const Snapshot& snapshot) const;
  // Of the last decision: when a fact it rests on changes by itself; the largest time when none does.
  UnixTime valid_until() const;
  Machine& machine() { return *machine_; }  // for the engine itself

 private:
  void visit(std::span<const CompiledPolicy* const> policies);
  std::unique_ptr<Machine> machine_;
  Answer answer_;
};

}  // namespace wary::engine
