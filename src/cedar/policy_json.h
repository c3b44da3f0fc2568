// Policies as JSON (Cedar's EST form), both ways: one policy or template, and a policy set with its links.
//
//   Result<codec::Json> json = to_json(*policy);
//   Result<std::shared_ptr<const PolicyBody>> policy = policy_from_json(*json, "policies.json");
//   Result<PolicySet> set = policy_set_from_json(codec::parse_json(text, kPolicyJsonLimits).value());
//
// A policy is {"effect", "principal", "action", "resource", "conditions", "annotations"?}; a set is {"staticPolicies",
// "templates", "templateLinks": [{"templateId", "newId", "values"}]}. What a text says survives the way through JSON
// and back: it prints equal. Strict: unknown members and operators are refused, with the JSON pointer of the place in
// `where`. A policy read from JSON carries its own Cedar text as source, so spans quote something a person can read.
//
// Pure; any thread. Limits: an expression's JSON nests at most kExpressionJsonDepth levels, in and out (an operator
// takes two, and a chain of n operands nests n times); the limits of the parser hold for the policy that comes out.
#pragma once

#include <memory>
#include <string_view>

#include "base/limits.h"
#include "cedar/policy_set.h"
#include "codec/json.h"

namespace wary::cedar {

constexpr std::size_t kExpressionJsonDepth = 1'000;
constexpr Limits kPolicyJsonLimits{
    .bytes = std::size_t{64} << 20, .depth = 1'048, .items = 1'000'000, .total = 10'000'000};

// Error: cedar_json_depth (a chain too long for the nested form).
Result<codec::Json> to_json(const PolicyBody& policy);
Result<codec::Json> to_json(const Expr& expression);
Result<codec::Json> to_json(const PolicySet& policies);  // all three members, policies in their order

// `name` is what places in the policy are called by. Errors: cedar_json_type, cedar_json_member, cedar_json_operator,
// cedar_json_escape, cedar_json_depth, cedar_json_duplicate, cedar_type_name, cedar_slots (a slot that does not belong
// there), cedar_action_type, and those of the parser.
Result<std::shared_ptr<const PolicyBody>> policy_from_json(const codec::Json& json, std::string_view name);
Result<Expr> expression_from_json(const codec::Json& json);  // its spans are those of print(expression)

// The three members may be left out. Errors: those of policy_from_json; cedar_slots (a template among the static
// policies, a static policy among the templates, values that do not fit the slots), cedar_no_template, cedar_policy_id
// (taken).
Result<PolicySet> policy_set_from_json(const codec::Json& json);

}  // namespace wary::cedar
