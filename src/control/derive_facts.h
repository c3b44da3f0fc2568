// What derive.cc and derive_who.cc make facts of. Private to control/. Functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/derive.h"
#include "control/kinds.h"

namespace wary::control {

inline codec::Json reference(std::string_view type, std::string_view id) {
  codec::Json target = codec::Json::object();
  target.set("type", type).set("id", id);
  return codec::Json::object({{"__entity", std::move(target)}});
}

inline contract::Fact fact(std::string_view name, codec::Json value, std::string_view source) {
  return {std::string(name), std::move(value), std::string(source), {}, {}, {}};
}

inline const codec::Json& spec_of(const Value& value) {
  static const codec::Json kEmpty = codec::Json::object();  // immutable
  const codec::Json* spec = value.json.find("spec");
  return spec != nullptr ? *spec : kEmpty;
}

inline std::vector<std::string> texts(const codec::Json& spec, std::string_view name) {
  std::vector<std::string> out;
  const codec::Json* list = spec.find(name);
  if (list == nullptr || !list->is_array()) return out;
  for (const codec::Json& item : list->items()) {
    if (item.is_string()) out.push_back(item.as_string());
  }
  return out;
}

inline std::vector<contract::EntityId> groups(const codec::Json& spec, std::string_view member) {
  std::vector<contract::EntityId> out;
  for (std::string& name : texts(spec, member)) out.push_back({"Wary::Group", std::move(name)});
  return out;
}

// "demo/metrics" of Wary::App::"demo/metrics".
inline std::optional<std::pair<std::string, std::string>> split(std::string_view id) {
  const std::size_t slash = id.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return std::pair(std::string(id.substr(0, slash)), std::string(id.substr(slash + 1)));
}

inline bool is_revoked(const Objects& objects, std::string_view kind, std::string_view name_space,
                       std::string_view name) {
  const std::string target = std::string(kind) + "." + std::string(name_space) + "." + std::string(name);
  return objects.find(key_of(kTenantWide, "Revocation", target)) != nullptr;
}

inline contract::Entity base(const contract::EntityId& id) {
  contract::Entity entity;
  entity.tenant = std::string(contract::kDefaultTenant);
  entity.id = id;
  return entity;
}

// derive_who.cc: who asks by a credential that others issued, or that a program holds.
std::optional<contract::Entity> derive_issuer(const Objects& objects, const contract::EntityId& id,
                                              const Settings& settings);
std::optional<contract::Entity> derive_token(const Objects& objects, const contract::EntityId& id);
std::optional<contract::Entity> derive_api_key(const Objects& objects, const contract::EntityId& id,
                                               const Settings& settings);
std::optional<contract::Entity> derive_api_key_hash(const Objects& objects, const contract::EntityId& id);

}  // namespace wary::control
