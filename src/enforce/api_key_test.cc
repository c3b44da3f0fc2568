#include "enforce/api_key.h"

#include <doctest/doctest.h>

#include <set>
#include <utility>

using namespace wary;
using namespace wary::enforce;

namespace {

class FilledRandom final : public Random {
 public:
  explicit FilledRandom(std::uint8_t first, std::uint8_t step) : next_(first), step_(step) {}
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = std::exchange(next_, static_cast<std::uint8_t>(next_ + step_));
  }

 private:
  std::uint8_t next_, step_;
};

}  // namespace

TEST_CASE("a key has the form that scanners look for, and its own sum") {
  FilledRandom zeros(0, 0), ones(0xff, 0);
  // 62^43 > 2^256, so every number has room, the largest too. The sums are gzip's crc32 of the first 48 characters.
  CHECK(make_api_key(zeros) == "wary_000000000000000000000000000000000000000000004Kcee");
  std::set<std::string> keys;
  for (std::uint8_t i = 0; i < 100; ++i) {
    FilledRandom counting(i, 7);
    const std::string key = make_api_key(counting);
    CHECK(key.size() == kApiKeyBytes);
    CHECK(is_api_key(key));
    keys.insert(key);
  }
  CHECK(keys.size() == 100);
  CHECK(is_api_key(make_api_key(ones)));
}

TEST_CASE("one changed, missing or added character is no key") {
  FilledRandom random(9, 11);
  const std::string key = make_api_key(random);
  for (std::size_t i = 0; i < key.size(); ++i) {
    for (const char other : {'A', 'z', '0', '-', ' ', '\0'}) {
      std::string changed = key;
      if (changed[i] == other) continue;
      changed[i] = other;
      CHECK_FALSE_MESSAGE(is_api_key(changed), changed);
    }
    CHECK_FALSE(is_api_key(key.substr(0, i)));
  }
  CHECK_FALSE(is_api_key(key + "a"));
  CHECK_FALSE(is_api_key(""));
  CHECK_FALSE(is_api_key("WARY_" + key.substr(5)));
}

TEST_CASE("a key is known by its SHA-256") {
  CHECK(api_key_id("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
