// From what other programs call things to Cedar: AuthZEN's subject, action, resource and context become a request.
//
//   Result<contract::Request> request = to_request({subject, action, resource, context}, free, *snapshot, now);
//
// Types: "user", "workload", "group", "namespace", "app", "route", "platform" are wary's own (Wary::User, ...); any
// other is the Cedar type of that name. An action NAME is Wary::Action::"NAME", unless it is a Cedar entity as text
// (Shop::Action::"buy"). What the enforcement point asserts never becomes an attribute of an entity: `properties` are
// in context.subject, context.resource and context.action, always there, if only empty. A stored fact of the same name
// takes the asserted one's place: stored facts win. JSON that Cedar has no value for: null is left out, a number with a
// fraction is a decimal when four digits hold it exactly, otherwise text. Pure; any thread.
#pragma once

#include <optional>
#include <string>

#include "cedar/ast.h"
#include "contract/decision.h"
#include "policy/snapshot.h"

namespace wary::pdp {

struct Parts {
  codec::Json* subject = nullptr;
  codec::Json* action = nullptr;
  codec::Json* resource = nullptr;
  codec::Json* context = nullptr;
  bool may_take = false;  // nobody reads them afterwards: values are moved out of them instead of copied
};
Parts parts_of(codec::Json& body);

// `searched`: that one needs a type only (an action nothing at all); its id and properties are ignored.
// Error: pdp_request, with the member in `where`.
Result<contract::Request> to_request(const Parts& parts, std::optional<cedar::Variable> searched,
                                     const policy::SnapshotPtr& snapshot, UnixTime now);

std::string cedar_type_of(std::string_view type);
contract::EntityId action_of(std::string_view name);

// A value of any JSON as Cedar JSON; nothing for null.
std::optional<codec::Json> to_cedar_json(codec::Json value);

}  // namespace wary::pdp
