// Tests of policies as a file: requests with the decisions they must get. The format is the one that the reference
// implementation's command line reads. Private to cli/.
//
//   Result<std::vector<PolicyTestOutcome>> outcomes = run_policy_tests(json, policies, nullptr);
//
// Pure. Limits: 100,000 tests a file.
#pragma once

#include <string>
#include <vector>

#include "cedar/policy_set.h"
#include "codec/json.h"
#include "schema/schema.h"

namespace wary::cli {

struct PolicyTestOutcome {
  std::string name;     // as the file has it, or "test 3"
  std::string problem;  // empty: passed
};

// Errors: policy_test_file (the file is not of this form), with a JSON pointer.
Result<std::vector<PolicyTestOutcome>> run_policy_tests(const codec::Json& json, const cedar::PolicySet& policies,
                                                        const schema::Schema* schema);

}  // namespace wary::cli
