// Worker: a function run in a child process of its own, with limits, so that what it does cannot hurt the caller: no
// memory, processor time or crash of it is ours. It says what it found in lines over a pipe.
//
//   WorkerEnd end = run_in_worker(limits, [](const LineSink& say) { say("42"); }, [&](std::string_view line) { ... });
//   if (!end.is_complete) print(end.reason);   // "out of time", "out of memory or killed (signal 9)"
//
// The child is forked without exec and sees the caller's memory as it was: nothing has to be sent to it. It must not
// use what other threads of the caller may hold locked, files and sockets in particular. It dies with the caller. One
// caller's thread waits; any thread. Limits: lines of 16 MiB, 64 MiB in all.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace wary::analysis {

struct WorkerLimits {
  std::uint32_t wall_ms = 30'000;
  std::uint32_t cpu_seconds = 30;
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;  // beyond what the caller has mapped already
};

struct WorkerEnd {
  bool is_complete = false;  // the function returned
  std::string reason;        // else why not
};

using LineSink = std::function<void(std::string_view line)>;  // a line holds no newline

// `take` gets the lines as they come, those of a worker that did not end well too.
WorkerEnd run_in_worker(const WorkerLimits& limits, const std::function<void(const LineSink&)>& work,
                        const std::function<void(std::string_view)>& take);

}  // namespace wary::analysis
