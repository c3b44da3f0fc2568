#include "analysis/review.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "analysis/scopes.h"
#include "schema/validator.h"

namespace wary::analysis {

namespace {

using Kind = Question::Kind;
using Policies = std::vector<const cedar::Policy*>;

constexpr int kRoundsMax = 12;

bool contains(const std::vector<schema::Environment>& all, const schema::Environment& one) {
  return std::any_of(all.begin(), all.end(), [&](const schema::Environment& other) {
    return other.principal == one.principal && other.action == one.action && other.resource == one.resource;
  });
}

// What is left of both sides once equal meanings are taken away: a policy that only got another id did not change.
void cancel_renamed(Policies& removed, Policies& added) {
  std::unordered_map<std::string, std::vector<std::size_t>> by_meaning;
  for (std::size_t i = 0; i < added.size(); ++i) by_meaning[meaning_of(*added[i])].push_back(i);
  std::set<std::size_t> gone;
  std::erase_if(removed, [&](const cedar::Policy* policy) {
    const auto at = by_meaning.find(meaning_of(*policy));
    if (at == by_meaning.end() || at->second.empty()) return false;
    gone.insert(at->second.back());
    at->second.pop_back();
    return true;
  });
  Policies rest;
  for (std::size_t i = 0; i < added.size(); ++i) {
    if (!gone.contains(i)) rest.push_back(added[i]);
  }
  added = std::move(rest);
}

// One direction of one environment: whether `wide` allows what `narrow` does not. Policies that did not change count
// only where they make a counter-example wrong; then they are taken in. What is left out can only take away from the
// difference, but for permits beside an edited forbid, which the solver is told there may be.
class Direction {
 public:
  Direction(const schema::Schema& schema, const schema::Environment& environment, const Policies& wide,
            const Policies& narrow, Policies changed_wide, Policies changed_narrow)
      : schema_(schema),
        full_{Kind::kImplies, environment, wide, narrow},
        slice_{Kind::kImplies, environment, std::move(changed_wide), std::move(changed_narrow)} {
    const std::set<const cedar::Policy*> changed_in_wide(slice_.a.begin(), slice_.a.end());
    for (const cedar::Policy* policy : wide) {
      if (!changed_in_wide.contains(policy)) unchanged_.push_back(policy);
    }
    const auto is_forbid = [](const cedar::Policy* policy) { return policy->body->effect == cedar::Effect::kForbid; };
    slice_.has_other_permits = std::any_of(slice_.a.begin(), slice_.a.end(), is_forbid) ||
                               std::any_of(slice_.b.begin(), slice_.b.end(), is_forbid);
  }

  Answer run(const ProofLimits& limits) {
    for (int round = 0; round < kRoundsMax; ++round) {
      Answer answer = prove_unchecked(schema_, {&slice_, 1}, limits).at(0);
      if (answer.verdict != Verdict::kFails) return answer;
      const std::string wrong = replay(schema_, full_, *answer.witness);
      if (wrong.empty()) return answer;
      const std::string why_not = refine(*answer.witness);
      if (!why_not.empty()) return {Verdict::kUnknown, why_not, std::nullopt};
    }
    return {Verdict::kUnknown, "too many rounds between solver and policies", std::nullopt};
  }

 private:
  // Takes in what decides the counter-example; where nothing does, every permit that an edited policy can meet.
  std::string refine(const Witness& witness) {
    std::vector<cedar::EntityHandle> entities = witness.entities;
    const auto& actions = schema_.action_entities();
    entities.insert(entities.end(), actions.begin(), actions.end());
    const auto store = cedar::EntityStore::make(std::move(entities));
    if (!store.ok()) return "a counter-example's entities are no store: " + store.error().to_string();
    cedar::StoreView view(*store);
    cedar::Evaluator evaluator(witness.request, view);
    Policies more;
    for (const cedar::Policy* policy : unchanged_) {
      if (!taken_.contains(policy) && evaluator.evaluate(*policy) == cedar::Outcome::kSatisfied) more.push_back(policy);
      if (more.size() >= 8) break;  // one would do
    }
    if (more.empty() && slice_.has_other_permits) {
      for (const cedar::Policy* policy : unchanged_) {
        if (policy->body->effect == cedar::Effect::kPermit && !taken_.contains(policy) && may_meet(*policy)) {
          more.push_back(policy);
        }
      }
      slice_.has_other_permits = false;
    } else if (more.empty()) {
      return "a counter-example does not replay";
    }
    if (slice_.a.size() + slice_.b.size() + 2 * more.size() > kSliceMax) {
      return "more than " + std::to_string(kSliceMax) + " policies matter";
    }
    for (const cedar::Policy* policy : more) {
      taken_.insert(policy);
      slice_.a.push_back(policy);
      slice_.b.push_back(policy);
    }
    return {};
  }

  bool may_meet(const cedar::Policy& policy) const {
    const auto meets = [&](const cedar::Policy* edited) { return !are_disjoint(policy, *edited); };
    return std::any_of(slice_.a.begin(), slice_.a.end(), meets) || std::any_of(slice_.b.begin(), slice_.b.end(), meets);
  }

  const schema::Schema& schema_;
  Question full_;
  Question slice_;
  Policies unchanged_;
  std::set<const cedar::Policy*> taken_;
};

// One change seen from one environment.
struct Sides {
  Policies before;
  Policies after;
};

bool is_permit(const cedar::Policy* policy) { return policy->body->effect == cedar::Effect::kPermit; }

class Reviewer {
 public:
  Reviewer(const schema::Schema& schema, const cedar::PolicySet& before, const cedar::PolicySet& after,
           const ProofLimits& limits)
      : schema_(schema), limits_(limits) {
    out_.changes = changes_between(before, after);
    if (out_.changes.empty()) return;
    for (const cedar::Policy& policy : before.policies()) before_.push_back(&policy);
    for (const cedar::Policy& policy : after.policies()) after_.push_back(&policy);
  }

  Review run() {
    std::vector<std::pair<const cedar::Policy*, std::vector<schema::Environment>>> reach_before;
    std::vector<std::pair<const cedar::Policy*, std::vector<schema::Environment>>> reach_after;
    for (const PolicyChange& change : out_.changes) {
      if (change.before != nullptr) reach_before.emplace_back(change.before, reach(*change.before));
      if (change.after != nullptr) reach_after.emplace_back(change.after, reach(*change.after));
    }
    for (const schema::Environment& environment : schema_.environments()) {
      Sides sides;
      for (const auto& [policy, all] : reach_before) {
        if (contains(all, environment)) sides.before.push_back(policy);
      }
      for (const auto& [policy, all] : reach_after) {
        if (contains(all, environment)) sides.after.push_back(policy);
      }
      if (!sides.before.empty() || !sides.after.empty()) look_at(environment, sides);
    }
    return std::move(out_);
  }

 private:
  std::vector<schema::Environment> reach(const cedar::Policy& policy) const {
    return schema::environments_of(schema_, *policy.body);
  }

  void look_at(const schema::Environment& environment, const Sides& sides) {
    EnvironmentReview one{environment, Comparison::kUnknown, {}, {}};
    one.gained = direction(environment, after_, before_, sides.after, sides.before);
    one.lost = direction(environment, before_, after_, sides.before, sides.after);
    const Verdict gained = one.gained.answer.verdict;
    const Verdict lost = one.lost.answer.verdict;
    if (gained != Verdict::kUnknown && lost != Verdict::kUnknown) {
      one.comparison = gained == Verdict::kFails
                           ? (lost == Verdict::kFails ? Comparison::kIncomparable : Comparison::kMorePermissive)
                           : (lost == Verdict::kFails ? Comparison::kLessPermissive : Comparison::kEquivalent);
    }
    out_.environments.push_back(std::move(one));
  }

  // What `wide` allows beyond `narrow`. Forbids that only it has and permits that only the other has add nothing.
  Finding direction(const schema::Environment& environment, const Policies& wide, const Policies& narrow,
                    const Policies& changed_wide, const Policies& changed_narrow) const {
    if (std::none_of(changed_wide.begin(), changed_wide.end(), is_permit) &&
        std::all_of(changed_narrow.begin(), changed_narrow.end(), is_permit)) {
      return {{Verdict::kHolds, "", std::nullopt}, Tier::kScope};
    }
    return {Direction(schema_, environment, wide, narrow, changed_wide, changed_narrow).run(limits_), Tier::kSolver};
  }

  const schema::Schema& schema_;
  const ProofLimits& limits_;
  Policies before_;
  Policies after_;
  Review out_;
};

Verdict worst(const std::vector<EnvironmentReview>& all, Finding EnvironmentReview::* part) {
  Verdict out = Verdict::kHolds;
  for (const EnvironmentReview& one : all) {
    const Verdict verdict = (one.*part).answer.verdict;
    if (verdict == Verdict::kFails) return verdict;
    if (verdict == Verdict::kUnknown) out = verdict;
  }
  return out;
}

void add_finding(std::string& out, std::string_view what, const Finding& finding) {
  const Answer& answer = finding.answer;
  out += "  " + std::string(what) + ": ";
  if (answer.verdict == Verdict::kHolds) out += "nothing, proved";
  if (answer.verdict == Verdict::kUnknown) out += "unknown: " + answer.reason;
  if (answer.verdict == Verdict::kFails) out += "for example\n" + to_string(*answer.witness) + " ";
  out += " (" + std::string(to_string(finding.tier)) + ")\n";
}

}  // namespace

std::string_view to_string(Tier tier) {
  switch (tier) {
    case Tier::kScope: return "scope";
    case Tier::kSolver: return "solver";
    case Tier::kEntities: break;
  }
  return "entities";
}

Verdict Review::no_new_access() const { return worst(environments, &EnvironmentReview::gained); }
Verdict Review::no_lost_access() const { return worst(environments, &EnvironmentReview::lost); }

std::vector<PolicyChange> changes_between(const cedar::PolicySet& before, const cedar::PolicySet& after) {
  std::unordered_map<std::string_view, const cedar::Policy*> old;
  for (const cedar::Policy& policy : before.policies()) old.emplace(policy.id, &policy);
  Policies removed;
  Policies added;
  for (const cedar::Policy& policy : after.policies()) {
    const auto at = old.find(policy.id);
    if (at != old.end() && is_plainly_same(*at->second, policy))
      old.erase(at);
    else
      added.push_back(&policy);
  }
  for (const cedar::Policy& policy : before.policies()) {
    if (old.contains(policy.id)) removed.push_back(&policy);
  }
  cancel_renamed(removed, added);
  std::vector<PolicyChange> out;
  for (const cedar::Policy* policy : added) {
    const auto same = std::find_if(removed.begin(), removed.end(),
                                   [&](const cedar::Policy* other) { return other->id == policy->id; });
    out.push_back({same != removed.end() ? *same : nullptr, policy});
    if (same != removed.end()) removed.erase(same);
  }
  for (const cedar::Policy* policy : removed) out.push_back({policy, nullptr});
  return out;
}

Review review_change(const schema::Schema& schema, const cedar::PolicySet& before, const cedar::PolicySet& after,
                     const ProofLimits& limits) {
  return Reviewer(schema, before, after, limits).run();
}

std::string to_string(const Review& review) {
  std::string out;
  for (const PolicyChange& change : review.changes) {
    out += change.before == nullptr ? "added " : change.after == nullptr ? "removed " : "edited ";
    out += change.id() + "\n";
  }
  for (const EnvironmentReview& one : review.environments) {
    out += to_string(one.environment) + ": " + std::string(to_string(one.comparison)) + "\n";
    add_finding(out, "gained", one.gained);
    add_finding(out, "lost", one.lost);
  }
  out += review.changes.empty() ? "nothing changed\n" : "every other environment: equivalent (scope)\n";
  return out;
}

}  // namespace wary::analysis
