// The command table: what `wary` can do, in one place. Help, completion and dispatch all come from it.
//
//   const Command* command = find_command(commands(), words, used);
//   WARY_ASSIGN_OR_RETURN(Arguments arguments, parse_arguments(*command, rest));
//   return command->run(context, arguments);
//
// Values; any thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "codec/json.h"
#include "io/files.h"
#include "io/loop.h"

namespace wary::cli {

// The exit code of a command that decides, where it decided DENY: an answer and no error, whose codes begin at 2.
constexpr int kAnswerIsNo = 1;

struct Flag {
  std::string name;   // "--reason"
  std::string value;  // what follows, for help: "TEXT"; empty: a switch
  std::string help;
  bool is_required = false;
  bool is_hidden = false;  // taken, and left out of help and completion: for our own tools
};

struct Arguments {
  std::vector<std::string> positional;
  std::map<std::string, std::string> flags;
  std::string flag(const std::string& name, const std::string& fallback = "") const;
  bool has(const std::string& name) const { return flags.contains(name); }
};

// What a command may use; main() fills it.
struct Context {
  Clock& clock;
  Random& random;
  io::Files& files;
  std::string data;                           // the data directory
  std::function<void(std::string_view)> out;  // standard output
  std::function<void(std::string_view)> err;  // standard error
  bool is_json = false;                       // --output json
  std::string here;                           // the working directory: relative names of --data begin there
  std::vector<std::string> environment = {};  // NAME=VALUE, for programs that a command runs
  // Of a command that did what it was asked to: kAnswerIsNo, or what the program that it ran ended with.
  int exit_code = 0;
};

struct Command {
  std::vector<std::string> words;       // {"ledger", "tail"}
  std::vector<std::string> positional;  // {"REF"}; a last "..." takes any number; "[FILE]" may be left out
  std::string summary;
  std::vector<Flag> flags;
  std::string details;  // for `wary help COMMAND`
  std::function<Status(Context&, const Arguments&)> run;
};

std::vector<Command> commands();

// The command with the longest match at the start of `words`; null if none. `used` counts its words.
const Command* find_command(const std::vector<Command>& table, const std::vector<std::string>& words,
                            std::size_t& used);
// Errors: usage, with what was expected.
Result<Arguments> parse_arguments(const Command& command, const std::vector<std::string>& words);

std::string help_all(const std::vector<Command>& table);
std::string help_group(const std::vector<Command>& table, std::string_view group);  // "": every command
std::string help_one(const Command& command);
std::string bash_completion(const std::vector<Command>& table);
std::string usage_line(const Command& command);

// Runs one call of the program: words without its name. Prints errors; gives the exit code.
// --data and --output stand anywhere before "--".
int run_cli(Context& context, const std::vector<Command>& table, std::vector<std::string> words);

}  // namespace wary::cli
