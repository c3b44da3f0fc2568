// An explanation as text for a person and as JSON for the console.
#include "policy/explain.h"

namespace wary::policy {

namespace {

using codec::Json;
using Outcome = ClauseReport::Outcome;

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kTrue: return "true";
    case Outcome::kFalse: return "false";
    case Outcome::kError: return "error";
    case Outcome::kNotReached: return "not reached";
  }
  return "";
}

std::string on_one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (blank && (out.empty() || out.back() == ' ')) continue;
    out += blank ? ' ' : c;
  }
  return out;
}

void append_clause(std::string& out, const ClauseReport& clause) {
  out += "    line " + std::to_string(clause.line) + "  " + std::string(name(clause.outcome)) + "  " +
         on_one_line(clause.text) + "\n";
  if (!clause.error.empty()) out += "      " + clause.error + "\n";
  for (const ClauseReport::Met& met : clause.values) out += "      " + met.expression + " = " + met.value + "\n";
}

void append_policy(std::string& out, const PolicyReport& policy) {
  out += "  " + std::string(policy.is_forbid ? "forbid " : "permit ") + policy.id + "  " + policy.file + ":" +
         std::to_string(policy.first_line);
  if (policy.last_line != policy.first_line) out += "-" + std::to_string(policy.last_line);
  out += "  " + policy.outcome + "\n";
  for (const ClauseReport& part : policy.scope) {
    if (part.outcome == Outcome::kFalse) append_clause(out, part);
  }
  for (const ClauseReport& clause : policy.clauses) append_clause(out, clause);
}

void append_section(std::string& out, std::string_view title, const std::vector<PolicyReport>& policies) {
  if (policies.empty()) return;
  out += std::string(title) + ":\n";
  for (const PolicyReport& policy : policies) append_policy(out, policy);
}

std::string sentence(const contract::Decision& decision) {
  const std::string& code = decision.reason_code;
  if (code == "permit") return "allowed: a permit is satisfied and no forbid is";
  if (code == "forbid") return "denied: a forbid is satisfied";
  if (code == "forbid_error") return "denied: a forbid failed, so it is not known whether it holds";
  if (code == "no_permit") return "denied: no permit is satisfied";
  if (code == "obligation_unknown")
    return "denied: permitted only with an obligation this enforcement point cannot keep";
  if (code == "request_invalid") return "denied: the request is malformed";
  return "denied: " + code;
}

Json clause_json(const ClauseReport& clause) {
  Json values = Json::array();
  for (const ClauseReport::Met& met : clause.values) {
    values.push(Json::object({{"expression", Json(met.expression)}, {"value", Json(met.value)}}));
  }
  Json out = Json::object({{"outcome", Json(name(clause.outcome))},
                           {"text", Json(clause.text)},
                           {"line", Json(std::int64_t{clause.line})},
                           {"values", std::move(values)}});
  if (!clause.error.empty()) out.set("error", Json(clause.error));
  return out;
}

Json clauses_json(const std::vector<ClauseReport>& clauses) {
  Json out = Json::array();
  for (const ClauseReport& clause : clauses) out.push(clause_json(clause));
  return out;
}

Json policies_json(const std::vector<PolicyReport>& policies) {
  Json out = Json::array();
  for (const PolicyReport& policy : policies) {
    out.push(Json::object({{"id", Json(policy.id)},
                           {"effect", Json(policy.is_forbid ? "forbid" : "permit")},
                           {"file", Json(policy.file)},
                           {"first_line", Json(std::int64_t{policy.first_line})},
                           {"last_line", Json(std::int64_t{policy.last_line})},
                           {"outcome", Json(policy.outcome)},
                           {"text", Json(policy.text)},
                           {"scope", clauses_json(policy.scope)},
                           {"clauses", clauses_json(policy.clauses)}}));
  }
  return out;
}

}  // namespace

std::string to_text(const Explanation& explanation) {
  const contract::Decision& decision = explanation.decision;
  std::string out = explanation.question + "\n" + sentence(decision) + " (" + decision.reason_code + ", revision " +
                    std::to_string(decision.revision) + ")\n";
  append_section(out, "decided by", explanation.determining);
  for (const std::string& note : explanation.notes) out += "  " + note + "\n";
  append_section(out, "failed", explanation.errors);
  append_section(out, "nearest permits", explanation.nearest);
  for (const contract::PolicyError& error : decision.errors) {
    if (error.policy.empty()) out += "  " + error.message + "\n";
  }
  for (const contract::Obligation& obligation : decision.obligations) {
    out += "obligation: " + obligation.name + (obligation.value.empty() ? "" : " " + obligation.value) + "\n";
  }
  if (decision.valid_until) out += "valid until " + to_rfc3339(*decision.valid_until) + "\n";
  return out;
}

Json to_json(const Explanation& explanation) {
  const contract::Decision& decision = explanation.decision;
  Json notes = Json::array();
  for (const std::string& note : explanation.notes) notes.push(Json(note));
  Json messages = Json::array();
  for (const contract::PolicyError& error : decision.errors) {
    messages.push(
        Json::object({{"policy", Json(error.policy)}, {"kind", Json(error.kind)}, {"message", Json(error.message)}}));
  }
  Json out = Json::object({{"allowed", Json(decision.is_allowed())},
                           {"reason_code", Json(decision.reason_code)},
                           {"sentence", Json(sentence(decision))},
                           {"question", Json(explanation.question)},
                           {"revision", Json(static_cast<std::int64_t>(decision.revision))},
                           {"determining", policies_json(explanation.determining)},
                           {"failed", policies_json(explanation.errors)},
                           {"nearest", policies_json(explanation.nearest)},
                           {"notes", std::move(notes)},
                           {"errors", std::move(messages)}});
  if (decision.valid_until) out.set("valid_until", Json(to_rfc3339(*decision.valid_until)));
  return out;
}

}  // namespace wary::policy
