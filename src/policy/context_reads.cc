#include "policy/context_reads.h"

#include <algorithm>

#include "base/check.h"

namespace wary::policy {

namespace {

using cedar::Expr;
using cedar::ExprKind;

bool is_context(const Expr& e) { return e.kind == ExprKind::kVariable && e.variable == cedar::Variable::kContext; }

// The recursion is as deep as the expression, which the parser bounds.
void gather_reads(const Expr& e, ContextReads& out) {
  if (is_context(e)) {
    out.everything = true;
    return;
  }
  if (e.kind == ExprKind::kGetAttribute && is_context(e.operands.front())) {
    out.names.push_back(e.name);
    return;
  }
  if (e.kind == ExprKind::kHas && is_context(e.operands.front()) && !e.names.empty()) {
    out.names.push_back(e.names.front());
    return;
  }
  for (const Expr& operand : e.operands) gather_reads(operand, out);
}

}  // namespace

ContextReads context_reads(const cedar::PolicyBody& policy) {
  ContextReads out;
  for (const cedar::Condition& condition : policy.conditions) gather_reads(condition.expression, out);
  std::sort(out.names.begin(), out.names.end());
  out.names.erase(std::unique(out.names.begin(), out.names.end()), out.names.end());
  return out;
}

void ContextReadCounts::add(const ContextReads& reads) {
  everything_ += reads.everything ? 1 : 0;
  for (const std::string& name : reads.names) ++names_[name];
}

void ContextReadCounts::remove(const ContextReads& reads) {
  WARY_CHECK(everything_ >= (reads.everything ? 1U : 0U));
  everything_ -= reads.everything ? 1 : 0;
  for (const std::string& name : reads.names) {
    const auto found = names_.find(name);
    WARY_CHECK(found != names_.end());
    if (--found->second == 0) names_.erase(found);
  }
}

}  // namespace wary::policy
