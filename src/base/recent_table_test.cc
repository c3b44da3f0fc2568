#include "base/recent_table.h"

#include <doctest/doctest.h>

#include <map>

using namespace wary;

TEST_CASE("what was put is found by its whole text, until it is cleared") {
  RecentTable<int> table(16);
  CHECK(table.find("a") == nullptr);
  CHECK(table.put("a", 1));
  CHECK(table.put("", 2));
  REQUIRE(table.find("a") != nullptr);
  CHECK(*table.find("a") == 1);
  CHECK(*table.find("") == 2);
  CHECK(table.find("A") == nullptr);
  CHECK(table.put("a", 3));
  CHECK(*table.find("a") == 3);
  CHECK(table.size() == 2);
  table.clear();
  CHECK(table.find("a") == nullptr);
  CHECK(table.size() == 0);
  CHECK(table.put("a", 4));
  CHECK(*table.find("a") == 4);
}

TEST_CASE("a key that is too long is not kept") {
  RecentTable<int> table(16);
  const std::string longest(RecentTable<int>::kKeyMax, 'x');
  CHECK(table.put(longest, 1));
  CHECK_FALSE(table.put(longest + "x", 2));
  CHECK(table.find(longest + "x") == nullptr);
}

TEST_CASE("it holds no more than it was told to, and what is used stays longest") {
  RecentTable<int> table(64);
  for (int i = 0; i < 10'000; ++i) {
    table.put("key " + std::to_string(i), i);
    if (table.find("key 0") == nullptr) table.put("key 0", 0);  // asked for all the time
    if (const int* found = table.find("key " + std::to_string(i / 2))) CHECK(*found == i / 2);
  }
  CHECK(table.size() == 64);
  // Three of its places were taken by others time and again; the fourth is its own.
  CHECK(table.find("key 0") != nullptr);
}

TEST_CASE("whatever is put and cleared, a value found is the last that was put under that text") {
  std::uint64_t state = 7;
  const auto next = [&](std::uint64_t bound) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % bound;
  };
  RecentTable<std::uint64_t> table(32);
  std::map<std::string, std::uint64_t> model;
  std::size_t hits = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::string key = std::to_string(next(60));
    if (next(500) == 0) {
      table.clear();
      model.clear();
    } else if (next(2) == 0) {
      table.put(key, model[key] = next(1'000'000));
    } else if (const std::uint64_t* found = table.find(key)) {
      const auto known = model.find(key);
      REQUIRE(known != model.end());
      REQUIRE(known->second == *found);
      ++hits;
    }
  }
  CHECK(hits > 10'000);
}
