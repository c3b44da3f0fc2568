#include "workload/entries.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace wary;
using namespace wary::workload;

namespace {

Entry entry(const std::string& name, std::vector<std::vector<std::string>> selectors, bool barred = false) {
  Entry out;
  out.spiffe_id = "spiffe://local/" + name;
  out.selectors = std::move(selectors);
  out.is_barred = barred;
  return out;
}

std::vector<std::string> ids(const std::vector<const Entry*>& entries) {
  std::vector<std::string> out;
  for (const Entry* one : entries) out.push_back(one->spiffe_id.substr(15));
  return out;
}

}  // namespace

TEST_CASE("a process is a workload when it has all selectors of one set") {
  Entries entries;
  CHECK(entries.put(entry("a", {{"unix:uid:1"}, {"unix:path:/b", "unix:uid:2"}})));
  CHECK(entries.put(entry("b", {{"unix:uid:2"}})));
  CHECK(entries.put(entry("c", {{"unix:uid:2"}}, true)));
  CHECK(!entries.put(entry("b", {{"unix:uid:2"}})));
  const std::vector<std::string> first = {"unix:uid:1"}, second = {"unix:path:/b", "unix:uid:2"},
                                 third = {"unix:uid:3"};
  CHECK(ids(entries.match(first)) == std::vector<std::string>{"a"});
  CHECK(ids(entries.match(second)) == std::vector<std::string>{"a", "b"});
  CHECK(entries.match(third).empty());
  CHECK(entries.ask_for("unix:path:"));
  CHECK(entries.put(entry("a", {{"unix:uid:1"}})));
  CHECK(!entries.ask_for("unix:path:"));
  CHECK(ids(entries.match(second)) == std::vector<std::string>{"b"});
  CHECK(entries.remove("spiffe://local/b"));
  CHECK(!entries.remove("spiffe://local/b"));
  CHECK(entries.match(second).empty());
}

TEST_CASE("the index finds what a look at every entry finds") {
  std::mt19937 dice(7);
  Entries entries;
  std::map<std::string, Entry> all;
  const auto selector = [&] { return "unix:uid:" + std::to_string(dice() % 12); };
  const auto sorted_set = [&](std::size_t size) {
    std::set<std::string> out;
    while (out.size() < size) out.insert(selector());
    return std::vector<std::string>(out.begin(), out.end());
  };
  for (int round = 0; round < 3000; ++round) {
    Entry one = entry("w" + std::to_string(dice() % 40), {}, dice() % 8 == 0);
    if (dice() % 4 == 0) {
      CHECK(entries.remove(one.spiffe_id) == (all.erase(one.spiffe_id) == 1));
    } else {
      for (std::size_t i = dice() % 4; i > 0; --i) one.selectors.push_back(sorted_set(1 + dice() % 3));
      all[one.spiffe_id] = one;
      entries.put(one);
    }
    const std::vector<std::string> seen = sorted_set(dice() % 8);
    std::vector<std::string> expected;
    for (const auto& [id, each] : all) {
      const bool fits = std::any_of(each.selectors.begin(), each.selectors.end(), [&](const auto& set) {
        return std::includes(seen.begin(), seen.end(), set.begin(), set.end());
      });
      if (fits && !each.is_barred) expected.push_back(id.substr(15));
    }
    CHECK(ids(entries.match(seen)) == expected);
  }
}

TEST_CASE("an entry is what its entity says, and a fact that is not plainly false bars it") {
  contract::Entity entity;
  entity.id = {"Wary::Workload", "spiffe://local/shop/orders"};
  const auto set = [&](const char* name, const char* value) {
    entity.attributes.push_back({name, *codec::parse_json(value), "resource", {}, {}, {}});
  };
  set("disabled", "false");
  set("revoked", "false");
  set("selectors", R"([["unix:uid:2","unix:path:/x","unix:uid:2"],[],[7],["unix:uid:1"]])");
  set("hint", R"("db")");
  set("ttl", "60");
  set("federates_with", R"(["b.test","a.test"])");
  const Entry made = entry_of(entity);
  CHECK(made.selectors == std::vector<std::vector<std::string>>{{"unix:path:/x", "unix:uid:2"}, {"unix:uid:1"}});
  CHECK(made.hint == "db");
  CHECK(made.ttl_seconds == 60);
  CHECK(made.federates_with == std::vector<std::string>{"a.test", "b.test"});
  CHECK(!made.is_barred);
  for (const char* value : {"true", "1", "null", "\"false\""}) {
    entity.attributes[1].value = *codec::parse_json(value);
    CHECK(entry_of(entity).is_barred);
  }
}
