// Entities of a world, as the compiled engine reads them. Private to engine/.
//
// An entity is one block: attributes, tags, parents. Those that others name as a parent carry a closure as well: all
// their ancestors, sorted. What nobody is in has none: its ancestors are its parents and their closures, so that a
// million users cost no closure each, and a group that moves touches groups only. In a small world all have one.
//
// A table is immutable; the next one shares its pages. Blocks live in the world's arena until the world goes: what is
// no longer referred to is counted (`garbage`), and the writer starts a new world when it is too much.
#pragma once

#include <array>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/convert.h"
#include "engine/engine.h"
#include "engine/paged.h"

namespace wary::engine {

constexpr std::size_t kAncestorsMax = 16'384;
// While a world is this small, every entity has a closure: to move a group then costs at most this many.
constexpr std::size_t kSmallWorld = 4'096;

// 256 kinds of refs, and which of them a closure has any of: most questions end here.
struct Filter {
  std::array<std::uint64_t, 4> words;
  static std::uint64_t spread(std::uint32_t ref) { return ref * 0x9E3779B97F4A7C15ULL; }
  void add(std::uint32_t ref) { words[spread(ref) >> 62] |= std::uint64_t{1} << (spread(ref) >> 56 & 63); }
  bool may_have(std::uint32_t ref) const { return (words[spread(ref) >> 62] >> (spread(ref) >> 56 & 63) & 1) != 0; }
};

struct TimedCell {
  std::uint32_t name;
  bool is_tag;
  std::int64_t at_nanos;
  Cell then;
};

// Followed by attribute values, tag values, attribute names, tag names, parents.
struct EntityBlock {
  std::uint32_t ref;
  std::uint32_t bytes;
  std::uint16_t attributes;
  std::uint16_t tags;
  std::uint16_t parents;
  std::uint16_t timed;
  std::uint32_t ancestors;       // in `closure`
  bool is_closed;                // `closure` holds
  const std::uint32_t* closure;  // ascending
  const TimedCell* timed_cells;
  const Filter* filter;  // of the closure
  std::uint64_t unused;  // so that cells after it are aligned

  const Cell* values() const { return reinterpret_cast<const Cell*>(this + 1); }
  const Cell* tag_values() const { return values() + attributes; }
  const std::uint32_t* names() const { return reinterpret_cast<const std::uint32_t*>(tag_values() + tags); }
  const std::uint32_t* tag_names() const { return names() + attributes; }
  const std::uint32_t* parent_refs() const { return tag_names() + tags; }
};
static_assert(sizeof(EntityBlock) % alignof(Cell) == 0);

class EntityTable : public Paged<EntityBlock> {};

// Makes tables, one after another. One thread.
class EntityWriter {
 public:
  EntityWriter(Symbols& symbols, Arena& arena) : symbols_(symbols), arena_(arena) {}

  // Starts with a table. `inner` (EntityWriter::inner_ as a list, in memory that outlives this) is looked through when
  // the first change comes.
  void adopt(const EntityTable& table, std::span<const std::uint32_t> inner) {
    table_ = table;
    adopted_ = inner;
  }
  // Removals first. On an error nothing has changed. Errors: cedar_entity_cycle, engine_ancestors (more than
  // kAncestorsMax).
  Status apply(std::span<const EntityInput> upserts, std::span<const cedar::EntityUid> removals);
  const EntityTable& table() const { return table_; }
  std::size_t garbage() const { return garbage_; }  // bytes of blocks that the table no longer holds

 private:
  // Blocks that a change makes, by ref, before they are in the table; null: gone.
  class Changes {
   public:
    explicit Changes(std::vector<std::uint32_t>& slots) : slots_(slots) {}
    ~Changes() {
      for (const auto& [ref, block] : all_) slots_[ref] = 0;
    }
    Changes(const Changes&) = delete;
    Changes& operator=(const Changes&) = delete;
    void put(std::uint32_t ref, EntityBlock* block);
    // Whether the change knows the ref; then its block is `block`.
    bool find(std::uint32_t ref, EntityBlock*& block) const;
    const std::vector<std::pair<std::uint32_t, EntityBlock*>>& all() const { return all_; }

   private:
    std::vector<std::uint32_t>& slots_;  // by ref: position in all_ plus one
    std::vector<std::pair<std::uint32_t, EntityBlock*>> all_;
  };

  EntityBlock* make_block(const EntityInput& input, std::uint32_t ref);
  const EntityBlock* current(const Changes& changes, std::uint32_t ref) const;
  EntityBlock* writable(Changes& changes, std::uint32_t ref);
  bool is_inner(std::uint32_t ref) const { return ref < inner_.size() && inner_[ref] != 0; }
  std::vector<std::uint32_t> with_descendants(std::vector<std::uint32_t> refs) const;
  Status close(Changes& changes, const std::vector<std::uint32_t>& refs);
  Status close_one(Changes& changes, EntityBlock& block);
  void link_children(const EntityBlock* block, bool add);
  void link_adopted();
  void commit(const Changes& changes, const std::vector<std::uint32_t>& fresh);
  Error cycle(std::uint32_t ref) const;

  Symbols& symbols_;
  Arena& arena_;
  EntityTable table_;
  std::vector<std::uint8_t> inner_;                                         // by ref: it is or was somebody's parent
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> children_;  // of a parent: those that are parents too
  std::span<const std::uint32_t> adopted_;                                  // inner, and not yet linked
  std::vector<std::uint32_t> slots_;
  std::vector<std::uint32_t> union_;  // room for close_one
  std::size_t garbage_ = 0;
};

}  // namespace wary::engine
