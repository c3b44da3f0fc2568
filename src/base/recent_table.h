// RecentTable: what was worked out lately, by the text of the question, in room that does not grow.
//
//   RecentTable<Answer> table(2048);
//   if (Answer* known = table.find(question)) return *known;
//   table.put(question, work_out(question));
//   table.clear();                                    // nothing of before is found any more
//
// A question has four places, by its hash; the one that was used longest ago makes room. So whoever chooses questions
// can push others out, and make nothing slow. A hit compares the whole text. One thread; no lock. Limits: entries as
// told, keys of kKeyMax bytes (longer ones are not kept). clear() costs nothing: what is forgotten is freed when its
// place is used again. A table that nothing was put into has no memory.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wary {

template <typename Value>
class RecentTable {
 public:
  static constexpr std::size_t kKeyMax = 4096;

  // Rounded up to a power of two, at least 4.
  explicit RecentTable(std::size_t entries) : count_(std::bit_ceil(entries < kWays ? kWays : entries) / kWays) {}

  // The pointer holds until the next call that is not const.
  Value* find(std::string_view key) {
    if (sets_.empty()) return nullptr;
    const std::uint64_t hash = std::hash<std::string_view>()(key);
    for (Entry& entry : set_of(hash)) {
      if (entry.round != round_ || entry.hash != hash || entry.key != key) continue;
      entry.used = ++uses_;
      return &entry.value;
    }
    return nullptr;
  }

  // False when the key is too long to be kept.
  bool put(std::string_view key, Value value) {
    if (key.size() > kKeyMax) return false;
    if (sets_.empty()) sets_.resize(count_);
    const std::uint64_t hash = std::hash<std::string_view>()(key);
    Entry* place = nullptr;
    for (Entry& entry : set_of(hash)) {
      const bool is_same = entry.round == round_ && entry.hash == hash && entry.key == key;
      if (place == nullptr || is_same || age_of(entry) < age_of(*place)) place = &entry;
      if (is_same) break;
    }
    place->round = round_;
    place->hash = hash;
    place->used = ++uses_;
    place->key = key;
    place->value = std::move(value);
    return true;
  }

  void clear() { ++round_; }

  std::size_t size() const {
    std::size_t held = 0;
    for (const Set& set : sets_) {
      for (const Entry& entry : set) held += entry.round == round_ ? 1 : 0;
    }
    return held;
  }

 private:
  static constexpr std::size_t kWays = 4;
  struct Entry {
    std::uint64_t round = 0;  // of clear(); of another one it is free
    std::uint64_t hash = 0;
    std::uint64_t used = 0;
    std::string key;
    Value value{};
  };
  using Set = std::array<Entry, kWays>;
  Set& set_of(std::uint64_t hash) { return sets_[(hash >> 7) & (sets_.size() - 1)]; }
  std::uint64_t age_of(const Entry& entry) const { return entry.round == round_ ? entry.used : 0; }

  std::size_t count_;
  std::vector<Set> sets_;  // none before the first put
  std::uint64_t round_ = 1;
  std::uint64_t uses_ = 0;
};

}  // namespace wary
