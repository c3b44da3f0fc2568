#include "base/proof_cache.h"

#include <doctest/doctest.h>

#include <string>

namespace wary {
namespace {

Bytes digest_of(std::uint8_t number, std::uint8_t part = 0) {
  Bytes digest(32, number);
  digest[0] = part;
  return digest;
}
std::shared_ptr<const std::string> text(std::string value) { return std::make_shared<const std::string>(value); }

TEST_CASE("a proof is found for as long as it holds, and for what it was made from alone") {
  ProofCache<std::string> cache(64);
  cache.add(digest_of(1), text("one"), {100}, {200});
  CHECK(cache.find(digest_of(1), {99}) == nullptr);
  REQUIRE(cache.find(digest_of(1), {100}) != nullptr);
  CHECK(*cache.find(digest_of(1), {199}) == "one");
  CHECK(cache.find(digest_of(1), {200}) == nullptr);
  CHECK(cache.find(digest_of(2), {150}) == nullptr);
  Bytes near = digest_of(1);
  near[31] ^= 1;
  CHECK(cache.find(near, {150}) == nullptr);
}

TEST_CASE("a proof that is made again replaces the one before") {
  ProofCache<std::string> cache(64);
  cache.add(digest_of(1), text("one"), {100}, {200});
  cache.add(digest_of(1), text("again"), {150}, {300});
  CHECK(cache.find(digest_of(1), {120}) == nullptr);
  CHECK(*cache.find(digest_of(1), {250}) == "again");
}

TEST_CASE("where there is no room the older half goes, and what is used stays") {
  ProofCache<std::string> cache(64);  // of one part: two at most in each half
  for (std::uint8_t i = 1; i <= 3; ++i) cache.add(digest_of(i), text("x"), {0}, {10});
  CHECK(cache.find(digest_of(1), {5}) != nullptr);  // the older half; used again now
  cache.add(digest_of(4), text("x"), {0}, {10});
  cache.add(digest_of(5), text("x"), {0}, {10});
  CHECK(cache.find(digest_of(1), {5}) != nullptr);
  CHECK(cache.find(digest_of(2), {5}) == nullptr);
  CHECK(cache.find(digest_of(5), {5}) != nullptr);
}

}  // namespace
}  // namespace wary
