// Selectors: what was attested of a process, as text: TYPE:KEY:VALUE.
//
//   Attestor attestor(files);
//   WARY_ASSIGN_OR_RETURN(const Attested who, attestor.attest(*peer, {.program_hash = true}));
//   // unix:uid:1000 unix:user:alice unix:gid:1000 unix:group:alice unix:supplementary_gid:27 unix:path:/usr/bin/orders
//   // unix:sha256:9f86... systemd:unit:orders.service cgroup:path:/system.slice/orders.service container:id:...
//
// The user is that of the connection and of the process as it is now; where they differ, nobody is attested. Path and
// hash tell programs of one user apart as far as the kernel does: who may trace a process may be it.
// Errors: those of io/peer_process.h, attest_user_changed. Thread rule: one thread. Limits: programs up to 512 MiB are
// hashed, 1,024 hashes remembered.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/files.h"
#include "io/loop.h"

namespace wary::workload {

struct Attested {
  io::ProcessFacts facts;
  std::vector<std::string> selectors;  // ascending
};

struct AttestOptions {
  bool program_hash = false;  // costs a reading of the whole program, once for each state of the file
};

// Whether it has the form TYPE:KEY:VALUE of a type that is attested here, and what is wrong if not (selector_syntax).
Status check_selector(std::string_view selector);

class Attestor {
 public:
  explicit Attestor(io::Files& files) : files_(files) {}
  Result<Attested> attest(const io::PeerProcess& process, const io::PeerCredentials& connected,
                          const AttestOptions& options);
  // Whether the process is still what it was when it was attested.
  bool is_same(const io::PeerProcess& process, const Attested& attested) const;

 private:
  Result<std::string> program_hash(pid_t pid, const io::ProgramIdentity& program);
  io::Files& files_;
  std::map<io::ProgramIdentity, std::string> hashes_;
};

}  // namespace wary::workload
