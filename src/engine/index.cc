#include "engine/index.h"

#include <bit>

namespace wary::engine {

namespace {

using List = std::vector<std::uint32_t>;

// The entity a scope part hangs on, or kNone.
std::uint32_t anchor(const Scope& scope) {
  using Kind = cedar::ScopeConstraint::Kind;
  const bool has_one = scope.kind == Kind::kEqual || scope.kind == Kind::kIn || scope.kind == Kind::kIsIn;
  return has_one && scope.count == 1 ? scope.ref : kNone;
}

// Policies by anchor, in the order they came; refs ascend.
struct Grouped {
  std::vector<std::uint32_t> refs;
  std::vector<List> lists;
};

Grouped grouped(const std::map<std::uint32_t, List>& by_ref) {
  Grouped out;
  for (const auto& [ref, list] : by_ref) {
    out.refs.push_back(ref);
    out.lists.push_back(list);
  }
  return out;
}

}  // namespace

void RefMap::build(const std::vector<std::uint32_t>& refs) {
  slots_.clear();
  filter_ = 0;
  if (refs.empty()) return;
  slots_.resize(std::bit_ceil(refs.size() * 2));
  mask_ = static_cast<std::uint32_t>(slots_.size() - 1);
  for (std::uint32_t number = 0; number < refs.size(); ++number) {
    std::uint32_t at = spread(refs[number]) & mask_;
    while (slots_[at].ref != kNone) at = (at + 1) & mask_;
    slots_[at] = {refs[number], number};
    filter_ |= std::uint64_t{1} << bit(refs[number]);
  }
}

void ScopeIndex::build_principal(const Program& program, const List& policies, ByPrincipal& out) {
  if (policies.size() <= kFew) {
    out.others = policies;
    return;
  }
  std::map<std::uint32_t, List> by_ref;
  for (const std::uint32_t policy : policies) {
    const std::uint32_t ref = anchor(program.policies[policy].principal);
    if (ref == kNone)
      out.others.push_back(policy);
    else
      by_ref[ref].push_back(policy);
  }
  Grouped groups = grouped(by_ref);
  out.refs.build(groups.refs);
  out.lists = std::move(groups.lists);
  if (out.others.size() > kFew) split_members(program, out);
}

// Takes out of `others` what starts with a member that several start with.
void ScopeIndex::split_members(const Program& program, ByPrincipal& group) {
  std::map<std::pair<cedar::Variable, std::uint32_t>, List> by_member;
  List others;
  for (const std::uint32_t policy : group.others) {
    const FirstTest& first = program.policies[policy].first;
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
    ByMember out{member.first, member.second, {}, std::move(list)};
    for (const std::uint32_t policy : out.all)
      out.lists[key_of(program.policies[policy].first.constant)].push_back(policy);
    group.members.push_back(std::move(out));
  }
  group.others = std::move(others);
}

void ScopeIndex::build_resource(const Program& program, const List& policies, ByResource& out) {
  if (policies.size() <= kFew) {
    out.others.others = policies;
    return;
  }
  out.is_plain = false;
  List others;
  std::map<std::uint32_t, List> by_ref;
  for (const std::uint32_t policy : policies) {
    const std::uint32_t ref = anchor(program.policies[policy].resource);
    if (ref == kNone)
      others.push_back(policy);
    else
      by_ref[ref].push_back(policy);
  }
  build_principal(program, others, out.others);
  const Grouped groups = grouped(by_ref);
  out.refs.build(groups.refs);
  for (const List& list : groups.lists) {
    out.groups.emplace_back();
    build_principal(program, list, out.groups.back());
  }
}

void ScopeIndex::build_actions(const Program& program, const std::map<std::uint32_t, List>& lists, RefMap& refs,
                               std::vector<ByResource>& out) {
  const Grouped groups = grouped(lists);
  refs.build(groups.refs);
  for (const List& list : groups.lists) {
    out.emplace_back();
    build_resource(program, list, out.back());
  }
}

void ScopeIndex::build(const Program& program) {
  *this = {};
  List any;
  std::map<std::uint32_t, List> by_action;
  std::map<std::uint32_t, List> by_group;
  const auto add = [](List& list, std::uint32_t policy) {
    if (list.empty() || list.back() != policy) list.push_back(policy);
  };
  for (std::uint32_t policy = 0; policy < program.policies.size(); ++policy) {
    const Scope& action = program.policies[policy].action;
    if (action.kind == cedar::ScopeConstraint::Kind::kAny) {
      any.push_back(policy);
      continue;
    }
    for (std::uint32_t i = 0; i < action.count; ++i) {
      const std::uint32_t ref = program.refs[action.first + i];
      add(by_action[ref], policy);
      if (action.kind == cedar::ScopeConstraint::Kind::kIn) add(by_group[ref], policy);
    }
  }
  build_resource(program, any, any_action_);
  build_actions(program, by_action, by_action_, actions_);
  build_actions(program, by_group, by_group_, groups_);
}

}  // namespace wary::engine
