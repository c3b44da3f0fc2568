#include "io/peer_process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "io/descriptor.h"

namespace wary::io {

namespace {

constexpr std::size_t kProcFileMax = std::size_t{64} << 10;
constexpr std::size_t kGroupsMax = 1024;

Error gone(int error) {
  if (error == ENOENT || error == ESRCH) {
    return fail(ErrorKind::kNotFound, "process_gone", "the process has ended")
        .next("ask about one that runs; a program connects anew when it starts again");
  }
  return fail(ErrorKind::kDenied, "process_unreadable", "the kernel does not show this process")
      .found(std::strerror(error))
      .next("run the agent as root, or the workload as the agent's user");
}

Result<std::string> read_proc(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return gone(errno);
  std::string out;
  char buffer[4096];  // NOLINT: a read buffer
  for (;;) {
    const ssize_t count = read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return gone(errno);
    if (count == 0) return out;
    out.append(buffer, static_cast<std::size_t>(count));
    if (out.size() > kProcFileMax) return gone(EFBIG);
  }
}

ProgramIdentity identity_of(const struct stat& status) {
  return {status.st_dev, status.st_ino, status.st_size,
          std::int64_t{status.st_ctim.tv_sec} * 1'000'000'000 + status.st_ctim.tv_nsec};
}

std::string proc_path(pid_t pid, std::string_view name) {
  return "/proc/" + std::to_string(pid) + "/" + std::string(name);
}

// The text after a key of /proc/PID/status, up to the line's end.
std::string_view status_field(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(key)) return line.substr(key.size());
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return {};
}

Result<std::vector<std::uint32_t>> numbers_of(std::string_view text) {
  std::vector<std::uint32_t> out;
  for (;;) {
    const std::size_t start = text.find_first_not_of(" \t");
    if (start == text.npos) return out;
    text.remove_prefix(start);
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || out.size() == kGroupsMax) {
      return fail(ErrorKind::kInvalid, "process_unreadable", "the kernel's list of users or groups is not understood");
    }
    out.push_back(number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
}

}  // namespace

Result<StatusFacts> parse_process_status(std::string_view text) {
  WARY_ASSIGN_OR_RETURN(const auto uids, numbers_of(status_field(text, "Uid:")));
  WARY_ASSIGN_OR_RETURN(const auto gids, numbers_of(status_field(text, "Gid:")));
  WARY_ASSIGN_OR_RETURN(const auto groups, numbers_of(status_field(text, "Groups:")));
  // Real, effective, saved, of the file system.
  if (uids.size() != 4 || gids.size() != 4) {
    return fail(ErrorKind::kInvalid, "process_unreadable", "the kernel's status of the process is not understood");
  }
  return StatusFacts{uids[1], gids[1], {groups.begin(), groups.end()}};
}

std::string parse_process_cgroup(std::string_view text) {
  std::string systemd;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    // HIERARCHY:CONTROLLERS:PATH
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (line.substr(0, first) == "0" && controllers.empty() && line.size() > second + 2) {
      return std::string(line.substr(second + 1));
    }
    if (controllers == "name=systemd") systemd = line.substr(second + 1);
  }
  return systemd.size() > 1 ? systemd : std::string();
}

std::string name_of_id(std::string_view file, std::uint32_t id) {
  while (!file.empty()) {
    const std::string_view line = file.substr(0, file.find('\n'));
    file.remove_prefix(std::min(line.size() + 1, file.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view number = line.substr(second + 1, line.find(':', second + 1) - second - 1);
    if (number == std::to_string(id)) return std::string(line.substr(0, first));
  }
  return {};
}

Result<ProcessFacts> read_process(pid_t pid) {
  WARY_ASSIGN_OR_RETURN(const std::string status, read_proc(proc_path(pid, "status")));
  WARY_ASSIGN_OR_RETURN(StatusFacts parsed, parse_process_status(status));
  WARY_ASSIGN_OR_RETURN(const std::string cgroup, read_proc(proc_path(pid, "cgroup")));
  ProcessFacts out;
  out.uid = parsed.uid;
  out.gid = parsed.gid;
  out.groups = std::move(parsed.groups);
  out.cgroup = parse_process_cgroup(cgroup);
  const std::string program = proc_path(pid, "exe");
  std::string path(4096, '\0');
  const ssize_t size = readlink(program.c_str(), path.data(), path.size());
  if (size < 0 && errno != EACCES && errno != EPERM) return gone(errno);
  struct stat seen{};
  // What the kernel hides gives fewer selectors, never wrong ones.
  if (size <= 0 || static_cast<std::size_t>(size) == path.size() || stat(program.c_str(), &seen) != 0) return out;
  path.resize(static_cast<std::size_t>(size));
  out.path = std::move(path);
  out.program = identity_of(seen);
  return out;
}

Result<ProgramIdentity> read_program(pid_t pid, std::int64_t most, const std::function<void(ByteView)>& take) {
  const Descriptor file(open(proc_path(pid, "exe").c_str(), O_RDONLY | O_CLOEXEC));
  struct stat before{};
  struct stat after{};
  if (!file.is_open() || fstat(file.get(), &before) != 0) return gone(errno);
  if (before.st_size > most) {
    return fail(ErrorKind::kInvalid, "process_program_size", "the program is too large to be hashed")
        .expected("at most " + std::to_string(most) + " bytes")
        .found(std::to_string(before.st_size));
  }
  Bytes buffer(std::size_t{256} << 10);
  std::int64_t total = 0;
  for (;;) {
    const ssize_t count = read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return gone(errno);
    if (count == 0) break;
    total += count;
    take(ByteView(buffer).first(static_cast<std::size_t>(count)));
  }
  if (fstat(file.get(), &after) != 0 || identity_of(before) != identity_of(after) || total != before.st_size) {
    return fail(ErrorKind::kConflict, "process_unreadable", "the program changed while it was read");
  }
  return identity_of(before);
}

}  // namespace wary::io
