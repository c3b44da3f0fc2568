// apply, get, delete, watch.
#include "codec/text.h"
#include "codec/uri.h"
#include "control/api.h"
#include "control/api_keys.h"
#include "control/issuers.h"
#include "control/names.h"
#include "control/nodes.h"
#include "control/policy_check.h"
#include "control/trust_domains.h"
#include "workload/selectors.h"

namespace wary::control {

using codec::Json;

namespace {

constexpr std::size_t kObjectsMax = 900;
constexpr std::string_view kOwnNamespace = "wary";  // of the SPIFFE IDs of wary's own processes
constexpr std::size_t kHintsMax = 20;
constexpr std::size_t kProblemsMax = 1'000;  // told at once; policies after them are looked at when these are mended

struct Bundle {
  std::vector<Write> writes;
  std::vector<std::size_t> object_of_write;  // which object of the request made each
  Json results = Json::array();
  std::vector<ResourceError> errors;
  std::vector<ResourceError> warnings;
};

void append(std::vector<ResourceError>& list, std::vector<ResourceError> more) {
  for (ResourceError& error : more) list.push_back(std::move(error));
}

Json list_of(const std::vector<ResourceError>& problems) {
  Json out = Json::array();
  for (const ResourceError& problem : problems) out.push(to_json(problem));
  return out;
}

ResourceError at(std::size_t object, std::string pointer, Error error) {
  return {object, std::move(pointer), std::move(error), {}};
}

// One that nothing attests would make a workload nobody can be.
void check_selectors(const Resource& resource, std::size_t object, std::vector<ResourceError>& errors) {
  const Json* sets = resource.spec.find("selectors");
  if (sets == nullptr || !sets->is_array()) return;
  for (std::size_t i = 0; i < sets->items().size(); ++i) {
    const Json& set = sets->items()[i];
    for (std::size_t j = 0; set.is_array() && j < set.items().size(); ++j) {
      if (!set.items()[j].is_string()) continue;  // the schema has said so
      const Status known = workload::check_selector(set.items()[j].as_string());
      if (!known)
        errors.push_back(at(object, "/spec/selectors/" + std::to_string(i) + "/" + std::to_string(j), known.error()));
    }
  }
}

// What goes with an object that is changed, or deleted (no spec), in the same change.
std::vector<Write> writes_with(const Objects& objects, const store::Key& key, const Json* spec) {
  std::vector<Write> out = trust_domain_writes(objects, key, spec);
  for (Write& write : issuer_writes(objects, key, spec)) out.push_back(std::move(write));
  for (Write& write : api_key_writes(objects, key, spec)) out.push_back(std::move(write));
  return out;
}

// Who programs are, here and in other trust domains.
void check_identity(const Plane& plane, const Objects& next, const Resource& resource, std::size_t object,
                    std::vector<ResourceError>& errors) {
  if (resource.key.kind == "Workload") check_selectors(resource, object, errors);
  // SPIFFE IDs of wary's own processes and nodes; the console is an App of it.
  if (resource.key.name_space == kOwnNamespace) {
    errors.push_back(
        at(object, "/metadata/namespace",
           fail(ErrorKind::kDenied, "namespace_reserved", "the names in it are wary's own").found(kOwnNamespace)));
  }
  if (resource.key.kind == "NodeAuthority") {
    auto wrong = check_node_authority(resource.spec);
    if (wrong) errors.push_back(at(object, std::move(wrong->first), std::move(wrong->second)));
  }
  std::optional<std::pair<std::string, Error>> wrong;
  if (resource.key.kind == "TrustDomain") wrong = check_trust_domain(resource, plane.settings());
  if (resource.key.kind == "Issuer") wrong = check_issuer(resource, next, plane.settings());
  if (resource.key.kind == "ApiKey") wrong = check_api_key(resource, next);
  if (wrong) errors.push_back(at(object, std::move(wrong->first), std::move(wrong->second)));
}

void check_upstream(Bundle& bundle, std::size_t object, const Plane& plane, const std::string& where,
                    std::string_view text, bool has_identity) {
  auto upstream = gateway::parse_upstream(text);
  if (upstream && text.starts_with("https://") && !has_identity) {
    upstream = fail(ErrorKind::kInvalid, "upstream_identity", "an application over TLS is somebody")
                   .expected("upstreamIdentity with a spiffeId, or a serverName and its roots")
                   .found(text);
  } else if (upstream && text.starts_with("http://") && has_identity) {
    upstream = fail(ErrorKind::kInvalid, "upstream_identity", "without TLS nobody can be verified")
                   .expected("https://ADDRESS:PORT")
                   .found(text);
  }
  const bool is_own =
      upstream && upstream->family == io::Address::Family::kUnix && upstream->host == plane.settings().console_socket;
  if (is_own) {
    upstream = fail(ErrorKind::kDenied, "upstream_own", "wary's own socket is no application")
                   .found(std::string_view(plane.settings().console_socket));
  }
  if (!upstream) bundle.errors.push_back(at(object, where, std::move(upstream).error()));
}

// What a schema cannot say: names that must exist, hosts that only one app may have.
void check_references(const Plane& plane, const Objects& next, const Resource& resource, std::size_t object,
                      Bundle& bundle) {
  const auto missing = [&](const std::string& pointer, std::string_view what, const store::Key& key) {
    // A hint reads all of a kind: of a bundle with very many errors the first have one.
    const std::string near = bundle.errors.size() < kHintsMax ? nearest_object(next, key) : "";
    bundle.errors.push_back(
        at(object, pointer,
           fail(ErrorKind::kInvalid, "reference_unknown", "this refers to something that does not exist")
               .expected("an existing " + std::string(what))
               .found(key.name)
               .next(near.empty() ? "" : "did you mean " + near + "?")));
  };
  const auto check_groups = [&](const char* member) {
    const Json* groups = resource.spec.find(member);
    if (groups == nullptr || !groups->is_array()) return;
    for (std::size_t i = 0; i < groups->items().size(); ++i) {
      const std::string& name = groups->items()[i].as_string();
      const store::Key group = key_of(kTenantWide, "Group", name);
      if (next.find(group) == nullptr) {
        missing("/spec/" + std::string(member) + "/" + std::to_string(i), "Group", group);
      }
    }
  };
  const std::string& kind = resource.key.kind;
  if (kind == "User" || kind == "Workload" || kind == "Node" || kind == "NodeAuthority") check_groups("groups");
  if (kind == "Workload") check_groups("nodeGroups");
  check_identity(plane, next, resource, object, bundle.errors);
  if (kind == "Group") check_groups("parents");
  if (kind == "Route") {
    const store::Key app = key_of(resource.key.name_space, "App", resource.spec.string_or("app", ""));
    if (next.find(app) == nullptr) missing("/spec/app", "App of this namespace", app);
    const std::string_view path = resource.spec.string_or("path", "");
    if (!path.starts_with('/') || path.substr(0, path.size() - 1).find('*') != std::string_view::npos) {
      bundle.errors.push_back(at(object, "/spec/path",
                                 fail(ErrorKind::kInvalid, "route_path", "this is no path of a route")
                                     .expected("/exact or /below/*")
                                     .found(path)));
    } else if (const auto spelled = codec::normalise_path(path); !spelled || *spelled != path) {
      bundle.errors.push_back(at(object, "/spec/path",
                                 fail(ErrorKind::kInvalid, "route_path", "no request ever has this path")
                                     .expected(spelled ? *spelled : spelled.error().message)
                                     .found(path)));
    }
  }
  if (kind != "App") return;
  const bool has_identity = resource.spec.find("upstreamIdentity") != nullptr;
  check_upstream(bundle, object, plane, "/spec/upstream", resource.spec.string_or("upstream", ""), has_identity);
  if (const Json* more = resource.spec.find("upstreams")) {
    for (std::size_t i = 0; i < more->items().size(); ++i) {
      check_upstream(bundle, object, plane, "/spec/upstreams/" + std::to_string(i), more->items()[i].as_string(),
                     has_identity);
    }
  }
  const std::string own = resource.key.name_space + "/" + resource.key.name;
  for (const Json& host : resource.spec.find("hosts")->items()) {
    const std::string name = codec::to_lower(host.as_string());
    std::string by = name == plane.settings().console_host ? "the console" : "";
    for (const auto& [key, value] : next.of_kind("App")) {
      if (*key == resource.key) continue;
      for (const Json& other : value->json.find("spec")->find("hosts")->items()) {
        if (codec::equals_ignoring_case(other.as_string(), name)) by = name_of(*key);
      }
    }
    if (!by.empty()) {
      bundle.errors.push_back(at(object, "/spec/hosts",
                                 fail(ErrorKind::kConflict, "host_taken", "another app serves this host")
                                     .found(std::string_view(name))
                                     .next("it is that of " + by + ": take another, or delete that first")));
    }
  }
}

Bundle read_bundle(const Plane& plane, const std::vector<Json>& objects) {
  Bundle bundle;
  std::vector<std::pair<Resource, std::size_t>> resources;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (auto resource = parse_resource(plane.kinds(), objects[i], i, bundle.errors)) {
      resources.emplace_back(std::move(*resource), i);
    }
  }
  Objects next = Objects::over(plane.objects());
  for (const auto& [resource, object] : resources) {
    for (const Write& earlier : bundle.writes) {
      if (earlier.key != resource.key) continue;
      bundle.errors.push_back(at(object, "/metadata/name",
                                 fail(ErrorKind::kInvalid, "resource_twice", "this resource is described twice")
                                     .found(name_of(resource.key))));
    }
    Json stored = codec::parse_json(to_stored(resource)).value();
    const Value* old = plane.objects().find(resource.key);
    // Compare and set: who read a resource and names what they read, does not overwrite somebody else's change.
    const std::string current = old != nullptr ? std::to_string(old->revision) : "none";
    if (!resource.expected_revision.empty() && resource.expected_revision != current) {
      bundle.errors.push_back(
          at(object, "/metadata/resourceVersion",
             fail(ErrorKind::kConflict, "resource_conflict", "this resource was changed since it was read")
                 .expected(current)
                 .found(std::string_view(resource.expected_revision))
                 .next("get it again, or leave resourceVersion out")));
    }
    const bool same = old != nullptr && old->json.to_canonical_string() == stored.to_canonical_string();
    Json result = Json::object();
    result.set("object", name_of(resource.key))
        .set("action", same             ? "unchanged"
                       : old != nullptr ? "changed"
                                        : "created");
    bundle.results.push(std::move(result));
    next.put(resource.key, stored, plane.revision() + 1);
    if (same) continue;
    std::vector<Write> more = writes_with(plane.objects(), resource.key, &resource.spec);
    bundle.writes.push_back({resource.key, std::move(stored)});
    bundle.object_of_write.push_back(object);
    for (Write& write : more) {
      bundle.writes.push_back(std::move(write));
      bundle.object_of_write.push_back(object);
    }
  }
  policy::EntityNames names = names_of(next, plane.settings());
  for (const auto& [resource, object] : resources) {
    check_references(plane, next, resource, object, bundle);
    if (resource.key.kind != "Policy" || bundle.errors.size() >= kProblemsMax) continue;
    PolicyProblems problems = check_policy(resource, object, &names);
    append(bundle.errors, std::move(problems.errors));
    append(bundle.warnings, std::move(problems.warnings));
  }
  return bundle;
}

Error unknown_kind(const Plane& plane, std::string_view found) {
  const bool is_session =
      codec::equals_ignoring_case(found, "session") || codec::equals_ignoring_case(found, "sessions");
  std::string known;
  for (const auto& [name, each] : plane.kinds().all()) known += (known.empty() ? "" : ", ") + name;
  return fail(ErrorKind::kNotFound, "resource_kind", "there is no such kind")
      .expected(known)
      .found(found)
      .next(is_session ? "wary session list shows who is signed in"
                       : did_you_mean(nearest_kind(plane.kinds(), found)) + "a kind is written as App, app or apps");
}

Error unknown_resource(const Objects& objects, const store::Key& key, std::string_view message) {
  const bool is_wide = key.name_space == kTenantWide;
  return fail(ErrorKind::kNotFound, "resource_unknown", message)
      .found(name_of(key))
      .next(did_you_mean(nearest_object(objects, key)) + "wary get " + codec::to_lower(key.kind) + " lists them" +
            (is_wide ? "" : "; --namespace NAME looks in another namespace"));
}

// NAMESPACE from the query where the kind has one, or before the name, as wary itself writes names: NAMESPACE/NAME. No
// name has a slash. "App" and "apps" are the same.
Result<store::Key> key_from(const Plane& plane, const std::string& rest, const http::Request& request) {
  const std::size_t slash = rest.find('/');
  const Kind* kind = plane.kinds().find(rest.substr(0, slash));
  if (kind == nullptr) return unknown_kind(plane, rest.substr(0, slash));
  std::string name_space = request.parameter("namespace");
  std::string name;
  if (slash != std::string::npos) {
    WARY_ASSIGN_OR_RETURN(name, codec::decode_percent(std::string_view(rest).substr(slash + 1)));
  }
  if (!kind->is_namespaced) {
    name_space = kTenantWide;
  } else if (name_space.empty() && slash != std::string::npos) {
    const std::size_t end = name.find('/');
    name_space = end == std::string::npos ? "default" : name.substr(0, end);
    if (end != std::string::npos) name.erase(0, end + 1);
  }
  return key_of(name_space, kind->name, name);
}

contract::Event change_event(const Caller& caller, std::string_view action, Json detail) {
  contract::Event event;
  event.class_uid = contract::EventClass::kEntityManagement;
  event.actor = caller.principal.to_string();
  event.session = caller.session;
  event.action = action;
  event.resource = contract::EntityId{"Wary::Platform", "wary"}.to_string();
  event.detail = detail.to_canonical_string();
  return event;
}

}  // namespace

void Api::apply(const Caller& caller, const ExchangePtr& exchange, const std::string&) {
  const auto body = body_of(exchange);
  if (!body) return send_error(exchange, body.error());
  const Json* objects = body->find("objects");
  if (objects == nullptr || !objects->is_array() || objects->items().empty() || objects->items().size() > kObjectsMax) {
    return send_error(exchange, fail(ErrorKind::kInvalid, "apply_objects", "an apply has 1 to 900 objects"));
  }
  Bundle bundle = read_bundle(plane_, objects->items());
  if (bundle.errors.empty()) {
    // What only the whole can show: cycles, ids taken twice, a policy set that does not compile together.
    const auto preview = plane_.preview(bundle.writes);
    if (!preview) bundle.errors.push_back(at(0, "", preview.error()));
  }
  Json answer = Json::object();
  if (!bundle.warnings.empty()) answer.set("warnings", list_of(bundle.warnings));
  if (!bundle.errors.empty()) {
    answer.set("errors", list_of(bundle.errors));
    return send_json(exchange, 200, answer);  // asked and answered: the errors are the answer
  }
  answer.set("results", bundle.results);
  if (body->bool_or("dryRun", false) || bundle.writes.empty()) {
    answer.set("revision", static_cast<std::int64_t>(plane_.snapshot()->revision() + (bundle.writes.empty() ? 0 : 1)));
    return send_json(exchange, 200, answer);
  }
  Json names = Json::array();
  for (const Write& write : bundle.writes) {
    // What goes with another's change is no object of its own.
    if (write.json && plane_.kinds().find(write.key.kind) != nullptr) names.push(Json(name_of(write.key)));
  }
  const auto committed =
      plane_.commit({std::move(bundle.writes),
                     change_event(caller, "resources.apply", Json::object({{"objects", std::move(names)}}))});
  if (!committed) return send_error(exchange, committed.error());
  answer.set("revision", static_cast<std::int64_t>(committed->revision));
  send_json(exchange, 200, answer);
}

void Api::get_objects(const Caller&, const ExchangePtr& exchange, const std::string& rest) {
  const auto key = key_from(plane_, rest, exchange->request());
  if (!key) return send_error(exchange, key.error());
  if (!key->name.empty()) {
    const Value* value = plane_.objects().find(*key);
    if (value == nullptr) {
      return send_error(exchange, unknown_resource(plane_.objects(), *key, "there is no such resource"));
    }
    return send_json(exchange, 200, shown(*key, *value));
  }
  Json list = Json::array();
  for (const auto& [found, value] : plane_.objects().of_kind(key->kind)) {
    if (!key->name_space.empty() && found->name_space != key->name_space) continue;
    list.push(shown(*found, *value));
  }
  send_json(exchange, 200, Json::object({{"objects", std::move(list)}}));
}

// With what is known of it beside what was applied.
Json Api::shown(const store::Key& key, const Value& value) const {
  const auto resource = from_stored(key, value.json.to_string());
  Json out = to_json(*resource, value.revision);
  if (!parts_.status_of) return out;
  if (Json status = parts_.status_of(key); !status.members().empty()) out.set("status", std::move(status));
  return out;
}

void Api::delete_object(const Caller& caller, const ExchangePtr& exchange, const std::string& rest) {
  const auto key = key_from(plane_, rest, exchange->request());
  if (!key) return send_error(exchange, key.error());
  if (key->name.empty() || plane_.objects().find(*key) == nullptr) {
    return send_error(exchange, unknown_resource(plane_.objects(), *key, "there is no such resource"));
  }
  if (const Status foreign = check_not_own(*key, plane_.settings()); !foreign) {
    return send_error(exchange, foreign.error());
  }
  Change change;
  change.writes = writes_with(plane_.objects(), *key, nullptr);
  for (Write& write : node_writes(plane_.objects(), *key)) change.writes.push_back(std::move(write));
  change.writes.push_back({*key, std::nullopt});
  change.event = change_event(caller, "resources.delete", Json::object({{"object", Json(name_of(*key))}}));
  const auto committed = plane_.commit(std::move(change));
  if (!committed) return send_error(exchange, committed.error());
  Json answer = Json::object();
  answer.set("object", name_of(*key)).set("revision", static_cast<std::int64_t>(committed->revision));
  send_json(exchange, 200, answer);
}

void Api::history(const Caller&, const ExchangePtr& exchange, const std::string& rest) {
  constexpr std::size_t kChangesMax = 200;
  const auto key = key_from(plane_, rest, exchange->request());
  if (!key) return send_error(exchange, key.error());
  if (plane_.store() == nullptr) {
    return send_error(exchange, fail(ErrorKind::kUnavailable, "store_failed", "the store does not answer now"));
  }
  const auto changes = plane_.store()->history(*key, kChangesMax);
  if (!changes) return send_error(exchange, changes.error());
  if (changes->empty()) {
    return send_error(exchange, unknown_resource(plane_.objects(), *key, "there never was such a resource"));
  }
  Json list = Json::array();
  for (const store::Change& change : *changes) {
    Json row = Json::object();
    row.set("revision", static_cast<std::int64_t>(change.revision + 1)).set("time", to_rfc3339(change.time));
    row.set("actor", std::string_view(change.actor)).set("action", change.value ? "put" : "delete");
    const auto resource = change.value ? from_stored(*key, *change.value) : Result<Resource>(Resource{});
    if (change.value && resource) row.set("spec", resource->spec);
    list.push(std::move(row));
  }
  send_json(exchange, 200, Json::object({{"changes", std::move(list)}}));
}

void Api::watch(const Caller&, const ExchangePtr& exchange, const std::string&) {
  constexpr std::size_t kStreamsMax = 64;
  if (streams_ >= kStreamsMax) {
    return send_error(exchange, fail(ErrorKind::kExhausted, "api_streams", "too many streams are open"));
  }
  std::string kind = exchange->request().parameter("kind");
  const Kind* known = plane_.kinds().find(kind);
  if (!kind.empty() && known == nullptr) {
    return send_error(exchange, unknown_kind(plane_, kind));
  }
  if (known != nullptr) kind = known->name;
  const auto since = number_parameter(exchange->request(), "since", 0);
  if (!since) return send_error(exchange, since.error());
  // The client counts decided revisions, the store is one behind.
  if (plane_.store() == nullptr) {
    return send_error(exchange, fail(ErrorKind::kUnavailable, "store_failed", "the store does not answer now"));
  }
  const auto at = std::make_shared<std::uint64_t>(*since == 0 ? plane_.store()->revision() : *since - 1);
  const auto send_new = [this, exchange, kind, at]() -> bool {
    for (;;) {
      if (plane_.store() == nullptr) return true;
      const auto changes = plane_.store()->changes_since(*at, 500);
      if (!changes) {  // whoever watches would wait for ever
        exchange->write(Json::object({{"error", to_json(changes.error())}}).to_string() + "\n");
        return false;
      }
      if (changes->empty()) return true;
      for (const store::Change& change : *changes) {
        *at = change.revision;
        if (plane_.kinds().find(change.key.kind) == nullptr || (!kind.empty() && change.key.kind != kind)) continue;
        Json line = Json::object();
        line.set("revision", static_cast<std::int64_t>(change.revision + 1))
            .set("action", change.value ? "put" : "delete");
        line.set("object", name_of(change.key));
        if (!exchange->write(line.to_string() + "\n")) return false;
      }
    }
  };
  exchange->start(200, {{"Content-Type", "application/x-ndjson"}, {"Cache-Control", "no-store"}});
  ++streams_;
  const std::uint64_t listener = plane_.on_event([send_new, exchange](std::uint64_t, const contract::Event&) {
    if (!send_new()) exchange->end();
  });
  exchange->on_closed([this, listener] {
    plane_.remove_listener(listener);
    --streams_;
  });
  if (!send_new()) exchange->end();
}

}  // namespace wary::control
