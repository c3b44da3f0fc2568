#include "control/kinds.h"

#include <algorithm>

#include "base/limits.h"
#include "codec/nearest.h"
#include "codec/text.h"
#include "codec/uri.h"
#include "contract/entity.h"

namespace wary::control {

namespace {

constexpr std::size_t kLabelsMax = 64;
constexpr std::size_t kTrustDomainMax = 253;  // the store's, of a name

// What belongs to the whole tenant; everything else lives in a namespace.
bool is_tenant_wide(std::string_view kind) {
  constexpr std::string_view kTenantWideKinds[] = {"Namespace", "User",          "Group",  "TrustDomain",
                                                   "Node",      "NodeAuthority", "Issuer", "ApiKey"};
  return std::find(std::begin(kTenantWideKinds), std::end(kTenantWideKinds), kind) != std::end(kTenantWideKinds);
}

// What names a trust domain is SPIFFE's to say; everything else has a name of wary's.
bool is_name_of_kind(std::string_view kind, std::string_view name) {
  if (kind != "TrustDomain") return is_name(name);
  const auto id = codec::parse_spiffe_id("spiffe://" + std::string(name));
  return id && id->path.empty() && name.size() <= kTrustDomainMax;
}

void add(std::vector<ResourceError>& errors, std::size_t object, std::string pointer, Error error) {
  errors.push_back({object, std::move(pointer), std::move(error), {}});
}

Error invalid(std::string_view code, std::string_view message) { return fail(ErrorKind::kInvalid, code, message); }

bool check_members(const codec::Json& json, std::size_t object, const std::string& pointer,
                   std::initializer_list<std::string_view> known, std::vector<ResourceError>& errors) {
  for (const auto& [name, value] : json.members()) {
    bool found = false;
    for (const std::string_view each : known) found = found || each == name;
    if (found) continue;
    add(errors, object, pointer + "/" + name, invalid("resource_unknown_field", "this field is not known").found(name));
    return false;
  }
  return true;
}

bool check_labels(const codec::Json& metadata, std::size_t object, std::vector<ResourceError>& errors) {
  const codec::Json* labels = metadata.find("labels");
  if (labels == nullptr) return true;
  if (!labels->is_object() || labels->members().size() > kLabelsMax) {
    add(errors, object, "/metadata/labels", invalid("resource_labels", "labels are at most 64 pairs of text"));
    return false;
  }
  for (const auto& [name, value] : labels->members()) {
    if (value.is_string() && value.as_string().size() <= limits::kNameBytes) continue;
    add(errors, object, "/metadata/labels/" + name,
        invalid("resource_labels", "a label's value is at most 63 bytes of text"));
    return false;
  }
  return true;
}

}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > limits::kNameBytes || text.front() == '-' || text.back() == '-') return false;
  for (const char c : text) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

Result<Kinds> Kinds::load(std::span<const embedded::File> files) {
  Kinds kinds;
  for (const embedded::File& file : files) {
    auto json = codec::parse_json(file.bytes);
    if (!json) return std::move(json).error().at(std::string(file.path));
    const std::string name(json->string_or("title", ""));
    auto schema = codec::JsonSchema::compile(*json);
    if (!schema) return std::move(schema).error().at(std::string(file.path));
    kinds.kinds_.emplace(name, Kind{name, !is_tenant_wide(name), std::move(json).value(), std::move(schema).value()});
  }
  return kinds;
}

const Kind* Kinds::find(std::string_view name) const {
  for (const auto& [own, kind] : kinds_) {
    if (codec::equals_ignoring_case(name, own) || codec::equals_ignoring_case(name, own + "s")) return &kind;
    if (own.ends_with('y') && codec::equals_ignoring_case(name, own.substr(0, own.size() - 1) + "ies")) return &kind;
  }
  return nullptr;
}

std::optional<Resource> parse_resource(const Kinds& kinds, const codec::Json& json, std::size_t object,
                                       std::vector<ResourceError>& errors) {
  const std::size_t before = errors.size();
  if (!json.is_object()) {
    add(errors, object, "", invalid("resource_form", "a resource has apiVersion, kind, metadata and spec"));
    return std::nullopt;
  }
  check_members(json, object, "", {"apiVersion", "kind", "metadata", "spec", "status"}, errors);
  if (json.string_or("apiVersion", "") != kApiVersion) {
    add(errors, object, "/apiVersion",
        invalid("resource_api_version", "this version is not known")
            .expected(kApiVersion)
            .found(json.string_or("apiVersion", "nothing")));
  }
  const Kind* kind = kinds.find(json.string_or("kind", ""));
  if (kind == nullptr || kind->name != json.string_or("kind", "")) {
    std::string known;
    std::vector<std::string_view> names;
    for (const auto& [name, each] : kinds.all()) {
      known += (known.empty() ? "" : ", ") + name;
      names.push_back(name);
    }
    add(errors, object, "/kind",
        invalid("resource_kind", "there is no such kind")
            .expected(known)
            .found(json.string_or("kind", "nothing"))
            .next(codec::did_you_mean(json.string_or("kind", ""), names)));
    return std::nullopt;
  }
  const codec::Json* metadata = json.find("metadata");
  if (metadata == nullptr || !metadata->is_object()) {
    add(errors, object, "/metadata", invalid("resource_form", "metadata with a name is missing"));
    return std::nullopt;
  }
  check_members(*metadata, object, "/metadata", {"name", "namespace", "labels", "resourceVersion"}, errors);
  check_labels(*metadata, object, errors);
  const std::string name(metadata->string_or("name", ""));
  const std::string name_space(kind->is_namespaced ? metadata->string_or("namespace", "default") : kTenantWide);
  if (!is_name_of_kind(kind->name, name)) {
    const bool is_domain = kind->name == "TrustDomain";
    add(errors, object, "/metadata/name",
        invalid("resource_name",
                is_domain ? "this is no name of a trust domain" : "a name is lower case letters, digits and '-'")
            .expected(is_domain ? "1 to 253 of a-z, 0-9, -, . and _" : "1 to 63 of a-z, 0-9, -")
            .found(name));
  }
  if (kind->is_namespaced && !is_name(name_space)) {
    add(errors, object, "/metadata/namespace", invalid("resource_name", "a namespace is a name").found(name_space));
  }
  const codec::Json empty = codec::Json::object();
  const codec::Json* spec = json.find("spec");
  if (spec == nullptr) spec = &empty;
  for (const codec::SchemaError& error : kind->schema.validate(*spec)) {
    add(errors, object, "/spec" + error.pointer, error.to_error().at(""));
  }
  if (spec->to_string().size() > limits::kObjectBytes) {
    add(errors, object, "/spec", invalid("resource_size", "a resource is at most 256 KiB"));
  }
  if (errors.size() != before) return std::nullopt;
  Resource resource;
  resource.key = {std::string(contract::kDefaultTenant), name_space, kind->name, name};
  if (const codec::Json* labels = metadata->find("labels")) resource.labels = *labels;
  resource.spec = *spec;
  resource.expected_revision = metadata->string_or("resourceVersion", "");
  return resource;
}

std::string to_stored(const Resource& resource) {
  codec::Json out = codec::Json::object();
  out.set("labels", resource.labels).set("spec", resource.spec);
  return out.to_canonical_string();
}

Result<Resource> from_stored(const store::Key& key, std::string_view value) {
  WARY_ASSIGN_OR_RETURN(const codec::Json json, codec::parse_json(value));
  Resource resource;
  resource.key = key;
  if (const codec::Json* labels = json.find("labels")) resource.labels = *labels;
  if (const codec::Json* spec = json.find("spec")) resource.spec = *spec;
  return resource;
}

codec::Json to_json(const Resource& resource, std::uint64_t revision) {
  codec::Json metadata = codec::Json::object();
  metadata.set("name", std::string_view(resource.key.name));
  if (resource.key.name_space != kTenantWide) metadata.set("namespace", std::string_view(resource.key.name_space));
  if (!resource.labels.members().empty()) metadata.set("labels", resource.labels);
  metadata.set("resourceVersion", std::to_string(revision));
  codec::Json out = codec::Json::object();
  out.set("apiVersion", kApiVersion).set("kind", std::string_view(resource.key.kind));
  out.set("metadata", std::move(metadata)).set("spec", resource.spec);
  return out;
}

codec::Json to_json(const ResourceError& error) {
  codec::Json out = to_json(error.error);
  out.set("object", static_cast<std::int64_t>(error.object)).set("pointer", std::string_view(error.pointer));
  if (!error.caret.empty()) out.set("caret", std::string_view(error.caret));
  return out;
}

std::string name_of(const store::Key& key) {
  return key.kind + " " + (key.name_space == kTenantWide ? "" : key.name_space + "/") + key.name;
}

}  // namespace wary::control
