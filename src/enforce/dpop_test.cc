#include "enforce/dpop.h"

#include <doctest/doctest.h>

#include "codec/text.h"
#include "crypto/jose_key.h"
#include "crypto/jwk.h"

using namespace wary;
using namespace wary::enforce;

namespace {

constexpr std::int64_t kNow = 1'562'262'618;

// The resource request of RFC 9449 section 7.1.
constexpr std::string_view kPublishedToken = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
constexpr std::string_view kPublishedThumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
constexpr std::string_view kPublishedProof =
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRj"
    "Qy"
    "VVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19."
    "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZX"
    "Nv"
    "dXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9."
    "2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

DpopRules published_rules() {
  return {.method = "GET",
          .authority = "resource.example.org",
          .path = "/protectedresource",
          .token = kPublishedToken,
          .thumbprint = kPublishedThumbprint,
          .now = {kNow * kNanosPerSecond}};
}

std::string dpop_code(const Result<DpopProof>& result) { return result.ok() ? "accepted" : result.error().code; }

std::string encode(std::string_view text) { return codec::encode_base64url(as_bytes(text)); }

struct ProofMaker {
  crypto::SigningKey key = *crypto::SigningKey::generate(crypto::JoseKeyType::kP256);
  std::string jwk = crypto::to_json(crypto::Jwk{key.public_key(), {}, {}, {}, {}}).to_string();
  std::string thumbprint = crypto::thumbprint(key.public_key());
  std::string header = R"({"typ":"dpop+jwt","alg":"ES256","jwk":)" + jwk + "}";

  std::string claims(std::string_view name = "", std::string_view json = "") const {
    std::string out;
    const std::vector<std::pair<std::string, std::string>> usual = {
        {"jti", "\"one\""},
        {"htm", "\"GET\""},
        {"htu", "\"https://api.test/a\""},
        {"iat", std::to_string(kNow)},
        {"ath", "\"" + codec::encode_base64url(crypto::sha256(as_bytes("token"))) + "\""}};
    for (const auto& [member, value] : usual) {
      const std::string text = member == name ? std::string(json) : value;
      if (!text.empty()) out += (out.empty() ? "{\"" : ",\"") + member + "\":" + text;
    }
    return out + "}";
  }
  std::string sign(std::string_view head, std::string_view payload) const {
    const std::string input = encode(head) + "." + encode(payload);
    return input + "." + codec::encode_base64url(*key.sign(crypto::SignatureAlgorithm::kEs256, as_bytes(input)));
  }
  DpopRules rules() const {
    return {.method = "GET",
            .authority = "api.test",
            .path = "/a",
            .token = "token",
            .thumbprint = thumbprint,
            .now = {kNow * kNanosPerSecond}};
  }
  std::string with(std::string_view name, std::string_view json) const {
    return dpop_code(check_dpop(sign(header, claims(name, json)), rules()));
  }
};

}  // namespace

TEST_CASE("the published proof is good for its request, and for no other") {
  const auto good = check_dpop(kPublishedProof, published_rules());
  REQUIRE_MESSAGE(good.ok(), (good.ok() ? "" : good.error().to_string()));
  CHECK(good->issued.nanos == kNow * kNanosPerSecond);
  const auto with = [](auto change) {
    DpopRules rules = published_rules();
    change(rules);
    return dpop_code(check_dpop(kPublishedProof, rules));
  };
  CHECK(with([](DpopRules& rules) { rules.method = "POST"; }) == "dpop_htm");
  CHECK(with([](DpopRules& rules) { rules.method = "get"; }) == "dpop_htm");
  CHECK(with([](DpopRules& rules) { rules.authority = "resource.example.com"; }) == "dpop_htu");
  CHECK(with([](DpopRules& rules) { rules.authority = "resource.example.org:8443"; }) == "dpop_htu");
  CHECK(with([](DpopRules& rules) { rules.authority = "RESOURCE.example.org:443"; }) == "accepted");
  CHECK(with([](DpopRules& rules) { rules.path = "/protectedresource/"; }) == "dpop_htu");
  CHECK(with([](DpopRules& rules) { rules.token = "another"; }) == "dpop_ath");
  CHECK(with([](DpopRules& rules) { rules.thumbprint = "another"; }) == "dpop_key");
  CHECK(with([](DpopRules& rules) { rules.thumbprint = ""; }) == "dpop_key");
  CHECK(with([](DpopRules& rules) { rules.now.nanos += kDpopAgeMax; }) == "accepted");
  CHECK(with([](DpopRules& rules) { rules.now.nanos += kDpopAgeMax + 1; }) == "dpop_iat");
  CHECK(with([](DpopRules& rules) { rules.now.nanos -= kDpopAheadMax; }) == "accepted");
  CHECK(with([](DpopRules& rules) { rules.now.nanos -= kDpopAheadMax + 1; }) == "dpop_iat");
  CHECK(with([](DpopRules& rules) { rules.not_before.nanos = rules.now.nanos + 1; }) == "dpop_iat");
}

TEST_CASE("a proof says what it is for, once and in full") {
  const ProofMaker maker;
  CHECK(maker.with("", "") == "accepted");
  CHECK(maker.with("jti", "") == "dpop_jti");
  CHECK(maker.with("jti", "\"\"") == "dpop_jti");
  CHECK(maker.with("jti", "7") == "dpop_jti");
  CHECK(maker.with("jti", "\"" + std::string(257, 'x') + "\"") == "dpop_jti");
  CHECK(maker.with("htm", "") == "dpop_htm");
  CHECK(maker.with("htu", "") == "dpop_htu");
  CHECK(maker.with("iat", "") == "dpop_iat");
  CHECK(maker.with("iat", "\"now\"") == "dpop_iat");
  CHECK(maker.with("iat", "-1") == "dpop_iat");
  CHECK(maker.with("iat", "9223372036854775807") == "dpop_iat");
  CHECK(maker.with("ath", "") == "dpop_ath");
  // Of two members of one name, programs mean different ones.
  const std::string twice = maker.claims().substr(0, maker.claims().size() - 1) + ",\"htm\":\"POST\"}";
  CHECK(dpop_code(check_dpop(maker.sign(maker.header, twice), maker.rules())) == "dpop_claims");
  CHECK(dpop_code(check_dpop(maker.sign(maker.header, "[]"), maker.rules())) == "dpop_claims");
}

TEST_CASE("an address is compared by what it means") {
  const ProofMaker maker;
  CHECK(maker.with("htu", "\"https://api.test/a?x=1#y\"") == "accepted");
  CHECK(maker.with("htu", "\"HTTPS://API.test:443/./b/../%61\"") == "accepted");
  CHECK(maker.with("htu", "\"http://api.test/a\"") == "dpop_htu");
  CHECK(maker.with("htu", "\"https://user@api.test/a\"") == "dpop_htu");
  CHECK(maker.with("htu", "\"https://api.test/A\"") == "dpop_htu");
  CHECK(maker.with("htu", "\"https://api.test/a%2Fb\"") == "dpop_htu");
  CHECK(maker.with("htu", "\"/a\"") == "dpop_htu");
  CHECK(maker.with("htu", "\"https://api.test.evil.test/a\"") == "dpop_htu");
}

TEST_CASE("a proof brings its public key, and nothing but that key made it") {
  const ProofMaker maker, other;
  const auto of = [&](const std::string& header, const ProofMaker& by) {
    return dpop_code(check_dpop(by.sign(header, maker.claims()), maker.rules()));
  };
  CHECK(of(maker.header, other) == "jws_signature");
  CHECK(of(other.header, other) == "dpop_key");
  CHECK(of(R"({"typ":"dpop+jwt","alg":"ES256"})", maker) == "jws_header");
  CHECK(of(R"({"typ":"JWT","alg":"ES256","jwk":)" + maker.jwk + "}", maker) == "dpop_typ");
  CHECK(of(R"({"alg":"ES256","jwk":)" + maker.jwk + "}", maker) == "dpop_typ");
  CHECK(of(R"({"typ":"dpop+jwt","alg":"none","jwk":)" + maker.jwk + "}", maker) == "jws_algorithm_unknown");
  CHECK(of(R"({"typ":"dpop+jwt","alg":"HS256","jwk":)" + maker.jwk + "}", maker) == "jws_algorithm_unknown");
  CHECK(of(R"({"typ":"dpop+jwt","alg":"ES512","jwk":)" + maker.jwk + "}", maker) == "jws_algorithm_refused");
  CHECK(of(R"({"typ":"dpop+jwt","alg":"RS256","jwk":)" + maker.jwk + "}", maker) == "jws_key_mismatch");
  CHECK(of(R"({"typ":"dpop+jwt","alg":"ES256","crit":["b64"],"jwk":)" + maker.jwk + "}", maker) ==
        "jws_header_refused");
  CHECK(of(R"({"typ":"dpop+jwt","alg":"ES256","jku":"https://a.test/","jwk":)" + maker.jwk + "}", maker) ==
        "jws_header_refused");
  CHECK(of(R"({"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"oct","k":"AAAA"}})", maker) == "jwk_private");
  const std::string secret = maker.jwk.substr(0, maker.jwk.size() - 1) + R"(,"d":"AAAA"})";
  CHECK(of(R"({"typ":"dpop+jwt","alg":"ES256","jwk":)" + secret + "}", maker) == "jwk_private");
  CHECK(dpop_code(check_dpop(std::string(kDpopBytesMax + 1, 'a'), maker.rules())) == "jws_size");
  CHECK(dpop_code(check_dpop("", maker.rules())) == "jws_syntax");
}

TEST_CASE("the same jti of the same key is one proof, of another key another") {
  const ProofMaker maker, other;
  DpopRules others = other.rules();
  const auto first = check_dpop(maker.sign(maker.header, maker.claims()), maker.rules());
  const auto again = check_dpop(maker.sign(maker.header, maker.claims("iat", std::to_string(kNow - 1))), maker.rules());
  const auto else_ = check_dpop(other.sign(other.header, other.claims()), others);
  REQUIRE((first.ok() && again.ok() && else_.ok()));
  CHECK(first->id == again->id);
  CHECK(first->id != else_->id);
}
