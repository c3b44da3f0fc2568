// Subscriptions: questions whose answers somebody wants to hear of when they change.
//
//   Subscriptions subscriptions;
//   WARY_ASSIGN_OR_RETURN(Subscription first, subscriptions.add(*snapshot, request, now, options));
//   for (const AnswerChange& change : subscriptions.apply(*next, delta, now)) tell(change.id, change.now);
//   for (const AnswerChange& change : subscriptions.expire(*next, now)) ...   // at next_expiry()
//
// Only what depended on a changed entity is decided again; everything when policies changed. An answer has changed when
// its effect, its reasons or its obligations have. Belongs to one thread. Limit: kSubscriptionsMax at a time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "policy/decide.h"

namespace wary::policy {

constexpr std::size_t kSubscriptionsMax = 100'000;

using SubscriptionId = std::uint64_t;

struct Subscription {
  SubscriptionId id = 0;
  contract::Decision decision;  // the answer at the beginning
};

struct AnswerChange {
  SubscriptionId id = 0;
  contract::Decision before;
  contract::Decision now;
};

class Subscriptions {
 public:
  // Error: policy_subscriptions (too many).
  Result<Subscription> add(const Snapshot& snapshot, contract::Request request, UnixTime now, DecideOptions options);
  void remove(SubscriptionId id);
  std::size_t size() const { return questions_.size(); }

  // After `delta` has led to `next`. In the order of the ids.
  std::vector<AnswerChange> apply(const Snapshot& next, const SnapshotDelta& delta, UnixTime now);
  // When the first answer may change by itself; and those that have by `now`.
  std::optional<UnixTime> next_expiry() const;
  std::vector<AnswerChange> expire(const Snapshot& snapshot, UnixTime now);

 private:
  struct Question {
    contract::Request request;
    DecideOptions options;
    contract::Decision answer;
  };
  void index(SubscriptionId id, const contract::Decision& answer);
  void unindex(SubscriptionId id, const contract::Decision& answer);
  std::vector<AnswerChange> decide_again(const std::set<SubscriptionId>& ids, const Snapshot& snapshot, UnixTime now);

  std::map<SubscriptionId, Question> questions_;
  std::map<contract::EntityId, std::set<SubscriptionId>> by_entity_;
  std::set<std::pair<UnixTime, SubscriptionId>> by_time_;
  SubscriptionId last_ = 0;
  Decider decider_;
};

}  // namespace wary::policy
