#include "enforce/jwt_issuer.h"

#include "enforce/jwt_test_world.h"

using namespace wary;
using namespace wary::enforce;
using codec::Json;
using crypto::SignatureAlgorithm;
using enforce::test::TestIssuer;

namespace {

Result<VerifiedToken> check_text(const std::string& token, const JwtIssuer& issuer,
                                 std::int64_t now = test::kTokenNow) {
  WARY_ASSIGN_OR_RETURN(const UncheckedToken read, read_token(token));
  return check_token(read, issuer, {now * kNanosPerSecond});
}
std::string token_code(const Result<VerifiedToken>& result) { return result.ok() ? "accepted" : result.error().code; }

// One issuer for all cases: its RSA key takes a while to make.
TestIssuer& corp() {
  static TestIssuer issuer;
  return issuer;
}

std::string with_claim(std::string_view name, std::string_view json) {
  return token_code(check_text(corp().sign(TestIssuer::claims_with(name, json)), corp().read()));
}
std::string with_header(std::string_view header, const std::string& kid, SignatureAlgorithm algorithm) {
  return token_code(check_text(corp().sign(TestIssuer::claims(), header, kid, algorithm), corp().read()));
}
std::string with_rule(std::string_view name, std::string_view json, const Json& claims = TestIssuer::claims(),
                      std::string_view header = R"({"alg":"ES256","kid":"e1","typ":"at+jwt"})") {
  Json rules = corp().rules;
  rules.set(name, codec::parse_json("[" + std::string(json) + "]")->items()[0]);
  const auto issuer = issuer_from("corp", rules, corp().jwks());
  return issuer ? token_code(check_text(corp().sign(claims, header), *issuer)) : issuer.error().code;
}

}  // namespace

TEST_CASE("a good access token says who, for whom, and what for") {
  const auto token = check_text(corp().sign(TestIssuer::claims()), corp().read());
  REQUIRE_MESSAGE(token.ok(), (token.ok() ? "" : token.error().to_string()));
  CHECK(token->principal == contract::EntityId{"Wary::User", "alice"});
  CHECK(token->issuer == "corp");
  CHECK(token->subject == "alice");
  CHECK(token->id == "t1");
  CHECK(token->client == "cli");
  CHECK(token->key == corp().thumbprint("e1"));
  CHECK(token->scopes == std::vector<std::string>{"read", "write"});
  CHECK(token->groups == std::vector<std::string>{"eng"});
  CHECK(token->expires.nanos == (1'800'000'600 + 30) * kNanosPerSecond);
  CHECK_FALSE(token->is_bound());
}

TEST_CASE("each of the issuer's algorithms signs, with a key of its type and no other") {
  CHECK(with_header(R"({"alg":"EdDSA","kid":"o1","typ":"at+jwt"})", "o1", SignatureAlgorithm::kEdDsa) == "accepted");
  CHECK(with_header(R"({"alg":"RS256","kid":"r1","typ":"at+jwt"})", "r1", SignatureAlgorithm::kRs256) == "accepted");
  CHECK(with_header(R"({"alg":"PS256","kid":"r1","typ":"application/AT+JWT"})", "r1", SignatureAlgorithm::kPs256) ==
        "accepted");
  CHECK(with_header(R"({"alg":"ES256","typ":"at+jwt"})", "e1", SignatureAlgorithm::kEs256) == "accepted");
  CHECK(with_header(R"({"alg":"ES256","kid":"r1","typ":"at+jwt"})", "e1", SignatureAlgorithm::kEs256) ==
        "jws_key_mismatch");
  CHECK(with_header(R"({"alg":"ES256","kid":"zz","typ":"at+jwt"})", "e1", SignatureAlgorithm::kEs256) ==
        "jws_kid_unknown");
  CHECK(with_header(R"({"alg":"RS384","kid":"r1","typ":"at+jwt"})", "r1", SignatureAlgorithm::kRs384) ==
        "jws_algorithm_refused");
  CHECK(with_header(R"({"alg":"none","typ":"at+jwt"})", "e1", SignatureAlgorithm::kEs256) == "jws_algorithm_unknown");
  CHECK(with_header(R"({"alg":"HS256","typ":"at+jwt"})", "e1", SignatureAlgorithm::kEs256) == "jws_algorithm_unknown");
  CHECK(with_rule("algorithms", R"(["EdDSA"])") == "jws_algorithm_refused");
  TestIssuer other;
  CHECK(token_code(check_text(other.sign(TestIssuer::claims()), corp().read())) == "jws_signature");
  const std::string token = corp().sign(TestIssuer::claims());
  CHECK(token_code(check_text(token + ".x", corp().read())) == "jws_syntax");
  CHECK(token_code(check_text(token + std::string(limits::kTokenBytes, 'A'), corp().read())) == "jws_size");
  CHECK(token_code(check_text(token, *issuer_from("corp", corp().rules, ""))) == "token_no_keys");
}

TEST_CASE("what is no access token is refused, unless the issuer's rules take tokens without a type") {
  for (const char* header : {R"({"alg":"ES256"})", R"({"alg":"ES256","typ":"JWT"})"}) {
    CHECK(with_header(header, "e1", SignatureAlgorithm::kEs256) == "token_typ");
    CHECK(with_rule("allow_untyped", "true", TestIssuer::claims(), header) == "accepted");
  }
  for (const char* header : {R"({"alg":"ES256","typ":"dpop+jwt"})", R"({"alg":"ES256","typ":"logout+jwt"})"}) {
    CHECK(with_rule("allow_untyped", "true", TestIssuer::claims(), header) == "token_typ");
  }
  // RFC 9068 wants these of a typed token; others may lack them.
  for (const char* name : {"jti", "client_id", "iat"}) {
    CHECK(with_claim(name, "") == "token_claim_missing");
    CHECK(with_rule("allow_untyped", "true", TestIssuer::claims_with(name, ""), R"({"alg":"ES256"})") == "accepted");
  }
}

TEST_CASE("every claim that decides is there and has its type") {
  CHECK(with_claim("iss", "") == "token_claim_missing");
  CHECK(with_claim("iss", "7") == "token_claim");
  CHECK(with_claim("iss", "\"https://idp.test\"") == "token_issuer");
  CHECK(with_claim("sub", "") == "token_claim_missing");
  CHECK(with_claim("sub", "\"\"") == "token_claim");
  CHECK(with_claim("aud", "") == "token_audience");
  CHECK(with_claim("aud", "\"https://api.test/\"") == "token_audience");
  CHECK(with_claim("aud", R"(["x","api"])") == "accepted");
  CHECK(with_claim("aud", "[]") == "token_audience");
  CHECK(with_claim("acr", "7") == "token_claim");
  CHECK(token_code(check_text(corp().sign(Json::array()), corp().read())) == "token_claims");
}

TEST_CASE("times are kept to, with the issuer's leeway and no more") {
  CHECK(with_claim("exp", "") == "token_claim_missing");
  CHECK(with_claim("exp", "\"never\"") == "token_claim");
  CHECK(with_claim("exp", "1799999971") == "accepted");
  CHECK(with_claim("exp", "1799999970") == "token_expired");
  CHECK(with_claim("exp", "-5") == "token_expired");
  CHECK(with_claim("exp", "9223372036854775807") == "accepted");
  CHECK(with_claim("exp", "1e300") == "accepted");
  CHECK(with_claim("nbf", "1800000030") == "accepted");
  CHECK(with_claim("nbf", "1800000031") == "token_not_yet");
  CHECK(with_claim("iat", "1800000031") == "token_not_yet");
  CHECK(with_claim("auth_time", "1800000031") == "token_not_yet");
  CHECK(with_rule("skew", "0", TestIssuer::claims_with("exp", "1800000000")) == "token_expired");
  // More than a minute is not to be had.
  CHECK(with_rule("skew", "3600", TestIssuer::claims_with("exp", "1799999940")) == "token_expired");
}

TEST_CASE("a token speaks for somebody who is known here, and for the owner only where that is listed") {
  CHECK(with_claim("sub", "\"owner\"") == "token_principal");
  CHECK(with_claim("sub", "\"" + std::string(64, 'a') + "\"") == "token_principal");
  const auto of = [](std::string_view sub) {
    const auto token = check_text(corp().sign(TestIssuer::claims_with("sub", sub)), corp().read());
    return token.ok() ? token->principal.to_string() : token.error().code;
  };
  CHECK(of("\"ci\"") == "Wary::Workload::\"spiffe://local/a/b\"");
  CHECK(of("\"root\"") == "Wary::User::\"owner\"");
  CHECK(with_rule("only_listed", "true") == "token_principal");
  CHECK(with_rule("only_listed", "true", TestIssuer::claims_with("sub", "\"ci\"")) == "accepted");
  CHECK(with_rule("claim", "\"name\"") == "token_claim_missing");
  CHECK(with_rule("suffix", "\"@x.test\"") == "token_principal");
  CHECK(with_rule("suffix", "\"@x.test\"", TestIssuer::claims_with("sub", "\"alice@x.test\"")) == "accepted");
  CHECK(with_rule("suffix", "\"@x.test\"", TestIssuer::claims_with("sub", "\"@x.test\"")) == "token_principal");
  // An address counts when the issuer has verified it.
  Json claims = TestIssuer::claims_with("email", "\"alice\"");
  CHECK(with_rule("claim", "\"email\"", claims) == "token_principal");
  CHECK(with_rule("claim", "\"email\"", claims.set("email_verified", "true")) == "token_principal");
  CHECK(with_rule("claim", "\"email\"", claims.set("email_verified", true)) == "accepted");
}

TEST_CASE("what a token is bound to is read, and what cannot be checked is refused") {
  CHECK(with_claim("cnf", R"({"jkt":"abc"})") == "accepted");
  CHECK(with_claim("cnf", R"({"x5t#S256":"abc","jkt":"abc"})") == "accepted");
  for (const char* cnf : {"{}", "7", R"({"jkt":7})", R"({"jkt":""})", R"({"jwk":{}})", R"({"jkt":"abc","kid":"x"})"}) {
    CHECK_MESSAGE(with_claim("cnf", cnf) == "token_confirmation", cnf);
  }
}

TEST_CASE("scopes and groups are lists of a bounded size; a group counts when the issuer's list names it") {
  const auto token_with = [](std::string_view name, std::string_view json) {
    auto token = check_text(corp().sign(TestIssuer::claims_with(name, json)), corp().read());
    REQUIRE(token.ok());
    return std::move(token).value();
  };
  CHECK(token_with("scope", "\"  a  b \"").scopes == std::vector<std::string>{"a", "b"});
  CHECK(token_with("scope", "").scopes.empty());
  std::string many = "\"";
  for (int i = 0; i < 300; ++i) many += "s" + std::to_string(i) + " ";
  CHECK(token_with("scope", many + "\"").scopes.size() == 100);
  Json claims = TestIssuer::claims_with("scope", "");
  claims.set("scp", Json::array({Json("x"), Json(7)}));
  CHECK(check_text(corp().sign(claims), corp().read())->scopes == std::vector<std::string>{"x"});
  CHECK(token_with("groups", R"(["on call","engineering","engineering"])").groups ==
        std::vector<std::string>{"sre", "eng"});
  CHECK(token_with("groups", R"(["eng","sre"])").groups.empty());
}

TEST_CASE("rules that cannot be read make no issuer") {
  CHECK(with_rule("url", "\"\"") == "issuer_rules");
  CHECK(with_rule("audiences", "[]") == "issuer_rules");
  CHECK(with_rule("algorithms", "[]") == "issuer_rules");
  CHECK(with_rule("algorithms", R"(["HS256"])") == "issuer_algorithm");
  CHECK(with_rule("algorithms", R"(["none"])") == "issuer_algorithm");
  CHECK(with_rule("subjects", R"([{"value":"a"}])") == "issuer_rules");
  CHECK(with_rule("subjects", R"([{"value":"a","type":"T","id":"x"},{"value":"a","type":"T","id":"y"}])") ==
        "issuer_rules");
  CHECK(with_rule("groups", R"([{"value":"a"}])") == "issuer_rules");
  CHECK(issuer_from("corp", corp().rules, "{").error().code == "json_syntax");
  CHECK(issuer_from("corp", corp().rules, R"({"keys":[]})").error().code == "issuer_keys");
}
