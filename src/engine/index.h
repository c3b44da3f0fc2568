// ScopeIndex: which policies can match, by their scopes. Private to engine/.
//
//   index.visit(machine, [&](std::span<const std::uint32_t> policies) { ... });
//
// A policy that the index leaves out fails its scope, which cannot error: leaving it out changes nothing (the slicing
// theorem of Cedar's formal model). Policies lie by action, then by the entity their resource must be or be in, then by
// the one of their principal; what names none lies by the member that its first clause compares with a constant, or in
// a list of its own. A request walks its own ancestors through it; a group of few policies is not divided further. The
// actions of what it visits match; principal and resource may not, and a policy with several actions may be visited
// twice. Immutable; any thread.
#pragma once

#include <map>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/machine.h"

namespace wary::engine {

// Ref to number, for reading only, once built.
class RefMap {
 public:
  void build(const std::vector<std::uint32_t>& refs);  // ref i gets number i; refs differ
  std::uint32_t find(std::uint32_t ref) const {
    if (slots_.empty() || (filter_ >> bit(ref) & 1) == 0) return kNone;
    for (std::uint32_t at = spread(ref) & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].ref == ref) return slots_[at].number;
      if (slots_[at].ref == kNone) return kNone;
    }
  }
  bool empty() const { return slots_.empty(); }

 private:
  struct Slot {
    std::uint32_t ref = kNone;
    std::uint32_t number = kNone;
  };
  static std::uint32_t spread(std::uint32_t ref) {
    return static_cast<std::uint32_t>((ref * 0x9E3779B97F4A7C15ULL) >> 32);
  }
  static std::uint32_t bit(std::uint32_t ref) {
    return static_cast<std::uint32_t>((ref * 0x9E3779B97F4A7C15ULL) >> 58);
  }
  std::vector<Slot> slots_;
  std::uint32_t mask_ = 0;
  std::uint64_t filter_ = 0;  // of 64 kinds of refs: which are there at all
};

class ScopeIndex {
 public:
  void build(const Program& program);

  // Calls visit(span of policy numbers, ascending) for every list that may hold a match.
  template <typename Visit>
  void visit(Machine& machine, Visit visit) const {
    visit_action(machine, any_action_, visit);
    const std::uint32_t action = machine.ref(cedar::Variable::kAction);
    visit_found(machine, actions_, by_action_.find(action), visit);
    if (by_group_.empty()) return;
    for (const std::uint32_t group : machine.ancestors(cedar::Variable::kAction)) {
      visit_found(machine, groups_, by_group_.find(group), visit);
    }
  }

 private:
  static constexpr std::size_t kFew = 8;
  using List = std::vector<std::uint32_t>;
  // Policies that start with the same member of the same variable, by what it must be.
  struct ByMember {
    cedar::Variable variable;
    std::uint32_t name;
    std::unordered_map<std::uint64_t, List> lists;
    List all;
  };
  struct ByPrincipal {
    List others;
    std::vector<ByMember> members;
    RefMap refs;
    std::vector<List> lists;
  };
  struct ByResource {
    bool is_plain = true;  // `others.others` holds all
    ByPrincipal others;
    RefMap refs;
    std::vector<ByPrincipal> groups;
  };

  template <typename Visit>
  static void visit_found(Machine& machine, const std::vector<ByResource>& groups, std::uint32_t number, Visit visit) {
    if (number != kNone) visit_action(machine, groups[number], visit);
  }
  template <typename Visit>
  static void visit_action(Machine& machine, const ByResource& group, Visit visit) {
    visit_principal(machine, group.others, visit);
    if (group.is_plain || group.refs.empty()) return;
    const auto look = [&](std::uint32_t ref) {
      const std::uint32_t number = group.refs.find(ref);
      if (number != kNone) visit_principal(machine, group.groups[number], visit);
    };
    look(machine.ref(cedar::Variable::kResource));
    for (const std::uint32_t ref : machine.ancestors(cedar::Variable::kResource)) look(ref);
  }
  template <typename Visit>
  static void visit_principal(Machine& machine, const ByPrincipal& group, Visit visit) {
    if (!group.others.empty()) visit(std::span<const std::uint32_t>(group.others));
    for (const ByMember& member : group.members) {
      const Cell* value = machine.peek(member.variable, member.name);
      if (value == nullptr) {  // every one of them errs, if its scope matches
        visit(std::span<const std::uint32_t>(member.all));
        continue;
      }
      const auto found = member.lists.find(key_of(*value));
      if (found != member.lists.end()) visit(std::span<const std::uint32_t>(found->second));
    }
    if (group.refs.empty()) return;
    const auto look = [&](std::uint32_t ref) {
      const std::uint32_t number = group.refs.find(ref);
      if (number != kNone) visit(std::span<const std::uint32_t>(group.lists[number]));
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
  static void split_members(const Program& program, ByPrincipal& group);
  static void build_actions(const Program& program, const std::map<std::uint32_t, List>& lists, RefMap& refs,
                            std::vector<ByResource>& out);
  static void build_resource(const Program& program, const List& policies, ByResource& out);
  static void build_principal(const Program& program, const List& policies, ByPrincipal& out);

  ByResource any_action_;
  RefMap by_action_;  // `action ==` or `in` this very one
  std::vector<ByResource> actions_;
  RefMap by_group_;  // `action in` this, for those that are in it
  std::vector<ByResource> groups_;
};

}  // namespace wary::engine
