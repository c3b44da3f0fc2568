// parse_jwk, parse_jwk_set and VerifyKey's decode_spki: what is accepted is written and read back as the same key.
#include <cstdlib>

#include "crypto/jwk.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text = as_text({data, size});
  const auto check = [](const crypto::Jwk& key) {
    const auto again = crypto::parse_jwk(crypto::to_json(key).to_string());
    if (!again.ok() || again->key.to_spki() != key.key.to_spki() || again->kid != key.kid) std::abort();
    if (crypto::thumbprint(again->key) != crypto::thumbprint(key.key)) std::abort();
    const auto spki = crypto::VerifyKey::decode_spki(key.key.to_spki());
    if (!spki.ok() || spki->type() != key.key.type()) std::abort();
  };
  if (const auto key = crypto::parse_jwk(text); key.ok()) check(*key);
  if (const auto set = crypto::parse_jwk_set(text); set.ok()) {
    if (set->keys.size() + set->left_out.size() > crypto::kJwkSetMax) std::abort();
    for (const crypto::Jwk& key : set->keys) check(key);
  }
  if (const auto key = crypto::VerifyKey::decode_spki({data, size}); key.ok()) {
    (void)key->verify(crypto::SignatureAlgorithm::kRs256, {}, {data, size});
    (void)key->verify(crypto::SignatureAlgorithm::kEs256, {}, {data, size});
  }
  (void)crypto::SigningKey::from_pkcs8({data, size});
  return 0;
}
