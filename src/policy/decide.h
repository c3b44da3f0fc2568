// decide: the policy decision point. Pure: a snapshot, a request and the time give a decision.
//
//   DecideOptions options{.decision_id = id, .known_obligations = {"step-up"}};
//   contract::Decision decision = decide(reader.get(), request, clock.unix_time(), options);
//   if (decision.is_allowed()) ...
//
// Cedar's answer, made safe: what goes wrong denies. reason_code says which rule spoke:
//   request_invalid     the request is malformed (types, ids, context, another tenant)
//   forbid_error        a forbid failed, so nobody knows whether it holds; `determining` names it and satisfied forbids
//   forbid              a forbid is satisfied, or the principal or device is not known at all (guardrail/unknown-...)
//   no_permit           nothing permits it
//   obligation_unknown  a determining permit obliges to what this enforcement point cannot do; `obligations` holds
//   those permit              allowed, with `obligations` to fulfil snapshot_missing    there is nothing to decide by
// depends_on always names principal, action and resource, then every entity that was read. valid_until is when the
// first fact that was read changes by itself. Any thread; no locks; a
// microsecond. The compiled engine decides; what an error says in words, the tree walker tells.
#pragma once

#include <string>
#include <vector>

#include "contract/decision.h"
#include "policy/snapshot.h"

namespace wary::policy {

struct DecideOptions {
  std::string decision_id;
  std::vector<std::string> known_obligations;  // what the enforcement point can do
  // A principal (or context.device) that no entity describes is denied: its facts are missing, not good. Only a caller
  // whose principals are not entities of the snapshot turns this off.
  bool require_known = true;
  // Whether `depends_on` is wanted: by who keeps a connection open and decides it again.
  bool lists_dependencies = true;
};

// Decides one request after another; belongs to one thread, which it saves the making of its room each time.
class Decider {
 public:
  contract::Decision decide(const Snapshot& snapshot, const contract::Request& request, UnixTime now,
                            const DecideOptions& options);

 private:
  engine::Worker worker_;
};

// With a decider of its own.
contract::Decision decide(const Snapshot& snapshot, const contract::Request& request, UnixTime now,
                          const DecideOptions& options);
// Denies with snapshot_missing when there is none.
contract::Decision decide(const SnapshotPtr& snapshot, const contract::Request& request, UnixTime now,
                          const DecideOptions& options);

// The request as Cedar sees it. Errors: request_invalid. Limits: ids of 1,024 bytes, context of 64 levels and 10,000
// values.
Result<cedar::Request> to_cedar(const Snapshot& snapshot, const contract::Request& request);

}  // namespace wary::policy
