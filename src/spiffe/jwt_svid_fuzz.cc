// parse_jwt_svid and check_jwt_svid on the input as a token, and on tokens whose header and claims the input is.
#include <cstdlib>

#include "codec/text.h"
#include "spiffe/jwt_svid.h"

namespace {

const wary::spiffe::BundleSet& held() {
  static const wary::spiffe::BundleSet set = [] {
    wary::spiffe::BundleSet made;
    auto bundle = wary::spiffe::parse_bundle(
        "example.org",
        R"({"keys":[{"kty":"EC","crv":"P-256","use":"jwt-svid","kid":"a",)"
        R"("x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})");
    if (!bundle.ok() || !made.put(std::move(bundle).value()).ok()) std::abort();
    return made;
  }();
  return set;
}

void check(std::string_view token) {
  using namespace wary;
  const spiffe::JwtSvidRules rules{.audience = "reports", .now = {std::int64_t{1'800'000'000} * kNanosPerSecond}};
  const auto parsed = spiffe::parse_jwt_svid(token);
  const auto checked = spiffe::check_jwt_svid(token, held(), rules);
  // Nobody here has the key: that a token is good for this asker would be a forgery.
  if (checked.ok()) std::abort();
  if (parsed.ok() && (parsed->id.path.empty() || parsed->audience.empty())) std::abort();
  if (!parsed.ok() && checked.error().code != parsed.error().code) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary;
  const std::string_view text = as_text({data, size});
  check(text);
  // header, a zero byte, claims
  const std::size_t zero = text.find('\0');
  const std::string_view header = zero == text.npos ? R"({"alg":"ES256","kid":"a"})" : text.substr(0, zero);
  const std::string_view claims = zero == text.npos ? text : text.substr(zero + 1);
  check(codec::encode_base64url(as_bytes(header)) + "." + codec::encode_base64url(as_bytes(claims)) + "." +
        codec::encode_base64url(Bytes(64, 1)));
  return 0;
}
