// What a machine's evidence is bound to: one exchange, one certificate request, one trust domain, one method.
//
//   const Bytes statement = node::statement_of(node::Method::kX509Pop, {.server_nonce = theirs, .node_nonce = ours,
//                                              .csr_sha256 = crypto::sha256(csr), .trust_domain = "example.org"});
//
// Both sides make it from what they know themselves and compare nothing they were sent. Each part stands with its
// length (4 bytes, big-endian) before it: "wary node attestation 1", the method's name, then the parts in the order
// below. So evidence of one method, request or server is none for another. Function of its arguments; any thread.
// Limit: the caller bounds the trust domain (255 bytes in SPIFFE).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "crypto/hash.h"

namespace wary::node {

using Nonce = std::array<std::uint8_t, 32>;

enum class Method { kX509Pop, kTpm, kKey };

struct StatementParts {
  Nonce server_nonce{};
  Nonce node_nonce{};
  crypto::Digest csr_sha256{};
  std::string_view trust_domain;  // the server's
};
Bytes statement_of(Method method, const StatementParts& parts);

// What a node signs with its key when it opens its link: this request for a WebSocket, by its own name.
Bytes link_statement_of(std::string_view spiffe_id, std::string_view websocket_key);

}  // namespace wary::node
