#include "engine/index.h"

#include <algorithm>

namespace wary::engine {

namespace {

// The entity a scope part hangs on, or kNone.
std::uint32_t anchor(const Scope& scope) {
  using Kind = cedar::ScopeConstraint::Kind;
  const bool has_one = scope.kind == Kind::kEqual || scope.kind == Kind::kIn || scope.kind == Kind::kIsIn;
  return has_one && scope.count == 1 ? scope.ref : kNone;
}

using Anchored = std::vector<std::pair<std::uint32_t, const CompiledPolicy*>>;

// Those with an anchor; the others stay in the list.
Anchored take_anchored(PolicyList& policies, Scope CompiledPolicy::* part) {
  Anchored out;
  std::erase_if(policies, [&](const CompiledPolicy* policy) {
    const std::uint32_t ref = anchor(policy->*part);
    if (ref != kNone) out.emplace_back(ref, policy);
    return ref != kNone;
  });
  return out;
}

// The actions that a policy lies under, each once; none: under all.
std::vector<std::uint32_t> actions_of(const CompiledPolicy& policy) {
  std::vector<std::uint32_t> out(policy.action.all().begin(), policy.action.all().end());
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

bool is_for_any_action(const CompiledPolicy& policy) {
  return policy.action.kind == cedar::ScopeConstraint::Kind::kAny;
}

PolicyList changed(const PolicyList& old, Policies added, Policies removed) {
  PolicyList out;
  out.reserve(old.size() + added.size());
  if (removed.empty()) {
    out = old;
  } else {
    std::copy_if(old.begin(), old.end(), std::back_inserter(out), [&](const CompiledPolicy* policy) {
      return !std::binary_search(removed.begin(), removed.end(), policy);
    });
  }
  out.insert(out.end(), added.begin(), added.end());
  return out;
}

}  // namespace

// Counts, then lays the lists out one after another, then fills them.
template <typename Key>
void ListMap<Key>::build(std::span<const std::pair<Key, const CompiledPolicy*>> items) {
  *this = {};
  if (items.empty()) return;
  slots_.resize(std::bit_ceil(items.size() * 2));
  mask_ = static_cast<std::uint32_t>(slots_.size() - 1);
  const auto slot_of = [&](Key key) -> Slot& {
    std::uint32_t at = place(key);
    while (slots_[at].count != 0 && slots_[at].key != key) at = (at + 1) & mask_;
    return slots_[at];
  };
  for (const auto& [key, policy] : items) {
    Slot& slot = slot_of(key);
    slot.key = key;
    ++slot.count;
    filter_ |= std::uint64_t{1} << bit(key);
  }
  std::uint32_t next = 0;
  for (Slot& slot : slots_) {
    slot.first = next;
    next += slot.count;
  }
  lists_.resize(items.size());
  for (const auto& [key, policy] : items) lists_[slot_of(key).first++] = policy;
  for (Slot& slot : slots_) slot.first -= slot.count;
}

ScopeIndex::ScopeIndex() : any_action_(std::make_shared<ByResource>()) {}

ScopeIndex::ByPrincipal ScopeIndex::by_principal(PolicyList policies) {
  ByPrincipal out;
  out.others = std::move(policies);
  if (out.others.size() <= kFew) return out;
  out.named.build(take_anchored(out.others, &CompiledPolicy::principal));
  if (out.others.size() > kFew) split_members(out);
  return out;
}

// Takes out of `others` what starts with a member that several start with.
void ScopeIndex::split_members(ByPrincipal& group) {
  std::map<std::pair<cedar::Variable, std::uint32_t>, PolicyList> by_member;
  PolicyList others;
  for (const CompiledPolicy* policy : group.others) {
    const FirstTest& first = policy->first;
    if (first.is_there)
      by_member[{first.variable, first.name}].push_back(policy);
    else
      others.push_back(policy);
  }
  for (auto& [member, list] : by_member) {
    if (list.size() <= kFew) {
      others.insert(others.end(), list.begin(), list.end());
      continue;
    }
    std::vector<std::pair<std::uint64_t, const CompiledPolicy*>> keyed;
    keyed.reserve(list.size());
    for (const CompiledPolicy* policy : list) keyed.emplace_back(key_of(policy->first.constant), policy);
    group.members.push_back({member.first, member.second, {}, std::move(list)});
    group.members.back().lists.build(keyed);
  }
  group.others = std::move(others);
}

ScopeIndex::Group ScopeIndex::make_group(PolicyList all) {
  auto out = std::make_shared<ByResource>();
  out->all = std::move(all);
  if (out->all.size() <= kFew) return out;
  out->is_few = false;
  PolicyList others = out->all;
  out->named.build(take_anchored(others, &CompiledPolicy::resource));
  out->others = by_principal(std::move(others));
  for (auto& slot : out->named.slots()) {
    if (slot.count <= kFew) continue;
    const Policies list = out->named.list(slot);
    slot.divided = static_cast<std::uint32_t>(out->divided.size());
    out->divided.push_back(by_principal(PolicyList(list.begin(), list.end())));
  }
  return out;
}

void ScopeIndex::Groups::update(const std::map<std::uint32_t, PolicyList>& added,
                                const std::set<std::uint32_t>& touched, Policies removed) {
  if (touched.empty()) return;
  std::vector<std::pair<std::uint32_t, Group>> all;
  for (auto& slot : slots_) {
    if (slot.second != nullptr && !touched.contains(slot.first)) all.push_back(slot);
  }
  const PolicyList nothing;
  for (const std::uint32_t action : touched) {
    const ByResource* old = find(action);
    const auto more = added.find(action);
    PolicyList list = changed(old != nullptr ? old->all : nothing,
                              more != added.end() ? Policies(more->second) : Policies(), removed);
    if (!list.empty()) all.emplace_back(action, make_group(std::move(list)));
  }
  slots_.clear();
  if (all.empty()) return;
  slots_.resize(std::bit_ceil(all.size() * 2));
  mask_ = static_cast<std::uint32_t>(slots_.size() - 1);
  for (auto& entry : all) {
    std::uint32_t at = place(entry.first);
    while (slots_[at].second != nullptr) at = (at + 1) & mask_;
    slots_[at] = std::move(entry);
  }
}

ScopeIndex ScopeIndex::with(Policies added, Policies removed) const {
  ScopeIndex next = *this;
  PolicyList any;
  std::map<std::uint32_t, PolicyList> by_action;
  std::map<std::uint32_t, PolicyList> by_group;
  std::set<std::uint32_t> actions;  // whose lists change
  std::set<std::uint32_t> groups;
  bool any_changes = false;
  const auto touch = [&](const CompiledPolicy& policy) {
    any_changes = any_changes || is_for_any_action(policy);
    for (const std::uint32_t action : actions_of(policy)) {
      actions.insert(action);
      if (policy.action.kind == cedar::ScopeConstraint::Kind::kIn) groups.insert(action);
    }
  };
  for (const CompiledPolicy* policy : removed) touch(*policy);
  for (const CompiledPolicy* policy : added) {
    touch(*policy);
    if (is_for_any_action(*policy)) any.push_back(policy);
    for (const std::uint32_t action : actions_of(*policy)) {
      by_action[action].push_back(policy);
      if (policy->action.kind == cedar::ScopeConstraint::Kind::kIn) by_group[action].push_back(policy);
    }
  }
  if (any_changes) next.any_action_ = make_group(changed(any_action_->all, any, removed));
  next.actions_.update(by_action, actions, removed);
  next.groups_.update(by_group, groups, removed);
  return next;
}

}  // namespace wary::engine
