// Process: what every daemon of ours does first and last: read its options, log JSON lines, say when it is ready, end
// on SIGTERM. Only apps/ reads the environment and the command line; parts get values.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "io/files.h"
#include "io/loop.h"

namespace wary::apps {

// --name value pairs; every name must be known and given at most once. Error: usage, with the name.
class Options {
 public:
  static Result<Options> parse(int count, char** arguments, const std::vector<std::string>& known);
  std::string text(const std::string& name, const std::string& fallback = "") const;
  std::int64_t number(const std::string& name, std::int64_t fallback) const;
  bool has(const std::string& name) const { return values_.contains(name); }

 private:
  std::map<std::string, std::string> values_;
};

// A clock whose wall time never goes behind a floor: what was recorded before is not in the future again when the
// machine's clock is set back, and no session that had ended lives again. The floor follows the time that was read, a
// second behind it, and raise() lifts it to what an earlier process had recorded. Any thread.
class FloorClock final : public Clock {
 public:
  explicit FloorClock(Clock& system) : system_(system) {}
  UnixTime unix_time() override;
  Monotonic monotonic() override { return system_.monotonic(); }
  void raise(UnixTime floor);

 private:
  Clock& system_;
  std::atomic<std::int64_t> floor_{0};
};

// How long a process that needs the signer waits for it as it starts: both may have been started again together.
inline constexpr std::int64_t kSignerPatience = 3 * kNanosPerSecond;

struct Runtime {
  std::unique_ptr<Clock> system_clock;
  std::unique_ptr<FloorClock> clock;
  std::unique_ptr<Random> random;
  std::unique_ptr<io::Files> files;
  std::unique_ptr<Log> log;
  std::unique_ptr<io::Loop> loop;
};
Runtime make_runtime(const std::string& process);

// What a person can do about an error that does not say so itself, and where it is if it does not say that either.
Error advised(Error error, const std::string& where, std::string_view next);

// listen_in_use of this address says which option of `wary dev` chooses it; any other error is as it was.
Error with_listen_option(Error error, const io::Address& address, std::string_view option);

// Runs the loop until SIGTERM or SIGINT. Signals must be blocked before other threads start: call block_signals()
// first.
void block_signals();
void run_until_signal(Runtime& runtime, bool is_ready = true);
void say_ready(Runtime& runtime);  // for who was not, when it is
// Logs process.failed with the error's parts, which the supervisor shows, and gives the exit code.
int report_failure(Log& log, const Error& error);

}  // namespace wary::apps
