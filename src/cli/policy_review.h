// wary policy diff and unused: what a change of policies does, and which permits nobody used. Private to cli/.
#pragma once

#include "cli/command.h"

namespace wary::cli {

// OLD NEW, --schema, --entities?: the scope and solver tiers; with entities the named list as well.
Status policy_diff(Context& context, const Arguments& arguments);
// --policies, --schema, FILE...: recorded requests, one JSON object a line.
Status policy_unused(Context& context, const Arguments& arguments);

}  // namespace wary::cli
