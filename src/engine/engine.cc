#include "engine/engine.h"

#include <algorithm>

#include "engine/world.h"

namespace wary::engine {

namespace {

std::shared_ptr<const Rules> compile_rules(std::span<const cedar::Policy> policies, World& world) {
  auto rules = std::make_shared<Rules>();
  WorldNames names(world.symbols, world.arena);
  for (const cedar::Policy& policy : policies) {
    compile(policy, names, rules->program);
    find_narrowings(policy, names, *rules);
    rules->ids.push_back(policy.id);
  }
  rules->index.build(rules->program);
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

Snapshot::Snapshot() = default;
Snapshot::~Snapshot() = default;

Result<SnapshotPtr> Snapshot::make(std::span<const cedar::Policy> policies, std::span<const EntityInput> entities,
                                   const Options& options) {
  WARY_RETURN_IF_ERROR(check_sizes(entities));
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->world_ = std::make_shared<World>(options.seed);
  World& world = *snapshot->world_;
  WARY_RETURN_IF_ERROR(world.writer.apply(entities, {}));
  snapshot->entities_ = std::make_unique<const EntityTable>(world.writer.table());
  snapshot->rules_ = compile_rules(policies, world);
  world.first_bytes = snapshot->entity_bytes();
  return SnapshotPtr(std::move(snapshot));
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
  next->rules_ = changes.policies ? compile_rules(*changes.policies, *world_) : rules_;
  next->number_ = ++world_->latest;
  return SnapshotPtr(std::move(next));
}

std::size_t Snapshot::entity_count() const { return entities_->size(); }
std::size_t Snapshot::policy_count() const { return rules_->program.policies.size(); }
std::size_t Snapshot::entity_bytes() const {
  return world_->symbols.bytes() + world_->arena.bytes() + sizeof(void*) * entities_->size();
}
bool Snapshot::is_wasteful() const {
  constexpr std::size_t kLittle = std::size_t{16} << 20;
  return entity_bytes() > 2 * world_->first_bytes + kLittle;
}
const std::string& Snapshot::policy_id(std::uint32_t policy) const { return rules_->ids[policy]; }

Worker::Worker() : machine_(std::make_unique<Machine>()) {}
Worker::~Worker() = default;

void Worker::visit(const Rules& rules, std::span<const std::uint32_t> policies) {
  Machine& machine = *machine_;
  for (const std::uint32_t number : policies) {
    const CompiledPolicy& policy = rules.program.policies[number];
    if (!machine.matches(rules.program, policy)) continue;
    const auto outcome = policy.has_conditions ? machine.run(rules.program, policy.code) : cedar::Outcome::kSatisfied;
    if (outcome == cedar::Outcome::kNotSatisfied) continue;
    if (outcome == cedar::Outcome::kError) {
      answer_.errors.push_back({number, machine.error()});
    } else {
      (policy.is_forbid ? answer_.forbids : answer_.permits).push_back(number);
    }
  }
}

const Answer& Worker::decide(const Snapshot& snapshot, const cedar::Request& request, UnixTime now) {
  const Rules& rules = *snapshot.rules_;
  answer_.permits.clear();
  answer_.forbids.clear();
  answer_.errors.clear();
  machine_->start(snapshot.world_->symbols, *snapshot.entities_, request, now, rules.program.stack);
  rules.index.visit(*machine_, [&](std::span<const std::uint32_t> policies) { visit(rules, policies); });
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
