#include "codec/nearest.h"

#include <doctest/doctest.h>

using namespace wary::codec;

TEST_CASE("a slip of the pen is understood") {
  const std::vector<std::string_view> names = {"alice", "bob", "metrics", "shop"};
  CHECK(nearest("shp", names) == "shop");
  CHECK(nearest("alcie", names) == "alice");
  CHECK(nearest("metrcis", names) == "metrics");
  CHECK(nearest("Bob", names) == "bob");
  CHECK(nearest("boob", names) == "bob");
  CHECK(did_you_mean("shp", names) == "did you mean shop?");
}

TEST_CASE("what is not near is not guessed") {
  const std::vector<std::string_view> names = {"alice", "bob"};
  CHECK(nearest("carol", names).empty());
  CHECK(nearest("x", names).empty());
  CHECK(nearest("", names).empty());
  CHECK(nearest("alice", {}).empty());
  CHECK(nearest("alice", {"alice"}).empty());  // it is there
  CHECK(did_you_mean("carol", names).empty());
}

TEST_CASE("the same name in another room is found") {
  CHECK(nearest("metrics", {"demo/site", "demo/metrics"}) == "demo/metrics");
  CHECK(nearest("default/metrics", {"demo/site", "demo/metrics"}) == "demo/metrics");
  CHECK(nearest("User", {"Shop::Order", "Wary::User"}) == "Wary::User");
  CHECK(nearest("demo/reader", {"spiffe://local/demo/reader"}) == "spiffe://local/demo/reader");
  CHECK(nearest("demo/", {"demo/site", "demo/"}).empty());
}

TEST_CASE("long names and long lists are answered in bounded work") {
  const std::string longest(64, 'a'), longer(65, 'a');
  CHECK(nearest(longest, {std::string_view(longest).substr(1)}) == longest.substr(1));
  CHECK(nearest(longer, {std::string_view(longest)}).empty());
  // All of one length and all far: the work ends before the list does.
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) texts.push_back(std::string(60, 'b') + std::to_string(1000 + i));
  std::vector<std::string_view> names(texts.begin(), texts.end());
  names.push_back(std::string_view(longest).substr(1));
  CHECK(nearest(longest, names).empty());
  names.insert(names.begin(), std::string_view(longest).substr(1));
  CHECK(nearest(longest, names) == longest.substr(1));
}
