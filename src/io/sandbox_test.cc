#include "io/sandbox.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>

#include "tests/support/skip.h"

using namespace wary;
using namespace wary::io;

namespace {

constexpr int kHeld = 0;       // what was tried was refused, as it must be
constexpr int kNotHeld = 1;    // it went through
constexpr int kNoSandbox = 2;  // a step before it failed
constexpr Identity kNobody{65'534, 65'534};

// The wait status of a child that does this and ends with its answer.
int in_child(const std::function<int()>& work) {
  const pid_t pid = fork();
  if (pid == 0) _exit(work());
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return status;
}
bool ended_with(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }
bool was_killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS; }

struct Directories {
  std::string base;
  Directories() {
    std::string name = "/tmp/wary-sandbox-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    base = name;
    REQUIRE(chmod(base.c_str(), 0755) == 0);
    for (const char* part : {"/inside", "/outside"}) {
      REQUIRE(mkdir((base + part).c_str(), 0777) == 0);
      REQUIRE(chmod((base + part).c_str(), 0777) == 0);
      const int file = open((base + part + "/file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
      REQUIRE(file >= 0);
      close(file);
    }
  }
  ~Directories() {
    for (const char* name : {"/inside/file", "/inside/new", "/inside", "/outside/file", "/outside", ""}) {
      const std::string path = base + name;
      if (unlink(path.c_str()) != 0) rmdir(path.c_str());
    }
  }
};
int open_code(const std::string& path, int flags) {
  const int descriptor = open(path.c_str(), flags | O_CLOEXEC, 0600);
  return descriptor < 0 ? errno : 0;
}

// Gives up everything as the named kind of process does, then tries what must not go.
int try_with(std::span<const std::string_view> calls, const std::function<int()>& attempt) {
  if (!harden_process() || !drop_to(geteuid() == 0 ? kNobody : Identity{getuid(), getgid()})) return kNoSandbox;
  if (!restrict_calls(calls)) return kNoSandbox;
  return attempt();
}

}  // namespace

TEST_CASE("the signer's calls: executing, tracing, and a socket of any kind end the process") {
  const auto calls = signer_process_calls();
  CHECK(was_killed(in_child([&] {
    return try_with(calls, [] {
      const char* const none[] = {nullptr};  // NOLINT: the kernel's interface wants an array
      execve("/bin/true", const_cast<char* const*>(none), const_cast<char* const*>(none));
      return kNotHeld;
    });
  })));
  CHECK(was_killed(in_child([&] {
    return try_with(calls, [] { return static_cast<int>(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)) + kNotHeld; });
  })));
  for (const int family : {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK, AF_PACKET}) {
    CHECK(was_killed(in_child([&] {
      return try_with(calls, [family] { return socket(family, SOCK_STREAM, 0) >= 0 ? kNotHeld : kNoSandbox; });
    })));
  }
  CHECK(was_killed(in_child([&] { return try_with(calls, [] { return setuid(0) == 0 ? kNotHeld : kNoSandbox; }); })));
}

TEST_CASE("a network process's calls: sockets go, executing, tracing and another identity do not") {
  const auto calls = network_process_calls();
  CHECK(ended_with(
      in_child([&] { return try_with(calls, [] { return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? kHeld : kNotHeld; }); }),
      kHeld));
  CHECK(was_killed(in_child([&] {
    return try_with(calls, [] {
      const char* const none[] = {nullptr};  // NOLINT: the kernel's interface wants an array
      execve("/bin/true", const_cast<char* const*>(none), const_cast<char* const*>(none));
      return kNotHeld;
    });
  })));
  CHECK(was_killed(in_child([&] {
    return try_with(calls, [] { return static_cast<int>(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)) + kNotHeld; });
  })));
  CHECK(was_killed(in_child([&] { return try_with(calls, [] { return setuid(0) == 0 ? kNotHeld : kNoSandbox; }); })));
}

TEST_CASE("below its directories a process reads and writes, elsewhere nothing, whatever the file's mode") {
  const Directories directories;
  const int probe = in_child([&] {
    if (!harden_process()) return kNoSandbox;
    const Status restricted = restrict_files({directories.base + "/inside"}, {});
    if (!restricted) return restricted.error().code == "sandbox_landlock_missing" ? 77 : kNoSandbox;
    const bool inside = open_code(directories.base + "/inside/file", O_RDWR) == 0 &&
                        open_code(directories.base + "/inside/new", O_RDWR | O_CREAT) == 0;
    const bool outside = open_code(directories.base + "/outside/file", O_RDONLY) == EACCES &&
                         open_code(directories.base + "/outside/file", O_WRONLY) == EACCES &&
                         open_code(directories.base + "/outside/new", O_WRONLY | O_CREAT) == EACCES &&
                         open_code("/etc/passwd", O_RDONLY) == EACCES &&
                         open_code("/proc/self/maps", O_RDONLY) == EACCES;
    return inside && outside ? kHeld : kNotHeld;
  });
  if (ended_with(probe, 77)) WARY_SKIP("this kernel has no Landlock");
  CHECK(ended_with(probe, kHeld));
}

TEST_CASE("what is given up is not had back") {
  if (geteuid() != 0) WARY_SKIP("dropping root needs root");
  CHECK(ended_with(in_child([] {
                     if (!drop_to(kNobody)) return kNoSandbox;
                     const bool back = setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0 || setresuid(0, 0, 0) == 0;
                     const bool dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
                     const bool may_gain = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
                     return back || dumpable || may_gain ? kNotHeld : kHeld;
                   }),
                   kHeld));
}
