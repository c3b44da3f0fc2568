// parse_jws and verify_jws: no input is accepted that is not the one spelling of its parts, and none verifies with a
// key that signed nothing.
#include <array>
#include <cstdlib>

#include "codec/text.h"
#include "crypto/jws.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text = as_text({data, size});
  const auto jws = crypto::parse_jws(text);
  // What has to bring its key and what must not are never the same.
  const auto with_key = crypto::parse_jws_with_key(text);
  if (jws.ok() && with_key.ok()) std::abort();
  if (with_key.ok() && with_key->jws.header.kid) std::abort();
  if (!jws.ok()) return 0;
  if (text != jws->signing_input + "." + codec::encode_base64url(jws->signature)) std::abort();
  if (!jws->signing_input.ends_with("." + codec::encode_base64url(jws->payload))) std::abort();
  // The key of RFC 8037 appendix A.2; its one published token is among the seeds.
  static const auto key =
      crypto::parse_jwk(R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})");
  if (!key.ok()) std::abort();
  const std::array<crypto::Jwk, 1> keys = {*key};
  const std::array<crypto::SignatureAlgorithm, 1> accepted = {crypto::SignatureAlgorithm::kEdDsa};
  const auto verified = crypto::verify_jws(*jws, keys, accepted);
  if (verified.ok() && as_text(jws->payload) != "Example of Ed25519 signing") std::abort();
  return 0;
}
