// wary policy diff and unused: what a change of policies does, and which permits nobody used. Private to cli/.
#pragma once

#include "cli/command.h"

namespace wary::cli {

// OLD NEW, --schema, --schema-before?, --entities?: the scope and solver tiers; with entities the named list as well,
// of those that fit the schema before. --ledger: entities and recorded decisions of a running wary. --platform FILE...:
// what applying the files would change there.
Status policy_diff(Context& context, const Arguments& arguments);
// --policies, --schema, FILE...: recorded requests, one JSON object a line. Without FILE: what is in force, by the
// ledger.
Status policy_unused(Context& context, const Arguments& arguments);

}  // namespace wary::cli
