// World: what the snapshots of one line share. Only its writer changes it. Private to engine/.
#pragma once

#include "engine/entities.h"
#include "engine/rules.h"
#include "io/placed_memory.h"

namespace wary::engine {

struct World {
  explicit World(std::uint64_t seed)
      : symbols(seed), arena(std::size_t{1} << 20), writer(symbols, arena), rules_arena(std::size_t{1} << 16) {}
  // What an image holds of the rest, if the world was opened; first, because it must outlive them.
  std::unique_ptr<io::PlacedMemory> image;
  std::size_t image_bytes = 0;  // of it, what neither symbols nor arenas count
  Symbols symbols;
  Arena arena;  // of entities
  EntityWriter writer;
  Arena rules_arena;
  std::uint64_t latest = 0;
  std::size_t first_bytes = 0;  // of the first snapshot, and of its policies
  std::size_t first_rules_bytes = 0;
};

}  // namespace wary::engine
