// RateByKey: how often each of many may do something: a token bucket for each key.
//
//   RateByKey<std::string> rate({.per_second = 20, .at_once = 100});
//   if (!rate.take("127.0.0.1", clock.monotonic())) return too_many();
//
// One thread. Limit: 4,096 keys that are not full again; beyond, the fullest are forgotten, which only ever gives more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "base/time.h"

namespace wary {

struct Rate {
  double per_second = 1;
  double at_once = 1;
};

template <typename Key>
class RateByKey {
 public:
  explicit RateByKey(const Rate& rate) : rate_(rate) {}

  bool take(const Key& key, Monotonic now) {
    if (buckets_.size() >= kKeysMost && !buckets_.contains(key)) forget(now);
    Bucket& bucket = buckets_.try_emplace(key, Bucket{rate_.at_once, now.nanos}).first->second;
    bucket.tokens = level(bucket, now);
    bucket.filled = now.nanos;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
  std::size_t size() const { return buckets_.size(); }

 private:
  static constexpr std::size_t kKeysMost = 4096;
  struct Bucket {
    double tokens = 0;
    std::int64_t filled = 0;  // monotonic nanoseconds
  };
  double level(const Bucket& bucket, Monotonic now) const {
    const double seconds = static_cast<double>(now.nanos - bucket.filled) / static_cast<double>(kNanosPerSecond);
    return std::min(rate_.at_once, bucket.tokens + seconds * rate_.per_second);
  }
  // A full bucket is like none. When none is full, the fullest goes.
  void forget(Monotonic now) {
    std::erase_if(buckets_, [&](const auto& each) { return level(each.second, now) >= rate_.at_once; });
    if (buckets_.size() < kKeysMost) return;
    buckets_.erase(std::max_element(buckets_.begin(), buckets_.end(), [&](const auto& a, const auto& b) {
      return level(a.second, now) < level(b.second, now);
    }));
  }

  Rate rate_;
  std::map<Key, Bucket> buckets_;
};

}  // namespace wary
