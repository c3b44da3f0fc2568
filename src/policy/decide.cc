#include "policy/decide.h"

#include <algorithm>

#include "cedar/json.h"
#include "policy/facts.h"

namespace wary::policy {

namespace {

constexpr std::size_t kIdBytesMax = 1024;
constexpr std::size_t kContextValuesMax = 10'000;

Error invalid(std::string_view where, std::string_view message) {
  return fail(ErrorKind::kInvalid, "request_invalid", message).at(std::string(where));
}

Result<cedar::EntityPtr> make_uid(const contract::EntityId& id, std::string_view where) {
  if (!cedar::is_type_name(id.type)) return invalid(where, "not an entity type");
  if (id.id.size() > kIdBytesMax || !cedar::is_valid_utf8(id.id)) return invalid(where, "not an entity id");
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

Verdict evaluate(const CompiledPolicies& policies, const cedar::Request& request, cedar::Evaluator& evaluator) {
  Verdict verdict;
  std::vector<std::uint32_t> candidates;
  policies.candidates(evaluator, *request.action, candidates);
  for (const std::uint32_t index : candidates) {
    const cedar::Policy& policy = policies.policies()[index];
    const bool is_forbid = policy.body->effect == cedar::Effect::kForbid;
    switch (evaluator.evaluate(policy)) {
      case cedar::Outcome::kNotSatisfied: break;
      case cedar::Outcome::kSatisfied:
        if (is_forbid)
          verdict.forbids.push_back(policy.id);
        else
          verdict.permits.push_back(&policy);
        break;
      case cedar::Outcome::kError:
        verdict.errors.push_back(
            {policy.id, std::string(cedar::to_string(evaluator.error().kind)), evaluator.error().message});
        if (is_forbid) verdict.failed_forbids.push_back(policy.id);
    }
  }
  return verdict;
}

// Guardrails that Cedar cannot say: an entity that is not there at all.
void forbid_unknown(const cedar::Request& request, cedar::EntityView& view, Verdict& verdict) {
  if (view.find(*request.principal) == nullptr) verdict.forbids.emplace_back("guardrail/unknown-principal");
  const cedar::Value* device = request.context.find("device");
  const cedar::EntityPtr* uid = device != nullptr ? device->as_entity() : nullptr;
  if (uid != nullptr && view.find(**uid) == nullptr) verdict.forbids.emplace_back("guardrail/unknown-device");
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

std::vector<contract::EntityId> dependencies(const contract::Request& request, const cedar::ReadSet& reads,
                                             const cedar::Request& cedar_request) {
  std::vector<contract::EntityId> out;
  out.reserve(reads.entities().size() + 3);
  out.push_back(request.principal);
  if (request.action != request.principal) out.push_back(request.action);
  if (request.resource != request.principal && request.resource != request.action) out.push_back(request.resource);
  for (const cedar::EntityPtr& uid : reads.entities()) {
    const bool is_subject =
        *uid == *cedar_request.principal || *uid == *cedar_request.action || *uid == *cedar_request.resource;
    if (!is_subject) out.push_back({uid->type, uid->id});
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

contract::Decision decide(const Snapshot& snapshot, const contract::Request& request, UnixTime now,
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
  FactView view(snapshot.entities(), now);
  cedar::Evaluator evaluator(*cedar_request, view);
  Verdict verdict = evaluate(snapshot.policies(), *cedar_request, evaluator);
  if (options.require_known) forbid_unknown(*cedar_request, view, verdict);
  contract::Decision decision = conclude(verdict, options);
  decision.errors = std::move(verdict.errors);
  decision.depends_on = dependencies(request, evaluator.reads(), *cedar_request);
  if (options.require_known) {
    const cedar::Value* device = cedar_request->context.find("device");
    const cedar::EntityPtr* uid = device != nullptr ? device->as_entity() : nullptr;
    if (uid != nullptr) {
      contract::EntityId id{(*uid)->type, (*uid)->id};
      const auto& known = decision.depends_on;
      if (std::find(known.begin(), known.end(), id) == known.end()) decision.depends_on.push_back(std::move(id));
    }
  }
  decision.valid_until = view.valid_until();
  return stamped(std::move(decision));
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
