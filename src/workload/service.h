// Service: the SPIFFE Workload API on a unix socket (SPIFFE_Workload_API.md), all seven methods but WIT-SVIDs
// (UNIMPLEMENTED); Envoy's Secret Discovery Service on the same (sds.h; DeltaSecrets UNIMPLEMENTED); and gRPC
// reflection of both, which needs no identity.
//
//   Service service(loop, clock, log, metrics, parts);
//   WARY_RETURN_IF_ERROR(service.listen(Address::unix_socket("run/agent/api.sock")));
//   service.entries_changed(); service.bundles_changed();     // open streams are answered at once
//
// A caller is a process held by its pidfd since its connection was accepted, attested anew at each call; a stream's
// caller again before each message. Its end ends its connection. Codes: INVALID_ARGUMENT without the metadata
// `workload.spiffe.io: true` (of the Workload API alone), PERMISSION_DENIED for who has no identity here, UNAVAILABLE
// while there is no answer. Thread rule: the loop's. Limits: 1,024 connections, 64 a user (the newest is refused), 100
// streams a connection; 20 JWT-SVIDs a second and user, 100 at once, and of what a machine elsewhere gets each user's
// share at most (RESOURCE_EXHAUSTED beyond).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fair_rate.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/seldom_log.h"
#include "codec/json.h"
#include "io/loop.h"
#include "workload/entries.h"
#include "workload/selectors.h"
#include "workload/svids.h"

namespace wary::workload {

// What is trusted of one trust domain.
struct KnownBundle {
  std::string x509;  // DER certificates, one after another
  std::string jwt;   // a JWKS of the keys that sign JWT-SVIDs
};

struct JwtIssueRequest {
  std::string spiffe_id;
  std::vector<std::string> audiences;
};
struct ValidatedJwt {
  std::string spiffe_id;
  codec::Json claims;
};

struct ServiceParts {
  std::string trust_domain;
  const Entries& entries;
  const std::map<std::string, KnownBundle>& bundles;  // by trust domain
  Issue issue;
  std::function<void(const JwtIssueRequest&, std::function<void(Result<std::string>)>)> issue_jwt;
  std::function<Result<ValidatedJwt>(const std::string& token, const std::string& audience)> validate_jwt;
  std::function<bool()> is_ready;  // entries are known at all
  // JWT-SVIDs for all users together: less than the control plane gives a node elsewhere, so that none of them takes
  // what is the others'.
  Rate tokens_of_all{.per_second = 1e6, .at_once = 1e6};
  std::function<void()> on_quiet = nullptr;  // connections ended, and for a second none did; optional
};

class Service {
 public:
  Service(io::Loop& loop, Clock& clock, Random& random, io::Files& files, Log& log, Metrics& metrics,
          ServiceParts parts);
  ~Service();
  Status listen(const io::Address& address);
  void entries_changed();
  void bundles_changed();
  // New certificates for all, now.
  void authorities_changed();

 private:
  class Connection;
  void accepted(std::unique_ptr<io::Stream> stream);
  void refresh_all();
  bool may_sign(uid_t user);
  void look();

  io::Loop& loop_;
  Clock& clock_;
  SeldomLog refusals_;
  ServiceParts parts_;
  Attestor attestor_;
  Svids svids_;
  std::unique_ptr<io::Listener> listener_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t last_ = 0, looks_ = 0;
  io::TimerId timer_ = 0;
  FairRate<uid_t> tokens_;                                       // JWT-SVIDs that users may have signed
  std::uint64_t ended_ = 0, ended_before_ = 0, ended_told_ = 0;  // connections: by now, at the last look, when told
  bool refreshing_ = false;                                      // planned for the end of this turn
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  Metric& calls_;
  Metric& denied_;
  Metric& secrets_refused_;
  Metric& open_connections_;
  Metric& identities_;
};

}  // namespace wary::workload
