#include "apps/process.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include "io/process.h"
#include "io/system.h"

#if defined(__SANITIZE_ADDRESS__)
// A process that nobody may trace cannot be searched for leaks by its own sanitizer either; the tests' programs are.
extern "C" const char* __asan_default_options();  // NOLINT: the sanitizer's name
extern "C" const char* __asan_default_options() { return "detect_leaks=0:abort_on_error=1"; }
#endif

namespace wary::apps {

Result<Options> Options::parse(int count, char** arguments, const std::vector<std::string>& known) {
  Options options;
  for (int i = 1; i < count; i += 2) {
    const std::string name = arguments[i];
    const bool is_known = std::find(known.begin(), known.end(), name) != known.end();
    if (!is_known || i + 1 >= count || options.values_.contains(name)) {
      return fail(ErrorKind::kInvalid, "usage", "an option is unknown, given twice or without a value").found(name);
    }
    options.values_[name] = arguments[i + 1];
  }
  return options;
}

std::string Options::text(const std::string& name, const std::string& fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? fallback : found->second;
}

std::int64_t Options::number(const std::string& name, std::int64_t fallback) const {
  const std::string value = text(name);
  std::int64_t out = fallback;
  std::from_chars(value.data(), value.data() + value.size(), out);
  return out;
}

namespace {

constexpr std::int64_t kFloorStep = kNanosPerSecond;

}  // namespace

UnixTime FloorClock::unix_time() {
  const std::int64_t now = system_.unix_time().nanos;
  const std::int64_t floor = floor_.load(std::memory_order_relaxed);
  // Raised in steps: threads that read the clock all the time do not all write to one place.
  if (now > floor + kFloorStep) raise({now - kFloorStep});
  return {std::max(now, floor)};
}

void FloorClock::raise(UnixTime floor) {
  std::int64_t known = floor_.load();
  while (known < floor.nanos && !floor_.compare_exchange_weak(known, floor.nanos)) {
  }
}

Runtime make_runtime(const std::string& process) {
  Runtime runtime;
  runtime.system_clock = io::make_system_clock();
  runtime.clock = std::make_unique<FloorClock>(*runtime.system_clock);
  runtime.random = io::make_system_random();
  runtime.files = io::make_real_files();
  const auto sink = [](std::string_view line) {
    while (!line.empty()) {
      const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
      if (written <= 0) return;  // nobody reads the log: not a reason to stop
      line.remove_prefix(static_cast<std::size_t>(written));
    }
  };
  runtime.log =
      std::make_unique<Log>(*runtime.system_clock, process, sink, runtime.random->number(), runtime.random->number());
  runtime.loop = io::make_epoll_loop(*runtime.clock);
  return runtime;
}

namespace {

int signal_descriptor = -1;  // of this process, made before its threads

}  // namespace

void block_signals() {
  auto made = io::make_signal_descriptor({SIGTERM, SIGINT});
  WARY_CHECK(made.ok());
  signal_descriptor = *made;
  signal(SIGPIPE, SIG_IGN);
}

void say_ready(Runtime& runtime) { runtime.log->info("process.ready", {{"pid", std::int64_t{getpid()}}}); }

void run_until_signal(Runtime& runtime, bool is_ready) {
  WARY_CHECK(runtime.loop
                 ->watch(signal_descriptor,
                         [&] {
                           if (io::read_signal(signal_descriptor) != 0) runtime.loop->stop();
                         })
                 .ok());
  if (is_ready) say_ready(runtime);
  runtime.loop->run();
  runtime.log->info("process.ended");
}

Error advised(Error error, const std::string& where, std::string_view next) {
  if (error.where.empty()) error.where = where;
  if (error.next_step.empty()) error.next_step = next;
  return error;
}

Error with_listen_option(Error error, const io::Address& address, std::string_view option) {
  if (error.code != "listen_in_use" || error.where != address.to_string()) return error;
  error.next_step = "stop that program, or choose another port with " + std::string(option) + " ADDRESS:PORT";
  return error;
}

int report_failure(Log& log, const Error& error) {
  log.error("process.failed", {{"code", error.code},
                               {"message", error.message},
                               {"where", error.where},
                               {"expected", error.expected_text},
                               {"found", error.found_text},
                               {"next", error.next_step}});
  return exit_code(error.kind);
}

}  // namespace wary::apps
