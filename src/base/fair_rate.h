// FairRate: how often each of many may do something of which there is only so much for all: a token bucket for each,
// whose size and filling are everybody's divided by those who ask, and never more than one's own limit.
//
//   FairRate<uid_t> rate({.per_second = 20, .at_once = 100}, {.per_second = 80, .at_once = 800});
//   if (!rate.take(uid, clock.monotonic())) return too_many();
//
// Who asked within the last five seconds counts, also whom it refused: one that asks without end has its share and no
// more, and the others have theirs. One thread. Limit: 4,096 keys; beyond, who asked longest ago is forgotten.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "base/rate.h"

namespace wary {

template <typename Key>
class FairRate {
 public:
  FairRate(const Rate& each, const Rate& all) : each_(each), all_(all) {}

  bool take(const Key& key, Monotonic now) {
    forget(now);
    if (buckets_.size() >= kKeysMost && !buckets_.contains(key)) {
      buckets_.erase(std::ranges::min_element(buckets_, {}, [](const auto& one) { return one.second.asked; }));
    }
    const auto [at, is_new] = buckets_.try_emplace(key, Bucket{0, now.nanos});
    const auto askers = static_cast<double>(buckets_.size());
    const double most = std::max(1.0, std::min(each_.at_once, all_.at_once / askers));
    const double per_second = std::min(each_.per_second, all_.per_second / askers);
    Bucket& bucket = at->second;
    if (is_new) bucket.tokens = most;
    const double seconds = static_cast<double>(now.nanos - bucket.asked) / static_cast<double>(kNanosPerSecond);
    bucket.tokens = std::min(most, bucket.tokens + seconds * per_second);
    bucket.asked = now.nanos;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
  std::size_t size() const { return buckets_.size(); }

 private:
  static constexpr std::size_t kKeysMost = 4096;
  static constexpr std::int64_t kForgottenAfter = 5 * kNanosPerSecond;
  struct Bucket {
    double tokens = 0;
    std::int64_t asked = 0;  // monotonic nanoseconds
  };
  // Who is forgotten begins with a full bucket: so not before that could have filled again.
  void forget(Monotonic now) {
    if (now.nanos - swept_ < kNanosPerSecond / 10) return;
    swept_ = now.nanos;
    const auto full_after = static_cast<std::int64_t>(each_.at_once / each_.per_second * 1e9);
    const std::int64_t after = std::max(kForgottenAfter, full_after);
    std::erase_if(buckets_, [&](const auto& one) { return now.nanos - one.second.asked > after; });
  }

  Rate each_, all_;
  std::map<Key, Bucket> buckets_;
  std::int64_t swept_ = 0;
};

}  // namespace wary
