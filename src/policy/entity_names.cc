#include "policy/entity_names.h"

#include <algorithm>
#include <set>

#include "codec/nearest.h"
#include "codec/text.h"

namespace wary::policy {

namespace {

using contract::EntityId;

constexpr std::size_t kUnknownMax = 100;
constexpr std::string_view kAppliedTypes[] = {"Wary::ApiKey",    "Wary::App",     "Wary::Group", "Wary::Issuer",
                                              "Wary::Namespace", "Wary::Node",    "Wary::Route", "Wary::TrustDomain",
                                              "Wary::User",      "Wary::Workload"};

struct Named {
  EntityId id;
  cedar::Span span;
};

void add_named(const cedar::EntityUid& uid, cedar::Span span, std::vector<Named>& out) {
  if (std::find(std::begin(kAppliedTypes), std::end(kAppliedTypes), uid.type) == std::end(kAppliedTypes)) return;
  out.push_back({{uid.type, uid.id}, span});
}

void add_named(const cedar::Expr& expression, std::vector<Named>& out) {
  if (expression.kind == cedar::ExprKind::kLiteral && expression.literal.as_entity() != nullptr) {
    add_named(**expression.literal.as_entity(), expression.span, out);
  }
  for (const cedar::Expr& operand : expression.operands) add_named(operand, out);
}

std::vector<Named> named_in(const cedar::PolicyBody& body) {
  std::vector<Named> out;
  for (const cedar::ScopeConstraint* part : {&body.principal, &body.action, &body.resource}) {
    for (const cedar::EntityPtr& uid : part->entities) add_named(*uid, part->span, out);
  }
  for (const cedar::Condition& condition : body.conditions) add_named(condition.expression, out);
  return out;
}

}  // namespace

std::string EntityNames::hint(const EntityId& id) {
  const std::string kind = id.type.substr(std::string_view("Wary::").size());
  const std::string otherwise =
      "right where it is applied later; `wary get " + codec::to_lower(kind) + "` lists what is";
  if (hints_left_ == 0) return otherwise;
  --hints_left_;
  auto known = ids_.find(id.type);
  if (known == ids_.end()) known = ids_.emplace(id.type, ids_of_(id.type)).first;
  const std::string near = codec::nearest(id.id, {known->second.begin(), known->second.end()});
  return near.empty() ? otherwise : "did you mean " + EntityId{id.type, near}.to_string() + "?";
}

std::vector<PolicyFinding> EntityNames::find_unknown(const PolicyCheck& check) {
  std::vector<PolicyFinding> out;
  for (std::size_t i = 0; i < check.policies.size(); ++i) {
    const cedar::PolicyBody& body = *check.policies[i];
    std::set<EntityId> asked;
    for (const Named& named : named_in(body)) {
      if (!asked.insert(named.id).second || has_(named.id)) continue;
      if (out.size() >= kUnknownMax) return out;
      PolicyFinding finding;
      finding.kind = "UnknownEntity";
      finding.policy = check.ids[i];
      finding.is_warning = true;
      finding.error = fail(ErrorKind::kNotFound, "policy_entity_unknown", "there is no such " + named.id.type)
                          .at(body.source->place(named.span.begin))
                          .found(named.id.to_string())
                          .next(hint(named.id));
      finding.caret = body.source->caret(named.span);
      out.push_back(std::move(finding));
    }
  }
  return out;
}

}  // namespace wary::policy
