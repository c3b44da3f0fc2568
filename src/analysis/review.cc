#include "analysis/review.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "analysis/direction.h"
#include "analysis/schema_change.h"
#include "analysis/scopes.h"
#include "schema/validator.h"

namespace wary::analysis {

namespace {

using Policies = std::vector<const cedar::Policy*>;

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

// A policy that is not in both sets as it is, and the environments that it reaches by either schema.
struct Edited {
  const cedar::Policy* policy;
  EnvironmentSet in_own;
  EnvironmentSet in_other;  // empty where there is one schema
};

class Reviewer {
 public:
  Reviewer(const ReviewSide& before, const ReviewSide& after, const ProofLimits& limits, Rule rule)
      : is_one_schema_(&before.schema == &after.schema || before.schema == after.schema),
        before_{is_one_schema_ ? after.schema : before.schema, before.policies},
        after_(after),
        limits_(limits),
        rule_(rule),
        carrier_before_(before_.schema, after_.schema),
        carrier_after_(after_.schema, before_.schema) {
    out_.changes = changes_between(before.policies, after.policies);
    if (out_.changes.empty() && is_one_schema_) return;
    for (const cedar::Policy& policy : before.policies.policies()) all_before_.push_back(&policy);
    for (const cedar::Policy& policy : after.policies.policies()) all_after_.push_back(&policy);
    for (const PolicyChange& change : out_.changes) {
      if (change.before != nullptr) edited_before_.push_back(edited(*change.before, before_.schema, after_.schema));
      if (change.after != nullptr) edited_after_.push_back(edited(*change.after, after_.schema, before_.schema));
    }
  }

  Review run() {
    if (!is_one_schema_) compare_schemas();
    for (const schema::Environment& environment : after_.schema.environments()) {
      const auto old = is_one_schema_ ? environment : counterpart(before_.schema, environment);
      if (old) look_at(environment, *old);
    }
    ask();
    for (const PolicyChange& change : out_.changes) {
      if (change.before != nullptr) look_beyond(before_.schema, *change.before, false);
      if (change.after != nullptr) look_beyond(after_.schema, *change.after, true);
    }
    return std::move(out_);
  }

 private:
  Edited edited(const cedar::Policy& policy, const schema::Schema& own, const schema::Schema& other) {
    edited_.insert(&policy);
    return {&policy, reach_of(own, policy), is_one_schema_ ? EnvironmentSet() : reach_of(other, policy)};
  }

  // ---- What only the schemas differ in

  void compare_schemas() {
    out_.schema_changes = describe_changes(before_.schema, after_.schema);
    add_lone(before_, after_.schema, false);
    add_lone(after_, before_.schema, true);
    for (const cedar::Policy* policy : all_after_) {
      if (edited_.contains(policy)) continue;
      const std::string wrong = first_error(after_.schema, *policy);
      if (wrong.empty()) continue;
      out_.not_covered.push_back(
          {"policy " + policy->id + " does not validate by the new schema: " + wrong, true, true});
    }
  }

  void add_lone(const ReviewSide& side, const schema::Schema& other, bool is_added) {
    std::vector<std::pair<const cedar::Policy*, EnvironmentSet>> permits;
    for (const schema::Environment& environment : side.schema.environments()) {
      if (counterpart(other, environment)) continue;
      if (permits.empty()) {
        for (const cedar::Policy& policy : side.policies.policies()) {
          if (is_permit(&policy)) permits.emplace_back(&policy, reach_of(side.schema, policy));
        }
      }
      LoneEnvironment lone{environment, is_added, {}};
      for (const auto& [policy, reach] : permits) {
        if (reach.contains(environment)) lone.permits.push_back(policy->id);
      }
      out_.lone.push_back(std::move(lone));
    }
  }

  static std::string first_error(const schema::Schema& schema, const cedar::Policy& policy) {
    std::vector<schema::Finding> findings;
    schema::validate_policy(schema, policy.id, *policy.body, {}, findings);
    if (!policy.template_id.empty()) schema::validate_link(schema, policy, {}, findings);
    const auto wrong =
        std::find_if(findings.begin(), findings.end(), [](const schema::Finding& one) { return !one.is_warning; });
    return wrong != findings.end() ? wrong->error.to_string() : std::string();
  }

  // A permit that comes and a forbid that goes may give access, the others may take it.
  void look_beyond(const schema::Schema& schema, const cedar::Policy& policy, bool is_added) {
    if (const std::string wrong = first_error(schema, policy); !wrong.empty()) {
      const bool may_gain = is_permit(&policy) == is_added;
      out_.not_covered.push_back({"policy " + policy.id + " does not validate: " + wrong, may_gain, !may_gain});
    }
    const std::string* obligation = policy.body->annotation("obligation");
    if (obligation == nullptr) return;
    out_.not_covered.push_back({"policy " + policy.id + (is_added ? " demands" : " demanded") + " the obligation " +
                                    *obligation + " where it applies",
                                !is_added, is_added});
  }

  // ---- One environment

  // Gained is asked in the world of the new schema, lost in that of the old one; each set is decided by its own
  // actions.
  void look_at(const schema::Environment& environment, const schema::Environment& old) {
    const cedar::EntityUid& action = *environment.action->uid;
    const bool is_moved = !is_one_schema_ && carrier_before_.is_moved(action);
    if (is_moved && (any_asks_for_groups(all_before_) || any_asks_for_groups(all_after_))) {
      const Answer unknown{Verdict::kUnknown, "its action is in other groups, which a condition may ask for", {}};
      out_.environments.push_back(
          {environment, Comparison::kUnknown, {unknown, Tier::kScope}, {unknown, Tier::kScope}});
      return;
    }
    Versus gained{after_.schema, environment, rule_, {}, {}, {}, {}};
    Versus lost{before_.schema, old, rule_, {}, {}, {}, {}};
    for (const Edited& one : edited_after_) {
      if (one.in_own.contains(environment)) gained.changed_wide.push_back(one.policy);
      add_carried(one, carrier_after_, lost);
    }
    for (const Edited& one : edited_before_) {
      if (one.in_own.contains(old)) lost.changed_wide.push_back(one.policy);
      add_carried(one, carrier_before_, gained);
    }
    if (is_moved) {
      add_moved(all_after_, carrier_after_, gained, lost);
      add_moved(all_before_, carrier_before_, lost, gained);
    }
    const auto is_touched = [](const Versus& one) { return !one.changed_wide.empty() || !one.changed_narrow.empty(); };
    if (!is_touched(gained) && !is_touched(lost)) return;
    gained.wide = all_after_;
    lost.wide = all_before_;
    gained.narrow = is_moved ? carried(all_before_, carrier_before_, action) : all_before_;
    lost.narrow = is_moved ? carried(all_after_, carrier_after_, action) : all_after_;
    out_.environments.push_back({environment, Comparison::kUnknown, {}, {}});
    add_direction(&EnvironmentReview::gained, std::move(gained));
    add_direction(&EnvironmentReview::lost, std::move(lost));
  }

  // An edited policy in the world of the other schema.
  void add_carried(const Edited& one, Carrier& carrier, Versus& into) {
    const cedar::Policy* policy =
        is_one_schema_ ? one.policy : carrier.carry(one.policy, *into.environment.action->uid);
    if (policy == nullptr) return;
    const bool is_reached = is_one_schema_         ? one.in_own.contains(into.environment)
                            : policy == one.policy ? one.in_other.contains(into.environment)
                                                   : reach_of(into.schema, *policy).contains(into.environment);
    if (is_reached) into.changed_narrow.push_back(policy);
  }

  // Policies as they were, of which the schemas make two: in their own world as they are, in the other's as told there.
  void add_moved(const Policies& all, Carrier& carrier, Versus& own, Versus& other) {
    const cedar::EntityUid& action = *own.environment.action->uid;
    for (const cedar::Policy* policy : all) {
      if (edited_.contains(policy) || !carrier.is_moved(*policy, action)) continue;
      if (&own.schema == &after_.schema && noted_.insert(policy).second) out_.moved.push_back({nullptr, policy});
      if (reach_of(own.schema, *policy).contains(own.environment)) own.changed_wide.push_back(policy);
      const cedar::Policy* told = carrier.carry(policy, action);
      if (told != nullptr && reach_of(other.schema, *told).contains(other.environment)) {
        other.changed_narrow.push_back(told);
      }
    }
  }

  static Policies carried(const Policies& all, Carrier& carrier, const cedar::EntityUid& action) {
    Policies out;
    for (const cedar::Policy* policy : all) {
      if (const cedar::Policy* told = carrier.carry(policy, action); told != nullptr) out.push_back(told);
    }
    return out;
  }

  static bool any_asks_for_groups(const Policies& policies) {
    return std::any_of(policies.begin(), policies.end(),
                       [](const cedar::Policy* policy) { return asks_for_groups(*policy->body); });
  }

  // What `wide` allows beyond `narrow`. Forbids that only it has and permits that only the other has add nothing.
  void add_direction(Finding EnvironmentReview::* part, Versus versus) {
    const std::size_t at = out_.environments.size() - 1;
    if (std::none_of(versus.changed_wide.begin(), versus.changed_wide.end(), is_permit) &&
        std::all_of(versus.changed_narrow.begin(), versus.changed_narrow.end(), is_permit)) {
      out_.environments[at].*part = {{Verdict::kHolds, "", std::nullopt}, Tier::kScope};
      return;
    }
    pending_.push_back({at, part, Direction(std::move(versus))});
  }

  // ---- The solver

  // Rounds, each with the questions of all directions that are open.
  void ask() {
    while (ask_in(after_.schema) || (!is_one_schema_ && ask_in(before_.schema))) continue;
    for (const Pending& pending : pending_) {
      out_.environments[pending.environment].*pending.part = {pending.direction.answer(), Tier::kSolver};
    }
    for (EnvironmentReview& one : out_.environments) {
      one.comparison = comparison_of(one.gained.answer.verdict, one.lost.answer.verdict);
    }
  }

  // False: nothing is open in the world of this schema.
  bool ask_in(const schema::Schema& schema) {
    std::vector<Question> questions;
    std::vector<Direction*> asking;
    for (Pending& pending : pending_) {
      if (&pending.direction.schema() != &schema || pending.direction.question() == nullptr) continue;
      questions.push_back(*pending.direction.question());
      asking.push_back(&pending.direction);
    }
    if (questions.empty()) return false;
    std::vector<Answer> answers = prove_unchecked(schema, questions, limits_);
    for (std::size_t i = 0; i < answers.size(); ++i) asking[i]->hear(std::move(answers[i]));
    return true;
  }

  struct Pending {
    std::size_t environment;
    Finding EnvironmentReview::* part;
    Direction direction;
  };
  const bool is_one_schema_;
  const ReviewSide before_;
  const ReviewSide after_;
  const ProofLimits& limits_;
  Rule rule_;
  Carrier carrier_before_;
  Carrier carrier_after_;
  std::vector<Pending> pending_;
  Policies all_before_;
  Policies all_after_;
  std::vector<Edited> edited_before_;
  std::vector<Edited> edited_after_;
  std::set<const cedar::Policy*> edited_;
  std::set<const cedar::Policy*> noted_;  // in Review::moved
  Review out_;
};

Verdict worst(const Review& review, Finding EnvironmentReview::* part, bool NotCovered::* side, bool is_gain) {
  const bool is_covered = std::none_of(review.not_covered.begin(), review.not_covered.end(),
                                       [&](const NotCovered& one) { return one.*side; }) &&
                          std::none_of(review.lone.begin(), review.lone.end(), [&](const LoneEnvironment& one) {
                            return one.is_added == is_gain && !one.permits.empty();
                          });
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

std::string lone_line(const LoneEnvironment& lone) {
  std::string out = std::string(lone.is_added ? "added " : "removed ") + to_string(lone.environment) + ": ";
  if (lone.permits.empty()) return out + "no permit lets it pass (scope)\n";
  out += "nothing is proved; let in by";
  for (std::size_t i = 0; i < lone.permits.size() && i < 10; ++i) out += (i == 0 ? " " : ", ") + lone.permits[i];
  return out + (lone.permits.size() > 10 ? " and others\n" : "\n");
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

Verdict Review::no_new_access() const { return worst(*this, &EnvironmentReview::gained, &NotCovered::may_gain, true); }
Verdict Review::no_lost_access() const { return worst(*this, &EnvironmentReview::lost, &NotCovered::may_lose, false); }

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
  return Reviewer({schema, before}, {schema, after}, limits, rule).run();
}

Review review_change(const ReviewSide& before, const ReviewSide& after, const ProofLimits& limits, Rule rule) {
  return Reviewer(before, after, limits, rule).run();
}

std::string to_string(const Review& review) {
  std::string out;
  for (const PolicyChange& change : review.changes) {
    out += change.before == nullptr ? "added " : change.after == nullptr ? "removed " : "edited ";
    out += change.id() + "\n";
  }
  for (const PolicyChange& one : review.moved) {
    out += "moved " + one.id() + ": its scope names a group of actions, and the schema has others in it\n";
  }
  for (const std::string& line : review.schema_changes) out += "schema: " + line + "\n";
  for (const LoneEnvironment& one : review.lone) out += lone_line(one);
  for (const EnvironmentReview& one : review.environments) {
    out += to_string(one.environment) + ": " + std::string(to_string(one.comparison)) + "\n";
    add_finding(out, "gained", one.gained);
    add_finding(out, "lost", one.lost);
  }
  const bool is_same = review.changes.empty() && review.schema_changes.empty();
  out += is_same ? "nothing changed\n" : "every other environment: equivalent (scope)\n";
  for (const NotCovered& one : review.not_covered) out += "not covered: " + one.reason + "\n";
  return out;
}

}  // namespace wary::analysis
