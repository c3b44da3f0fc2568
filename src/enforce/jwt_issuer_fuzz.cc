// read_token, check_token and issuer_from on what the input says: none is accepted that nobody signed, and rules that
// are read are whole. Input: a token; or rules, a zero byte, and claims.
#include <algorithm>
#include <cstdlib>

#include "codec/text.h"
#include "enforce/jwt_issuer.h"

namespace {

constexpr std::string_view kJwks =
    R"({"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

void check(std::string_view token, const wary::enforce::JwtIssuer& issuer) {
  using namespace wary;
  const auto read = enforce::read_token(token);
  if (!read.ok()) return;
  if (read->issuer.empty()) std::abort();
  // Nobody here has the key.
  if (enforce::check_token(*read, issuer, {std::int64_t{1'800'000'000} * kNanosPerSecond}).ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text = as_text({data, size});
  const std::size_t zero = std::min(text.find('\0'), text.size());
  const auto json = codec::parse_json(text.substr(0, zero));
  auto issuer = json ? enforce::issuer_from("a", *json, kJwks) : Result<enforce::JwtIssuer>(Error{});
  if (issuer && (issuer->url.empty() || issuer->audiences.empty() || issuer->algorithms.empty() ||
                 issuer->skew_s > enforce::kSkewMax || issuer->skew_s < 0)) {
    std::abort();
  }
  enforce::JwtIssuer usual;
  usual.url = "https://idp.test/";
  usual.audiences = {"api"};
  usual.algorithms = {crypto::SignatureAlgorithm::kEs256};
  usual.keys = crypto::parse_jwk_set(kJwks)->keys;
  const enforce::JwtIssuer& used = issuer ? *issuer : usual;
  check(text, used);
  if (zero == text.size()) return 0;
  check(codec::encode_base64url(as_bytes(R"({"alg":"ES256","kid":"a","typ":"at+jwt"})")) + "." +
            codec::encode_base64url(as_bytes(text.substr(zero + 1))) + "." + codec::encode_base64url(Bytes(64, 1)),
        used);
  return 0;
}
