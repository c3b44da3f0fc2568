#include "gateway/crowd.h"

#include <doctest/doctest.h>

#include <array>
#include <memory>

#include "base/time.h"
#include "gateway/connection_test_world.h"

using namespace wary;
using namespace wary::gateway::test;
using gateway::Crowd;

namespace {

constexpr std::int64_t kNow = 1000 * kNanosPerSecond;

struct Someone final : Crowd::Member {
  Someone(std::string who, bool asks, std::int64_t millis, bool is_busy)
      : address(std::move(who)), asked(asks), rests(millis), runs(is_busy) {}
  std::optional<std::int64_t> rests_since() const override {
    if (runs) return std::nullopt;
    return kNow - rests * kNanosPerMilli;
  }
  bool has_asked() const override { return asked; }
  std::string address;
  bool asked;
  std::int64_t rests;
  bool runs;
};

struct Some {
  std::size_t count;
  const char* address;
  bool asked;
  std::int64_t rests_ms;
  bool runs = false;
};

struct Row {
  const char* what;
  std::array<Some, 3> crowd;
  const char* newcomer;
  const char* gives_way;  // the address, and how long it had rested; "-": nobody
};

// Fewer than are looked at, so that it is told whom it is.
constexpr std::array kRows = {
    Row{"nobody is there", {{}}, "10.0.0.9", "-"},
    Row{"all have something running", {{{3, "10.0.0.1", true, 9, true}}}, "10.0.0.9", "-"},
    Row{"who rests longest", {{{1, "10.0.0.1", true, 50}, {1, "10.0.0.2", true, 70}}}, "10.0.0.9", "10.0.0.2 70"},
    Row{"but not who runs", {{{1, "10.0.0.1", true, 50}, {1, "10.0.0.2", true, 70, true}}}, "", "10.0.0.1 50"},
    Row{"who asked for nothing before who rests longer",
        {{{1, "10.0.0.1", true, 90'000}, {1, "10.0.0.2", false, 1'500}}},
        "10.0.0.9",
        "10.0.0.2 1500"},
    Row{"but not who has just come",
        {{{1, "10.0.0.1", true, 90'000}, {1, "10.0.0.2", false, 900}}},
        "10.0.0.9",
        "10.0.0.1 90000"},
    Row{"who is of the address that has most",
        {{{1, "10.0.0.1", true, 90'000}, {4, "10.0.0.2", true, 10}, {2, "10.0.0.3", true, 20}}},
        "10.0.0.9",
        "10.0.0.2 10"},
    Row{"whoever has more than a few gives way to itself, whatever others do",
        {{{1, "10.0.0.1", false, 90'000}, {17, "10.0.0.2", true, 10}, {30, "10.0.0.3", true, 20}}},
        "10.0.0.2",
        "10.0.0.2 10"},
    Row{"and not whoever has but a few",
        {{{1, "10.0.0.1", true, 90'000}, {16, "10.0.0.2", true, 10}, {30, "10.0.0.3", true, 20}}},
        "10.0.0.2",
        "10.0.0.3 20"},
    Row{"nor where all of its own run",
        {{{1, "10.0.0.1", true, 90'000}, {30, "10.0.0.2", true, 10, true}, {2, "10.0.0.3", true, 20}}},
        "10.0.0.2",
        "10.0.0.3 20"},
    Row{"a network of IPv6 is one address",
        {{{9, "2001:db8::1", true, 10}, {9, "2001:db8::2", true, 20}, {30, "10.0.0.1", true, 30}}},
        "2001:db8::ffff",
        "2001:db8::2 20"},
};

}  // namespace

TEST_CASE("who gives way, by what rests where there is no room") {
  SeededRandom random(5);
  for (const Row& row : kRows) {
    CAPTURE(row.what);
    Crowd crowd;
    std::vector<std::unique_ptr<Someone>> people;
    for (const Some& some : row.crowd) {
      for (std::size_t i = 0; i < some.count; ++i) {
        people.push_back(std::make_unique<Someone>(some.address, some.asked, some.rests_ms, some.runs));
        crowd.add(*people.back(), some.address);
      }
    }
    REQUIRE(people.size() <= 64);
    for (int round = 0; round < 20; ++round) {
      const auto* one = static_cast<const Someone*>(crowd.who_gives_way(row.newcomer, kNow, random));
      CHECK((one == nullptr ? "-" : one->address + " " + std::to_string(one->rests)) == row.gives_way);
    }
  }
}

TEST_CASE("a crowd forgets who goes, and follows who turns out to be of another address") {
  Crowd crowd;
  std::vector<std::unique_ptr<Someone>> people;
  for (int i = 0; i < 1'000; ++i) {
    people.push_back(std::make_unique<Someone>("10.0.0." + std::to_string(i % 7), true, i, false));
    crowd.add(*people.back(), people.back()->address);
  }
  CHECK(crowd.addresses() == 7);
  for (std::size_t i = 0; i < people.size(); i += 2) crowd.move(*people[i], "192.0.2.1");
  CHECK(crowd.addresses() == 8);
  CHECK(crowd.size() == 1'000);
  SeededRandom random(5);
  for (int round = 0; round < 20; ++round) {
    const Crowd::Member* one = crowd.who_gives_way("192.0.2.1", kNow, random);
    CHECK(static_cast<const Someone*>(one)->rests % 2 == 0);
  }
  for (std::size_t i = 0; i < people.size(); i += 3) crowd.remove(*people[i]);
  for (std::size_t i = 0; i < people.size(); ++i) crowd.remove(*people[i]);
  CHECK(crowd.size() == 0);
  CHECK(crowd.addresses() == 0);
}

TEST_CASE("an address that opens connections at the limit pushes nobody else's out") {
  for (const bool asks : {false, true}) {
    World world(1, {}, gateway::WorkerOptions{}.slice_sessions, 60);
    std::vector<std::unique_ptr<Client>> people;
    for (int i = 0; i < 30; ++i) {
      world.sim.come_from("10.1.0." + std::to_string(i));
      people.push_back(world.ask("/x"));
    }
    world.sim.come_from("10.6.6.6");
    std::vector<std::unique_ptr<Client>> others;
    for (int i = 0; i < 256; ++i) {
      others.push_back(std::make_unique<Client>(*world.client_loop));
      others.back()->connect(io::Address::tcp("127.0.0.1", 8080));
      if (asks) others.back()->send("GET /.wary/live HTTP/1.1\r\nHost: site.test\r\n\r\n");
      world.run(50);
    }
    CHECK(world.worker->connections() <= 60);
    int left = 0;
    for (const auto& one : people) left += one->ended_ ? 0 : 1;
    CHECK(left == 30);
    world.sim.come_from("10.1.0.77");
    CHECK(world.ask("/y")->answers().at(0).status == 200);
  }
}
