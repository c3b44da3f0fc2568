#include "apps/process.h"

#include <doctest/doctest.h>

using namespace wary;
using namespace wary::apps;

namespace {

constexpr std::int64_t kHour = 3600 * kNanosPerSecond;

class SetClock final : public Clock {
 public:
  UnixTime unix_time() override { return {now}; }
  Monotonic monotonic() override { return {++ticks}; }
  std::int64_t now = 1000 * kHour;
  std::int64_t ticks = 0;
};

}  // namespace

TEST_CASE("time does not go back before what an earlier process recorded, and runs on once it is past that") {
  SetClock system;
  FloorClock clock(system);
  clock.raise({1001 * kHour});
  CHECK(clock.unix_time().nanos == 1001 * kHour);
  clock.raise({999 * kHour});  // an older record lifts nothing
  CHECK(clock.unix_time().nanos == 1001 * kHour);
  system.now = 1002 * kHour;
  CHECK(clock.unix_time().nanos == 1002 * kHour);
  CHECK(clock.monotonic().nanos == 1);
}

TEST_CASE("a clock that is set back while the process runs ends nothing's end") {
  SetClock system;
  FloorClock clock(system);
  const std::int64_t expiry = clock.unix_time().nanos + kHour;
  system.now += 2 * kHour;
  CHECK(clock.unix_time().nanos > expiry);
  system.now -= 2 * kHour;
  CHECK(clock.unix_time().nanos > expiry);
  CHECK(clock.unix_time().nanos <= 1002 * kHour);
}

TEST_CASE("options: unknown ones, those given twice and those without a value are refused") {
  const auto parse = [](std::vector<std::string> words) {
    words.insert(words.begin(), "program");
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    return Options::parse(static_cast<int>(pointers.size()), pointers.data(), {"--directory", "--workers"});
  };
  const auto good = parse({"--directory", "/x", "--workers", "3"});
  REQUIRE(good.ok());
  CHECK(good->text("--directory") == "/x");
  CHECK(good->number("--workers", 1) == 3);
  CHECK(good->number("--directory", 7) == 7);
  CHECK(parse({"--other", "1"}).error().code == "usage");
  CHECK(parse({"--workers", "1", "--workers", "2"}).error().code == "usage");
  CHECK(parse({"--workers"}).error().code == "usage");
}

TEST_CASE("a port that is taken is told with the option that chooses it, and nothing else is") {
  const io::Address mine = io::Address::tcp("127.0.0.1", 8080), other = io::Address::tcp("127.0.0.1", 7443);
  const auto next_of = [&](std::string_view code, const io::Address& at) {
    const Error error = fail(ErrorKind::kConflict, code, "taken").at(at.to_string()).next("as it was");
    return with_listen_option(error, mine, "--plain-listen").next_step;
  };
  CHECK(next_of("listen_in_use", mine) == "stop that program, or choose another port with --plain-listen ADDRESS:PORT");
  CHECK(next_of("listen_in_use", other) == "as it was");
  CHECK(next_of("listen_failed", mine) == "as it was");
}
