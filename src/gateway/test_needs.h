// What a world of a test needs to hold: doctest's assertions in a test; in a fuzz target, which has none, the end of
// the program.
#pragma once

#ifdef WARY_FUZZED_WORLD
#include <cstdlib>
#define REQUIRE(...)                  \
  do {                                \
    if (!(__VA_ARGS__)) std::abort(); \
  } while (false)
#define REQUIRE_MESSAGE(held, ...) REQUIRE(held)
#define CHECK(...) REQUIRE(__VA_ARGS__)
#else
#include <doctest/doctest.h>
#endif
