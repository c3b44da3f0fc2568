#include "policy/serialize.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <map>

namespace wary::policy {

namespace {

using codec::Json;

constexpr std::string_view kSnapshotFormat = "wary-snapshot-1";
constexpr std::string_view kDeltaFormat = "wary-delta-1";
constexpr Limits kTextLimits{.bytes = limits::kFrameBytes, .depth = 80, .items = 1'000'000, .total = 20'000'000};

Error bad(std::string_view where, std::string_view expected) {
  return fail(ErrorKind::kInvalid, "policy_json", "not what stands here in a snapshot or delta")
      .at("/" + std::string(where))
      .expected(expected);
}

Status only(const Json& json, std::string_view where, std::initializer_list<std::string_view> known) {
  if (!json.is_object()) return bad(where, "an object");
  for (const auto& [name, value] : json.members()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) return bad(name, "no such member");
  }
  return {};
}

Status read_text(const Json& json, std::string_view name, std::string& out) {
  const Json* member = json.find(name);
  if (member == nullptr || !member->is_string()) return bad(name, "a string");
  out = member->as_string();
  return {};
}

Status read_number(const Json& json, std::string_view name, std::uint64_t max, std::uint64_t& out) {
  const Json* member = json.find(name);
  const bool fits = member != nullptr && member->is_integer() && member->as_integer() >= 0 &&
                    static_cast<std::uint64_t>(member->as_integer()) <= max;
  if (!fits) return bad(name, "an integer from 0 to " + std::to_string(max));
  out = static_cast<std::uint64_t>(member->as_integer());
  return {};
}

constexpr std::uint64_t kRevisionMax = std::numeric_limits<std::int64_t>::max();

Result<const std::vector<Json>*> read_list(const Json& json, std::string_view name) {
  const Json* member = json.find(name);
  if (member == nullptr || !member->is_array()) return bad(name, "an array");
  return &member->items();
}

Status check_format(const Json& json, std::string_view expected) {
  std::string format;
  WARY_RETURN_IF_ERROR(read_text(json, "format", format));
  return format == expected ? Status() : bad("format", expected);
}

Json policy_json(const PolicyText& text) {
  return Json::object({{"id", Json(text.id)},
                       {"text", Json(text.text)},
                       {"file", Json(text.file)},
                       {"first_line", Json(std::int64_t{text.first_line})}});
}

Result<std::vector<PolicyText>> read_policies(const Json& json, std::string_view name) {
  WARY_ASSIGN_OR_RETURN(const auto* items, read_list(json, name));
  std::vector<PolicyText> out;
  for (const Json& item : *items) {
    PolicyText text;
    std::uint64_t line = 0;
    WARY_RETURN_IF_ERROR(only(item, name, {"id", "text", "file", "first_line"}));
    WARY_RETURN_IF_ERROR(read_text(item, "id", text.id));
    WARY_RETURN_IF_ERROR(read_text(item, "text", text.text));
    WARY_RETURN_IF_ERROR(read_text(item, "file", text.file));
    WARY_RETURN_IF_ERROR(read_number(item, "first_line", 1'000'000'000, line));
    text.first_line = static_cast<std::uint32_t>(line);
    out.push_back(std::move(text));
  }
  return out;
}

Result<std::vector<contract::Entity>> read_entities(const Json& json, std::string_view name) {
  WARY_ASSIGN_OR_RETURN(const auto* items, read_list(json, name));
  std::vector<contract::Entity> out;
  out.reserve(items->size());
  for (std::size_t i = 0; i < items->size(); ++i) {
    auto entity = contract::entity_from_json((*items)[i]);
    if (!entity.ok()) {
      Error error = std::move(entity).error();
      error.where = "/" + std::string(name) + "/" + std::to_string(i) + error.where;
      return error;
    }
    out.push_back(std::move(*entity));
  }
  return out;
}

Result<std::vector<contract::EntityId>> read_ids(const Json& json, std::string_view name) {
  WARY_ASSIGN_OR_RETURN(const auto* items, read_list(json, name));
  std::vector<contract::EntityId> out;
  for (const Json& item : *items) {
    contract::EntityId id;
    WARY_RETURN_IF_ERROR(only(item, name, {"type", "id"}));
    WARY_RETURN_IF_ERROR(read_text(item, "type", id.type));
    WARY_RETURN_IF_ERROR(read_text(item, "id", id.id));
    out.push_back(std::move(id));
  }
  return out;
}

Result<std::vector<std::string>> read_names(const Json& json, std::string_view name) {
  WARY_ASSIGN_OR_RETURN(const auto* items, read_list(json, name));
  std::vector<std::string> out;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const Json& item = (*items)[i];
    if (!item.is_string()) return bad(std::string(name) + "/" + std::to_string(i), "a string");
    out.emplace_back(item.as_string());
  }
  return out;
}

template <typename T, typename Convert>
Json list(const std::vector<T>& values, Convert convert) {
  std::vector<Json> items;
  items.reserve(values.size());
  for (const T& value : values) items.push_back(convert(value));
  return Json::array(std::move(items));
}

Json entity_json(const contract::Entity& entity) { return contract::to_json(entity); }
Json id_json(const contract::EntityId& id) { return Json::object({{"type", Json(id.type)}, {"id", Json(id.id)}}); }

}  // namespace

std::string serialize_snapshot(const SnapshotContent& content) {
  Json json = Json::object();
  json.set("format", Json(kSnapshotFormat));
  json.set("tenant", Json(content.tenant));
  json.set("revision", Json(static_cast<std::int64_t>(content.revision)));
  json.set("policies", list(content.policies, policy_json));
  json.set("entities", list(content.entities, entity_json));
  return json.to_canonical_string();
}

std::string serialize_delta(const SnapshotDelta& delta) {
  Json json = Json::object();
  json.set("format", Json(kDeltaFormat));
  json.set("tenant", Json(delta.tenant));
  json.set("from", Json(static_cast<std::int64_t>(delta.from)));
  json.set("to", Json(static_cast<std::int64_t>(delta.to)));
  json.set("upserts", list(delta.upserts, entity_json));
  json.set("removals", list(delta.removals, id_json));
  json.set("policy_upserts", list(delta.policy_upserts, policy_json));
  json.set("policy_removals", list(delta.policy_removals, [](const std::string& id) { return Json(id); }));
  return json.to_canonical_string();
}

Result<SnapshotContent> parse_snapshot(std::string_view text) {
  WARY_ASSIGN_OR_RETURN(const Json json, codec::parse_json(text, kTextLimits));
  WARY_RETURN_IF_ERROR(only(json, "", {"format", "tenant", "revision", "policies", "entities"}));
  WARY_RETURN_IF_ERROR(check_format(json, kSnapshotFormat));
  SnapshotContent content;
  WARY_RETURN_IF_ERROR(read_text(json, "tenant", content.tenant));
  WARY_RETURN_IF_ERROR(read_number(json, "revision", kRevisionMax, content.revision));
  WARY_ASSIGN_OR_RETURN(content.policies, read_policies(json, "policies"));
  WARY_ASSIGN_OR_RETURN(content.entities, read_entities(json, "entities"));
  return content;
}

Result<SnapshotDelta> parse_delta(std::string_view text) {
  WARY_ASSIGN_OR_RETURN(const Json json, codec::parse_json(text, kTextLimits));
  WARY_RETURN_IF_ERROR(
      only(json, "", {"format", "tenant", "from", "to", "upserts", "removals", "policy_upserts", "policy_removals"}));
  WARY_RETURN_IF_ERROR(check_format(json, kDeltaFormat));
  SnapshotDelta delta;
  WARY_RETURN_IF_ERROR(read_text(json, "tenant", delta.tenant));
  WARY_RETURN_IF_ERROR(read_number(json, "from", kRevisionMax, delta.from));
  WARY_RETURN_IF_ERROR(read_number(json, "to", kRevisionMax, delta.to));
  WARY_ASSIGN_OR_RETURN(delta.upserts, read_entities(json, "upserts"));
  WARY_ASSIGN_OR_RETURN(delta.removals, read_ids(json, "removals"));
  WARY_ASSIGN_OR_RETURN(delta.policy_upserts, read_policies(json, "policy_upserts"));
  WARY_ASSIGN_OR_RETURN(delta.policy_removals, read_names(json, "policy_removals"));
  return delta;
}

SnapshotDelta delta_between(const SnapshotContent& from, const SnapshotContent& to) {
  SnapshotDelta delta;
  delta.tenant = to.tenant;
  delta.from = from.revision;
  delta.to = to.revision;
  std::map<std::string_view, const PolicyText*> old_texts;
  for (const PolicyText& text : from.policies) old_texts.emplace(text.id, &text);
  for (const PolicyText& text : to.policies) {
    const auto at = old_texts.find(text.id);
    if (at == old_texts.end() || *at->second != text) delta.policy_upserts.push_back(text);
    if (at != old_texts.end()) old_texts.erase(at);
  }
  for (const auto& [id, text] : old_texts) delta.policy_removals.emplace_back(id);
  std::map<contract::EntityId, const contract::Entity*> old;
  for (const contract::Entity& entity : from.entities) old.emplace(entity.id, &entity);
  for (const contract::Entity& entity : to.entities) {
    const auto at = old.find(entity.id);
    if (at == old.end() || *at->second != entity) delta.upserts.push_back(entity);
    if (at != old.end()) old.erase(at);
  }
  for (const auto& [id, entity] : old) delta.removals.push_back(id);
  return delta;
}

}  // namespace wary::policy
