#include "control/workload_identity.h"

#include "codec/text.h"
#include "control/views.h"
#include "crypto/random_id.h"
#include "policy/decide.h"

namespace wary::control {

namespace {

using codec::Json;

constexpr std::string_view kLocalAgent = "agent/local";
constexpr std::int64_t kX509LifeMost = 3600;  // seconds
constexpr std::int64_t kJwtLife = 300;
constexpr std::size_t kAudiencesMost = 16;
constexpr std::size_t kAudienceBytesMost = 256;  // the signer's; escaped they all fit into a record

Json svid_error(const Error& error) {
  const bool denied = error.kind == ErrorKind::kDenied || error.kind == ErrorKind::kNotFound;
  Json out = Json::object();
  out.set("code", std::string_view(error.code)).set("kind", denied ? "denied" : "unavailable");
  out.set("message", std::string_view(error.message));
  return Json::object({{"error", std::move(out)}});
}

bool is_token(const Json& call) { return call.string_or("op", "") == "svid.jwt"; }

// What policy, record and token all speak of: nothing is left out of one of them.
Result<std::vector<std::string>> audiences_of(const Json& call) {
  const auto wrong = [] {
    return fail(ErrorKind::kInvalid, "svid_audience", "a token has 1 to 16 audiences, of 1 to 256 bytes");
  };
  const Json* list = call.find("audiences");
  if (list == nullptr || !list->is_array() || list->items().empty() || list->items().size() > kAudiencesMost) {
    return wrong();
  }
  std::vector<std::string> out;
  for (const Json& audience : list->items()) {
    const std::string text = audience.is_string() ? audience.as_string() : std::string();
    if (text.empty() || text.size() > kAudienceBytesMost) return wrong();
    out.push_back(text);
  }
  return out;
}

}  // namespace

WorkloadIdentity::WorkloadIdentity(Plane& plane, WorkloadIdentityParts parts)
    : plane_(plane), parts_(std::move(parts)), refusals_(parts_.log), calls_({.per_second = 100, .at_once = 1000}) {}

Status WorkloadIdentity::publish(const std::string& bundle) {
  const store::Key key = key_of(kTenantWide, "TrustDomain", plane_.settings().trust_domain);
  const Value* known = plane_.objects().find(key);
  const Json* spec = known != nullptr ? known->json.find("spec") : nullptr;
  if (spec != nullptr && spec->string_or("bundle", "") == bundle) return {};
  Json value = Json::object({{"labels", Json::object()}});
  value.set("spec", Json::object({{"bundle", Json(bundle)}}));
  Change change;
  change.writes.push_back({key, std::move(value)});
  change.event.class_uid = contract::EventClass::kEntityManagement;
  change.event.action = "bundle.publish";
  change.event.resource = contract::EntityId{"Wary::TrustDomain", plane_.settings().trust_domain}.to_string();
  change.event.detail = "{}";
  auto committed = plane_.commit(std::move(change));
  return committed ? Status() : Status(std::move(committed).error());
}

// Whoever asks is a node in good standing that this workload is placed on.
Status WorkloadIdentity::check_node(const std::string& node, const contract::Entity& workload) const {
  const std::string name = node.substr(node.find('/') + 1);
  const std::string& trust_domain = plane_.settings().trust_domain;
  const contract::Entity* entity = plane_.snapshot()->find_entity(node_entity(trust_domain, name));
  if (name != kLocalNode && entity == nullptr) {
    return fail(ErrorKind::kDenied, "svid_node", "there is no such node").found(name);
  }
  if (entity != nullptr && is_barred(*entity)) {
    return fail(ErrorKind::kDenied, "svid_node", "this node was revoked or disabled").found(name);
  }
  if (is_placed(*plane_.snapshot(), trust_domain, workload, name)) return {};
  return fail(ErrorKind::kDenied, "svid_not_placed", "this workload is not placed on the node that asks").found(name);
}

// The event of what was asked, when it may be.
Result<contract::Event> WorkloadIdentity::decide(const std::string& node, const Json& call) {
  contract::Request question;
  question.tenant = std::string(contract::kDefaultTenant);
  question.principal = {"Wary::Workload", std::string(call.string_or("spiffe_id", ""))};
  question.action = {"Wary::Action", "svid.issue"};
  question.resource = {"Wary::Platform", "wary"};
  question.context = Json::object({{"node", Json(node)}});
  // By what is asked for, not by what else the call brings: a node may be anybody's.
  if (is_token(call)) {
    WARY_ASSIGN_OR_RETURN([[maybe_unused]] const std::vector<std::string> audiences, audiences_of(call));
    question.context.set("audiences", *call.find("audiences"));
  }
  const contract::Entity* workload = plane_.snapshot()->find_entity(question.principal);
  if (workload == nullptr) {
    return fail(ErrorKind::kNotFound, "svid_unknown", "there is no such workload").found(question.principal.id);
  }
  WARY_RETURN_IF_ERROR(check_node(node, *workload));
  policy::DecideOptions options;
  options.decision_id = crypto::random_id(parts_.random);
  options.lists_dependencies = false;
  const contract::Decision decision = decider_.decide(*plane_.snapshot(), question, parts_.clock.unix_time(), options);
  contract::Event event;
  event.class_uid = contract::EventClass::kAuthentication;
  event.actor = question.principal.to_string();
  event.action = is_token(call) ? "svid.jwt" : "svid.issue";
  event.resource = question.resource.to_string();
  event.decision_id = decision.id;
  Json detail = Json::object({{"context", question.context}});
  Json policies = Json::array();
  for (const std::string& policy : decision.determining) policies.push(Json(policy));
  detail.set("decision", decision.is_allowed() ? "allow" : "deny")
      .set("reason", std::string_view(decision.reason_code));
  detail.set("policies", std::move(policies)).set("revision", static_cast<std::int64_t>(decision.revision));
  event.detail = detail.to_canonical_string();
  if (decision.is_allowed()) return event;
  plane_.record(std::move(event));
  return fail(ErrorKind::kDenied, "svid_denied",
              "policy gives this workload no identity now (" + decision.reason_code + ")")
      .at("decision " + decision.id);
}

// A certificate that was asked for and allowed.
struct WorkloadIdentity::Asked {
  std::string node;
  Json call;
  std::function<void(Json)> reply;
  contract::Event event;
  std::uint64_t revision = 0;  // that it was decided at
};

void WorkloadIdentity::issue(std::shared_ptr<Asked> asked) {
  auto csr = codec::decode_base64(asked->call.string_or("csr", ""));
  if (!csr) return refuse(asked->node, csr.error(), asked->reply);
  const std::int64_t ttl = asked->call.integer_or("ttl_seconds", kX509LifeMost);
  if (ttl < 60 || ttl > kX509LifeMost) {
    return refuse(
        asked->node,
        fail(ErrorKind::kInvalid, "svid_ttl", "a certificate cannot live that long").expected("60..3600 seconds"),
        asked->reply);
  }
  const std::weak_ptr<int> alive = alive_;
  const std::string id(asked->call.string_or("spiffe_id", ""));
  parts_.issue(std::move(csr).value(), id, static_cast<std::uint32_t>(ttl),
               [this, alive, asked = std::move(asked)](Result<std::vector<Bytes>> chain) {
                 if (!alive.expired()) issued(asked, std::move(chain));
               });
}

void WorkloadIdentity::issued(const std::shared_ptr<Asked>& asked, Result<std::vector<Bytes>> chain) {
  if (!chain) return refuse(asked->node, chain.error(), asked->reply);
  if (plane_.snapshot()->revision() != asked->revision) {
    auto event = decide(asked->node, asked->call);
    if (!event) return asked->reply(svid_error(event.error()));
    asked->event = std::move(event).value();
  }
  Json certificates = Json::array();
  for (const Bytes& certificate : *chain) certificates.push(Json(codec::encode_base64(certificate)));
  // What was given away, to the byte.
  asked->event.raw = std::move(chain->front());
  give(std::move(asked->event), Json::object({{"chain", std::move(certificates)}}), std::move(asked->reply));
}

Result<Json> WorkloadIdentity::sign_jwt(const Json& call) {
  WARY_ASSIGN_OR_RETURN(const std::vector<std::string> audiences, audiences_of(call));
  WARY_ASSIGN_OR_RETURN(const std::string token,
                        parts_.sign_jwt(std::string(call.string_or("spiffe_id", "")), audiences, kJwtLife));
  return Json::object({{"token", Json(token)}});
}

void WorkloadIdentity::refuse(const std::string& node, const Error& why, const std::function<void(Json)>& reply) {
  refusals_.warn(parts_.clock.monotonic(), "svid.not_issued", node,
                 {{"node", node}, {"code", why.code}, {"why", why.message}});
  reply(svid_error(why));
}

// Nothing is given away that is not recorded.
void WorkloadIdentity::give(contract::Event event, Json answer, std::function<void(Json)> reply) {
  plane_.record(std::move(event),
                [reply = std::move(reply), answer = std::move(answer)](const Status& recorded) mutable {
                  reply(recorded ? std::move(answer) : svid_error(recorded.error()));
                });
}

void WorkloadIdentity::handle(const std::string& node, const Json& call, std::function<void(Json)> reply) {
  // Each costs a signature and a record: one node that was taken over leaves room for the others.
  if (node != kLocalAgent && !calls_.take(node, parts_.clock.monotonic())) {
    return reply(svid_error(fail(ErrorKind::kExhausted, "svid_rate", "this node asks too often")));
  }
  auto event = decide(node, call);
  if (!event) return reply(svid_error(event.error()));
  if (!is_token(call)) {
    return issue(std::make_shared<Asked>(
        Asked{node, call, std::move(reply), std::move(event).value(), plane_.snapshot()->revision()}));
  }
  auto answer = sign_jwt(call);
  if (!answer) return refuse(node, answer.error(), reply);
  give(std::move(event).value(), std::move(answer).value(), std::move(reply));
}

}  // namespace wary::control
