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

// What is signed with a key of this type is hashed by; nullptr for Ed25519, which hashes by itself.
const EVP_MD* digest_for(KeyType type);

}  // namespace wary::crypto
