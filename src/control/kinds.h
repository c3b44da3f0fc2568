// Kinds: what resources there are, each a JSON Schema compiled in from schema/kinds/; and one resource as it came in.
//
//   WARY_ASSIGN_OR_RETURN(Kinds kinds, Kinds::load(embedded::kinds()));
//   std::vector<ResourceError> errors;
//   auto resource = parse_resource(kinds, json, errors);
//
// Immutable after load; any thread. Limits: 256 KiB a resource, 64 labels.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/embedded.h"
#include "codec/error_json.h"
#include "codec/json_schema.h"
#include "store/store.h"

namespace wary::control {

constexpr std::string_view kApiVersion = "wary.dev/v1";
// Namespace of resources that belong to the whole tenant, in keys.
constexpr std::string_view kTenantWide = "-";

struct Kind {
  std::string name;
  bool is_namespaced = true;
  codec::Json schema_json;
  codec::JsonSchema schema;
};

class Kinds {
 public:
  // Error: kind_schema, with the file.
  static Result<Kinds> load(std::span<const embedded::File> files);
  const Kind* find(std::string_view name) const;  // "App", "app" and "apps" are one
  const std::map<std::string, Kind>& all() const { return kinds_; }

 private:
  std::map<std::string, Kind> kinds_;
};

struct ResourceError {
  std::size_t object = 0;  // which one of a bundle
  std::string pointer;     // into it
  Error error;
  std::string caret;  // the line of a policy and what points into it
};
codec::Json to_json(const ResourceError& error);
using codec::to_json;  // of an Error

struct Resource {
  store::Key key;
  std::string expected_revision;  // metadata.resourceVersion: the change holds only for that one; empty: any
  codec::Json labels = codec::Json::object();
  codec::Json spec = codec::Json::object();
};

// Checks envelope and schema; nothing when there were errors.
std::optional<Resource> parse_resource(const Kinds& kinds, const codec::Json& json, std::size_t object,
                                       std::vector<ResourceError>& errors);
std::string to_stored(const Resource& resource);
Result<Resource> from_stored(const store::Key& key, std::string_view value);
codec::Json to_json(const Resource& resource, std::uint64_t revision);
std::string name_of(const store::Key& key);  // "App demo/metrics"
bool is_name(std::string_view text);         // RFC 1123 label, at most 63

}  // namespace wary::control
