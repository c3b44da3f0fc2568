#include "analysis/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>

namespace wary::analysis {

namespace {

constexpr std::size_t kLineMax = std::size_t{16} << 20;
constexpr std::size_t kTotalMax = std::size_t{64} << 20;
constexpr std::string_view kComplete = "\x04";  // the last line of a worker that ended well

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(3);  // nobody listens any more
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void limit(int resource, rlim_t value) {
  const rlimit both{value, value};
  if (setrlimit(static_cast<__rlimit_resource_t>(resource), &both) != 0) _exit(4);
}

std::uint64_t mapped_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long pages = 0;
  const bool is_read = std::fscanf(file, "%lu", &pages) == 1;
  std::fclose(file);
  return is_read ? std::uint64_t{pages} * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

[[noreturn]] void run_child(int output, pid_t parent, const WorkerLimits& limits,
                            const std::function<void(const LineSink&)>& work) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(5);
  // The caller's handlers are the caller's: what ends this process ends it at once.
  for (int number = 1; number < NSIG; ++number) signal(number, number == SIGPIPE ? SIG_IGN : SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, limits.cpu_seconds);
  limit(RLIMIT_AS, mapped_bytes() + limits.memory_bytes);
  limit(RLIMIT_FSIZE, 0);
  try {
    work([&](std::string_view line) {
      write_all(output, line);
      write_all(output, "\n");
    });
  } catch (const std::exception&) {
    _exit(6);
  }
  write_all(output, std::string(kComplete) + "\n");
  _exit(0);
}

// Splits what arrives into lines.
class Lines {
 public:
  explicit Lines(const std::function<void(std::string_view)>& take) : take_(take) {}
  bool is_complete() const { return is_complete_; }
  // False when it is too much.
  bool add(std::string_view bytes) {
    total_ += bytes.size();
    open_ += bytes;
    std::size_t begin = 0;
    for (std::size_t end = open_.find('\n'); end != std::string::npos; end = open_.find('\n', begin)) {
      const std::string_view line = std::string_view(open_).substr(begin, end - begin);
      if (line == kComplete)
        is_complete_ = true;
      else
        take_(line);
      begin = end + 1;
    }
    open_.erase(0, begin);
    return total_ <= kTotalMax && open_.size() <= kLineMax;
  }

 private:
  const std::function<void(std::string_view)>& take_;
  std::string open_;
  std::size_t total_ = 0;
  bool is_complete_ = false;
};

// Readable once the time is over.
class Timer {
 public:
  explicit Timer(std::uint32_t milliseconds) : descriptor_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) {
    itimerspec when{};
    when.it_value.tv_sec = milliseconds / 1000;
    when.it_value.tv_nsec = static_cast<long>(milliseconds % 1000) * 1'000'000 + 1;
    if (descriptor_ >= 0) timerfd_settime(descriptor_, 0, &when, nullptr);
  }
  ~Timer() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

// Why reading stopped, or "" at the end of what the child says.
std::string read_lines(int input, std::uint32_t wall_ms, Lines& lines) {
  const Timer timer(wall_ms);
  if (timer.descriptor() < 0) return "no timer for a worker";
  std::array<char, 65'536> buffer;
  for (;;) {
    std::array<pollfd, 2> waited{pollfd{input, POLLIN, 0}, pollfd{timer.descriptor(), POLLIN, 0}};
    const int ready = poll(waited.data(), waited.size(), -1);
    if (ready < 0 && errno != EINTR) return "cannot wait for the worker";
    if (ready < 0) continue;
    if (waited[1].revents != 0) return "out of time";
    const ssize_t got = read(input, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return "cannot read from the worker";
    if (got == 0) return "";
    if (!lines.add({buffer.data(), static_cast<std::size_t>(got)})) return "the worker said too much";
  }
}

std::string end_text(int status) {
  if (WIFSIGNALED(status)) {
    if (WTERMSIG(status) == SIGXCPU) return "out of processor time";
    return "out of memory or killed (signal " + std::to_string(WTERMSIG(status)) + ")";
  }
  return "the worker ended early (exit " + std::to_string(WEXITSTATUS(status)) + ")";
}

}  // namespace

WorkerEnd run_in_worker(const WorkerLimits& limits, const std::function<void(const LineSink&)>& work,
                        const std::function<void(std::string_view)>& take) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return {false, "no pipe for a worker"};
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    close(ends[0]);
    close(ends[1]);
    return {false, "cannot start a worker"};
  }
  if (pid == 0) {
    close(ends[0]);
    run_child(ends[1], parent, limits, work);
  }
  close(ends[1]);
  Lines lines(take);
  WorkerEnd out;
  out.reason = read_lines(ends[0], limits.wall_ms, lines);
  close(ends[0]);
  kill(pid, SIGKILL);  // our own child, not reaped yet: the number cannot have been taken over
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  out.is_complete = lines.is_complete();
  if (out.is_complete)
    out.reason.clear();
  else if (out.reason.empty())
    out.reason = end_text(status);
  return out;
}

}  // namespace wary::analysis
