// What can be told of policies from their texts and scopes alone. Private to analysis/.
#pragma once

#include <set>
#include <string>
#include <tuple>

#include "cedar/policy_set.h"
#include "schema/schema.h"

namespace wary::analysis {

// Environments that can be asked for one: a schema may have a million.
class EnvironmentSet {
 public:
  void insert(const schema::Environment& one) { keys_.emplace(one.principal, one.action, one.resource); }
  bool contains(const schema::Environment& one) const {
    return keys_.contains({one.principal, one.action, one.resource});
  }

 private:
  std::set<std::tuple<const void*, const void*, const void*>> keys_;
};
EnvironmentSet reach_of(const schema::Schema& schema, const cedar::Policy& policy);

// Effect, obligations, scope with its slots filled, and conditions, as text: equal texts decide equally.
std::string meaning_of(const cedar::Policy& policy);
// Cheaper: the same tree or the same source text, and the same slots. False says nothing.
bool is_plainly_same(const cedar::Policy& a, const cedar::Policy& b);
// No request passes both scopes: their principals or resources differ, or their actions.
bool are_disjoint(const cedar::Policy& a, const cedar::Policy& b);

}  // namespace wary::analysis
