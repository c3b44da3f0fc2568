// PolicySet: the policies a request is decided by: static policies, and links of templates.
//
//   PolicySet set = PolicySet::from(parse_policies(source).policies);   // ids policy0, policy1, ... in file order
//   set.link("policy3", "alice-reads", {.principal = make_entity("User", "alice")});
//
// A value; reading is for any thread once it is built.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cedar/ast.h"

namespace wary::cedar {

struct SlotValues {
  EntityPtr principal;  // null when the template has no such slot
  EntityPtr resource;
};

struct Policy {
  std::string id;
  std::shared_ptr<const PolicyBody> body;  // shared with the template a link was made of
  SlotValues slots;                        // all null for a static policy
  std::string template_id;                 // of a link; empty for a static policy
};

class PolicySet {
 public:
  // Numbers policies and templates together, from policy0.
  static PolicySet from(const std::vector<std::shared_ptr<const PolicyBody>>& bodies);

  // Errors: cedar_policy_id (taken).
  Status add(std::string_view id, std::shared_ptr<const PolicyBody> body);
  // Errors: cedar_policy_id (taken), cedar_no_template, cedar_slots (a slot without value, or a value without slot).
  Status link(std::string_view template_id, std::string_view new_id, const SlotValues& values);

  const std::vector<Policy>& policies() const { return policies_; }    // static ones and links, in order of arrival
  const std::vector<Policy>& templates() const { return templates_; }  // never evaluated by themselves
  const Policy* find(std::string_view id) const;                       // a policy, not a template
  const Policy* find_template(std::string_view id) const;

 private:
  using Index = std::map<std::string, std::size_t, std::less<>>;

  bool is_taken(std::string_view id) const { return by_id_.contains(id) || templates_by_id_.contains(id); }
  std::vector<Policy> policies_;
  std::vector<Policy> templates_;
  Index by_id_;            // into policies_
  Index templates_by_id_;  // into templates_
};

}  // namespace wary::cedar
