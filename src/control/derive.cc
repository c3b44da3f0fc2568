#include "control/derive.h"

#include <algorithm>

#include "control/derive_facts.h"
#include "control/kinds.h"
#include "control/views.h"

namespace wary::control {

using codec::Json;
using contract::Entity;
using contract::EntityId;
using contract::Fact;

namespace {

std::optional<Entity> derive_user(const Objects& objects, const EntityId& id) {
  const Value* value = objects.find(key_of(kTenantWide, "User", id.id));
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  entity.parents = groups(spec, "groups");
  entity.attributes.push_back(fact("disabled", spec.bool_or("disabled", false), "resource"));
  entity.attributes.push_back(fact("revoked", is_revoked(objects, "user", kTenantWide, id.id), "revocation"));
  return entity;
}

std::optional<Entity> derive_group(const Objects& objects, const EntityId& id) {
  const Value* value = objects.find(key_of(kTenantWide, "Group", id.id));
  if (value == nullptr) return std::nullopt;
  Entity entity = base(id);
  entity.parents = groups(spec_of(*value), "parents");
  return entity;
}

std::optional<Entity> derive_workload(const Objects& objects, const EntityId& id, const Settings& settings) {
  const std::string prefix = "spiffe://" + settings.trust_domain + "/";
  if (!id.id.starts_with(prefix)) return std::nullopt;
  const auto name = split(std::string_view(id.id).substr(prefix.size()));
  const Value* value = name ? objects.find(key_of(name->first, "Workload", name->second)) : nullptr;
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  entity.parents = groups(spec, "groups");
  entity.parents.push_back({"Wary::Namespace", name->first});
  entity.attributes.push_back(fact("disabled", spec.bool_or("disabled", false), "resource"));
  entity.attributes.push_back(
      fact("revoked", is_revoked(objects, "workload", name->first, name->second), "revocation"));
  // Whom it is attested by; nobody without.
  if (const Json* sets = spec.find("selectors"); sets != nullptr) {
    entity.attributes.push_back(fact("selectors", *sets, "resource"));
  }
  if (const std::string_view hint = spec.string_or("hint", ""); !hint.empty()) {
    entity.attributes.push_back(fact("hint", hint, "resource"));
  }
  if (const Json* ttl = spec.find("ttlSeconds"); ttl != nullptr) {
    entity.attributes.push_back(fact("ttl", *ttl, "resource"));
  }
  // Which machines may have it; without either, this one alone.
  if (const Json* nodes = spec.find("nodes"); nodes != nullptr) {
    entity.attributes.push_back(fact("nodes", *nodes, "resource"));
  }
  if (const Json* on = spec.find("nodeGroups"); on != nullptr) {
    entity.attributes.push_back(fact("node_groups", *on, "resource"));
  }
  if (const Json* others = spec.find("federatesWith"); others != nullptr) {
    entity.attributes.push_back(fact("federates_with", *others, "resource"));
  }
  return entity;
}

std::optional<Entity> derive_node(const Objects& objects, const EntityId& id, const Settings& settings) {
  const std::string prefix = node_entity(settings.trust_domain, "").id;
  if (!id.id.starts_with(prefix)) return std::nullopt;
  const std::string name = id.id.substr(prefix.size());
  const Value* value = objects.find(key_of(kTenantWide, "Node", name));
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  entity.parents = groups(spec, "groups");
  entity.attributes.push_back(fact("disabled", spec.bool_or("disabled", false), "resource"));
  entity.attributes.push_back(fact("revoked", is_revoked(objects, "node", kTenantWide, name), "revocation"));
  if (const Value* key = objects.find(key_of(kTenantWide, "NodeKey", name)); key != nullptr) {
    entity.attributes.push_back(fact("attestation", spec_of(*key).string_or("method", ""), "identity"));
  }
  return entity;
}

std::optional<Entity> derive_trust_domain(const Objects& objects, const EntityId& id) {
  const Value* value = objects.find(key_of(kTenantWide, "TrustDomain", id.id));
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  // What was fetched, or else what was applied.
  const Value* fetched = objects.find(key_of(kTenantWide, "FetchedBundle", id.id));
  std::string bundle =
      fetched != nullptr ? std::string(spec_of(*fetched).string_or("bundle", "")) : applied_bundle(spec);
  if (!bundle.empty()) entity.attributes.push_back(fact("bundle", Json(std::move(bundle)), "identity"));
  if (const Json* endpoint = spec.find("bundleEndpoint"); endpoint != nullptr) {
    entity.attributes.push_back(fact("endpoint", *endpoint, "resource"));
  }
  return entity;
}

std::optional<Entity> derive_app(const Objects& objects, const EntityId& id) {
  const auto name = split(id.id);
  const Value* value = name ? objects.find(key_of(name->first, "App", name->second)) : nullptr;
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  entity.parents.push_back({"Wary::Namespace", name->first});
  Json hosts = Json::array();
  for (std::string& host : texts(spec, "hosts")) hosts.push(Json(std::move(host)));
  entity.attributes.push_back(fact("hosts", std::move(hosts), "resource"));
  entity.attributes.push_back(fact("upstream", spec.string_or("upstream", ""), "resource"));
  entity.attributes.push_back(fact("sign_in", spec.string_or("signIn", "session"), "resource"));
  if (spec.find("upstreams") != nullptr) {
    Json upstreams = Json::array();
    for (std::string& upstream : texts(spec, "upstreams")) upstreams.push(Json(std::move(upstream)));
    entity.attributes.push_back(fact("upstreams", std::move(upstreams), "resource"));
  }
  for (const std::string_view part : {"timeouts", "health", "retries", "rate", "hsts"}) {
    if (const Json* record = spec.find(part)) entity.attributes.push_back(fact(part, *record, "resource"));
  }
  if (const Json* identity = spec.find("upstreamIdentity")) {
    entity.attributes.push_back(fact("upstream_identity", *identity, "resource"));
  }
  if (const Json* most = spec.find("maxBodyBytes")) entity.attributes.push_back(fact("max_body", *most, "resource"));
  if (const Json* most = spec.find("maxConcurrent")) {
    entity.attributes.push_back(fact("max_concurrent", *most, "resource"));
  }
  entity.attributes.push_back(fact("protocol", spec.string_or("protocol", "http1"), "resource"));
  entity.attributes.push_back(fact("record", spec.string_or("record", "with"), "resource"));
  if (spec.string_or("plain", "redirect") == "serve") {
    entity.attributes.push_back(fact("plain", "serve", "resource"));
  }
  if (spec.bool_or("forwardAuthorization", false)) {
    entity.attributes.push_back(fact("forward_authorization", true, "resource"));
  }
  return entity;
}

std::optional<Entity> derive_route(const Objects& objects, const EntityId& id) {
  const auto name = split(id.id);
  const Value* value = name ? objects.find(key_of(name->first, "Route", name->second)) : nullptr;
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  const std::string app = name->first + "/" + std::string(spec.string_or("app", ""));
  Entity entity = base(id);
  entity.parents.push_back({"Wary::App", app});
  entity.attributes.push_back(fact("app", reference("Wary::App", app), "resource"));
  entity.attributes.push_back(fact("path", spec.string_or("path", ""), "resource"));
  if (const std::string_view record = spec.string_or("record", ""); !record.empty()) {
    entity.attributes.push_back(fact("record", record, "resource"));
  }
  const Json* step_up = spec.find("stepUp");
  if (const Json* acr = step_up != nullptr ? step_up->find("acr") : nullptr; acr != nullptr) {
    entity.attributes.push_back(fact("step_up_acr", *acr, "resource"));
  }
  if (const Json* age = step_up != nullptr ? step_up->find("maxAgeSeconds") : nullptr; age != nullptr) {
    entity.attributes.push_back(fact("step_up_max_age", *age, "resource"));
  }
  return entity;
}

std::optional<Entity> derive_session(const Objects& objects, const EntityId& id) {
  const Value* value = objects.find(key_of(kTenantWide, "Session", id.id));
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  entity.attributes.push_back(fact("user", reference("Wary::User", spec.string_or("user", "")), "identity"));
  Fact active = fact("active", true, "identity");
  active.since = {spec.integer_or("created", 0)};
  active.expires = UnixTime{spec.integer_or("expires", 0)};
  active.on_expiry = false;
  entity.attributes.push_back(std::move(active));
  const bool revoked = spec.bool_or("revoked", false) || is_revoked(objects, "session", kTenantWide, id.id);
  entity.attributes.push_back(fact("revoked", revoked, "revocation"));
  return entity;
}

std::optional<Entity> derive_credential(const Objects& objects, const EntityId& id) {
  const Value* value = objects.find(key_of(kTenantWide, "Credential", id.id));
  if (value == nullptr) return std::nullopt;
  const Json& spec = spec_of(*value);
  Entity entity = base(id);
  entity.attributes.push_back(fact("session", reference("Wary::Session", spec.string_or("session", "")), "identity"));
  entity.attributes.push_back(fact("host", spec.string_or("host", ""), "identity"));
  return entity;
}

Entity action(std::string_view name, std::string_view parent) {
  Entity entity = base({"Wary::Action", std::string(name)});
  if (!parent.empty()) entity.parents.push_back({"Wary::Action", std::string(parent)});
  return entity;
}

Entity console_route(std::string_view name, std::string_view path, std::string_view app_id) {
  Entity entity = base({"Wary::Route", "wary/" + std::string(name)});
  entity.parents.push_back({"Wary::App", std::string(app_id)});
  entity.attributes = {fact("app", reference("Wary::App", app_id), "built-in"), fact("path", path, "built-in")};
  return entity;
}

}  // namespace

const Value* Objects::find(const store::Key& key) const {
  const auto found = objects_.find(key);
  if (found != objects_.end()) return found->second ? &*found->second : nullptr;
  return base_ != nullptr ? base_->find(key) : nullptr;
}

void Objects::put(const store::Key& key, Json json, std::uint64_t revision) {
  objects_[key] = Value{std::move(json), revision};
}

void Objects::remove(const store::Key& key) {
  if (base_ != nullptr)
    objects_[key] = std::nullopt;
  else
    objects_.erase(key);
}

std::vector<std::pair<const store::Key*, const Value*>> Objects::of_kind(std::string_view kind) const {
  std::vector<std::pair<const store::Key*, const Value*>> out;
  if (base_ != nullptr) out = base_->of_kind(kind);
  std::erase_if(out, [&](const auto& entry) { return objects_.contains(*entry.first); });
  for (const auto& [key, value] : objects_) {
    if (key.kind == kind && value) out.emplace_back(&key, &*value);
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return *a.first < *b.first; });
  return out;
}

store::Key key_of(std::string_view name_space, std::string_view kind, std::string_view name) {
  return {std::string(contract::kDefaultTenant), std::string(name_space), std::string(kind), std::string(name)};
}

std::string applied_bundle(const Json& spec) {
  const Json* bundle = spec.find("bundle");
  if (bundle == nullptr) return {};
  return bundle->is_string() ? bundle->as_string() : bundle->to_string();
}

std::string spiffe_id_of(const Settings& settings, std::string_view name_space, std::string_view name) {
  return "spiffe://" + settings.trust_domain + "/" + std::string(name_space) + "/" + std::string(name);
}

std::vector<EntityId> entities_of(const store::Key& key, const Settings& settings) {
  const std::string scoped = key.name_space + "/" + key.name;
  if (key.kind == "App" || key.kind == "Route") return {{"Wary::" + key.kind, scoped}};
  if (key.kind == "FetchedBundle") return {{"Wary::TrustDomain", key.name}};
  if (key.kind == "FetchedKeys") return {{"Wary::Issuer", key.name}};
  if (key.kind == "Workload") return {{"Wary::Workload", spiffe_id_of(settings, key.name_space, key.name)}};
  if (key.kind == "Revocation") {
    // user.-.alice, workload.demo.reader, session.-.ID, apikey.-.NAME, issuer.-.NAME, token.ISSUER.HASH
    const std::size_t first = key.name.find('.'), second = key.name.find('.', first + 1);
    const std::string kind = key.name.substr(0, first), name_space = key.name.substr(first + 1, second - first - 1);
    const std::string name = key.name.substr(second + 1);
    if (kind == "workload") return {{"Wary::Workload", spiffe_id_of(settings, name_space, name)}};
    if (kind == "node") return {node_entity(settings.trust_domain, name)};
    if (kind == "apikey") return {{"Wary::ApiKey", name}};
    if (kind == "issuer") return {{"Wary::Issuer", name}};
    if (kind == "token") return {{"Wary::Token", name_space + "/" + name}};
    return {{kind == "user" ? "Wary::User" : "Wary::Session", name}};
  }
  if (key.kind == "Node" || key.kind == "NodeKey") return {node_entity(settings.trust_domain, key.name)};
  for (const std::string_view kind :
       {"User", "Group", "Namespace", "Session", "Credential", "TrustDomain", "Issuer", "ApiKey", "ApiKeyHash"}) {
    if (key.kind == kind) return {{"Wary::" + key.kind, key.name}};
  }
  return {};
}

std::optional<Entity> derive_entity(const Objects& objects, const EntityId& id, const Settings& settings) {
  if (id.type == "Wary::User") return derive_user(objects, id);
  if (id.type == "Wary::Group") return derive_group(objects, id);
  if (id.type == "Wary::Workload") return derive_workload(objects, id, settings);
  if (id.type == "Wary::Node") return derive_node(objects, id, settings);
  if (id.type == "Wary::TrustDomain") return derive_trust_domain(objects, id);
  if (id.type == "Wary::App") return derive_app(objects, id);
  if (id.type == "Wary::Route") return derive_route(objects, id);
  if (id.type == "Wary::Session") return derive_session(objects, id);
  if (id.type == "Wary::Credential") return derive_credential(objects, id);
  if (id.type == "Wary::Issuer") return derive_issuer(objects, id, settings);
  if (id.type == "Wary::Token") return derive_token(objects, id);
  if (id.type == "Wary::ApiKey") return derive_api_key(objects, id, settings);
  if (id.type == "Wary::ApiKeyHash") return derive_api_key_hash(objects, id);
  if (id.type == "Wary::Namespace" && objects.find(key_of(kTenantWide, "Namespace", id.id)) != nullptr) return base(id);
  return std::nullopt;
}

std::vector<Entity> built_in_entities(const Settings& settings) {
  std::vector<Entity> out;
  out.push_back(action("read", ""));
  out.push_back(action("write", ""));
  out.push_back(action("manage", ""));
  for (const std::string_view name : {"GET", "HEAD", "OPTIONS"}) out.push_back(action(name, "read"));
  for (const std::string_view name : {"POST", "PUT", "PATCH", "DELETE"}) out.push_back(action(name, "write"));
  for (const std::string_view name : {"apply", "get", "delete", "watch", "try", "explain", "revoke", "restore",
                                      "session.create", "session.list", "apikey.create", "workload.issue", "ca.rotate",
                                      "node.token", "ledger.read", "ledger.check", "status", "pdp.evaluate"}) {
    out.push_back(action(name, "manage"));
  }
  out.push_back(action("svid.issue", ""));
  out.push_back(base({"Wary::Anonymous", "anonymous"}));
  out.push_back(base({"Wary::Platform", "wary"}));
  constexpr std::string_view kConsole = "wary/console";
  Entity console = base({"Wary::App", std::string(kConsole)});
  console.attributes = {fact("hosts", Json::array({Json(settings.console_host)}), "built-in"),
                        fact("upstream", "unix:" + settings.console_socket, "built-in"),
                        fact("sign_in", "none", "built-in"), fact("protocol", "http1", "built-in"),
                        fact("record", "with", "built-in")};
  out.push_back(std::move(console));
  out.push_back(console_route("console-sign-in", "/api/signin", kConsole));
  out.push_back(console_route("console-sign-out", "/api/signout", kConsole));
  out.push_back(console_route("console-continue", "/continue", kConsole));
  out.push_back(console_route("console-me", "/api/me", kConsole));
  out.push_back(console_route("node-join", "/nodes/join", kConsole));
  out.push_back(console_route("node-link", "/nodes/link", kConsole));
  out.push_back(console_route("console-api", "/api/*", kConsole));
  return out;
}

std::vector<policy::PolicyText> built_in_policies() {
  // Annotated, so that explanations name them.
  constexpr std::string_view kText = R"cedar(@id("owners-manage")
permit (principal in Wary::Group::"owners", action in Wary::Action::"manage", resource == Wary::Platform::"wary");

// A workload that was attested has its identity; a forbid takes it away.
@id("workload-identity")
permit (principal is Wary::Workload, action == Wary::Action::"svid.issue", resource == Wary::Platform::"wary");

// The console's page, its files and its sign-in hold nothing secret; what it shows comes from its API.
@id("console-page")
permit (principal, action == Wary::Action::"GET", resource == Wary::App::"wary/console");

@id("console-sign-in")
permit (principal, action == Wary::Action::"POST", resource == Wary::Route::"wary/console-sign-in");

// Anyone: the answer to the one who signs out comes when they are nobody any more.
@id("console-sign-out")
permit (principal, action == Wary::Action::"POST", resource == Wary::Route::"wary/console-sign-out");

@id("console-continue")
permit (principal, action == Wary::Action::"GET", resource == Wary::Route::"wary/console-continue");

// Whoever asks learns who they are, also that they are nobody: the page shows the way in then.
@id("console-me")
permit (principal, action == Wary::Action::"GET", resource == Wary::Route::"wary/console-me");

// A machine that is not known yet shows what it has; the control plane checks it.
@id("node-join")
permit (principal, action == Wary::Action::"POST", resource == Wary::Route::"wary/node-join");

// How it joined is known of a Node that did, until it is deleted.
@id("node-link")
permit (principal is Wary::Node, action == Wary::Action::"GET", resource == Wary::Route::"wary/node-link")
when { principal has attestation };

// Each call is authorised again by the control plane itself.
@id("console-api")
permit (principal is Wary::User, action, resource == Wary::Route::"wary/console-api");

// What manages wary itself is not reached by what a program carries, or what another issuer says of a person.
@id("console-sessions-alone")
forbid (principal, action, resource in Wary::App::"wary/console")
when { context has token || context has api_key };
)cedar";
  return {{"wary", std::string(kText), "built-in", 1}};
}

std::string policy_text_id(const store::Key& key) { return key.name_space + "/" + key.name; }

policy::PolicyText derive_policy(const store::Key& key, const codec::Json& spec) {
  const std::string id = policy_text_id(key);
  return {id, std::string(spec.string_or("cedar", "")), std::string(spec.string_or("source", id)), 1};
}

std::vector<policy::PolicyText> derive_policies(const Objects& objects) {
  std::vector<policy::PolicyText> out = built_in_policies();
  for (const auto& [key, value] : objects.of_kind("Policy")) out.push_back(derive_policy(*key, spec_of(*value)));
  return out;
}

bool is_barred(const contract::Entity& entity) {
  return std::any_of(entity.attributes.begin(), entity.attributes.end(), [](const contract::Fact& fact) {
    return (fact.name == "revoked" || fact.name == "disabled") && !(fact.value.is_bool() && !fact.value.as_bool());
  });
}

}  // namespace wary::control
