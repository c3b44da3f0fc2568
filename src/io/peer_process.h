// PeerProcess: the process that connected a unix socket, held by its pidfd, and what the kernel tells of it.
//
//   WARY_ASSIGN_OR_RETURN(auto peer, stream->peer_process());
//   WARY_ASSIGN_OR_RETURN(const ProcessFacts facts, read_process(peer->pid()));
//   if (!peer->is_running()) ...     // a number may be another process's by now: `facts` are nobody's
//   loop.watch(peer->descriptor(), [&] { ... it has ended ... });
//
// A process number is given anew once its process was reaped; while the pidfd says that the process has not ended, its
// number is its own. So what is read under /proc counts only if the process still runs after the reading. Who holds the
// other end of the socket by now is not known: a passed descriptor keeps the identity of who connected it.
// Errors: peer_process (no pidfd: Linux before 6.5, or no unix socket), process_gone, process_unreadable.
// Thread rule: one thread. Limits: 64 KiB a file of /proc, 1,024 groups.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::io {

class PeerProcess {
 public:
  virtual ~PeerProcess() = default;
  virtual pid_t pid() const = 0;
  virtual bool is_running() const = 0;
  virtual int descriptor() const = 0;  // readable when it ended
};

// Which file, in which state: another program, or a changed one, has another.
struct ProgramIdentity {
  std::uint64_t device = 0, inode = 0;
  std::int64_t size = 0, changed_nanos = 0;
  auto operator<=>(const ProgramIdentity&) const = default;
};

struct ProcessFacts {
  uid_t uid = 0;  // effective
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  std::string path;           // of its program; empty when the kernel does not show it to us
  ProgramIdentity program;
  std::string cgroup;  // of the unified hierarchy, or of systemd's; empty when there is none
};

Result<ProcessFacts> read_process(pid_t pid);
// Its program's bytes, in order. Errors: also process_program_size (larger than `most`).
Result<ProgramIdentity> read_program(pid_t pid, std::int64_t most, const std::function<void(ByteView)>& take);

// The pieces, pure. Nothing for what is no such file.
struct StatusFacts {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};
Result<StatusFacts> parse_process_status(std::string_view text);
std::string parse_process_cgroup(std::string_view text);
// The entry's name for a number in the form of passwd and group files; empty for none.
std::string name_of_id(std::string_view file, std::uint32_t id);

}  // namespace wary::io
