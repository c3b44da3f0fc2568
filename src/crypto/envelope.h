// What is sent to the holder of a key and read by nobody else: RSA-OAEP (RFC 8017 section 7.1) and one-sided ECDH on
// P-256 (NIST SP 800-56A, C(1e, 1s)), with the cipher that goes with them in a TPM.
//
//   WARY_ASSIGN_OR_RETURN(Bytes sealed, crypto::oaep_encrypt(rsa_key, seed.reveal(), as_bytes("IDENTITY")));
//   WARY_ASSIGN_OR_RETURN(crypto::EphemeralShare share, crypto::share_with(ec_key));
//
// These encrypt and never decrypt: the other half is in somebody else's hardware. Functions; any thread. Limits: what
// the key's size leaves for OAEP; 64 KiB for the cipher. Errors: jose_key_type (no such key), envelope_failed.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"
#include "crypto/jose_key.h"

namespace wary::crypto {

// SHA-256 for the label and for the mask.
Result<Bytes> oaep_encrypt(const VerifyKey& to, ByteView message, ByteView label);

struct EphemeralShare {
  Bytes x, y;     // of the ephemeral key, 32 bytes each: what the other side needs
  Secret shared;  // the shared point's x, 32 bytes
};
// With a key of P-256; the ephemeral key lives for this call.
Result<EphemeralShare> share_with(const VerifyKey& to);

// AES-128 in CFB mode with a zero vector: `key` encrypts one message in its life.
Result<Bytes> aes128_cfb_encrypt(ByteView key, ByteView message);

}  // namespace wary::crypto
