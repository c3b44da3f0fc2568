#include "base/time.h"

#include <doctest/doctest.h>

using namespace wary;

TEST_CASE("time is written in UTC with milliseconds, also before 1970") {
  CHECK(to_rfc3339({0}) == "1970-01-01T00:00:00.000Z");
  CHECK(to_rfc3339({-1}) == "1969-12-31T23:59:59.999Z");
  CHECK(to_rfc3339({951'782'400 * kNanosPerSecond}) == "2000-02-29T00:00:00.000Z");
  CHECK(to_rfc3339({4'107'542'399 * kNanosPerSecond}) == "2100-02-28T23:59:59.000Z");
  CHECK(to_rfc3339({INT64_MAX}) == "2262-04-11T23:47:16.854Z");
  CHECK(to_rfc3339({INT64_MIN}) == "1677-09-21T00:12:43.145Z");
}
