#include <cstdlib>

#include "crypto/seal.h"
#include "crypto/sign.h"

// decode_spki, from_pkcs8, decode_key_file, unseal, and the two forms of an ECDSA signature.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const ByteView bytes(data, size);
  if (const auto key = crypto::PublicKey::decode_spki(bytes); key.ok()) {
    if (key->to_spki() != Bytes(bytes.begin(), bytes.end())) std::abort();
    (void)key->verify({}, bytes);
  }
  if (const auto key = crypto::PrivateKey::from_pkcs8(bytes); key.ok()) (void)key->public_key();
  if (const auto key = crypto::SealKey::decode_key_file(bytes); key.ok()) (void)crypto::unseal(*key, "n", bytes);
  if (const auto raw = crypto::ecdsa_to_raw(bytes); raw.ok() && !crypto::ecdsa_to_der(*raw).ok()) std::abort();
  return 0;
}
