// Decision: the answer to "may this principal do this action on this resource, in this context"; the second contract.
//
// There is no default decision and no conversion to bool: a caller asks is_allowed() of a decision that was made.
// Whatever goes wrong on the way makes a deny with a reason code. Values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "codec/json.h"
#include "contract/entity.h"

namespace wary::contract {

struct Request {
  std::string tenant;
  EntityId principal;
  EntityId action;
  EntityId resource;
  codec::Json context = codec::Json::object();  // Cedar JSON record
};

struct PolicyError {
  std::string policy;
  std::string kind;  // Cedar's error kind, e.g. EntityDoesNotExist
  std::string message;
};

struct Obligation {
  std::string name;   // from the annotation @obligation("name") of a determining policy
  std::string value;  // of its annotation @obligation_value, or empty
};

enum class Effect { kDeny, kAllow };
enum class Record { kWith, kBefore };  // ARCHITECTURE.md, "record, and never stall"

class Decision {
 public:
  Decision(Effect effect, std::string reason) : reason_code(std::move(reason)), effect_(effect) {}
  static Decision deny(std::string reason) { return {Effect::kDeny, std::move(reason)}; }
  bool is_allowed() const { return effect_ == Effect::kAllow; }
  Effect effect() const { return effect_; }

  std::string id;  // unique; what a deny page shows and `wary explain` takes
  std::string tenant;
  std::vector<std::string> determining;  // policy ids
  std::vector<PolicyError> errors;
  std::vector<Obligation> obligations;
  std::uint64_t revision = 0;  // of policies and entities, as one
  std::vector<EntityId> depends_on;
  std::optional<UnixTime> valid_until;
  // "permit", "forbid", "no_permit", "forbid_error", "snapshot_missing", "snapshot_stale", "ledger_unavailable",
  // "obligation_unknown", "request_invalid".
  std::string reason_code;

 private:
  Effect effect_;
};

}  // namespace wary::contract
