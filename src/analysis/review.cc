#include "analysis/review.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "analysis/scopes.h"
#include "schema/validator.h"

namespace wary::analysis {

namespace {

using QuestionKind = Question::Kind;
using Policies = std::vector<const cedar::Policy*>;

constexpr int kRoundsMax = 12;

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

bool is_permit(const cedar::Policy* policy) { return policy->body->effect == cedar::Effect::kPermit; }
bool is_forbid(const cedar::Policy* policy) { return !is_permit(policy); }

// One direction of one environment: whether `wide` allows what `narrow` does not; asked in rounds, so that all
// directions share a worker. Policies that did not change count only where they make a counter-example wrong; then they
// are taken in. What is left out can only take away from the difference, but for permits beside an edited forbid: a few
// are there from the start, to find a counter-example; where there is none, the solver is told that there may be more.
class Direction {
 public:
  Direction(const schema::Schema& schema, const schema::Environment& environment, Rule rule, const Policies& wide,
            const Policies& narrow, Policies changed_wide, Policies changed_narrow)
      : schema_(schema),
        full_{QuestionKind::kImplies, environment, wide, narrow, false, rule},
        slice_{QuestionKind::kImplies, environment, std::move(changed_wide), std::move(changed_narrow), false, rule} {
    const bool edits_forbid = std::any_of(slice_.a.begin(), slice_.a.end(), is_forbid) ||
                              std::any_of(slice_.b.begin(), slice_.b.end(), is_forbid);
    const std::set<const cedar::Policy*> changed(slice_.a.begin(), slice_.a.end());
    for (const cedar::Policy* policy : wide) {
      if (changed.contains(policy)) continue;
      unchanged_.push_back(policy);
      if (edits_forbid && !is_forbid(policy) && may_meet(*policy)) others_.push_back(policy);
    }
    const std::size_t first = std::min<std::size_t>(others_.size(), 16);
    take(Policies(others_.begin(), others_.begin() + static_cast<std::ptrdiff_t>(first)));
    others_.erase(others_.begin(), others_.begin() + static_cast<std::ptrdiff_t>(first));
  }

  const Question* question() const { return is_done_ ? nullptr : &slice_; }
  const Answer& answer() const { return answer_; }

  void hear(Answer answer) {
    if (answer.verdict == Verdict::kHolds && !others_.empty() && !slice_.has_other_permits) {
      slice_.has_other_permits = true;
      return;
    }
    if (answer.verdict != Verdict::kFails || replay(schema_, full_, *answer.witness).empty()) {
      return close(std::move(answer));
    }
    std::string why_not = ++rounds_ < kRoundsMax ? refine(*answer.witness) : "too many rounds with the solver";
    if (!why_not.empty()) close({Verdict::kUnknown, std::move(why_not), std::nullopt});
  }

 private:
  void close(Answer answer) {
    answer_ = std::move(answer);
    is_done_ = true;
  }

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
      if (more.size() >= 8) break;  // one would do
      if (!taken_.contains(policy) && decides(*policy, evaluator.evaluate(*policy))) more.push_back(policy);
    }
    if (more.empty()) {
      if (!slice_.has_other_permits) return "a counter-example does not replay";
      more = std::move(others_);
      others_.clear();
      slice_.has_other_permits = false;
    }
    if (slice_.a.size() + slice_.b.size() + 2 * more.size() > kSliceMax) {
      return "more than " + std::to_string(kSliceMax) + " policies matter";
    }
    take(more);
    return {};
  }

  bool decides(const cedar::Policy& policy, cedar::Outcome outcome) const {
    if (outcome == cedar::Outcome::kError) return full_.rule == Rule::kDecisionPoint && is_forbid(&policy);
    return outcome == cedar::Outcome::kSatisfied;
  }

  void take(const Policies& more) {
    for (const cedar::Policy* policy : more) {
      if (!taken_.insert(policy).second) continue;
      slice_.a.push_back(policy);
      slice_.b.push_back(policy);
    }
  }

  bool may_meet(const cedar::Policy& policy) const {
    const auto meets = [&](const cedar::Policy* edited) { return !are_disjoint(policy, *edited); };
    return std::any_of(slice_.a.begin(), slice_.a.end(), meets) || std::any_of(slice_.b.begin(), slice_.b.end(), meets);
  }

  const schema::Schema& schema_;
  Question full_;
  Question slice_;
  Policies unchanged_;
  Policies others_;  // permits that an edited policy can meet, not taken in
  std::set<const cedar::Policy*> taken_;
  int rounds_ = 0;
  bool is_done_ = false;
  Answer answer_;
};

// One change seen from one environment.
struct Sides {
  Policies before;
  Policies after;
};

class Reviewer {
 public:
  Reviewer(const schema::Schema& schema, const cedar::PolicySet& before, const cedar::PolicySet& after,
           const ProofLimits& limits, Rule rule)
      : schema_(schema), limits_(limits), rule_(rule) {
    out_.changes = changes_between(before, after);
    if (out_.changes.empty()) return;
    for (const cedar::Policy& policy : before.policies()) before_.push_back(&policy);
    for (const cedar::Policy& policy : after.policies()) after_.push_back(&policy);
  }

  Review run() {
    std::vector<std::pair<const cedar::Policy*, EnvironmentSet>> reach_before;
    std::vector<std::pair<const cedar::Policy*, EnvironmentSet>> reach_after;
    for (const PolicyChange& change : out_.changes) {
      if (change.before != nullptr) reach_before.emplace_back(change.before, reach_of(schema_, *change.before));
      if (change.after != nullptr) reach_after.emplace_back(change.after, reach_of(schema_, *change.after));
    }
    for (const schema::Environment& environment : schema_.environments()) {
      Sides sides;
      for (const auto& [policy, all] : reach_before) {
        if (all.contains(environment)) sides.before.push_back(policy);
      }
      for (const auto& [policy, all] : reach_after) {
        if (all.contains(environment)) sides.after.push_back(policy);
      }
      if (!sides.before.empty() || !sides.after.empty()) look_at(environment, sides);
    }
    ask();
    for (const PolicyChange& change : out_.changes) {
      if (change.before != nullptr) look_beyond(*change.before, false);
      if (change.after != nullptr) look_beyond(*change.after, true);
    }
    return std::move(out_);
  }

 private:
  // A permit that comes and a forbid that goes may give access, the others may take it.
  void look_beyond(const cedar::Policy& policy, bool is_added) {
    std::vector<schema::Finding> findings;
    schema::validate_policy(schema_, policy.id, *policy.body, {}, findings);
    if (!policy.template_id.empty()) schema::validate_link(schema_, policy, {}, findings);
    const auto wrong =
        std::find_if(findings.begin(), findings.end(), [](const schema::Finding& one) { return !one.is_warning; });
    if (wrong != findings.end()) {
      const bool may_gain = is_permit(&policy) == is_added;
      out_.not_covered.push_back(
          {"policy " + policy.id + " does not validate: " + wrong->error.to_string(), may_gain, !may_gain});
    }
    const std::string* obligation = policy.body->annotation("obligation");
    if (obligation == nullptr) return;
    out_.not_covered.push_back({"policy " + policy.id + (is_added ? " demands" : " demanded") + " the obligation " +
                                    *obligation + " where it applies",
                                !is_added, is_added});
  }

  void look_at(const schema::Environment& environment, const Sides& sides) {
    out_.environments.push_back({environment, Comparison::kUnknown, {}, {}});
    const std::size_t at = out_.environments.size() - 1;
    add_direction(at, &EnvironmentReview::gained, after_, before_, sides.after, sides.before);
    add_direction(at, &EnvironmentReview::lost, before_, after_, sides.before, sides.after);
  }

  // What `wide` allows beyond `narrow`. Forbids that only it has and permits that only the other has add nothing.
  void add_direction(std::size_t environment, Finding EnvironmentReview::* part, const Policies& wide,
                     const Policies& narrow, const Policies& changed_wide, const Policies& changed_narrow) {
    EnvironmentReview& one = out_.environments[environment];
    if (std::none_of(changed_wide.begin(), changed_wide.end(), is_permit) &&
        std::all_of(changed_narrow.begin(), changed_narrow.end(), is_permit)) {
      one.*part = {{Verdict::kHolds, "", std::nullopt}, Tier::kScope};
      return;
    }
    pending_.push_back(
        {environment, part, Direction(schema_, one.environment, rule_, wide, narrow, changed_wide, changed_narrow)});
  }

  // Rounds, each with the questions of all directions that are open.
  void ask() {
    for (;;) {
      std::vector<Question> questions;
      std::vector<Direction*> asking;
      for (Pending& pending : pending_) {
        if (pending.direction.question() == nullptr) continue;
        questions.push_back(*pending.direction.question());
        asking.push_back(&pending.direction);
      }
      if (questions.empty()) break;
      std::vector<Answer> answers = prove_unchecked(schema_, questions, limits_);
      for (std::size_t i = 0; i < answers.size(); ++i) asking[i]->hear(std::move(answers[i]));
    }
    for (const Pending& pending : pending_) {
      out_.environments[pending.environment].*pending.part = {pending.direction.answer(), Tier::kSolver};
    }
    for (EnvironmentReview& one : out_.environments) {
      one.comparison = comparison_of(one.gained.answer.verdict, one.lost.answer.verdict);
    }
  }

  struct Pending {
    std::size_t environment;
    Finding EnvironmentReview::* part;
    Direction direction;
  };
  std::vector<Pending> pending_;
  const schema::Schema& schema_;
  const ProofLimits& limits_;
  Rule rule_;
  Policies before_;
  Policies after_;
  Review out_;
};

Verdict worst(const Review& review, Finding EnvironmentReview::* part, bool NotCovered::* side) {
  const bool is_covered = std::none_of(review.not_covered.begin(), review.not_covered.end(),
                                       [&](const NotCovered& one) { return one.*side; });
  Verdict out = is_covered ? Verdict::kHolds : Verdict::kUnknown;
  for (const EnvironmentReview& one : review.environments) {
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

Verdict Review::no_new_access() const { return worst(*this, &EnvironmentReview::gained, &NotCovered::may_gain); }
Verdict Review::no_lost_access() const { return worst(*this, &EnvironmentReview::lost, &NotCovered::may_lose); }

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
                     const ProofLimits& limits, Rule rule) {
  return Reviewer(schema, before, after, limits, rule).run();
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
  for (const NotCovered& one : review.not_covered) out += "not covered: " + one.reason + "\n";
  return out;
}

}  // namespace wary::analysis
