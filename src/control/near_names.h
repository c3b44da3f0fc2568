// "Did you mean" for what a person names: kinds and objects. Empty where nothing is near (codec/nearest.h).
//
//   return fail(...).next(did_you_mean(nearest_object(objects, key)) + "wary get app lists them");
//
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "control/derive.h"
#include "control/kinds.h"

namespace wary::control {

// "App".
std::string nearest_kind(const Kinds& kinds, std::string_view written);
// As the command line takes it: "alice", "demo/shop"; the same name in another namespace, too.
std::string nearest_object(const Objects& objects, const store::Key& key);
// "did you mean NAME? ", to stand before another next step; "" for "".
std::string did_you_mean(std::string_view near);

}  // namespace wary::control
