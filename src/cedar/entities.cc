#include "cedar/entities.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <string_view>
#include <unordered_map>

namespace wary::cedar {

namespace {

constexpr std::size_t kPerBucket = 8;  // when built; a bucket may grow to four times that before all are rebuilt

bool same_content(const Entity& a, const Entity& b) {
  const auto equal_uids = [](const EntityPtr& x, const EntityPtr& y) { return *x == *y; };
  return a.attributes == b.attributes && a.tags == b.tags &&
         std::equal(a.parents.begin(), a.parents.end(), b.parents.begin(), b.parents.end(), equal_uids);
}

bool same_parents(const Entity& a, const Entity& b) {
  const auto equal_uids = [](const EntityPtr& x, const EntityPtr& y) { return *x == *y; };
  return std::equal(a.parents.begin(), a.parents.end(), b.parents.begin(), b.parents.end(), equal_uids);
}

Error cycle(const EntityUid& uid) {
  return fail(ErrorKind::kInvalid, "cedar_entity_cycle", "an entity is its own ancestor")
      .at(uid.to_string())
      .next("remove one of the parents on the way round");
}

}  // namespace

EntityStore::EntityStore() : buckets_(1) {}

std::uint64_t EntityStore::hash(const EntityUid& uid) {
  const std::uint64_t type = std::hash<std::string_view>{}(uid.type);
  const std::uint64_t id = std::hash<std::string_view>{}(uid.id);
  return id ^ (type * 0x9E3779B97F4A7C15ULL);
}

bool EntityStore::before(const Slot& slot, std::uint64_t hash, const EntityUid& uid) {
  return slot.hash != hash ? slot.hash < hash : *slot.entity->uid < uid;
}

void EntityStore::put(Bucket& bucket, std::uint64_t hash, EntityHandle entity) {
  const auto at = std::lower_bound(bucket.begin(), bucket.end(), *entity->uid,
                                   [&](const Slot& slot, const EntityUid& uid) { return before(slot, hash, uid); });
  if (at != bucket.end() && at->hash == hash && *at->entity->uid == *entity->uid) {
    at->entity = std::move(entity);
    return;
  }
  bucket.insert(at, {hash, std::move(entity)});
  ++size_;
}

EntityHandle EntityStore::handle(const EntityUid& uid) const {
  const std::uint64_t wanted = hash(uid);
  const auto& bucket = buckets_[wanted & (buckets_.size() - 1)];
  if (bucket == nullptr) return nullptr;
  const auto at = std::lower_bound(bucket->begin(), bucket->end(), uid,
                                   [&](const Slot& slot, const EntityUid& u) { return before(slot, wanted, u); });
  return at != bucket->end() && at->hash == wanted && *at->entity->uid == uid ? at->entity : nullptr;
}

const Entity* EntityStore::find(const EntityUid& uid) const {
  const std::uint64_t wanted = hash(uid);
  const Bucket* bucket = buckets_[wanted & (buckets_.size() - 1)].get();
  if (bucket == nullptr) return nullptr;
  const auto at = std::lower_bound(bucket->begin(), bucket->end(), uid,
                                   [&](const Slot& slot, const EntityUid& u) { return before(slot, wanted, u); });
  return at != bucket->end() && at->hash == wanted && *at->entity->uid == uid ? at->entity.get() : nullptr;
}

void EntityStore::for_each(const std::function<void(const EntityHandle&)>& visit) const {
  for (const auto& bucket : buckets_) {
    if (bucket == nullptr) continue;
    for (const Slot& slot : *bucket) visit(slot.entity);
  }
}

std::vector<EntityHandle> EntityStore::all() const {
  std::vector<EntityHandle> out;
  out.reserve(size_);
  for_each([&](const EntityHandle& entity) { out.push_back(entity); });
  return out;
}

void EntityStore::rebuild(const std::vector<EntityHandle>& entities) {
  const std::size_t count = std::bit_ceil(std::max<std::size_t>(entities.size() / kPerBucket, 1));
  std::vector<Bucket> buckets(count);
  for (const EntityHandle& entity : entities) {
    const std::uint64_t at = hash(*entity->uid);
    buckets[at & (count - 1)].push_back({at, entity});
  }
  buckets_.assign(count, nullptr);
  for (std::size_t i = 0; i < count; ++i) {
    if (buckets[i].empty()) continue;
    std::sort(buckets[i].begin(), buckets[i].end(),
              [](const Slot& a, const Slot& b) { return before(a, b.hash, *b.entity->uid); });
    buckets_[i] = std::make_shared<const Bucket>(std::move(buckets[i]));
  }
  size_ = entities.size();
}

Result<EntityStore> EntityStore::make(std::vector<EntityHandle> entities) {
  std::sort(entities.begin(), entities.end(),
            [](const EntityHandle& a, const EntityHandle& b) { return *a->uid < *b->uid; });
  for (std::size_t i = 1; i < entities.size(); ++i) {
    if (*entities[i - 1]->uid != *entities[i]->uid || same_content(*entities[i - 1], *entities[i])) continue;
    return fail(ErrorKind::kInvalid, "cedar_entity_duplicate", "an entity stands twice with differing content")
        .at(entities[i]->uid->to_string());
  }
  entities.erase(std::unique(entities.begin(), entities.end(),
                             [](const EntityHandle& a, const EntityHandle& b) { return *a->uid == *b->uid; }),
                 entities.end());
  EntityStore store;
  store.rebuild(entities);
  WARY_RETURN_IF_ERROR(store.check_acyclic(entities));
  return store;
}

Result<EntityStore> EntityStore::with(const EntityChanges& changes) const {
  EntityStore next = *this;
  std::unordered_map<std::size_t, std::shared_ptr<Bucket>> open;  // each touched bucket is copied once
  const auto bucket_of = [&](std::uint64_t at) -> Bucket& {
    const std::size_t index = at & (next.buckets_.size() - 1);
    std::shared_ptr<Bucket>& bucket = open[index];
    if (bucket == nullptr) {
      const auto& old = next.buckets_[index];
      bucket = old != nullptr ? std::make_shared<Bucket>(*old) : std::make_shared<Bucket>();
    }
    return *bucket;
  };
  for (const EntityUid& uid : changes.removals) {
    const std::uint64_t at = hash(uid);
    Bucket& bucket = bucket_of(at);
    next.size_ -= std::erase_if(bucket, [&](const Slot& slot) { return slot.hash == at && *slot.entity->uid == uid; });
  }
  std::vector<EntityHandle> moved;
  for (const EntityHandle& entity : changes.upserts) {
    const Entity* old = find(*entity->uid);
    if (old == nullptr || !same_parents(*old, *entity)) moved.push_back(entity);
    const std::uint64_t at = hash(*entity->uid);
    next.put(bucket_of(at), at, entity);
  }
  for (auto& [index, bucket] : open) {
    next.buckets_[index] = bucket->empty() ? nullptr : std::shared_ptr<const Bucket>(std::move(bucket));
  }
  if (next.size_ > 4 * kPerBucket * next.buckets_.size()) next.rebuild(next.all());
  WARY_RETURN_IF_ERROR(next.check_acyclic(moved));
  return next;
}

// Depth-first from the entities whose parents changed: a new cycle passes through one of them. Each entity is entered
// once; the stack is ours, so a long chain of parents is no deep recursion.
Status EntityStore::check_acyclic(const std::vector<EntityHandle>& starts) const {
  struct Frame {
    const Entity* entity;
    std::size_t next_parent;
  };
  enum class Mark : std::uint8_t { kOpen, kDone };
  std::unordered_map<const Entity*, Mark> marks;
  std::vector<Frame> stack;
  for (const EntityHandle& start : starts) {
    const Entity* root = find(*start->uid);
    if (root == nullptr || marks.contains(root)) continue;
    marks[root] = Mark::kOpen;
    stack.push_back({root, 0});
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next_parent == frame.entity->parents.size()) {
        marks[frame.entity] = Mark::kDone;
        stack.pop_back();
        continue;
      }
      const EntityUid& parent_uid = *frame.entity->parents[frame.next_parent++];
      const Entity* parent = find(parent_uid);
      if (parent == nullptr) continue;
      const auto mark = marks.find(parent);
      if (mark == marks.end()) {
        marks[parent] = Mark::kOpen;
        stack.push_back({parent, 0});
      } else if (mark->second == Mark::kOpen) {
        return cycle(parent_uid);
      }
    }
  }
  return {};
}

const Value* EntityView::attribute(const Entity& entity, std::string_view name) {
  return find_member(entity.attributes, name);
}
const Value* EntityView::tag(const Entity& entity, std::string_view name) { return find_member(entity.tags, name); }

}  // namespace wary::cedar
