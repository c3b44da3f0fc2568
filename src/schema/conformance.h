// Conformance: whether requests and entities are what the schema says, and reading entities with its help: where it
// names an entity or extension type, {"type", "id"} and "10.0.0.1" are enough.
//
//   Result<std::vector<cedar::EntityHandle>> entities = entities_from_json(schema, json);
//   Status fits = validate_request(schema, request);
//
// What was accepted needs no check at evaluation: a validated policy does not fail on it. The actions of the schema are
// added; supplied ones must be the same. Pure; any thread. Limits: those of cedar/json.h.
#pragma once

#include <vector>

#include "cedar/evaluator.h"
#include "cedar/json.h"
#include "schema/schema.h"

namespace wary::schema {

// Errors: conformance_unknown_type, conformance_enum_id, conformance_missing, conformance_undeclared, conformance_type,
// conformance_parent, conformance_no_tags, conformance_action; `where` is a pointer as the JSON form has it.
Status validate_entity(const Schema& schema, const cedar::Entity& entity);
// The same for all, and that the ids differ and no entity is above itself (EntityStore::make tells).
Status validate_entities(const Schema& schema, const std::vector<cedar::EntityHandle>& entities);

// Errors: conformance_unknown_type, conformance_enum_id, conformance_unknown_action, conformance_not_applicable,
// conformance_missing, conformance_undeclared, conformance_type.
Status validate_request(const Schema& schema, const cedar::Request& request);
// The value has the type, and every entity in it is one the schema allows.
Status validate_value(const Schema& schema, const cedar::Value& value, const Type& type);

// Errors: those above and of cedar/json.h, with the JSON pointer in `where`.
Result<cedar::Value> value_from_json(const Schema& schema, const codec::Json& json, const Type& type);
Result<cedar::EntityHandle> entity_from_json(const Schema& schema, const codec::Json& json);
Result<std::vector<cedar::EntityHandle>> entities_from_json(const Schema& schema, const codec::Json& json);
// The context of a request for the action, by its declared type.
Result<cedar::Value> context_from_json(const Schema& schema, const codec::Json& json, const Action& action);

}  // namespace wary::schema
