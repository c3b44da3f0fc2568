#include "node/statement.h"

namespace wary::node {

namespace {

void add_part(Bytes& out, ByteView part) {
  append_big_endian(out, static_cast<std::uint32_t>(part.size()));
  append(out, part);
}

std::string_view name_of(Method method) {
  switch (method) {
    case Method::kX509Pop: return "x509pop";
    case Method::kTpm: return "tpm";
    case Method::kKey: return "key";
  }
  return "";
}

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

Bytes link_statement_of(std::string_view spiffe_id, std::string_view websocket_key) {
  Bytes out;
  add_part(out, as_bytes("wary node link 1"));
  add_part(out, as_bytes(spiffe_id));
  add_part(out, as_bytes(websocket_key));
  return out;
}

}  // namespace wary::node
