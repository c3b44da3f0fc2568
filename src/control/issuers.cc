#include "control/issuers.h"

#include "crypto/jwk.h"
#include "enforce/jwt_issuer.h"
#include "federation/issuer_keys.h"

namespace wary::control {

namespace {

using codec::Json;

constexpr std::int64_t kKeysFailureEvery = 60 * kNanosPerSecond;
constexpr std::int64_t kKeysWantedEvery = 30 * kNanosPerSecond;
constexpr std::size_t kKeysBytesMax = std::size_t{192} << 10;
constexpr std::size_t kKeysToldMax = 500;  // of what a process says of a failure

const Json* issuer_spec(const Value* value) { return value != nullptr ? value->json.find("spec") : nullptr; }

Json keys_refusal(const Error& error) {
  Json out = Json::object();
  out.set("code", std::string_view(error.code)).set("message", std::string_view(error.message));
  return Json::object({{"error", std::move(out)}});
}

contract::Event issuer_event(std::string_view action, const std::string& name, Json detail) {
  contract::Event event;
  event.class_uid = contract::EventClass::kEntityManagement;
  event.action = action;
  event.resource = contract::EntityId{"Wary::Issuer", name}.to_string();
  event.detail = detail.to_canonical_string();
  return event;
}

// Printable text of a bounded size: what a foreign server had a part in is shown to people.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kKeysToldMax)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

// What was understood of a set, written anew: no byte of the foreign document goes on to enforcement points.
Result<std::string> rewritten(std::string_view text, std::size_t& left_out) {
  WARY_ASSIGN_OR_RETURN(const crypto::JwkSet set, crypto::parse_jwk_set(text));
  Json keys = Json::array();
  for (const crypto::Jwk& key : set.keys) {
    if (key.use != "enc") keys.push(crypto::to_json(key));
  }
  left_out = set.left_out.size();
  if (keys.items().empty()) {
    return fail(ErrorKind::kInvalid, "issuer_keys", "no key of the set can verify a token")
        .found(std::to_string(set.keys.size() + set.left_out.size()) + " keys");
  }
  std::string out = Json::object({{"keys", std::move(keys)}}).to_string();
  if (out.size() > kKeysBytesMax) {
    return fail(ErrorKind::kExhausted, "issuer_keys_size", "an issuer's keys are at most 192 KiB");
  }
  return out;
}

std::pair<std::string, Error> misplaced(std::string pointer, Error error) {
  if (!error.where.empty()) error.message += ", at " + std::exchange(error.where, "");
  return {std::move(pointer), std::move(error)};
}

Error invalid_issuer(std::string_view code, std::string_view message) {
  return fail(ErrorKind::kInvalid, code, message);
}

// Whom a listed value means: one of two kinds, and one that exists.
std::optional<std::pair<std::string, Error>> check_listed(const Json& spec, const Objects& next) {
  const Json* principal = spec.find("principal");
  const Json* listed = principal != nullptr ? principal->find("listed") : nullptr;
  for (std::size_t i = 0; listed != nullptr && i < listed->items().size(); ++i) {
    const Json& one = listed->items()[i];
    const std::string at = "/spec/principal/listed/" + std::to_string(i);
    const std::string user(one.string_or("user", "")), workload(one.string_or("workload", ""));
    if (user.empty() == workload.empty()) {
      return std::pair(at, invalid_issuer("issuer_listed", "a value means a user or a workload"));
    }
    const std::size_t slash = workload.find('/');
    const store::Key key = workload.empty() ? key_of(kTenantWide, "User", user)
                                            : key_of(workload.substr(0, slash), "Workload",
                                                     slash == std::string::npos ? "" : workload.substr(slash + 1));
    if (next.find(key) != nullptr) continue;
    return std::pair(at, invalid_issuer("reference_unknown", "this refers to something that does not exist")
                             .expected(workload.empty() ? "an existing User" : "NAMESPACE/NAME of an existing Workload")
                             .found(workload.empty() ? user : workload));
  }
  const Json* groups = spec.find("groups");
  const Json* values = groups != nullptr ? groups->find("listed") : nullptr;
  for (std::size_t i = 0; values != nullptr && i < values->items().size(); ++i) {
    const std::string group(values->items()[i].string_or("group", ""));
    if (next.find(key_of(kTenantWide, "Group", group)) != nullptr) continue;
    return std::pair("/spec/groups/listed/" + std::to_string(i) + "/group",
                     invalid_issuer("reference_unknown", "this refers to something that does not exist")
                         .expected("an existing Group")
                         .found(group));
  }
  return std::nullopt;
}

}  // namespace

std::string applied_jwks(const Json& spec) {
  const Json* jwks = spec.find("jwks");
  if (jwks == nullptr) return {};
  return jwks->is_string() ? jwks->as_string() : jwks->to_string();
}

Json issuer_rules(const Json& spec, const Settings& settings) {
  Json out = Json::object();
  out.set("url", spec.string_or("issuer", ""));
  const Json* audiences = spec.find("audiences");
  out.set("audiences", audiences != nullptr ? *audiences : Json::array());
  const Json* algorithms = spec.find("algorithms");
  out.set("algorithms", algorithms != nullptr
                            ? *algorithms
                            : Json::array({Json("ES256"), Json("EdDSA"), Json("RS256"), Json("PS256")}));
  out.set("allow_untyped", spec.bool_or("allowUntyped", false)).set("require_dpop", spec.bool_or("requireDpop", false));
  out.set("skew", spec.integer_or("skewSeconds", 30));
  if (const Json* principal = spec.find("principal"); principal != nullptr) {
    out.set("claim", principal->string_or("claim", "sub")).set("suffix", principal->string_or("suffix", ""));
    out.set("only_listed", principal->bool_or("onlyListed", false));
    Json subjects = Json::array();
    const Json* listed = principal->find("listed");
    for (std::size_t i = 0; listed != nullptr && i < listed->items().size(); ++i) {
      const Json& one = listed->items()[i];
      const std::string_view workload = one.string_or("workload", "");
      const std::size_t slash = workload.find('/');
      Json subject = Json::object({{"value", Json(one.string_or("value", ""))}});
      subject.set("type", workload.empty() ? "Wary::User" : "Wary::Workload");
      subject.set("id", workload.empty() ? std::string(one.string_or("user", ""))
                                         : spiffe_id_of(settings, workload.substr(0, slash),
                                                        slash == workload.npos ? "" : workload.substr(slash + 1)));
      subjects.push(std::move(subject));
    }
    out.set("subjects", std::move(subjects));
  }
  if (const Json* groups = spec.find("groups"); groups != nullptr) {
    out.set("groups_claim", groups->string_or("claim", ""));
    if (const Json* listed = groups->find("listed"); listed != nullptr) out.set("groups", *listed);
  }
  return out;
}

std::optional<std::pair<std::string, Error>> check_issuer(const Resource& resource, const Objects& next,
                                                          const Settings& settings) {
  const Json& spec = resource.spec;
  const std::string jwks = applied_jwks(spec), uri(spec.string_or("jwksUri", ""));
  if (!uri.empty()) {
    if (const auto parsed = federation::parse_jwks_uri(uri); !parsed) return misplaced("/spec/jwksUri", parsed.error());
  }
  if (jwks.empty() && uri.empty()) {
    return std::pair("/spec", invalid_issuer("issuer_keys_missing", "nothing says how its tokens are verified")
                                  .expected("a jwksUri, jwks, or both"));
  }
  if (!jwks.empty()) {
    // Half of a set is a mistake of whoever applies it; of one that is fetched it is its issuer's business.
    const auto set = crypto::parse_jwk_set(jwks);
    if (set && !set->left_out.empty()) return misplaced("/spec/jwks", set->left_out.front().error);
    std::size_t left_out = 0;
    if (const auto text = rewritten(jwks, left_out); !text) return misplaced("/spec/jwks", text.error());
  }
  for (const auto& [key, value] : next.of_kind("Issuer")) {
    const Json* other = issuer_spec(value);
    if (*key == resource.key || other == nullptr) continue;
    if (other->string_or("issuer", "") != spec.string_or("issuer", "")) continue;
    return std::pair("/spec/issuer", fail(ErrorKind::kConflict, "issuer_taken", "another Issuer has this name already")
                                         .found(std::string_view(key->name)));
  }
  if (auto wrong = check_listed(spec, next)) return wrong;
  const auto read = enforce::issuer_from(resource.key.name, issuer_rules(spec, settings), "");
  if (!read) return misplaced("/spec", read.error());
  return std::nullopt;
}

std::vector<Write> issuer_writes(const Objects& objects, const store::Key& key, const Json* spec) {
  if (key.kind != "Issuer") return {};
  const store::Key fetched = key_of(kTenantWide, "FetchedKeys", key.name);
  if (objects.find(fetched) == nullptr) return {};
  const Json* before = issuer_spec(objects.find(key));
  const bool is_same = spec != nullptr && before != nullptr && applied_jwks(*spec) == applied_jwks(*before) &&
                       spec->string_or("jwksUri", "") == before->string_or("jwksUri", "");
  if (is_same) return {};
  return {{fetched, std::nullopt}};
}

void Issuers::handle(const std::string& node, const Json& call, std::function<void(Json)> reply) {
  const std::string name(call.string_or("issuer", ""));
  const Json* applied = issuer_spec(plane_.objects().find(key_of(kTenantWide, "Issuer", name)));
  const std::string uri(applied != nullptr ? applied->string_or("jwksUri", "") : "");
  const std::string_view operation = call.string_or("op", "");
  const bool is_wanted = operation == "jwks.missing";
  // What came from an address that was replaced meanwhile is nobody's word any more.
  if (uri.empty() || (!is_wanted && call.string_or("uri", "") != uri)) {
    return reply(keys_refusal(fail(ErrorKind::kNotFound, "issuer_unknown", "no keys are fetched from there")));
  }
  std::erase_if(attempts_, [&](const auto& one) {
    return plane_.objects().find(key_of(kTenantWide, "Issuer", one.first)) == nullptr;
  });
  Attempt& attempt = attempts_[name];
  if (attempt.uri != uri) {
    attempt = {};
    attempt.uri = uri;
  }
  if (is_wanted) {
    want(node, name);
    return reply(Json::object());
  }
  if (operation == "jwks.fetched") {
    const Status taken = take(node, name, call);
    if (taken) return reply(Json::object());
    failed(node, name, taken.error());
    return reply(keys_refusal(taken.error()));
  }
  if (operation == "jwks.failed") {
    const Json empty = Json::object();
    const Json* said = call.find("error");
    if (said == nullptr) said = &empty;
    Error error = fail(ErrorKind::kUnavailable, printable(said->string_or("code", "federation_failed")),
                       printable(said->string_or("message", "")));
    error.where = printable(said->string_or("where", ""));
    error.found_text = printable(said->string_or("found", ""));
    failed(node, name, std::move(error));
  }
  reply(Json::object());
}

// Of a set that was never fetched nothing is wanted beyond what is under way.
void Issuers::want(const std::string& node, const std::string& name) {
  const store::Key key = key_of(kTenantWide, "FetchedKeys", name);
  const Value* stored = plane_.objects().find(key);
  const std::int64_t now = parts_.clock.monotonic().nanos;
  Attempt& attempt = attempts_[name];
  if (stored == nullptr || (attempt.wanted != 0 && now - attempt.wanted < kKeysWantedEvery)) return;
  attempt.wanted = now;
  Json value = stored->json;
  Json spec = *issuer_spec(stored);
  spec.set("wanted", parts_.clock.unix_time().nanos);
  value.set("spec", std::move(spec));
  Change change;
  change.writes.push_back({key, std::move(value)});
  change.event = issuer_event("issuer.keys_missing", name, Json::object({{"node", Json(node)}}));
  if (const auto committed = plane_.commit(std::move(change)); !committed) {
    parts_.log.warn("issuer.keys_not_wanted", {{"issuer", name}, {"code", committed.error().code}});
  }
}

Status Issuers::take(const std::string& node, const std::string& name, const Json& call) {
  std::size_t left_out = 0;
  WARY_ASSIGN_OR_RETURN(std::string text, rewritten(call.string_or("jwks", ""), left_out));
  const store::Key key = key_of(kTenantWide, "FetchedKeys", name);
  const Json* stored = issuer_spec(plane_.objects().find(key));
  const std::int64_t now = parts_.clock.unix_time().nanos;
  if (stored == nullptr || stored->string_or("jwks", "") != text) {
    Json detail = Json::object({{"node", Json(node)}});
    detail.set("left_out", static_cast<std::int64_t>(left_out));
    Json spec = Json::object({{"jwks", Json(std::move(text))}});
    spec.set("fetched", now);
    Json value = Json::object({{"labels", Json::object()}});
    value.set("spec", std::move(spec));
    Change change;
    change.writes.push_back({key, std::move(value)});
    change.event = issuer_event("issuer.keys_fetched", name, std::move(detail));
    auto committed = plane_.commit(std::move(change));
    if (!committed) return std::move(committed).error();
  }
  Attempt& attempt = attempts_[name];
  attempt.succeeded = now;
  attempt.is_failing = false;
  return {};
}

void Issuers::failed(const std::string& node, const std::string& name, Error error) {
  Attempt& attempt = attempts_[name];
  attempt.failed = parts_.clock.unix_time().nanos;
  const std::int64_t now = parts_.clock.monotonic().nanos;
  const bool is_new = attempt.recorded == 0 || now - attempt.recorded >= kKeysFailureEvery;
  attempt.is_failing = true;
  attempt.error = std::move(error);
  if (!is_new) return;
  attempt.recorded = now;
  parts_.log.warn("issuer.keys_failed", {{"issuer", name}, {"code", attempt.error.code}});
  Json detail = Json::object({{"node", Json(node)}});
  detail.set("error", to_json(attempt.error));
  plane_.record(issuer_event("issuer.keys_failed", name, std::move(detail)));
}

Json Issuers::status_of(const std::string& name) const {
  Json out = Json::object();
  const Json* applied = issuer_spec(plane_.objects().find(key_of(kTenantWide, "Issuer", name)));
  if (applied == nullptr) return out;
  std::string summary(applied->string_or("issuer", ""));
  const contract::Entity* entity = plane_.snapshot()->find_entity({"Wary::Issuer", name});
  std::int64_t keys = 0;
  for (std::size_t i = 0; entity != nullptr && i < entity->attributes.size(); ++i) {
    const contract::Fact& fact = entity->attributes[i];
    if (fact.name == "keys" && fact.value.is_array()) keys = static_cast<std::int64_t>(fact.value.items().size());
  }
  out.set("keys", keys);
  summary += keys == 0 ? "  no keys yet" : "  " + std::to_string(keys) + (keys == 1 ? " key" : " keys");
  const auto known = attempts_.find(name);
  if (known != attempts_.end() && known->second.uri == applied->string_or("jwksUri", "")) {
    const Attempt& attempt = known->second;
    if (attempt.succeeded != 0) {
      out.set("fetched", to_rfc3339({attempt.succeeded}));
      summary += "  fetched " + to_rfc3339({attempt.succeeded});
    }
    if (attempt.is_failing) {
      out.set("failed", to_rfc3339({attempt.failed})).set("error", to_json(attempt.error));
      summary += "  failed " + to_rfc3339({attempt.failed}) + " [" + attempt.error.code + "]";
    }
  }
  return out.set("summary", std::move(summary));
}

}  // namespace wary::control
