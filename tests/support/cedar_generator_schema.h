// Random schemas over the vocabulary of the generated worlds, so that random policies are sometimes right by them.
#pragma once

#include <string>

#include "tests/support/cedar_generator.h"

namespace wary::test {

// In the text form.
std::string random_schema(Dice& dice);
// A policy that means to be right by most schemas: small, and of attributes it has asked for.
std::string random_tame_policy(Dice& dice);

}  // namespace wary::test
