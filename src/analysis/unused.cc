#include "analysis/unused.h"

#include <algorithm>
#include <map>
#include <set>

#include "cedar/parser.h"
#include "cedar/printer.h"
#include "schema/validator.h"

namespace wary::analysis {

namespace {

using ScopeKind = cedar::ScopeConstraint::Kind;

struct Less {
  bool operator()(const cedar::EntityPtr& a, const cedar::EntityPtr& b) const { return *a < *b; }
};
using Uids = std::set<cedar::EntityPtr, Less>;

struct Seen {
  std::size_t count = 0;
  Uids actions;
  Uids principals;  // stops growing one beyond what is named
};

cedar::Expr is_principal(const cedar::EntityPtr& uid) {
  cedar::Expr variable;
  variable.kind = cedar::ExprKind::kVariable;
  cedar::Expr literal;
  literal.literal = cedar::Value::entity(uid);
  cedar::Expr out;
  out.kind = cedar::ExprKind::kEqual;
  out.depth = 2;
  out.operands = {std::move(variable), std::move(literal)};
  return out;
}

void narrow_action(cedar::PolicyBody& body, const Uids& actions) {
  body.action = {};
  body.action.entities.assign(actions.begin(), actions.end());
  body.action.kind = actions.size() == 1 ? ScopeKind::kEqual : ScopeKind::kIn;
  body.action.is_list = actions.size() > 1;
}

// One principal goes into the scope, several into a condition before the others: a scope has no list of principals.
void narrow_principal(cedar::PolicyBody& body, const Uids& principals) {
  if (body.principal.kind == ScopeKind::kEqual || principals.size() > kPrincipalsNamedMax) return;
  if (principals.size() == 1 && body.principal.kind == ScopeKind::kAny) {
    body.principal.kind = ScopeKind::kEqual;
    body.principal.entities = {*principals.begin()};
    return;
  }
  cedar::Condition condition;
  cedar::Expr any;
  any.kind = cedar::ExprKind::kOr;
  any.depth = 3;
  for (const cedar::EntityPtr& uid : principals) any.operands.push_back(is_principal(uid));
  condition.expression = any.operands.size() == 1 ? cedar::Expr(any.operands[0]) : std::move(any);
  body.conditions.insert(body.conditions.begin(), std::move(condition));
}

// A scope that names a group of actions is not narrow because one of the group was seen.
bool is_narrow_already(const cedar::PolicyBody& body, const Seen& seen) {
  const auto& named = body.action.entities;
  const bool names_actions = body.action.kind == ScopeKind::kEqual ||
                             (body.action.kind == ScopeKind::kIn && named.size() == seen.actions.size() &&
                              std::all_of(named.begin(), named.end(),
                                          [&](const cedar::EntityPtr& uid) { return seen.actions.contains(uid); }));
  return names_actions && (body.principal.kind == ScopeKind::kEqual || seen.principals.size() > kPrincipalsNamedMax);
}

// The text of the smaller policy, and what its parser makes of it.
struct Proposal {
  std::string text;
  cedar::PolicySet set;
  std::string wrong;
};

Proposal propose(const schema::Schema& schema, const cedar::Policy& policy, const Seen& seen) {
  cedar::PolicyBody body = *policy.body;
  narrow_action(body, seen.actions);
  narrow_principal(body, seen.principals);
  Proposal out;
  out.text = cedar::print(body);
  const auto parsed = cedar::parse_policies(cedar::Source::make("proposal", out.text));
  if (!parsed.errors.empty()) {
    out.wrong = "the proposal does not parse: " + parsed.errors[0].error.to_string();
    return out;
  }
  (void)out.set.add(policy.id, parsed.policies.at(0));
  for (const schema::Finding& finding : schema::validate(schema, out.set).findings) {
    if (!finding.is_warning && out.wrong.empty()) out.wrong = "it does not validate: " + finding.error.to_string();
  }
  return out;
}

void prove_narrower(const schema::Schema& schema, const cedar::Policy& policy, const Proposal& proposal,
                    const ProofLimits& limits, PermitUse& use) {
  std::vector<Question> questions;
  const cedar::Policy& smaller = proposal.set.policies().at(0);
  for (const schema::Environment& environment : schema::environments_of(schema, *smaller.body)) {
    questions.push_back({Question::Kind::kMatchesImplies, environment, {&smaller}, {&policy}});
  }
  use.is_narrower = Verdict::kHolds;
  for (const Answer& answer : prove(schema, questions, limits)) {
    if (answer.verdict == Verdict::kHolds || use.is_narrower == Verdict::kFails) continue;
    use.is_narrower = answer.verdict;
    use.reason = answer.reason;
  }
}

std::vector<std::string> texts_of(const Uids& uids) {
  std::vector<std::string> out;
  for (const cedar::EntityPtr& uid : uids) out.push_back(uid->to_string());
  return out;
}

}  // namespace

std::vector<PermitUse> find_unused(const schema::Schema& schema, const cedar::PolicySet& policies,
                                   std::span<const RecordedRequest> requests, const ProofLimits& limits) {
  std::map<std::string, Seen, std::less<>> seen;
  for (const RecordedRequest& request : requests) {
    if (!request.is_allowed) continue;
    for (const std::string& id : request.determining) {
      Seen& one = seen[id];
      ++one.count;
      one.actions.insert(request.action);
      if (one.principals.size() <= kPrincipalsNamedMax) one.principals.insert(request.principal);
    }
  }
  std::vector<PermitUse> out;
  for (const cedar::Policy& policy : policies.policies()) {
    if (policy.body->effect != cedar::Effect::kPermit) continue;
    PermitUse use;
    use.policy_id = policy.id;
    const auto at = seen.find(policy.id);
    if (at != seen.end()) {
      use.count = at->second.count;
      use.actions = texts_of(at->second.actions);
      use.principals = texts_of(at->second.principals);
      if (policy.template_id.empty() && !is_narrow_already(*policy.body, at->second)) {
        const Proposal proposal = propose(schema, policy, at->second);
        use.proposal = proposal.text;
        use.reason = proposal.wrong;
        if (proposal.wrong.empty()) prove_narrower(schema, policy, proposal, limits, use);
      }
    }
    out.push_back(std::move(use));
  }
  return out;
}

}  // namespace wary::analysis
