// Names as people write them: whom one means, and "did you mean" for kinds and objects that are not there.
//
//   WARY_ASSIGN_OR_RETURN(const contract::EntityId who, principal_named(settings, "workload:demo/reader"));
//   return fail(...).next(did_you_mean(nearest_object(objects, key)) + "wary get app lists them");
//
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "control/derive.h"
#include "control/kinds.h"

namespace wary::control {

// A user's name, also as user:NAME; workload:NAMESPACE/NAME (the namespace may be left out: default), node:NAME or
// anonymous; a SPIFFE ID; or an entity as it is printed, Wary::User::"alice", of wary's own types also without Wary::.
// Error: principal_syntax.
Result<contract::EntityId> principal_named(const Settings& settings, std::string_view text);

// Nearest: empty where nothing is near (codec/nearest.h). "App".
std::string nearest_kind(const Kinds& kinds, std::string_view written);
// As the command line takes it: "alice", "demo/shop"; the same name in another namespace, too.
std::string nearest_object(const Objects& objects, const store::Key& key);
// "did you mean NAME? ", to stand before another next step; "" for "".
std::string did_you_mean(std::string_view near);

}  // namespace wary::control
