// Cedar's JSON: values, entity ids, entities, without a schema: entities and extension values are written out as
// {"__entity": {"type": T, "id": I}} and {"__extn": {"fn": F, "arg": A}} (or "args": [...]).
//
//   Result<std::vector<EntityHandle>> entities = entities_from_json(json);
//   Result<Value> context = value_from_json(json);
//   codec::Json back = to_json(value);
//
// Strict: null, fractions, unknown members and half-written escapes are refused, with the JSON pointer of the place in
// `where`. Pure; any thread. Limits: nesting 64, 1,024 attributes and tags, 256 parents an entity.
#pragma once

#include <vector>

#include "base/result.h"
#include "cedar/entities.h"
#include "codec/json.h"

namespace wary::cedar {

constexpr std::size_t kEntityAttributesMax = 1024;
constexpr std::size_t kEntityParentsMax = 256;

// Errors: cedar_json_type, cedar_json_escape, cedar_json_depth, cedar_json_duplicate,
// cedar_extension.
Result<Value> value_from_json(const codec::Json& json);
codec::Json to_json(const Value& value);

// {"type","id"} or {"__entity":{"type","id"}}. Errors: cedar_json_type, cedar_json_member, cedar_type_name.
Result<EntityPtr> entity_uid_from_json(const codec::Json& json);
codec::Json to_json(const EntityUid& uid);  // {"type","id"}

// {"uid", "attrs", "parents", "tags"?}; unknown members are refused (cedar_json_member).
Result<EntityHandle> entity_from_json(const codec::Json& json);
codec::Json to_json(const Entity& entity);
Result<std::vector<EntityHandle>> entities_from_json(const codec::Json& json);

}  // namespace wary::cedar
