#include "policy/validate.h"

#include <algorithm>
#include <set>

#include "base/embedded.h"
#include "codec/text.h"
#include "schema/validator.h"

namespace wary::policy {

namespace {

using cedar::ScopeConstraint;
using schema::Finding;
using schema::FindingKind;

constexpr std::string_view kOwnNamespace = "Wary";

std::string_view root_of(std::string_view type) { return type.substr(0, type.find("::")); }

bool is_own(std::string_view type) { return type.starts_with("Wary::"); }

// One letter wrong, missing or too many, or two swapped.
bool is_one_slip(std::string_view written, std::string_view name) {
  while (!written.empty() && !name.empty() && written.front() == name.front()) {
    written.remove_prefix(1);
    name.remove_prefix(1);
  }
  while (!written.empty() && !name.empty() && written.back() == name.back()) {
    written.remove_suffix(1);
    name.remove_suffix(1);
  }
  const bool swapped = written.size() == 2 && name.size() == 2 && written[0] == name[1] && written[1] == name[0];
  return swapped || std::max(written.size(), name.size()) <= 1;
}

// `App` and `Wray::App` are Wary::App misspelt, not types of another program.
bool is_misspelt(std::string_view type) {
  const std::string_view base = schema::base_name(type);
  const std::string own = std::string(kOwnNamespace) + "::" + std::string(base);
  if (base != "Action" && platform_schema().find_entity_type(own) == nullptr) return false;
  if (schema::namespace_of(type).empty()) return true;
  return codec::equals_ignoring_case(root_of(type), kOwnNamespace) || is_one_slip(root_of(type), kOwnNamespace);
}

bool is_foreign(std::string_view type) { return !is_own(type) && !is_misspelt(type); }

// What a part of the scope names outside wary; nothing when it names none, or also one of wary's own.
std::string_view foreign_name(const ScopeConstraint& part) {
  std::string_view found;
  if (!part.type.empty()) {
    if (!is_foreign(part.type)) return {};
    found = part.type;
  }
  for (const cedar::EntityPtr& entity : part.entities) {
    if (!is_foreign(entity->type)) return {};
    found = entity->type;
  }
  return found;
}

// Findings that hold whatever another program's types are: names of wary's own types, and how the text looks.
bool holds_anyway(const Finding& finding) {
  if (finding.kind == FindingKind::kUnrecognizedEntityType) return is_own(finding.error.found_text);
  return finding.kind == FindingKind::kInvalidEnumEntity || finding.kind > FindingKind::kImpossiblePolicy;
}

PolicyFinding foreign_finding(const cedar::PolicyBody& body, const ScopeConstraint& part, std::string_view type) {
  PolicyFinding out;
  out.kind = "ForeignResource";
  out.is_warning = true;
  out.error =
      fail(ErrorKind::kInvalid, "policy_foreign",
           "`" + std::string(type) + "` is not wary's own, so this policy's attributes and types are not checked")
          .at(body.source->place(part.span.begin))
          .next(
              "right for a program that asks wary for decisions about its own resources; wary's own types are "
              "in namespace Wary");
  out.caret = body.source->caret(part.span);
  return out;
}

// "Wary::App or Wary::Route".
std::string alternatives(const std::set<std::string>& names) {
  std::string out;
  std::size_t left = names.size();
  for (const std::string& name : names) {
    out += name + (left > 2 ? ", " : left == 2 ? " or " : "");
    --left;
  }
  return out;
}

// Of a scope that nothing applies to: a group taken for an action, or whose requests with the action there are.
std::string scope_hint(const cedar::PolicyBody& body) {
  cedar::PolicyBody any;
  any.action = body.action;
  const std::vector<schema::Environment> environments = schema::environments_of(platform_schema(), any);
  if (environments.empty() && body.action.kind == ScopeConstraint::Kind::kEqual) {
    return body.action.entities.front()->to_string() + " is a group of actions: write `action in` in place of `==`";
  }
  std::set<std::string> principals;
  std::set<std::string> resources;
  for (const schema::Environment& environment : environments) {
    principals.insert(environment.principal->name);
    resources.insert(environment.resource->name);
  }
  return "such requests have a principal of type " + alternatives(principals) + " and a resource of type " +
         alternatives(resources);
}

std::string hint_of(const cedar::PolicyBody& body, const Finding& finding) {
  if (finding.kind == FindingKind::kInvalidActionApplication) return scope_hint(body);
  if (finding.kind == FindingKind::kUnrecognizedEntityType && is_foreign(finding.error.found_text)) {
    return "wary makes no such entity; for a program that asks wary for decisions, name its type in the scope: "
           "resource is TYPE";
  }
  if (finding.kind == FindingKind::kUnsafeAttributeAccess && finding.error.next_step.empty()) {
    return "what only some requests have is asked in a policy whose scope names them: principal is, action in, "
           "resource is";
  }
  return finding.error.next_step;
}

// What follows from another finding of the same policy is not said beside it.
void remove_consequences(std::vector<Finding>& findings) {
  const bool has_error = std::any_of(findings.begin(), findings.end(), [](const Finding& f) { return !f.is_warning; });
  const bool has_unknown_name = std::any_of(findings.begin(), findings.end(), [](const Finding& f) {
    return f.kind == FindingKind::kUnrecognizedEntityType || f.kind == FindingKind::kUnrecognizedActionId;
  });
  std::erase_if(findings, [&](const Finding& f) {
    return (has_error && f.kind == FindingKind::kImpossiblePolicy) ||
           (has_unknown_name && f.kind == FindingKind::kInvalidActionApplication);
  });
}

void validate_one(const std::string& id, const cedar::PolicyBody& body, std::vector<PolicyFinding>& out) {
  std::vector<Finding> findings;
  schema::validate_policy(platform_schema(), id, body, {}, findings);
  const ScopeConstraint* foreign = nullptr;
  for (const ScopeConstraint* part : {&body.action, &body.resource}) {
    if (!foreign_name(*part).empty()) foreign = part;
  }
  if (foreign != nullptr) {
    std::erase_if(findings, [](const Finding& finding) { return !holds_anyway(finding); });
    out.push_back(foreign_finding(body, *foreign, foreign_name(*foreign)));
    out.back().policy = id;
  }
  remove_consequences(findings);
  for (Finding& finding : findings) {
    finding.error.next_step = hint_of(body, finding);
    out.push_back({std::string(schema::to_string(finding.kind)), id, finding.is_warning, std::move(finding.error),
                   std::move(finding.caret)});
  }
}

schema::Schema make_platform_schema() {
  schema::SchemaResult made = schema::Schema::from_text("wary.cedarschema", platform_schema_text());
  WARY_CHECK(made.schema.has_value());  // a test reads the same text
  return std::move(*made.schema);
}

}  // namespace

const schema::Schema& platform_schema() {
  static const schema::Schema kSchema = make_platform_schema();
  return kSchema;
}

std::string_view platform_schema_text() {
  const auto files = embedded::platform_schema();
  WARY_CHECK(files.size() == 1);
  return files[0].bytes;
}

std::vector<PolicyFinding> validate_policies(const PolicyCheck& check) {
  std::vector<PolicyFinding> out;
  for (std::size_t i = 0; i < check.policies.size(); ++i) validate_one(check.ids[i], *check.policies[i], out);
  return out;
}

}  // namespace wary::policy
