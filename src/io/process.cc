#include "io/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace wary::io {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

// Runs in the child between fork and exec: only async-signal-safe calls.
[[noreturn]] void become(char* const* arguments, char* const* environment, const ProcessOptions& options,
                         pid_t parent) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (options.identity) {
    // Only root can empty the bounding set, so it is done before the switch. EINVAL: a newer header than kernel.
    for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
      if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) _exit(126);
    }
    if (setgroups(0, nullptr) != 0 ||
        setresgid(options.identity->gid, options.identity->gid, options.identity->gid) != 0 ||
        setresuid(options.identity->uid, options.identity->uid, options.identity->uid) != 0) {
      _exit(126);
    }
  }
  if (options.ends_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(125);  // the parent went before the line above
  }
  if (options.has_own_group) setpgid(0, 0);
  if (options.output >= 0) {
    dup2(options.output, STDOUT_FILENO);
    dup2(options.output, STDERR_FILENO);
  }
  // Whatever this process was given or opened is not the child's.
  syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  execve(arguments[0], arguments, environment);
  _exit(127);
}

}  // namespace

Result<std::unique_ptr<Process>> Process::start(const std::vector<std::string>& arguments,
                                                const ProcessOptions& options) {
  const std::vector<char*> argument_pointers = pointers(arguments);
  const std::vector<char*> environment_pointers = pointers(options.environment);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return fail(ErrorKind::kUnavailable, "process_start", "cannot start a process")
        .at(arguments[0])
        .found(std::strerror(errno));
  }
  if (pid == 0) become(argument_pointers.data(), environment_pointers.data(), options, parent);
  Descriptor descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!descriptor.is_open()) {
    kill(pid, SIGKILL);  // our own child, not reaped yet: the number cannot have been taken over
    waitpid(pid, nullptr, 0);
    return fail(ErrorKind::kUnavailable, "process_start", "cannot hold the new process").at(arguments[0]);
  }
  return std::unique_ptr<Process>(new Process(pid, std::move(descriptor)));  // NOLINT: private constructor
}

Process::~Process() {
  if (exit_status()) return;
  (void)signal(SIGKILL);
  wait(5000);
}

Status Process::signal(int number) {
  if (status_) return {};
  if (syscall(SYS_pidfd_send_signal, descriptor_.get(), number, nullptr, 0) != 0 && errno != ESRCH) {
    return fail(ErrorKind::kInternal, "process_signal", "cannot signal a process of ours").found(std::strerror(errno));
  }
  return {};
}

std::optional<int> Process::exit_status() {
  if (status_) return status_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
  return status_;
}

bool Process::wait(int timeout_ms) {
  if (exit_status()) return true;
  pollfd waited{descriptor_.get(), POLLIN, 0};
  poll(&waited, 1, timeout_ms);
  return exit_status().has_value();
}

Result<int> make_signal_descriptor(const std::vector<int>& signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  const int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor < 0) return fail(ErrorKind::kInternal, "process_signal", "no signal descriptor");
  return descriptor;
}

int read_signal(int descriptor) {
  signalfd_siginfo taken{};
  if (read(descriptor, &taken, sizeof taken) != static_cast<ssize_t>(sizeof taken)) return 0;
  return static_cast<int>(taken.ssi_signo);
}

}  // namespace wary::io
