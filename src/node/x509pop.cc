#include "node/x509pop.h"

#include <optional>

#include "codec/text.h"
#include "crypto/hash.h"
#include "crypto/pem.h"

namespace wary::node {

namespace {

constexpr std::size_t kPopChainMax = 5;  // a leaf and 4 intermediates
constexpr std::size_t kStatementMax = 4096;
constexpr std::size_t kSignatureMax = 1024;
constexpr std::uint32_t kDigitalSignature = 1;

Error pop_refusal(std::string_view code, std::string_view what) {
  return fail(ErrorKind::kUnauthenticated, code, what);
}

// The one algorithm of each kind of key, so that nobody chooses.
std::optional<crypto::SignatureAlgorithm> algorithm_of(crypto::JoseKeyType type) {
  switch (type) {
    case crypto::JoseKeyType::kP256: return crypto::SignatureAlgorithm::kEs256;
    case crypto::JoseKeyType::kP384: return crypto::SignatureAlgorithm::kEs384;
    case crypto::JoseKeyType::kEd25519: return crypto::SignatureAlgorithm::kEdDsa;
    case crypto::JoseKeyType::kRsa: return crypto::SignatureAlgorithm::kPs256;
    case crypto::JoseKeyType::kP521: break;
  }
  return std::nullopt;
}

Error bad_pop_key() {
  return pop_refusal("x509pop_key", "the device's key is none that is taken")
      .expected("ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits");
}

Status check_statement(ByteView statement) {
  if (!statement.empty() && statement.size() <= kStatementMax) return {};
  return fail(ErrorKind::kInvalid, "x509pop_statement", "a statement has 1 to 4096 bytes")
      .found(std::to_string(statement.size()));
}

// What the leaf says by itself, before anything is verified.
Status check_pop_leaf(const crypto::Certificate& leaf) {
  if (leaf.is_ca) return pop_refusal("x509pop_leaf_ca", "an authority's certificate is no device's").at(leaf.subject);
  if (leaf.has_key_usage && (leaf.key_usage & kDigitalSignature) == 0) {
    return pop_refusal("x509pop_key_usage", "the device's certificate is not for signatures")
        .at(leaf.subject)
        .expected("digitalSignature in keyUsage, or no keyUsage");
  }
  return {};
}

}  // namespace

Result<crypto::SigningKey> decode_device_key(std::string_view pem) {
  WARY_ASSIGN_OR_RETURN(auto blocks, crypto::decode_pem(pem));
  std::vector<Secret> keys;
  bool good = blocks.size() == 1;
  for (crypto::PemBlock& block : blocks) {
    good = good && block.label == "PRIVATE KEY";
    keys.push_back(Secret::take(block.bytes));
  }
  if (!good) {
    return fail(ErrorKind::kInvalid, "x509pop_pem", "a device's key is one block of unencrypted PKCS#8")
        .expected("-----BEGIN PRIVATE KEY-----")
        .next("openssl pkcs8 -topk8 -nodes -in KEY -out NEW writes any other form so");
  }
  WARY_ASSIGN_OR_RETURN(crypto::SigningKey key, crypto::SigningKey::from_pkcs8(keys.front().reveal()));
  if (!algorithm_of(key.public_key().type())) return bad_pop_key();
  return key;
}

Result<std::vector<Bytes>> decode_device_chain(std::string_view pem) {
  WARY_ASSIGN_OR_RETURN(auto blocks, crypto::decode_pem(pem));
  std::vector<Bytes> chain;
  for (crypto::PemBlock& block : blocks) {
    if (block.label != "CERTIFICATE") {
      // It may be the key: in the wrong file, but a key.
      wipe(block.bytes.data(), block.bytes.size());
      return fail(ErrorKind::kInvalid, "x509pop_pem", "only certificates stand in a device's chain").found(block.label);
    }
    chain.push_back(std::move(block.bytes));
  }
  if (chain.empty() || chain.size() > kPopChainMax) {
    return fail(ErrorKind::kInvalid, "x509pop_chain", "a device's chain has 1 to 5 certificates")
        .found(std::to_string(chain.size()));
  }
  return chain;
}

Result<Bytes> prove(const crypto::SigningKey& key, ByteView statement) {
  WARY_RETURN_IF_ERROR(check_statement(statement));
  const auto algorithm = algorithm_of(key.public_key().type());
  if (!algorithm) return bad_pop_key();
  return key.sign(*algorithm, statement);
}

Result<X509PopIdentity> check_x509pop(const std::vector<Bytes>& chain_der, const crypto::TrustRoots& roots,
                                      ByteView statement, ByteView signature, UnixTime now) {
  WARY_RETURN_IF_ERROR(check_statement(statement));
  if (chain_der.empty() || chain_der.size() > kPopChainMax) {
    return pop_refusal("x509pop_chain", "a device's chain has 1 to 5 certificates")
        .found(std::to_string(chain_der.size()));
  }
  WARY_ASSIGN_OR_RETURN(const crypto::Certificate leaf, crypto::parse_certificate(chain_der.front()));
  WARY_RETURN_IF_ERROR(check_pop_leaf(leaf));
  const auto key = crypto::VerifyKey::decode_spki(leaf.public_key);
  const auto algorithm = key ? algorithm_of(key->type()) : std::nullopt;
  if (!algorithm) return bad_pop_key().at(leaf.subject);
  crypto::VerifyOptions any;
  any.use = crypto::VerifyOptions::Use::kAny;
  const auto verified = roots.verify(chain_der, now, any);
  if (!verified) return verified.error();
  if (signature.size() > kSignatureMax || !key->verify(*algorithm, statement, signature)) {
    return pop_refusal("x509pop_signature", "the device's key did not sign this exchange").at(leaf.subject);
  }
  return X509PopIdentity{codec::encode_hex(crypto::sha256(leaf.der)), leaf.subject, leaf.common_name};
}

}  // namespace wary::node
