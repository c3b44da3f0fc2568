#include "enforce/rate_table.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace wary;
using enforce::RateTable;

TEST_CASE("a burst goes at once, then as many a second as are allowed") {
  RateTable table;
  std::int64_t now = 1'000'000'000'000;
  int allowed = 0;
  for (int i = 0; i < 50; ++i) allowed += table.take(7, 10, 20, now).allowed ? 1 : 0;
  CHECK(allowed == 20);
  const auto refused = table.take(7, 10, 20, now);
  CHECK_FALSE(refused.allowed);
  CHECK(refused.wait_nanos == kNanosPerSecond / 10);
  now += refused.wait_nanos;
  CHECK(table.take(7, 10, 20, now).allowed);
  CHECK_FALSE(table.take(7, 10, 20, now).allowed);
  now += 10 * kNanosPerSecond;
  allowed = 0;
  for (int i = 0; i < 50; ++i) allowed += table.take(7, 10, 20, now).allowed ? 1 : 0;
  CHECK(allowed == 20);
}

TEST_CASE("each key has its own, and full ones make room for others") {
  RateTable table;
  std::int64_t now = 1'000'000'000'000;
  std::uint64_t key = 1;
  for (int round = 0; round < 5; ++round) {
    int refused = 0;
    for (int i = 0; i < 4'000; ++i) {
      key = key * 6364136223846793005ULL + 1442695040888963407ULL;
      refused += table.take(key >> 16, 1, 1, now).allowed ? 0 : 1;
    }
    CHECK(refused < 40);  // who shares a place has less
    now += 2 * kNanosPerSecond;
  }
}

TEST_CASE("which places names share is another thing under another secret") {
  RateTable one, other;
  one.hide(1, 2);
  other.hide(1, 3);
  CHECK(one.key_of("alice", "site") == one.key_of("alice", "site"));
  CHECK(one.key_of("alice", "site") != other.key_of("alice", "site"));
  CHECK(one.key_of("alice", "site") != one.key_of("site", "alice"));
  CHECK(one.key_of("alic", "esite") != one.key_of("alice", "site"));
}

TEST_CASE("threads that share a key get no more than it has") {
  RateTable table;
  std::atomic<int> allowed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 1'000; ++k) allowed += table.take(42, 1, 500, 1'000'000'000'000).allowed ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(allowed == 500);
}
