// random_id: 128 bits that nobody can guess, as 26 characters a-z2-7 (RFC 4648 base32, lower case, no padding): fits a
// URL, a file name, a DNS label and a shell word.
#pragma once

#include <string>

#include "base/random.h"

namespace wary::crypto {

std::string random_id(Random& random);

}  // namespace wary::crypto
