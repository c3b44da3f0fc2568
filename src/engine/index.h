// ScopeIndex: which policies can match, by their scopes. Private to engine/.
//
//   index.visit(machine, [&](std::span<const std::uint32_t> policies) { ... });
//
// A policy that the index leaves out fails its scope, which cannot error: leaving it out changes nothing (the slicing
// theorem of Cedar's formal model). Policies lie by action, then by the entity their resource must be or be in, then by
// the one of their principal; what names none lies by the member that its first clause compares with a constant, or in
// a list of its own. A request walks its own ancestors through it; a group of few policies is not divided further. The
// actions of what it visits match; principal and resource may not, and a policy with several actions may be visited
// twice. Immutable; any thread. The next index shares what lies under other actions than those of the policies that
// changed.
#pragma once

#include <bit>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "engine/machine.h"

namespace wary::engine {

using Policies = std::span<const CompiledPolicy* const>;
using PolicyList = std::vector<const CompiledPolicy*>;

// Lists of policies by a number: all lists in one piece, found by open addressing. For reading only, once built.
template <typename Key>
class ListMap {
 public:
  struct Slot {
    Key key = 0;
    std::uint32_t first = 0;
    std::uint32_t count = 0;        // 0: free
    std::uint32_t divided = kNone;  // the owner's: where the list stands divided further
  };
  // Each policy with its key; a list keeps their order.
  void build(std::span<const std::pair<Key, const CompiledPolicy*>> items);
  const Slot* find(Key key) const {
    if (slots_.empty() || (filter_ >> bit(key) & 1) == 0) return nullptr;
    for (std::uint32_t at = place(key);; at = (at + 1) & mask_) {
      if (slots_[at].count == 0) return nullptr;
      if (slots_[at].key == key) return &slots_[at];
    }
  }
  Policies list(const Slot& slot) const { return {lists_.data() + slot.first, slot.count}; }
  bool empty() const { return slots_.empty(); }
  std::span<Slot> slots() { return slots_; }

 private:
  static std::uint64_t spread(Key key) { return key * 0x9E3779B97F4A7C15ULL; }
  static std::uint32_t bit(Key key) { return static_cast<std::uint32_t>(spread(key) >> 58); }
  std::uint32_t place(Key key) const { return static_cast<std::uint32_t>(spread(key) >> 32) & mask_; }

  std::vector<Slot> slots_;
  PolicyList lists_;
  std::uint32_t mask_ = 0;
  std::uint64_t filter_ = 0;  // of 64 kinds of keys: which are there at all
};

class ScopeIndex {
 public:
  ScopeIndex();
  // Without the `removed`, by ascending address, and with the `added`, by ascending number above all others'.
  ScopeIndex with(Policies added, Policies removed) const;

  // Calls visit(policies, by ascending number) for every list that may hold a match.
  template <typename Visit>
  void visit(Machine& machine, Visit visit) const {
    visit_group(machine, *any_action_, visit);
    const ByResource* own = actions_.find(machine.ref(cedar::Variable::kAction));
    if (own != nullptr) visit_group(machine, *own, visit);
    if (groups_.empty()) return;
    for (const std::uint32_t ref : machine.ancestors(cedar::Variable::kAction)) {
      const ByResource* group = groups_.find(ref);
      if (group != nullptr) visit_group(machine, *group, visit);
    }
  }

 private:
  static constexpr std::size_t kFew = 8;
  // Policies that start with the same member of the same variable, by what it must be.
  struct ByMember {
    cedar::Variable variable;
    std::uint32_t name;
    ListMap<std::uint64_t> lists;
    PolicyList all;
  };
  struct ByPrincipal {
    PolicyList others;
    std::vector<ByMember> members;
    ListMap<std::uint32_t> named;
  };
  struct ByResource {
    PolicyList all;      // by ascending number
    bool is_few = true;  // `all` is visited; the rest is empty
    ByPrincipal others;
    ListMap<std::uint32_t> named;
    std::vector<ByPrincipal> divided;  // the long lists of `named`
  };
  using Group = std::shared_ptr<const ByResource>;  // shared by successive indexes
  // By an action or a group of them.
  class Groups {
   public:
    const ByResource* find(std::uint32_t action) const {
      if (slots_.empty()) return nullptr;
      for (std::uint32_t at = place(action);; at = (at + 1) & mask_) {
        if (slots_[at].second == nullptr || slots_[at].first == action) return slots_[at].second.get();
      }
    }
    bool empty() const { return slots_.empty(); }
    void update(const std::map<std::uint32_t, PolicyList>& added, const std::set<std::uint32_t>& touched,
                Policies removed);

   private:
    std::uint32_t place(std::uint32_t action) const {
      return static_cast<std::uint32_t>((action * 0x9E3779B97F4A7C15ULL) >> 32) & mask_;
    }
    std::vector<std::pair<std::uint32_t, Group>> slots_;
    std::uint32_t mask_ = 0;
  };

  template <typename Visit>
  static void visit_group(Machine& machine, const ByResource& group, Visit visit) {
    if (group.is_few) {
      if (!group.all.empty()) visit(Policies(group.all));
      return;
    }
    visit_principal(machine, group.others, visit);
    if (group.named.empty()) return;
    const auto look = [&](std::uint32_t ref) {
      const auto* slot = group.named.find(ref);
      if (slot == nullptr) return;
      if (slot->divided == kNone)
        visit(group.named.list(*slot));
      else
        visit_principal(machine, group.divided[slot->divided], visit);
    };
    look(machine.ref(cedar::Variable::kResource));
    for (const std::uint32_t ref : machine.ancestors(cedar::Variable::kResource)) look(ref);
  }
  template <typename Visit>
  static void visit_principal(Machine& machine, const ByPrincipal& group, Visit visit) {
    if (!group.others.empty()) visit(Policies(group.others));
    for (const ByMember& member : group.members) {
      const Cell* value = machine.peek(member.variable, member.name);
      if (value == nullptr) {  // every one of them errs, if its scope matches
        visit(Policies(member.all));
        continue;
      }
      const auto* slot = member.lists.find(key_of(*value));
      if (slot != nullptr) visit(member.lists.list(*slot));
    }
    if (group.named.empty()) return;
    const auto look = [&](std::uint32_t ref) {
      const auto* slot = group.named.find(ref);
      if (slot != nullptr) visit(group.named.list(*slot));
    };
    look(machine.ref(cedar::Variable::kPrincipal));
    for (const std::uint32_t ref : machine.ancestors(cedar::Variable::kPrincipal)) look(ref);
  }

  // Equal cells have equal keys; others seldom, which costs a visit in vain.
  static std::uint64_t key_of(const Cell& cell) {
    const std::uint64_t tag = static_cast<std::uint64_t>(cell.tag) << 60;
    if (cell.tag == Tag::kString) return tag ^ cell.text->hash;
    if (cell.tag == Tag::kEntity) return tag ^ cell.entity;
    const bool is_number = cell.tag != Tag::kSet && cell.tag != Tag::kRecord && cell.tag != Tag::kIp;
    return is_number ? tag ^ static_cast<std::uint64_t>(cell.number) : tag;
  }
  static Group make_group(PolicyList all);
  static ByPrincipal by_principal(PolicyList policies);
  static void split_members(ByPrincipal& group);

  Group any_action_;
  Groups actions_;  // `action ==` or `in` this very one
  Groups groups_;   // `action in` this, for those that are in it
};

}  // namespace wary::engine
