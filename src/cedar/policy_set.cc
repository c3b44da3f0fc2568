#include "cedar/policy_set.h"

namespace wary::cedar {

PolicySet PolicySet::from(const std::vector<std::shared_ptr<const PolicyBody>>& bodies) {
  PolicySet set;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    // Numbered ids differ, so adding cannot fail.
    WARY_CHECK(set.add("policy" + std::to_string(i), bodies[i]).ok());
  }
  return set;
}

Status PolicySet::add(std::string_view id, std::shared_ptr<const PolicyBody> body) {
  if (is_taken(id)) return fail(ErrorKind::kConflict, "cedar_policy_id", "a policy has this id already").found(id);
  Policy policy{std::string(id), std::move(body), {}, {}};
  if (policy.body->is_template()) {
    templates_by_id_.emplace(policy.id, templates_.size());
    templates_.push_back(std::move(policy));
  } else {
    by_id_.emplace(policy.id, policies_.size());
    policies_.push_back(std::move(policy));
  }
  return {};
}

Status PolicySet::link(std::string_view template_id, std::string_view new_id, const SlotValues& values) {
  const Policy* const at = find_template(template_id);
  if (at == nullptr) {
    return fail(ErrorKind::kNotFound, "cedar_no_template", "no template has this id").found(template_id);
  }
  if (is_taken(new_id))
    return fail(ErrorKind::kConflict, "cedar_policy_id", "a policy has this id already").found(new_id);
  const bool principal_fits = at->body->principal.is_slot == (values.principal != nullptr);
  const bool resource_fits = at->body->resource.is_slot == (values.resource != nullptr);
  if (!principal_fits || !resource_fits) {
    return fail(ErrorKind::kInvalid, "cedar_slots", "the values are not those of the template's slots")
        .at(std::string(template_id))
        .next("give exactly one entity for each of ?principal and ?resource that the template has");
  }
  by_id_.emplace(std::string(new_id), policies_.size());
  policies_.push_back({std::string(new_id), at->body, values, std::string(template_id)});
  return {};
}

const Policy* PolicySet::find(std::string_view id) const {
  const auto at = by_id_.find(id);
  return at != by_id_.end() ? &policies_[at->second] : nullptr;
}

const Policy* PolicySet::find_template(std::string_view id) const {
  const auto at = templates_by_id_.find(id);
  return at != templates_by_id_.end() ? &templates_[at->second] : nullptr;
}

}  // namespace wary::cedar
