#include "gateway/ring_files.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "io/system.h"

using namespace wary;
using namespace wary::gateway;

namespace {

// Locks and mapped memory are the kernel's: real files.
struct RingFolder {
  std::string path = (std::filesystem::temp_directory_path() / "wary-rings-XXXXXX").string();
  std::unique_ptr<io::Files> files = io::make_real_files();
  std::unique_ptr<Random> random = io::make_system_random();
  RingFolder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~RingFolder() { std::filesystem::remove_all(path); }
  std::unique_ptr<RingFiles> process() {
    return std::make_unique<RingFiles>(*files, *random, null_log(), path, std::size_t{1} << 16);
  }
  bool has(const std::string& name) const { return std::filesystem::exists(path + "/" + name); }
};

}  // namespace

TEST_CASE("two edges have rings of their own, and a third has none") {
  RingFolder folder;
  const auto one = folder.process(), two = folder.process(), three = folder.process();
  REQUIRE(one->take().ok());
  REQUIRE(two->take().ok());
  REQUIRE(one->open("0").ok());
  REQUIRE(two->open("0").ok());
  CHECK(folder.has("events.0.ring"));
  CHECK(folder.has("events.b.0.ring"));
  const Status third = three->take();
  REQUIRE_FALSE(third.ok());
  CHECK(third.error().code == "edge_directory_in_use");
}

TEST_CASE("what an edge left is another's when it has ended, and its files go when they are empty") {
  RingFolder folder;
  auto one = folder.process();
  REQUIRE(one->take().ok());
  REQUIRE((*one->open("0"))->append(as_bytes("event")));
  REQUIRE(one->open("pdp").ok());
  const auto two = folder.process();
  REQUIRE(two->take().ok());
  REQUIRE(two->open("0").ok());
  CHECK_FALSE(two->inherit().has_value());  // it runs
  one.reset();
  const auto left = two->inherit();
  REQUIRE(left.has_value());
  REQUIRE(left->size() == 2);
  CHECK(two->inherit()->empty());  // each once
  std::vector<enforce::EventRing*> emptied;
  two->drop_empty([&](enforce::EventRing& ring) { emptied.push_back(&ring); });
  CHECK(emptied.size() == 1);
  CHECK(two->holds_inherited());
  CHECK_FALSE(folder.has("events.pdp.ring"));
  for (enforce::EventRing* ring : *left) {
    if (ring == emptied[0]) continue;
    std::uint64_t boot = 0, cursor = ring->begin();
    ring->read(cursor, [&](const enforce::EventRing::Entry& entry) {
      boot = entry.boot;
      return true;
    });
    ring->release(boot, 1);
  }
  two->drop_empty([&](enforce::EventRing& ring) { emptied.push_back(&ring); });
  CHECK(emptied.size() == 2);
  CHECK_FALSE(two->holds_inherited());
  CHECK_FALSE(folder.has("events.0.ring"));
  // The set is free for whoever takes over next.
  const auto three = folder.process();
  CHECK(three->take().ok());
}

TEST_CASE("a file that is no ring is left alone, and the others are taken") {
  RingFolder folder;
  std::ofstream(folder.path + "/events.b.0.ring") << "short";
  std::ofstream(folder.path + "/events.b.1.ring") << std::string(std::size_t{1} << 16, 'x');
  {
    const auto first = folder.process(), second = folder.process();
    REQUIRE(first->take().ok());
    REQUIRE(second->take().ok());
    REQUIRE(second->open("2").ok());
  }
  const auto next = folder.process();
  REQUIRE(next->take().ok());
  const auto left = next->inherit();
  REQUIRE(left.has_value());
  CHECK(left->size() == 1);
  CHECK(folder.has("events.b.0.ring"));
  CHECK(folder.has("events.b.1.ring"));
}
