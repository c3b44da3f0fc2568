#include "base/rate.h"

#include <doctest/doctest.h>

#include <string>

namespace wary {
namespace {

Monotonic at_seconds(double seconds) { return {static_cast<std::int64_t>(seconds * 1e9)}; }

TEST_CASE("each key has its own bucket, which fills again") {
  RateByKey<std::string> rate({.per_second = 2, .at_once = 3});
  for (int i = 0; i < 3; ++i) CHECK(rate.take("a", at_seconds(1)));
  CHECK_FALSE(rate.take("a", at_seconds(1)));
  CHECK(rate.take("b", at_seconds(1)));
  CHECK_FALSE(rate.take("a", at_seconds(1.4)));
  CHECK(rate.take("a", at_seconds(1.6)));
  CHECK_FALSE(rate.take("a", at_seconds(1.6)));
  for (int i = 0; i < 3; ++i) CHECK(rate.take("a", at_seconds(100)));
  CHECK_FALSE(rate.take("a", at_seconds(100)));
}

TEST_CASE("many keys are forgotten when they are full again, and never let one that is empty off") {
  RateByKey<int> rate({.per_second = 1, .at_once = 2});
  CHECK(rate.take(-1, at_seconds(0)));
  CHECK(rate.take(-1, at_seconds(0)));
  for (int i = 0; i < 10'000; ++i) CHECK(rate.take(i, at_seconds(0.5)));
  CHECK(rate.size() <= 4096);
  CHECK_FALSE(rate.take(-1, at_seconds(0.6)));
  for (int i = 0; i < 5'000; ++i) CHECK(rate.take(20'000 + i, at_seconds(10)));
  CHECK(rate.size() <= 4096);
}

}  // namespace
}  // namespace wary
