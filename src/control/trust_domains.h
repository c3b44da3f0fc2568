// TrustDomains: other trust domains: what may be applied of them, what the federation's process fetched, and how that
// went.
//
//   TrustDomains domains(plane, {clock, log, issue});
//   domains.handle("federation/local", call, reply);        // the calls of federation/federation.h
//   codec::Json status = domains.status_of("b.example");
//
// What was applied (TrustDomain) and what was fetched (FetchedBundle, no kind of its own) are two objects of one name;
// the entity has the fetched bundle, or the applied one until there is one. Another applied bundle, or deleting, takes
// the fetched one away in the same change: an operator's word is newer than the network's. A bundle of a lower sequence
// than the one held is refused, and the last good one stays for as long as nothing else comes.
//
// Every bundle that differs is a change with its event (bundle.fetched); failures are events too (bundle.failed), one a
// minute and domain at most. Errors: trust_domain_unknown, trust_domain_own, trust_domain_empty, bundle_sequence_lower,
// bundle_needed, bundle_size, and those of spiffe/bundle.h and federation/endpoint.h. Thread rule: the loop's. Limits:
// 256 KiB a bundle as it is stored.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "control/plane.h"

namespace wary::control {

struct TrustDomainsParts {
  Clock& clock;
  Log& log;
  std::function<Result<std::vector<Bytes>>(ByteView csr, const std::string& spiffe_id, std::int64_t ttl_seconds)> issue;
};

class TrustDomains {
 public:
  TrustDomains(Plane& plane, TrustDomainsParts parts);
  void handle(const std::string& node, const codec::Json& call, std::function<void(codec::Json)> reply);
  // As `status` of the resource, for people and programs.
  codec::Json status_of(const std::string& name) const;

 private:
  struct Attempt {
    std::string endpoint;        // as it was applied
    std::int64_t succeeded = 0;  // wall clock, nanoseconds; 0: not since this process began
    std::int64_t failed = 0;
    std::int64_t recorded = 0;  // when a failure was last made an event, monotonic
    Error error;                // of the last attempt, when that failed
    bool is_failing = false;
  };
  Status take(const std::string& node, const std::string& name, const codec::Json& call);
  void failed(const std::string& node, const std::string& name, Error error);
  void issue(const std::string& node, const codec::Json& call, std::function<void(codec::Json)> reply);

  Plane& plane_;
  TrustDomainsParts parts_;
  std::map<std::string, Attempt> attempts_;  // of domains that exist
};

// What a schema cannot say of a TrustDomain; the pointer and the error of the first thing that is wrong.
std::optional<std::pair<std::string, Error>> check_trust_domain(const Resource& resource, const Settings& settings);
// What changing or deleting it (no spec) does to what was fetched.
std::vector<Write> trust_domain_writes(const Objects& objects, const store::Key& key, const codec::Json* spec);
// The own one belongs to this process alone. Error: trust_domain_own.
Status check_not_own(const store::Key& key, const Settings& settings);

}  // namespace wary::control
