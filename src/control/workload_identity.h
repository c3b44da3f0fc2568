// WorkloadIdentity: what nodes ask for over the link: certificates and tokens of their workloads; and the trust
// domain's own bundle, kept as an object so that every node gets it like anything else.
//
//   WorkloadIdentity identity(plane, {clock, random, log, issue, sign_jwt});
//   WARY_RETURN_IF_ERROR(identity.publish(bundle_text));
//   identity.handle("agent/a", call, reply);
//
// {"op": "svid.issue", "spiffe_id", "csr", "ttl_seconds"} -> {"chain": [base64 DER, ...]}
// {"op": "svid.jwt", "spiffe_id", "audiences"} -> {"token"}; either -> {"error": {"code", "kind", "message"}}
//
// Each is decided by policy (Wary::Action::"svid.issue") and answered once its record is durable. A certificate is
// decided again when anything changed while it was signed: who was revoked meanwhile gets none. Errors:
// svid_unknown, svid_node, svid_not_placed, svid_denied, svid_ttl, svid_audience (1 to 16, of 256 bytes each),
// svid_rate (100 a second of a node elsewhere, 1,000 at once), and the signer's. Thread rule: the loop's.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/rate.h"
#include "base/seldom_log.h"
#include "control/plane.h"
#include "policy/decide.h"

namespace wary::control {

struct WorkloadIdentityParts {
  Clock& clock;
  Random& random;
  Log& log;
  // Answers once, at once or later; the chain, leaf first.
  using Issued = std::function<void(Result<std::vector<Bytes>>)>;
  std::function<void(Bytes csr, const std::string& spiffe_id, std::uint32_t ttl_seconds, Issued done)> issue;
  std::function<Result<std::string>(const std::string& spiffe_id, const std::vector<std::string>& audiences,
                                    std::int64_t ttl_seconds)>
      sign_jwt;
};

class WorkloadIdentity {
 public:
  WorkloadIdentity(Plane& plane, WorkloadIdentityParts parts);
  // The trust domain's bundle; nothing is committed when it is as it was.
  Status publish(const std::string& bundle);
  void handle(const std::string& node, const codec::Json& call, std::function<void(codec::Json)> reply);

 private:
  Status check_node(const std::string& node, const contract::Entity& workload) const;
  Result<contract::Event> decide(const std::string& node, const codec::Json& call);
  struct Asked;
  void issue(std::shared_ptr<Asked> asked);
  void issued(const std::shared_ptr<Asked>& asked, Result<std::vector<Bytes>> chain);
  Result<codec::Json> sign_jwt(const codec::Json& call);
  void refuse(const std::string& node, const Error& why, const std::function<void(codec::Json)>& reply);
  void give(contract::Event event, codec::Json answer, std::function<void(codec::Json)> reply);

  Plane& plane_;
  WorkloadIdentityParts parts_;
  SeldomLog refusals_;
  policy::Decider decider_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  RateByKey<std::string> calls_;  // of each node elsewhere; this machine's agent holds its own users back
};

}  // namespace wary::control
