// Entities: what a request's ids stand for. An EntityStore is an immutable set of entities; a changed store shares all
// that did not change, so that one change among a hundred thousand costs microseconds.
//
//   Result<EntityStore> store = EntityStore::make(std::move(entities));
//   Result<EntityStore> next = store->with({.upserts = {changed}, .removals = {gone}});
//   const Entity* alice = store->find({"User", "alice"});
//
// Immutable; any thread. A store is a DAG: a cycle of parents is refused (cedar_entity_cycle). Ancestors are walked
// when asked for, never stored: a change of one group then touches one entity.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "cedar/value.h"

namespace wary::cedar {

struct Entity {
  EntityPtr uid;
  Value::Record attributes;  // sorted by name
  Value::Record tags;        // sorted by name
  std::vector<EntityPtr> parents;
};
using EntityHandle = std::shared_ptr<const Entity>;  // shared between stores of successive revisions

struct EntityChanges {
  std::vector<EntityHandle> upserts;
  std::vector<EntityUid> removals;
};

class EntityStore {
 public:
  EntityStore();
  // Errors: cedar_entity_duplicate (the same id twice, with differing content), cedar_entity_cycle.
  static Result<EntityStore> make(std::vector<EntityHandle> entities);
  // Removals first, then upserts. Removing what is not there changes nothing. Error: cedar_entity_cycle.
  Result<EntityStore> with(const EntityChanges& changes) const;

  const Entity* find(const EntityUid& uid) const;
  EntityHandle handle(const EntityUid& uid) const;
  std::size_t size() const { return size_; }
  void for_each(const std::function<void(const EntityHandle&)>& visit) const;  // in no useful order

 private:
  struct Slot {
    std::uint64_t hash;
    EntityHandle entity;
  };
  using Bucket = std::vector<Slot>;                            // sorted by hash, then id
  using Buckets = std::vector<std::shared_ptr<const Bucket>>;  // a power of two; null when empty

  static std::uint64_t hash(const EntityUid& uid);
  static bool before(const Slot& slot, std::uint64_t hash, const EntityUid& uid);
  void put(Bucket& bucket, std::uint64_t hash, EntityHandle entity);
  Status check_acyclic(const std::vector<EntityHandle>& starts) const;
  std::vector<EntityHandle> all() const;
  void rebuild(const std::vector<EntityHandle>& entities);

  Buckets buckets_;
  std::size_t size_ = 0;
};

// What an evaluation asks about entities. The plain one looks into a store; a decision point may answer for one point
// in time. Pointers it returned stay valid as long as it lives.
class EntityView {
 public:
  virtual ~EntityView() = default;
  virtual const Entity* find(const EntityUid& uid) = 0;
  virtual const Value* attribute(const Entity& entity, std::string_view name);
  virtual const Value* tag(const Entity& entity, std::string_view name);
};

class StoreView final : public EntityView {
 public:
  explicit StoreView(const EntityStore& store) : store_(store) {}  // borrows
  const Entity* find(const EntityUid& uid) override { return store_.find(uid); }

 private:
  const EntityStore& store_;
};

}  // namespace wary::cedar
