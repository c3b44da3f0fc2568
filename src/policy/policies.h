// The policies of a snapshot: texts as resources carry them, parsed once. The built-in guardrails
// are among them and cannot be left out.
//
//   PolicyCheck check = check_policies({.id = "photos", .text = text, .file = "photos.cedar"});   // `wary apply`
//   for (const cedar::SyntaxError& e : check.errors) print(e.error.to_string(), e.caret);
//
// A text may hold several policies. Their ids: the text's own id when it holds one policy; otherwise ID/NAME with NAME
// from the annotation @id, or policy0, policy1, ... in file order. Immutable once compiled; any thread. Limits: 64 KiB
// a text (limits::kPolicyBytes), nesting limits::kPolicyDepth.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cedar/evaluator.h"
#include "cedar/policy_set.h"

namespace wary::policy {

struct PolicyText {
  std::string id;
  std::string text;
  std::string file;              // where a person finds it
  std::uint32_t first_line = 1;  // of the text in that file
  bool operator==(const PolicyText&) const = default;
};

struct PolicyCheck {
  std::vector<std::shared_ptr<const cedar::PolicyBody>> policies;  // in file order; none when there are errors
  std::vector<std::string> ids;                                    // of each
  std::vector<cedar::SyntaxError> errors;
};

// Everything that is wrong with the text, by position. Beyond syntax (cedar_*): policy_template (a slot that nothing
// would fill), policy_obligation (@obligation on a forbid, or without a name), policy_id (an @id twice in one text, or
// no name).
PolicyCheck check_policies(const PolicyText& text);

// Facts and context members that the guardrails read.
constexpr std::string_view kGuardrailPrefix = "guardrail/";
// Ids and Cedar text of the guardrails, in order:
//   guardrail/revoked-principal   principal.revoked or principal.disabled
//   guardrail/revoked-device      context.device.revoked or .disabled
//   guardrail/revoked-session     context.session.revoked
//   guardrail/inactive-session    context.session without .active true (a missing session or fact forbids)
const std::vector<PolicyText>& guardrails();

class CompiledPolicies {
 public:
  // Errors: those of check_policies (the first, with the place), policy_duplicate_id, policy_reserved_id.
  static Result<std::shared_ptr<const CompiledPolicies>> compile(std::vector<PolicyText> texts);

  const std::vector<PolicyText>& texts() const { return texts_; }           // without the guardrails
  const std::vector<cedar::Policy>& policies() const { return policies_; }  // the guardrails first
  const cedar::Policy* find(std::string_view id) const;

 private:
  std::vector<PolicyText> texts_;
  std::vector<cedar::Policy> policies_;
  std::map<std::string, std::size_t, std::less<>> by_id_;
};

}  // namespace wary::policy
