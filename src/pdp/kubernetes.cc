#include "pdp/kubernetes.h"

#include <algorithm>

#include "pdp/authzen.h"

namespace wary::pdp {

using codec::Json;

namespace {

constexpr std::size_t kGroupsMax = 500;

Answer wrong(std::string_view where) {
  return refusal(400, "pdp_request", "this is no SubjectAccessReview of authorization.k8s.io/v1", where);
}

// Members of `from` that are texts, into `out`; false when one is something else.
bool copy_texts(const Json& from, std::initializer_list<std::string_view> names, Json& out) {
  for (const std::string_view name : names) {
    const Json* value = from.find(name);
    if (value != nullptr && !value->is_string() && !value->is_null()) return false;
    out.set(name, from.string_or(name, ""));
  }
  return true;
}

bool copy_groups(const Json& spec, Json& out) {
  Json groups = Json::array();
  const Json* given = spec.find("groups");
  if (given != nullptr && !given->is_null()) {
    if (!given->is_array() || given->items().size() > kGroupsMax) return false;
    for (const Json& group : given->items()) {
      if (!group.is_string()) return false;
      groups.push(group);
    }
  }
  out.set("groups", std::move(groups));
  return true;
}

contract::EntityId resource_of(const Json& about) {
  if (about.find("path") != nullptr) return {"Kubernetes::Path", std::string(about.string_or("path", ""))};
  std::string id;
  for (const std::string_view name : {"namespace", "group", "resource"}) {
    id += std::string(about.string_or(name, "")) + "/";
  }
  if (const std::string_view sub = about.string_or("subresource", ""); !sub.empty()) id += std::string(sub) + "/";
  return {"Kubernetes::Resource", id + std::string(about.string_or("name", ""))};
}

Json status_of(const contract::Decision& decision) {
  Json status = Json::object({{"allowed", decision.is_allowed()}});
  const bool unknown_user =
      decision.determining == std::vector<std::string>{std::string(policy::kGuardrailPrefix) + "unknown-principal"};
  const bool no_opinion = decision.reason_code == "no_permit" || (decision.reason_code == "forbid" && unknown_user);
  if (!decision.is_allowed() && !no_opinion) status.set("denied", true);
  status.set("reason", "wary: " + decision.reason_code + ", decision " + decision.id);
  return status;
}

}  // namespace

Answer answer_kubernetes(Authority& authority, const Call& call) {
  if (auto refused = refuse_json_call(call, "POST")) return std::move(*refused);
  const auto body = codec::parse_json(call.body);
  if (!body) return refusal(400, body.error().code, body.error().message, body.error().where);
  if (body->string_or("apiVersion", "") != "authorization.k8s.io/v1") return wrong("apiVersion");
  if (body->string_or("kind", "") != "SubjectAccessReview") return wrong("kind");
  const Json* spec = body->find("spec");
  if (spec == nullptr || !spec->is_object()) return wrong("spec");
  const Json* resource = spec->find("resourceAttributes");
  const Json* path = spec->find("nonResourceAttributes");
  const bool has_resource = resource != nullptr && !resource->is_null();
  const bool has_path = path != nullptr && !path->is_null();
  const Json* attributes = has_resource ? resource : path;
  if (has_resource == has_path || !attributes->is_object()) return wrong("spec.resourceAttributes");
  Json about = Json::object();
  const bool complete =
      copy_texts(*spec, {"user"}, about) && copy_groups(*spec, about) && copy_texts(*attributes, {"verb"}, about) &&
      (attributes == path
           ? copy_texts(*attributes, {"path"}, about)
           : copy_texts(*attributes, {"namespace", "group", "version", "resource", "subresource", "name"}, about));
  if (!complete) return wrong("spec");
  if (about.string_or("verb", "").empty()) return wrong("verb");
  Question question;
  question.request.tenant = std::string(contract::kDefaultTenant);
  question.request.principal = {"Wary::User", std::string(about.string_or("user", ""))};
  question.request.action = {"Wary::Action", "kubernetes." + std::string(about.string_or("verb", ""))};
  question.request.resource = resource_of(about);
  question.request.context.set("kubernetes", std::move(about));
  question.pep = call.pep;
  Json out = Json::object();
  out.set("apiVersion", "authorization.k8s.io/v1").set("kind", "SubjectAccessReview");
  out.set("status", status_of(authority.decide(question)));
  return {200, {{"Content-Type", "application/json"}}, out.to_string()};
}

}  // namespace wary::pdp
