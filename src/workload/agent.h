// Agent: the node's end of the link and its Workload API, as wary-agent runs them.
//
//   Agent agent({loop, clock, random, files, log, metrics, raise}, options);
//   WARY_RETURN_IF_ERROR(agent.start());     // from the last good state, if the control plane is away
//
// What it knows (workloads, bundles) comes signed over the link and is kept on disk as it came. What it asks for: a
// certificate or a token of one workload, which the control plane decides and records before it answers. Thread rule:
// the loop's. Limits: those of the link and of service.h.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "crypto/sign.h"
#include "link/subscriber.h"
#include "spiffe/bundle.h"
#include "workload/service.h"

namespace wary::workload {

struct AgentParts {
  io::Loop& loop;
  Clock& clock;
  Random& random;
  io::Files& files;
  Log& log;
  Metrics& metrics;
  std::function<void(UnixTime floor)> raise_clock;
  // The trust domain's own X.509 authorities, whenever they are another set; optional.
  std::function<void(const std::vector<Bytes>& roots)> authorities = nullptr;
  // A burst of callers is over; optional.
  std::function<void()> on_quiet = nullptr;
};

struct AgentOptions {
  std::string node;  // "agent/NAME"
  std::string trust_domain;
  std::string directory;  // holds "updates"
  io::Address link;
  io::Address socket;         // of the Workload API
  Bytes snapshot_key;         // Ed25519, 32 bytes
  link::Dial dial = nullptr;  // instead of the link's address, where the control plane is elsewhere
};

class Agent {
 public:
  Agent(AgentParts parts, AgentOptions options);
  ~Agent();
  Status start();

 private:
  Status on_update(const link::Update& update);
  void learn(const std::vector<contract::Entity>& entities);
  void trust(const contract::Entity& trust_domain);
  void distrust(const std::string& trust_domain);
  void forget(const std::vector<contract::EntityId>& ids);
  void issue(const IssueRequest& request, const std::function<void(Result<IssuedSvid>)>& done);
  void issue_jwt(const JwtIssueRequest& request, const std::function<void(Result<std::string>)>& done);
  Result<ValidatedJwt> validate(const std::string& token, const std::string& audience) const;

  AgentParts parts_;
  AgentOptions options_;
  Entries entries_;
  spiffe::BundleSet trusted_;
  std::map<std::string, KnownBundle> bundles_;  // the same, as the API gives it
  std::uint64_t revision_ = 0;
  bool entries_changed_ = false, bundles_changed_ = false, roots_left_ = false;
  std::unique_ptr<link::Subscriber> subscriber_;
  std::unique_ptr<Service> service_;
};

}  // namespace wary::workload
