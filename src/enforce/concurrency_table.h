// ConcurrencyTable: how many things each of many has at work at once, counted once for all threads of a process,
// without locks.
//
//   ConcurrencyTable table;
//   table.hide(random.number(), random.number());       // before any thread takes
//   auto place = table.take(table.key_of(who, application), 256);
//   if (!place) return too_many_at_once(...);           // a place is given back when it goes
//
// A key and its count are one word, so that no count is ever put on another key. Any thread; a Place outlives no table.
// Limits: 16,384 keys that have something at work; one that finds the eight places it may have taken is not counted,
// and so not bounded: the memory of this is bounded in its stead. Two threads that take the first place of one key at
// once may be counted in two places for as long as either is held, each up to `most`.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/siphash.h"

namespace wary::enforce {

class ConcurrencyTable {
 public:
  static constexpr std::uint64_t kMost = (std::uint64_t{1} << 20) - 1;  // of one key

  class Place {
   public:
    Place() = default;
    explicit Place(std::atomic<std::uint64_t>* word) : word_(word) {}
    Place(Place&& other) noexcept : word_(std::exchange(other.word_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(word_, other.word_);
      return *this;
    }
    ~Place() {
      if (word_ != nullptr) word_->fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    std::atomic<std::uint64_t>* word_ = nullptr;  // none: not counted
  };

  // Who does not know the secret cannot choose names that share another's place.
  void hide(std::uint64_t low, std::uint64_t high) { low_ = low, high_ = high; }
  std::uint64_t key_of(std::string_view who, std::string_view what) const {
    return siphash(low_, high_ ^ siphash(low_, high_, what), who);
  }

  // Nothing where this key has `most` at work, which is from 1 to kMost.
  std::optional<Place> take(std::uint64_t key, std::uint64_t most) {
    for (;;) {
      const Found found = find(key);
      if (found.word == nullptr) return Place();
      std::uint64_t held = found.held;
      if ((held & kMost) >= most) return std::nullopt;
      const std::uint64_t next = (held & kMost) == 0 ? (key & ~kMost) | 1 : held + 1;
      if (found.word->compare_exchange_strong(held, next, std::memory_order_relaxed)) return Place(found.word);
    }
  }

  // How many are at work, of all keys: walks the table.
  std::uint64_t at_work() const {
    std::uint64_t sum = 0;
    for (const std::atomic<std::uint64_t>& word : *slots_) sum += word.load(std::memory_order_relaxed) & kMost;
    return sum;
  }

 private:
  static constexpr std::size_t kSlots = std::size_t{1} << 14, kProbes = 8;
  struct Found {
    std::atomic<std::uint64_t>* word = nullptr;
    std::uint64_t held = 0;
  };

  // Its own place, or else the first that is free: nothing is at work there.
  Found find(std::uint64_t key) {
    Found free;
    for (std::size_t i = 0; i < kProbes; ++i) {
      std::atomic<std::uint64_t>& word = (*slots_)[((key & kMost) + i) & (kSlots - 1)];
      const std::uint64_t held = word.load(std::memory_order_relaxed);
      const bool is_free = (held & kMost) == 0;
      if (!is_free && (held & ~kMost) == (key & ~kMost)) return {&word, held};
      if (is_free && free.word == nullptr) free = {&word, held};
    }
    return free;
  }

  std::uint64_t low_ = 0, high_ = 0;
  std::unique_ptr<std::array<std::atomic<std::uint64_t>, kSlots>> slots_ =
      std::make_unique<std::array<std::atomic<std::uint64_t>, kSlots>>();
};

}  // namespace wary::enforce
