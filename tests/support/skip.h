// WARY_SKIP(reason): leaves a test that cannot run here, and says so; the runner counts it as skipped.
#pragma once
#include <cstdio>
#define WARY_SKIP(reason)                             \
  do {                                                \
    std::printf("[skip] %s: %s\n", __FILE__, reason); \
    return;                                           \
  } while (false)
