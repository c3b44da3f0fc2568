#include "node/statement.h"

namespace wary::node {

namespace {

void add_part(Bytes& out, ByteView part) {
  append_big_endian(out, static_cast<std::uint32_t>(part.size()));
  append(out, part);
}

std::string_view name_of(Method method) { return method == Method::kX509Pop ? "x509pop" : "tpm"; }

}  // namespace

Bytes statement_of(Method method, const StatementParts& parts) {
  Bytes out;
  add_part(out, as_bytes("wary node attestation 1"));
  add_part(out, as_bytes(name_of(method)));
  add_part(out, parts.server_nonce);
  add_part(out, parts.node_nonce);
  add_part(out, parts.csr_sha256);
  add_part(out, as_bytes(parts.trust_domain));
  return out;
}

}  // namespace wary::node
