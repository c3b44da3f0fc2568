#include "enforce/point.h"

#include "base/limits.h"
#include "codec/text.h"
#include "codec/uri.h"
#include "crypto/hash.h"
#include "crypto/random_id.h"
#include "policy/decide.h"

namespace wary::enforce {

using contract::Decision;
using contract::EntityId;

namespace {

constexpr std::string_view kCredentialType = "Wary::Credential";

EntityId anonymous() { return {"Wary::Anonymous", "anonymous"}; }

const codec::Json* fact(const contract::Entity& entity, std::string_view name) {
  for (const contract::Fact& fact : entity.attributes) {
    if (fact.name == name) return &fact.value;
  }
  return nullptr;
}

std::optional<EntityId> reference(const contract::Entity& entity, std::string_view name) {
  const codec::Json* value = fact(entity, name);
  const codec::Json* target = value != nullptr ? value->find("__entity") : nullptr;
  if (target == nullptr) return std::nullopt;
  return EntityId{std::string(target->string_or("type", "")), std::string(target->string_or("id", ""))};
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out += out.size() == 1 ? "\"" : ",\"";
  out += name;
  out += "\":";
  codec::append_json_string(out, text);
}

// Written by hand, in sorted order: one event for each request makes this part of the request's cost.
std::string access_detail(const contract::Request& request, const Decision& decision, const AccessDetail& access) {
  std::string out = "{";
  out.reserve(512 + access.context.size() + access.path.size());
  if (!access.pep.empty()) {
    append_member(out, "action", request.action.to_string());  // whole: another program's may be of any type
    append_member(out, "activity_name", "access.decision");
  }
  append_member(out, "client", access.client);
  out += ",\"context\":";
  if (access.context.empty()) {
    out += request.context.to_canonical_string();
  } else {
    out += access.context;
  }
  append_member(out, "decision", decision.is_allowed() ? "allow" : "deny");
  out += ",\"errors\":[";
  for (std::size_t i = 0; i < decision.errors.size(); ++i) {
    if (i != 0) out += ',';
    codec::append_json_string(out, decision.errors[i].policy + ": " + decision.errors[i].message.substr(0, 500));
  }
  out += ']';
  append_member(out, "host", access.host);
  append_member(out, "method", access.method);
  append_member(out, "path", access.path);
  if (!access.pep.empty()) append_member(out, "pep", access.pep);
  out += ",\"policies\":[";
  for (std::size_t i = 0; i < decision.determining.size(); ++i) {
    if (i != 0) out += ',';
    codec::append_json_string(out, decision.determining[i]);
  }
  out += ']';
  append_member(out, "reason", decision.reason_code);
  out += ",\"revision\":" + std::to_string(decision.revision) + "}";
  return out;
}

// spiffe://TRUST-DOMAIN/wary/node/NAME
bool is_node(std::string_view spiffe_id) {
  const std::size_t path = spiffe_id.find('/', std::string_view("spiffe://").size());
  return path != std::string_view::npos && spiffe_id.substr(path).starts_with("/wary/node/");
}

}  // namespace

std::string credential_id(std::string_view token) { return codec::encode_hex(crypto::sha256(as_bytes(token))); }

Point::Point(Shared& shared, EventRing& ring, Clock& clock, Random& random, PointOptions options, Metrics& metrics)
    : shared_(shared),
      snapshot_(shared.snapshot),
      ring_(ring),
      clock_(clock),
      options_(std::move(options)),
      decision_prefix_(crypto::random_id(random).substr(0, 10)),
      allowed_(metrics.counter("wary_enforce_allowed_total", "Decisions that allowed")),
      denied_(metrics.counter("wary_enforce_denied_total", "Decisions that denied")),
      ring_full_(metrics.counter("wary_enforce_ring_full_total", "Decisions denied because no event fitted")) {}

Point::Subject Point::identify(std::string_view session_token, std::string_view host, std::string_view spiffe_id) {
  const policy::SnapshotPtr& snapshot = snapshot_.get();
  if (!snapshot) return {anonymous(), std::nullopt, true};
  if (!spiffe_id.empty()) {
    const EntityId holder{is_node(spiffe_id) ? "Wary::Node" : "Wary::Workload", std::string(spiffe_id)};
    // A good certificate of somebody who is not registered (any more) is nobody.
    if (snapshot->find_entity(holder) == nullptr) return {anonymous(), std::nullopt, true};
    return {holder, std::nullopt, false};
  }
  if (session_token.empty()) return {anonymous(), std::nullopt, true};
  const contract::Entity* credential =
      snapshot->find_entity({std::string(kCredentialType), credential_id(session_token)});
  if (credential == nullptr) return {anonymous(), std::nullopt, true};
  const codec::Json* bound = fact(*credential, "host");
  const bool here =
      bound != nullptr && bound->is_string() && codec::equals_ignoring_case(bound->as_string(), codec::host_name(host));
  const auto session_id = reference(*credential, "session");
  const contract::Entity* session = session_id ? snapshot->find_entity(*session_id) : nullptr;
  const auto user = session != nullptr ? reference(*session, "user") : std::nullopt;
  if (!here || !user) return {anonymous(), std::nullopt, true};
  return {*user, session_id, false};
}

Decision Point::evaluate(const contract::Request& request, std::string decision_id,
                         const std::vector<std::string>* obligations, bool lists_dependencies) {
  const policy::SnapshotPtr& snapshot = snapshot_.get();
  if (!snapshot) return Decision::deny("snapshot_missing");
  const std::int64_t silent = clock_.monotonic().nanos - shared_.control_heard.load(std::memory_order_relaxed);
  if (silent > options_.stale_after_nanos) return Decision::deny("snapshot_stale");
  if (!shared_.ledger_available.load(std::memory_order_relaxed)) return Decision::deny("ledger_unavailable");
  policy::DecideOptions decide_options;
  decide_options.decision_id = std::move(decision_id);
  decide_options.lists_dependencies = lists_dependencies;
  decide_options.known_obligations = obligations != nullptr ? *obligations : options_.obligations;
  return decider_.decide(*snapshot, request, clock_.unix_time(), decide_options);
}

Decision Point::reconsider(const contract::Request& request, const std::vector<std::string>* obligations) {
  return evaluate(request, {}, obligations, true);
}

bool Point::record_search(const contract::Request& request, std::string_view searched, std::size_t found,
                          std::string_view pep) {
  contract::Event event;
  event.class_uid = options_.event_class;
  event.activity_id = 99;
  event.actor = request.principal.to_string();
  event.resource = request.resource.to_string();
  event.action = request.action.id;
  event.detail = "{";
  append_member(event.detail, "activity_name", "access.search");
  event.detail += ",\"context\":" + request.context.to_canonical_string();
  event.detail += ",\"found\":" + std::to_string(found);
  append_member(event.detail, "pep", pep);
  append_member(event.detail, "searched", searched);
  event.detail += '}';
  const bool recorded = record(std::move(event)).has_value();
  if (!recorded) ring_full_.add();
  return recorded;
}

Point::Answer Point::decide(const contract::Request& request, const AccessDetail& detail) {
  const std::string id = next_decision_id();
  Decision decision = evaluate(request, id, detail.obligations, detail.lists_dependencies);
  decision.id = id;
  decision.tenant = options_.tenant;
  contract::Event event;
  event.class_uid = options_.event_class;
  event.activity_id = 99;
  event.actor = request.principal.to_string();
  if (const codec::Json* session = request.context.find("session")) {
    const codec::Json* target = session->find("__entity");
    const std::string_view session_id = target != nullptr ? target->string_or("id", "") : "";
    if (session_id.size() <= limits::kFreeTextBytes)
      event.session = std::string(session_id);  // no session of ours has a longer one
  }
  event.resource = request.resource.to_string();
  event.action = request.action.id;
  event.decision_id = decision.id;
  event.trace_id = detail.trace_id;
  event.detail = access_detail(request, decision, detail);
  const auto sequence = record(std::move(event));
  if (!sequence) {
    ring_full_.add();
    decision = Decision::deny("ledger_unavailable");
    decision.id = id;
  }
  (decision.is_allowed() ? allowed_ : denied_).add();
  return {std::move(decision), sequence.value_or(0)};
}

void Point::record_cut(const contract::Request& request, const Decision& decision, std::string_view first_decision,
                       std::int64_t committed, std::int64_t cut) {
  contract::Event event;
  event.class_uid = contract::EventClass::kHttpActivity;
  event.activity_id = 99;
  event.actor = request.principal.to_string();
  event.resource = request.resource.to_string();
  event.action = "session.cut";
  event.decision_id = first_decision;
  event.detail = "{\"activity_name\":\"session.cut\",\"committed_monotonic_ns\":" + std::to_string(committed) +
                 ",\"cut_after_ns\":" + std::to_string(committed == 0 ? 0 : cut - committed) + ",\"reason\":";
  codec::append_json_string(event.detail, decision.reason_code);
  event.detail += ",\"revision\":" + std::to_string(decision.revision) + "}";
  (void)record(std::move(event));  // a full ring is counted by append's caller; the cut itself has happened
}

std::optional<std::uint64_t> Point::record(contract::Event event) {
  event.id = {options_.source, ring_.boot(), ring_.next_sequence()};
  event.tenant = options_.tenant;
  event.event_time = clock_.unix_time();
  const auto encoded = contract::encode(event);
  if (!encoded) return std::nullopt;
  const auto sequence = ring_.append(*encoded);
  if (sequence && on_recorded) on_recorded();
  return sequence;
}

std::string Point::next_decision_id() { return decision_prefix_ + "-" + std::to_string(++last_decision_); }

}  // namespace wary::enforce
