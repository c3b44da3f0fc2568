// What a policy names without regard to types: entity types, actions, ids of enums; and how its text looks. Private to
// schema/.
#pragma once

#include "schema/report.h"

namespace wary::schema {

// UnrecognizedEntityType, UnrecognizedActionId, InvalidEnumEntity.
void check_names(const Schema& schema, const cedar::PolicyBody& body, Report& report);
// UnrecognizedEntityType for an entity that fills a slot.
void check_entity_type(const Schema& schema, std::string_view type, cedar::Span span, Report& report);
// Bidi controls, mixed scripts, characters that look like others.
void check_text(const cedar::PolicyBody& body, Report& report);

}  // namespace wary::schema
