// Partial evaluation: what is left of policies when a part of the request is not known yet.
//
//   PartialRequest known{.principal = {alice}, .action = {read}, .resource = {nullptr, "Doc"}};   // which documents?
//   PartialAnswer answer = partially_evaluate(policies, known, view);
//   answer.decision        // kAllow or kDeny when it is the same for every completion, kUnknown otherwise
//   for (const Residual& residual : answer.residuals) print(residual.condition);
//
// A residual is as the policy: for every completion of the request, over the same entities, it is satisfied, not
// satisfied or in error exactly when the policy is, with the same kind of error. What is known is put in and computed;
// what cannot be reached goes. Principal, action and resource may be known, unknown, or unknown but for their type; the
// context is known or not. Pure; the recursion is as deep as the policy.
#pragma once

#include <string>
#include <vector>

#include "cedar/authorizer.h"

namespace wary::cedar {

struct PartialUid {
  EntityPtr uid;     // null: not known
  std::string type;  // of an unknown one, when that is known; else empty
};

struct PartialRequest {
  PartialUid principal;
  PartialUid action;
  PartialUid resource;
  std::optional<Value> context;  // a record; empty: not known
};

struct Residual {
  enum class Kind : std::uint8_t { kSatisfied, kNotSatisfied, kError, kOpen };
  std::string policy_id;
  Effect effect = Effect::kPermit;
  Kind kind = Kind::kOpen;
  Expr condition;  // the scope and the clauses; true, false, or what errs, when the outcome is known
};

struct PartialAnswer {
  enum class Decision : std::uint8_t { kAllow, kDeny, kUnknown };
  Decision decision = Decision::kUnknown;
  std::vector<Residual> residuals;  // of every policy but those known not to be satisfied; in their order
};

PartialAnswer partially_evaluate(const PolicySet& policies, const PartialRequest& request, EntityView& view);
Residual partially_evaluate(const Policy& policy, const PartialRequest& request, EntityView& view);
// A static policy that stands for the residual: any principal, action and resource, when { condition }.
Policy policy_of(const Residual& residual);

}  // namespace wary::cedar
