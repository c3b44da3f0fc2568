#include "io/system.h"

#include <sys/random.h>

#include <cerrno>
#include <ctime>

namespace wary::io {

namespace {

std::int64_t nanos_of(clockid_t which) {
  timespec now{};
  WARY_CHECK(clock_gettime(which, &now) == 0);
  return static_cast<std::int64_t>(now.tv_sec) * kNanosPerSecond + now.tv_nsec;
}

class SystemClock final : public Clock {
 public:
  UnixTime unix_time() override { return {nanos_of(CLOCK_REALTIME)}; }
  // BOOTTIME, not MONOTONIC: a lease must run out while the machine sleeps.
  Monotonic monotonic() override { return {nanos_of(CLOCK_BOOTTIME)}; }
};

class SystemRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t n = getrandom(out.data() + done, out.size() - done, 0);
      if (n < 0 && errno == EINTR) continue;
      WARY_CHECK(n > 0);
      done += static_cast<std::size_t>(n);
    }
  }
};

}  // namespace

std::unique_ptr<Clock> make_system_clock() { return std::make_unique<SystemClock>(); }
std::unique_ptr<Random> make_system_random() { return std::make_unique<SystemRandom>(); }

}  // namespace wary::io
