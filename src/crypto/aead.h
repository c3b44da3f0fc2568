// Private to crypto/: AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce and a full tag, as seal.h's format uses it.
#pragma once

#include <initializer_list>
#include <span>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::crypto {

constexpr std::size_t kGcmKeySize = 32;
constexpr std::size_t kGcmNonceSize = 12;
constexpr std::size_t kGcmTagSize = 16;

// What is authenticated beside the plaintext, piece after piece.
using AdditionalData = std::initializer_list<ByteView>;

// `out`: as long as the plaintext and a tag. The caller bounds every length far below 2^31. Error: seal_failed.
Status gcm_seal(ByteView key, ByteView nonce, AdditionalData additional, ByteView plaintext,
                std::span<std::uint8_t> out);
// `sealed`: ciphertext, then the tag; `out`: as long as the ciphertext, to be wiped by the caller after an error.
// Errors: seal_failed, seal_broken.
Status gcm_open(ByteView key, ByteView nonce, AdditionalData additional, ByteView sealed, std::span<std::uint8_t> out);

}  // namespace wary::crypto
