#include "enforce/concurrency_table.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

using namespace wary;
using enforce::ConcurrencyTable;

TEST_CASE("so many are at work at once, and a place that is given back is the next one's") {
  ConcurrencyTable table;
  const std::uint64_t key = table.key_of("alice", "site");
  std::vector<ConcurrencyTable::Place> places;
  for (int i = 0; i < 5; ++i) {
    auto place = table.take(key, 5);
    REQUIRE(place);
    places.push_back(std::move(*place));
  }
  CHECK_FALSE(table.take(key, 5));
  CHECK(table.take(key, 6));  // and is given back at once
  CHECK(table.take(table.key_of("alice", "other"), 5));
  places.erase(places.begin());
  auto next = table.take(key, 5);
  CHECK(next);
  CHECK_FALSE(table.take(key, 5));
  ConcurrencyTable::Place moved = std::move(*next);
  next.reset();
  CHECK_FALSE(table.take(key, 5));
  {
    const ConcurrencyTable::Place gone = std::move(moved);
  }
  CHECK(table.take(key, 5));
}

TEST_CASE("who finds no place in the table is not refused, and nobody else's count is theirs") {
  ConcurrencyTable table;
  std::vector<ConcurrencyTable::Place> places;
  int refused = 0;
  for (std::uint64_t i = 0; i < 40'000; ++i) {
    auto place = table.take(table.key_of("alice", std::to_string(i)), 1);
    refused += place ? 0 : 1;
    if (place) places.push_back(std::move(*place));
  }
  CHECK(refused == 0);
  // Of the first thousand each has its own place: the table was nearly empty.
  for (std::uint64_t i = 0; i < 1'000; ++i) refused += table.take(table.key_of("alice", std::to_string(i)), 1) ? 0 : 1;
  CHECK(refused == 1'000);
  places.clear();
  for (std::uint64_t i = 0; i < 40'000; ++i) refused += table.take(table.key_of("bob", std::to_string(i)), 1) ? 0 : 1;
  CHECK(refused == 1'000);
}

TEST_CASE("threads that share a key have no more at work than it may, and leave nothing behind") {
  ConcurrencyTable table;
  const std::uint64_t key = table.key_of("alice", "site");
  const auto held = table.take(key, 8);  // its place is there before they begin
  std::atomic<int> at_work{1}, most{0}, taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      std::vector<ConcurrencyTable::Place> mine;
      for (int k = 0; k < 20'000; ++k) {
        auto place = table.take(key, 8);
        if (place) {
          const int now = ++at_work;
          for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) continue;
          mine.push_back(std::move(*place));
          ++taken;
        }
        if (mine.size() > 3 || !place) {
          at_work -= static_cast<int>(mine.size());
          mine.clear();
        }
      }
      at_work -= static_cast<int>(mine.size());
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(taken > 20'000);
  CHECK(most <= 8);
  std::vector<ConcurrencyTable::Place> rest;
  for (int i = 0; i < 7; ++i) {
    auto place = table.take(key, 8);
    REQUIRE(place);
    rest.push_back(std::move(*place));
  }
  CHECK_FALSE(table.take(key, 8));
}
