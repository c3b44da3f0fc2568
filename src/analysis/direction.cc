#include "analysis/direction.h"

#include <algorithm>

#include "analysis/review.h"
#include "analysis/scopes.h"

namespace wary::analysis {

namespace {

constexpr int kRoundsMax = 12;

}  // namespace

Direction::Direction(Versus versus)
    : schema_(versus.schema),
      full_{Question::Kind::kImplies, versus.environment, versus.wide, std::move(versus.narrow), false, versus.rule},
      slice_{Question::Kind::kImplies,
             versus.environment,
             std::move(versus.changed_wide),
             std::move(versus.changed_narrow),
             false,
             versus.rule} {
  const bool edits_forbid = std::any_of(slice_.a.begin(), slice_.a.end(), is_forbid) ||
                            std::any_of(slice_.b.begin(), slice_.b.end(), is_forbid);
  const std::set<const cedar::Policy*> changed(slice_.a.begin(), slice_.a.end());
  for (const cedar::Policy* policy : versus.wide) {
    if (changed.contains(policy)) continue;
    unchanged_.push_back(policy);
    if (edits_forbid && !is_forbid(policy) && may_meet(*policy)) others_.push_back(policy);
  }
  const std::size_t first = std::min<std::size_t>(others_.size(), 16);
  take(Policies(others_.begin(), others_.begin() + static_cast<std::ptrdiff_t>(first)));
  others_.erase(others_.begin(), others_.begin() + static_cast<std::ptrdiff_t>(first));
}

void Direction::hear(Answer answer) {
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

void Direction::close(Answer answer) {
  answer_ = std::move(answer);
  is_done_ = true;
}

// Takes in what decides the counter-example; where nothing does, every permit that an edited policy can meet.
std::string Direction::refine(const Witness& witness) {
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

bool Direction::decides(const cedar::Policy& policy, cedar::Outcome outcome) const {
  if (outcome == cedar::Outcome::kError) return full_.rule == Rule::kDecisionPoint && is_forbid(&policy);
  return outcome == cedar::Outcome::kSatisfied;
}

void Direction::take(const Policies& more) {
  for (const cedar::Policy* policy : more) {
    if (!taken_.insert(policy).second) continue;
    slice_.a.push_back(policy);
    slice_.b.push_back(policy);
  }
}

bool Direction::may_meet(const cedar::Policy& policy) const {
  const auto meets = [&](const cedar::Policy* edited) { return !are_disjoint(policy, *edited); };
  return std::any_of(slice_.a.begin(), slice_.a.end(), meets) || std::any_of(slice_.b.begin(), slice_.b.end(), meets);
}

}  // namespace wary::analysis
