#include "cli/commands.h"

#include "cli/command.h"

namespace wary::cli {

std::vector<Command> commands() {
  std::vector<Command> table;
  for (auto part : {resource_commands(), access_commands(), key_commands(), workload_commands(), node_commands(),
                    policy_commands(), ledger_commands()}) {
    for (Command& command : part) table.push_back(std::move(command));
  }
  return table;
}

}  // namespace wary::cli
