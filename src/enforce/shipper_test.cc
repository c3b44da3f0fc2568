#include "enforce/shipper.h"

#include <doctest/doctest.h>

#include "io/mapped_file.h"
#include "io/sim_loop.h"

using namespace wary;
using namespace wary::enforce;

namespace {

struct ShipperWorld {
  io::SimWorld sim{3};
  std::unique_ptr<io::Loop> loop = sim.make_loop();
  std::vector<std::unique_ptr<io::MappedFile>> memory;
  std::vector<std::unique_ptr<EventRing>> rings;
  std::vector<link::EventBatch> batches;
  std::vector<link::Receipt> durable;
  std::vector<bool> states;  // changes only
  bool link_takes = true;
  std::unique_ptr<Shipper> shipper;

  explicit ShipperWorld(std::size_t count = 1) {
    std::vector<EventRing*> borrowed;
    for (std::size_t i = 0; i < count; ++i) {
      memory.push_back(io::MappedFile::anonymous(std::size_t{1} << 20));
      rings.push_back(std::make_unique<EventRing>(*EventRing::open(memory.back()->memory(), 100 + i)));
      borrowed.push_back(rings.back().get());
    }
    shipper =
        std::make_unique<Shipper>(*loop, borrowed,
                                  Shipper::Hooks{[this](const link::EventBatch& batch) -> Status {
                                                   if (!link_takes)
                                                     return fail(ErrorKind::kUnavailable, "link_full", "no");
                                                   batches.push_back(batch);
                                                   return {};
                                                 },
                                                 [this](const link::Receipt& receipt) { durable.push_back(receipt); },
                                                 [this](bool available) {
                                                   if (states.empty() || states.back() != available)
                                                     states.push_back(available);
                                                 }});
  }
  void add(std::size_t ring, int events) {
    for (int i = 0; i < events; ++i) REQUIRE(rings[ring]->append(as_bytes("event")));
    shipper->wake();
  }
  void run(std::int64_t millis) { sim.run_for(millis * kNanosPerMilli); }
};

}  // namespace

TEST_CASE("what is recorded goes up once, and a receipt frees it") {
  ShipperWorld world;
  world.shipper->on_connected();
  world.add(0, 3);
  world.run(10);
  REQUIRE(world.batches.size() == 1);
  CHECK(world.batches[0].boot == 100);
  CHECK(world.batches[0].first_sequence == 1);
  CHECK(world.batches[0].events.size() == 3);
  world.run(400);
  CHECK(world.batches.size() == 1);
  world.shipper->on_receipt({100, 3});
  CHECK(world.rings[0]->used_bytes() == 0);
  CHECK(world.durable.size() == 1);
  world.run(5'000);
  CHECK(world.batches.size() == 1);
  CHECK(world.states == std::vector<bool>{true});
}

TEST_CASE("what gets no receipt is sent again, then the ledger counts as unavailable, and comes back with a receipt") {
  ShipperWorld world;
  world.shipper->on_connected();
  world.add(0, 2);
  world.run(450);
  CHECK(world.batches.size() == 1);
  world.run(250);
  REQUIRE(world.batches.size() == 2);
  CHECK(world.batches[1].first_sequence == 1);
  world.run(400);
  CHECK(world.states == std::vector<bool>{false});
  world.shipper->on_receipt({100, 2});
  CHECK(world.states == std::vector<bool>{false, true});
  world.run(3'000);
  CHECK(world.states == std::vector<bool>{false, true});
}

TEST_CASE("receipts out of order, of other boots and of nothing free only what they name") {
  ShipperWorld world;
  world.shipper->on_connected();
  world.add(0, 10);
  world.run(10);
  world.shipper->on_receipt({999, 10});
  const std::size_t all = world.rings[0]->used_bytes();
  CHECK(all > 0);
  world.shipper->on_receipt({100, 7});
  const std::size_t after = world.rings[0]->used_bytes();
  CHECK(after < all);
  world.shipper->on_receipt({100, 4});
  CHECK(world.rings[0]->used_bytes() == after);
  world.shipper->on_receipt({100, 10});
  CHECK(world.rings[0]->used_bytes() == 0);
}

TEST_CASE("a new link gets everything that is not freed, from the start") {
  ShipperWorld world;
  world.shipper->on_connected();
  world.add(0, 5);
  world.run(10);
  world.shipper->on_receipt({100, 2});
  world.shipper->on_disconnected();
  world.add(0, 1);
  world.run(3'000);
  CHECK(world.batches.size() == 1);
  CHECK(world.states == std::vector<bool>{true});  // away is not unavailable
  world.shipper->on_connected();
  REQUIRE(world.batches.size() == 2);
  CHECK(world.batches[1].first_sequence == 3);
  CHECK(world.batches[1].events.size() == 4);
}

TEST_CASE("what comes while others are on their way gathers, whenever their receipts come") {
  ShipperWorld world;
  world.shipper->on_connected();
  world.add(0, 1);
  world.run(6);
  REQUIRE(world.batches.size() == 1);
  for (std::uint64_t i = 1; i <= 4; ++i) {
    world.add(0, 1);
    world.run(1);
    world.shipper->on_receipt({100, 1});
    CHECK(world.batches.size() == 1);
  }
  world.run(4);
  REQUIRE(world.batches.size() == 2);
  CHECK(world.batches[1].first_sequence == 2);
  CHECK(world.batches[1].events.size() == 4);
  world.add(0, 1);
  world.shipper->hurry();
  world.run(1);
  CHECK(world.batches.size() == 3);
}

TEST_CASE("what the link did not take goes up with the next receipt") {
  ShipperWorld world;
  world.shipper->on_connected();
  world.add(0, 1);
  world.run(6);
  world.link_takes = false;
  world.add(0, 3);
  world.run(6);
  CHECK(world.batches.size() == 1);
  world.link_takes = true;
  world.shipper->on_receipt({100, 1});
  REQUIRE(world.batches.size() == 2);
  CHECK(world.batches[1].first_sequence == 2);
  CHECK(world.batches[1].events.size() == 3);
}

TEST_CASE("a link that takes nothing now gets it at the next tick") {
  ShipperWorld world;
  world.link_takes = false;
  world.shipper->on_connected();
  world.add(0, 3);
  world.run(50);
  CHECK(world.batches.empty());
  world.link_takes = true;
  world.run(150);
  REQUIRE(world.batches.size() == 1);
  CHECK(world.batches[0].events.size() == 3);
}

TEST_CASE("many events go in bounded batches, without gaps, for every ring") {
  ShipperWorld world(2);
  world.shipper->on_connected();
  world.add(0, 1'000);
  world.add(1, 300);
  world.run(50);
  std::uint64_t next[2] = {1, 1};
  for (const link::EventBatch& batch : world.batches) {
    CHECK(batch.events.size() <= 256);
    std::uint64_t& wanted = next[batch.boot - 100];
    CHECK(batch.first_sequence == wanted);
    wanted += batch.events.size();
  }
  CHECK(next[0] == 1'001);
  CHECK(next[1] == 301);
  world.shipper->on_receipt({101, 300});
  CHECK(world.rings[1]->used_bytes() == 0);
  CHECK(world.rings[0]->used_bytes() > 0);
}

TEST_CASE("what an earlier process left goes up under its own boot") {
  ShipperWorld world;
  REQUIRE(world.rings[0]->append(as_bytes("old")));
  auto ring = EventRing::open(world.memory[0]->memory(), 555);
  REQUIRE(ring.ok());
  world.rings[0] = std::make_unique<EventRing>(std::move(*ring));
  REQUIRE(world.rings[0]->append(as_bytes("new")));
  world.batches.clear();
  Shipper shipper(*world.loop, {world.rings[0].get()},
                  {[&](const link::EventBatch& batch) { return world.batches.push_back(batch), Status(); },
                   [](const link::Receipt&) {}, [](bool) {}});
  shipper.on_connected();
  REQUIRE(world.batches.size() == 2);
  CHECK(world.batches[0].boot == 100);
  CHECK(world.batches[1].boot == 555);
  // A receipt of the later boot says nothing about the earlier one.
  shipper.on_receipt({555, 1});
  CHECK(world.rings[0]->used_bytes() > 0);
  shipper.on_receipt({100, 1});
  shipper.on_receipt({555, 1});
  CHECK(world.rings[0]->used_bytes() == 0);
}

TEST_CASE("a ring that another process left is shipped beside one's own, until it is empty") {
  ShipperWorld world;
  world.shipper->on_connected();
  auto memory = io::MappedFile::anonymous(std::size_t{1} << 20);
  auto left = EventRing::open(memory->memory(), 7);
  REQUIRE(left.ok());
  REQUIRE(left->append(as_bytes("left")));
  auto ring = EventRing::open(memory->memory(), 8);  // by whoever comes after
  REQUIRE(ring.ok());
  world.shipper->add(*ring);
  world.run(10);
  REQUIRE(world.batches.size() == 1);
  CHECK(world.batches[0].boot == 7);
  world.shipper->on_receipt({7, 1});
  CHECK(ring->used_bytes() == 0);
  world.shipper->remove(*ring);
  world.add(0, 1);
  world.run(10);
  REQUIRE(world.batches.size() == 2);
  CHECK(world.batches[1].boot == 100);
}
