#include "schema/validator.h"

#include <algorithm>
#include <functional>

#include "schema/levels.h"
#include "schema/literals.h"
#include "schema/scope.h"

namespace wary::schema {

namespace {

// One policy against all its environments.
class PolicyValidator {
 public:
  PolicyValidator(const Schema& schema, Hierarchy& hierarchy, const cedar::PolicyBody& body, Report& report,
                  const ValidationOptions& options)
      : schema_(schema),
        hierarchy_(hierarchy),
        body_(body),
        report_(report),
        options_(options),
        scope_(schema, hierarchy, body) {}

  void run() {
    check_names(schema_, body_, report_);
    if (!scope_.is_applicable()) {
      report_.add(FindingKind::kInvalidActionApplication, body_.span, "no action applies to what the scope asks for",
                  {}, {}, "compare the scope with `appliesTo` of the schema's actions");
    }
    scope_.check_list(report_);
    bool may_apply = false;
    each_environment([&](const Environment& environment) { may_apply = type(environment) || may_apply; });
    if (!may_apply) {
      report_.add(FindingKind::kImpossiblePolicy, body_.span, "the policy is false for every request");
    }
    check_text(body_, report_);
  }

  void each_environment(const std::function<void(const Environment&)>& visit) const {
    for (const Action& action : schema_.actions()) {
      if (!scope_.lets_action(action.index)) continue;
      for (const std::uint32_t principal : action.principals) {
        if (!scope_.lets_principal(principal)) continue;
        for (const std::uint32_t resource : action.resources) {
          if (!scope_.lets_resource(resource)) continue;
          visit({&schema_.entity_types()[principal], &action, &schema_.entity_types()[resource]});
        }
      }
    }
  }

  // The conditions, together and in order: a type, or none after an error.
  Answer check(const Environment& environment, Typechecker::Types* types) {
    Typechecker checker(schema_, hierarchy_, shapes_, report_, environment, types);
    Answer all = Answer::of(scope_.is_certain(environment) ? bool_type(true) : bool_type());
    for (const cedar::Condition& condition : body_.conditions) {
      if (all.type != nullptr && all.type->kind == Type::Kind::kFalse) break;
      Answer next = checker.check_boolean(condition.expression, all.when_true);
      if (condition.is_unless) {
        next.when_true = {};
        if (next.type == nullptr) next.type = bool_type();
        if (next.type->kind == Type::Kind::kTrue)
          next.type = bool_type(false);
        else if (next.type->kind == Type::Kind::kFalse)
          next.type = bool_type(true);
      }
      all = Typechecker::conjunction(all, next);
    }
    return all;
  }

 private:
  // False when the policy cannot apply in this environment.
  bool type(const Environment& environment) {
    Typechecker::Types types;
    const Answer answer = check(environment, options_.level ? &types : nullptr);
    const bool is_false = answer.type != nullptr && answer.type->kind == Type::Kind::kFalse;
    if (options_.level && (is_false || answer.is_right)) {
      LevelChecker levels(schema_, environment, types, *options_.level, report_);
      check_scope_levels();
      for (const cedar::Condition& condition : body_.conditions) levels.check(condition.expression);
    }
    return !is_false;
  }

  // `in` of the scope looks at what the principal, resource or action is in: one step.
  void check_scope_levels() {
    if (*options_.level > 0) return;
    for (const cedar::ScopeConstraint* part : {&body_.principal, &body_.action, &body_.resource}) {
      if (part->kind != cedar::ScopeConstraint::Kind::kIn && part->kind != cedar::ScopeConstraint::Kind::kIsIn)
        continue;
      report_.add(FindingKind::kEntityDerefLevelViolation, part->span, "takes 1 step from entity to entity",
                  "at most 0", "1", "allow a higher level");
    }
  }

  const Schema& schema_;
  Hierarchy& hierarchy_;
  const cedar::PolicyBody& body_;
  Report& report_;
  const ValidationOptions& options_;
  Scope scope_;
  Shapes shapes_;
};

void validate_with(const Schema& schema, Hierarchy& hierarchy, std::string_view id, const cedar::PolicyBody& body,
                   const ValidationOptions& options, std::vector<Finding>& out) {
  Report report(id, body.source.get(), options, out);
  PolicyValidator(schema, hierarchy, body, report, options).run();
}

}  // namespace

bool Validation::is_valid() const {
  return std::all_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.is_warning; });
}

Validation validate(const Schema& schema, const cedar::PolicySet& policies, const ValidationOptions& options) {
  Validation out;
  Hierarchy hierarchy(schema);
  for (const cedar::Policy& policy : policies.templates()) {
    validate_with(schema, hierarchy, policy.id, *policy.body, options, out.findings);
  }
  for (const cedar::Policy& policy : policies.policies()) {
    if (policy.template_id.empty())
      validate_with(schema, hierarchy, policy.id, *policy.body, options, out.findings);
    else
      validate_link(schema, policy, options, out.findings);
  }
  return out;
}

void validate_policy(const Schema& schema, std::string_view id, const cedar::PolicyBody& body,
                     const ValidationOptions& options, std::vector<Finding>& out) {
  Hierarchy hierarchy(schema);
  validate_with(schema, hierarchy, id, body, options, out);
}

void validate_link(const Schema& schema, const cedar::Policy& link, const ValidationOptions& options,
                   std::vector<Finding>& out) {
  Report report(link.id, link.body->source.get(), options, out);
  cedar::PolicyBody filled;
  filled.principal = link.body->principal;
  filled.action = link.body->action;
  filled.resource = link.body->resource;
  const auto fill = [&](cedar::ScopeConstraint& part, const cedar::EntityPtr& value) {
    if (!part.is_slot || value == nullptr) return;
    part.is_slot = false;
    part.entities = {value};
    check_entity_type(schema, value->type, part.span, report);
  };
  fill(filled.principal, link.slots.principal);
  fill(filled.resource, link.slots.resource);
  Hierarchy hierarchy(schema);
  if (Scope(schema, hierarchy, filled).is_applicable()) return;
  report.add(FindingKind::kInvalidActionApplication, link.body->span,
             "no action applies to what the scope asks for with the slots filled", {}, {},
             "compare the scope with `appliesTo` of the schema's actions");
}

Typing type_policy(const Schema& schema, const cedar::PolicyBody& body, const Environment& environment) {
  Typing out;
  std::vector<Finding> findings;
  const ValidationOptions options;
  Report report({}, nullptr, options, findings);
  Hierarchy hierarchy(schema);
  const Scope scope(schema, hierarchy, body);
  if (!scope.lets_principal(environment.principal->index) || !scope.lets_action(environment.action->index) ||
      !scope.lets_resource(environment.resource->index)) {
    out.outcome = Typing::Outcome::kAlwaysFalse;
    return out;
  }
  PolicyValidator validator(schema, hierarchy, body, report, options);
  const Answer answer = validator.check(environment, &out.types);
  if (answer.type != nullptr && answer.type->kind == Type::Kind::kFalse)
    out.outcome = Typing::Outcome::kAlwaysFalse;
  else if (answer.is_right && findings.empty() && !scope.is_undecided())
    out.outcome = Typing::Outcome::kTyped;
  return out;
}

std::vector<Environment> environments_of(const Schema& schema, const cedar::PolicyBody& body) {
  std::vector<Environment> out;
  std::vector<Finding> findings;
  const ValidationOptions options;
  Report report({}, nullptr, options, findings);
  Hierarchy hierarchy(schema);
  PolicyValidator(schema, hierarchy, body, report, options).each_environment([&](const Environment& environment) {
    out.push_back(environment);
  });
  return out;
}

}  // namespace wary::schema
