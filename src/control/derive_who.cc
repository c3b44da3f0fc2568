// Issuers and API keys as entities.
#include "control/derive_facts.h"
#include "control/issuers.h"
#include "crypto/jwk.h"

namespace wary::control {

using codec::Json;
using contract::Entity;
using contract::EntityId;
using contract::Fact;

namespace {

// "demo/reader" as the entity of that Workload.
EntityId workload_named(std::string_view name, const Settings& settings) {
  const auto parts = split(name);
  return {"Wary::Workload", parts ? spiffe_id_of(settings, parts->first, parts->second) : std::string()};
}

Json thumbprints_of(const std::string& jwks) {
  Json out = Json::array();
  const auto set = crypto::parse_jwk_set(jwks);
  if (!set) return out;
  for (const crypto::Jwk& key : set->keys) {
    Json one(crypto::thumbprint(key.key));
    bool is_known = key.use == "enc";
    for (const Json& other : out.items()) is_known = is_known || other == one;
    if (!is_known) out.push(std::move(one));
  }
  return out;
}

Json references_to(const Json& names, std::string_view type) {
  Json out = Json::array();
  for (const Json& name : names.items()) {
    if (name.is_string()) out.push(reference(type, name.as_string()));
  }
  return out;
}

}  // namespace

std::optional<Entity> derive_issuer(const Objects& objects, const EntityId& id, const Settings& settings) {
  const Value* value = objects.find(key_of(kTenantWide, "Issuer", id.id));
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  entity.attributes.push_back(fact("url", spec.string_or("issuer", ""), "resource"));
  entity.attributes.push_back(fact("rules", issuer_rules(spec, settings).to_canonical_string(), "resource"));
  entity.attributes.push_back(fact("disabled", spec.bool_or("disabled", false), "resource"));
  entity.attributes.push_back(fact("revoked", is_revoked(objects, "issuer", kTenantWide, id.id), "revocation"));
  // What was fetched, or else what was applied.
  const Value* fetched = objects.find(key_of(kTenantWide, "FetchedKeys", id.id));
  std::string jwks = fetched != nullptr ? std::string(spec_of(*fetched).string_or("jwks", "")) : applied_jwks(spec);
  if (!jwks.empty()) {
    entity.attributes.push_back(fact("keys", thumbprints_of(jwks), "identity"));
    entity.attributes.push_back(fact("jwks", Json(std::move(jwks)), "identity"));
  }
  if (const std::string_view uri = spec.string_or("jwksUri", ""); !uri.empty()) {
    entity.attributes.push_back(fact("jwks_uri", uri, "resource"));
    const std::int64_t wanted = fetched != nullptr ? spec_of(*fetched).integer_or("wanted", 0) : 0;
    if (wanted != 0) entity.attributes.push_back(fact("wanted", wanted, "identity"));
  }
  return entity;
}

// Of a token nothing is known but that it was revoked.
std::optional<Entity> derive_token(const Objects& objects, const EntityId& id) {
  const auto parts = split(id.id);
  if (!parts || !is_revoked(objects, "token", parts->first, parts->second)) return std::nullopt;
  Entity entity = base(id);
  entity.attributes.push_back(fact("revoked", true, "revocation"));
  return entity;
}

std::optional<Entity> derive_api_key(const Objects& objects, const EntityId& id, const Settings& settings) {
  const Value* value = objects.find(key_of(kTenantWide, "ApiKey", id.id));
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  if (const std::string_view user = spec.string_or("user", ""); !user.empty()) {
    entity.attributes.push_back(fact("user", reference("Wary::User", user), "resource"));
  } else if (const std::string_view name = spec.string_or("workload", ""); !name.empty()) {
    const EntityId workload = workload_named(name, settings);
    entity.attributes.push_back(fact("workload", reference(workload.type, workload.id), "resource"));
  }
  Fact active = fact("active", true, "resource");
  active.expires = UnixTime{spec.integer_or("expiresAt", 0) * kNanosPerSecond};
  active.on_expiry = false;
  entity.attributes.push_back(std::move(active));
  entity.attributes.push_back(fact("disabled", spec.bool_or("disabled", false), "resource"));
  entity.attributes.push_back(fact("revoked", is_revoked(objects, "apikey", kTenantWide, id.id), "revocation"));
  if (const Json* methods = spec.find("methods"); methods != nullptr) {
    entity.attributes.push_back(fact("methods", *methods, "resource"));
  }
  if (const Json* apps = spec.find("apps"); apps != nullptr) {
    entity.attributes.push_back(fact("apps", references_to(*apps, "Wary::App"), "resource"));
  }
  if (const Json* routes = spec.find("routes"); routes != nullptr) {
    entity.attributes.push_back(fact("routes", references_to(*routes, "Wary::Route"), "resource"));
  }
  return entity;
}

std::optional<Entity> derive_api_key_hash(const Objects& objects, const EntityId& id) {
  const Value* value = objects.find(key_of(kTenantWide, "ApiKeyHash", id.id));
  if (value == nullptr) return std::nullopt;
  Entity entity = base(id);
  entity.attributes.push_back(fact("key", reference("Wary::ApiKey", spec_of(*value).string_or("key", "")), "resource"));
  return entity;
}

}  // namespace wary::control
