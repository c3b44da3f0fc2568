#include "apps/supervisor.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "codec/json.h"

namespace wary::apps {

namespace {

constexpr std::int64_t kReadyTime = 10 * kNanosPerSecond;
constexpr std::int64_t kRestartMin = 50 * kNanosPerMilli;
constexpr std::int64_t kRestartMax = 2 * kNanosPerSecond;
constexpr int kStopMillis = 3000;  // after a kill
constexpr std::size_t kLineMax = 64 * 1024;

Error error_of(const codec::Json& line) {
  Error error = fail(ErrorKind::kUnavailable, line.string_or("code", "process_failed"),
                     line.string_or("message", "the process failed"));
  error.where = line.string_or("where", "");
  error.expected_text = line.string_or("expected", "");
  error.found_text = line.string_or("found", "");
  error.next_step = line.string_or("next", "");
  return error;
}

}  // namespace

struct Supervisor::Child {
  Program program;
  std::unique_ptr<io::Process> process;
  io::Descriptor output;
  io::Descriptor log;
  std::string line;
  std::optional<Error> failure;
  bool ready = false;
  bool was_ready = false;
  std::int64_t restart_after = kRestartMin;
};

struct Supervisor::Replacement {
  std::shared_ptr<Child> next;
  std::shared_ptr<Child> current;
  Replaced done;
  io::TimerId timer = 0;
  bool current_ended = false;
};

Supervisor::Supervisor(Runtime& runtime, std::string log_directory)
    : runtime_(runtime), log_directory_(std::move(log_directory)) {}

Supervisor::~Supervisor() { stop_all(); }

Status Supervisor::open_log(Child& child) {
  const std::string path = log_directory_ + "/" + child.program.name + ".log";
  child.log = io::Descriptor(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (child.log.is_open()) return {};
  return fail(ErrorKind::kUnavailable, "log_not_writable", "the log file cannot be opened").at(path);
}

Status Supervisor::start(const Program& program) {
  children_.push_back(std::make_shared<Child>());
  Child& child = *children_.back();
  child.program = program;
  WARY_RETURN_IF_ERROR(open_log(child));
  WARY_RETURN_IF_ERROR(launch(children_.back()));
  const io::TimerId timer = runtime_.loop->after(kReadyTime, [this] { runtime_.loop->stop(); });
  runtime_.loop->run();  // until on_line or on_exit stops it
  runtime_.loop->cancel(timer);
  if (child.ready) return {};
  if (child.failure) return *child.failure;
  return fail(ErrorKind::kTimeout, "process_not_ready", "a process did not become ready in 10 s")
      .at(program.name)
      .next("read " + log_directory_ + "/" + program.name + ".log");
}

Status Supervisor::launch(const std::shared_ptr<Child>& shared, const std::vector<std::string>& words) {
  Child& child = *shared;
  int ends[2];  // NOLINT: the kernel's interface wants an array
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail(ErrorKind::kUnavailable, "process_start", "no pipe");
  child.output = io::Descriptor(ends[0]);
  const io::Descriptor writer(ends[1]);
  fcntl(writer.get(), F_SETFL, 0);  // the child's writes wait
  io::ProcessOptions options;
  options.identity = child.program.identity;
  options.output = writer.get();
  // Else Ctrl-C while they start ends them before us, and they are taken for dead and started again.
  options.has_own_group = true;
  options.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8"};
  std::vector<std::string> arguments = child.program.arguments;
  arguments.insert(arguments.end(), words.begin(), words.end());
  WARY_ASSIGN_OR_RETURN(child.process, io::Process::start(arguments, options));
  child.ready = false;
  child.line.clear();
  Child* raw = &child;
  Status watched = runtime_.loop->watch(child.output.get(), [this, raw] { on_output(*raw); });
  if (watched) watched = runtime_.loop->watch(child.process->descriptor(), [this, raw] { on_exit(*raw); });
  if (watched) return {};
  // One that nobody watches would run beside the next one.
  end_watching(child);
  child.process.reset();
  return watched;
}

void Supervisor::on_output(Child& child) {
  char buffer[16384];  // NOLINT: a read buffer
  for (;;) {
    const ssize_t got = read(child.output.get(), buffer, sizeof buffer);
    if (got < 0) return;
    if (got == 0) return runtime_.loop->unwatch(child.output.get());
    std::string_view rest(buffer, static_cast<std::size_t>(got));
    // The log is best effort by design: a full disk must not stop what it describes.
    [[maybe_unused]] const ssize_t logged = write(child.log.get(), rest.data(), rest.size());
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      child.line += rest.substr(0, end);
      if (end == std::string_view::npos) break;
      on_line(child, child.line);
      child.line.clear();
      rest.remove_prefix(end + 1);
    }
    if (child.line.size() > kLineMax) child.line.clear();
  }
}

void Supervisor::on_line(Child& child, std::string_view line) {
  const auto json = codec::parse_json(line);
  if (!json) return;
  const std::string_view event = json->string_or("event", "");
  if (event == "process.failed") child.failure = error_of(*json);
  if (event == "process.ready") on_ready(child);
}

void Supervisor::on_ready(Child& child) {
  if (replacement_ && replacement_->next.get() == &child) return put_in_place();
  const bool first = !child.was_ready;
  child.ready = child.was_ready = true;
  if (first)
    runtime_.loop->stop();
  else
    runtime_.log->warn("process.restarted", {{"name", child.program.name}});
}

void Supervisor::on_exit(Child& child) {
  const auto status = child.process->exit_status();
  if (!status) return;
  on_output(child);
  end_watching(child);
  child.ready = false;
  if (stopping_) return;
  const auto is_it = [&](const std::shared_ptr<Child>& other) { return other.get() == &child; };
  if (const auto retired = std::find_if(retired_.begin(), retired_.end(), is_it); retired != retired_.end()) {
    runtime_.log->info("process.retired", {{"name", child.program.name}, {"status", std::int64_t{*status}}});
    // Its own handler calls: it goes when that has ended.
    runtime_.loop->post([gone = *retired] {});
    retired_.erase(retired);
    return;
  }
  if (replacement_ && is_it(replacement_->next)) {
    const Error ended = fail(ErrorKind::kUnavailable, "process_ended", "the program ended before it was ready")
                            .at(child.program.arguments.front())
                            .found("wait status " + std::to_string(*status))
                            .next("see whether it is a wary-edge that this machine can run");
    return give_up_replacing(child.failure.value_or(ended));
  }
  if (!child.was_ready) {
    if (!child.failure) {
      child.failure = fail(ErrorKind::kUnavailable, "process_ended", "a process ended before it was ready")
                          .at(child.program.name)
                          .found("wait status " + std::to_string(*status));
    }
    return runtime_.loop->stop();
  }
  runtime_.log->warn("process.died", {{"name", child.program.name}, {"status", std::int64_t{*status}}});
  if (replacement_ && is_it(replacement_->current)) {
    replacement_->current_ended = true;  // the one that is on its way may have its sockets, and goes on alone
    return;
  }
  restart_later(*std::find_if(children_.begin(), children_.end(), is_it));
}

void Supervisor::end_watching(Child& child) {
  runtime_.loop->unwatch(child.process->descriptor());
  if (child.output.is_open()) runtime_.loop->unwatch(child.output.get());
}

void Supervisor::restart_later(const std::shared_ptr<Child>& child) {
  const std::weak_ptr<Child> held = child;
  runtime_.loop->after(child->restart_after, [this, held] {
    const auto again = held.lock();
    if (!again || stopping_) return;
    again->restart_after = std::min(again->restart_after * 2, kRestartMax);
    const Status begun = launch(again);
    if (begun) return forgive_later(again);
    runtime_.log->error("process.not_started", {{"name", again->program.name}, {"code", begun.error().code}});
    restart_later(again);  // it has no end that would be seen
  });
}

// A minute of life makes the next end a first one again.
void Supervisor::forgive_later(const std::shared_ptr<Child>& child) {
  const std::weak_ptr<Child> held = child;
  runtime_.loop->after(60 * kNanosPerSecond, [held, pid = child->process->pid()] {
    const auto there = held.lock();
    if (there && there->ready && there->process->pid() == pid) there->restart_after = kRestartMin;
  });
}

void Supervisor::replace(Program next, const std::vector<std::string>& words, std::int64_t ready_nanos, Replaced done) {
  const auto has_name = [&](const std::shared_ptr<Child>& child) { return child->program.name == next.name; };
  const auto current = std::find_if(children_.begin(), children_.end(), has_name);
  WARY_CHECK(current != children_.end());
  if (replacement_ || std::any_of(retired_.begin(), retired_.end(), has_name)) {
    return done(fail(ErrorKind::kConflict, "upgrade_in_progress",
                     replacement_ ? "another upgrade is on its way" : "the process before this one still drains")
                    .at(next.name)
                    .next("wait until it has ended: log/" + next.name + ".log says process.ended"));
  }
  if (!(*current)->ready) {
    return done(fail(ErrorKind::kUnavailable, "upgrade_not_running", "there is nothing that runs to take over from")
                    .at(next.name)
                    .next("wait until it was started again"));
  }
  auto child = std::make_shared<Child>();
  child->program = std::move(next);
  Status begun = open_log(*child);
  if (begun) begun = launch(child, words);
  if (!begun) return done(begun);
  replacement_ = std::make_unique<Replacement>(Replacement{child, *current, std::move(done)});
  replacement_->timer = runtime_.loop->after(ready_nanos, [this, ready_nanos] {
    replacement_->timer = 0;
    give_up_replacing(
        fail(ErrorKind::kTimeout, "upgrade_not_ready",
             "the new program was not ready in " + std::to_string(ready_nanos / kNanosPerSecond) + " s")
            .at(replacement_->next->program.arguments.front())
            .next("the old one goes on; read " + log_directory_ + "/" + replacement_->next->program.name + ".log"));
  });
}

// Its own handler calls, so that nothing of it is taken down here.
void Supervisor::put_in_place() {
  const auto replaced = std::move(replacement_);
  runtime_.loop->cancel(replaced->timer);
  Child& next = *replaced->next;
  next.ready = next.was_ready = true;
  *std::find(children_.begin(), children_.end(), replaced->current) = replaced->next;
  if (!replaced->current_ended) retired_.push_back(replaced->current);
  runtime_.log->info("process.replaced", {{"name", next.program.name}, {"program", next.program.arguments.front()}});
  replaced->done({});
}

void Supervisor::give_up_replacing(const Error& why) {
  const auto failed = std::move(replacement_);
  runtime_.loop->cancel(failed->timer);
  Child& next = *failed->next;
  end_watching(next);
  if (!next.process->exit_status()) (void)next.process->signal(SIGKILL);
  next.process->wait(kStopMillis);
  runtime_.loop->post([gone = failed->next] {});
  runtime_.log->warn("process.not_replaced", {{"name", next.program.name}, {"code", why.code}});
  if (failed->current_ended) restart_later(failed->current);
  failed->done(why);
}

void Supervisor::stop_all() {
  if (stopping_) return;
  stopping_ = true;
  if (replacement_) retired_.push_back(replacement_->next);
  for (const auto& child : retired_) (void)child->process->signal(SIGTERM);
  for (const auto& child : retired_) {
    if (!child->process->wait(child->program.stop_millis)) (void)child->process->signal(SIGKILL);
    child->process->wait(kStopMillis);
    on_output(*child);
  }
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    if (!(*child)->process) continue;
    (void)(*child)->process->signal(SIGTERM);
    if (!(*child)->process->wait((*child)->program.stop_millis)) (void)(*child)->process->signal(SIGKILL);
    (*child)->process->wait(kStopMillis);
    on_output(**child);
  }
}

const Program* Supervisor::program_of(const std::string& name) const {
  for (const auto& child : children_) {
    if (child->program.name == name) return &child->program;
  }
  return nullptr;
}

pid_t Supervisor::pid_of(const std::string& name) const {
  for (const auto& child : children_) {
    if (child->program.name == name && child->process) return child->process->pid();
  }
  return -1;
}

}  // namespace wary::apps
