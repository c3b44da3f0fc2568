// Facts of an entity by name, as enforcement points read them. Private to enforce/. Functions; any thread.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "contract/entity.h"

namespace wary::enforce {

inline const contract::Fact* whole_fact_of(const contract::Entity& entity, std::string_view name) {
  const auto found = std::ranges::find_if(entity.attributes, [&](const auto& fact) { return fact.name == name; });
  return found == entity.attributes.end() ? nullptr : &*found;
}

inline const codec::Json* fact_of(const contract::Entity& entity, std::string_view name) {
  const contract::Fact* found = whole_fact_of(entity, name);
  return found != nullptr ? &found->value : nullptr;
}

inline std::string text_of(const contract::Entity& entity, std::string_view name) {
  const codec::Json* value = fact_of(entity, name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

inline std::optional<contract::EntityId> reference_in(const codec::Json* value) {
  const codec::Json* target = value != nullptr ? value->find("__entity") : nullptr;
  if (target == nullptr) return std::nullopt;
  return contract::EntityId{std::string(target->string_or("type", "")), std::string(target->string_or("id", ""))};
}
inline std::optional<contract::EntityId> reference_of(const contract::Entity& entity, std::string_view name) {
  return reference_in(fact_of(entity, name));
}

}  // namespace wary::enforce
