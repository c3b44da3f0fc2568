#include "control/trust_domains.h"

#include "base/limits.h"
#include "codec/text.h"
#include "federation/endpoint.h"
#include "spiffe/bundle.h"

namespace wary::control {

namespace {

using codec::Json;

constexpr std::int64_t kFailureEvery = 60 * kNanosPerSecond;
constexpr std::int64_t kFederationLife = 3600;  // seconds
constexpr std::size_t kToldMax = 500;           // of what a process says of a failure

const Json* spec_in(const Value* value) { return value != nullptr ? value->json.find("spec") : nullptr; }

Json refusal(const Error& error) {
  Json out = Json::object();
  out.set("code", std::string_view(error.code)).set("message", std::string_view(error.message));
  return Json::object({{"error", std::move(out)}});
}

contract::Event domain_event(std::string_view action, const std::string& name, Json detail) {
  contract::Event event;
  event.class_uid = contract::EventClass::kEntityManagement;
  event.action = action;
  event.resource = contract::EntityId{"Wary::TrustDomain", name}.to_string();
  event.detail = detail.to_canonical_string();
  return event;
}

// Printable text of a bounded size: what a foreign server had a part in is shown to people.
std::string told(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kToldMax)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

// The bundle that is in force; nothing while there is none.
std::optional<spiffe::Bundle> held_bundle(const Objects& objects, const std::string& name) {
  const Json* fetched = spec_in(objects.find(key_of(kTenantWide, "FetchedBundle", name)));
  const Json* applied = spec_in(objects.find(key_of(kTenantWide, "TrustDomain", name)));
  std::string text = fetched != nullptr ? std::string(fetched->string_or("bundle", "")) : std::string();
  if (text.empty() && applied != nullptr) text = applied_bundle(*applied);
  auto bundle = spiffe::parse_bundle(name, text);
  return bundle ? std::optional(std::move(bundle).value()) : std::nullopt;
}

}  // namespace

Status check_not_own(const store::Key& key, const Settings& settings) {
  if (key.kind != "TrustDomain" || key.name != settings.trust_domain) return {};
  return fail(ErrorKind::kDenied, "trust_domain_own", "this machine's own trust domain is what its signer says it is")
      .found(std::string_view(key.name))
      .next("wary ca rotate replaces its keys");
}

namespace {

// The place is the object's in its file, and what is inside a text of it goes with the words.
std::pair<std::string, Error> wrong_at(std::string pointer, Error error) {
  if (!error.where.empty()) error.message += ", at " + std::exchange(error.where, "");
  return {std::move(pointer), std::move(error)};
}

}  // namespace

std::optional<std::pair<std::string, Error>> check_trust_domain(const Resource& resource, const Settings& settings) {
  if (Status foreign = check_not_own(resource.key, settings); !foreign) {
    return wrong_at("/metadata/name", std::move(foreign).error());
  }
  const Json* endpoint = resource.spec.find("bundleEndpoint");
  const std::string bundle = applied_bundle(resource.spec);
  if (!bundle.empty()) {
    const auto parsed = spiffe::parse_bundle(resource.key.name, bundle);
    if (!parsed) return wrong_at("/spec/bundle", parsed.error());
    // Half of a bundle is a mistake of whoever applies it; of one that is fetched it is its domain's business.
    if (!parsed->left_out.empty()) return wrong_at("/spec/bundle", parsed->left_out.front().error);
  }
  if (endpoint == nullptr) {
    if (!bundle.empty()) return std::nullopt;
    return std::pair("/spec",
                     fail(ErrorKind::kInvalid, "trust_domain_empty", "nothing says how its workloads are known")
                         .expected("a bundleEndpoint, a bundle, or both"));
  }
  const auto parsed = federation::endpoint_from(*endpoint);
  if (!parsed) {
    Error error = parsed.error();
    const std::string member = std::exchange(error.where, "");
    return wrong_at("/spec/bundleEndpoint/" + member, std::move(error));
  }
  const bool serves_itself = parsed->profile == federation::Profile::kSpiffe &&
                             parsed->spiffe_id.trust_domain == resource.key.name && bundle.empty();
  if (!serves_itself) return std::nullopt;
  return std::pair("/spec/bundle",
                   fail(ErrorKind::kInvalid, "bundle_needed",
                        "a server of this trust domain itself is known by its bundle, so a first one has to be given"));
}

std::vector<Write> trust_domain_writes(const Objects& objects, const store::Key& key, const Json* spec) {
  if (key.kind != "TrustDomain") return {};
  const store::Key fetched = key_of(kTenantWide, "FetchedBundle", key.name);
  if (objects.find(fetched) == nullptr) return {};
  const Json* before = spec_in(objects.find(key));
  if (spec != nullptr && before != nullptr && applied_bundle(*spec) == applied_bundle(*before)) return {};
  return {{fetched, std::nullopt}};
}

TrustDomains::TrustDomains(Plane& plane, TrustDomainsParts parts) : plane_(plane), parts_(std::move(parts)) {}

void TrustDomains::handle(const std::string& node, const Json& call, std::function<void(Json)> reply) {
  const std::string_view operation = call.string_or("op", "");
  if (operation == "federation.svid") return issue(node, call, std::move(reply));
  const std::string name(call.string_or("trust_domain", ""));
  const store::Key key = key_of(kTenantWide, "TrustDomain", name);
  const Json* applied = spec_in(plane_.objects().find(key));
  const bool is_followed =
      name != plane_.settings().trust_domain && applied != nullptr && applied->find("bundleEndpoint") != nullptr;
  if (!is_followed) {
    return reply(
        refusal(fail(ErrorKind::kNotFound, "trust_domain_unknown", "no such trust domain's bundle is fetched")));
  }
  // What was deleted is forgotten with the next word about another.
  std::erase_if(attempts_, [&](const auto& one) {
    return plane_.objects().find(key_of(kTenantWide, "TrustDomain", one.first)) == nullptr;
  });
  // Nor is what happened at another endpoint this one's.
  const std::string endpoint = applied->find("bundleEndpoint")->to_canonical_string();
  Attempt& attempt = attempts_[name];
  if (attempt.endpoint != endpoint) {
    attempt = {};
    attempt.endpoint = endpoint;
  }
  if (operation == "bundle.fetched") {
    const Status taken = take(node, name, call);
    if (taken) return reply(Json::object());
    failed(node, name, taken.error());
    return reply(refusal(taken.error()));
  }
  if (operation == "bundle.failed") {
    const Json empty = Json::object();
    const Json* said = call.find("error");
    if (said == nullptr) said = &empty;
    Error error = fail(ErrorKind::kUnavailable, told(said->string_or("code", "federation_failed")),
                       told(said->string_or("message", "")));
    error.where = told(said->string_or("where", ""));
    error.found_text = told(said->string_or("found", ""));
    failed(node, name, std::move(error));
  }
  reply(Json::object());
}

Status TrustDomains::take(const std::string& node, const std::string& name, const Json& call) {
  WARY_ASSIGN_OR_RETURN(spiffe::Bundle bundle, spiffe::parse_bundle(name, call.string_or("bundle", "")));
  const auto held = held_bundle(plane_.objects(), name);
  if (held && held->sequence && bundle.sequence && *bundle.sequence < *held->sequence) {
    return fail(ErrorKind::kConflict, "bundle_sequence_lower", "an older bundle than the one held was fetched")
        .expected(std::to_string(*held->sequence) + " or higher")
        .found(std::to_string(*bundle.sequence));
  }
  // What is kept is what was understood, written anew: no byte of the foreign document goes on to agents.
  WARY_ASSIGN_OR_RETURN(std::string text, spiffe::write_bundle(bundle));
  const store::Key key = key_of(kTenantWide, "FetchedBundle", name);
  const Json* stored = spec_in(plane_.objects().find(key));
  const std::int64_t now = parts_.clock.unix_time().nanos;
  if (stored == nullptr || stored->string_or("bundle", "") != text) {
    Json detail = Json::object({{"node", Json(node)}});
    detail.set("x509_authorities", static_cast<std::int64_t>(bundle.x509_authorities.size()));
    detail.set("jwt_authorities", static_cast<std::int64_t>(bundle.jwt_authorities.size()));
    detail.set("left_out", static_cast<std::int64_t>(bundle.left_out.size()));
    if (bundle.sequence) detail.set("sequence", *bundle.sequence);
    Json spec = Json::object({{"bundle", Json(std::move(text))}});
    spec.set("fetched", now);
    Json value = Json::object({{"labels", Json::object()}});
    value.set("spec", std::move(spec));
    if (value.to_canonical_string().size() > limits::kObjectBytes) {
      return fail(ErrorKind::kExhausted, "bundle_size", "a bundle is at most 256 KiB");
    }
    Change change;
    change.writes.push_back({key, std::move(value)});
    change.event = domain_event("bundle.fetched", name, std::move(detail));
    auto committed = plane_.commit(std::move(change));
    if (!committed) return std::move(committed).error();
  }
  Attempt& attempt = attempts_[name];
  attempt.succeeded = now;
  attempt.is_failing = false;
  return {};
}

void TrustDomains::failed(const std::string& node, const std::string& name, Error error) {
  Attempt& attempt = attempts_[name];
  attempt.failed = parts_.clock.unix_time().nanos;
  const std::int64_t now = parts_.clock.monotonic().nanos;
  const bool is_new = attempt.recorded == 0 || now - attempt.recorded >= kFailureEvery;
  attempt.is_failing = true;
  attempt.error = std::move(error);
  if (!is_new) return;
  attempt.recorded = now;
  Json detail = Json::object({{"node", Json(node)}});
  detail.set("error", to_json(attempt.error));
  plane_.record(domain_event("bundle.failed", name, std::move(detail)));
}

void TrustDomains::issue(const std::string& node, const Json& call, std::function<void(Json)> reply) {
  const auto csr = codec::decode_base64(call.string_or("csr", ""));
  if (!csr) return reply(refusal(csr.error()));
  const std::string id = spiffe_id_of(plane_.settings(), "wary", "federation");
  const auto chain = parts_.issue(*csr, id, kFederationLife);
  if (!chain) {
    parts_.log.warn("svid.not_issued", {{"node", node}, {"code", chain.error().code}});
    return reply(refusal(chain.error()));
  }
  Json certificates = Json::array();
  for (const Bytes& certificate : *chain) certificates.push(Json(codec::encode_base64(certificate)));
  contract::Event event;
  event.class_uid = contract::EventClass::kAuthentication;
  event.actor = contract::EntityId{"Wary::Workload", id}.to_string();
  event.action = "svid.issue";
  event.resource = contract::EntityId{"Wary::Platform", "wary"}.to_string();
  event.raw = chain->front();
  event.detail = Json::object({{"node", Json(node)}}).to_canonical_string();
  // Nothing is given away that is not recorded.
  plane_.record(std::move(event),
                [reply = std::move(reply), answer = Json::object({{"chain", std::move(certificates)}})](
                    const Status& recorded) { reply(recorded ? answer : refusal(recorded.error())); });
}

Json TrustDomains::status_of(const std::string& name) const {
  Json out = Json::object();
  const bool is_own = name == plane_.settings().trust_domain;
  const Json* applied = spec_in(plane_.objects().find(key_of(kTenantWide, "TrustDomain", name)));
  const Json* endpoint = applied != nullptr ? applied->find("bundleEndpoint") : nullptr;
  std::string summary = is_own ? "own" : "given";
  if (endpoint != nullptr) {
    summary = std::string(endpoint->string_or("profile", "")) + " " + std::string(endpoint->string_or("url", ""));
  }
  const auto add = [&](const char* member, std::string_view words, std::string value) {
    summary += "  " + std::string(words) + " " + value;
    out.set(member, std::move(value));
  };
  if (const auto held = held_bundle(plane_.objects(), name)) {
    if (held->sequence) {
      summary += "  sequence " + std::to_string(*held->sequence);
      out.set("sequence", *held->sequence);
    }
    // As it is fetched, not as its document asks for.
    out.set("refreshAfterSeconds",
            std::clamp(held->refresh_after_s(), federation::kRefreshLeast, federation::kRefreshMost));
    out.set("x509Authorities", static_cast<std::int64_t>(held->x509_authorities.size()));
    out.set("jwtAuthorities", static_cast<std::int64_t>(held->jwt_authorities.size()));
  } else {
    summary += "  no bundle yet";
  }
  const Json* fetched = spec_in(plane_.objects().find(key_of(kTenantWide, "FetchedBundle", name)));
  if (fetched != nullptr) out.set("changed", to_rfc3339({fetched->integer_or("fetched", 0)}));
  const auto known = attempts_.find(name);
  if (known != attempts_.end() && endpoint != nullptr && known->second.endpoint == endpoint->to_canonical_string()) {
    const Attempt& attempt = known->second;
    if (attempt.succeeded != 0) add("fetched", "fetched", to_rfc3339({attempt.succeeded}));
    if (attempt.is_failing) {
      add("failed", "failed", to_rfc3339({attempt.failed}));
      summary += " [" + attempt.error.code + "]";
      out.set("error", to_json(attempt.error));
    }
  }
  out.set("summary", std::move(summary));
  return out;
}

}  // namespace wary::control
