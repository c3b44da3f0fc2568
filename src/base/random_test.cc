#include "base/random.h"

#include <doctest/doctest.h>

#include <vector>

using namespace wary;

TEST_CASE("a pool gives its source's bytes in order, each once, in fewer calls") {
  struct Counting final : Random {
    void fill(std::span<std::uint8_t> out) override {
      ++calls;
      for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(next++);
    }
    int calls = 0;
    unsigned next = 0;
  } source;
  PooledRandom pool(source);
  std::vector<std::uint8_t> got(2'500);
  for (std::size_t at = 0; at < got.size(); at += 25) pool.fill(std::span(got).subspan(at, 25));
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == static_cast<std::uint8_t>(i));
  CHECK(source.calls == 3);
}
