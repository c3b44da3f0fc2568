#include "policy/subscriptions.h"

#include <algorithm>

namespace wary::policy {

namespace {

bool same_answer(const contract::Decision& a, const contract::Decision& b) {
  const auto same = [](const contract::Obligation& x, const contract::Obligation& y) {
    return x.name == y.name && x.value == y.value;
  };
  return a.effect() == b.effect() && a.reason_code == b.reason_code && a.determining == b.determining &&
         std::equal(a.obligations.begin(), a.obligations.end(), b.obligations.begin(), b.obligations.end(), same);
}

}  // namespace

Result<Subscription> Subscriptions::add(const Snapshot& snapshot, contract::Request request, UnixTime now,
                                        DecideOptions options) {
  if (questions_.size() >= kSubscriptionsMax) {
    return fail(ErrorKind::kExhausted, "policy_subscriptions", "too many answers are waited for")
        .expected("at most " + std::to_string(kSubscriptionsMax))
        .next("end some, or ask again instead");
  }
  contract::Decision answer = decider_.decide(snapshot, request, now, options);
  const SubscriptionId id = ++last_;
  index(id, answer);
  questions_.emplace(id, Question{std::move(request), std::move(options), answer});
  return Subscription{id, std::move(answer)};
}

void Subscriptions::remove(SubscriptionId id) {
  const auto found = questions_.find(id);
  if (found == questions_.end()) return;
  unindex(id, found->second.answer);
  questions_.erase(found);
}

void Subscriptions::index(SubscriptionId id, const contract::Decision& answer) {
  for (const contract::EntityId& entity : answer.depends_on) by_entity_[entity].insert(id);
  if (answer.valid_until) by_time_.emplace(*answer.valid_until, id);
}

void Subscriptions::unindex(SubscriptionId id, const contract::Decision& answer) {
  for (const contract::EntityId& entity : answer.depends_on) {
    const auto found = by_entity_.find(entity);
    if (found == by_entity_.end()) continue;
    found->second.erase(id);
    if (found->second.empty()) by_entity_.erase(found);
  }
  if (answer.valid_until) by_time_.erase({*answer.valid_until, id});
}

std::vector<AnswerChange> Subscriptions::decide_again(const std::set<SubscriptionId>& ids, const Snapshot& snapshot,
                                                      UnixTime now) {
  std::vector<AnswerChange> out;
  for (const SubscriptionId id : ids) {
    Question& question = questions_.at(id);
    contract::Decision answer = decider_.decide(snapshot, question.request, now, question.options);
    unindex(id, question.answer);
    index(id, answer);
    if (!same_answer(question.answer, answer)) out.push_back({id, question.answer, answer});
    question.answer = std::move(answer);
  }
  return out;
}

std::vector<AnswerChange> Subscriptions::apply(const Snapshot& next, const SnapshotDelta& delta, UnixTime now) {
  std::set<SubscriptionId> ids;
  if (delta.changes_policies()) {
    for (const auto& [id, question] : questions_) ids.insert(id);
  }
  const auto add = [&](const contract::EntityId& entity) {
    const auto found = by_entity_.find(entity);
    if (found != by_entity_.end()) ids.insert(found->second.begin(), found->second.end());
  };
  for (const contract::EntityId& removal : delta.removals) add(removal);
  for (const contract::Entity& upsert : delta.upserts) add(upsert.id);
  return decide_again(ids, next, now);
}

std::optional<UnixTime> Subscriptions::next_expiry() const {
  if (by_time_.empty()) return std::nullopt;
  return by_time_.begin()->first;
}

std::vector<AnswerChange> Subscriptions::expire(const Snapshot& snapshot, UnixTime now) {
  std::set<SubscriptionId> ids;
  for (auto at = by_time_.begin(); at != by_time_.end() && at->first <= now; ++at) ids.insert(at->second);
  return decide_again(ids, snapshot, now);
}

}  // namespace wary::policy
