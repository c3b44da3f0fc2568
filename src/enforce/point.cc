#include "enforce/point.h"

#include <algorithm>
#include <charconv>

#include "base/limits.h"
#include "codec/text.h"
#include "contract/event_writer.h"
#include "crypto/hash.h"
#include "crypto/random_id.h"
#include "enforce/step_up.h"
#include "policy/decide.h"

namespace wary::enforce {

using contract::Decision;
using contract::EntityId;

namespace {

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out += out.back() == '{' ? "\"" : ",\"";
  out += name;
  out += "\":";
  codec::append_json_string(out, text);
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 24> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  out.append(text.data(), static_cast<std::size_t>(end - text.data()));
}

// The session's id, of a context as Json. No session of ours has a longer one.
std::string_view session_of(const codec::Json& context) {
  const codec::Json* session = context.find("session");
  const codec::Json* target = session != nullptr ? session->find("__entity") : nullptr;
  const std::string_view id = target != nullptr ? target->string_or("id", "") : "";
  return id.size() <= limits::kFreeTextBytes ? id : std::string_view{};
}

// Denies what was allowed; what it stood on stays named.
void deny_after_all(Decision& decision, std::string_view reason) {
  Decision denied = Decision::deny(std::string(reason));
  denied.id = std::move(decision.id);
  denied.tenant = std::move(decision.tenant);
  denied.revision = decision.revision;
  denied.depends_on = std::move(decision.depends_on);
  denied.valid_until = decision.valid_until;
  decision = std::move(denied);
}

void hold_until(Decision& decision, UnixTime until) {
  if (!decision.valid_until || until < *decision.valid_until) decision.valid_until = until;
}

}  // namespace

// Written by hand, in sorted order: one event for each request makes this part of the request's cost.
struct Point::Recorded {
  std::string_view actor;
  std::string_view session;
  const EntityId& action;
  const EntityId& resource;
  std::string_view context;  // canonical JSON
  std::string_view decision_id;
  const Decision& decision;
  const AccessDetail& access;

  void append_detail(std::string& out) const {
    out += '{';
    if (!access.pep.empty()) {
      append_member(out, "action", action.to_string());  // whole: another program's may be of any type
      append_member(out, "activity_name", "access.decision");
    }
    append_member(out, "client", access.client);
    out.append(",\"context\":").append(context);
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
    out += ",\"revision\":";
    append_number(out, decision.revision);
    out += '}';
  }
};

std::string credential_id(std::string_view token) { return codec::encode_hex(crypto::sha256(as_bytes(token))); }

Point::Point(Shared& shared, EventRing& ring, Clock& clock, Random& random, PointOptions options, Metrics& metrics)
    : shared_(shared),
      snapshot_(shared.snapshot),
      identifier_(shared.proofs, clock),
      ring_(ring),
      clock_(clock),
      options_(std::move(options)),
      decision_id_(crypto::random_id(random).substr(0, 10) + "-"),
      allowed_(metrics.counter("wary_enforce_allowed_total", "Decisions that allowed")),
      denied_(metrics.counter("wary_enforce_denied_total", "Decisions that denied")),
      ring_full_(metrics.counter("wary_enforce_ring_full_total", "Decisions denied because no event fitted")) {
  decision_prefix_ = decision_id_.size();
}

Subject Point::identify(const Presented& presented) {
  const policy::SnapshotPtr& snapshot = snapshot_.get();
  if (!snapshot) return {{"Wary::Anonymous", "anonymous"}, std::nullopt, true};
  return identifier_.identify(presented, *snapshot);
}

Subject Point::identify(std::string_view session_token, std::string_view host, std::string_view spiffe_id) {
  return identify(Presented{.session_token = session_token, .host = host, .spiffe_id = spiffe_id});
}

std::shared_ptr<const Recognised> Point::recognise(const Presented& presented) {
  return identifier_.recognise(presented, snapshot_.get());
}

std::optional<Decision> Point::deny_beside(const policy::SnapshotPtr& snapshot, const Challenge* refusal) {
  if (!snapshot) return Decision::deny("snapshot_missing");
  const std::int64_t silent = clock_.monotonic().nanos - shared_.control_heard.load(std::memory_order_relaxed);
  if (silent > options_.stale_after_nanos) return Decision::deny("snapshot_stale");
  if (!shared_.ledger_available.load(std::memory_order_relaxed)) return Decision::deny("ledger_unavailable");
  if (refusal == nullptr) return std::nullopt;
  Decision refused = Decision::deny("credential_refused");
  refused.errors.push_back({refusal->code, "Credential", refusal->message});
  refused.revision = snapshot->revision();
  return refused;
}

Decision Point::ask_policies(const policy::Snapshot& snapshot, const contract::Request& request, UnixTime now,
                             const std::vector<std::string>& obligations, bool lists_dependencies) {
  policy::DecideOptions options;
  options.lists_dependencies = lists_dependencies;
  options.known_obligations = obligations;
  Decision decision = decider_.decide(snapshot, request, now, options);
  if (decision.is_allowed()) keep_to_sign_in(snapshot, request, now, decision);
  return decision;
}

Decision Point::evaluate(const contract::Request& request, const std::vector<std::string>* obligations,
                         bool lists_dependencies, const Challenge* refusal) {
  const policy::SnapshotPtr& snapshot = snapshot_.get();
  if (auto denied = deny_beside(snapshot, refusal)) return std::move(*denied);
  return ask_policies(*snapshot, request, clock_.unix_time(),
                      obligations != nullptr ? *obligations : options_.obligations, lists_dependencies);
}

// Who asks is always a part of the question; of what is asked, what some policy can look at.
void Point::follow_reads(const policy::SnapshotPtr& snapshot) {
  if (reads_of_ == snapshot) return;
  reads_of_ = snapshot;
  for (std::size_t i = 0; i < kContextMembers; ++i) {
    const auto member = static_cast<ContextMember>(i);
    const bool is_asked = member == ContextMember::kClient || member == ContextMember::kHost ||
                          member == ContextMember::kMethod || member == ContextMember::kPath ||
                          member == ContextMember::kTransport;
    is_read_[i] = !is_asked || snapshot->policies().may_read_context(to_string(member));
  }
}

policy::SharedDecision Point::rule(const Access& access, const Challenge* refusal) {
  const policy::SnapshotPtr& snapshot = snapshot_.get();
  if (auto denied = deny_beside(snapshot, refusal)) return std::make_shared<const Decision>(std::move(*denied));
  follow_reads(snapshot);
  question_.clear();
  policy::append_question(question_, access.tenant, access.principal, access.action, access.resource);
  for (std::size_t i = 0; i < kContextMembers; ++i) {
    if (is_read_[i]) question_.append(access.context.member(static_cast<ContextMember>(i))) += '\0';
  }
  const UnixTime now = clock_.unix_time();
  if (const auto* known = decisions_.find(snapshot, question_, now)) return *known;
  auto made =
      std::make_shared<const Decision>(ask_policies(*snapshot, access.request(), now, options_.obligations, true));
  decisions_.put(snapshot, question_, made, now);
  return made;
}

// What the passing of time changes beside the facts: a token ends, and a sign-in grows old.
void Point::keep_to_sign_in(const policy::Snapshot& snapshot, const contract::Request& request, UnixTime now,
                            Decision& decision) {
  if (const codec::Json* token = request.context.find("token"); token != nullptr) {
    constexpr std::int64_t kLast = INT64_MAX / kNanosPerSecond;
    const UnixTime ends{std::clamp<std::int64_t>(token->integer_or("expires", 0), 0, kLast) * kNanosPerSecond};
    if (ends <= now) return deny_after_all(decision, "credential_expired");
    hold_until(decision, ends);
  }
  if (request.resource.type != "Wary::Route") return;
  const contract::Entity* route = snapshot.find_entity(request.resource);
  const auto step_up = route != nullptr ? step_up_of(*route) : std::nullopt;
  if (!step_up) return;
  const StepUpAnswer answer = check_step_up(*step_up, request, snapshot, now);
  if (!answer.is_met) return deny_after_all(decision, "step_up_required");
  if (answer.until) hold_until(decision, *answer.until);
}

std::optional<Challenge> Point::challenge(const Subject& subject, const contract::Request& request,
                                          const Decision& decision) {
  if (subject.refusal) return subject.refusal;
  const std::string_view scheme = subject.is_dpop ? "DPoP" : "Bearer";
  const auto bearer = [&](int status, std::string_view code, std::string_view error, std::string_view message) {
    return Challenge{status, std::string(code), std::string(message), authenticate_value(scheme, error, message)};
  };
  if (decision.reason_code == "credential_expired") {
    return bearer(401, "credential_expired", "invalid_token", "the token has expired");
  }
  if (decision.reason_code == "step_up_required") {
    const policy::SnapshotPtr& snapshot = snapshot_.get();
    const contract::Entity* route = snapshot ? snapshot->find_entity(request.resource) : nullptr;
    return challenge_of((route != nullptr ? step_up_of(*route) : std::nullopt).value_or(StepUp{}), scheme);
  }
  const auto is_for = [&](std::initializer_list<std::string_view> policies) {
    return !decision.determining.empty() && std::ranges::all_of(decision.determining, [&](const std::string& policy) {
      return std::ranges::find(policies, policy) != policies.end();
    });
  };
  if (is_for({"guardrail/api-key", "guardrail/token-issuer", "guardrail/revoked-token"})) {
    return bearer(401, "credential_ended", "invalid_token", "the credential was revoked, has ended, or is disabled");
  }
  if (is_for({"guardrail/api-key-scope"})) {
    return bearer(403, "insufficient_scope", "insufficient_scope", "the API key is not for this");
  }
  if (!subject.is_anonymous) return std::nullopt;
  Challenge out{401, "unauthenticated", "Nobody is signed in here.", authenticate_value(scheme, {}, {})};
  if (!subject.hint.empty()) {
    out.authenticate = authenticate_value(scheme, "invalid_token", "the token is of no issuer that is known here");
  }
  return out;
}

Decision Point::reconsider(const contract::Request& request, const std::vector<std::string>* obligations) {
  return evaluate(request, obligations, true);
}

policy::SharedDecision Point::reconsider(const Access& access) { return rule(access, nullptr); }

const contract::Entity* Point::find_entity(const EntityId& id) {
  const policy::SnapshotPtr& snapshot = snapshot_.get();
  return snapshot != nullptr ? snapshot->find_entity(id) : nullptr;
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
  const std::string& id = next_decision_id();
  Decision decision = evaluate(request, detail.obligations, detail.lists_dependencies, detail.refusal);
  decision.id = id;
  decision.tenant = options_.tenant;
  const std::string own = detail.context.empty() ? request.context.to_canonical_string() : std::string();
  const std::string_view context = detail.context.empty() ? own : detail.context;
  const auto sequence = record_access({request.principal.to_string(), session_of(request.context), request.action,
                                       request.resource, context, id, decision, detail});
  if (!sequence) {
    decision = Decision::deny("ledger_unavailable");
    decision.id = id;
  }
  (decision.is_allowed() ? allowed_ : denied_).add();
  return {std::move(decision), sequence.value_or(0)};
}

Point::Ruling Point::decide(const Recognised& who, const Access& access, const AccessDetail& detail) {
  const std::string& id = next_decision_id();
  policy::SharedDecision decision = rule(access, who.subject.refusal ? &*who.subject.refusal : nullptr);
  if (!detail.deny_allowed.empty() && decision->is_allowed()) {
    Decision denied = *decision;
    deny_after_all(denied, detail.deny_allowed);
    decision = std::make_shared<const Decision>(std::move(denied));
  }
  const std::string_view session = who.subject.session ? std::string_view(who.subject.session->id) : "";
  const auto sequence =
      record_access({who.principal, session.size() <= limits::kFreeTextBytes ? session : std::string_view{},
                     access.action, access.resource, access.context.text(), id, *decision, detail});
  if (!sequence) decision = std::make_shared<const Decision>(Decision::deny("ledger_unavailable"));
  (decision->is_allowed() ? allowed_ : denied_).add();
  return {std::move(decision), id, sequence.value_or(0)};
}

std::optional<std::uint64_t> Point::record_access(const Recorded& what) {
  contract::EventWriter writer(event_, {options_.source, ring_.boot(), ring_.next_sequence(), options_.tenant,
                                        options_.event_class, 99, clock_.unix_time()});
  writer.text(what.actor);
  writer.text({});  // no device
  writer.text(what.session);
  what.resource.append_to(writer.begin_text());
  writer.end_text();
  writer.text(what.action.id);
  writer.text(what.decision_id);
  writer.text(what.access.trace_id);
  what.append_detail(writer.begin_text());
  writer.end_text();
  const auto sequence = writer.finish() ? append_to_ring(as_bytes(event_)) : std::nullopt;
  constexpr std::size_t kKeptRoom = 4096;
  if (event_.capacity() > kKeptRoom) std::string().swap(event_);
  if (!sequence) ring_full_.add();
  return sequence;
}

void Point::record_cut(const EntityId& principal, const EntityId& resource, const Decision& decision,
                       std::string_view first_decision, std::int64_t committed, std::int64_t cut) {
  contract::Event event;
  event.class_uid = contract::EventClass::kHttpActivity;
  event.activity_id = 99;
  event.actor = principal.to_string();
  event.resource = resource.to_string();
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
  return append_to_ring(*encoded);
}

std::optional<std::uint64_t> Point::append_to_ring(ByteView event) {
  const auto sequence = ring_.append(event);
  if (sequence && on_recorded) on_recorded();
  return sequence;
}

const std::string& Point::next_decision_id() {
  decision_id_.resize(decision_prefix_);
  append_number(decision_id_, ++last_decision_);
  return decision_id_;
}

}  // namespace wary::enforce
