// The commands by what they are about; commands.cc puts them into one table. Private to cli/.
#pragma once

#include <vector>

#include "cli/command.h"

namespace wary::cli {

std::vector<Command> resource_commands();  // apply, get, delete, watch
std::vector<Command> access_commands();    // try, explain, revoke, session create, workload issue, status
std::vector<Command> policy_commands();    // policy check, fmt, convert, eval, explain, search, diff, unused, test
std::vector<Command> node_commands();      // node token
std::vector<Command> key_commands();       // apikey create
std::vector<Command> workload_commands();  // workload selectors, run
std::vector<Command> ledger_commands();    // ledger tail, prove, verify, key, check

}  // namespace wary::cli
