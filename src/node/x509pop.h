// A machine proves that it holds the key of a device certificate, and that certificate comes from an authority the
// operator names (possession of an X.509 key: "x509pop").
//
//   // on the node
//   WARY_ASSIGN_OR_RETURN(const crypto::SigningKey key, node::decode_device_key(pem));
//   WARY_ASSIGN_OR_RETURN(Bytes signature, node::prove(key, node::statement_of(node::Method::kX509Pop, parts)));
//   // above
//   WARY_ASSIGN_OR_RETURN(const node::X509PopIdentity machine,
//                         node::check_x509pop(chain, roots, statement, signature, clock.unix_time()));
//
// The leaf: basicConstraints CA false; keyUsage has digitalSignature, where there is one; extended key usage does not
// matter. Keys: ECDSA P-256 with SHA-256, P-384 with SHA-384 (signatures r || s of the curve's width), Ed25519, RSA of
// 2048 to 8192 bits (PSS with SHA-256 and a salt of 32 bytes). A root is self-signed; whoever expired vouches for
// nothing; revocation lists are not read: the operator takes a machine away by its fingerprint.
//
// Pure functions; any thread. Limits: 4 intermediates, 64 KiB a certificate, 4 KiB a statement, 1 KiB a signature,
// 1 MiB of PEM. Errors: x509pop_chain (its length), x509pop_leaf_ca, x509pop_key_usage, x509pop_key (another kind or
// size), x509pop_statement (its length), x509pop_signature; of reading PEM: x509pop_pem, and those of pem.h and
// jose_key.h; of the chain: those of x509.h, as x509_untrusted, x509_expired, x509_not_yet_valid, x509_not_ca,
// x509_syntax.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/jose_key.h"
#include "crypto/x509.h"

namespace wary::node {

// One block PRIVATE KEY (unencrypted PKCS#8) and nothing else. The caller wipes the text.
Result<crypto::SigningKey> decode_device_key(std::string_view pem);
// Blocks CERTIFICATE, leaf first, as DER; at most a leaf and 4 others.
Result<std::vector<Bytes>> decode_device_chain(std::string_view pem);

Result<Bytes> prove(const crypto::SigningKey& key, ByteView statement);

struct X509PopIdentity {
  std::string fingerprint;  // SHA-256 of the leaf's DER, 64 hexadecimal digits
  std::string subject;      // RFC 2253 text of the leaf's; may be empty
  std::string common_name;  // of the leaf's subject; empty where there is none, or more than one
};
// `chain_der`: leaf first, then what leads to a root, in any order.
Result<X509PopIdentity> check_x509pop(const std::vector<Bytes>& chain_der, const crypto::TrustRoots& roots,
                                      ByteView statement, ByteView signature, UnixTime now);

}  // namespace wary::node
