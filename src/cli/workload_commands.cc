// workload selectors, workload run.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>

#include "cli/api.h"
#include "cli/commands.h"
#include "crypto/pem.h"
#include "io/process.h"
#include "workload/client.h"
#include "workload/selectors.h"

namespace wary::cli {

namespace {

// A process that is only looked at: nothing is given to it.
class ShownProcess final : public io::PeerProcess {
 public:
  explicit ShownProcess(pid_t pid) : pid_(pid) {}
  pid_t pid() const override { return pid_; }
  bool is_running() const override { return kill(pid_, 0) == 0 || errno == EPERM; }
  int descriptor() const override { return -1; }

 private:
  pid_t pid_;
};

Status show_selectors(Context& context, const Arguments& arguments) {
  const std::string text = arguments.positional.empty() ? std::to_string(getppid()) : arguments.positional[0];
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid <= 0) {
    return fail(ErrorKind::kInvalid, "usage", "a process is a number").found(std::string_view(text));
  }
  WARY_ASSIGN_OR_RETURN(const io::ProcessFacts facts, io::read_process(pid));
  workload::Attestor attestor(context.files);
  WARY_ASSIGN_OR_RETURN(const workload::Attested who,
                        attestor.attest(ShownProcess(pid), {pid, facts.uid, facts.gid}, {.program_hash = true}));
  if (context.is_json) {
    codec::Json list = codec::Json::array();
    for (const std::string& selector : who.selectors) list.push(codec::Json(selector));
    context.out(list.to_string() + "\n");
    return {};
  }
  for (const std::string& selector : who.selectors) context.out(selector + "\n");
  return {};
}

int signal_named(const std::string& name) {
  const std::pair<std::string_view, int> known[] = {{"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"none", 0}};
  for (const auto& [text, number] : known) {
    if (text == name) return number;
  }
  return -1;
}

// One program and the files of its identity.
class Run {
 public:
  Run(Context& context, io::Loop& loop, std::vector<std::string> words, std::string directory, int renewed)
      : context_(context), loop_(loop), words_(std::move(words)), directory_(std::move(directory)), renewed_(renewed) {}

  ~Run() { forget(); }

  void renew(workload::X509Context identities, const std::string& socket) {
    const workload::X509Identity& own = identities.identities.front();
    if (Status written = write(own); !written) return stop(std::move(written).error());
    if (child_ != nullptr) {
      context_.err("renewed " + own.spiffe_id + ", until " + to_rfc3339(own.not_after) + "\n");
      if (renewed_ != 0) (void)child_->signal(renewed_);
      return;
    }
    context_.err("running as " + own.spiffe_id + "\n");
    io::ProcessOptions options;
    options.environment = context_.environment;
    std::erase_if(options.environment,
                  [](const std::string& one) { return one.starts_with("SPIFFE_ENDPOINT_SOCKET="); });
    options.environment.push_back("SPIFFE_ENDPOINT_SOCKET=" + socket);
    options.environment.push_back("WARY_SPIFFE_ID=" + own.spiffe_id);
    for (const auto& [name, file] : files()) options.environment.push_back(name + "=" + file);
    auto started = io::Process::start(words_, options);
    if (!started) return stop(std::move(started).error());
    child_ = std::move(started).value();
    (void)loop_.watch(child_->descriptor(), [this] { ended(); });
  }

  void lose(const Error& why) {
    if (child_ == nullptr) return stop(why);
    if (why.kind != ErrorKind::kDenied) return;  // it is tried again, and what is there holds until its end
    context_.err("this process is no workload any more: its files are gone (" + why.message + ")\n");
    forget();
    if (renewed_ != 0) (void)child_->signal(renewed_);
  }

  void pass_on(int signal) {
    if (child_ != nullptr) {
      (void)child_->signal(signal);
    } else {
      stop(fail(ErrorKind::kUnavailable, "workload_interrupted", "ended before the program was started"));
    }
  }
  Status outcome() const { return outcome_; }
  int code() const { return code_; }

 private:
  std::vector<std::pair<std::string, std::string>> files() const {
    return {{"WARY_SVID_FILE", directory_ + "/svid.pem"},
            {"WARY_SVID_KEY_FILE", directory_ + "/svid.key"},
            {"WARY_BUNDLE_FILE", directory_ + "/bundle.pem"}};
  }
  // The key first: who sees the new certificate has its key.
  Status write(const workload::X509Identity& own) {
    const auto put = [&](std::string_view name, const std::string& text) {
      return io::write_file_atomically(context_.files, directory_ + "/" + std::string(name), as_bytes(text));
    };
    std::string key = crypto::encode_pem("PRIVATE KEY", own.key.reveal());
    Status written = put("svid.key", key);
    wipe(key.data(), key.size());
    WARY_RETURN_IF_ERROR(written);
    std::string chain, bundle;
    for (const Bytes& one : own.chain) chain += crypto::encode_pem("CERTIFICATE", one);
    for (const Bytes& one : own.bundle) bundle += crypto::encode_pem("CERTIFICATE", one);
    WARY_RETURN_IF_ERROR(put("svid.pem", chain));
    return put("bundle.pem", bundle);
  }
  void forget() {
    for (const auto& [name, file] : files()) unlink(file.c_str());
  }
  void ended() {
    const auto status = child_->exit_status();
    if (!status) return;
    loop_.unwatch(child_->descriptor());
    code_ = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
    loop_.stop();
  }
  void stop(Error why) {
    outcome_ = std::move(why);
    loop_.stop();
  }

  Context& context_;
  io::Loop& loop_;
  std::vector<std::string> words_;
  std::string directory_;
  int renewed_;
  std::unique_ptr<io::Process> child_;
  Status outcome_;
  int code_ = 0;
};

std::string variable(const Context& context, std::string_view name, std::string_view fallback = "") {
  for (const std::string& one : context.environment) {
    if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
      return one.substr(name.size() + 1);
  }
  return std::string(fallback);
}

// As a shell would find it.
Result<std::string> find_program(const Context& context, const std::string& name) {
  const auto missing = [&] {
    return fail(ErrorKind::kNotFound, "workload_program", "there is no such program, or it cannot be run").found(name);
  };
  if (name.find('/') != name.npos) return access(name.c_str(), X_OK) == 0 ? Result<std::string>(name) : missing();
  const std::string found = variable(context, "PATH", "/usr/local/bin:/usr/bin:/bin");
  std::string_view path = found;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(part.size() + 1, path.size()));
    std::string whole = std::string(part.empty() ? "." : part) + "/" + name;
    if (access(whole.c_str(), X_OK) == 0) return whole;
  }
  return missing();
}

Result<std::string> private_directory(const Context& context, const Arguments& arguments) {
  if (arguments.has("--out")) {
    const std::string named = arguments.flag("--out");
    if (mkdir(named.c_str(), 0700) == 0 || errno == EEXIST) return named;
    return fail(ErrorKind::kUnavailable, "workload_directory", "the directory cannot be made").at(named);
  }
  const std::string runtime = variable(context, "XDG_RUNTIME_DIR");
  std::string name = (runtime.starts_with('/') ? runtime : std::string("/tmp")) + "/wary-svid-XXXXXX";
  if (mkdtemp(name.data()) != nullptr) return name;
  return fail(ErrorKind::kUnavailable, "workload_directory", "no private directory can be made")
      .at(name)
      .next("name one with --out");
}

Status run_as_workload(Context& context, const Arguments& arguments) {
  const int renewed = signal_named(arguments.flag("--signal", "HUP"));
  if (renewed < 0) {
    return fail(ErrorKind::kInvalid, "usage", "this signal is not offered")
        .at("--signal")
        .expected("HUP, USR1, USR2 or none");
  }
  const std::string named = variable(context, "SPIFFE_ENDPOINT_SOCKET");
  const std::string socket =
      arguments.flag("--socket", !named.empty() ? named : "unix://" + context.data + "/run/agent/api.sock");
  WARY_ASSIGN_OR_RETURN(const io::Address address, workload::endpoint(socket));
  std::vector<std::string> words = arguments.positional;
  WARY_ASSIGN_OR_RETURN(words.front(), find_program(context, words.front()));
  WARY_ASSIGN_OR_RETURN(const std::string directory, private_directory(context, arguments));
  const auto loop = io::make_epoll_loop(context.clock);
  WARY_ASSIGN_OR_RETURN(const int signals, io::make_signal_descriptor({SIGTERM, SIGINT, SIGHUP}));
  std::optional<Run> run(std::in_place, context, *loop, std::move(words), directory, renewed);
  workload::Client client(*loop, address,
                          {[&](workload::X509Context identities) { run->renew(std::move(identities), socket); },
                           [&](const Error& why) { run->lose(why); }});
  WARY_RETURN_IF_ERROR(loop->watch(signals, [&] { run->pass_on(io::read_signal(signals)); }));
  client.start();
  loop->run();
  loop->unwatch(signals);
  const Status outcome = run->outcome();
  const int code = run->code();
  run.reset();
  if (!arguments.has("--out")) rmdir(directory.c_str());
  WARY_RETURN_IF_ERROR(outcome);
  context.exit_code = code;
  return {};
}

}  // namespace

std::vector<Command> workload_commands() {
  return {
      {{"workload", "selectors"},
       {"[PID]"},
       "Show what is attested of a process, for a Workload's selectors",
       {},
       "Without PID, the process that runs this command. Run as root to see other users' programs.",
       show_selectors},
      {{"workload", "run"},
       {"COMMAND", "..."},
       "Run a program with an SVID in files, renewed and signalled",
       {{"--socket", "ADDRESS", "of the Workload API (default: $SPIFFE_ENDPOINT_SOCKET, or this data directory's)",
         false},
        {"--out", "DIR",
         "where svid.pem, svid.key and bundle.pem go (default: a private directory, removed at the end)", false},
        {"--signal", "NAME", "what the program gets when they changed: HUP (default), USR1, USR2 or none", false}},
       "The program's environment names them: WARY_SPIFFE_ID, WARY_SVID_FILE, WARY_SVID_KEY_FILE, WARY_BUNDLE_FILE. "
       "What\n"
       "is attested is this command, as its user and in its unit: not the program's path or hash. Ends as the program "
       "does.",
       run_as_workload},
  };
}

}  // namespace wary::cli
