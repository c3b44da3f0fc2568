#include "workload/agent.h"

#include <algorithm>

#include "codec/text.h"
#include "policy/serialize.h"
#include "spiffe/jwt_svid.h"

namespace wary::workload {

namespace {

constexpr std::string_view kWorkloadType = "Wary::Workload";
constexpr std::string_view kTrustDomainType = "Wary::TrustDomain";

// The bundle as the API gives it.
KnownBundle known(const spiffe::Bundle& bundle) {
  KnownBundle out;
  for (const Bytes& authority : bundle.x509_authorities) out.x509 += as_text(authority);
  codec::Json keys = codec::Json::array();
  for (const crypto::Jwk& authority : bundle.jwt_authorities) keys.push(crypto::to_json(authority));
  out.jwt = codec::Json::object({{"keys", std::move(keys)}}).to_string();
  return out;
}

// What the control plane says instead of an answer.
Status refusal_of(const codec::Json& reply) {
  const codec::Json* error = reply.find("error");
  if (error == nullptr) return {};
  const std::string code(error->string_or("code", "svid_refused"));
  const bool denied = error->string_or("kind", "") == "denied";
  return fail(denied ? ErrorKind::kDenied : ErrorKind::kUnavailable, code, error->string_or("message", "refused"));
}

}  // namespace

Agent::Agent(AgentParts parts, AgentOptions options) : parts_(std::move(parts)), options_(std::move(options)) {}
Agent::~Agent() = default;

Status Agent::start() {
  WARY_ASSIGN_OR_RETURN(const crypto::PublicKey key,
                        crypto::PublicKey::from_raw(crypto::KeyType::kEd25519, options_.snapshot_key));
  ServiceParts service{
      options_.trust_domain,
      entries_,
      bundles_,
      [this](const IssueRequest& request, std::function<void(Result<IssuedSvid>)> done) { issue(request, done); },
      [this](const JwtIssueRequest& request, std::function<void(Result<std::string>)> done) {
        issue_jwt(request, done);
      },
      [this](const std::string& token, const std::string& audience) { return validate(token, audience); },
      [this] { return revision_ != 0; }};
  service.on_quiet = parts_.on_quiet;
  // Elsewhere, of the 100 a second and 1,000 at once that a node has; the rest is for certificates.
  if (options_.dial) service.tokens_of_all = {.per_second = 80, .at_once = 800};
  service_ = std::make_unique<Service>(parts_.loop, parts_.clock, parts_.random, parts_.files, parts_.log,
                                       parts_.metrics, std::move(service));
  link::SubscriberHooks hooks;
  hooks.verify = [key](ByteView message, ByteView signature) { return key.verify(message, signature); };
  hooks.on_update = [this](const link::Update& update) { return on_update(update); };
  hooks.on_receipt = [](const link::Receipt&) {};
  hooks.on_ledger_state = [](bool) {};
  hooks.on_connection = [this](bool connected) {
    parts_.log.info(connected ? "agent.connected" : "agent.disconnected", {{"node", options_.node}});
  };
  subscriber_ = std::make_unique<link::Subscriber>(parts_.loop, parts_.files,
                                                   link::SubscriberOptions{.node = options_.node,
                                                                           .address = options_.link,
                                                                           .directory = options_.directory,
                                                                           .dial = options_.dial,
                                                                           .view = options_.node},
                                                   std::move(hooks), parts_.log);
  WARY_RETURN_IF_ERROR(subscriber_->start());
  return service_->listen(options_.socket);
}

Status Agent::on_update(const link::Update& update) {
  parts_.raise_clock({update.published});
  std::uint64_t revision = 0;
  if (update.is_snapshot()) {
    WARY_ASSIGN_OR_RETURN(const policy::SnapshotContent content, policy::parse_snapshot(update.content));
    if (content.revision != update.to) {
      return fail(ErrorKind::kInvalid, "update_order", "an update's content has another revision than its envelope");
    }
    revision = content.revision;
    entries_.clear();
    std::vector<std::string> gone;
    for (const auto& [domain, bundle] : bundles_) gone.push_back(domain);
    for (const contract::Entity& entity : content.entities) {
      if (entity.id.type == kTrustDomainType) std::erase(gone, entity.id.id);
    }
    for (const std::string& domain : gone) distrust(domain);
    entries_changed_ = bundles_changed_ = true;
    learn(content.entities);
  } else {
    WARY_ASSIGN_OR_RETURN(const policy::SnapshotDelta delta, policy::parse_delta(update.content));
    if (delta.from != revision_ || delta.to != update.to) {
      return fail(ErrorKind::kConflict, "update_order", "an update does not continue what is known");
    }
    revision = delta.to;
    forget(delta.removals);
    learn(delta.upserts);
  }
  revision_ = revision;
  if (entries_changed_) service_->entries_changed();
  if (bundles_changed_) service_->bundles_changed();
  if (roots_left_) service_->authorities_changed();
  entries_changed_ = bundles_changed_ = roots_left_ = false;
  return {};
}

void Agent::learn(const std::vector<contract::Entity>& entities) {
  for (const contract::Entity& entity : entities) {
    if (entity.id.type == kWorkloadType) {
      entries_changed_ = entries_.put(entry_of(entity)) || entries_changed_;
    } else if (entity.id.type == kTrustDomainType) {
      trust(entity);
    }
  }
}

void Agent::trust(const contract::Entity& trust_domain) {
  const std::string& domain = trust_domain.id.id;
  bundles_changed_ = true;
  const std::vector<Bytes> before =
      trusted_.find(domain) != nullptr ? trusted_.find(domain)->x509_authorities : std::vector<Bytes>();
  std::string text;
  for (const contract::Fact& fact : trust_domain.attributes) {
    if (fact.name == "bundle" && fact.value.is_string()) text = fact.value.as_string();
  }
  if (text.empty()) return distrust(domain);  // none was fetched yet
  auto bundle = spiffe::parse_bundle(domain, text);
  Status held = bundle ? trusted_.put(std::move(bundle).value()) : Status(std::move(bundle).error());
  if (!held) {
    // Trusting nothing of a domain is the safe side of not understanding it.
    distrust(domain);
    parts_.log.error("agent.bundle_refused", {{"trust_domain", domain}, {"code", held.error().code}});
    return;
  }
  const spiffe::Bundle& now = *trusted_.find(domain);
  bundles_[domain] = known(now);
  if (domain != options_.trust_domain) return;
  if (parts_.authorities && now.x509_authorities != before) parts_.authorities(now.x509_authorities);
  // What a root signed that is gone ends with it.
  roots_left_ =
      roots_left_ || std::any_of(before.begin(), before.end(), [&](const Bytes& root) {
        return std::find(now.x509_authorities.begin(), now.x509_authorities.end(), root) == now.x509_authorities.end();
      });
}

void Agent::distrust(const std::string& trust_domain) {
  trusted_.remove(trust_domain);
  bundles_.erase(trust_domain);
  bundles_changed_ = true;
}

void Agent::forget(const std::vector<contract::EntityId>& ids) {
  for (const contract::EntityId& id : ids) {
    if (id.type == kWorkloadType) entries_changed_ = entries_.remove(id.id) || entries_changed_;
    if (id.type == kTrustDomainType) distrust(id.id);
  }
}

void Agent::issue(const IssueRequest& request, const std::function<void(Result<IssuedSvid>)>& done) {
  codec::Json call = codec::Json::object();
  call.set("op", "svid.issue").set("spiffe_id", std::string_view(request.spiffe_id));
  call.set("csr", codec::encode_base64(request.csr)).set("ttl_seconds", request.ttl_seconds);
  subscriber_->call(call, [done](Result<codec::Json> reply) {
    if (!reply) return done(std::move(reply).error());
    if (Status refused = refusal_of(*reply); !refused) return done(std::move(refused).error());
    IssuedSvid issued;
    const codec::Json* chain = reply->find("chain");
    if (chain == nullptr || !chain->is_array()) {
      return done(fail(ErrorKind::kInternal, "svid_answer", "there is no certificate in the answer"));
    }
    for (const codec::Json& certificate : chain->items()) {
      auto der = codec::decode_base64(certificate.is_string() ? certificate.as_string() : std::string());
      if (!der) return done(std::move(der).error());
      issued.chain.push_back(std::move(der).value());
    }
    done(std::move(issued));
  });
}

void Agent::issue_jwt(const JwtIssueRequest& request, const std::function<void(Result<std::string>)>& done) {
  codec::Json call = codec::Json::object();
  call.set("op", "svid.jwt").set("spiffe_id", std::string_view(request.spiffe_id));
  codec::Json audiences = codec::Json::array();
  for (const std::string& audience : request.audiences) audiences.push(codec::Json(audience));
  call.set("audiences", std::move(audiences));
  subscriber_->call(call, [done](Result<codec::Json> reply) {
    if (!reply) return done(std::move(reply).error());
    if (Status refused = refusal_of(*reply); !refused) return done(std::move(refused).error());
    const std::string token(reply->string_or("token", ""));
    if (token.empty()) return done(fail(ErrorKind::kInternal, "svid_answer", "there is no token in the answer"));
    done(token);
  });
}

Result<ValidatedJwt> Agent::validate(const std::string& token, const std::string& audience) const {
  WARY_ASSIGN_OR_RETURN(
      spiffe::JwtSvid svid,
      spiffe::check_jwt_svid(token, trusted_, {.audience = audience, .now = parts_.clock.unix_time()}));
  return ValidatedJwt{svid.id.to_string(), std::move(svid.claims)};
}

}  // namespace wary::workload
