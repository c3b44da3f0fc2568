#include "pdp/entities.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace wary::pdp {

using codec::Json;

namespace {

Error wrong(std::string where, std::string_view expected) {
  return fail(ErrorKind::kInvalid, "pdp_request", "a required member is missing or of the wrong type")
      .at(std::move(where))
      .expected(expected);
}

Json number(double value) {
  constexpr double kScale = 10'000;
  // Below this every multiple of 1/10,000 that a double can be told from its neighbours is told.
  constexpr double kMost = 100'000'000'000;
  const double scaled = std::round(value * kScale);
  if (std::abs(value) >= kMost || scaled / kScale != value) return Json(Json(value).to_string());
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.4f", value);
  Json call = Json::object();
  call.set("fn", "decimal").set("arg", text.data());
  return Json::object({{"__extn", std::move(call)}});
}

const contract::Fact* stored_fact(const contract::Entity* entity, std::string_view name) {
  if (entity == nullptr) return nullptr;
  for (const contract::Fact& fact : entity->attributes) {
    if (fact.name == name) return &fact;
  }
  return nullptr;
}

// What is asserted of an entity, with stored facts in the place of asserted ones.
Json overlay(Json* properties, bool may_take, const contract::Entity* stored, UnixTime now) {
  Json out = Json::object();
  if (properties == nullptr) return out;
  out.members().reserve(properties->members().size());
  for (auto& [name, value] : properties->members()) {
    if (const contract::Fact* fact = stored_fact(stored, name)) {
      out.set(name, fact->expires && now >= *fact->expires ? fact->on_expiry : fact->value);
    } else if (auto converted = to_cedar_json(may_take ? std::move(value) : value)) {
      out.members().emplace_back(name, std::move(*converted));
    }
  }
  return out;
}

Json* member(Json* object, std::string_view name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  for (auto& [key, value] : object->members()) {
    if (key == name) return &value;
  }
  return nullptr;
}

Result<Json*> properties_of(Json* object, std::string_view part) {
  Json* properties = member(object, "properties");
  if (properties == nullptr || properties->is_null() || properties->is_object()) {
    return properties != nullptr && properties->is_object() ? properties : nullptr;
  }
  return wrong(std::string(part) + ".properties", "an object");
}

// subject or resource
Result<contract::EntityId> entity_of(const Json* object, std::string_view part, bool is_searched) {
  if (object == nullptr || !object->is_object()) return wrong(std::string(part), "an object");
  const Json* type = object->find("type");
  if (type == nullptr || !type->is_string()) return wrong(std::string(part) + ".type", "a text");
  const Json* id = object->find("id");
  if (is_searched) return contract::EntityId{cedar_type_of(type->as_string()), ""};
  if (id == nullptr || !id->is_string()) return wrong(std::string(part) + ".id", "a text");
  return contract::EntityId{cedar_type_of(type->as_string()), id->as_string()};
}

Result<contract::EntityId> read_action(const Json* object) {
  if (object == nullptr || !object->is_object()) return wrong("action", "an object");
  const Json* name = object->find("name");
  if (name == nullptr || !name->is_string()) return wrong("action.name", "a text");
  return action_of(name->as_string());
}

}  // namespace

std::optional<Json> to_cedar_json(Json value) {
  if (value.is_null()) return std::nullopt;
  if (value.type() == Json::Type::kNumber) return number(value.as_number());
  if (value.is_array()) {
    std::size_t kept = 0;
    for (Json& item : value.items()) {
      if (auto converted = to_cedar_json(std::move(item))) value.items()[kept++] = std::move(*converted);
    }
    value.items().resize(kept);
  } else if (value.is_object()) {
    std::size_t kept = 0;
    for (Json::Member& member : value.members()) {
      auto converted = to_cedar_json(std::move(member.second));
      if (!converted) continue;
      Json::Member& place = value.members()[kept++];
      if (&place != &member) place.first = std::move(member.first);
      place.second = std::move(*converted);
    }
    value.members().erase(value.members().begin() + static_cast<std::ptrdiff_t>(kept), value.members().end());
  }
  return value;
}

std::string cedar_type_of(std::string_view type) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kOwn = {{{"user", "Wary::User"},
                                                                                  {"workload", "Wary::Workload"},
                                                                                  {"group", "Wary::Group"},
                                                                                  {"namespace", "Wary::Namespace"},
                                                                                  {"app", "Wary::App"},
                                                                                  {"route", "Wary::Route"},
                                                                                  {"platform", "Wary::Platform"}}};
  for (const auto& [name, own] : kOwn) {
    if (name == type) return std::string(own);
  }
  return std::string(type);
}

contract::EntityId action_of(std::string_view name) {
  if (name.ends_with('"')) {
    if (auto id = contract::parse_entity_id(name)) return std::move(*id);
  }
  return {"Wary::Action", std::string(name)};
}

Parts parts_of(Json& body) {
  return {member(&body, "subject"), member(&body, "action"), member(&body, "resource"), member(&body, "context")};
}

Result<contract::Request> to_request(const Parts& parts, std::optional<cedar::Variable> searched,
                                     const policy::SnapshotPtr& snapshot, UnixTime now) {
  using cedar::Variable;
  contract::Request out;
  out.tenant = snapshot ? snapshot->tenant() : std::string(contract::kDefaultTenant);
  const bool no_subject = searched == Variable::kPrincipal, no_resource = searched == Variable::kResource;
  WARY_ASSIGN_OR_RETURN(out.principal, entity_of(parts.subject, "subject", no_subject));
  WARY_ASSIGN_OR_RETURN(out.resource, entity_of(parts.resource, "resource", no_resource));
  const bool no_action = searched == Variable::kAction;
  if (!no_action) {
    WARY_ASSIGN_OR_RETURN(out.action, read_action(parts.action));
  } else {
    out.action = {"Wary::Action", ""};
  }
  WARY_ASSIGN_OR_RETURN(Json * subject, properties_of(no_subject ? nullptr : parts.subject, "subject"));
  WARY_ASSIGN_OR_RETURN(Json * action, properties_of(no_action ? nullptr : parts.action, "action"));
  WARY_ASSIGN_OR_RETURN(Json * resource, properties_of(no_resource ? nullptr : parts.resource, "resource"));
  if (parts.context != nullptr && !parts.context->is_object() && !parts.context->is_null()) {
    return wrong("context", "an object");
  }
  const bool may_take = parts.may_take;
  if (parts.context != nullptr && parts.context->is_object()) {
    out.context = *to_cedar_json(may_take ? std::move(*parts.context) : *parts.context);
  }
  out.context.members().reserve(out.context.members().size() + 3);
  // Who asserts nothing needs no stored facts in its place.
  const auto stored = [&](const Json* asserted, const contract::EntityId& id) {
    return snapshot && asserted != nullptr && !asserted->members().empty() ? snapshot->find_entity(id) : nullptr;
  };
  out.context.set("subject", overlay(subject, may_take, stored(subject, out.principal), now));
  out.context.set("resource", overlay(resource, may_take, stored(resource, out.resource), now));
  out.context.set("action", overlay(action, may_take, nullptr, now));
  return out;
}

}  // namespace wary::pdp
