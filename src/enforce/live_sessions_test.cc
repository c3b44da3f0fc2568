#include "enforce/live_sessions.h"

#include <doctest/doctest.h>

#include <memory>
#include <set>

using namespace wary::enforce;
using wary::contract::EntityId;

namespace {
EntityId user(int number) { return {"Wary::User", std::to_string(number)}; }
EntityId route(int number) { return {"Wary::Route", std::to_string(number)}; }
}  // namespace

TEST_CASE("a changed entity finds exactly the sessions that depended on it, each once") {
  LiveSessions live;
  LiveSession a, b, c;
  live.put(a, {user(1), route(1)});
  live.put(b, {user(2), route(1)});
  live.put(c, {user(1), route(2)});
  const auto found = live.affected({user(1), route(1)});
  CHECK(std::set<LiveSession*>(found.begin(), found.end()) == std::set<LiveSession*>{&a, &b, &c});
  CHECK(found.size() == 3);
  CHECK(live.affected({user(2)}) == std::vector<LiveSession*>{&b});
  CHECK(live.affected({user(9)}).empty());
}

TEST_CASE("a session that goes, or depends on something else now, is found no more") {
  LiveSessions live;
  auto a = std::make_unique<LiveSession>();
  LiveSession b;
  live.put(*a, {user(1)});
  live.put(b, {user(1)});
  live.put(b, {user(2)});
  CHECK(live.affected({user(1)}) == std::vector<LiveSession*>{a.get()});
  a.reset();
  CHECK(live.affected({user(1)}).empty());
  CHECK(live.size() == 1);
}

TEST_CASE("ten thousand sessions that come and go in any order leave the index as a plain count says") {
  LiveSessions live;
  std::vector<std::unique_ptr<LiveSession>> sessions;
  std::uint32_t state = 1;
  for (int i = 0; i < 10'000; ++i) {
    state = state * 1664525 + 1013904223;
    if (state % 3 == 0 && !sessions.empty()) {
      std::swap(sessions[state / 7 % sessions.size()], sessions.back());
      sessions.pop_back();
    } else {
      sessions.push_back(std::make_unique<LiveSession>());
      live.put(*sessions.back(), {user(static_cast<int>(state % 50)), route(static_cast<int>(state % 7))});
    }
  }
  std::size_t found = 0;
  for (int i = 0; i < 50; ++i) found += live.affected({user(i)}).size();
  CHECK(found == sessions.size());
  CHECK(live.size() == sessions.size());
  CHECK(live.all().size() == sessions.size());
}
