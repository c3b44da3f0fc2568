// Private to crypto/: the library context that TLS and certificates work in.
//
// OpenSSL 3.0 finds out anew for each public key that it reads which of its some hundred decoders and key types could
// take it: most of what a client's certificate costs. This context offers the library's own default provider with what
// TLS and X.509 of ours speak, and nothing else, so that there is little to look through. The key schedule of TLS 1.3
// (RFC 8446 section 7.1) is ours there: the library sets a whole key derivation up for each of the score of secrets
// that a handshake has. Made on first use, never freed, any thread.
#pragma once

#include <openssl/core_dispatch.h>
#include <openssl/types.h>

namespace wary::crypto {

OSSL_LIB_CTX* lean_library();

// TLS13-KDF as a provider's dispatch table: HKDF-Extract and HKDF-Expand-Label with SHA-256 and SHA-384. It takes all
// of its parameters with the derivation itself, as libssl gives them.
const OSSL_DISPATCH* tls13_kdf();

}  // namespace wary::crypto
