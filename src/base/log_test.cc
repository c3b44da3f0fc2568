#include "base/log.h"

#include <doctest/doctest.h>

using namespace wary;

namespace {

class FixedClock final : public Clock {
 public:
  UnixTime unix_time() override { return {1'000'000'000'123'000'000}; }
  Monotonic monotonic() override { return {}; }
};

std::string hidden_digest(std::string_view text, std::uint64_t key_low, std::uint64_t key_high) {
  FixedClock clock;
  std::string line;
  Log log(clock, "p", [&](std::string_view out) { line = out; }, key_low, key_high);
  log.info("e", {{"s", Log::hidden(text)}});
  const std::size_t at = line.find("hidden:");
  REQUIRE(at != std::string::npos);
  return line.substr(at + 7, 16);
}

}  // namespace

TEST_CASE("a line is one JSON object with typed fields") {
  FixedClock clock;
  std::string line;
  Log log(clock, "edge", [&](std::string_view out) { line = out; }, 1, 2);
  log.warn("edge.listening", {{"port", 7443}, {"tls", true}, {"name", "a\"b\\c"}, {"big", std::uint64_t{1} << 40}});
  CHECK(line ==
        "{\"time\":\"2001-09-09T01:46:40.123Z\",\"level\":\"warn\",\"process\":\"edge\",\"event\":"
        "\"edge.listening\",\"port\":7443,\"tls\":true,\"name\":\"a\\\"b\\\\c\",\"big\":1099511627776}\n");
}

TEST_CASE("no byte of a client reaches a terminal as it is") {
  FixedClock clock;
  std::string line;
  Log log(clock, "p", [&](std::string_view out) { line = out; }, 1, 2);
  log.error("e", {{"x", "\x1b[2J\n\xff"}, {"long", std::string(5000, 'a')}});
  CHECK(line.find("\\u001b[2J\\u000a\\u00ff") != std::string::npos);
  CHECK(line.size() < 4096 + 200);
  for (const char byte : line.substr(0, line.size() - 1)) CHECK((byte >= 0x20 && byte < 0x7f));
}

TEST_CASE("a hidden field is a keyed digest: joined within a process, unknown outside") {
  CHECK(hidden_digest("token", 1, 2) == hidden_digest("token", 1, 2));
  CHECK(hidden_digest("token", 1, 2) != hidden_digest("token", 1, 3));
  CHECK(hidden_digest("token", 1, 2) != hidden_digest("tokem", 1, 2));
  // SipHash-2-4 with the key 00..0f over nothing, and over the bytes 00..0e: the vectors of its authors.
  CHECK(hidden_digest("", 0x0706050403020100, 0x0f0e0d0c0b0a0908) == "726fdb47dd0e0e31");
  std::string message;
  for (char i = 0; i < 15; ++i) message += i;
  CHECK(hidden_digest(message, 0x0706050403020100, 0x0f0e0d0c0b0a0908) == "a129ca6149be45e5");
  null_log().info("goes.nowhere");
}
