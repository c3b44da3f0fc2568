// SnapshotCell: where a process keeps its current snapshot. One writer swaps; each deciding thread has its own reader,
// whose get() is one acquire load while nothing changed.
//
//   SnapshotCell cell;                     // the process's
//   SnapshotReader reader(cell);           // a thread's
//   const SnapshotPtr& now = reader.get(); // may be null before the first swap; good until the next get()
//
// A reader keeps the snapshot it last saw alive until it asks again.
#pragma once

#include <atomic>

#include "policy/snapshot.h"

namespace wary::policy {

class SnapshotCell {
 public:
  void swap(SnapshotPtr next) {
    current_.store(std::move(next), std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
  }
  SnapshotPtr current() const { return current_.load(std::memory_order_acquire); }
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  std::atomic<SnapshotPtr> current_;
  std::atomic<std::uint64_t> generation_{1};
};

class SnapshotReader {
 public:
  explicit SnapshotReader(const SnapshotCell& cell) : cell_(cell) {}  // borrows
  const SnapshotPtr& get() {
    const std::uint64_t generation = cell_.generation();
    if (generation != seen_) {
      // A swap in between is seen now or at the next call: never an older snapshot than the generation promises.
      kept_ = cell_.current();
      seen_ = generation;
    }
    return kept_;
  }

 private:
  const SnapshotCell& cell_;
  std::uint64_t seen_ = 0;
  SnapshotPtr kept_;
};

}  // namespace wary::policy
