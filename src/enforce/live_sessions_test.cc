#include "enforce/live_sessions.h"

#include <doctest/doctest.h>

#include <algorithm>
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

TEST_CASE("sessions under one decision come and go as one group, and each is found and marked by itself") {
  LiveSessions live;
  const auto shared = std::make_shared<const std::vector<EntityId>>(std::vector{user(1), route(1), user(1)});
  const auto again = std::make_shared<const std::vector<EntityId>>(*shared);
  std::vector<std::unique_ptr<LiveSession>> sessions;
  for (int i = 0; i < 5; ++i) {
    sessions.push_back(std::make_unique<LiveSession>());
    live.put(*sessions.back(), i < 3 ? shared : again);
  }
  live.put(*sessions[0], again);  // the same entities: where it was is as good
  CHECK(live.affected({route(1)}).size() == 5);
  CHECK(live.all().size() == 5);
  live.mark({user(1)}, 7);
  std::swap(sessions[1], sessions.back());
  sessions.pop_back();
  std::size_t marked = 0;
  while (live.next_marked()) ++marked;
  CHECK(marked == 4);
  sessions.clear();
  CHECK(live.size() == 0);
  CHECK(live.affected({user(1)}).empty());
  CHECK(shared.use_count() == 1);
  CHECK(again.use_count() == 1);
}

TEST_CASE("what is marked comes once, in order, and whoever goes or takes its mark is left out") {
  LiveSessions live;
  LiveSession a, b, c, d;
  auto gone = std::make_unique<LiveSession>();
  live.put(a, {user(1), route(1)});
  live.put(*gone, {user(1)});
  live.put(b, {user(2), route(1)});
  live.put(c, {user(1)});
  live.put(d, {user(3)});
  CHECK_FALSE(live.has_marked());
  live.mark({user(1)}, 10);
  live.mark({route(1), user(1)}, 20);
  CHECK(live.has_marked());
  gone.reset();
  CHECK_FALSE(live.take_mark(d));
  CHECK(live.take_mark(c) == 10);
  CHECK_FALSE(live.take_mark(c));
  const auto first = live.next_marked();
  REQUIRE(first);
  CHECK(first->session == &a);
  CHECK(first->committed == 10);
  live.mark({user(1)}, 30);  // a again, and c: what is newly marked comes after what waits
  const auto second = live.next_marked();
  CHECK((second && second->session == &b && second->committed == 20));
  CHECK(live.take_mark(a) == 30);
  const auto third = live.next_marked();
  CHECK((third && third->session == &c && third->committed == 30));
  CHECK_FALSE(live.next_marked());
  CHECK_FALSE(live.has_marked());
}

TEST_CASE("everything is marked once, and a session under another decision loses its mark") {
  LiveSessions live;
  LiveSession a, b;
  live.put(a, {user(1), route(1)});
  live.put(b, {user(2), route(1)});
  live.mark_all(5);
  live.put(a, {user(1), route(2)});
  CHECK_FALSE(live.take_mark(a));
  const auto left = live.next_marked();
  CHECK((left && left->session == &b));
  CHECK_FALSE(live.has_marked());
}

TEST_CASE("marks that are taken off while others stay are not kept for ever, and the order is that of marking") {
  LiveSessions live;
  std::vector<std::unique_ptr<LiveSession>> sessions;
  for (int i = 0; i < 3'000; ++i) {
    sessions.push_back(std::make_unique<LiveSession>());
    live.put(*sessions.back(), {user(i)});
  }
  live.mark({user(2'999)}, 1);  // and is decided last
  std::size_t most = 0;
  for (int i = 0; i < 200'000; ++i) {
    const int which = i % 2'000;
    live.mark({user(which)}, i + 2);
    most = std::max(most, live.held_marks());
    if (i % 3 == 0) continue;  // some are marked again while they are
    CHECK(live.take_mark(*sessions[static_cast<std::size_t>(which)]).has_value());
  }
  CHECK(most <= 2 * 2'001 + 1'024 + 1);
  auto next = live.next_marked();
  REQUIRE(next);
  CHECK(next->session == sessions[2'999].get());
  CHECK(next->committed == 1);
  for (int i = 2'000; i < 2'999; ++i) live.mark({user(i)}, i);
  std::vector<LiveSession*> last;
  while ((next = live.next_marked())) last.push_back(next->session);
  REQUIRE(last.size() >= 999);
  for (std::size_t i = 0; i < 999; ++i) CHECK(last[last.size() - 999 + i] == sessions[2'000 + i].get());
  CHECK(live.held_marks() == 0);
}
