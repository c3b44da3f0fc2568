#include "base/fair_rate.h"

#include <doctest/doctest.h>

#include <vector>

namespace wary {
namespace {

constexpr Rate kEach{.per_second = 20, .at_once = 100};
constexpr Rate kAll{.per_second = 80, .at_once = 800};

// How many each got of `asks` a second for so many seconds; those who ask take turns.
std::vector<int> got(FairRate<int>& rate, const std::vector<int>& asks, double begin, int seconds) {
  std::vector<int> out(asks.size());
  for (int milli = 0; milli < seconds * 1000; ++milli) {
    for (std::size_t i = 0; i < asks.size(); ++i) {
      if (asks[i] == 0 || milli % (1000 / asks[i]) != 0) continue;
      const auto now = static_cast<std::int64_t>((begin + milli / 1000.0) * 1e9);
      out[i] += rate.take(static_cast<int>(i), {now}) ? 1 : 0;
    }
  }
  return out;
}

TEST_CASE("one that asks alone has its own limit, not everybody's") {
  FairRate<int> rate(kEach, kAll);
  const std::vector<int> counts = got(rate, {1000}, 1, 10);
  CHECK(counts[0] >= 100 + 195);
  CHECK(counts[0] <= 100 + 205);
}

TEST_CASE("nine that ask without end leave a tenth its share, and all together no more than there is") {
  FairRate<int> rate(kEach, kAll);
  (void)got(rate, std::vector<int>(9, 500), 1, 20);
  // The tenth asks five times a second, less than its share of eight.
  std::vector<int> asks(10, 500);
  asks[9] = 5;
  const std::vector<int> counts = got(rate, asks, 21, 20);
  CHECK(counts[9] == 100);
  int sum = 0;
  for (const int count : counts) sum += count;
  CHECK(sum <= 20 * 80 + 800);
  for (std::size_t i = 0; i < 9; ++i) {
    CHECK(counts[i] >= 20 * 7);
    CHECK(counts[i] <= 20 * 9 + 20);
  }
}

TEST_CASE("who has stopped asking is forgotten, and never with an empty bucket that would be full again") {
  FairRate<int> rate(kEach, kAll);
  for (int i = 0; i < 10'000; ++i) (void)rate.take(i, {kNanosPerSecond});
  CHECK(rate.size() <= 4096);
  CHECK(rate.take(-1, {7 * kNanosPerSecond}));
  CHECK(rate.size() == 1);
  FairRate<int> one(kEach, kAll);
  int at_once = 0;
  for (int i = 0; i < 1000; ++i) at_once += one.take(1, {kNanosPerSecond}) ? 1 : 0;
  CHECK(at_once == 100);
  int later = 0;
  for (int i = 0; i < 1000; ++i) later += one.take(1, {4 * kNanosPerSecond}) ? 1 : 0;
  CHECK(later == 60);
}

}  // namespace
}  // namespace wary
