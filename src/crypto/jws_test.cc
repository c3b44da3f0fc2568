#include "crypto/jws.h"

#include <doctest/doctest.h>

#include "crypto/jose_test_world.h"

namespace wary::crypto {
namespace {

Jwk named(JoseKeyType type, std::string kid = {}) { return {jose_key(type).public_key(), std::move(kid), {}, {}, {}}; }

std::string verdict(std::string_view token, const std::vector<Jwk>& keys,
                    const std::vector<SignatureAlgorithm>& accepted = {kEveryAlgorithm.begin(),
                                                                       kEveryAlgorithm.end()}) {
  const auto jws = parse_jws(token);
  if (!jws.ok()) return jws.error().code;
  return code_of_result(verify_jws(*jws, keys, accepted));
}

constexpr SignatureAlgorithm kEs = SignatureAlgorithm::kEs256;
const SigningKey& es_key() { return jose_key(JoseKeyType::kP256); }
std::string es_token(std::string_view header, std::string_view payload = "{}") {
  return token_of(header, payload, es_key(), kEs);
}

TEST_CASE("a token of each algorithm is made, and verified with its key alone") {
  for (const SignatureAlgorithm algorithm : kEveryAlgorithm) {
    CAPTURE(to_string(algorithm));
    const SigningKey& key = jose_key(key_type_of(algorithm));
    const auto token = make_jws({algorithm, "one", "JWT"}, as_bytes("payload"), signs_with(key));
    REQUIRE(token.ok());
    const auto jws = parse_jws(*token);
    REQUIRE(jws.ok());
    CHECK(as_text(jws->payload) == "payload");
    CHECK(jws->header.algorithm == algorithm);
    CHECK(jws->header.kid == "one");
    CHECK(jws->header.typ == "JWT");
    CHECK(jws->header.others.empty());
    for (const JoseKeyType type : kEveryKeyType) {
      CHECK(verdict(*token, {named(type, "one")}) ==
            (key.public_key().type() == type ? "accepted" : "jws_key_mismatch"));
    }
    CHECK(verdict(*token, {named(key.public_key().type(), "two")}) == "jws_kid_unknown");
    CHECK(verdict(*token, {}) == "jws_kid_unknown");
    std::vector<SignatureAlgorithm> others(kEveryAlgorithm.begin(), kEveryAlgorithm.end());
    std::erase(others, algorithm);
    CHECK(verdict(*token, {named(key.public_key().type(), "one")}, others) == "jws_algorithm_refused");
  }
}

TEST_CASE("the signature of RFC 7515 appendix A.3 verifies, and not after any byte changed") {
  const auto key = parse_jwk(R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
                             R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})");
  REQUIRE(key.ok());
  const std::string token =
      "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
      "cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  CHECK(verdict(token, {*key}) == "accepted");
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string altered = token;
    altered[i] = altered[i] == 'A' ? 'B' : 'A';
    CAPTURE(i);
    CHECK(verdict(altered, {*key}) != "accepted");
    CHECK(verdict(token.substr(0, i), {*key}) != "accepted");
  }
}

TEST_CASE("what is no compact token in its one spelling is refused with its code") {
  const std::string good = es_token(R"({"alg":"ES256"})");
  const std::vector<Jwk> keys = {named(JoseKeyType::kP256)};
  CHECK(verdict(good, keys) == "accepted");
  CHECK(verdict("", keys) == "jws_syntax");
  CHECK(verdict("..", keys) == "jws_header");
  CHECK(verdict(good + ".", keys) == "jws_syntax");
  CHECK(verdict(good + "=", keys) == "jws_syntax");
  CHECK(verdict(" " + good, keys) == "jws_syntax");
  CHECK(verdict(good + "\n", keys) == "jws_syntax");
  CHECK(verdict(good.substr(0, good.rfind('.') + 1), keys) == "jws_syntax");
  CHECK(verdict(good.substr(0, good.rfind('.')), keys) == "jws_syntax");
  CHECK(verdict(R"({"payload":"","signatures":[]})", keys) == "jws_syntax");
  CHECK(verdict(std::string(17'000, 'a'), keys) == "jws_size");
  CHECK(verdict(std::string(6'000, 'A') + ".AA.AA", keys) == "jws_size");
  CHECK(verdict(es_token(R"({"alg":"ES256","alg":"ES256"})"), keys) == "jws_header");
  CHECK(verdict(es_token(R"({"alg":"ES256"} )"), keys) == "accepted");  // white space is JSON's own
  CHECK(verdict(es_token(R"({"alg":"ES256"}x)"), keys) == "jws_header");
  CHECK(verdict(es_token(R"(["ES256"])"), keys) == "jws_header");
  CHECK(verdict(es_token(R"({"alg":5})"), keys) == "jws_header");
  CHECK(verdict(es_token(R"({})"), keys) == "jws_header");
  CHECK(verdict(es_token(R"({"alg":"ES256","kid":1})"), keys) == "jws_header");
  CHECK(verdict(es_token(R"({"alg":"ES256","kid":""})"), keys) == "jws_header");
  CHECK(verdict(es_token(R"({"alg":"ES256","typ":null})"), keys) == "jws_header");
  CHECK(parse_jws(good, 10).error().code == "jws_size");
}

TEST_CASE("a header chooses neither its algorithm nor its key") {
  const std::vector<Jwk> keys = {named(JoseKeyType::kP256), named(JoseKeyType::kRsa), named(JoseKeyType::kP384)};
  for (const char* name : {"none", "None", "nOnE", "HS256", "HS384", "HS512", "ES256K", "es256", "", "dir"}) {
    CAPTURE(name);
    const std::string header = std::string(R"({"alg":")") + name + "\"}";
    const std::string expected = *name == '\0' ? "jws_header" : "jws_algorithm_unknown";
    CHECK(verdict(b64(header) + "." + b64("{}") + ".", keys) == expected);
    CHECK(verdict(es_token(header), keys) == expected);
  }
  // The algorithm of another key of the set, over a signature by this one.
  CHECK(verdict(es_token(R"({"alg":"ES384"})"), keys) == "jws_signature");
  CHECK(verdict(es_token(R"({"alg":"RS256"})"), keys) == "jws_signature");
  CHECK(verdict(es_token(R"({"alg":"ES384"})"), {named(JoseKeyType::kP256)}) == "jws_key_mismatch");
  const std::string own = to_json(named(JoseKeyType::kP256)).to_string();
  for (const std::string& member :
       {std::string(R"("jwk":)") + own, std::string(R"("jku":"https://a/keys")"), std::string(R"("x5c":["AA"])"),
        std::string(R"("x5u":"https://a/c")"), std::string(R"("crit":["exp"],"exp":1)"), std::string(R"("crit":[])"),
        std::string(R"("b64":false)"), std::string(R"("b64":true)")}) {
    CAPTURE(member);
    CHECK(verdict(es_token(R"({"alg":"ES256",)" + member + "}"), keys) == "jws_header_refused");
  }
  const auto other = parse_jws(es_token(R"({"alg":"ES256","x5t":"AA","cty":"x"})"));
  REQUIRE(other.ok());
  CHECK(other->header.others == std::vector<std::string>{"x5t", "cty"});
}

TEST_CASE("a key is used for what it says it is for, and a token without kid has every fitting key tried") {
  const std::string token = es_token(R"({"alg":"ES256"})");
  Jwk key = named(JoseKeyType::kP256, "a");
  CHECK(verdict(token, {key}) == "accepted");
  key.use = "enc";
  CHECK(verdict(token, {key}) == "jws_key_mismatch");
  key.use = "sig";
  key.algorithm = "ES256";
  key.operations = std::vector<std::string>{"verify"};
  CHECK(verdict(token, {key}) == "accepted");
  key.operations = std::vector<std::string>{"sign"};
  CHECK(verdict(token, {key}) == "jws_key_mismatch");
  key.operations.reset();
  key.algorithm = "ES384";
  CHECK(verdict(token, {key}) == "jws_key_mismatch");

  const Jwk stranger{SigningKey::generate(JoseKeyType::kP256)->public_key(), "s", {}, {}, {}};
  std::vector<Jwk> keys(15, stranger);
  CHECK(verdict(token, keys) == "jws_signature");
  keys.push_back(named(JoseKeyType::kP256));
  CHECK(verdict(token, keys) == "accepted");
  CHECK(*verify_jws(*parse_jws(token), keys, {{kEs}}) == 15);
  keys.insert(keys.begin(), 4, named(JoseKeyType::kRsa));  // these do not fit, and are not tried
  CHECK(verdict(token, keys) == "accepted");
  keys.insert(keys.begin(), stranger);
  CHECK(verdict(token, keys) == "jws_keys_many");
}

TEST_CASE("a token that would be too long is not made, and a signer's refusal is passed on") {
  const SignJws never = [](SignatureAlgorithm, ByteView) -> Result<Bytes> {
    return fail(ErrorKind::kDenied, "signer_says_no", "no");
  };
  CHECK(make_jws({kEs, "a", ""}, as_bytes("x"), never).error().code == "signer_says_no");
  const SignJws sign = signs_with(es_key());
  CHECK(make_jws({kEs, std::string(600, 'a'), ""}, as_bytes("x"), sign).error().code == "jws_size");
  CHECK(make_jws({kEs, "a", ""}, Bytes(20'000), sign).error().code == "jws_size");
  CHECK(make_jws({kEs, "a", ""}, Bytes(13'000), sign).error().code == "jws_size");
  CHECK(make_jws({kEs, "", ""}, Bytes(11'000), sign).ok());
}

}  // namespace
}  // namespace wary::crypto
