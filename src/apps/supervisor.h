// Supervisor: starts the processes of one machine in order, waits until each is ready, keeps their logs, starts again
// what died, and ends everything in reverse order.
//
//   Supervisor supervisor(runtime, options);
//   WARY_RETURN_IF_ERROR(supervisor.start({"wary-signer", ...}));     // returns when it is ready, or with its own
//   error
//
// A process that fails before it was ever ready is not started again: its error is the answer. Later ends are answered
// by a new start after 50 ms, doubling to 2 s; a start for which the machine has no room just now, by the next one. A
// program is replaced by one that takes over from it (replace()): until that one is ready the old one stays what it
// was, and then it may come to its end. Logs go to LOG-DIRECTORY/NAME.log. Thread rule: the loop's; start() turns it.
#pragma once

#include <functional>
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
  // Starts `next` with these words more, this once, beside the program of its name, which it is to take over from;
  // `done` from the loop: it is ready and takes that one's place, or why not. Errors: upgrade_in_progress (another one
  // is on its way, or the one before has not ended), upgrade_not_ready (not in `ready_nanos`), or the program's own.
  using Replaced = std::function<void(const Status&)>;
  void replace(Program next, const std::vector<std::string>& words, std::int64_t ready_nanos, Replaced done);
  const Program* program_of(const std::string& name) const;
  pid_t pid_of(const std::string& name) const;

 private:
  struct Child;
  struct Replacement;
  Status open_log(Child& child);
  Status launch(const std::shared_ptr<Child>& child, const std::vector<std::string>& words = {});
  void restart_later(const std::shared_ptr<Child>& child);
  void forgive_later(const std::shared_ptr<Child>& child);
  void on_ready(Child& child);
  void put_in_place();
  void give_up_replacing(const Error& why);
  void end_watching(Child& child);
  void on_output(Child& child);
  void on_line(Child& child, std::string_view line);
  void on_exit(Child& child);

  Runtime& runtime_;
  std::string log_directory_;
  // Shared with timers, which must find out that a child is gone.
  std::vector<std::shared_ptr<Child>> children_;
  std::vector<std::shared_ptr<Child>> retired_;  // that were taken over from, until they end
  std::unique_ptr<Replacement> replacement_;
  bool stopping_ = false;
};

}  // namespace wary::apps
