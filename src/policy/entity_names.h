// EntityNames: whether the entities that policies name are there. A slip in `Wary::User::"alcie"` is a policy that does
// nothing, in silence; one that is applied before the user is, is not. So these are warnings.
//
//   EntityNames names(has, ids);
//   for (const PolicyFinding& finding : names.find_unknown(check)) warn(finding);
//
// Only types of wary's own that come from what is applied are asked about: a Session, a Credential, a Token or an
// ApiKeyHash is nobody's to apply, and other programs' entities are not known here. One thread. Limits: 100 findings of
// one text; 20 hints.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "contract/entity.h"
#include "policy/policies.h"
#include "policy/validate.h"

namespace wary::policy {

class EntityNames {
 public:
  using Has = std::function<bool(const contract::EntityId& id)>;
  // All ids of a type, for "did you mean".
  using Ids = std::function<std::vector<std::string>(std::string_view type)>;
  EntityNames(Has has, Ids ids) : has_(std::move(has)), ids_of_(std::move(ids)) {}

  // By policy and place, each entity once a policy. Code: policy_entity_unknown.
  std::vector<PolicyFinding> find_unknown(const PolicyCheck& check);

 private:
  std::string hint(const contract::EntityId& id);

  Has has_;
  Ids ids_of_;
  std::map<std::string, std::vector<std::string>, std::less<>> ids_;  // asked for once
  std::size_t hints_left_ = 20;
};

}  // namespace wary::policy
