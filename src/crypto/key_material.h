// Private to crypto/: what a key holds.
#pragma once

#include "crypto/handles.h"
#include "crypto/sign.h"

namespace wary::crypto {

struct KeyMaterial {
  KeyHandle key;
  KeyType type;
};

// Takes ownership. Error: key_type_unsupported.
Result<KeyMaterial> classify(KeyHandle key);

}  // namespace wary::crypto
