// Federation: what wary-federation does: learns of other trust domains over the link, fetches their bundles, hands them
// up, and serves this domain's own. Keys of token issuers are fetched beside them (issuer_keys.h).
//
//   Federation federation({loop, clock, random, files, log, metrics, raise, web_roots}, options);
//   WARY_RETURN_IF_ERROR(federation.start());     // from the last good state, if the control plane is away
//
// Calls up the link: {"op": "bundle.fetched", "trust_domain", "bundle"} -> {} or {"error"};
// {"op": "bundle.failed", "trust_domain", "error": {"code", "message", "where", "found"}} -> {};
// {"op": "federation.svid", "csr"} -> {"chain": [base64 DER, ...]} or {"error"}.
//
// Each domain is fetched when its endpoint is learned or changes, then by its refresh hint (300 s without one; 10 s to
// 24 h, a tenth less at random); after a failure in 10 s, doubling up to the hint. What was fetched is parsed here
// before anybody else sees it; whether it is taken is the control plane's to say. Thread rule: the loop's. Limits:
// 1,024 trust domains, 8 fetches at a time, those of fetch.h and spiffe/bundle.h. Errors of fetches besides those:
// federation_no_bundle (none of the server's own trust domain is held), federation_web_roots.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "contract/entity.h"
#include "federation/fetch.h"
#include "federation/issuer_keys.h"
#include "federation/listener.h"
#include "link/subscriber.h"
#include "spiffe/bundle.h"

namespace wary::federation {

struct FederationParts {
  io::Loop& loop;
  Clock& clock;
  Random& random;
  io::Files& files;
  Log& log;
  Metrics& metrics;
  std::function<void(UnixTime floor)> raise_clock;
  std::function<Result<crypto::TrustRoots>()> web_roots;  // asked before each fetch by https_web
};

struct FederationOptions {
  std::string node;  // "federation/NAME"
  std::string trust_domain;
  std::string directory;  // holds "updates"
  io::Address link;
  Bytes snapshot_key;                 // Ed25519, 32 bytes
  std::optional<io::Address> listen;  // of the own bundle by https_spiffe
};

class Federation {
 public:
  Federation(FederationParts parts, FederationOptions options);
  ~Federation();
  Status start();

 private:
  struct Domain {
    Endpoint endpoint;
    io::TimerId timer = 0;
    std::unique_ptr<Fetch> fetch;
    int failures = 0;  // one after another
  };
  Status on_update(const link::Update& update);
  void learn(const contract::Entity& entity);
  void hold_bundle(const std::string& domain, const std::string& text);
  void follow(const std::string& domain, const codec::Json* endpoint, bool bundle_changed);
  void unfollow(const std::string& domain);
  void forget(const std::string& domain);
  void fetch_after(const std::string& domain, std::int64_t nanos);
  void fetch(const std::string& domain);
  Result<crypto::VerifyPeer> verifier_of(const Endpoint& endpoint);
  void fetched(const std::string& domain, Result<std::string> document);
  void failed(const std::string& domain, const Error& error, bool is_told);
  void issue(ByteView csr, const Listener::Issued& done);

  FederationParts parts_;
  FederationOptions options_;
  io::Resolver resolver_;
  std::map<std::string, Domain> domains_;
  std::map<std::string, std::string> texts_;  // of the bundles held, to see what changed
  spiffe::BundleSet bundles_;
  std::size_t fetching_ = 0;
  std::uint64_t revision_ = 0;
  std::unique_ptr<link::Subscriber> subscriber_;
  std::unique_ptr<IssuerKeys> issuer_keys_;
  std::unique_ptr<Listener> listener_;
  Metric& domains_metric_;
  Metric& fetched_metric_;
  Metric& failed_metric_;
};

// When to fetch next: `random` takes up to a tenth off. Nanoseconds.
std::int64_t next_fetch(std::int64_t refresh_after_s, int failures, std::uint64_t random);

}  // namespace wary::federation
