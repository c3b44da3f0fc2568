#include "policy/snapshot.h"

#include <algorithm>

#include "codec/text.h"
#include "policy/facts.h"

namespace wary::policy {

namespace {

Result<std::vector<std::shared_ptr<const FactEntity>>> make_entities(const std::vector<contract::Entity>& entities,
                                                                     std::string_view tenant) {
  std::vector<std::shared_ptr<const FactEntity>> out;
  out.reserve(entities.size());
  for (const contract::Entity& entity : entities) {
    if (entity.tenant != tenant) {
      return fail(ErrorKind::kInvalid, "policy_tenant", "an entity of another tenant")
          .at(entity.id.type + "::" + entity.id.id)
          .expected(tenant)
          .found(entity.tenant);
    }
    WARY_ASSIGN_OR_RETURN(auto made, make_fact_entity(entity));
    out.push_back(std::move(made));
  }
  return out;
}

engine::EntityInput input_of(const cedar::Entity& entity) {
  return {&entity, static_cast<const FactEntity&>(entity).timed};
}

// The name under which an entity enters the digest; types hold no quotes, so the text is unambiguous.
std::string digest_name(const cedar::EntityUid& uid) { return uid.to_string(); }

}  // namespace

void Snapshot::set_hash() {
  crypto::Sha256 hash;
  hash_text(hash, tenant_);
  hash.update(policies_->digest());
  hash.update(entities_digest_.digest());
  content_hash_ = codec::encode_hex(hash.finish());
}

const contract::Entity* Snapshot::find_entity(const contract::EntityId& id) const {
  const cedar::Entity* found = entities_.find({id.type, id.id});
  return found == nullptr ? nullptr : static_cast<const FactEntity*>(found)->facts.get();
}

std::vector<const contract::Entity*> Snapshot::all_entities() const {
  std::vector<const contract::Entity*> found;
  found.reserve(entities_.size());
  entities_.for_each(
      [&](const cedar::EntityHandle& entity) { found.push_back(static_cast<const FactEntity&>(*entity).facts.get()); });
  std::sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  return found;
}

std::vector<const contract::Entity*> Snapshot::entities_of_type(std::string_view type) const {
  std::vector<const contract::Entity*> found;
  entities_.for_each([&](const cedar::EntityHandle& entity) {
    const contract::Entity* facts = static_cast<const FactEntity&>(*entity).facts.get();
    if (facts->id.type == type) found.push_back(facts);
  });
  std::sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  return found;
}

// Anew, from the store.
Status Snapshot::compile() {
  policies_ = policies_->renumbered();
  std::vector<engine::EntityInput> inputs;
  inputs.reserve(entities_.size());
  entities_.for_each([&](const cedar::EntityHandle& entity) { inputs.push_back(input_of(*entity)); });
  WARY_ASSIGN_OR_RETURN(compiled_, engine::Snapshot::make(policies_->numbered(), inputs, {.seed = seed_}));
  return {};
}

// From the engine's snapshot of `base`, or anew where that line has gone on elsewhere or has grown too much.
Status Snapshot::compile_after(const Snapshot& base, const cedar::EntityChanges& changes) {
  if (base.compiled_->is_wasteful()) return compile();
  engine::Changes next;
  next.removals = changes.removals;
  for (const cedar::EntityHandle& entity : changes.upserts) next.upserts.push_back(input_of(*entity));
  if (policies_ != base.policies_) policies_->changes_since(*base.policies_, next);
  auto made = base.compiled_->with(next);
  if (!made.ok() && made.error().code == "engine_stale") return compile();
  WARY_ASSIGN_OR_RETURN(compiled_, std::move(made));
  return {};
}

Result<SnapshotPtr> build_snapshot(const SnapshotContent& content, UnixTime built, std::uint64_t seed) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->tenant_ = content.tenant;
  snapshot->revision_ = content.revision;
  snapshot->built_ = built;
  snapshot->seed_ = seed;
  WARY_ASSIGN_OR_RETURN(snapshot->policies_, CompiledPolicies::compile(content.policies));
  WARY_ASSIGN_OR_RETURN(const auto entities, make_entities(content.entities, content.tenant));
  std::vector<std::string> names;
  names.reserve(entities.size());
  std::vector<ContentDigest::Change> changes;
  for (const auto& entity : entities) {
    names.push_back(digest_name(*entity->uid));
    changes.push_back({names.back(), &entity->digest});
  }
  WARY_ASSIGN_OR_RETURN(snapshot->entities_,
                        cedar::EntityStore::make(std::vector<cedar::EntityHandle>(entities.begin(), entities.end())));
  snapshot->entities_digest_.apply(changes);
  WARY_RETURN_IF_ERROR(snapshot->compile());
  snapshot->set_hash();
  return SnapshotPtr(std::move(snapshot));
}

// Member by member: the entities are not copied only to be replaced.
Result<cedar::EntityChanges> Snapshot::take(const Snapshot& base, const SnapshotDelta& delta) {
  if (delta.from != base.revision_ || delta.to <= delta.from || delta.tenant != base.tenant_) {
    return fail(ErrorKind::kConflict, "policy_delta_base", "the delta does not continue this snapshot")
        .expected("from revision " + std::to_string(base.revision_))
        .found(std::to_string(delta.from) + " to " + std::to_string(delta.to))
        .next("ask for a whole snapshot");
  }
  tenant_ = base.tenant_;
  policies_ = base.policies_;
  entities_digest_ = base.entities_digest_;
  revision_ = delta.to;
  seed_ = base.seed_;
  if (delta.changes_policies()) {
    WARY_ASSIGN_OR_RETURN(policies_, base.policies_->with(delta.policy_upserts, delta.policy_removals));
  }
  WARY_ASSIGN_OR_RETURN(const auto upserts, make_entities(delta.upserts, delta.tenant));
  cedar::EntityChanges changes;
  std::vector<std::string> names;
  names.reserve(delta.removals.size() + upserts.size());
  std::vector<ContentDigest::Change> digests;
  for (const contract::EntityId& removal : delta.removals) {
    changes.removals.push_back({removal.type, removal.id});
    names.push_back(digest_name(changes.removals.back()));
    digests.push_back({names.back(), nullptr});
  }
  for (const auto& entity : upserts) {
    changes.upserts.push_back(entity);
    names.push_back(digest_name(*entity->uid));
    digests.push_back({names.back(), &entity->digest});
  }
  WARY_ASSIGN_OR_RETURN(entities_, base.entities_.with(changes));
  entities_digest_.apply(digests);
  return changes;
}

Result<SnapshotPtr> apply_delta(const Snapshot& base, const SnapshotDelta& delta, UnixTime built) {
  auto next = std::make_shared<Snapshot>();
  WARY_ASSIGN_OR_RETURN(const cedar::EntityChanges changes, next->take(base, delta));
  next->built_ = built;
  WARY_RETURN_IF_ERROR(next->compile_after(base, changes));
  next->set_hash();
  return SnapshotPtr(std::move(next));
}

Status check_delta(const Snapshot& base, const SnapshotDelta& delta) {
  Snapshot next;
  auto taken = next.take(base, delta);
  return taken ? Status() : Status(std::move(taken).error());
}

SnapshotContent content_of(const Snapshot& snapshot) {
  SnapshotContent content;
  content.tenant = snapshot.tenant();
  content.revision = snapshot.revision();
  content.policies = snapshot.policies().texts();
  snapshot.entities().for_each([&](const cedar::EntityHandle& entity) {
    content.entities.push_back(*static_cast<const FactEntity&>(*entity).facts);
  });
  std::sort(content.entities.begin(), content.entities.end(),
            [](const contract::Entity& a, const contract::Entity& b) { return a.id < b.id; });
  return content;
}

}  // namespace wary::policy
