// Time as values, and the clock as a part that main() hands down. Nobody else asks the system for the time.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace wary {

constexpr std::int64_t kNanosPerMilli = 1'000'000;
constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

// Nanoseconds since 1970-01-01T00:00:00Z; may jump when the wall clock is set.
struct UnixTime {
  std::int64_t nanos = 0;
  auto operator<=>(const UnixTime&) const = default;
};
// Nanoseconds since an arbitrary start; never goes back; comparable between processes of one boot.
struct Monotonic {
  std::int64_t nanos = 0;
  auto operator<=>(const Monotonic&) const = default;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual UnixTime unix_time() = 0;
  virtual Monotonic monotonic() = 0;
};

// RFC 3339 in UTC with milliseconds, e.g. 2026-11-21T19:26:00.123Z.
std::string to_rfc3339(UnixTime time);

}  // namespace wary
