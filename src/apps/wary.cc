// wary: the command line, and `wary dev`, which starts and supervises the rest on one machine. It holds no key.
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "apps/process.h"
#include "apps/supervisor.h"
#include "apps/upgrade.h"
#include "cli/api.h"
#include "cli/command.h"
#include "codec/uri.h"
#include "crypto/pem.h"
#include "gateway/site.h"

namespace wary::apps {
namespace {

constexpr std::string_view kVersion = "0.1.0";
// As root each process gets a user of its own; these numbers are nobody else's on Debian.
constexpr gid_t kGroup = 64'100;  // theirs together: who may pass to their sockets
constexpr uid_t kControlUid = 64'101;
constexpr uid_t kSignerUid = 64'102;
constexpr uid_t kEdgeUid = 64'103;
constexpr uid_t kAgentUid = 64'104;
constexpr uid_t kFederationUid = 64'105;

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string default_data() {
  if (const char* named = std::getenv("WARY_DATA"); named != nullptr && *named != '\0') return named;
  if (getuid() == 0) return "/var/lib/wary";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::string(home) + "/.local/share/wary";
  return "/tmp/wary-" + std::to_string(getuid());
}

std::string own_directory() {
  char path[4096];  // NOLINT: the kernel's interface wants an array
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  const std::string whole(path, size > 0 ? static_cast<std::size_t>(size) : 0);
  return whole.substr(0, whole.rfind('/'));
}

// Makes a directory and its parents; the last one belongs to `identity` alone.
Status make_directory(const std::string& path, mode_t mode, const std::optional<io::Identity>& identity) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    mkdir(path.substr(0, slash).c_str(), 0755);
  }
  const bool made = mkdir(path.c_str(), mode) == 0 || errno == EEXIST;
  const bool owned = !identity || chown(path.c_str(), identity->uid, identity->gid) == 0;
  if (made && owned && chmod(path.c_str(), mode) == 0) return {};
  return fail(ErrorKind::kUnavailable, "data_directory", "the data directory cannot be made")
      .at(path)
      .next("choose another one with --data, or run as its owner");
}

struct Machine {
  std::string data;
  std::string listen;
  std::string plain_listen;  // without TLS; mostly empty
  std::string console_origin;
  std::string workers;
  std::string proxy_from;
  std::string otlp, otlp_sample;  // where telemetry goes, and what share of the traces
  std::int64_t drain = 2;         // seconds that open connections have to end
  std::string pep_uids;           // whose programs may ask for decisions, beside the edge's own user and root
  std::string trust_domain;
  std::vector<std::string> federation_options;
  std::string refresh_hint;
  std::optional<io::Identity> control, signer, edge, agent, federation;  // as root
};

// As root the processes run as users of their own, who must be able to pass through.
Status check_passage(const Machine& machine) {
  if (!machine.control) return {};
  for (std::size_t slash = machine.data.find('/', 1); slash != std::string::npos;
       slash = machine.data.find('/', slash + 1)) {
    const std::string parent = machine.data.substr(0, slash);
    struct stat status{};
    if (stat(parent.c_str(), &status) != 0 || (status.st_mode & S_IXOTH) != 0) continue;
    return fail(ErrorKind::kDenied, "data_directory",
                "other users cannot pass through this directory, and wary's processes are such")
        .at(parent)
        .next("chmod o+x " + parent + ", or choose another directory with --data");
  }
  return {};
}

Status make_directories(const Machine& machine) {
  WARY_RETURN_IF_ERROR(make_directory(machine.data, 0755, std::nullopt));
  WARY_RETURN_IF_ERROR(check_passage(machine));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/log", 0700, std::nullopt));
  // Each process makes its sockets in a directory of its own, which only our processes (and root) may pass through;
  // which of them connects is the kernel's word.
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/run", 0755, std::nullopt));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/run/signer", 0710, machine.signer));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/run/waryd", 0710, machine.control));
  // Others pass through when they are meant to ask for decisions; the socket itself says who is.
  WARY_RETURN_IF_ERROR(
      make_directory(machine.data + "/run/edge", machine.pep_uids.empty() ? 0710 : 0711, machine.edge));
  // Every program of the machine may ask who it is.
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/run/agent", 0711, machine.agent));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/agent", 0700, machine.agent));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/federation", 0700, machine.federation));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/waryd", 0700, machine.control));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/waryd/ledger", 0700, machine.control));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/signer", 0700, machine.signer));
  return make_directory(machine.data + "/edge", 0700, machine.edge);
}

Status check_programs() {
  for (const std::string_view name : {"wary-signer", "waryd", "wary-agent", "wary-federation", "wary-edge"}) {
    const std::string path = own_directory() + "/" + std::string(name);
    if (access(path.c_str(), X_OK) == 0) continue;
    return fail(ErrorKind::kNotFound, "program_missing", "a program of wary is not beside this one, or cannot be run")
        .at(path)
        .next("install wary whole: all its programs belong in one directory");
  }
  return {};
}

std::vector<std::string> edge_command(const Machine& machine) {
  std::vector<std::string> out = {own_directory() + "/wary-edge",
                                  "--directory",
                                  machine.data + "/edge",
                                  "--run",
                                  machine.data + "/run",
                                  "--listen",
                                  machine.listen,
                                  "--console-origin",
                                  machine.console_origin,
                                  "--workers",
                                  machine.workers,
                                  "--pep-uids",
                                  machine.pep_uids,
                                  "--proxy-from",
                                  machine.proxy_from,
                                  "--drain",
                                  std::to_string(machine.drain),
                                  "--otlp",
                                  machine.otlp,
                                  "--otlp-sample",
                                  machine.otlp_sample};
  // Another program may take over that does not know it.
  if (!machine.plain_listen.empty()) out.insert(out.end(), {"--plain-listen", machine.plain_listen});
  return out;
}

Status start_processes(Supervisor& supervisor, const Machine& machine) {
  const std::string programs = own_directory(), run = machine.data + "/run";
  const auto uid = [](const std::optional<io::Identity>& identity) {
    return std::to_string(identity ? identity->uid : getuid());
  };
  WARY_RETURN_IF_ERROR(supervisor.start(
      {"wary-signer",
       {programs + "/wary-signer", "--directory", machine.data + "/signer", "--run", run, "--trust-domain",
        machine.trust_domain, "--control-uid", uid(machine.control), "--edge-uid", uid(machine.edge)},
       machine.signer}));
  WARY_RETURN_IF_ERROR(supervisor.start(
      {"waryd",
       {programs + "/waryd", "--directory", machine.data + "/waryd", "--run", run, "--edge-uid", uid(machine.edge),
        "--admin-uid", std::to_string(getuid()), "--agent-uid", uid(machine.agent), "--federation-uid",
        uid(machine.federation), "--console-origin", machine.console_origin, "--refresh-hint", machine.refresh_hint},
       machine.control}));
  // Begins as who starts it, and gives up by itself all but what it needs to see other users' programs.
  std::vector<std::string> agent = {programs + "/wary-agent", "--directory", machine.data + "/agent", "--run", run};
  if (machine.agent) {
    for (const std::string& word :
         {std::string("--uid"), uid(machine.agent), std::string("--gid"), std::to_string(kGroup)}) {
      agent.push_back(word);
    }
  }
  WARY_RETURN_IF_ERROR(supervisor.start({"wary-agent", std::move(agent), std::nullopt}));
  std::vector<std::string> federation = {programs + "/wary-federation", "--directory", machine.data + "/federation",
                                         "--run", run};
  federation.insert(federation.end(), machine.federation_options.begin(), machine.federation_options.end());
  WARY_RETURN_IF_ERROR(supervisor.start({"wary-federation", std::move(federation), machine.federation}));
  return supervisor.start(
      {"wary-edge", edge_command(machine), machine.edge, static_cast<int>(machine.drain) * 1000 + 1000});
}

// For clients that need a file: curl --cacert, NSS, and `wary ledger verify`.
Status publish_keys(Runtime& runtime, const Machine& machine) {
  WARY_ASSIGN_OR_RETURN(const Bytes ca, io::read_file(*runtime.files, machine.data + "/run/waryd/ca.pem", 64 * 1024));
  WARY_RETURN_IF_ERROR(io::write_file_atomically(*runtime.files, machine.data + "/ca.pem", ca));
  WARY_ASSIGN_OR_RETURN(const Bytes key, io::read_file(*runtime.files, machine.data + "/run/waryd/ledger.vkey", 4096));
  WARY_RETURN_IF_ERROR(io::write_file_atomically(*runtime.files, machine.data + "/ledger.vkey", key));
  // Public, and for whoever uses a browser or verifies here: not only for who started wary.
  for (const char* name : {"/ca.pem", "/ledger.vkey"}) {
    if (chmod((machine.data + name).c_str(), 0644) == 0) continue;
    return fail(ErrorKind::kUnavailable, "data_directory", "a public file cannot be made readable")
        .at(machine.data + name)
        .next("choose another directory with --data, or run as its owner");
  }
  return {};
}

// The roots that clients are to trust change, a few times in ten years or when somebody wants it.
void keep_keys_published(Runtime& runtime, const Machine& machine) {
  runtime.loop->after(60 * kNanosPerSecond, [&runtime, &machine] {
    const Status published = publish_keys(runtime, machine);
    if (!published) runtime.log->warn("wary.keys_not_published", {{"code", published.error().code}});
    keep_keys_published(runtime, machine);
  });
}

Status print_welcome(cli::Context& context, const Machine& machine) {
  codec::Json body = codec::Json::object();
  body.set("user", "owner");
  WARY_ASSIGN_OR_RETURN(const codec::Json link, cli::call_api(context, "POST", "/v1/sessions", body));
  // In one piece: whoever reads it (a script, a test) has seen all of it or nothing.
  std::string text =
      "wary is ready\n  console  " + std::string(link.string_or("link", "")) + "\n  (works once, until " +
      std::string(link.string_or("expires", "")) + "; another: wary session create owner)\n  CA       " + machine.data +
      "/ca.pem\n  data     " + machine.data + "\n  listens  " + machine.listen +
      (machine.plain_listen.empty() ? "" : ", without TLS " + machine.plain_listen) + "\n  decides  " + machine.data +
      "/run/edge/pdp.sock\n  identity " + machine.data + "/run/agent/api.sock (SPIFFE Workload API)\n";
  if (!machine.control) {
    text +=
        "  note     not root: all processes run as this user, without capabilities; only its own programs are\n        "
        "   attested\n";
  }
  context.out(text);
  return {};
}

// What was chosen when the data directory was made is kept: its keys are that trust domain's.
Result<std::string> trust_domain_of(Runtime& runtime, const cli::Arguments& arguments, const std::string& data) {
  std::string name = arguments.flag("--trust-domain", "");
  if (name.empty()) {
    const auto kept = io::read_file(*runtime.files, data + "/run/waryd/trust-domain", 256);
    return kept ? std::string(as_text(*kept)) : std::string("local");
  }
  const auto id = codec::parse_spiffe_id("spiffe://" + name);
  if (id && id->path.empty()) return name;
  return fail(ErrorKind::kInvalid, "trust_domain_syntax", "this is no name of a trust domain")
      .at("--trust-domain")
      .expected("1 to 255 of a-z, 0-9, -, . and _")
      .found(std::string_view(name));
}

// How it federates with others: what wary-federation is started with.
Status read_federation(cli::Context& context, const cli::Arguments& arguments, Machine& machine) {
  machine.refresh_hint = arguments.flag("--refresh-hint", "300");
  if (const std::string listen = arguments.flag("--federation-listen", ""); !listen.empty()) {
    machine.federation_options = {"--listen", listen};
  }
  std::string roots = arguments.flag("--web-roots", "");
  if (roots.empty()) return {};
  if (!roots.starts_with('/')) roots = context.here + "/" + roots;
  if (access(roots.c_str(), R_OK) != 0) {
    return fail(ErrorKind::kNotFound, "federation_web_roots", "this file cannot be read")
        .at("--web-roots")
        .found(roots);
  }
  machine.federation_options.insert(machine.federation_options.end(), {"--web-roots", roots});
  return {};
}

Result<std::int64_t> drain_of(const cli::Arguments& arguments) {
  constexpr std::int64_t kMost = 300;
  const std::string text = arguments.flag("--drain", "2");
  std::int64_t seconds = -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && seconds >= 0 && seconds <= kMost) {
    return seconds;
  }
  return fail(ErrorKind::kInvalid, "drain_seconds", "this is no time to drain")
      .at("--drain")
      .expected("seconds, 0 to 300")
      .found(text);
}

Status run_dev(cli::Context& context, const cli::Arguments& arguments) {
  block_signals();
  Runtime runtime = make_runtime("wary");
  Machine machine;
  machine.data = context.data;
  machine.listen = arguments.flag("--listen", "127.0.0.1:7443");
  machine.workers = arguments.flag("--workers", "2");
  machine.pep_uids = arguments.flag("--pep-uids", "");
  machine.proxy_from = arguments.flag("--proxy-from", "");
  machine.otlp = arguments.flag("--otlp", "");
  machine.otlp_sample = arguments.flag("--otlp-sample", "1");
  WARY_ASSIGN_OR_RETURN(machine.drain, drain_of(arguments));
  machine.plain_listen = arguments.flag("--plain-listen", "");
  const auto listen = gateway::parse_upstream("http://" + machine.listen);
  const bool has_plain = machine.plain_listen.empty() || gateway::parse_upstream("http://" + machine.plain_listen);
  if (!listen || !has_plain) {
    return fail(ErrorKind::kInvalid, "listen_syntax", "this is no address to listen on")
        .at(!listen ? "--listen" : "--plain-listen")
        .expected("127.0.0.1:PORT or [::1]:PORT")
        .found(!listen ? machine.listen : machine.plain_listen)
        .next(!listen ? "leave it out for 127.0.0.1:7443" : "leave it out for none without TLS");
  }
  WARY_ASSIGN_OR_RETURN(machine.trust_domain, trust_domain_of(runtime, arguments, machine.data));
  WARY_RETURN_IF_ERROR(read_federation(context, arguments, machine));
  machine.console_origin = "https://console.localhost:" + std::to_string(listen->port);
  if (getuid() == 0) {
    machine.control = {kControlUid, kGroup};
    machine.signer = {kSignerUid, kGroup};
    machine.edge = {kEdgeUid, kGroup};
    machine.agent = {kAgentUid, kGroup};
    machine.federation = {kFederationUid, kGroup};
  }
  WARY_RETURN_IF_ERROR(check_programs());
  WARY_RETURN_IF_ERROR(make_directories(machine));
  WARY_ASSIGN_OR_RETURN(auto lock, runtime.files->open(machine.data + "/lock", io::OpenMode::kCreate));
  if (const Status locked = lock->lock(); !locked) {
    return fail(ErrorKind::kConflict, "data_in_use", "another wary runs on this data directory")
        .at(machine.data)
        .next("stop that one, or choose another directory with --data and another port with --listen");
  }
  Supervisor supervisor(runtime, machine.data + "/log");
  WARY_RETURN_IF_ERROR(start_processes(supervisor, machine));
  UpgradeService upgrades(runtime, supervisor, {machine.data, own_directory()});
  WARY_RETURN_IF_ERROR(upgrades.listen());
  WARY_RETURN_IF_ERROR(publish_keys(runtime, machine));
  WARY_RETURN_IF_ERROR(print_welcome(context, machine));
  keep_keys_published(runtime, machine);
  run_until_signal(runtime);
  context.out("stopping\n");
  supervisor.stop_all();
  return {};
}

// A machine that belongs to a control plane elsewhere: its agent alone.
Status run_node(cli::Context& context, const cli::Arguments& arguments) {
  block_signals();
  Runtime runtime = make_runtime("wary");
  Machine machine;
  machine.data = context.data;
  if (getuid() == 0) machine.agent = {kAgentUid, kGroup};
  const std::string program = own_directory() + "/wary-agent";
  if (access(program.c_str(), X_OK) != 0) {
    return fail(ErrorKind::kNotFound, "program_missing", "a program of wary is not beside this one, or cannot be run")
        .at(program)
        .next("install wary whole: all its programs belong in one directory");
  }
  WARY_RETURN_IF_ERROR(make_directory(machine.data, 0755, std::nullopt));
  if (machine.agent) WARY_RETURN_IF_ERROR(check_passage(machine));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/log", 0700, std::nullopt));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/run", 0755, std::nullopt));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/run/agent", 0711, machine.agent));
  WARY_RETURN_IF_ERROR(make_directory(machine.data + "/agent", 0700, machine.agent));
  WARY_ASSIGN_OR_RETURN(auto lock, runtime.files->open(machine.data + "/lock", io::OpenMode::kCreate));
  if (const Status locked = lock->lock(); !locked) {
    return fail(ErrorKind::kConflict, "data_in_use", "another wary runs on this data directory")
        .at(machine.data)
        .next("stop that one, or choose another directory with --data");
  }
  std::vector<std::string> agent = {program, "--directory", machine.data + "/agent", "--run", machine.data + "/run"};
  const auto pass = [&](const std::string& name, const std::string& value) {
    agent.push_back(name);
    agent.push_back(value);
  };
  for (const char* name :
       {"--server", "--ca", "--token-file", "--x509pop-chain", "--x509pop-key", "--tpm", "--tpm-chain"}) {
    std::string value = arguments.flag(name);
    if (value.empty()) continue;
    const bool is_file = std::string_view(name) != "--server" && std::string_view(name) != "--tpm";
    if (is_file && !value.starts_with('/') && !context.here.empty()) value = context.here + "/" + value;
    pass(name, value);
  }
  if (machine.agent) {
    pass("--uid", std::to_string(machine.agent->uid));
    pass("--gid", std::to_string(machine.agent->gid));
  }
  Supervisor supervisor(runtime, machine.data + "/log");
  WARY_RETURN_IF_ERROR(supervisor.start({"wary-agent", std::move(agent), std::nullopt}));
  context.out("this machine is a node\n  identity " + machine.data +
              "/run/agent/api.sock (SPIFFE Workload API)\n  log      " + machine.data + "/log/wary-agent.log\n");
  run_until_signal(runtime);
  context.out("stopping\n");
  supervisor.stop_all();
  return {};
}

std::vector<cli::Command> table() {
  std::vector<cli::Command> commands = cli::commands();
  commands.insert(
      commands.begin(),
      {{"dev"},
       {},
       "Start everything on this machine, on loopback",
       {{"--listen", "ADDRESS:PORT", "where the edge listens (default 127.0.0.1:7443)", false},
        {"--plain-listen", "ADDRESS:PORT",
         "and without TLS: sends on to https://, and serves what an App says (docs/gateway.md)", false},
        {"--workers", "COUNT", "threads of the edge", false, true},
        {"--proxy-from", "ADDRESS,...", "load balancers whose connections begin with the PROXY protocol, version 2",
         false},
        {"--drain", "SECONDS", "that open connections have to end when it stops (default 2)", false, true},
        {"--otlp", "URL", "an OpenTelemetry collector on this machine, for traces and metrics (http://127.0.0.1:4318)",
         false},
        {"--otlp-sample", "SHARE", "of the traces that begin here, 0 to 1 (default 1)", false},
        {"--pep-uids", "UID,...", "users whose programs may ask for decisions (docs/plugs.md)", false},
        {"--trust-domain", "NAME", "of a new data directory (default local)", false},
        {"--federation-listen", "ADDRESS:PORT", "serve the trust bundle by https_spiffe (docs/workloads.md)", false},
        {"--web-roots", "FILE", "CAs of other domains' https_web endpoints (default: the system's)", false},
        {"--refresh-hint", "SECONDS", "how often others are to fetch the bundle (default 300)", false}},
       "Keeps its data in the data directory and goes on with it the next time. Ends on Ctrl-C.",
       run_dev});
  commands.push_back(upgrade_command());
  commands.push_back(
      {{"node", "join"},
       {},
       "Make this machine a node of a wary elsewhere, and serve its programs",
       {{"--server", "URL", "https://HOST:PORT of that wary's edge, by its console's name", true},
        {"--ca", "FILE", "its CA, in PEM", true},
        {"--token-file", "FILE", "a token of wary node token"},
        {"--x509pop-chain", "FILE", "a device certificate and its intermediates, in PEM"},
        {"--x509pop-key", "FILE", "that certificate's key, in PEM"},
        {"--tpm", "TCTI", "a TPM 2.0, as device:/dev/tpmrm0"},
        {"--tpm-chain", "FILE", "intermediates of the TPM's endorsement certificate, in PEM"}},
       "What it shows is needed once: from then on its own key is enough, also after a restart. Ends on Ctrl-C.",
       run_node});
  commands.push_back({{"version"}, {}, "Print the version", {}, "", [](cli::Context& context, const cli::Arguments&) {
                        context.out("wary " + std::string(kVersion) + "\n");
                        return Status();
                      }});
  return commands;
}

}  // namespace
}  // namespace wary::apps

int main(int count, char** arguments) {
  using namespace wary;
  apps::Runtime runtime = apps::make_runtime("wary");
  cli::Context context{*runtime.system_clock,
                       *runtime.random,
                       *runtime.files,
                       apps::default_data(),
                       [](std::string_view text) { apps::write_all(STDOUT_FILENO, text); },
                       [](std::string_view text) { apps::write_all(STDERR_FILENO, text); },
                       false,
                       {}};
  std::vector<std::string> words(arguments + 1, arguments + count);
  for (char** one = environ; *one != nullptr; ++one) context.environment.emplace_back(*one);
  char here[4096];  // NOLINT: the C interface wants an array
  if (getcwd(here, sizeof here) != nullptr) context.here = here;
  return cli::run_cli(context, apps::table(), std::move(words));
}
