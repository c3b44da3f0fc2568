// wary-edge: the data plane. It holds no key that lives longer than a day and no privilege at all.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "apps/process.h"
#include "apps/succession.h"
#include "codec/text.h"
#include "gateway/edge.h"
#include "identity/signer_service.h"
#include "io/sandbox.h"
#include "pdp/service.h"
#include "telemetry/exporter.h"

namespace wary::apps {
namespace {

// "127.0.0.1:7443" or "[::1]:7443"; loopback only, until there is a mode in which anything else is meant.
Result<io::Address> parse_listen(const std::string& text) {
  WARY_ASSIGN_OR_RETURN(const io::Address address, gateway::parse_upstream("http://" + text));
  const bool loopback = address.host.starts_with("127.") || address.host == "::1";
  if (loopback) return address;
  return fail(ErrorKind::kDenied, "listen_not_loopback", "development mode listens on loopback only")
      .found(std::string_view(text))
      .next("use 127.0.0.1:PORT");
}

// "33,1000"
Result<std::vector<uid_t>> parse_uids(std::string_view text) {
  std::vector<uid_t> out;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(','));
    uid_t uid = 0;
    const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), uid);
    if (error != std::errc() || end != one.data() + one.size() || out.size() == 64) {
      return fail(ErrorKind::kInvalid, "pep_uid", "this is no list of user numbers")
          .expected("at most 64 numbers with commas between")
          .found(text);
    }
    out.push_back(uid);
    text.remove_prefix(std::min(one.size() + 1, text.size()));
  }
  return out;
}

// What main() keeps for as long as the process runs, in the order in which it is made.
struct Parts {
  std::unique_ptr<telemetry::Exporter> exporter;
  std::unique_ptr<gateway::Edge> edge;
  std::unique_ptr<pdp::PointAuthority> authority;
  std::unique_ptr<pdp::Service> decisions;
  std::unique_ptr<Succession> succession;
};

// Where other enforcement points ask.
Status make_decisions(const Options& options, Runtime& runtime, Parts& parts) {
  WARY_ASSIGN_OR_RETURN(const std::vector<uid_t> peers, parse_uids(options.text("--pep-uids")));
  gateway::Edge& edge = *parts.edge;
  parts.authority = std::make_unique<pdp::PointAuthority>(
      edge.decision_point(), edge.shared(), *runtime.clock,
      [&edge](std::string_view host, std::string_view path) { return edge.resource_of(host, path); });
  parts.decisions = std::make_unique<pdp::Service>(
      *runtime.loop, *parts.authority, pdp::ServiceOptions{options.text("--run") + "/edge", getuid(), getpid(), peers});
  return {};
}

// Where it listens; without TLS only where that was asked for, and never on the same port.
Status read_addresses(const Options& options, gateway::EdgeOptions& out) {
  WARY_ASSIGN_OR_RETURN(out.listen, parse_listen(options.text("--listen", "127.0.0.1:7443")));
  const std::string plain = options.text("--plain-listen");
  if (plain.empty()) return {};
  WARY_ASSIGN_OR_RETURN(out.listen_plain, parse_listen(plain));
  if (out.listen_plain->to_string() != out.listen.to_string()) return {};
  return fail(ErrorKind::kInvalid, "listen_twice", "one port is with TLS or without")
      .at("--plain-listen")
      .found(std::string_view(plain))
      .next("use another port");
}

// How many descriptors each worker has for clients and applications. Some are the edge's own (of other enforcement
// points alone 512): a worker that could not open one more would reach no application, and take nobody in for whom one
// at rest would give way.
std::size_t descriptors_each(std::size_t workers) {
  constexpr std::uint64_t kOwn = 1000, kLeast = 32, kMost = 2 * gateway::kConnectionsMost;
  const std::uint64_t shares = std::max<std::uint64_t>(workers, 1);
  const std::uint64_t limit = io::use_descriptors(kOwn + shares * kMost);
  const std::uint64_t each = (limit - std::min(kOwn, limit / 4)) / shares;
  return static_cast<std::size_t>(std::clamp(each, kLeast, kMost));
}

SuccessionOptions succession_options(const Options& options, const gateway::EdgeOptions& edge) {
  SuccessionOptions out{options.text("--directory"), options.text("--run"), edge.listen.to_string(), edge.listen,
                        edge.listen_plain};
  if (edge.listen_plain) out.listen += " plain " + edge.listen_plain->to_string();
  out.takes_over = options.has("--take-over");
  constexpr std::int64_t kMost = gateway::kDrainSecondsMost;
  out.drain_seconds =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(options.number("--take-over", kMost), 0, kMost));
  return out;
}

std::vector<std::string> list_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

// Where spans and metrics go, if they go anywhere.
Status make_exporter(const Options& options, Runtime& runtime, Metrics& metrics, Parts& parts) {
  const std::string url = options.text("--otlp");
  if (url.empty()) return {};
  WARY_ASSIGN_OR_RETURN(telemetry::ExporterOptions to, telemetry::parse_endpoint(url));
  const std::string share = options.text("--otlp-sample", "1");
  const auto [end, error] = std::from_chars(share.data(), share.data() + share.size(), to.sample);
  if (error != std::errc() || end != share.data() + share.size() || !(to.sample >= 0 && to.sample <= 1)) {
    return fail(ErrorKind::kInvalid, "otlp_sample", "this is no share of the traces")
        .expected("a number from 0 to 1")
        .found(std::string_view(share));
  }
  std::array<std::uint8_t, 8> instance{};
  runtime.random->fill(instance);
  to.resource = {{"service.name", std::string("wary-edge")},
                 {"service.instance.id", codec::encode_hex(instance)},
                 {"process.pid", std::int64_t{getpid()}}};
  parts.exporter =
      std::make_unique<telemetry::Exporter>(*runtime.loop, *runtime.clock, metrics, *runtime.log, std::move(to));
  parts.exporter->start();
  return {};
}

Status listen(gateway::Edge& edge, const io::Address& secure, const std::optional<io::Address>& plain) {
  Status started = edge.start();
  if (started) return started;
  Error why = with_listen_option(std::move(started).error(), secure, "--listen");
  return plain ? with_listen_option(std::move(why), *plain, "--plain-listen") : why;
}

Status start(const Options& options, Runtime& runtime, Metrics& metrics, identity::SignerClient& signer, Parts& parts) {
  WARY_RETURN_IF_ERROR(io::harden_process());
  const std::string directory = options.text("--directory");
  const std::string run = options.text("--run");
  WARY_ASSIGN_OR_RETURN(const identity::SignerClient::PublicKeys keys, signer.public_keys(kSignerPatience));
  gateway::EdgeOptions edge_options;
  edge_options.directory = directory;
  WARY_RETURN_IF_ERROR(read_addresses(options, edge_options));
  edge_options.link = io::Address::unix_socket(run + "/waryd/link.sock");
  edge_options.console_origin = options.text("--console-origin");
  edge_options.trust_domain = keys.trust_domain;
  edge_options.snapshot_key = keys.snapshot;
  edge_options.proxy_peers = list_of(options.text("--proxy-from"));
  edge_options.workers = static_cast<std::size_t>(options.number("--workers", 2));
  edge_options.descriptors_max = descriptors_each(edge_options.workers);
  const io::Address secure = edge_options.listen;
  const std::optional<io::Address> plain = edge_options.listen_plain;
  const SuccessionOptions succession = succession_options(options, edge_options);
  edge_options.takes_over = succession.takes_over;
  parts.succession = std::make_unique<Succession>(runtime, metrics, succession);
  WARY_RETURN_IF_ERROR(parts.succession->call());
  const auto issue = [&signer](ByteView csr,
                               const std::vector<std::string>& names) -> Result<gateway::IssuedCertificate> {
    WARY_ASSIGN_OR_RETURN(identity::SignerClient::Issued issued, signer.issue_names(csr, names));
    return gateway::IssuedCertificate{std::move(issued.chain), issued.not_after};
  };
  const auto issue_own = [&signer](ByteView csr, const std::string& id) -> Result<gateway::IssuedCertificate> {
    WARY_ASSIGN_OR_RETURN(identity::SignerClient::Issued issued, signer.issue_workload(csr, id));
    return gateway::IssuedCertificate{std::move(issued.chain), issued.not_after};
  };
  const auto trusted = [&signer]() -> Result<gateway::TrustedRoots> {
    WARY_ASSIGN_OR_RETURN(identity::Authorities now, signer.authorities());
    return gateway::TrustedRoots{std::move(now.x509_roots), now.sequence};
  };
  WARY_RETURN_IF_ERROR(make_exporter(options, runtime, metrics, parts));
  std::unique_ptr<gateway::Edge>& edge = parts.edge;
  edge = std::make_unique<gateway::Edge>(
      gateway::EdgeParts{*runtime.loop, *runtime.clock, *runtime.random, *runtime.files, *runtime.log, metrics, issue,
                         trusted, [&runtime](UnixTime floor) { runtime.clock->raise(floor); }, parts.exporter.get(),
                         issue_own, [&signer] { signer.interrupt(); }},
      std::move(edge_options));
  if (Status opened = edge->open(); !opened) {
    return advised(std::move(opened).error(), directory,
                   "restore that file from a copy, or remove it: what it holds and was not shipped yet is lost then");
  }
  WARY_RETURN_IF_ERROR(make_decisions(options, runtime, parts));
  WARY_RETURN_IF_ERROR(parts.succession->begin(*edge, *parts.decisions));
  WARY_RETURN_IF_ERROR(io::drop_to({getuid(), getgid()}));
  // Connecting to the sockets under run/ needs no right; making one there, in another process's place, is not for the
  // edge.
  const Status files = io::restrict_files({directory}, {});
  if (!files && files.error().code != "sandbox_landlock_missing") return files;
  WARY_RETURN_IF_ERROR(io::restrict_calls(io::network_process_calls()));
  WARY_RETURN_IF_ERROR(listen(*edge, secure, plain));
  parts.succession->prepare();
  return {};
}

}  // namespace
}  // namespace wary::apps

int main(int count, char** arguments) {
  using namespace wary;
  apps::block_signals();
  apps::Runtime runtime = apps::make_runtime("wary-edge");
  const auto options =
      apps::Options::parse(count, arguments,
                           {"--directory", "--run", "--listen", "--workers", "--console-origin", "--pep-uids",
                            "--proxy-from", "--drain", "--plain-listen", "--take-over", "--otlp", "--otlp-sample"});
  if (!options) return apps::report_failure(*runtime.log, options.error());
  Metrics metrics;
  identity::SignerClient signer(*runtime.clock, options->text("--run") + "/signer/edge.sock");
  apps::Parts parts;
  const Status started = apps::start(*options, runtime, metrics, signer, parts);
  if (!started) return apps::report_failure(*runtime.log, started.error());
  apps::run_until_signal(runtime, false);  // its succession says when it is ready
  if (const auto& failure = parts.succession->failure()) return apps::report_failure(*runtime.log, *failure);
  // What runs ends as its protocol has it, within the time; a second signal does not wait for it.
  if (!parts.succession->has_drained()) {
    parts.edge->drain([&runtime] { runtime.loop->stop(); });
    runtime.loop->after(options->number("--drain", 2) * kNanosPerSecond, [&runtime] { runtime.loop->stop(); });
    runtime.loop->run();
  }
  parts.edge->stop();
  if (parts.exporter) {
    parts.exporter->flush([&runtime] { runtime.loop->stop(); });
    runtime.loop->run();
  }
  return 0;
}
