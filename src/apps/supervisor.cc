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

Supervisor::Supervisor(Runtime& runtime, std::string log_directory)
    : runtime_(runtime), log_directory_(std::move(log_directory)) {}

Supervisor::~Supervisor() { stop_all(); }

Status Supervisor::start(const Program& program) {
  children_.push_back(std::make_unique<Child>());
  Child& child = *children_.back();
  child.program = program;
  const std::string path = log_directory_ + "/" + program.name + ".log";
  child.log = io::Descriptor(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!child.log.is_open()) {
    return fail(ErrorKind::kUnavailable, "log_not_writable", "the log file cannot be opened").at(path);
  }
  WARY_RETURN_IF_ERROR(launch(child));
  const io::TimerId timer = runtime_.loop->after(kReadyTime, [this] { runtime_.loop->stop(); });
  runtime_.loop->run();  // until on_line or on_exit stops it
  runtime_.loop->cancel(timer);
  if (child.ready) return {};
  if (child.failure) return *child.failure;
  return fail(ErrorKind::kTimeout, "process_not_ready", "a process did not become ready in 10 s")
      .at(program.name)
      .next("read " + path);
}

Status Supervisor::launch(Child& child) {
  int ends[2];  // NOLINT: the kernel's interface wants an array
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail(ErrorKind::kUnavailable, "process_start", "no pipe");
  child.output = io::Descriptor(ends[0]);
  const io::Descriptor writer(ends[1]);
  fcntl(writer.get(), F_SETFL, 0);  // the child's writes wait
  io::ProcessOptions options;
  options.identity = child.program.identity;
  options.output = writer.get();
  options.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8"};
  WARY_ASSIGN_OR_RETURN(child.process, io::Process::start(child.program.arguments, options));
  child.ready = false;
  child.line.clear();
  Child* raw = &child;
  WARY_RETURN_IF_ERROR(runtime_.loop->watch(child.output.get(), [this, raw] { on_output(*raw); }));
  return runtime_.loop->watch(child.process->descriptor(), [this, raw] { on_exit(*raw); });
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
  if (event != "process.ready") return;
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
  runtime_.loop->unwatch(child.process->descriptor());
  runtime_.loop->unwatch(child.output.get());
  child.ready = false;
  if (stopping_) return;
  if (!child.was_ready) {
    if (!child.failure) {
      child.failure = fail(ErrorKind::kUnavailable, "process_ended", "a process ended before it was ready")
                          .at(child.program.name)
                          .found("wait status " + std::to_string(*status));
    }
    return runtime_.loop->stop();
  }
  runtime_.log->warn("process.died", {{"name", child.program.name}, {"status", std::int64_t{*status}}});
  Child* raw = &child;
  runtime_.loop->after(child.restart_after, [this, raw] {
    raw->restart_after = std::min(raw->restart_after * 2, kRestartMax);
    if (stopping_) return;
    const Status again = launch(*raw);
    if (!again) runtime_.log->error("process.not_started", {{"name", raw->program.name}, {"code", again.error().code}});
  });
  // A minute of life makes the next end a first one again.
  runtime_.loop->after(60 * kNanosPerSecond, [raw] { raw->restart_after = kRestartMin; });
}

void Supervisor::stop_all() {
  if (stopping_) return;
  stopping_ = true;
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    if (!(*child)->process) continue;
    (void)(*child)->process->signal(SIGTERM);
    if (!(*child)->process->wait((*child)->program.stop_millis)) (void)(*child)->process->signal(SIGKILL);
    (*child)->process->wait(kStopMillis);
    on_output(**child);
  }
}

pid_t Supervisor::pid_of(const std::string& name) const {
  for (const auto& child : children_) {
    if (child->program.name == name && child->process) return child->process->pid();
  }
  return -1;
}

}  // namespace wary::apps
