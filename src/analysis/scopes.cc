#include "analysis/scopes.h"

#include "cedar/printer.h"
#include "schema/validator.h"

namespace wary::analysis {

namespace {

using cedar::ScopeConstraint;
using ScopeKind = ScopeConstraint::Kind;

bool is_same_slot(const cedar::EntityPtr& a, const cedar::EntityPtr& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

std::string_view text_of(const cedar::PolicyBody& body) {
  if (body.source == nullptr) return {};
  return std::string_view(body.source->text()).substr(body.span.begin, body.span.end - body.span.begin);
}

const cedar::EntityUid* only(const ScopeConstraint& constraint, const cedar::EntityPtr& slot) {
  if (constraint.kind != ScopeKind::kEqual) return nullptr;
  return constraint.is_slot ? slot.get() : constraint.entities[0].get();
}

// The type that alone passes, or "".
std::string_view type_of(const ScopeConstraint& constraint, const cedar::EntityPtr& slot) {
  if (constraint.kind == ScopeKind::kIs || constraint.kind == ScopeKind::kIsIn) return constraint.type;
  const cedar::EntityUid* uid = only(constraint, slot);
  return uid != nullptr ? std::string_view(uid->type) : std::string_view();
}

bool differ(const ScopeConstraint& a, const cedar::EntityPtr& a_slot, const ScopeConstraint& b,
            const cedar::EntityPtr& b_slot) {
  const cedar::EntityUid* x = only(a, a_slot);
  const cedar::EntityUid* y = only(b, b_slot);
  if (x != nullptr && y != nullptr) return *x != *y;
  const std::string_view s = type_of(a, a_slot);
  const std::string_view t = type_of(b, b_slot);
  return !s.empty() && !t.empty() && s != t;
}

}  // namespace

EnvironmentSet reach_of(const schema::Schema& schema, const cedar::Policy& policy) {
  EnvironmentSet out;
  for (const schema::Environment& one : schema::environments_of(schema, *policy.body)) out.insert(one);
  return out;
}

std::string meaning_of(const cedar::Policy& policy) {
  cedar::PolicyBody body = *policy.body;
  std::erase_if(body.annotations, [](const cedar::Annotation& one) { return !one.name.starts_with("obligation"); });
  std::string out = cedar::print(body);
  for (const cedar::EntityPtr& slot : {policy.slots.principal, policy.slots.resource}) {
    out += slot != nullptr ? " " + slot->to_string() : "";
  }
  return out;
}

bool is_plainly_same(const cedar::Policy& a, const cedar::Policy& b) {
  if (!is_same_slot(a.slots.principal, b.slots.principal) || !is_same_slot(a.slots.resource, b.slots.resource)) {
    return false;
  }
  return a.body == b.body || (!text_of(*a.body).empty() && text_of(*a.body) == text_of(*b.body));
}

bool are_disjoint(const cedar::Policy& a, const cedar::Policy& b) {
  return differ(a.body->principal, a.slots.principal, b.body->principal, b.slots.principal) ||
         differ(a.body->action, nullptr, b.body->action, nullptr) ||
         differ(a.body->resource, a.slots.resource, b.body->resource, b.slots.resource);
}

}  // namespace wary::analysis
