// Rules: the policies of a snapshot, compiled: to decide by, and to search by. Private to engine/.
#pragma once

#include "engine/index.h"
#include "engine/paged.h"

namespace wary::engine {

struct Rules {
  Paged<CompiledPolicy> policies;
  ScopeIndex index;
  std::uint32_t stack = 1;        // cells that any run needs at most
  std::uint32_t next_number = 0;  // above every policy's that there was
};

}  // namespace wary::engine
