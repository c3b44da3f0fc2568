// World: what the snapshots of one line share. Only its writer changes it. Private to engine/.
#pragma once

#include "engine/entities.h"
#include "engine/rules.h"

namespace wary::engine {

struct World {
  explicit World(std::uint64_t seed) : symbols(seed), arena(std::size_t{1} << 20), writer(symbols, arena) {}
  Symbols symbols;
  Arena arena;
  EntityWriter writer;
  std::uint64_t latest = 0;
  std::size_t first_bytes = 0;  // of the first snapshot
};

}  // namespace wary::engine
