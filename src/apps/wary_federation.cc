// wary-federation: the one process that talks to other trust domains' servers and reads what they say. It holds no key
// but that of its own certificate.
#include <unistd.h>

#include "apps/admin.h"
#include "apps/process.h"
#include "crypto/pem.h"
#include "federation/federation.h"
#include "io/sandbox.h"

namespace wary::apps {
namespace {

constexpr std::string_view kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::size_t kRootsFileMax = std::size_t{1} << 20;
constexpr std::size_t kRootsMax = 1'000;

struct FederationProcess {
  Metrics metrics;
  std::unique_ptr<federation::Federation> federation;
  std::unique_ptr<http::Server> admin;
};

// The web's CAs as their file says now; read again before each use, built again when it changed.
class WebRoots {
 public:
  WebRoots(io::Files& files, std::string path) : files_(files), path_(std::move(path)) {}

  Result<crypto::TrustRoots> now() {
    auto text = io::read_file(files_, path_, kRootsFileMax);
    if (!text) return refused(text.error().message);
    if (built_ && *text == text_) return *built_;
    auto blocks = crypto::decode_pem(as_text(*text), {.items = kRootsMax});
    if (!blocks) return refused(blocks.error().message);
    std::vector<Bytes> roots;
    for (crypto::PemBlock& block : *blocks) {
      // One certificate of a public list that cannot be read must not take the others away.
      if (block.label == "CERTIFICATE" && crypto::TrustRoots::build({block.bytes})) {
        roots.push_back(std::move(block.bytes));
      }
    }
    if (roots.empty()) return refused("there is no certificate authority in it");
    WARY_ASSIGN_OR_RETURN(built_, crypto::TrustRoots::build(roots));
    text_ = std::move(text).value();
    return *built_;
  }

 private:
  Error refused(std::string_view why) const {
    return fail(ErrorKind::kUnavailable, "federation_web_roots", why)
        .at(path_)
        .next("install ca-certificates, or name a file of certificates with --web-roots");
  }
  io::Files& files_;
  std::string path_;
  Bytes text_;
  std::optional<crypto::TrustRoots> built_;
};

// "127.0.0.1:8443" or "[::1]:8443": loopback only, as the edge.
Result<std::optional<io::Address>> parse_federation_listen(const std::string& text) {
  if (text.empty()) return std::optional<io::Address>();
  const auto url = codec::parse_uri("https://" + text);
  const std::string host = url && url->host.starts_with('[') ? "::1" : url ? url->host : "";
  const bool is_loopback =
      url && !io::address_bytes(url->host).empty() && (host.starts_with("127.") || url->host == "[::1]");
  if (is_loopback && url->port != 0 && url->path == "/") return std::optional(io::Address::tcp(host, url->port));
  return fail(ErrorKind::kDenied, "listen_not_loopback", "development mode listens on loopback only")
      .at("--federation-listen")
      .expected("127.0.0.1:PORT or [::1]:PORT")
      .found(std::string_view(text));
}

Status start(const Options& options, Runtime& runtime, FederationProcess& process) {
  WARY_RETURN_IF_ERROR(io::harden_process());
  const std::string run = options.text("--run"), directory = options.text("--directory");
  federation::FederationOptions federation;
  federation.node = "federation/local";
  federation.directory = directory;
  federation.link = io::Address::unix_socket(run + "/waryd/link.sock");
  WARY_ASSIGN_OR_RETURN(const std::optional<io::Address> listen, parse_federation_listen(options.text("--listen")));
  federation.listen = listen;
  WARY_ASSIGN_OR_RETURN(federation.snapshot_key, io::read_file(*runtime.files, run + "/waryd/snapshot.pub", 4096));
  WARY_ASSIGN_OR_RETURN(const Bytes domain, io::read_file(*runtime.files, run + "/waryd/trust-domain", 4096));
  federation.trust_domain = as_text(domain);
  const std::string roots = options.text("--web-roots", std::string(kSystemRoots));
  const auto web_roots = std::make_shared<WebRoots>(*runtime.files, roots);
  process.federation = std::make_unique<federation::Federation>(
      federation::FederationParts{*runtime.loop, *runtime.clock, *runtime.random, *runtime.files, *runtime.log,
                                  process.metrics, [&runtime](UnixTime floor) { runtime.clock->raise(floor); },
                                  [web_roots] { return web_roots->now(); }},
      std::move(federation));
  WARY_ASSIGN_OR_RETURN(process.admin, serve_metrics(*runtime.loop, process.metrics, directory));
  WARY_RETURN_IF_ERROR(io::drop_to({getuid(), getgid()}));
  // The list of web roots may be replaced by another file of that name; the system's resolver reads below /etc.
  std::vector<std::string> read_only = {"/etc"};
  if (const std::string parent = roots.substr(0, roots.rfind('/')); access(parent.c_str(), R_OK) == 0) {
    read_only.push_back(parent);
  }
  const Status files = io::restrict_files({directory}, read_only);
  if (!files && files.error().code != "sandbox_landlock_missing") return files;
  WARY_RETURN_IF_ERROR(io::restrict_calls(io::resolving_process_calls()));
  Status started = process.federation->start();
  if (started || !listen) return started;
  return with_listen_option(std::move(started).error(), *listen, "--federation-listen");
}

}  // namespace
}  // namespace wary::apps

int main(int count, char** arguments) {
  using namespace wary;
  apps::block_signals();
  apps::Runtime runtime = apps::make_runtime("wary-federation");
  const auto options = apps::Options::parse(count, arguments, {"--directory", "--run", "--listen", "--web-roots"});
  if (!options) return apps::report_failure(*runtime.log, options.error());
  apps::FederationProcess process;
  const Status started = apps::start(*options, runtime, process);
  if (!started) return apps::report_failure(*runtime.log, started.error());
  apps::run_until_signal(runtime);
  return 0;
}
