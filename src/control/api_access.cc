// try, explain, revoke, restore, sessions, workloads, health.
#include <algorithm>

#include "codec/nearest.h"
#include "codec/text.h"
#include "codec/uri.h"
#include "control/api.h"
#include "control/names.h"
#include "control/nodes.h"
#include "control/views.h"
#include "enforce/jwt_issuer.h"
#include "policy/explain.h"

namespace wary::control {

using codec::Json;
using contract::EntityId;

namespace {

constexpr std::int64_t kCutWait = 150 * kNanosPerMilli;  // after every edge has the change
constexpr std::int64_t kCutWaitMax = kNanosPerSecond;
constexpr std::int64_t kCutPoll = 5 * kNanosPerMilli;
constexpr std::size_t kReasonMax = 4096;
constexpr std::string_view kUrlForm = "give it whole, as https://HOST/PATH";
constexpr std::size_t kEndedMax = 900;  // of what a change may write

Json decision_json(const contract::Decision& decision) {
  Json out = Json::object();
  Json policies = Json::array();
  for (const std::string& policy : decision.determining) policies.push(Json(policy));
  out.set("decision", decision.is_allowed() ? "allow" : "deny").set("reason", std::string_view(decision.reason_code));
  out.set("policies", std::move(policies)).set("revision", static_cast<std::int64_t>(decision.revision));
  return out;
}

// What is revoked or restored: user, session, or workload NAMESPACE/NAME.
struct Target {
  store::Key revocation;
  EntityId entity;
};
// One token of an issuer, by its `jti`, whether or not anybody has seen it: ISSUER/JTI.
Result<Target> token_target(const Plane& plane, const std::string& name) {
  const std::size_t slash = std::min(name.find('/'), name.size());
  const std::string issuer = name.substr(0, slash), id = slash < name.size() ? name.substr(slash + 1) : "";
  if (id.empty() || plane.objects().find(key_of(kTenantWide, "Issuer", issuer)) == nullptr) {
    return fail(ErrorKind::kNotFound, "revoke_unknown", "a token is named by its Issuer and its jti")
        .expected("ISSUER/JTI")
        .found(std::string_view(name))
        .next("wary get issuers lists them");
  }
  Target target;
  target.entity = {"Wary::Token", enforce::token_entity_id(issuer, id)};
  target.revocation =
      key_of(kTenantWide, "Revocation", "token." + issuer + "." + target.entity.id.substr(issuer.size() + 1));
  return target;
}

std::string meant(const Objects& objects, std::string_view kind, const std::string& name) {
  constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
      {"user", "User"}, {"workload", "Workload"}, {"node", "Node"}, {"apikey", "ApiKey"}, {"issuer", "Issuer"}};
  for (const auto& [written, own] : kKinds) {
    if (written != kind) continue;
    const std::size_t slash = own == "Workload" ? name.find('/') : std::string::npos;
    const std::string name_space = own != "Workload"            ? std::string(kTenantWide)
                                   : slash == std::string::npos ? "default"
                                                                : name.substr(0, slash);
    return nearest_object(objects, key_of(name_space, own, name.substr(slash == std::string::npos ? 0 : slash + 1)));
  }
  return {};
}

Result<Target> target_of(const Plane& plane, const Json& body) {
  const std::string kind(body.string_or("kind", "")), name(body.string_or("name", ""));
  const std::string reason(body.string_or("reason", ""));
  if (reason.empty() || reason.size() > kReasonMax) {
    return fail(ErrorKind::kInvalid, "reason_missing", "a revocation says why, in at most 4 KiB")
        .next("say it with --reason TEXT");
  }
  Target target;
  if (kind == "user" || kind == "session") {
    target.entity = {kind == "user" ? "Wary::User" : "Wary::Session", name};
    target.revocation = key_of(kTenantWide, "Revocation", kind + ".-." + name);
  } else if (kind == "workload") {
    const std::size_t slash = name.find('/');
    const std::string name_space = slash == std::string::npos ? "default" : name.substr(0, slash);
    const std::string own = name.substr(slash == std::string::npos ? 0 : slash + 1);
    target.entity = {"Wary::Workload", spiffe_id_of(plane.settings(), name_space, own)};
    target.revocation = key_of(kTenantWide, "Revocation", "workload." + name_space + "." + own);
  } else if (kind == "node") {
    target.entity = node_entity(plane.settings().trust_domain, name);
    target.revocation = key_of(kTenantWide, "Revocation", "node.-." + name);
  } else if (kind == "apikey" || kind == "issuer") {
    target.entity = {kind == "apikey" ? "Wary::ApiKey" : "Wary::Issuer", name};
    target.revocation = key_of(kTenantWide, "Revocation", kind + ".-." + name);
  } else if (kind == "token") {
    return token_target(plane, name);
  } else {
    const std::string near = codec::nearest(kind, {"user", "workload", "node", "session", "apikey", "issuer", "token"});
    return fail(ErrorKind::kInvalid, "revoke_kind", "this cannot be revoked")
        .expected("user, workload, node, session, apikey, issuer or token")
        .found(kind)
        .next(did_you_mean(near) + "wary help revoke");
  }
  // What was deleted while it was revoked can be restored, to be made anew.
  const bool is_revoked = plane.objects().find(target.revocation) != nullptr;
  if (!is_revoked && plane.snapshot()->find_entity(target.entity) == nullptr) {
    const std::string near = meant(plane.objects(), kind, name);
    return fail(ErrorKind::kNotFound, "revoke_unknown", "there is no such " + kind)
        .found(std::string_view(name))
        .next(did_you_mean(near) +
              (kind == "session" ? "wary session list shows them" : "wary get " + kind + "s lists them"));
  }
  return target;
}

// A revoked user's sessions and unused links end for good: taking the revocation back does not bring them back. However
// many there are, the revocation itself fits into its change.
void end_sessions(const Plane& plane, const std::string& user, UnixTime now, std::vector<Write>& writes) {
  const auto lives_on = [&](const Value& value) {
    const Json* spec = value.json.find("spec");
    return spec != nullptr && spec->string_or("user", "") == user && !spec->bool_or("revoked", false) &&
           spec->integer_or("expires", 0) > now.nanos && writes.size() < kEndedMax;
  };
  for (const auto& [key, value] : plane.objects().of_kind("Session")) {
    if (!lives_on(*value)) continue;
    Json ended = *value->json.find("spec");
    ended.set("revoked", true);
    writes.push_back({*key, Json::object({{"spec", std::move(ended)}})});
  }
  for (const auto& [key, value] : plane.objects().of_kind("LoginCode")) {
    if (lives_on(*value)) writes.push_back({*key, std::nullopt});
  }
}

// Waits, without blocking, until every edge has the revision and its cuts had time to arrive; then answers.
struct Cuts {
  Json list = Json::array();
  std::uint64_t revision = 0;
  std::uint64_t listener = 0;
  std::int64_t began = 0;
  std::int64_t acknowledged = 0;
};

// What was denied though the policies allow it (a credential that is wrong, a sign-in that is too old, too many at
// once) is no allow: the answer says so, and its text begins with it.
std::string beside_policies(const Json& recorded, Json& answer) {
  const std::string reason(recorded.string_or("reason", ""));
  if (recorded.string_or("decision", "") != "deny" || answer.string_or("decision", "") != "allow") return "";
  answer.set("decision", "deny").set("reason", std::string_view(reason));
  return "denied beside the policies: " + reason + "\nby the policies alone:\n";
}

}  // namespace

void Api::try_access(const Caller&, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  const auto who = principal_named(plane_.settings(), body->string_or("principal", ""));
  if (!who) return send_error(exchange, Error(who.error()).at("PRINCIPAL"));
  const std::string url(body->string_or("url", ""));
  auto uri = codec::parse_uri(url);
  if (!uri) return send_error(exchange, std::move(uri).error().at("URL").found(url).next(kUrlForm));
  auto path = codec::normalise_path(uri->path);
  if (!path) return send_error(exchange, std::move(path).error().at("URL").found(url).next(kUrlForm));
  const gateway::App* app = plane_.site()->find_app(uri->host);
  if (app == nullptr) {
    const std::vector<std::string> hosts = plane_.site()->hosts();
    const std::string near = codec::nearest(codec::host_name(uri->host), {hosts.begin(), hosts.end()});
    return send_error(exchange, fail(ErrorKind::kNotFound, "host_unknown", "nothing is served under this name")
                                    .found(std::string_view(uri->host))
                                    .next(did_you_mean(near) + "wary get apps lists what is served"));
  }
  const std::string method(body->string_or("method", "GET"));
  policy::DecisionRecord record;
  record.request.tenant = app->tenant;
  record.request.principal = *who;
  record.request.action = {"Wary::Action", method};
  record.request.resource = app->find_route(*path).resource;
  record.request.context.set("host", codec::host_name(uri->host)).set("method", std::string_view(method));
  record.request.context.set("path", std::string_view(*path));
  // As if it were sent from this machine: every request that is asked has a client.
  Json address = Json::object();
  address.set("fn", "ip").set("arg", "127.0.0.1");
  record.request.context.set("client", Json::object({{"__extn", std::move(address)}}));
  record.revision = plane_.snapshot()->revision();
  record.decided = parts_.clock.unix_time();
  const auto explained = policy::explain(*plane_.snapshot(), record);
  if (!explained) return send_error(exchange, explained.error());
  Json answer = decision_json(explained->decision);
  answer.set("text", policy::to_text(*explained));
  send_json(exchange, 200, answer);
}

void Api::explain(const Caller&, const ExchangePtr& exchange, const std::string& rest) {
  const auto id = codec::decode_percent(rest);
  if (!id) return send_error(exchange, id.error());
  const auto select = [id = *id](ledger::Ledger& ledger) {
    return ledger.select({.tenant = {}, .actor = {}, .decision_id = id, .resource = {}}, 10);
  };
  ask_ledger(exchange, select, [this, exchange, id = *id](const std::vector<ledger::StoredEvent>& found) {
    const ledger::StoredEvent* stored = nullptr;
    // The decision itself, not the later cut that names it too.
    for (const ledger::StoredEvent& each : found) {
      if (each.event.action != "session.cut") stored = &each;
    }
    if (stored == nullptr) {
      return send_error(exchange, fail(ErrorKind::kNotFound, "decision_unknown", "no decision has this reference")
                                      .found(std::string_view(id))
                                      .next("wary ledger tail shows references as ref=..."));
    }
    const auto detail = codec::parse_json(stored->event.detail);
    const auto principal = contract::parse_entity_id(stored->event.actor);
    const auto resource = contract::parse_entity_id(stored->event.resource);
    if (!detail || !principal || !resource) {
      return send_error(exchange, fail(ErrorKind::kInternal, "decision_unreadable", "this event cannot be explained"));
    }
    policy::DecisionRecord record;
    const auto action = contract::parse_entity_id(detail->string_or("action", ""));
    record.request = {stored->event.tenant, *principal,
                      action ? *action : EntityId{"Wary::Action", stored->event.action}, *resource};
    if (const Json* context = detail->find("context")) record.request.context = *context;
    record.revision = static_cast<std::uint64_t>(detail->integer_or("revision", 0));
    record.decided = stored->event.event_time;
    const auto snapshot = plane_.snapshot_at(record.revision);
    if (!snapshot) return send_error(exchange, snapshot.error());
    const auto explained = policy::explain(**snapshot, record);
    if (!explained) return send_error(exchange, explained.error());
    Json answer = decision_json(explained->decision);
    answer.set("reference", std::string_view(id)).set("index", static_cast<std::int64_t>(stored->index));
    answer.set("recorded", *detail).set("explanation", policy::to_json(*explained));
    answer.set("text", beside_policies(*detail, answer) + policy::to_text(*explained));
    send_json(exchange, 200, answer);
  });
}

void Api::revoke(const Caller& caller, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  const auto target = target_of(plane_, *body);
  if (!target) return send_error(exchange, target.error());
  Json spec = Json::object();
  spec.set("reason", body->string_or("reason", "")).set("by", caller.principal.to_string());
  spec.set("at", parts_.clock.unix_time().nanos);
  Change change;
  change.writes.push_back({target->revocation, Json::object({{"spec", std::move(spec)}})});
  if (target->entity.type == "Wary::User")
    end_sessions(plane_, target->entity.id, parts_.clock.unix_time(), change.writes);
  change.event.class_uid = contract::EventClass::kEntityManagement;
  change.event.actor = caller.principal.to_string();
  change.event.session = caller.session;
  change.event.action = "access.revoke";
  change.event.resource = target->entity.to_string();
  change.event.detail = Json::object({{"reason", Json(body->string_or("reason", ""))}}).to_canonical_string();

  // Listening begins before the change, so that no cut is missed.
  const auto cuts = std::make_shared<Cuts>();
  cuts->listener = plane_.on_event([cuts](std::uint64_t, const contract::Event& event) {
    if (event.action != "session.cut") return;
    const auto detail = codec::parse_json(event.detail);
    if (!detail || static_cast<std::uint64_t>(detail->integer_or("revision", 0)) != cuts->revision) return;
    Json cut = Json::object();
    cut.set("decision", std::string_view(event.decision_id)).set("resource", std::string_view(event.resource));
    cut.set("actor", std::string_view(event.actor)).set("after_ns", detail->integer_or("cut_after_ns", 0));
    cuts->list.push(std::move(cut));
  });
  const auto committed = plane_.commit(std::move(change));
  if (!committed) {
    plane_.remove_listener(cuts->listener);
    return send_error(exchange, committed.error());
  }
  cuts->revision = committed->revision;
  cuts->began = parts_.clock.monotonic().nanos;
  const auto poll = std::make_shared<std::function<void()>>();
  *poll = [this, exchange, cuts, poll, name = target->entity.to_string()] {
    const std::int64_t now = parts_.clock.monotonic().nanos;
    const auto applied = plane_.acknowledged();
    if (cuts->acknowledged == 0 && (!applied || *applied >= cuts->revision)) cuts->acknowledged = now;
    const bool done = cuts->acknowledged != 0 && now - cuts->acknowledged >= kCutWait;
    if (!done && now - cuts->began < kCutWaitMax) {
      parts_.loop.after(kCutPoll, *poll);
      return;
    }
    plane_.remove_listener(cuts->listener);
    Json answer = Json::object();
    answer.set("object", std::string_view(name)).set("revision", static_cast<std::int64_t>(cuts->revision));
    answer.set("applied", cuts->acknowledged != 0).set("cut", cuts->list);
    send_json(exchange, 200, answer);
    // The function holds itself; it is let go of here, from the loop, not from inside its own call.
    parts_.loop.post([poll] { *poll = nullptr; });
  };
  (*poll)();
}

void Api::restore(const Caller& caller, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  const auto target = target_of(plane_, *body);
  if (!target) return send_error(exchange, target.error());
  if (plane_.objects().find(target->revocation) == nullptr) {
    return send_error(exchange, fail(ErrorKind::kNotFound, "revoke_unknown", "this is not revoked")
                                    .found(target->entity.to_string())
                                    .next("nothing is to be done; wary try NAME GET URL shows what it may do"));
  }
  Change change;
  change.writes.push_back({target->revocation, std::nullopt});
  change.event.class_uid = contract::EventClass::kEntityManagement;
  change.event.actor = caller.principal.to_string();
  change.event.session = caller.session;
  change.event.action = "access.restore";
  change.event.resource = target->entity.to_string();
  change.event.detail = Json::object({{"reason", Json(body->string_or("reason", ""))}}).to_canonical_string();
  const auto committed = plane_.commit(std::move(change));
  if (!committed) return send_error(exchange, committed.error());
  Json answer = Json::object();
  answer.set("object", target->entity.to_string()).set("revision", static_cast<std::int64_t>(committed->revision));
  send_json(exchange, 200, answer);
}

void Api::create_session(const Caller& caller, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  const std::string user(body->string_or("user", ""));
  const auto issued = sign_in_.create_link(caller.principal, user);
  if (!issued) {
    Error error = issued.error();
    if (error.code == "user_unknown") {
      error.next_step.insert(0, did_you_mean(nearest_object(plane_.objects(), key_of(kTenantWide, "User", user))));
    }
    return send_error(exchange, error);
  }
  Json answer = Json::object();
  // In the fragment: browsers do not send it, so the code is in no log of anything on the way.
  answer.set("link", parts_.console_origin + "/#code=" + issued->secret).set("code", std::string_view(issued->secret));
  answer.set("expires", to_rfc3339(issued->expires));
  send_json(exchange, 200, answer);
}

void Api::issue_workload(const Caller& caller, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  const std::string name(body->string_or("name", "")), name_space(body->string_or("namespace", "default"));
  const EntityId id{"Wary::Workload", spiffe_id_of(plane_.settings(), name_space, name)};
  const contract::Entity* workload = plane_.snapshot()->find_entity(id);
  if (workload == nullptr) {
    return send_error(exchange, fail(ErrorKind::kNotFound, "workload_unknown", "there is no such workload")
                                    .found(name_space + "/" + name)
                                    .next("describe it as a Workload and apply it"));
  }
  if (is_barred(*workload)) {
    return send_error(exchange, fail(ErrorKind::kDenied, "workload_disabled", "this workload has no access now"));
  }
  const auto issued = parts_.issue_workload(std::string(body->string_or("csr", "")), id.id);
  if (!issued) return send_error(exchange, issued.error());
  contract::Event event;
  event.class_uid = contract::EventClass::kAuthentication;
  event.actor = caller.principal.to_string();
  event.action = "svid.issue";
  event.resource = id.to_string();
  event.detail = Json::object({{"expires", Json(issued->string_or("expires", ""))}}).to_canonical_string();
  plane_.record(std::move(event));
  Json answer = *issued;
  answer.set("spiffe_id", std::string_view(id.id));
  send_json(exchange, 200, answer);
}

void Api::rotate_authority(const Caller& caller, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  if (!parts_.rotate_authority) {
    return send_error(exchange, fail(ErrorKind::kUnsupported, "ca_absent", "this control plane has no signer"));
  }
  const auto rotated = parts_.rotate_authority(*body);
  if (!rotated) return send_error(exchange, rotated.error());
  contract::Event event;
  event.class_uid = contract::EventClass::kEntityManagement;
  event.actor = caller.principal.to_string();
  event.session = caller.session;
  event.action = "ca.rotate";
  event.resource = EntityId{"Wary::Platform", "wary"}.to_string();
  Json detail = Json::object();
  detail.set("kind", body->string_or("kind", "")).set("at_once", body->bool_or("atOnce", false));
  detail.set("grace_seconds", body->integer_or("graceSeconds", 0)).set("reason", body->string_or("reason", ""));
  event.detail = detail.set("sequence", rotated->integer_or("sequence", 0)).to_canonical_string();
  plane_.record(std::move(event));
  send_json(exchange, 200, *rotated);
}

void Api::create_node_token(const Caller& caller, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  if (nodes_ == nullptr) {
    return send_error(exchange, fail(ErrorKind::kUnsupported, "nodes_absent", "no node can join this control plane"));
  }
  const auto token =
      nodes_->create_token(caller, std::string(body->string_or("node", "")), body->integer_or("ttlSeconds", 600));
  if (!token) return send_error(exchange, token.error());
  send_json(exchange, 200, *token);
}

void Api::health(const Caller&, const ExchangePtr& exchange, const std::string&) {
  Json answer = Json::object();
  answer.set("status", plane_.is_ledger_available() ? "ok" : "degraded");
  answer.set("ledger", plane_.is_ledger_available() ? "available" : "ledger_unavailable");
  if (!plane_.is_ledger_available())
    answer.set("ledger_error", to_json(plane_.ledger_refusal("the ledger takes no event")));
  answer.set("revision", static_cast<std::int64_t>(plane_.snapshot()->revision()));
  answer.set("enforcement_points", static_cast<std::int64_t>(plane_.enforcement_points()));
  const auto applied = plane_.acknowledged();
  answer.set("acknowledged_revision", static_cast<std::int64_t>(applied.value_or(0)));
  answer.set("objects", static_cast<std::int64_t>(plane_.objects().all().size()));
  answer.set("content_hash", std::string_view(plane_.snapshot()->content_hash()));
  send_json(exchange, 200, answer);
}

}  // namespace wary::control
