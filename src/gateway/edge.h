// Edge: the gateway's data plane as one value: its workers, its rings, its end of the link and its certificates. main()
// makes it and hands it the parts of the system.
//
//   Edge edge(parts, options);
//   WARY_RETURN_IF_ERROR(edge.open());     // files and rings; then main() gives up its privileges
//   WARY_RETURN_IF_ERROR(edge.start());    // listens, connects, starts the workers' threads
//   loop.run(); edge.stop();
//
// One that takes over from another (handover.h) starts without listening: when_complete() says that it could serve,
// accept() makes it.
//
// Thread rule: the main loop's thread; each worker has its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "crypto/sign.h"
#include "crypto/tls.h"
#include "enforce/point.h"
#include "enforce/shipper.h"
#include "gateway/ring_files.h"
#include "gateway/signer_desk.h"
#include "gateway/worker.h"
#include "io/files.h"
#include "link/subscriber.h"

namespace wary::gateway {

struct EdgeParts {
  io::Loop& loop;
  Clock& clock;
  Random& random;
  io::Files& files;
  Log& log;
  Metrics& metrics;
  IssueCertificate issue;
  ReadTrusted trusted;
  std::function<void(UnixTime)> raise_clock;    // wall time does not go behind this
  telemetry::Exporter* exporter = nullptr;      // of spans, where somebody wants them
  IssueIdentity issue_own = {};                 // of what it is to applications; none: it shows them nothing
  std::function<void()> interrupt_signer = {};  // from any thread: whoever asks it hears that it is away
};

struct EdgeOptions {
  std::string node = "edge/local";
  std::string directory;
  io::Address listen;
  std::optional<io::Address> listen_plain = {};  // without TLS (docs/gateway.md)
  io::Address link;
  std::string console_origin;
  std::string trust_domain;
  Bytes snapshot_key;                    // Ed25519, 32 bytes
  std::vector<std::string> proxy_peers;  // addresses of load balancers that say whose connection it is
  bool takes_over = false;  // from an edge that runs: sockets and the cache of updates are its own until accept()
  std::size_t workers = 2;
  std::size_t descriptors_max = 2 * kConnectionsMost;  // of clients and towards applications, a worker's
  std::size_t ring_bytes = std::size_t{8} << 20;
};

// The sockets that an edge listens on.
struct EdgeSockets {
  std::vector<int> tls, plain;
  std::size_t size() const { return tls.size() + plain.size(); }
};

class Edge {
 public:
  Edge(EdgeParts parts, EdgeOptions options);
  ~Edge();
  Status open();
  Status start();
  // What connects over TLS is answered, and not turned away.
  bool has_certificate() const { return shown_.has_value(); }
  // Once, on the main loop: the control plane was heard, all that is served is known and can be shown a certificate
  // for.
  void when_complete(std::function<void()> done);
  // From now on it serves, on these listening sockets.
  void accept(std::vector<io::Descriptor> tls, std::vector<io::Descriptor> plain);
  // The sockets that it listens on; and between the two, new connections wait.
  const EdgeSockets& sockets() const { return sockets_; }
  void let_go(std::function<void()> done);
  void take_back();
  // What an edge that has ended could not ship any more is shipped from here.
  void inherit();
  bool holds_inherited() const { return inherits_ || ring_files_.holds_inherited(); }
  bool has_shipped() const;  // all that was recorded here
  // Takes no new connection, and says on the main loop when nothing is open any more.
  void drain(std::function<void()> done, Drain how = Drain::kNow);
  void stop();
  // For other enforcement points, on the main loop's thread and after open(): a point of its own ring that decides by
  // the same snapshot, and what a host and path are here.
  enforce::Point& decision_point() { return *decision_point_; }
  enforce::Shared& shared() { return shared_; }
  std::optional<contract::EntityId> resource_of(std::string_view host, std::string_view path) const;

 private:
  struct Lane;
  Status check_port(const io::Address& address);
  Status start_worker(std::size_t number);
  Status start_link();
  void see_complete();
  void ship_inherited();
  Status on_update(const link::Update& update);
  void rebuild_site(const policy::Snapshot& snapshot);
  Result<std::shared_ptr<const crypto::TlsClientContext>> upstream_tls(const UpstreamIdentity& identity, bool is_http2);
  void ask_signer();
  void heard_signer(SignerDesk::Told told);
  Status show_certificate();
  void tell_failure(const Error& why);
  void want_keys(const std::string& issuer);
  std::string own_id() const;
  std::optional<crypto::TlsIdentity> own_identity();
  void redeem(const std::string& code, const std::string& host, const std::string& state_hash, io::Loop& back,
              std::function<void(Result<Redeemed>)> done);
  void keep_fresh();

  EdgeParts parts_;
  EdgeOptions options_;
  enforce::Shared shared_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  RingFiles ring_files_;
  enforce::EventRing* decision_ring_ = nullptr;
  std::unique_ptr<enforce::Point> decision_point_;
  std::shared_ptr<const Site> site_;                            // what the workers serve
  std::map<std::string, std::shared_ptr<AppMetrics>> counted_;  // by application; one that comes back goes on
  std::unique_ptr<enforce::Shipper> shipper_;
  std::unique_ptr<link::Subscriber> subscriber_;
  std::unique_ptr<SignerDesk> signer_;
  bool signer_answered_ = false;           // or failed, once
  std::string told_failure_;               // of the signer's, in the log
  std::vector<std::string> wanted_;        // what is served
  std::optional<SignerDesk::Made> shown_;  // the certificate that is shown
  std::optional<SignerDesk::Made> own_;    // the edge's own, where an application may ask for it
  std::optional<TrustedRoots> roots_;      // as they were read last
  Monotonic roots_read_;
  bool renews_ = false;                           // the certificate is of another authority's time
  bool lacks_roots_ = false, wants_own_ = false;  // when the site was built
  bool told_unavailable_ = false;                 // by the control plane itself
  EdgeSockets sockets_;                           // that the workers listen on
  std::function<void()> complete_;
  bool asks_complete_ = false;
  bool inherits_ = false;
  Metric& link_connected_;
  Metric& ledger_available_;
  Metric& ring_used_;
};

}  // namespace wary::gateway
