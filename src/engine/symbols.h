// Symbols: numbers for the names and entity ids that entities and policies speak of. Private to engine/.
//
//   std::uint32_t alice = symbols.add_uid("User", "alice");
//   symbols.find_uid("User", "alice")        // the same number; kNone for what nobody mentioned
//
// Only grows: a number means the same as long as the world lives, in every snapshot of it. One writer adds; any thread
// may look up at the same time, without locks, and sees at least what was added before the snapshot it holds. Requests
// look up and never add, so that nobody outside can make it grow. The hash has a secret seed, so that nobody outside
// can choose ids that collide.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/arena.h"
#include "engine/cell.h"
#include "engine/hash.h"

namespace wary::engine {

constexpr std::uint32_t kNone = 0xFFFFFFFF;
// Numbers from here on stand for names and ids that only one request speaks of.
constexpr std::uint32_t kTemporary = 0x80000000;

// A growing array whose elements stay where they are: blocks of 64, 128, 256, ... elements.
template <typename T>
class Steady {
 public:
  const T& operator[](std::uint32_t index) const {
    const std::uint32_t shifted = index + 64;
    const auto block = static_cast<std::uint32_t>(std::bit_width(shifted)) - 7;
    return blocks_[block].load(std::memory_order_acquire)[shifted - (64U << block)];
  }
  void push_back(const T& value) {
    const std::uint32_t shifted = size_ + 64;
    const auto block = static_cast<std::uint32_t>(std::bit_width(shifted)) - 7;
    T* elements = blocks_[block].load(std::memory_order_relaxed);
    if (elements == nullptr) {
      owned_.push_back(std::make_unique<T[]>(std::size_t{64} << block));
      elements = owned_.back().get();
      blocks_[block].store(elements, std::memory_order_release);
    }
    elements[shifted - (64U << block)] = value;
    ++size_;
  }
  std::uint32_t size() const { return size_; }  // the writer's
  std::size_t bytes() const { return sizeof(T) * room_for(size_); }
  // Elements of the blocks that hold so many. Blocks one after another are the plain array.
  static std::size_t room_for(std::uint32_t size) {
    return size == 0 ? 0 : (std::size_t{64} << (std::bit_width(size + 63) - 6)) - 64;
  }
  // Starts with `size` elements of an array that has the room for their blocks, and outlives this.
  void adopt(T* elements, std::uint32_t size) {
    size_ = size;
    for (std::size_t block = 0; (std::size_t{64} << block) - 64 < size; ++block) {
      blocks_[block].store(elements + ((std::size_t{64} << block) - 64), std::memory_order_release);
    }
  }

 private:
  std::array<std::atomic<T*>, 26> blocks_{};
  std::vector<std::unique_ptr<T[]>> owned_;
  std::uint32_t size_ = 0;
};

// Hash to number: open addressing; a slot holds the upper half of the hash and the number plus one. Growing makes a new
// table and leaves the old one to those who still read it.
class HashIndex {
 public:
  using Slot = std::atomic<std::uint64_t>;
  static_assert(sizeof(Slot) == 8 && Slot::is_always_lock_free);
  static constexpr std::uint64_t slot_value(std::uint64_t hash, std::uint32_t number) {
    return (hash & 0xFFFFFFFF00000000ULL) | (number + 1);
  }
  // Slots for so many, with some to spare.
  static std::size_t room_for(std::size_t size) { return std::bit_ceil(std::max<std::size_t>(64, size + size / 2)); }
  // Starts with a table, of a power of two, that holds `size` and outlives this.
  void adopt(std::span<Slot> slots, std::size_t size) {
    tables_.push_back(std::make_unique<Table>(slots));
    current_.store(tables_.back().get(), std::memory_order_release);
    size_ = size;
  }
  template <typename Is>
  std::uint32_t find(std::uint64_t hash, Is is) const {
    const Table* table = current_.load(std::memory_order_acquire);
    if (table == nullptr) return kNone;
    for (std::size_t at = hash & table->mask;; at = (at + 1) & table->mask) {
      const std::uint64_t slot = table->slots[at].load(std::memory_order_acquire);
      if (slot == 0) return kNone;
      if ((slot >> 32) == (hash >> 32) && is(static_cast<std::uint32_t>(slot) - 1)) {
        return static_cast<std::uint32_t>(slot) - 1;
      }
    }
  }
  void prefetch(std::uint64_t hash) const {
    const Table* table = current_.load(std::memory_order_acquire);
    if (table != nullptr) __builtin_prefetch(&table->slots[hash & table->mask]);
  }
  // `hash_of` gives the hash of each number already in.
  template <typename HashOf>
  void insert(std::uint64_t hash, std::uint32_t number, HashOf hash_of) {
    if (tables_.empty() || (size_ + 1) * 4 > (tables_.back()->mask + 1) * 3) grow(hash_of);
    put(*tables_.back(), hash, number);
    ++size_;
  }
  std::size_t bytes() const { return tables_.empty() ? 0 : 8 * (tables_.back()->mask + 1); }

 private:
  struct Table {
    explicit Table(std::size_t size) : mask(size - 1), owned(new Slot[size]{}), slots(owned.get()) {}
    explicit Table(std::span<Slot> adopted) : mask(adopted.size() - 1), slots(adopted.data()) {}
    std::size_t mask;
    std::unique_ptr<Slot[]> owned;
    Slot* slots;
  };
  static void put(Table& table, std::uint64_t hash, std::uint32_t number) {
    std::size_t at = hash & table.mask;
    while (table.slots[at].load(std::memory_order_relaxed) != 0) at = (at + 1) & table.mask;
    table.slots[at].store(slot_value(hash, number), std::memory_order_release);
  }
  template <typename HashOf>
  void grow(HashOf hash_of) {
    const std::size_t old = tables_.empty() ? 0 : tables_.back()->mask + 1;
    auto table = std::make_unique<Table>(old == 0 ? 64 : old * 2);
    for (std::size_t at = 0; at < old; ++at) {
      const std::uint64_t slot = tables_.back()->slots[at].load(std::memory_order_relaxed);
      if (slot == 0) continue;
      const std::uint32_t number = static_cast<std::uint32_t>(slot) - 1;
      put(*table, hash_of(number), number);
    }
    current_.store(table.get(), std::memory_order_release);
    tables_.push_back(std::move(table));
  }

  std::atomic<const Table*> current_{nullptr};
  std::vector<std::unique_ptr<Table>> tables_;
  std::size_t size_ = 0;
};

class Symbols {
 public:
  struct Uid {
    const Text* id;
    std::uint32_t type;
  };
  // Symbols as an image holds them: arrays with the room that Steady wants, in memory that outlives the symbols.
  struct Stored {
    std::span<const Text*> names;
    std::span<Uid> uids;
    std::span<const Text*> texts;
    std::span<HashIndex::Slot> name_slots;
    std::span<HashIndex::Slot> uid_slots;
    std::span<HashIndex::Slot> text_slots;
  };

  explicit Symbols(std::uint64_t seed) : seed_(seed), arena_(std::size_t{1} << 16) {}

  // Before anything is added.
  void adopt(const Stored& stored);

  std::uint32_t add_name(std::string_view name);
  std::uint32_t add_uid(std::string_view type, std::string_view id);
  const Text* add_text(std::string_view text);  // each once

  std::uint32_t find_name(std::string_view name) const { return find_name(name, hash(name)); }
  std::uint32_t find_uid(std::string_view type, std::string_view id) const {
    return find_uid(type, id, uid_hash(type, id));
  }

  // The same for three at once, whose misses of the cache then overlap.
  struct Known {
    std::uint32_t ref = kNone;
    std::uint32_t type = kNone;  // of one that is known
  };
  std::array<Known, 3> find_uids(const std::array<const cedar::EntityUid*, 3>& uids) const;

  std::string_view name(std::uint32_t name) const { return names_[name]->view(); }
  std::uint32_t type_of(std::uint32_t uid) const { return uids_[uid].type; }
  std::string_view id_of(std::uint32_t uid) const { return uids_[uid].id->view(); }
  std::uint32_t uids() const { return uids_.size(); }  // the writer's
  std::uint64_t hash(std::string_view text) const { return hash_bytes(text, seed_); }
  std::size_t bytes() const;

  // What an image is made of.
  std::uint64_t seed() const { return seed_; }
  const Text& name_text(std::uint32_t name) const { return *names_[name]; }
  const Text& id_text(std::uint32_t uid) const { return *uids_[uid].id; }
  const Text& text(std::uint32_t number) const { return *texts_[number]; }
  std::uint32_t text_number(const Text& text) const {  // of one that add_text gave
    return text_index_.find(hash(text.view()), [&](std::uint32_t number) { return texts_[number] == &text; });
  }
  std::uint64_t uid_hash(std::uint32_t uid) const { return uid_hash(name(type_of(uid)), id_of(uid)); }

 private:
  std::uint32_t find_name(std::string_view name, std::uint64_t hash) const {
    return name_index_.find(hash, [&](std::uint32_t number) { return same_bytes(names_[number]->view(), name); });
  }
  std::uint32_t find_uid(std::string_view type, std::string_view id, std::uint64_t hash) const {
    return uid_index_.find(hash, [&](std::uint32_t number) { return is(uids_[number], type, id); });
  }
  bool is(const Uid& uid, std::string_view type, std::string_view id) const {
    return same_bytes(uid.id->view(), id) && same_bytes(names_[uid.type]->view(), type);
  }
  std::uint64_t uid_hash(std::string_view type, std::string_view id) const {
    return hash_bytes(id, seed_ ^ type_bits(type) * kOdd1);
  }
  const Text* make_text(std::string_view text, std::uint64_t hash);

  std::uint64_t seed_;
  Arena arena_;
  Steady<const Text*> names_;
  Steady<Uid> uids_;
  Steady<const Text*> texts_;
  HashIndex name_index_;
  HashIndex uid_index_;
  HashIndex text_index_;
};

// A Text of these bytes in `arena`; `hash` as Symbols::hash gives it.
const Text* make_text(Arena& arena, std::string_view text, std::uint64_t hash);

}  // namespace wary::engine
