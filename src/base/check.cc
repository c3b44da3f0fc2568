#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace wary {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "wary: invariant broken at %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace wary
