// RateTable: how often each of many may do something, counted once for all threads of a process, without locks.
//
//   RateTable table;
//   table.hide(random.number(), random.number());  // before any thread takes
//   if (!table.take(table.key_of(who, application), 10, 20, now).allowed) return too_many(...);
//
// The generic cell rate algorithm: for each key the time at which its bucket will be full again. Any thread. Limits:
// 16,384 keys that are not full; when the eight places a key may have are others', it shares the first of them, and so
// has less than its own.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/siphash.h"
#include "base/time.h"

namespace wary::enforce {

class RateTable {
 public:
  struct Answer {
    bool allowed = false;
    std::int64_t wait_nanos = 0;  // until the next one is, when it is not
  };

  // Who does not know the secret cannot choose names that share another's place.
  void hide(std::uint64_t low, std::uint64_t high) { low_ = low, high_ = high; }
  std::uint64_t key_of(std::string_view who, std::string_view what) const {
    return siphash(low_, high_ ^ siphash(low_, high_, what), who);
  }

  // `key` is key_of() of who and what; `per_second` and `burst` are over 0.
  Answer take(std::uint64_t key, double per_second, double burst, std::int64_t now) {
    const auto cost = static_cast<std::int64_t>(static_cast<double>(kNanosPerSecond) / per_second);
    const auto most = static_cast<std::int64_t>(burst * static_cast<double>(cost));
    Slot& slot = find(key == 0 ? 1 : key, now);
    std::int64_t full = slot.full.load(std::memory_order_relaxed);
    for (;;) {
      const std::int64_t next = std::max(full, now) + cost;
      if (next - now > most) return {false, next - now - most};
      if (slot.full.compare_exchange_weak(full, next, std::memory_order_relaxed)) return {true, 0};
    }
  }

 private:
  static constexpr std::size_t kSlots = std::size_t{1} << 14, kProbes = 8;
  struct Slot {
    std::atomic<std::uint64_t> key{0};
    std::atomic<std::int64_t> full{0};
  };

  Slot& find(std::uint64_t key, std::int64_t now) {
    for (std::size_t i = 0; i < kProbes; ++i) {
      Slot& slot = at(key, i);
      if (slot.key.load(std::memory_order_relaxed) == key) return slot;
    }
    // A full bucket is like none: its place is free.
    for (std::size_t i = 0; i < kProbes; ++i) {
      Slot& slot = at(key, i);
      std::uint64_t held = slot.key.load(std::memory_order_relaxed);
      if (held != 0 && slot.full.load(std::memory_order_relaxed) > now) continue;
      if (slot.key.compare_exchange_strong(held, key, std::memory_order_relaxed) || held == key) return slot;
    }
    return at(key, 0);
  }
  Slot& at(std::uint64_t key, std::size_t probe) { return (*slots_)[(key + probe) & (kSlots - 1)]; }

  std::uint64_t low_ = 0, high_ = 0;
  std::unique_ptr<std::array<Slot, kSlots>> slots_ = std::make_unique<std::array<Slot, kSlots>>();
};

}  // namespace wary::enforce
