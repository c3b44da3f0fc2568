// Sandbox: how a process gives up what it does not need, once, after it opened what it does.
//
//   WARY_RETURN_IF_ERROR(drop_to(user));             // uid, gid, groups, capabilities
//   WARY_RETURN_IF_ERROR(restrict_files({"/var/lib/wary/edge"}, {}));
//   WARY_RETURN_IF_ERROR(restrict_calls(kEdgeCalls));
//
// Each is irreversible and applies to threads started later. Call before any other thread runs.
// Errors: sandbox_* with the step that the kernel refused.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wary::io {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
};

// No new privileges, not dumpable, no core files: for every process of ours, root or not.
Status harden_process();
// Raises the soft limit of open descriptors to the hard one, at most `most`. Gives the one that holds then.
std::uint64_t use_descriptors(std::uint64_t most);
// Sets groups, gid and uid, and gives up every capability in every set. As a person (not root) only the latter.
Status drop_to(const Identity& identity);
// The same, but for these capabilities (numbers of linux/capability.h), as far as the process has them.
Status drop_to(const Identity& identity, std::span<const int> kept);
// Landlock: below these directories only, and these for reading only; TCP ports are not restricted here. A kernel
// without Landlock gives sandbox_landlock_missing, which the caller may log and go on.
Status restrict_files(const std::vector<std::string>& read_write, const std::vector<std::string>& read_only);
// seccomp: the named system calls are allowed, all others kill the process.
Status restrict_calls(std::span<const std::string_view> allowed);

// What a network-facing process needs once it runs: sockets that exist, memory, time, threads, its own files.
std::span<const std::string_view> network_process_calls();
// The same, and reading links: where other processes' programs are.
std::span<const std::string_view> agent_process_calls();
// Those of the network, and what the system's resolver does: for a process that asks names.
std::span<const std::string_view> resolving_process_calls();
// What the agent keeps as root: to see what programs other users run (CAP_SYS_PTRACE, for reading alone: ptrace itself
// is no call of agent_process_calls()), and to read them (CAP_DAC_READ_SEARCH).
std::span<const int> agent_capabilities();
// What the signer needs: no new sockets to the network, no execution.
std::span<const std::string_view> signer_process_calls();
// The same with what an HSM's module does to its own files. Still no socket and no execution.
std::span<const std::string_view> module_process_calls();

}  // namespace wary::io
