// wary policy eval, explain and search: one request, or who and what may, by files. Private to cli/.
#pragma once

#include "cli/command.h"

namespace wary::cli {

// --policies, --principal, --action, --resource, --context?, --entities?, --schema?: by Cedar's own rules.
Status policy_evaluate(Context& context, const Arguments& arguments);
// The same, by the decision point's rules, with the reasons.
Status policy_explain(Context& context, const Arguments& arguments);
// WHAT TYPE, and the options of what is not searched.
Status policy_search(Context& context, const Arguments& arguments);

}  // namespace wary::cli
