// wary-agent: a node's end: who the programs on it are. It holds their keys, in memory, and no other.
#include <netdb.h>
#include <unistd.h>

#include "apps/admin.h"
#include "apps/process.h"
#include "codec/uri.h"
#include "crypto/pem.h"
#include "io/resident.h"
#include "io/sandbox.h"
#include "node/membership.h"
#include "workload/agent.h"

namespace wary::apps {
namespace {

constexpr std::int64_t kFirstJoinTime = 8 * kNanosPerSecond;  // then whoever started it wants to know
constexpr std::int64_t kStartOver = kNanosPerSecond;
constexpr std::size_t kFileMost = std::size_t{1} << 20;

struct AgentProcess {
  Metrics metrics;
  std::unique_ptr<node::Membership> membership;
  std::unique_ptr<workload::Agent> agent;
  std::unique_ptr<http::Server> admin;
};

// What programs other users run is seen with two capabilities; as a person, one's own. Landlock would hide other
// processes' programs (it forbids what ptrace would), so the agent has none.
Status give_up_privileges(const Options& options) {
  const io::Identity identity{static_cast<uid_t>(options.number("--uid", std::int64_t{getuid()})),
                              static_cast<gid_t>(options.number("--gid", std::int64_t{getgid()}))};
  WARY_RETURN_IF_ERROR(io::drop_to(identity, io::agent_capabilities()));
  std::vector<std::string_view> calls(io::agent_process_calls().begin(), io::agent_process_calls().end());
  // A TPM is spoken to by a library that is loaded for it.
  if (options.has("--tpm")) {
    calls.insert(calls.end(), io::module_process_calls().begin(), io::module_process_calls().end());
  }
  return io::restrict_calls(calls);
}

workload::AgentParts parts_of(Runtime& runtime, AgentProcess& process) {
  return {*runtime.loop,
          *runtime.clock,
          *runtime.random,
          *runtime.files,
          *runtime.log,
          process.metrics,
          [&runtime](UnixTime floor) { runtime.clock->raise(floor); },
          nullptr,
          io::give_back_memory};
}

// The control plane is on this machine.
Status start_here(const Options& options, Runtime& runtime, AgentProcess& process) {
  const std::string run = options.text("--run");
  workload::AgentOptions agent;
  agent.node = "agent/local";
  agent.directory = options.text("--directory");
  agent.link = io::Address::unix_socket(run + "/waryd/link.sock");
  agent.socket = io::Address::unix_socket(run + "/agent/api.sock");
  WARY_ASSIGN_OR_RETURN(agent.snapshot_key, io::read_file(*runtime.files, run + "/waryd/snapshot.pub", 4096));
  WARY_ASSIGN_OR_RETURN(const Bytes domain, io::read_file(*runtime.files, run + "/waryd/trust-domain", 4096));
  agent.trust_domain = as_text(domain);
  process.agent = std::make_unique<workload::Agent>(parts_of(runtime, process), std::move(agent));
  WARY_RETURN_IF_ERROR(give_up_privileges(options));
  WARY_ASSIGN_OR_RETURN(process.admin, serve_metrics(*runtime.loop, process.metrics, options.text("--directory")));
  return process.agent->start();
}

// A name is looked up once, before privileges are given up; names under .localhost are this machine (RFC 6761).
Result<std::string> address_of(std::string host) {
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  if (host == "localhost" || host.ends_with(".localhost")) return std::string("127.0.0.1");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0 || found == nullptr) {
    return fail(ErrorKind::kUnavailable, "server_unknown", "this name has no address").at("--server").found(host);
  }
  char text[NI_MAXHOST];  // NOLINT: the C interface wants an array
  const int named = getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  if (named != 0) return fail(ErrorKind::kUnavailable, "server_unknown", "this name has no address").found(host);
  return std::string(text);
}

Result<node::Server> server_of(const std::string& url) {
  auto uri = codec::parse_uri(url);
  if (!uri || uri->scheme != "https" || uri->host.empty() || (uri->path != "/" && !uri->path.empty())) {
    return fail(ErrorKind::kInvalid, "server_syntax", "this is no address of a control plane")
        .at("--server")
        .expected("https://HOST:PORT")
        .found(url);
  }
  const std::string host(uri->host);
  const std::uint16_t port = uri->port != 0 ? uri->port : std::uint16_t{443};
  WARY_ASSIGN_OR_RETURN(const std::string address, address_of(host));
  return node::Server{{io::Address::tcp(address, port), host}, host + ":" + std::to_string(port)};
}

Result<node::MembershipOptions> membership_of(const Options& options, Runtime& runtime) {
  node::MembershipOptions made;
  made.directory = options.text("--directory");
  WARY_ASSIGN_OR_RETURN(made.server, server_of(options.text("--server")));
  WARY_ASSIGN_OR_RETURN(const Bytes ca, io::read_file(*runtime.files, options.text("--ca"), kFileMost));
  auto blocks = crypto::decode_pem(as_text(ca));
  if (!blocks) return std::move(blocks).error().at(options.text("--ca"));
  for (crypto::PemBlock& block : *blocks) made.roots.push_back(std::move(block.bytes));
  made.show.chain_file = options.text("--x509pop-chain");
  made.show.key_file = options.text("--x509pop-key");
  made.show.tpm = options.text("--tpm");
  made.show.endorsement_chain_file = options.text("--tpm-chain");
  if (!options.has("--token-file")) return made;
  auto token = io::read_file(*runtime.files, options.text("--token-file"), 4096);
  if (!token) {
    // Good once: it may be gone by the time of another start.
    if (io::read_file(*runtime.files, made.directory + "/node.json", kFileMost)) return made;
    return std::move(token).error();
  }
  const std::string_view text = as_text(*token);
  made.show.join_token = text.substr(0, text.find_first_of(" \t\r\n"));
  wipe(token->data(), token->size());
  return made;
}

Status begin_agent(const Options& options, Runtime& runtime, AgentProcess& process) {
  const node::Identity& identity = process.membership->identity();
  workload::AgentOptions agent;
  agent.node = "agent/" + identity.name;
  agent.directory = options.text("--directory");
  agent.trust_domain = identity.trust_domain;
  agent.snapshot_key = identity.snapshot_key;
  agent.socket = io::Address::unix_socket(options.text("--run") + "/agent/api.sock");
  agent.dial = process.membership->dialler();
  workload::AgentParts parts = parts_of(runtime, process);
  node::Membership* membership = process.membership.get();
  parts.authorities = [membership](const std::vector<Bytes>& roots) { membership->trust(roots); };
  process.agent = std::make_unique<workload::Agent>(std::move(parts), std::move(agent));
  WARY_RETURN_IF_ERROR(process.agent->start());
  runtime.log->info("agent.joined", {{"node", identity.name}, {"trust_domain", identity.trust_domain}});
  return {};
}

// The control plane is elsewhere: joined first, or known from before.
Status start_elsewhere(const Options& options, Runtime& runtime, AgentProcess& process) {
  WARY_ASSIGN_OR_RETURN(node::MembershipOptions membership, membership_of(options, runtime));
  process.membership = std::make_unique<node::Membership>(
      node::MembershipParts{*runtime.loop, *runtime.clock, *runtime.random, *runtime.files, *runtime.log},
      std::move(membership));
  WARY_RETURN_IF_ERROR(give_up_privileges(options));
  WARY_RETURN_IF_ERROR(process.membership->open());
  WARY_ASSIGN_OR_RETURN(process.admin, serve_metrics(*runtime.loop, process.metrics, options.text("--directory")));
  std::optional<Error> last;
  bool joined = false, begun = false;
  const io::TimerId timer = runtime.loop->after(kFirstJoinTime, [&] { runtime.loop->stop(); });
  process.membership->start([&](const Result<node::Identity>& identity) {
    if (begun) return;  // renewed
    joined = identity.ok();
    if (!identity) last = identity.error();
    if (joined || !node::may_pass(*last)) runtime.loop->stop();
  });
  runtime.loop->run();
  runtime.loop->cancel(timer);
  process.membership->on_joined(nullptr);
  begun = true;
  if (joined) return begin_agent(options, runtime, process);
  if (last) return *last;
  return fail(ErrorKind::kTimeout, "node_join", "the control plane did not answer in time")
      .at(options.text("--server"))
      .next("see that it runs there and that this machine reaches it");
}

Status start(const Options& options, Runtime& runtime, AgentProcess& process) {
  WARY_RETURN_IF_ERROR(io::harden_process());
  io::use_descriptors(20'000);
  return options.has("--server") ? start_elsewhere(options, runtime, process) : start_here(options, runtime, process);
}

}  // namespace
}  // namespace wary::apps

int main(int count, char** arguments) {
  using namespace wary;
  apps::block_signals();
  apps::Runtime runtime = apps::make_runtime("wary-agent");
  const auto options =
      apps::Options::parse(count, arguments,
                           {"--directory", "--run", "--uid", "--gid", "--server", "--ca", "--token-file",
                            "--x509pop-chain", "--x509pop-key", "--tpm", "--tpm-chain"});
  if (!options) return apps::report_failure(*runtime.log, options.error());
  apps::AgentProcess process;
  const Status started = apps::start(*options, runtime, process);
  if (!started) return apps::report_failure(*runtime.log, started.error());
  // What only the start needed: it knows its workloads by then, or waits for them.
  runtime.loop->after(apps::kStartOver, [] { io::give_back_memory(); });
  apps::run_until_signal(runtime);
  return 0;
}
