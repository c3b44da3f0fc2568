#include "base/seldom_log.h"

#include <doctest/doctest.h>

#include <vector>

namespace wary {
namespace {

class StillClock final : public Clock {
 public:
  UnixTime unix_time() override { return {}; }
  Monotonic monotonic() override { return {}; }
};

struct LinesWorld {
  StillClock clock;
  std::vector<std::string> lines;
  Log log{clock, "p", [this](std::string_view line) { lines.emplace_back(line); }, 1, 2};
  SeldomLog seldom{log};
  void refuse(std::int64_t seconds, std::string_view source, std::string_view event = "a.refused") {
    seldom.warn({seconds * kNanosPerSecond}, event, source, {{"source", source}});
  }
  std::size_t count(std::string_view text) const {
    std::size_t found = 0;
    for (const std::string& line : lines) found += line.find(text) != std::string::npos ? 1U : 0U;
    return found;
  }
};

TEST_CASE("who is refused a thousand times writes ten lines, and the rest is told by its number") {
  LinesWorld world;
  for (int i = 0; i < 1000; ++i) world.refuse(1, "10.0.0.1");
  CHECK(world.lines.size() == 10);
  world.refuse(1, "10.0.0.2");
  CHECK(world.count("10.0.0.2") == 1);
  CHECK(world.count(R"("event":"log.left_out","of":"a.refused","lines":990)") == 1);
  for (int i = 0; i < 600; ++i) world.refuse(2 + i, "10.0.0.1");  // one a second for ten minutes
  CHECK(world.count(R"("source":"10.0.0.1")") <= 10 + 101);
  CHECK(world.count(R"("source":"10.0.0.1")") >= 10 + 99);
}

TEST_CASE("ten thousand sources write no more than sixty lines at once, and other events go on") {
  LinesWorld world;
  for (int i = 0; i < 10'000; ++i) world.refuse(1, "10.0." + std::to_string(i));
  CHECK(world.lines.size() == 60);
  world.refuse(1, "10.0.1", "b.refused");
  CHECK(world.count("b.refused") == 1);
  world.refuse(3, "10.9.9.9");
  CHECK(world.count(R"("lines":9940)") == 1);
}

}  // namespace
}  // namespace wary
