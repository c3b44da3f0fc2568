// Process: a child of ours, held by its pidfd, so that a signal can never reach a process that took over its number.
//
//   WARY_ASSIGN_OR_RETURN(auto child, Process::start({"/usr/bin/wary-edge", "--data", dir}, options));
//   loop.watch(child->descriptor(), [&] { auto status = child->exit_status(); ... });
//   child->signal(SIGTERM);
//
// The destructor kills and reaps what still runs. One thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/descriptor.h"
#include "io/sandbox.h"

namespace wary::io {

struct ProcessOptions {
  std::optional<Identity> identity;  // switched to before the program starts (needs root)
  std::vector<std::string> environment;
  int output = -1;               // descriptor for its standard output and error; -1: ours
  bool ends_with_parent = true;  // SIGKILL when this process dies
  bool has_own_group = false;    // a terminal's Ctrl-C goes to a whole group: to us alone then, who end it
};

class Process {
 public:
  static Result<std::unique_ptr<Process>> start(const std::vector<std::string>& arguments,
                                                const ProcessOptions& options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  int descriptor() const { return descriptor_.get(); }  // readable when it ended
  Status signal(int number);
  // The wait status once it ended (reaped then), or nothing.
  std::optional<int> exit_status();
  // Waits up to the time for its end; true if it ended.
  bool wait(int timeout_ms);

 private:
  Process(pid_t pid, Descriptor descriptor) : pid_(pid), descriptor_(std::move(descriptor)) {}
  pid_t pid_;
  Descriptor descriptor_;
  std::optional<int> status_;
};

// A descriptor that becomes readable on these signals, which are blocked for the process from now on.
Result<int> make_signal_descriptor(const std::vector<int>& signals);
// The signal that arrived, or 0.
int read_signal(int descriptor);

}  // namespace wary::io
