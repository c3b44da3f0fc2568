#include "enforce/token_cache.h"

#include <doctest/doctest.h>

using namespace wary;
using namespace wary::enforce;

namespace {

crypto::Digest digest_of(std::string_view text) { return crypto::sha256(as_bytes(text)); }
CachedToken kept_token(std::uint64_t generation, std::int64_t until) {
  return {std::make_shared<const VerifiedToken>(), {}, "corp", generation, {until}};
}

}  // namespace

TEST_CASE("a token is known until it ends, and while its issuer is what it was") {
  TokenCache cache;
  std::uint64_t generation = 7;
  const auto of = [&](const std::string& name) { return name == "corp" ? generation : 0; };
  cache.put(digest_of("a"), kept_token(7, 100));
  REQUIRE(cache.find(digest_of("a"), {99}, of) != nullptr);
  CHECK(cache.find(digest_of("b"), {99}, of) == nullptr);
  CHECK(cache.find(digest_of("a"), {100}, of) == nullptr);
  CHECK(cache.size() == 0);
  cache.put(digest_of("a"), kept_token(7, 100));
  generation = 8;
  CHECK(cache.find(digest_of("a"), {1}, of) == nullptr);
  CHECK(cache.size() == 0);
}

TEST_CASE("the one that was used longest ago makes room") {
  TokenCache cache(2);
  const auto always = [](const std::string&) { return std::uint64_t{1}; };
  cache.put(digest_of("a"), kept_token(1, 100));
  cache.put(digest_of("b"), kept_token(1, 100));
  REQUIRE(cache.find(digest_of("a"), {1}, always) != nullptr);
  cache.put(digest_of("c"), kept_token(1, 100));
  CHECK(cache.size() == 2);
  CHECK(cache.find(digest_of("b"), {1}, always) == nullptr);
  CHECK(cache.find(digest_of("a"), {1}, always) != nullptr);
  cache.put(digest_of("a"), kept_token(1, 50));
  CHECK(cache.size() == 2);
  CHECK(cache.find(digest_of("a"), {60}, always) == nullptr);
}
