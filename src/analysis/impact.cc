#include "analysis/impact.h"

#include <algorithm>
#include <set>

#include "analysis/schema_change.h"
#include "analysis/scopes.h"
#include "schema/conformance.h"
#include "schema/validator.h"

namespace wary::analysis {

namespace {

using cedar::Variable;

// Made-up actions by which principals and resources of edited scopes are searched for; no schema can name them.
constexpr std::string_view kProbeType = "__cedar::Action";
constexpr std::string_view kProbePrincipals = "principals";
constexpr std::string_view kProbeResources = "resources";

cedar::ScopeConstraint equal_to(const cedar::EntityPtr& uid) {
  cedar::ScopeConstraint out;
  out.kind = cedar::ScopeConstraint::Kind::kEqual;
  out.entities = {uid};
  return out;
}

cedar::Policy policy_of(cedar::PolicyBody body, const cedar::SlotValues& slots) {
  const auto fill = [](cedar::ScopeConstraint& part, const cedar::EntityPtr& value) {
    if (!part.is_slot) return;
    part.is_slot = false;
    part.entities = {value};
  };
  fill(body.principal, slots.principal);
  fill(body.resource, slots.resource);
  body.effect = cedar::Effect::kPermit;
  body.annotations.clear();
  cedar::Policy out;
  out.body = std::make_shared<const cedar::PolicyBody>(std::move(body));
  return out;
}

// Whether evaluating a valid policy can fail on entities that fit their schema but may refer to what is not there, and
// on a context that need not fit it: arithmetic, and what is read of anything but principal and resource themselves.
bool may_fail(const cedar::Expr& e) {
  using Kind = cedar::ExprKind;
  switch (e.kind) {
    case Kind::kNegate:
    case Kind::kAdd:
    case Kind::kMultiply:
    case Kind::kGetTag:
    case Kind::kCall: return true;
    case Kind::kGetAttribute: {
      const cedar::Expr& of = e.operands[0];
      return of.kind != Kind::kVariable || (of.variable != Variable::kPrincipal && of.variable != Variable::kResource);
    }
    default: return std::any_of(e.operands.begin(), e.operands.end(), may_fail);
  }
}

bool may_fail(const schema::Schema& schema, const cedar::Policy& policy) {
  const cedar::PolicyBody& body = *policy.body;
  // What a scope names need not be there.
  if (body.principal.kind == cedar::ScopeConstraint::Kind::kEqual ||
      body.resource.kind == cedar::ScopeConstraint::Kind::kEqual) {
    return true;
  }
  std::vector<schema::Finding> findings;
  schema::validate_policy(schema, policy.id, body, {}, findings);
  return std::any_of(findings.begin(), findings.end(), [](const schema::Finding& one) { return !one.is_warning; }) ||
         std::any_of(body.conditions.begin(), body.conditions.end(),
                     [](const cedar::Condition& one) { return may_fail(one.expression); });
}

// Permits only: what edited policies match, whatever their effect; and their principals and resources by themselves. Of
// a forbid that denies when it fails the scope alone, where it may.
class Probes {
 public:
  explicit Probes(const ImpactQuery& query) {
    const cedar::EntityPtr principals = cedar::make_entity(kProbeType, kProbePrincipals);
    const cedar::EntityPtr resources = cedar::make_entity(kProbeType, kProbeResources);
    for (const PolicyChange& change : query.changes) {
      for (const cedar::Policy* policy : {change.before, change.after}) {
        if (policy == nullptr) continue;
        edited_.push_back(policy);
        cedar::PolicyBody whole = *policy->body;
        const bool denies_by_failing = query.rule == Rule::kDecisionPoint && whole.effect == cedar::Effect::kForbid;
        if (denies_by_failing && may_fail(query.schema, *policy)) whole.conditions.clear();
        if (query.schema_before != nullptr) whole.action = {};  // the groups it names may be others afterwards
        add(policy_of(std::move(whole), policy->slots));
        cedar::PolicyBody side;
        side.principal = policy->body->principal;
        side.action = equal_to(principals);
        add(policy_of(side, policy->slots));
        side = {};
        side.resource = policy->body->resource;
        side.action = equal_to(resources);
        add(policy_of(side, policy->slots));
      }
    }
  }
  const std::vector<cedar::Policy>& policies() const { return policies_; }
  const std::vector<const cedar::Policy*>& edited() const { return edited_; }

 private:
  void add(cedar::Policy policy) {
    policy.id = "probe" + std::to_string(policies_.size());
    policies_.push_back(std::move(policy));
  }
  std::vector<cedar::Policy> policies_;
  std::vector<const cedar::Policy*> edited_;
};

struct Outcome {
  bool is_allowed = false;        // by the rule
  bool rests_on_failure = false;  // a forbid that failed is all that denies it
};

Outcome outcome_of(const engine::Answer& answer, Rule rule) {
  const bool has_failed =
      rule == Rule::kDecisionPoint && std::any_of(answer.errors.begin(), answer.errors.end(),
                                                  [](const engine::Failure& failure) { return failure.is_forbid; });
  return {answer.is_allowed && !has_failed, answer.is_allowed && has_failed};
}

class Impacter {
 public:
  Impacter(const engine::SnapshotPtr& before, const engine::SnapshotPtr& after, engine::SnapshotPtr touched,
           const Probes& probes, const ImpactQuery& query)
      : before_(*before), after_(*after), directory_(std::move(touched)), probes_(probes), query_(query) {
    out_.after = after;
  }

  Result<Impact> run() {
    const schema::Schema& old_schema = query_.schema_before != nullptr ? *query_.schema_before : query_.schema;
    const std::vector<EnvironmentSet> touched = reach_in(query_.schema);
    const std::vector<EnvironmentSet> touched_before = reach_in(old_schema);
    for (const schema::Environment& environment : query_.schema.environments()) {
      const auto old = counterpart(old_schema, environment);
      if (!old || !out_.is_complete) continue;
      if (!is_in_any(touched, environment) && !is_in_any(touched_before, *old)) continue;
      WARY_RETURN_IF_ERROR(look_at(environment));
    }
    out_.principals = principals_.size();
    return std::move(out_);
  }

 private:
  std::vector<EnvironmentSet> reach_in(const schema::Schema& schema) const {
    std::vector<EnvironmentSet> out;
    for (const cedar::Policy* policy : probes_.edited()) out.push_back(reach_of(schema, *policy));
    return out;
  }
  static bool is_in_any(const std::vector<EnvironmentSet>& sets, const schema::Environment& environment) {
    return std::any_of(sets.begin(), sets.end(), [&](const auto& reach) { return reach.contains(environment); });
  }

  // Every id of the type that the search gives, at most `most`.
  Result<std::vector<std::string>> find(Variable free, const std::string& type, cedar::Request request,
                                        std::size_t most) {
    std::vector<std::string> out;
    engine::SearchQuery search{free, type, std::move(request), query_.now, engine::kSearchLimitMax, ""};
    do {
      if (++searches_ > query_.searches_max) {
        cut("more than " + std::to_string(query_.searches_max) + " searches");
        break;
      }
      WARY_ASSIGN_OR_RETURN(const engine::SearchResult page, engine::search(directory_, worker_, search));
      out.insert(out.end(), page.ids.begin(), page.ids.end());
      search.after = page.next;
    } while (!search.after.empty() && out.size() < most);
    return out;
  }

  // The side with fewer candidates is gone through; for each of them the other side is searched.
  Status look_at(const schema::Environment& environment) {
    const cedar::EntityPtr nobody = cedar::make_entity(kProbeType, "nobody");
    cedar::Request request{nobody, cedar::make_entity(kProbeType, kProbePrincipals), nobody, query_.context};
    const std::string& principal = environment.principal->name;
    const std::string& resource = environment.resource->name;
    WARY_ASSIGN_OR_RETURN(const auto principals, find(Variable::kPrincipal, principal, request, query_.searches_max));
    request.action = cedar::make_entity(kProbeType, kProbeResources);
    WARY_ASSIGN_OR_RETURN(const auto resources, find(Variable::kResource, resource, request, principals.size() + 1));
    const bool by_principal = principals.size() <= resources.size();
    request.action = environment.action->uid;
    const Status fits = schema::validate_value(query_.schema, query_.context, *environment.action->context);
    has_context_ = fits.ok();
    for (const std::string& id : by_principal ? principals : resources) {
      (by_principal ? request.principal : request.resource) =
          cedar::make_entity(by_principal ? principal : resource, id);
      WARY_ASSIGN_OR_RETURN(const auto others,
                            find(by_principal ? Variable::kResource : Variable::kPrincipal,
                                 by_principal ? resource : principal, request, query_.decisions_max));
      for (const std::string& other : others) {
        (by_principal ? request.resource : request.principal) =
            cedar::make_entity(by_principal ? resource : principal, other);
        decide(request);
      }
      if (!out_.is_complete) break;
    }
    return {};
  }

  void decide(const cedar::Request& request) {
    if (out_.decided >= query_.decisions_max) return cut("more than " + std::to_string(out_.decided) + " decisions");
    ++out_.decided;
    const Outcome was = outcome_of(worker_.decide(before_, request, query_.now), query_.rule);
    const Outcome is = outcome_of(worker_.decide(after_, request, query_.now), query_.rule);
    if (!has_context_ && (was.rests_on_failure || is.rests_on_failure)) {
      ++out_.undecided;
      return;
    }
    if (was.is_allowed == is.is_allowed) return;
    ++(is.is_allowed ? out_.gained : out_.lost);
    if (principals_.size() < query_.decisions_max) principals_.insert(*request.principal);
    if (out_.examples.size() >= query_.examples_max) return;
    out_.examples.push_back(
        {request.principal->to_string(), request.action->to_string(), request.resource->to_string(), is.is_allowed});
  }

  void cut(std::string reason) {
    out_.is_complete = false;
    out_.reason = std::move(reason);
  }

  const engine::Snapshot& before_;
  const engine::Snapshot& after_;
  const engine::Directory directory_;
  const Probes& probes_;
  const ImpactQuery& query_;
  engine::Worker worker_;
  std::set<cedar::EntityUid> principals_;
  std::size_t searches_ = 0;
  bool has_context_ = false;  // the query's context is one that the schema asks for
  Impact out_;
};

// The actions of one schema for those of another.
Result<engine::SnapshotPtr> with_actions(const engine::Snapshot& snapshot, const schema::Schema& before,
                                         const schema::Schema& after) {
  engine::Changes changes;
  for (const schema::Action& action : before.actions()) {
    if (after.find_action(*action.uid) == nullptr) changes.removals.push_back(*action.uid);
  }
  for (const cedar::EntityHandle& action : after.action_entities()) changes.upserts.push_back({action.get(), {}});
  return snapshot.with(changes);
}

}  // namespace

Result<Impact> find_impact(const engine::SnapshotPtr& before, std::span<const cedar::Policy> after,
                           const ImpactQuery& query) {
  const Probes probes(query);
  // The new policies last: their snapshot is the latest, from which the caller may go on.
  WARY_ASSIGN_OR_RETURN(engine::SnapshotPtr touched, before->with_policies(probes.policies()));
  WARY_ASSIGN_OR_RETURN(engine::SnapshotPtr next, touched->with_policies(after));
  if (query.schema_before != nullptr) {
    WARY_ASSIGN_OR_RETURN(next, with_actions(*next, *query.schema_before, query.schema));
  }
  return Impacter(before, next, std::move(touched), probes, query).run();
}

std::vector<Replayed> replay_requests(const engine::Snapshot& before, const engine::Snapshot& after,
                                      std::span<const cedar::Request> requests, UnixTime now, Rule rule) {
  engine::Worker worker;
  std::vector<Replayed> out;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const bool was = outcome_of(worker.decide(before, requests[i], now), rule).is_allowed;
    const bool is = outcome_of(worker.decide(after, requests[i], now), rule).is_allowed;
    if (was != is) out.push_back({i, was, is});
  }
  return out;
}

}  // namespace wary::analysis
