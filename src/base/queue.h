// BoundedQueue: how threads hand work to the one thread that owns a state. Refuses when full; never grows, never waits
// on the side that pushes.
//
//   BoundedQueue<Job> queue(10'000);
//   if (!queue.try_push(std::move(job), weight)) refuse();
//   while (queue.pop_all(jobs, 1000)) ...          // waits; false once closed and empty
//
// Any thread pushes; one thread pops. `weight` is what the limit counts (items, bytes, events).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

namespace wary {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t weight_max) : weight_max_(weight_max) {}

  // False when full or closed; `item` is then untouched.
  bool try_push(T&& item, std::size_t weight = 1) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || weight > weight_max_ - weight_) return false;
      weight_ += weight;
      items_.emplace_back(std::move(item), weight);
    }
    ready_.notify_one();
    return true;
  }

  // Replaces `out` by what waits, in order, up to that weight (and at least one item).
  bool pop_all(std::vector<T>& out, std::size_t weight_limit) {
    out.clear();
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return closed_ || !items_.empty(); });
    std::size_t taken = 0;
    while (!items_.empty() && (out.empty() || taken + items_.front().second <= weight_limit)) {
      taken += items_.front().second;
      out.push_back(std::move(items_.front().first));
      items_.pop_front();
    }
    weight_ -= taken;
    return !out.empty();
  }

  // What waits is still popped; nothing more is taken.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  std::size_t weight() const {
    const std::lock_guard lock(mutex_);
    return weight_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::pair<T, std::size_t>> items_;
  std::size_t weight_max_;
  std::size_t weight_ = 0;
  bool closed_ = false;
};

}  // namespace wary
