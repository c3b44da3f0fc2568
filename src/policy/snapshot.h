// Snapshot: everything a decision stands on, at one revision: policies, guardrails, entities. Immutable and shared; the
// next revision shares with this one all that did not change.
//
//   auto snapshot = build_snapshot(content, clock.unix_time(), random.number());
//   auto next = apply_delta(**snapshot, delta, clock.unix_time());   // what changed is compiled, and no more
//   contract::Decision decision = decide(**next, request, now, options);
//
// Immutable; any thread. A snapshot holds one tenant. A content that is wrong anywhere is refused whole: the caller
// keeps the snapshot it has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "contract/entity.h"
#include "engine/engine.h"
#include "policy/policies.h"

namespace wary::policy {

struct SnapshotContent {
  std::string tenant = std::string(contract::kDefaultTenant);
  std::uint64_t revision = 0;
  std::vector<PolicyText> policies;
  std::vector<contract::Entity> entities;
};

struct SnapshotDelta {
  std::string tenant = std::string(contract::kDefaultTenant);
  std::uint64_t from = 0;
  std::uint64_t to = 0;  // after `from`
  std::vector<contract::Entity> upserts = {};
  std::vector<contract::EntityId> removals = {};  // before the upserts
  std::vector<PolicyText> policy_upserts = {};
  std::vector<std::string> policy_removals = {};  // by id; before the upserts
  bool changes_policies() const { return !policy_upserts.empty() || !policy_removals.empty(); }
};

class Snapshot {
 public:
  const std::string& tenant() const { return tenant_; }
  std::uint64_t revision() const { return revision_; }
  UnixTime built() const { return built_; }
  // SHA-256 of tenant, policies and entities, in hex; the same for the same content however it was reached. Not of the
  // revision and not of the time.
  const std::string& content_hash() const { return content_hash_; }
  const CompiledPolicies& policies() const { return *policies_; }
  const cedar::EntityStore& entities() const { return entities_; }
  const engine::Snapshot& compiled() const { return *compiled_; }
  // The facts of an entity as they came; null when there is none. Valid as long as the snapshot.
  const contract::Entity* find_entity(const contract::EntityId& id) const;
  // Every entity, sorted by type and id; then every one of a Cedar type.
  std::vector<const contract::Entity*> all_entities() const;
  std::vector<const contract::Entity*> entities_of_type(std::string_view type) const;

 private:
  friend Result<std::shared_ptr<const Snapshot>> build_snapshot(const SnapshotContent&, UnixTime, std::uint64_t);
  friend Result<std::shared_ptr<const Snapshot>> apply_delta(const Snapshot&, const SnapshotDelta&, UnixTime);
  friend Status check_delta(const Snapshot&, const SnapshotDelta&);
  // All but the compiled entities and policies.
  Result<cedar::EntityChanges> take(const Snapshot& base, const SnapshotDelta& delta);
  void set_hash();
  Status compile();
  Status compile_after(const Snapshot& base, const cedar::EntityChanges& changes);

  std::string tenant_;
  std::uint64_t revision_ = 0;
  UnixTime built_;
  std::string content_hash_;
  std::shared_ptr<const CompiledPolicies> policies_;  // shared between revisions with the same policies
  cedar::EntityStore entities_;
  std::uint64_t seed_ = 0;
  engine::SnapshotPtr compiled_;  // of the same policies and entities; shared by who decides by it
  ContentDigest entities_digest_;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;  // shared by every thread that decides, and by what explains later

// Errors: those of CompiledPolicies::compile and of the entities (policy_entity, policy_fact, policy_fact_expiry,
// cedar_entity_*), policy_tenant (an entity of another tenant).
// `seed` is secret: of the hash over ids that others choose.
Result<SnapshotPtr> build_snapshot(const SnapshotContent& content, UnixTime built, std::uint64_t seed);
// The same, and policy_delta_base when the delta does not start at the snapshot's revision.
Result<SnapshotPtr> apply_delta(const Snapshot& base, const SnapshotDelta& delta, UnixTime built);
// The errors of apply_delta but those of the engine's limits (engine_ancestors, engine_entity). Compiles nothing, so
// that the next delta of this snapshot is still the next of its line.
Status check_delta(const Snapshot& base, const SnapshotDelta& delta);
// What build_snapshot would take to make this snapshot again; entities sorted by id.
SnapshotContent content_of(const Snapshot& snapshot);

}  // namespace wary::policy
