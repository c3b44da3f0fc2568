#include "policy/policies.h"

#include <algorithm>
#include <set>

#include "cedar/parser.h"

namespace wary::policy {

namespace {

constexpr std::size_t kPolicyIdBytesMax = 256;

cedar::SyntaxError error_at(const cedar::PolicyBody& body, std::string_view code, std::string_view message,
                            std::string_view next) {
  cedar::SyntaxError out;
  out.span = body.span;
  out.error = fail(ErrorKind::kInvalid, code, message).at(body.source->place(body.span.begin)).next(next);
  out.from = body.source->position(body.span.begin);
  out.line = body.source->line_text(body.span.begin);
  out.caret = body.source->caret(body.span);
  return out;
}

// Letters, digits and -_. : what a person can type behind `wary explain`.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= limits::kNameBytes && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

void check_body(const cedar::PolicyBody& body, std::vector<cedar::SyntaxError>& errors) {
  if (body.is_template()) {
    errors.push_back(error_at(body, "policy_template", "a template, and nothing fills its slots",
                              "write the entity in place of ?principal or ?resource"));
  }
  const std::string* obligation = body.annotation("obligation");
  const std::string* value = body.annotation("obligation_value");
  if (obligation != nullptr && (body.effect == cedar::Effect::kForbid || obligation->empty())) {
    errors.push_back(error_at(body, "policy_obligation", "an obligation belongs to a permit and has a name",
                              "write @obligation(\"name\") before a permit"));
  }
  if (value != nullptr && obligation == nullptr) {
    errors.push_back(
        error_at(body, "policy_obligation", "@obligation_value without @obligation", "name the obligation"));
  }
}

std::vector<std::string> name_policies(const PolicyText& text, const PolicyCheck& check,
                                       std::vector<cedar::SyntaxError>& errors) {
  std::vector<std::string> ids;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < check.policies.size(); ++i) {
    const cedar::PolicyBody& body = *check.policies[i];
    const std::string* annotated = body.annotation("id");
    if (annotated != nullptr && !is_name(*annotated)) {
      errors.push_back(error_at(body, "policy_id", "an @id that is no name", "use at most 63 letters, digits, - _ ."));
    }
    const std::string name = annotated != nullptr ? *annotated : "policy" + std::to_string(i);
    if (!seen.insert(name).second) {
      errors.push_back(error_at(body, "policy_id", "two policies of the text have this @id", "give each its own @id"));
    }
    ids.push_back(check.policies.size() == 1 ? text.id : text.id + "/" + name);
  }
  return ids;
}

}  // namespace

PolicyCheck check_policies(const PolicyText& text) {
  Limits limits = cedar::kParseLimits;
  limits.bytes = limits::kPolicyBytes;
  const auto source = cedar::Source::make(text.file.empty() ? text.id : text.file, text.text, text.first_line);
  auto parsed = cedar::parse_policies(source, limits);
  PolicyCheck check;
  check.errors = std::move(parsed.errors);
  check.policies = std::move(parsed.policies);
  for (const auto& body : check.policies) check_body(*body, check.errors);
  check.ids = name_policies(text, check, check.errors);
  if (!check.errors.empty()) {
    check.policies.clear();
    check.ids.clear();
  }
  return check;
}

// Written so that what is not known forbids: a fact of another type is an error, and an error of a forbid denies; a
// session is good only while it says so itself.
const std::vector<PolicyText>& guardrails() {
  static const std::vector<PolicyText> kGuardrails = {
      {"guardrail/revoked-principal",
       "// A person, workload or pipeline that was revoked or disabled may do nothing.\n"
       "forbid (principal, action, resource)\n"
       "when { (principal has revoked && principal.revoked) || (principal has disabled && principal.disabled) };\n",
       "guardrails.cedar", 1},
      {"guardrail/revoked-device",
       "// Nothing is done from a device that was revoked or disabled.\n"
       "forbid (principal, action, resource)\n"
       "when { context has device }\n"
       "when { (context.device has revoked && context.device.revoked) ||\n"
       "       (context.device has disabled && context.device.disabled) };\n",
       "guardrails.cedar", 4},
      {"guardrail/revoked-session",
       "// A revoked session ends.\n"
       "forbid (principal, action, resource)\n"
       "when { context has session }\n"
       "when { context.session has revoked && context.session.revoked };\n",
       "guardrails.cedar", 9},
      {"guardrail/inactive-session",
       "// A session is good while its fact `active` says so; the fact expires with the session and becomes false.\n"
       "forbid (principal, action, resource)\n"
       "when { context has session }\n"
       "unless { context.session has active && context.session.active };\n",
       "guardrails.cedar", 13},
  };
  return kGuardrails;
}

Result<std::shared_ptr<const CompiledPolicies>> CompiledPolicies::compile(std::vector<PolicyText> texts) {
  auto out = std::make_shared<CompiledPolicies>();
  const auto add = [&](const PolicyText& text) -> Status {
    PolicyCheck check = check_policies(text);
    if (!check.errors.empty()) return check.errors.front().error;
    for (std::size_t i = 0; i < check.policies.size(); ++i) {
      if (!out->by_id_.emplace(check.ids[i], out->policies_.size()).second) {
        return fail(ErrorKind::kConflict, "policy_duplicate_id", "two policies have one id").found(check.ids[i]);
      }
      out->policies_.push_back({check.ids[i], check.policies[i], {}, {}});
    }
    return {};
  };
  for (const PolicyText& guardrail : guardrails()) WARY_CHECK(add(guardrail).ok());
  std::set<std::string_view> ids;
  for (const PolicyText& text : texts) {
    if (text.id.empty() || text.id.size() > kPolicyIdBytesMax || text.id.starts_with(kGuardrailPrefix)) {
      return fail(ErrorKind::kInvalid, "policy_reserved_id", "not an id for a policy text")
          .expected("1 to 256 bytes, not starting with guardrail/")
          .found(text.id);
    }
    if (!ids.insert(text.id).second) {
      return fail(ErrorKind::kConflict, "policy_duplicate_id", "two policy texts have one id").found(text.id);
    }
    WARY_RETURN_IF_ERROR(add(text));
  }
  out->texts_ = std::move(texts);
  return std::shared_ptr<const CompiledPolicies>(std::move(out));
}

const cedar::Policy* CompiledPolicies::find(std::string_view id) const {
  const auto at = by_id_.find(id);
  return at != by_id_.end() ? &policies_[at->second] : nullptr;
}

}  // namespace wary::policy
