// Upgrade: `wary edge upgrade`: another wary-edge takes over from the one that runs, and nobody who is connected
// notices. The command asks whoever started the processes, at run/supervisor.sock: that one owns the new process from
// then on.
//
//   UpgradeService upgrades(runtime, supervisor, {.data = ..., .programs = own_directory()});
//   WARY_RETURN_IF_ERROR(upgrades.listen());
//   commands.push_back(upgrade_command());
//
// POST /v1/edge/upgrade {"binary", "drain", "timeout"}: for root and the user whom the processes belong to. Thread
// rule: the loop's. Limits: one at a time; 1 to 60 s to become ready, 0 to 300 s to drain.
#pragma once

#include <memory>
#include <string>

#include "apps/supervisor.h"
#include "cli/command.h"
#include "http/server.h"

namespace wary::apps {

struct UpgradeOptions {
  std::string data;
  std::string programs;  // where wary-edge lies, when no other is named
};

class UpgradeService {
 public:
  UpgradeService(Runtime& runtime, Supervisor& supervisor, UpgradeOptions options);
  Status listen();

 private:
  void handle(const std::shared_ptr<http::Exchange>& exchange);
  Result<Program> program_for(const std::string& binary) const;

  Runtime& runtime_;
  Supervisor& supervisor_;
  UpgradeOptions options_;
  http::Server server_;
};

cli::Command upgrade_command();

}  // namespace wary::apps
