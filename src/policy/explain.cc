#include "policy/explain.h"

#include <algorithm>
#include <set>

#include "cedar/printer.h"
#include "policy/facts.h"

namespace wary::policy {

namespace {

constexpr std::size_t kPoliciesMax = 10;
constexpr std::size_t kNearestMax = 3;
constexpr std::size_t kValuesMax = 20;
constexpr std::size_t kValueBytesMax = 200;

using Outcome = ClauseReport::Outcome;

std::string shortened(std::string text, std::size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0) == 0x80) --max;
  return text.substr(0, max) + "...";
}

// What a person wants to see the value of: variables and the paths that start from them.
bool is_path(const cedar::Expr& e) {
  switch (e.kind) {
    case cedar::ExprKind::kVariable: return true;
    case cedar::ExprKind::kGetAttribute:
    case cedar::ExprKind::kGetTag:
    case cedar::ExprKind::kHasTag:
    case cedar::ExprKind::kHas: return is_path(e.operands[0]);
    default: return false;
  }
}

void collect_paths(const cedar::Expr& e, std::vector<const cedar::Expr*>& out) {
  if (is_path(e)) {
    out.push_back(&e);
    return;
  }
  for (const cedar::Expr& operand : e.operands) collect_paths(operand, out);
}

class Reporter {
 public:
  Reporter(const cedar::Request& request, FactView& view) : request_(request), evaluator_(request, view) {}

  PolicyReport report(const cedar::Policy& policy) {
    const cedar::PolicyBody& body = *policy.body;
    PolicyReport out;
    out.id = policy.id;
    out.file = body.source->name();
    out.first_line = body.source->position(body.span.begin).line;
    out.last_line = body.source->position(body.span.end).line;
    out.is_forbid = body.effect == cedar::Effect::kForbid;
    out.text = body.source->slice(body.span);
    out.scope = {scope_part(body, body.principal, cedar::Variable::kPrincipal),
                 scope_part(body, body.action, cedar::Variable::kAction),
                 scope_part(body, body.resource, cedar::Variable::kResource)};
    bool reached = matched(out) == out.scope.size();
    out.outcome = reached ? "satisfied" : "not satisfied";
    for (const cedar::Condition& condition : body.conditions) {
      out.clauses.push_back(clause(body, condition, reached));
      if (!reached || out.clauses.back().outcome == Outcome::kTrue) continue;
      reached = false;
      out.outcome = out.clauses.back().outcome == Outcome::kError ? "error" : "not satisfied";
    }
    return out;
  }

  static std::size_t matched(const PolicyReport& report) {
    return static_cast<std::size_t>(
        std::count_if(report.scope.begin(), report.scope.end(),
                      [](const ClauseReport& part) { return part.outcome == Outcome::kTrue; }));
  }

 private:
  ClauseReport scope_part(const cedar::PolicyBody& body, const cedar::ScopeConstraint& part, cedar::Variable variable) {
    ClauseReport out;
    out.text = print(part, variable);
    out.line = body.source->position(part.span.begin).line;
    out.outcome = evaluator_.matches(part, variable, nullptr) ? Outcome::kTrue : Outcome::kFalse;
    if (out.outcome == Outcome::kFalse) {
      const cedar::EntityPtr& uid = variable == cedar::Variable::kPrincipal ? request_.principal
                                    : variable == cedar::Variable::kAction  ? request_.action
                                                                            : request_.resource;
      out.values.push_back({std::string(cedar::to_string(variable)), shortened(uid->to_string(), kValueBytesMax)});
    }
    return out;
  }

  ClauseReport clause(const cedar::PolicyBody& body, const cedar::Condition& condition, bool reached) {
    ClauseReport out;
    out.text = body.source->slice(condition.span);
    out.line = body.source->position(condition.span.begin).line;
    if (!reached) return out;
    switch (evaluator_.evaluate_condition(condition)) {
      case cedar::Outcome::kSatisfied: out.outcome = Outcome::kTrue; break;
      case cedar::Outcome::kNotSatisfied: out.outcome = Outcome::kFalse; break;
      case cedar::Outcome::kError:
        out.outcome = Outcome::kError;
        out.error = std::string(cedar::to_string(evaluator_.error().kind)) + ": " + evaluator_.error().message;
    }
    add_values(condition.expression, out);
    return out;
  }

  void add_values(const cedar::Expr& expression, ClauseReport& out) {
    std::vector<const cedar::Expr*> paths;
    collect_paths(expression, paths);
    std::set<std::string> seen;
    for (const cedar::Expr* path : paths) {
      if (out.values.size() == kValuesMax) return;
      std::string text = print(*path);
      if (!seen.insert(text).second) continue;
      cedar::Value temporary;
      const cedar::Value* value = evaluator_.evaluate(*path, temporary);
      std::string shown = value != nullptr ? value->to_string() : "error: " + evaluator_.error().message;
      out.values.push_back({std::move(text), shortened(std::move(shown), kValueBytesMax)});
    }
  }

  const cedar::Request& request_;
  cedar::Evaluator evaluator_;
};

void add_note(const std::string& id, Explanation& out) {
  if (id == "guardrail/unknown-principal") {
    out.notes.push_back(id + ": no entity describes the principal, so its facts are missing; that denies");
  } else if (id == "guardrail/unknown-device") {
    out.notes.push_back(id + ": no entity describes context.device, so its facts are missing; that denies");
  }
}

// The permits that speak of this resource come first, then of this action, then of this principal: who asks "why not"
// has a resource in mind. Among equals those whose failing clause stands latest.
std::vector<PolicyReport> nearest_permits(const Snapshot& snapshot, Reporter& reporter) {
  std::vector<std::pair<std::size_t, PolicyReport>> ranked;
  snapshot.policies().for_each([&](const cedar::Policy& policy) {
    if (policy.body->effect != cedar::Effect::kPermit) return;
    PolicyReport report = reporter.report(policy);
    std::size_t held = 0;
    for (const ClauseReport& clause : report.clauses) held += clause.outcome == Outcome::kTrue ? 1 : 0;
    std::size_t matched = 0;
    for (std::size_t part = 0; part < report.scope.size(); ++part) {
      if (report.scope[part].outcome == Outcome::kTrue) matched += part + 1;  // principal 1, action 2, resource 3
    }
    const std::size_t rank = matched * 1000 + std::min<std::size_t>(held, 999);
    ranked.emplace_back(rank, std::move(report));
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    if (ranked.size() > kNearestMax) ranked.pop_back();
  });
  std::vector<PolicyReport> out;
  for (auto& [rank, report] : ranked) out.push_back(std::move(report));
  return out;
}

}  // namespace

Result<Explanation> explain(const Snapshot& snapshot, const DecisionRecord& record) {
  if (snapshot.revision() != record.revision) {
    return fail(ErrorKind::kGone, "revision_compacted", "the snapshot of the decision's revision is not at hand")
        .expected(std::to_string(record.revision))
        .found(std::to_string(snapshot.revision()));
  }
  Explanation out{decide(snapshot, record.request, record.decided, record.options), {}, {}, {}, {}, {}};
  const contract::Request& request = record.request;
  const auto text = [](const contract::EntityId& id) { return cedar::EntityUid{id.type, id.id}.to_string(); };
  out.question = text(request.principal) + " " + text(request.action) + " " + text(request.resource);
  const auto cedar_request = to_cedar(snapshot, request);
  if (!cedar_request.ok()) return out;  // decision.errors says what is malformed
  FactView view(snapshot.entities(), record.decided);
  Reporter reporter(*cedar_request, view);
  for (const std::string& id : out.decision.determining) {
    const cedar::Policy* policy = snapshot.policies().find(id);
    if (policy == nullptr)
      add_note(id, out);
    else if (out.determining.size() < kPoliciesMax)
      out.determining.push_back(reporter.report(*policy));
  }
  for (const contract::PolicyError& error : out.decision.errors) {
    const cedar::Policy* policy = snapshot.policies().find(error.policy);
    if (policy != nullptr && out.errors.size() < kPoliciesMax) out.errors.push_back(reporter.report(*policy));
  }
  if (out.decision.reason_code == "no_permit") out.nearest = nearest_permits(snapshot, reporter);
  return out;
}

}  // namespace wary::policy
