#include "policy/decide.h"

#include <algorithm>
#include <limits>

#include "cedar/json.h"
#include "policy/facts.h"

namespace wary::policy {

namespace {

constexpr std::size_t kContextValuesMax = 10'000;

Error invalid(std::string_view where, std::string_view message) {
  return fail(ErrorKind::kInvalid, "request_invalid", message).at(std::string(where));
}

Result<cedar::EntityPtr> make_uid(const contract::EntityId& id, std::string_view where) {
  if (!cedar::is_type_name(id.type)) return invalid(where, "not an entity type");
  if (id.id.size() > kEntityIdBytesMax || !cedar::is_valid_utf8(id.id)) return invalid(where, "not an entity id");
  return cedar::make_entity(id.type, id.id);
}

// Counts down `left` for every value; false when there are too many.
bool within(const codec::Json& json, std::size_t depth, std::size_t& left) {
  if (left == 0 || depth > 64) return false;
  --left;
  if (json.is_array()) {
    return std::all_of(json.items().begin(), json.items().end(),
                       [&](const codec::Json& item) { return within(item, depth + 1, left); });
  }
  return !json.is_object() || std::all_of(json.members().begin(), json.members().end(),
                                          [&](const auto& member) { return within(member.second, depth + 1, left); });
}

// What the policies said, before it becomes a decision.
struct Verdict {
  std::vector<const cedar::Policy*> permits;
  std::vector<std::string> forbids;         // satisfied
  std::vector<std::string> failed_forbids;  // errored
  std::vector<contract::PolicyError> errors;
};

// The error of a policy in words: the tree walker's, which meets the same one.
contract::PolicyError describe(const cedar::Policy& policy, const engine::Failure& failure,
                               const cedar::Request& request, cedar::EntityView& view) {
  cedar::Evaluator evaluator(request, view);
  const bool failed = evaluator.evaluate(policy) == cedar::Outcome::kError;
  return {policy.id, std::string(cedar::to_string(failure.kind)), failed ? evaluator.error().message : std::string()};
}

Verdict evaluate(const Snapshot& snapshot, const cedar::Request& request, UnixTime now, engine::Worker& worker) {
  const engine::Answer& answer = worker.decide(snapshot.compiled(), request, now);
  const CompiledPolicies& policies = snapshot.policies();
  // Numbers tell what came when; what is said of a decision must not.
  const auto ordered = [&](auto items, auto number_of) {
    std::sort(items.begin(), items.end(),
              [&](const auto& a, const auto& b) { return policies.is_before(number_of(a), number_of(b)); });
    return items;
  };
  const auto itself = [](std::uint32_t number) { return number; };
  Verdict verdict;
  for (const std::uint32_t number : ordered(answer.permits, itself)) {
    verdict.permits.push_back(&policies.by_number(number));
  }
  for (const std::uint32_t number : ordered(answer.forbids, itself)) {
    verdict.forbids.push_back(policies.by_number(number).id);
  }
  FactView view(snapshot.entities(), now);
  for (const engine::Failure& failure : ordered(answer.errors, [](const engine::Failure& one) { return one.policy; })) {
    const cedar::Policy& policy = policies.by_number(failure.policy);
    verdict.errors.push_back(describe(policy, failure, request, view));
    if (policy.body->effect == cedar::Effect::kForbid) verdict.failed_forbids.push_back(policy.id);
  }
  return verdict;
}

// Guardrails that Cedar cannot say: an entity that is not there at all.
void forbid_unknown(const cedar::Request& request, const cedar::EntityStore& entities, Verdict& verdict) {
  if (entities.find(*request.principal) == nullptr) verdict.forbids.emplace_back("guardrail/unknown-principal");
  const cedar::Value* device = request.context.find("device");
  const cedar::EntityPtr* uid = device != nullptr ? device->as_entity() : nullptr;
  if (uid != nullptr && entities.find(**uid) == nullptr) verdict.forbids.emplace_back("guardrail/unknown-device");
}

std::vector<contract::Obligation> obligations_of(const std::vector<const cedar::Policy*>& permits) {
  std::vector<contract::Obligation> out;
  for (const cedar::Policy* permit : permits) {
    const std::string* name = permit->body->annotation("obligation");
    if (name == nullptr) continue;
    const std::string* value = permit->body->annotation("obligation_value");
    contract::Obligation obligation{*name, value != nullptr ? *value : std::string()};
    const bool known = std::any_of(out.begin(), out.end(), [&](const contract::Obligation& other) {
      return other.name == obligation.name && other.value == obligation.value;
    });
    if (!known) out.push_back(std::move(obligation));
  }
  return out;
}

contract::Decision permitted(const Verdict& verdict, const DecideOptions& options) {
  std::vector<contract::Obligation> obligations = obligations_of(verdict.permits);
  std::vector<contract::Obligation> unknown;
  for (const contract::Obligation& obligation : obligations) {
    const auto& known = options.known_obligations;
    if (std::find(known.begin(), known.end(), obligation.name) == known.end()) unknown.push_back(obligation);
  }
  contract::Decision decision = unknown.empty() ? contract::Decision(contract::Effect::kAllow, "permit")
                                                : contract::Decision::deny("obligation_unknown");
  decision.obligations = unknown.empty() ? std::move(obligations) : std::move(unknown);
  for (const cedar::Policy* permit : verdict.permits) decision.determining.push_back(permit->id);
  return decision;
}

contract::Decision conclude(Verdict& verdict, const DecideOptions& options) {
  if (!verdict.failed_forbids.empty()) {
    contract::Decision decision = contract::Decision::deny("forbid_error");
    decision.determining = std::move(verdict.failed_forbids);
    decision.determining.insert(decision.determining.end(), verdict.forbids.begin(), verdict.forbids.end());
    return decision;
  }
  if (!verdict.forbids.empty()) {
    contract::Decision decision = contract::Decision::deny("forbid");
    decision.determining = std::move(verdict.forbids);
    return decision;
  }
  if (verdict.permits.empty()) return contract::Decision::deny("no_permit");
  return permitted(verdict, options);
}

std::vector<contract::EntityId> dependencies(const contract::Request& request,
                                             const std::vector<cedar::EntityUid>& reads) {
  std::vector<contract::EntityId> out;
  out.reserve(reads.size() + 3);
  out.push_back(request.principal);
  if (request.action != request.principal) out.push_back(request.action);
  if (request.resource != request.principal && request.resource != request.action) out.push_back(request.resource);
  const std::size_t subjects = out.size();
  for (const cedar::EntityUid& uid : reads) {
    const bool is_subject = std::any_of(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(subjects),
                                        [&](const auto& id) { return id.id == uid.id && id.type == uid.type; });
    if (!is_subject) out.push_back({uid.type, uid.id});
  }
  return out;
}

}  // namespace

Result<cedar::Request> to_cedar(const Snapshot& snapshot, const contract::Request& request) {
  if (request.tenant != snapshot.tenant()) return invalid("tenant", "not the tenant of this snapshot");
  cedar::Request out;
  WARY_ASSIGN_OR_RETURN(out.principal, make_uid(request.principal, "principal"));
  WARY_ASSIGN_OR_RETURN(out.action, make_uid(request.action, "action"));
  WARY_ASSIGN_OR_RETURN(out.resource, make_uid(request.resource, "resource"));
  std::size_t left = kContextValuesMax;
  if (!within(request.context, 1, left)) return invalid("context", "too large or too deep");
  auto context = cedar::value_from_json(request.context);
  if (!context.ok()) return invalid("context" + context.error().where, context.error().message);
  if (context->as_record() == nullptr) return invalid("context", "not an object");
  out.context = std::move(*context);
  return out;
}

contract::Decision Decider::decide(const Snapshot& snapshot, const contract::Request& request, UnixTime now,
                                   const DecideOptions& options) {
  const auto stamped = [&](contract::Decision decision) {
    decision.id = options.decision_id;
    decision.tenant = request.tenant;
    decision.revision = snapshot.revision();
    return decision;
  };
  const auto cedar_request = to_cedar(snapshot, request);
  if (!cedar_request.ok()) {
    contract::Decision decision = contract::Decision::deny("request_invalid");
    decision.errors.push_back({"", "RequestInvalid", cedar_request.error().to_string()});
    return stamped(std::move(decision));
  }
  Verdict verdict = evaluate(snapshot, *cedar_request, now, worker_);
  if (options.require_known) forbid_unknown(*cedar_request, snapshot.entities(), verdict);
  contract::Decision decision = conclude(verdict, options);
  decision.errors = std::move(verdict.errors);
  if (options.lists_dependencies) decision.depends_on = dependencies(request, worker_.reads(snapshot.compiled()));
  if (options.require_known && options.lists_dependencies) {
    const cedar::Value* device = cedar_request->context.find("device");
    const cedar::EntityPtr* uid = device != nullptr ? device->as_entity() : nullptr;
    if (uid != nullptr) {
      contract::EntityId id{(*uid)->type, (*uid)->id};
      const auto& known = decision.depends_on;
      if (std::find(known.begin(), known.end(), id) == known.end()) decision.depends_on.push_back(std::move(id));
    }
  }
  const UnixTime until = worker_.valid_until();
  if (until.nanos != std::numeric_limits<std::int64_t>::max()) decision.valid_until = until;
  return stamped(std::move(decision));
}

contract::Decision decide(const Snapshot& snapshot, const contract::Request& request, UnixTime now,
                          const DecideOptions& options) {
  return Decider().decide(snapshot, request, now, options);
}

contract::Decision decide(const SnapshotPtr& snapshot, const contract::Request& request, UnixTime now,
                          const DecideOptions& options) {
  if (snapshot != nullptr) return decide(*snapshot, request, now, options);
  contract::Decision decision = contract::Decision::deny("snapshot_missing");
  decision.id = options.decision_id;
  decision.tenant = request.tenant;
  return decision;
}

}  // namespace wary::policy
