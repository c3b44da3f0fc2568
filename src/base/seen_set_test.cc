#include "base/seen_set.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

using namespace wary;

namespace {

Bytes digest_like(std::uint32_t number) {
  Bytes out(32, 0);
  out[0] = static_cast<std::uint8_t>(number);
  for (std::size_t i = 0; i < 4; ++i) out[8 + i] = static_cast<std::uint8_t>(number >> (8 * i));
  return out;
}

}  // namespace

TEST_CASE("what was seen is seen for its life, and forgotten by twice that") {
  SeenSet seen(100, 1000);
  CHECK(seen.add(digest_like(1), {0}) == SeenSet::Added::kNew);
  CHECK(seen.add(digest_like(1), {0}) == SeenSet::Added::kSeen);
  CHECK(seen.add(digest_like(2), {99}) == SeenSet::Added::kNew);
  // Its life counts from when it was added: the other one's part moved on at 100.
  CHECK(seen.add(digest_like(1), {100}) == SeenSet::Added::kSeen);
  CHECK(seen.add(digest_like(2), {198}) == SeenSet::Added::kSeen);
  CHECK(seen.add(digest_like(1), {1000}) == SeenSet::Added::kNew);
}

TEST_CASE("without room nothing is new, until what is in it is old") {
  SeenSet seen(100, 64 * 2 * 2);  // two a generation and part
  CHECK(seen.add(digest_like(64), {0}) == SeenSet::Added::kNew);
  CHECK(seen.add(digest_like(128), {0}) == SeenSet::Added::kNew);
  CHECK(seen.add(digest_like(192), {0}) == SeenSet::Added::kFull);
  CHECK(seen.add(digest_like(64), {0}) == SeenSet::Added::kSeen);
  CHECK(seen.add(digest_like(1), {0}) == SeenSet::Added::kNew);  // another part has its own room
  CHECK(seen.add(digest_like(192), {100}) == SeenSet::Added::kNew);
}

TEST_CASE("of many threads that show the same, one is the first") {
  SeenSet seen(1000, 100'000);
  std::atomic<int> news{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::uint32_t n = 0; n < 2000; ++n) {
        if (seen.add(digest_like(n), {1}) == SeenSet::Added::kNew) ++news;
      }
    });
  }
  threads.clear();
  CHECK(news == 2000);
}
