// wary-agent: a node's end: who the programs on it are. It holds their keys, in memory, and no other.
#include <unistd.h>

#include "apps/admin.h"
#include "apps/process.h"
#include "io/sandbox.h"
#include "workload/agent.h"

namespace wary::apps {
namespace {

struct AgentProcess {
  Metrics metrics;
  std::unique_ptr<workload::Agent> agent;
  std::unique_ptr<http::Server> admin;
};

Status start(const Options& options, Runtime& runtime, AgentProcess& process) {
  WARY_RETURN_IF_ERROR(io::harden_process());
  io::use_descriptors(20'000);
  const std::string run = options.text("--run");
  workload::AgentOptions agent;
  agent.node = "agent/" + options.text("--node", "local");
  agent.directory = options.text("--directory");
  agent.link = io::Address::unix_socket(run + "/waryd/link.sock");
  agent.socket = io::Address::unix_socket(run + "/agent/api.sock");
  WARY_ASSIGN_OR_RETURN(agent.snapshot_key, io::read_file(*runtime.files, run + "/waryd/snapshot.pub", 4096));
  WARY_ASSIGN_OR_RETURN(const Bytes domain, io::read_file(*runtime.files, run + "/waryd/trust-domain", 4096));
  agent.trust_domain = as_text(domain);
  process.agent = std::make_unique<workload::Agent>(
      workload::AgentParts{*runtime.loop, *runtime.clock, *runtime.random, *runtime.files, *runtime.log,
                           process.metrics, [&runtime](UnixTime floor) { runtime.clock->raise(floor); }},
      std::move(agent));
  // What programs other users run is seen with two capabilities; as a person, one's own. Landlock would hide other
  // processes' programs (it forbids what ptrace would), so the agent has none.
  const io::Identity identity{static_cast<uid_t>(options.number("--uid", std::int64_t{getuid()})),
                              static_cast<gid_t>(options.number("--gid", std::int64_t{getgid()}))};
  WARY_RETURN_IF_ERROR(io::drop_to(identity, io::agent_capabilities()));
  WARY_RETURN_IF_ERROR(io::restrict_calls(io::agent_process_calls()));
  WARY_ASSIGN_OR_RETURN(process.admin, serve_metrics(*runtime.loop, process.metrics, options.text("--directory")));
  return process.agent->start();
}

}  // namespace
}  // namespace wary::apps

int main(int count, char** arguments) {
  using namespace wary;
  apps::block_signals();
  apps::Runtime runtime = apps::make_runtime("wary-agent");
  const auto options = apps::Options::parse(count, arguments, {"--directory", "--run", "--node", "--uid", "--gid"});
  if (!options) return apps::report_failure(*runtime.log, options.error());
  apps::AgentProcess process;
  const Status started = apps::start(*options, runtime, process);
  if (!started) return apps::report_failure(*runtime.log, started.error());
  apps::run_until_signal(runtime);
  return 0;
}
