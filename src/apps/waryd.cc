// waryd: the control plane: resources, policy, ledger, API. Its sockets are local; the edge is its only door to a
// network.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "apps/process.h"
#include "codec/text.h"
#include "control/api.h"
#include "control/api_keys.h"
#include "control/issuers.h"
#include "control/nodes.h"
#include "control/trust_domains.h"
#include "control/workload_identity.h"
#include "crypto/pem.h"
#include "identity/signer_queue.h"
#include "identity/signer_service.h"
#include "io/sandbox.h"
#include "ledger/note.h"
#include "spiffe/bundle.h"

namespace wary::apps {
namespace {

constexpr std::int64_t kSweepEvery = 600 * kNanosPerSecond;
constexpr std::int64_t kRootsEvery = 60 * kNanosPerSecond;
constexpr std::int64_t kRefreshHintMax = 24 * 3600;  // seconds
constexpr std::int64_t kCheckpointEvery = 60 * kNanosPerSecond;

// Everything that lives as long as the process, in the order in which it must go.
struct Control {
  Metrics metrics;
  std::unique_ptr<identity::SignerClient> signer;         // this thread's
  std::unique_ptr<identity::SignerClient> ledger_signer;  // the ledger's thread's
  std::unique_ptr<identity::SignerQueue> certificates;    // workloads', many at once
  std::unique_ptr<control::Plane> plane;
  std::unique_ptr<control::SignIn> sign_in;
  std::unique_ptr<control::Api> api;
  std::unique_ptr<control::WorkloadIdentity> workloads;
  std::unique_ptr<control::Nodes> nodes;
  std::unique_ptr<control::TrustDomains> trust_domains;
  std::unique_ptr<control::Issuers> issuers;
  std::unique_ptr<http::Server> admin;
  std::unique_ptr<http::Server> console;
  std::unique_ptr<ledger::LedgerWriter> ledger;
  std::uint64_t roots_sequence = 0;    // of the roots that were written for clients
  std::int64_t refresh_hint = 0;       // seconds: how often others are to fetch the trust domain's bundle
  std::int64_t recorded_revision = 0;  // the newest that an event of the ledger was decided or changed at
};

// A store that lost its end, or all of it, would take back revocations in silence.
Status check_store(const control::Plane& plane, std::int64_t recorded, const std::string& directory) {
  const auto revision = static_cast<std::int64_t>(plane.snapshot()->revision());
  if (revision >= recorded) return {};
  return fail(ErrorKind::kDataLoss, "store_behind_ledger",
              "the ledger has decisions of a later state than what is stored")
      .at(directory + "/objects")
      .expected("revision " + std::to_string(recorded) + " or later")
      .found(std::to_string(revision))
      .next("restore that directory from its newest copy; nothing is decided by a state that lost changes");
}

Result<std::unique_ptr<ledger::LedgerWriter>> open_ledger(const Options& options, Runtime& runtime, Control& control,
                                                          const std::string& vkey) {
  identity::SignerClient* signer = control.ledger_signer.get();
  const auto sign = [signer](ByteView text) { return signer->sign("ledger.sign", text); };
  const std::string directory = options.text("--directory") + "/ledger";
  auto made = ledger::Ledger::open(*runtime.files, directory, *runtime.clock, sign, {.vkey = vkey});
  if (!made) {
    return advised(std::move(made).error(), directory,
                   "restore that file, and the signer's directory if it was lost, from their newest copies");
  }
  auto opened = std::move(made).value();
  // Time does not go back before what was recorded: nothing that ended begins again.
  if (const std::uint64_t size = opened->head().size; size != 0) {
    WARY_ASSIGN_OR_RETURN(const contract::Event last, opened->read(size - 1));
    if (runtime.system_clock->unix_time() < last.receive_time) {
      runtime.log->warn("clock.behind", {{"last_recorded", to_rfc3339(last.receive_time)},
                                         {"now", to_rfc3339(runtime.system_clock->unix_time())}});
    }
    runtime.clock->raise(last.receive_time);
    // Every decision and change is recorded with its revision, after the store had it.
    WARY_ASSIGN_OR_RETURN(control.recorded_revision, control::newest_revision(*opened, 1));
  }
  return std::make_unique<ledger::LedgerWriter>(std::move(opened), *runtime.clock, ledger::LedgerWriterOptions{});
}

Result<codec::Json> issue_workload(identity::SignerClient& signer, const std::string& csr, const std::string& id) {
  WARY_ASSIGN_OR_RETURN(const Bytes request, codec::decode_base64(csr));
  WARY_ASSIGN_OR_RETURN(const identity::SignerClient::Issued issued, signer.issue_workload(request, id));
  WARY_ASSIGN_OR_RETURN(const identity::Authorities trusted, signer.authorities());
  const auto list = [](const std::vector<Bytes>& certificates) {
    codec::Json items = codec::Json::array();
    for (const Bytes& certificate : certificates) items.push(codec::Json(codec::encode_base64(certificate)));
    return items;
  };
  codec::Json out = codec::Json::object();
  out.set("chain", list(issued.chain)).set("roots", list(trusted.x509_roots));
  out.set("expires", to_rfc3339(issued.not_after));
  return out;
}

Result<codec::Json> rotate_authority(identity::SignerClient& signer, const codec::Json& request) {
  const std::string_view kind = request.string_or("kind", "");
  identity::Authority::Rotation rotation;
  const auto found = std::ranges::find(identity::kKeyKinds, kind, [](auto one) { return identity::to_string(one); });
  if (found == identity::kKeyKinds.end()) {
    return fail(ErrorKind::kInvalid, "ca_kind", "what is to be replaced is not named")
        .expected("root, intermediate or token")
        .found(kind);
  }
  rotation.kind = *found;
  rotation.at_once = request.bool_or("atOnce", false);
  rotation.grace_seconds = request.integer_or("graceSeconds", 0);
  WARY_ASSIGN_OR_RETURN(const identity::Authorities trusted, signer.rotate(rotation));
  codec::Json out = codec::Json::object();
  out.set("roots", static_cast<std::int64_t>(trusted.x509_roots.size()));
  out.set("token_keys", static_cast<std::int64_t>(trusted.jwt.size()));
  return out.set("sequence", static_cast<std::int64_t>(trusted.sequence));
}

// The first start makes whom the machine belongs to, and the namespace that commands use when none is named.
Status make_owner(control::Plane& plane) {
  const store::Key owner = control::key_of(control::kTenantWide, "User", "owner");
  if (plane.objects().find(owner) != nullptr) return {};
  const auto stored = [](codec::Json spec) {
    return codec::Json::object({{"labels", codec::Json::object()}, {"spec", std::move(spec)}});
  };
  codec::Json user = codec::Json::object();
  user.set("displayName", "Owner").set("groups", codec::Json::array({codec::Json("owners")}));
  control::Change change;
  change.writes.push_back({control::key_of(control::kTenantWide, "Group", "owners"), stored(codec::Json::object())});
  change.writes.push_back({owner, stored(std::move(user))});
  change.writes.push_back(
      {control::key_of(control::kTenantWide, "Namespace", "default"), stored(codec::Json::object())});
  change.event.class_uid = contract::EventClass::kApplicationLifecycle;
  change.event.action = "platform.initialise";
  change.event.detail = "{}";
  auto committed = plane.commit(std::move(change));
  return committed ? Status() : Status(std::move(committed).error());
}

Status open_plane(const Options& options, Runtime& runtime, Control& control,
                  const identity::SignerClient::PublicKeys& keys) {
  const uid_t edge = static_cast<uid_t>(options.number("--edge-uid", std::int64_t{getuid()}));
  const uid_t agent = static_cast<uid_t>(options.number("--agent-uid", std::int64_t{getuid()}));
  const uid_t federation = static_cast<uid_t>(options.number("--federation-uid", std::int64_t{getuid()}));
  control::Settings settings;
  settings.trust_domain = keys.trust_domain;
  settings.console_host = "console.localhost";
  settings.console_socket = options.text("--run") + "/waryd/console.sock";
  identity::SignerClient* signer = control.signer.get();
  control::PlaneParts parts{*runtime.loop,
                            *runtime.clock,
                            *runtime.random,
                            *runtime.files,
                            *runtime.log,
                            control.metrics,
                            *control.ledger,
                            [signer](ByteView message) { return signer->sign("snapshot.sign", message); },
                            [edge, agent, federation](const io::PeerCredentials& peer, std::string_view node) {
                              // This machine's; another node's agent comes over the edge.
                              if (node == "agent/local") return peer.uid == agent;
                              if (node == "federation/local") return peer.uid == federation;
                              if (node.starts_with("agent/") || node.starts_with("federation/")) return false;
                              return peer.uid == edge ||
                                     (node.empty() && (peer.uid == agent || peer.uid == federation));
                            }};
  auto plane = control::Plane::open(parts, settings, options.text("--directory"));
  if (!plane) {
    return advised(std::move(plane).error(), options.text("--directory") + "/objects",
                   "restore that directory from its newest copy");
  }
  control.plane = std::move(plane).value();
  WARY_RETURN_IF_ERROR(check_store(*control.plane, control.recorded_revision, options.text("--directory")));
  return make_owner(*control.plane);
}

Status listen(const Options& options, Runtime& runtime, Control& control) {
  const std::string run = options.text("--run");
  const uid_t admin = static_cast<uid_t>(options.number("--admin-uid", std::int64_t{getuid()}));
  const uid_t edge = static_cast<uid_t>(options.number("--edge-uid", std::int64_t{getuid()}));
  control::Api* api = control.api.get();
  control.admin =
      std::make_unique<http::Server>(*runtime.loop, [api, admin](const control::Api::ExchangePtr& exchange) {
        // The kernel says who this is: the machine's owner, or nobody.
        const uid_t uid = exchange->request().peer.uid;
        if (uid != admin && uid != 0) {
          return control::send_error(exchange, fail(ErrorKind::kDenied, "admin_socket", "this socket is the owner's"));
        }
        api->handle_admin(exchange);
      });
  control.console =
      std::make_unique<http::Server>(*runtime.loop, [api, edge](const control::Api::ExchangePtr& exchange) {
        if (exchange->request().peer.uid != edge) {
          return control::send_error(exchange, fail(ErrorKind::kDenied, "console_socket", "this socket is the edge's"));
        }
        api->handle_console(exchange);
      });
  control.admin->is_known = [admin](const io::PeerCredentials& peer) { return peer.uid == admin || peer.uid == 0; };
  control.console->is_known = [edge](const io::PeerCredentials& peer) { return peer.uid == edge; };
  WARY_RETURN_IF_ERROR(control.admin->listen(io::Address::unix_socket(run + "/waryd/admin.sock"), {.mode = 0666}));
  WARY_RETURN_IF_ERROR(control.console->listen(io::Address::unix_socket(run + "/waryd/console.sock"), {.mode = 0666}));
  return control.plane->listen(io::Address::unix_socket(run + "/waryd/link.sock"));
}

// A checkpoint commits to everything before it: what is cut off behind the newest one cannot be missed, so there is one
// a minute and one at the end. The ledger's thread makes it.
void checkpoint(Runtime& runtime, Control& control) {
  Log* log = runtime.log.get();
  (void)control.ledger->run([log](ledger::Ledger& ledger) {
    const auto note = ledger.checkpoint();
    if (!note) log->warn("ledger.no_checkpoint", {{"code", note.error().code}, {"where", note.error().where}});
  });
}
void keep_checkpoints(Runtime& runtime, Control& control) {
  checkpoint(runtime, control);
  runtime.loop->after(kCheckpointEvery, [&] { keep_checkpoints(runtime, control); });
}

void sweep(Runtime& runtime, Control& control) {
  control.sign_in->sweep();
  runtime.loop->after(kSweepEvery, [&] { sweep(runtime, control); });
}

Result<ledger::NoteVerifier> make_verifier(const identity::SignerClient::PublicKeys& keys) {
  WARY_ASSIGN_OR_RETURN(const crypto::PublicKey key,
                        crypto::PublicKey::from_raw(crypto::KeyType::kEd25519, keys.ledger));
  return ledger::NoteVerifier::of(keys.origin, key);
}

Result<std::string> bundle_text(const identity::Authorities& trusted, const std::string& trust_domain,
                                std::int64_t refresh_hint) {
  spiffe::Bundle bundle;
  bundle.trust_domain = trust_domain;
  bundle.x509_authorities = trusted.x509_roots;
  for (const identity::JwtAuthority& authority : trusted.jwt) {
    WARY_ASSIGN_OR_RETURN(crypto::VerifyKey key, crypto::VerifyKey::decode_spki(authority.spki));
    bundle.jwt_authorities.push_back({std::move(key), authority.kid, {}, {}, {}});
  }
  bundle.sequence = static_cast<std::int64_t>(trusted.sequence);
  bundle.refresh_hint_s = refresh_hint;
  return spiffe::write_bundle(bundle);
}

// What is trusted, for clients that need a file and for every node; anew when the signer rotated.
Status publish_authorities(Runtime& runtime, Control& control, const std::string& path) {
  WARY_ASSIGN_OR_RETURN(const identity::Authorities trusted, control.signer->authorities());
  if (trusted.sequence == control.roots_sequence) return {};
  std::string text;
  for (const Bytes& root : trusted.x509_roots) text += crypto::encode_pem("CERTIFICATE", root);
  WARY_RETURN_IF_ERROR(io::write_file_atomically(*runtime.files, path, as_bytes(text)));
  WARY_ASSIGN_OR_RETURN(const std::string bundle,
                        bundle_text(trusted, control.plane->settings().trust_domain, control.refresh_hint));
  WARY_RETURN_IF_ERROR(control.workloads->publish(bundle));
  control.roots_sequence = trusted.sequence;
  return {};
}

void keep_authorities(Runtime& runtime, Control& control, const std::string& path) {
  runtime.loop->after(kRootsEvery, [&runtime, &control, path] {
    const Status written = publish_authorities(runtime, control, path);
    if (!written) runtime.log->warn("waryd.authorities_not_published", {{"code", written.error().code}});
    keep_authorities(runtime, control, path);
  });
}

// What edges, agents and the federation's process ask over the link: each by the name it may have.
Status serve_nodes(Runtime& runtime, Control& control, const Bytes& snapshot_key) {
  identity::SignerClient* signer = control.signer.get();
  const auto issue = [signer](ByteView csr, const std::string& id, std::int64_t ttl) -> Result<std::vector<Bytes>> {
    WARY_ASSIGN_OR_RETURN(identity::SignerClient::Issued issued, signer->issue_workload(csr, id, ttl));
    return std::move(issued.chain);
  };
  const auto roots = [signer]() -> Result<std::vector<Bytes>> {
    WARY_ASSIGN_OR_RETURN(identity::Authorities trusted, signer->authorities());
    return std::move(trusted.x509_roots);
  };
  control.nodes = std::make_unique<control::Nodes>(
      *control.plane, control::NodesParts{*runtime.clock, *runtime.random, *runtime.log, issue, roots, snapshot_key});
  control.api->set_nodes(control.nodes.get());
  const auto queued = [queue = control.certificates.get()](Bytes csr, const std::string& id, std::uint32_t ttl,
                                                           control::WorkloadIdentityParts::Issued done) {
    queue->issue(std::move(csr), id, ttl, [done = std::move(done)](Result<identity::Authority::Issued> issued) {
      if (!issued) return done(std::move(issued).error());
      done(std::move(issued->chain));
    });
  };
  control::WorkloadIdentityParts parts{*runtime.clock, *runtime.random, *runtime.log, queued,
                                       [signer](const std::string& id, const std::vector<std::string>& audiences,
                                                std::int64_t ttl) { return signer->sign_jwt(id, audiences, ttl); }};
  control.workloads = std::make_unique<control::WorkloadIdentity>(*control.plane, std::move(parts));
  control.trust_domains = std::make_unique<control::TrustDomains>(
      *control.plane, control::TrustDomainsParts{*runtime.clock, *runtime.log, issue});
  control.issuers =
      std::make_unique<control::Issuers>(*control.plane, control::IssuersParts{*runtime.clock, *runtime.log});
  control.plane->on_call = [&control](const std::string& node, const codec::Json& call,
                                      std::function<void(codec::Json)> reply) {
    const std::string_view operation = call.string_or("op", "");
    if (node.starts_with("agent/")) {
      if (operation == "svid.issue" || operation == "svid.jwt") {
        return control.workloads->handle(node, call, std::move(reply));
      }
      return reply(codec::Json::object());
    }
    if (node.starts_with("federation/")) {
      if (operation.starts_with("jwks.")) return control.issuers->handle(node, call, std::move(reply));
      return control.trust_domains->handle(node, call, std::move(reply));
    }
    if (operation == "jwks.missing") return control.issuers->handle(node, call, std::move(reply));
    codec::Json answer = codec::Json::object();
    if (operation == "redeem") {
      const auto token =
          control.sign_in->redeem_code(std::string(call.string_or("code", "")), std::string(call.string_or("host", "")),
                                       std::string(call.string_or("state", "")));
      if (token) answer.set("token", std::string_view(token->secret));
    }
    reply(std::move(answer));
  };
  return {};
}

// A public file, for those who may pass to this process's directory.
Status publish(Runtime& runtime, const std::string& path, ByteView bytes) {
  WARY_RETURN_IF_ERROR(io::write_file_atomically(*runtime.files, path, bytes));
  if (chmod(path.c_str(), 0644) == 0) return {};
  return fail(ErrorKind::kUnavailable, "run_directory", "a public file cannot be made readable").at(path);
}

Status start(const Options& options, Runtime& runtime, Control& control) {
  WARY_RETURN_IF_ERROR(io::harden_process());
  const std::string run = options.text("--run"), directory = options.text("--directory");
  control.refresh_hint =
      std::clamp<std::int64_t>(options.number("--refresh-hint", spiffe::kRefreshHintDefault), 1, kRefreshHintMax);
  const std::string socket = run + "/signer/control.sock";
  control.signer = std::make_unique<identity::SignerClient>(*runtime.clock, socket);
  control.ledger_signer = std::make_unique<identity::SignerClient>(*runtime.clock, socket);
  control.certificates = std::make_unique<identity::SignerQueue>(*runtime.loop, socket);
  WARY_ASSIGN_OR_RETURN(const identity::SignerClient::PublicKeys keys, control.signer->public_keys(kSignerPatience));
  WARY_RETURN_IF_ERROR(io::drop_to({getuid(), getgid()}));
  const Status files = io::restrict_files({directory, run + "/waryd"}, {});
  if (!files && files.error().code != "sandbox_landlock_missing") return files;
  WARY_RETURN_IF_ERROR(io::restrict_calls(io::network_process_calls()));

  WARY_ASSIGN_OR_RETURN(const ledger::NoteVerifier verifier, make_verifier(keys));
  WARY_ASSIGN_OR_RETURN(control.ledger, open_ledger(options, runtime, control, verifier.to_vkey()));
  WARY_RETURN_IF_ERROR(
      io::write_file_atomically(*runtime.files, run + "/waryd/ledger.vkey", as_bytes(verifier.to_vkey() + "\n")));
  // What the agent and the federation's process believe the link by.
  WARY_RETURN_IF_ERROR(publish(runtime, run + "/waryd/snapshot.pub", keys.snapshot));
  WARY_RETURN_IF_ERROR(publish(runtime, run + "/waryd/trust-domain", as_bytes(keys.trust_domain)));
  WARY_RETURN_IF_ERROR(open_plane(options, runtime, control, keys));
  control.sign_in = std::make_unique<control::SignIn>(*control.plane, *runtime.clock, *runtime.random);
  control::ApiParts parts{
      *runtime.loop,
      *runtime.clock,
      *runtime.random,
      *runtime.log,
      control.metrics,
      verifier.to_vkey(),
      keys.ca,
      options.text("--console-origin"),
      [&control](const std::string& csr, const std::string& id) { return issue_workload(*control.signer, csr, id); },
      [&runtime, &control, path = run + "/waryd/ca.pem"](const codec::Json& request) -> Result<codec::Json> {
        WARY_ASSIGN_OR_RETURN(codec::Json rotated, rotate_authority(*control.signer, request));
        // Whoever believes these keys learns of it now, not within the minute.
        const Status written = publish_authorities(runtime, control, path);
        if (!written) runtime.log->warn("waryd.authorities_not_published", {{"code", written.error().code}});
        return rotated;
      },
      [&runtime, &control](const store::Key& key) {
        if (key.kind == "TrustDomain" && control.trust_domains) return control.trust_domains->status_of(key.name);
        if (key.kind == "Node" && control.nodes) return control.nodes->status_of(key.name);
        if (key.kind == "Issuer" && control.issuers) return control.issuers->status_of(key.name);
        if (key.kind != "ApiKey") return codec::Json::object();
        return control::api_key_status(control.plane->objects(), key.name, runtime.clock->unix_time());
      }};
  control.api = std::make_unique<control::Api>(*control.plane, *control.sign_in, std::move(parts));
  WARY_RETURN_IF_ERROR(serve_nodes(runtime, control, keys.snapshot));
  // A ledger that is full keeps nobody from starting: it is tried again each minute.
  if (const Status published = publish_authorities(runtime, control, run + "/waryd/ca.pem"); !published) {
    runtime.log->warn("waryd.authorities_not_published", {{"code", published.error().code}});
  }
  WARY_RETURN_IF_ERROR(listen(options, runtime, control));
  sweep(runtime, control);
  keep_checkpoints(runtime, control);
  keep_authorities(runtime, control, run + "/waryd/ca.pem");
  return {};
}

}  // namespace
}  // namespace wary::apps

int main(int count, char** arguments) {
  using namespace wary;
  apps::block_signals();
  apps::Runtime runtime = apps::make_runtime("waryd");
  const auto options = apps::Options::parse(count, arguments,
                                            {"--directory", "--run", "--edge-uid", "--admin-uid", "--agent-uid",
                                             "--federation-uid", "--console-origin", "--refresh-hint"});
  if (!options) return apps::report_failure(*runtime.log, options.error());
  apps::Control control;
  const Status started = apps::start(*options, runtime, control);
  if (!started) return apps::report_failure(*runtime.log, started.error());
  apps::run_until_signal(runtime);
  control.plane->send_recorded();
  apps::checkpoint(runtime, control);
  control.ledger.reset();  // makes durable what it took
  return 0;
}
