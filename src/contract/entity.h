// Entity: what is known and verified about a principal or a resource; the first of the three contracts.
//
// Each fact has one owning source, a time, and a value on expiry, so that a missing or stale fact never weakens a
// forbid: an expired fact does not vanish, it takes its `on_expiry` value. Facts become Cedar attributes or tags by
// name. Values; any thread. Limits: 1,024 facts, 256 parents an entity.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "codec/json.h"

namespace wary::contract {

constexpr std::string_view kDefaultTenant = "local";

struct EntityId {
  std::string type;  // a Cedar type name: "Wary::User"
  std::string id;
  auto operator<=>(const EntityId&) const = default;
  std::string to_string() const;           // Wary::User::"alice", as Cedar writes it
  void append_to(std::string& out) const;  // the same
};
// The inverse of to_string. Error: entity_id_syntax.
Result<EntityId> parse_entity_id(std::string_view text);

struct Fact {
  std::string name;
  codec::Json value;   // Cedar JSON: {"__entity":{...}} and {"__extn":{...}} as there
  std::string source;  // the one owner: "resource", "session", "revocation", "endpoint", ...
  UnixTime since;
  std::optional<UnixTime> expires;
  codec::Json on_expiry;  // what the fact becomes then
  bool operator==(const Fact&) const = default;
};

struct Entity {
  std::string tenant;
  EntityId id;
  std::vector<EntityId> parents;
  std::vector<Fact> attributes;
  std::vector<Fact> tags;
  bool operator==(const Entity&) const = default;
};

codec::Json to_json(const Entity& entity);
// Strict: unknown members are refused. Errors: entity_json_* with the JSON pointer in `where`.
Result<Entity> entity_from_json(const codec::Json& json);

}  // namespace wary::contract
