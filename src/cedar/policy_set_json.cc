// Policy sets as JSON.
#include "cedar/json.h"
#include "cedar/json_place.h"
#include "cedar/policy_json.h"

namespace wary::cedar {

namespace {

using codec::Json;

Json link_json(const Policy& link) {
  Json values = Json::object();
  if (link.slots.principal) values.set("?principal", to_json(*link.slots.principal));
  if (link.slots.resource) values.set("?resource", to_json(*link.slots.resource));
  return Json::object(
      {{"templateId", Json(link.template_id)}, {"newId", Json(link.id)}, {"values", std::move(values)}});
}

Status read_policies(const Json& json, bool templates, PolicySet& out) {
  if (!json.is_object()) return wrong_type("an object of policies by id", json);
  for (const auto& [id, policy_json] : json.members()) {
    auto body = policy_from_json(policy_json, id);
    if (!body.ok()) return inside(std::move(body).error(), id);
    if ((*body)->is_template() != templates) {
      return inside(fail(ErrorKind::kInvalid, "cedar_slots",
                         templates ? "a template without a slot" : "a slot in a static policy"),
                    id);
    }
    auto added = out.add(id, std::move(*body));
    if (!added.ok()) return inside(std::move(added).error(), id);
  }
  return {};
}

Status read_link(const Json& json, PolicySet& out) {
  if (!json.is_object()) return wrong_type("{\"templateId\", \"newId\", \"values\"}", json);
  WARY_RETURN_IF_ERROR(only_members(json, {"templateId", "newId", "values"}));
  const Json* template_id = json.find("templateId");
  const Json* new_id = json.find("newId");
  const Json* values = json.find("values");
  if (template_id == nullptr || new_id == nullptr || values == nullptr || !template_id->is_string() ||
      !new_id->is_string() || !values->is_object()) {
    return fail(ErrorKind::kInvalid, "cedar_json_member", "not a link")
        .expected("{\"templateId\": a string, \"newId\": a string, \"values\": an object}");
  }
  SlotValues slots;
  for (const auto& [slot, value] : values->members()) {
    EntityPtr* const into = slot == "?principal" ? &slots.principal : slot == "?resource" ? &slots.resource : nullptr;
    if (into == nullptr || *into != nullptr) {
      return inside(fail(ErrorKind::kInvalid, "cedar_slots", "no such slot, or one that stands twice")
                        .expected("?principal and ?resource")
                        .found(slot),
                    "values");
    }
    auto uid = entity_uid_from_json(value);
    if (!uid.ok()) return inside(inside(std::move(uid).error(), slot), "values");
    *into = std::move(*uid);
  }
  return out.link(template_id->as_string(), new_id->as_string(), slots);
}

Status read_links(const Json& json, PolicySet& out) {
  if (!json.is_array()) return wrong_type("an array of links", json);
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    auto link = read_link(json.items()[i], out);
    if (link.ok()) continue;
    Error error = std::move(link).error();
    error.where = error.where.starts_with('/') ? error.where : "";  // link() says the template's id there
    return inside(std::move(error), std::to_string(i));
  }
  return {};
}

}  // namespace

Result<Json> to_json(const PolicySet& set) {
  Json policies = Json::object();
  Json templates = Json::object();
  Json links = Json::array();
  for (const Policy& policy : set.policies()) {
    if (policy.body->is_template()) {
      links.push(link_json(policy));
      continue;
    }
    WARY_ASSIGN_OR_RETURN(Json body, to_json(*policy.body));
    policies.members().emplace_back(policy.id, std::move(body));
  }
  for (const Policy& one : set.templates()) {
    WARY_ASSIGN_OR_RETURN(Json body, to_json(*one.body));
    templates.members().emplace_back(one.id, std::move(body));
  }
  return Json::object({{"staticPolicies", std::move(policies)},
                       {"templates", std::move(templates)},
                       {"templateLinks", std::move(links)}});
}

Result<PolicySet> policy_set_from_json(const Json& json) {
  if (!json.is_object()) return wrong_type("{\"staticPolicies\", \"templates\", \"templateLinks\"}", json);
  WARY_RETURN_IF_ERROR(only_members(json, {"staticPolicies", "templates", "templateLinks"}));
  PolicySet out;
  const auto part = [&](std::string_view name, auto read) -> Status {
    const Json* at = json.find(name);
    if (at == nullptr) return {};
    Status status = read(*at);
    if (!status.ok()) return inside(std::move(status).error(), name);
    return {};
  };
  WARY_RETURN_IF_ERROR(part("staticPolicies", [&](const Json& at) { return read_policies(at, false, out); }));
  WARY_RETURN_IF_ERROR(part("templates", [&](const Json& at) { return read_policies(at, true, out); }));
  WARY_RETURN_IF_ERROR(part("templateLinks", [&](const Json& at) { return read_links(at, out); }));
  return out;
}

}  // namespace wary::cedar
