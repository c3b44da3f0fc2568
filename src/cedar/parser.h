// The parser: Cedar policy text to policies.
//
//   ParsedPolicies parsed = parse_policies(Source::make("a.cedar", text));
//   if (!parsed.errors.empty()) print(parsed.errors[0].error.to_string(), parsed.errors[0].caret);
//   Result<Expr> expression = parse_expression("context.n > 3");
//
// After an error the parser goes on behind the next semicolon, so one run reports every policy that is wrong; a text
// with errors gives no policies to use. Pure; any thread. Limits: bytes and elements of one list from `limits`, nesting
// from limits.depth (cedar_depth; default limits::kPolicyDepth), at most 50 errors.
#pragma once

#include <vector>

#include "base/limits.h"
#include "cedar/ast.h"

namespace wary::cedar {

constexpr Limits kParseLimits{
    .bytes = std::size_t{16} << 20, .depth = limits::kPolicyDepth, .items = 10'000, .total = 1'000'000};

struct ParsedPolicies {
  std::vector<std::shared_ptr<const PolicyBody>> policies;  // static policies and templates, in file order
  std::vector<SyntaxError> errors;
};

ParsedPolicies parse_policies(const std::shared_ptr<const Source>& source, const Limits& limits = kParseLimits);
// One expression and nothing else; `where` of the error is "expression:line:column".
Result<Expr> parse_expression(std::string_view text, const Limits& limits = kParseLimits);
// Type::"id", and nothing else.
Result<EntityUid> parse_entity_uid(std::string_view text);

}  // namespace wary::cedar
