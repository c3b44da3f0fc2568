// The validator: whether policies can be trusted with requests and entities that fit the schema. A policy that passes
// evaluates without a type error, and without touching an attribute or tag that may be missing.
//
//   Validation validation = validate(schema, policies);
//   for (const Finding& finding : validation.findings) print(finding.error.to_string(), finding.caret);
//   if (!validation.is_valid()) return refuse();
//
// Strict validation of Cedar 4.5: each policy is typed once for every request environment its scope allows. Templates
// are validated as such, their slots standing for any entity the scope allows; links by what fills the slots. Pure; any
// thread. Time is linear in policies times environments; findings stop at ValidationOptions::findings_max, and at 100
// of one policy.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cedar/policy_set.h"
#include "schema/schema.h"

namespace wary::schema {

enum class FindingKind : std::uint8_t {
  kUnrecognizedEntityType,
  kUnrecognizedActionId,
  kInvalidActionApplication,  // no action applies to what the scope asks for
  kUnexpectedType,
  kIncompatibleTypes,
  kUnsafeAttributeAccess,          // the attribute is not declared
  kUnsafeOptionalAttributeAccess,  // it is, but may be missing
  kUnsafeTagAccess,                // getTag without hasTag before it
  kNoTagsAllowed,
  kUndefinedFunction,
  kWrongNumberArguments,
  kFunctionArgumentValidation,  // ip("not an address")
  kEmptySetForbidden,
  kNonLitExtConstructor,  // ip(context.address)
  kInvalidEnumEntity,
  kEntityDerefLevelViolation,
  // Warnings.
  kImpossiblePolicy,  // false for every request
  kBidiCharsInString,
  kBidiCharsInIdentifier,
  kMixedScriptString,
  kMixedScriptIdentifier,
  kConfusableIdentifier,
};
std::string_view to_string(FindingKind kind);  // "UnrecognizedEntityType"

struct Finding {
  FindingKind kind = FindingKind::kUnexpectedType;
  bool is_warning = false;
  std::string policy_id;
  // code "validation_unrecognized_entity_type" and so on; `where` is a place in the policy's source; next_step the
  // hint.
  Error error;
  cedar::Span span;
  std::string caret;  // the line and a second one with ^^^
};

struct ValidationOptions {
  // How many steps from entity to entity a policy may take (RFC 76); not looked at when empty.
  std::optional<std::uint32_t> level;
  // Compatible with Cedar 4.13: a scope no action applies to is a warning, not an error.
  bool inapplicable_is_warning = false;
  std::size_t findings_max = 10'000;
};

struct Validation {
  std::vector<Finding> findings;  // by policy, errors and warnings as found
  bool is_valid() const;          // no finding that is not a warning
};

// Static policies and templates, then links.
Validation validate(const Schema& schema, const cedar::PolicySet& policies, const ValidationOptions& options = {});
// One static policy or template. Appends to `out`.
void validate_policy(const Schema& schema, std::string_view id, const cedar::PolicyBody& body,
                     const ValidationOptions& options, std::vector<Finding>& out);
// What fills the slots of a link; its template is validated by itself.
void validate_link(const Schema& schema, const cedar::Policy& link, const ValidationOptions& options,
                   std::vector<Finding>& out);

// What the validator knows of a policy in one environment, for compilers and analyses.
struct Typing {
  enum class Outcome : std::uint8_t {
    kTyped,
    kAlwaysFalse,  // the policy cannot apply to such a request
    kFailed,
  };
  Outcome outcome = Outcome::kFailed;
  // Of every expression that was looked at; what stands behind a constant `false &&` or `true ||` was not. Keys point
  // into the policy.
  std::unordered_map<const cedar::Expr*, TypePtr> types;
};
Typing type_policy(const Schema& schema, const cedar::PolicyBody& body, const Environment& environment);
// The environments whose requests can pass the policy's scope.
std::vector<Environment> environments_of(const Schema& schema, const cedar::PolicyBody& body);

}  // namespace wary::schema
