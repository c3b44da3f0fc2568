// Validation under the platform's schema (schema/wary.cedarschema, compiled in): whether policies speak of what wary
// makes, by the right names and types.
//
//   const PolicyCheck check = check_policies(text);
//   for (const PolicyFinding& finding : validate_policies(check)) {
//     print(finding.error.to_string(), finding.caret);
//     if (!finding.is_warning) refuse();
//   }
//
// A policy whose scope names a resource or an action of another program ("resource is Shop::Order",
// "action == Shop::Action::\"buy\"") is that program's business: no schema of it is known, so its attributes and
// types are not checked, which a warning says. What it names in namespace Wary must still be there. Any other policy
// must be valid: a name outside Wary is an error in it, since wary never makes such an entity and the policy would do
// nothing in silence. Pure; any thread. Limits: those of schema/validator.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/policies.h"
#include "schema/schema.h"

namespace wary::policy {

// The platform's schema, and its text.
const schema::Schema& platform_schema();
std::string_view platform_schema_text();

struct PolicyFinding {
  std::string kind;    // as Cedar calls it: "UnsafeAttributeAccess"; "ForeignResource" for what is not checked
  std::string policy;  // its id
  bool is_warning = false;
  Error error;        // code: validation_* of schema/validator.h, or policy_foreign; `where` is file, line and column
  std::string caret;  // the line and a second one with ^^^
};

// By policy, in file order; nothing of a text that has syntax errors.
std::vector<PolicyFinding> validate_policies(const PolicyCheck& check);

}  // namespace wary::policy
