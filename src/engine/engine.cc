#include "engine/engine.h"

#include <algorithm>

#include "base/check.h"
#include "engine/world.h"

namespace wary::engine {

namespace {

// Rules without some policies and with others.
std::shared_ptr<const Rules> change_rules(const Rules& old, std::span<const PolicyInput> added,
                                          std::span<const std::uint32_t> removed, World& world) {
  auto rules = std::make_shared<Rules>(old);
  WorldNames names(world.symbols, world.rules_arena);
  PolicyList gone;
  std::vector<Paged<CompiledPolicy>::Change> changes;
  for (const std::uint32_t number : removed) {
    gone.push_back(old.policies.find(number));
    WARY_CHECK(gone.back() != nullptr);
    changes.emplace_back(number, nullptr);
  }
  std::sort(gone.begin(), gone.end());
  PolicyList fresh;
  for (const PolicyInput& input : added) {
    const CompiledPolicy* policy = compile(*input.policy, input.number, names);
    fresh.push_back(policy);
    changes.emplace_back(input.number, policy);
    WARY_CHECK(input.number >= rules->next_number);
    rules->next_number = input.number + 1;
    rules->stack = std::max(rules->stack, policy->program.stack);
    for (const Alternatives& alternatives : policy->narrowed) {
      for (const Narrowing& narrowing : alternatives) rules->stack = std::max(rules->stack, narrowing.value.stack);
    }
  }
  std::sort(changes.begin(), changes.end());
  rules->policies.put(changes, [](const CompiledPolicy&) {});
  rules->index = old.index.with(fresh, gone);
  return rules;
}

Status check_sizes(std::span<const EntityInput> inputs) {
  constexpr std::size_t kMaximum = 65'535;
  for (const EntityInput& input : inputs) {
    const cedar::Entity& entity = *input.entity;
    const std::size_t most =
        std::max({entity.attributes.size(), entity.tags.size(), entity.parents.size(), input.expiries.size()});
    if (most <= kMaximum) continue;
    return fail(ErrorKind::kInvalid, "engine_entity", "an entity with too much in it")
        .at(entity.uid->to_string())
        .expected("at most 65535 attributes, tags or parents")
        .found(std::to_string(most));
  }
  return {};
}

}  // namespace

std::vector<PolicyInput> numbered(std::span<const cedar::Policy> policies, std::uint32_t first) {
  std::vector<PolicyInput> out;
  out.reserve(policies.size());
  for (const cedar::Policy& policy : policies) out.push_back({&policy, first++});
  return out;
}

Snapshot::Snapshot() = default;
Snapshot::~Snapshot() = default;

Result<SnapshotPtr> Snapshot::make(std::span<const PolicyInput> policies, std::span<const EntityInput> entities,
                                   const Options& options) {
  WARY_RETURN_IF_ERROR(check_sizes(entities));
  auto world = std::make_shared<World>(options.seed);
  WARY_RETURN_IF_ERROR(world->writer.apply(entities, {}));
  return start(std::move(world), policies);
}

SnapshotPtr Snapshot::start(std::shared_ptr<World> world, std::span<const PolicyInput> policies) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->entities_ = std::make_unique<const EntityTable>(world->writer.table());
  snapshot->rules_ = change_rules({}, policies, {}, *world);
  snapshot->world_ = std::move(world);
  snapshot->world_->first_bytes = snapshot->entity_bytes();
  snapshot->world_->first_rules_bytes = snapshot->world_->rules_arena.bytes();
  return snapshot;
}

Result<SnapshotPtr> Snapshot::with(const Changes& changes) const {
  if (world_->latest != number_) {
    return fail(ErrorKind::kConflict, "engine_stale", "a later snapshot was made of this one already")
        .next("make the snapshot anew");
  }
  WARY_RETURN_IF_ERROR(check_sizes(changes.upserts));
  WARY_RETURN_IF_ERROR(world_->writer.apply(changes.upserts, changes.removals));
  auto next = std::make_shared<Snapshot>();
  next->world_ = world_;
  next->entities_ = std::make_unique<const EntityTable>(world_->writer.table());
  const bool same_rules = changes.added_policies.empty() && changes.removed_policies.empty();
  next->rules_ = same_rules ? rules_ : change_rules(*rules_, changes.added_policies, changes.removed_policies, *world_);
  next->number_ = ++world_->latest;
  return SnapshotPtr(std::move(next));
}

Result<SnapshotPtr> Snapshot::with_policies(std::span<const cedar::Policy> policies) const {
  Changes changes;
  changes.added_policies = numbered(policies, rules_->next_number);
  rules_->policies.for_each([&](const CompiledPolicy& policy) { changes.removed_policies.push_back(policy.number); });
  return with(changes);
}

std::size_t Snapshot::entity_count() const { return entities_->size(); }
std::size_t Snapshot::policy_count() const { return rules_->policies.size(); }
std::size_t Snapshot::entity_bytes() const {
  return world_->image_bytes + world_->symbols.bytes() + world_->arena.bytes() + sizeof(void*) * entities_->size();
}
bool Snapshot::is_wasteful() const {
  constexpr std::size_t kLittle = std::size_t{16} << 20;
  return entity_bytes() > 2 * world_->first_bytes + kLittle ||
         world_->rules_arena.bytes() > 2 * world_->first_rules_bytes + kLittle;
}
std::string_view Snapshot::policy_id(std::uint32_t policy) const { return rules_->policies.find(policy)->id->view(); }

Worker::Worker() : machine_(std::make_unique<Machine>()) {}
Worker::~Worker() = default;

void Worker::visit(std::span<const CompiledPolicy* const> policies) {
  Machine& machine = *machine_;
  for (const CompiledPolicy* policy : policies) {
    if (!machine.matches(*policy)) continue;
    const auto outcome = policy->has_conditions ? machine.run(policy->program) : cedar::Outcome::kSatisfied;
    if (outcome == cedar::Outcome::kNotSatisfied) continue;
    if (outcome == cedar::Outcome::kError) {
      answer_.errors.push_back({policy->number, machine.error(), policy->is_forbid});
    } else {
      (policy->is_forbid ? answer_.forbids : answer_.permits).push_back(policy->number);
    }
  }
}

const Answer& Worker::decide(const Snapshot& snapshot, const cedar::Request& request, UnixTime now) {
  const Rules& rules = *snapshot.rules_;
  answer_.permits.clear();
  answer_.forbids.clear();
  answer_.errors.clear();
  machine_->start(snapshot.world_->symbols, *snapshot.entities_, request, now, rules.stack);
  rules.index.visit(*machine_, [&](Policies policies) { visit(policies); });
  const auto tidy = [](std::vector<std::uint32_t>& numbers) {
    if (numbers.size() < 2) return;
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  };
  tidy(answer_.permits);
  tidy(answer_.forbids);
  if (answer_.errors.size() > 1) {
    const auto before = [](const Failure& a, const Failure& b) { return a.policy < b.policy; };
    const auto same = [](const Failure& a, const Failure& b) { return a.policy == b.policy; };
    std::sort(answer_.errors.begin(), answer_.errors.end(), before);
    answer_.errors.erase(std::unique(answer_.errors.begin(), answer_.errors.end(), same), answer_.errors.end());
  }
  answer_.is_allowed = answer_.forbids.empty() && !answer_.permits.empty();
  return answer_;
}

std::vector<cedar::EntityUid> Worker::reads(const Snapshot& snapshot) const {
  const Symbols& symbols = snapshot.world_->symbols;
  std::vector<std::uint32_t> refs(machine_->looked_at().refs().begin(), machine_->looked_at().refs().end());
  const auto climb = [&](std::uint32_t ref) {
    refs.push_back(ref);
    const EntityBlock* block = snapshot.entities_->find(ref);
    if (block == nullptr) return;
    for (std::uint32_t i = 0; i < block->parents; ++i) {
      refs.push_back(block->parent_refs()[i]);
      const EntityBlock* above = snapshot.entities_->find(block->parent_refs()[i]);
      if (above != nullptr) refs.insert(refs.end(), above->closure, above->closure + above->ancestors);
    }
  };
  for (const std::uint32_t ref : machine_->climbed().refs()) climb(ref);
  for (const auto variable : {cedar::Variable::kPrincipal, cedar::Variable::kAction, cedar::Variable::kResource}) {
    if (machine_->was_climbed(variable)) climb(machine_->ref(variable));
    if (machine_->was_looked_at(variable)) refs.push_back(machine_->ref(variable));
  }
  std::sort(refs.begin(), refs.end());
  refs.erase(std::unique(refs.begin(), refs.end()), refs.end());
  std::vector<cedar::EntityUid> out;
  out.reserve(refs.size());
  for (const std::uint32_t ref : refs) {
    if (ref >= kTemporary) {
      out.push_back(machine_->temporary(ref));
    } else {
      out.push_back({std::string(symbols.name(symbols.type_of(ref))), std::string(symbols.id_of(ref))});
    }
  }
  return out;
}

UnixTime Worker::valid_until() const { return {machine_->valid_until_nanos()}; }

}  // namespace wary::engine
