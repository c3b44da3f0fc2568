// Supervisor: starts the processes of one machine in order, waits until each is ready, keeps their logs, starts again
// what died, and ends everything in reverse order.
//
//   Supervisor supervisor(runtime, options);
//   WARY_RETURN_IF_ERROR(supervisor.start({"wary-signer", ...}));     // returns when it is ready, or with its own
//   error
//
// A process that fails before it was ever ready is not started again: its error is the answer. Later ends are answered
// by a new start after 50 ms, doubling to 2 s. Logs go to LOG-DIRECTORY/NAME.log. Thread rule: the loop's; start()
// turns it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/process.h"
#include "io/process.h"

namespace wary::apps {

struct Program {
  std::string name;
  std::vector<std::string> arguments;  // the program's path first
  std::optional<io::Identity> identity;
  int stop_millis = 3000;  // that it has to end by itself
};

class Supervisor {
 public:
  Supervisor(Runtime& runtime, std::string log_directory);
  ~Supervisor();
  Status start(const Program& program);
  void stop_all();
  pid_t pid_of(const std::string& name) const;

 private:
  struct Child;
  Status launch(Child& child);
  void on_output(Child& child);
  void on_line(Child& child, std::string_view line);
  void on_exit(Child& child);

  Runtime& runtime_;
  std::string log_directory_;
  std::vector<std::unique_ptr<Child>> children_;
  bool stopping_ = false;
};

}  // namespace wary::apps
