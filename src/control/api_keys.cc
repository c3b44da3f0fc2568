#include "control/api_keys.h"

#include "control/api.h"

namespace wary::control {

namespace {

using codec::Json;

constexpr std::int64_t kKeyLifeMax = std::int64_t{366} * 86'400;  // seconds
constexpr std::int64_t kKeyAcknowledged = kNanosPerSecond;

const Json* api_key_spec(const Value* value) { return value != nullptr ? value->json.find("spec") : nullptr; }

// "demo/reader" of a kind with namespaces.
bool has_scoped(const Objects& next, std::string_view kind, std::string_view name) {
  const std::size_t slash = name.find('/');
  return slash != name.npos && next.find(key_of(name.substr(0, slash), kind, name.substr(slash + 1))) != nullptr;
}

Error unknown_reference(std::string_view expected, std::string_view found) {
  return fail(ErrorKind::kInvalid, "reference_unknown", "this refers to something that does not exist")
      .expected(expected)
      .found(found);
}

std::optional<std::pair<std::string, Error>> check_scope(const Json& spec, const Objects& next, const char* member,
                                                         std::string_view kind) {
  const Json* names = spec.find(member);
  for (std::size_t i = 0; names != nullptr && i < names->items().size(); ++i) {
    const std::string& name = names->items()[i].as_string();
    if (has_scoped(next, kind, name)) continue;
    return std::pair("/spec/" + std::string(member) + "/" + std::to_string(i),
                     unknown_reference("NAMESPACE/NAME of an existing " + std::string(kind), name));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::pair<std::string, Error>> check_api_key(const Resource& resource, const Objects& next) {
  const Json& spec = resource.spec;
  const std::string user(spec.string_or("user", "")), workload(spec.string_or("workload", ""));
  if (user.empty() == workload.empty()) {
    return std::pair(
        "/spec",
        fail(ErrorKind::kInvalid, "api_key_holder", "a key is a user's or a workload's").expected("user or workload"));
  }
  if (!user.empty() && next.find(key_of(kTenantWide, "User", user)) == nullptr) {
    return std::pair("/spec/user", unknown_reference("an existing User", user));
  }
  if (!workload.empty() && !has_scoped(next, "Workload", workload)) {
    return std::pair("/spec/workload", unknown_reference("NAMESPACE/NAME of an existing Workload", workload));
  }
  if (auto wrong = check_scope(spec, next, "apps", "App")) return wrong;
  if (auto wrong = check_scope(spec, next, "routes", "Route")) return wrong;
  for (const auto& [key, value] : next.of_kind("ApiKey")) {
    const Json* other = api_key_spec(value);
    if (*key == resource.key || other == nullptr) continue;
    if (other->string_or("sha256", "") != spec.string_or("sha256", "")) continue;
    return std::pair("/spec/sha256", fail(ErrorKind::kConflict, "api_key_taken", "another ApiKey is of this key")
                                         .found(std::string_view(key->name)));
  }
  return std::nullopt;
}

std::vector<Write> api_key_writes(const Objects& objects, const store::Key& key, const Json* spec) {
  std::vector<Write> out;
  if (key.kind != "ApiKey") return out;
  const Json* before = api_key_spec(objects.find(key));
  const std::string_view was = before != nullptr ? before->string_or("sha256", "") : "";
  const std::string_view is = spec != nullptr ? spec->string_or("sha256", "") : "";
  if (was == is) return out;
  if (!was.empty()) out.push_back({key_of(kTenantWide, "ApiKeyHash", was), std::nullopt});
  if (is.empty()) return out;
  Json found = Json::object({{"key", Json(key.name)}});
  out.push_back({key_of(kTenantWide, "ApiKeyHash", is), Json::object({{"spec", std::move(found)}})});
  return out;
}

Json api_key_status(const Objects& objects, const std::string& name, UnixTime now) {
  Json out = Json::object();
  const Json* spec = api_key_spec(objects.find(key_of(kTenantWide, "ApiKey", name)));
  if (spec == nullptr) return out;
  const UnixTime expires{spec->integer_or("expiresAt", 0) * kNanosPerSecond};
  const bool is_revoked = objects.find(key_of(kTenantWide, "Revocation", "apikey.-." + name)) != nullptr;
  const std::string_view user = spec->string_or("user", "");
  std::string summary =
      user.empty() ? "workload " + std::string(spec->string_or("workload", "")) : "user " + std::string(user);
  summary += (expires > now ? "  until " : "  ended ") + to_rfc3339(expires);
  if (is_revoked) summary += "  revoked";
  out.set("expires", to_rfc3339(expires)).set("revoked", is_revoked);
  return out.set("summary", std::move(summary));
}

void Api::create_api_key(const Caller& caller, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  const std::int64_t life = body->integer_or("expiresSeconds", 0);
  if (life < 1 || life > kKeyLifeMax) {
    return send_error(
        exchange,
        fail(ErrorKind::kInvalid, "api_key_life", "a key lives 1 s to 366 days").found(std::to_string(life) + " s"));
  }
  const Json* given = body->find("spec");
  Json spec = given != nullptr && given->is_object() ? *given : Json::object();
  const UnixTime expires{(parts_.clock.unix_time().nanos / kNanosPerSecond + life) * kNanosPerSecond};
  spec.set("expiresAt", expires.nanos / kNanosPerSecond);
  Json object = Json::object();
  object.set("apiVersion", kApiVersion).set("kind", "ApiKey");
  object.set("metadata", Json::object({{"name", Json(body->string_or("name", ""))}})).set("spec", std::move(spec));
  std::vector<ResourceError> errors;
  const auto resource = parse_resource(plane_.kinds(), object, 0, errors);
  if (!resource) return send_error(exchange, errors.front().error);
  if (plane_.objects().find(resource->key) != nullptr) {
    return send_error(exchange, fail(ErrorKind::kConflict, "api_key_exists", "there is an ApiKey of this name")
                                    .found(std::string_view(resource->key.name))
                                    .next("wary delete apikey NAME, or take another name"));
  }
  if (auto wrong = check_api_key(*resource, plane_.objects())) {
    return send_error(exchange, std::move(wrong->second).at(wrong->first));
  }
  Change change;
  change.writes = api_key_writes(plane_.objects(), resource->key, &resource->spec);
  change.writes.push_back({resource->key, codec::parse_json(to_stored(*resource)).value()});
  change.event.class_uid = contract::EventClass::kEntityManagement;
  change.event.actor = caller.principal.to_string();
  change.event.session = caller.session;
  change.event.action = "apikey.create";
  change.event.resource = contract::EntityId{"Wary::ApiKey", resource->key.name}.to_string();
  change.event.detail = Json::object({{"object", Json(name_of(resource->key))}}).to_canonical_string();
  const auto committed = plane_.commit(std::move(change));
  if (!committed) return send_error(exchange, committed.error());
  Json answer = Json::object();
  answer.set("name", std::string_view(resource->key.name)).set("expires", to_rfc3339(expires));
  answer.set("revision", static_cast<std::int64_t>(committed->revision));
  // Who is told that it is there may show it at once.
  when_acknowledged(committed->revision, parts_.clock.monotonic().nanos + kKeyAcknowledged,
                    [exchange, answer] { send_json(exchange, 200, answer); });
}

}  // namespace wary::control
