#include "io/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "io/descriptor.h"

namespace wary::io {

namespace {

Error refused(std::string_view code, std::string_view step) {
  return fail(ErrorKind::kInternal, code, "the kernel refused a sandbox step")
      .at(std::string(step))
      .found(std::strerror(errno));
}

constexpr std::uint64_t kReadRights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kAllRights =
    kReadRights | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
    LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
constexpr std::uint64_t kWriteRights = kReadRights | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                       LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                       LANDLOCK_ACCESS_FS_MAKE_SOCK;

Status allow_below(int ruleset, const std::string& path, std::uint64_t rights) {
  const Descriptor parent(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!parent.is_open()) return refused("sandbox_landlock", path);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = parent.get();
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    return refused("sandbox_landlock", path);
  }
  return {};
}

constexpr auto kCommonCalls = std::to_array<std::string_view>(
    {"read",        "write",         "readv",           "writev",         "pread64",
     "pwrite64",    "close",         "fstat",           "newfstatat",     "statx",
     "lseek",       "mmap",          "mprotect",        "munmap",         "mremap",
     "brk",         "madvise",       "mlock",           "munlock",        "msync",
     "futex",       "clock_gettime", "clock_nanosleep", "nanosleep",      "gettimeofday",
     "getrandom",   "getpid",        "gettid",          "getuid",         "geteuid",
     "exit",        "exit_group",    "rt_sigaction",    "rt_sigprocmask", "rt_sigreturn",
     "sigaltstack", "tgkill",        "restart_syscall", "sched_yield",    "sched_getaffinity",
     "clone",       "clone3",        "set_robust_list", "rseq",           "epoll_create1",
     "epoll_ctl",   "epoll_wait",    "epoll_pwait",     "eventfd2",       "poll",
     "accept4",     "recvfrom",      "recvmsg",         "sendto",         "sendmsg",
     "getsockopt",  "setsockopt",    "getsockname",     "getpeername",    "shutdown",
     "openat",      "fcntl",         "fdatasync",       "fsync",          "ftruncate",
     "fallocate",   "renameat",      "renameat2",       "rename",         "unlink",
     "unlinkat",    "mkdir",         "mkdirat",         "getdents64",     "statfs",
     "fstatfs",     "prctl",         "membarrier",      "uname",          "prlimit64",
     "sysinfo",     "flock"});

constexpr auto kNetworkCalls = [] {
  std::array<std::string_view, kCommonCalls.size() + 5> calls{};
  std::size_t at = 0;
  for (const std::string_view call : kCommonCalls) calls[at++] = call;
  for (const std::string_view call : {"socket", "connect", "bind", "listen", "chmod"}) calls[at++] = call;
  return calls;
}();

constexpr auto kAgentCalls = [] {
  std::array<std::string_view, kNetworkCalls.size() + 2> calls{};
  std::size_t at = 0;
  for (const std::string_view call : kNetworkCalls) calls[at++] = call;
  for (const std::string_view call : {"readlink", "readlinkat"}) calls[at++] = call;
  return calls;
}();
constexpr auto kResolvingCalls = [] {
  std::array<std::string_view, kNetworkCalls.size() + 4> calls{};
  std::size_t at = 0;
  for (const std::string_view call : kNetworkCalls) calls[at++] = call;
  for (const std::string_view call : {"sendmmsg", "ioctl", "readlink", "access"}) calls[at++] = call;
  return calls;
}();
constexpr auto kAgentCapabilities = std::to_array<int>({CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH});
constexpr auto kModuleCalls = [] {
  std::array<std::string_view, kCommonCalls.size() + 9> calls{};
  std::size_t at = 0;
  for (const std::string_view call : kCommonCalls) calls[at++] = call;
  for (const std::string_view call :
       {"access", "faccessat", "faccessat2", "stat", "lstat", "open", "readlink", "umask", "rmdir"}) {
    calls[at++] = call;
  }
  return calls;
}();

}  // namespace

Status harden_process() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refused("sandbox_no_new_privileges", "PR_SET_NO_NEW_PRIVS");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return refused("sandbox_dumpable", "PR_SET_DUMPABLE");
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return refused("sandbox_core", "RLIMIT_CORE");
  return {};
}

std::uint64_t use_descriptors(std::uint64_t most) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t had = limit.rlim_cur;
  limit.rlim_cur = std::max<rlim_t>(had, std::min<rlim_t>(limit.rlim_max, most));
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : had;
}

Status drop_to(const Identity& identity) { return drop_to(identity, {}); }

Status drop_to(const Identity& identity, std::span<const int> kept) {
  // The kernel forgets at a change of user that this process is to end with its parent.
  int ends_with = 0;
  const pid_t parent = getppid();
  prctl(PR_GET_PDEATHSIG, &ends_with, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct had[2] = {};    // NOLINT: the kernel's interface wants an array
  __user_cap_data_struct keeps[2] = {};  // NOLINT
  if (syscall(SYS_capget, &header, &had) != 0) return refused("sandbox_capabilities", "capget");
  for (const int capability : kept) {
    const std::uint32_t bit = (1U << (capability % 32)) & had[capability / 32].permitted;
    keeps[capability / 32].permitted |= bit;
    keeps[capability / 32].effective |= bit;
  }
  if (geteuid() == 0 && identity.uid != 0) {
    if (prctl(PR_SET_KEEPCAPS, kept.empty() ? 0 : 1, 0, 0, 0) != 0)
      return refused("sandbox_capabilities", "PR_SET_KEEPCAPS");
    for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
      if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) {
        return refused("sandbox_capabilities", "PR_CAPBSET_DROP");
      }
    }
    if (setgroups(0, nullptr) != 0) return refused("sandbox_user", "setgroups");
    if (setresgid(identity.gid, identity.gid, identity.gid) != 0) return refused("sandbox_user", "setresgid");
    if (setresuid(identity.uid, identity.uid, identity.uid) != 0) return refused("sandbox_user", "setresuid");
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (syscall(SYS_capset, &header, &keeps) != 0) return refused("sandbox_capabilities", "capset");
  if (ends_with != 0) {
    prctl(PR_SET_PDEATHSIG, ends_with, 0, 0, 0);
    if (getppid() != parent) return refused("sandbox_user", "the parent ended meanwhile");
  }
  // setresuid clears the dumpable flag's setting; say it again for the new identity.
  return harden_process();
}

Status restrict_files(const std::vector<std::string>& read_write, const std::vector<std::string>& read_only) {
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = kAllRights;
  const Descriptor ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!ruleset.is_open()) return refused("sandbox_landlock_missing", "landlock_create_ruleset");
  for (const std::string& path : read_write) WARY_RETURN_IF_ERROR(allow_below(ruleset.get(), path, kWriteRights));
  for (const std::string& path : read_only) WARY_RETURN_IF_ERROR(allow_below(ruleset.get(), path, kReadRights));
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return refused("sandbox_landlock", "restrict_self");
  return {};
}

namespace {

// What the sanitizers' own code calls, in builds that have it: probing memory, and printing where a fault is.
#if defined(__SANITIZE_ADDRESS__)
constexpr auto kSanitizerCalls =
    std::to_array<std::string_view>({"pipe", "pipe2", "readlink", "readlinkat", "getppid", "wait4", "getrlimit",
                                     "sched_getparam", "stat", "open", "dup"});
#else
constexpr std::span<const std::string_view> kSanitizerCalls;
#endif

}  // namespace

Status restrict_calls(std::span<const std::string_view> allowed) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return refused("sandbox_seccomp", "seccomp_init");
  int outcome = 0;
  const auto allow = [&](std::string_view name) {
    const int call = seccomp_syscall_resolve_name(std::string(name).c_str());
    if (call == __NR_SCMP_ERROR) return;  // not a call of this architecture
    if (outcome == 0) outcome = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
  };
  for (const std::string_view name : allowed) allow(name);
  for (const std::string_view name : kSanitizerCalls) allow(name);
  if (outcome == 0) outcome = seccomp_load(filter);
  seccomp_release(filter);
  if (outcome != 0) {
    errno = -outcome;
    return refused("sandbox_seccomp", "seccomp_load");
  }
  return {};
}

std::span<const std::string_view> network_process_calls() { return kNetworkCalls; }
std::span<const std::string_view> agent_process_calls() { return kAgentCalls; }
std::span<const std::string_view> resolving_process_calls() { return kResolvingCalls; }
std::span<const int> agent_capabilities() { return kAgentCapabilities; }
std::span<const std::string_view> signer_process_calls() { return kCommonCalls; }
std::span<const std::string_view> module_process_calls() { return kModuleCalls; }

}  // namespace wary::io
