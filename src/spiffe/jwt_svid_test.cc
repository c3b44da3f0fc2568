#include "spiffe/jwt_svid.h"

#include <doctest/doctest.h>

#include "tests/support/svid_table.h"

namespace wary::spiffe {
namespace {

using codec::Json;

const JwtSvidRules kRules{.audience = "reports", .now = kNow};

TEST_CASE("each row of tests/spiffe/jwt_svid.txt has its outcome") {
  const BundleSet bundles = world_bundles();
  std::size_t rows = 0;
  for (const TableRow& row : table_rows()) {
    CAPTURE(row.place);
    CAPTURE(row.id);
    const auto svid = check_jwt_svid(table_token(row), bundles, kRules);
    CHECK(code_of_result(svid) == row.outcome);
    if (svid.ok()) {
      CHECK(svid->id.to_string() == claims_of(row.claims).string_or("sub", ""));
    } else {
      CHECK(svid.error().kind == ErrorKind::kUnauthenticated);
    }
    ++rows;
  }
  CHECK(rows > 100);
}

std::string good_token() { return table_token({"", "-", "{}", "ec", "", ""}); }

TEST_CASE("a token that was touched, or is in another form, is refused (JV-14, JV-15, JV-24, JV-25)") {
  const BundleSet bundles = world_bundles();
  const auto code = [&](const std::string& token) { return code_of_result(check_jwt_svid(token, bundles, kRules)); };
  const std::string good = good_token();
  REQUIRE(code(good) == "accepted");
  const std::size_t first = good.find('.');
  const std::size_t second = good.rfind('.');
  std::string signature = good.substr(second + 1);
  Bytes bits = *codec::decode_base64url(signature);
  for (std::size_t i = 0; i < bits.size() * 8; i += 7) {
    Bytes flipped = bits;
    flipped[i / 8] = static_cast<std::uint8_t>(flipped[i / 8] ^ (1U << (i % 8)));
    CHECK(code(good.substr(0, second + 1) + codec::encode_base64url(flipped)) == "jws_signature");
  }
  const std::string other_claims = crypto::b64(claims_of(R"({"sub":"spiffe://example.org/admin"})").to_string());
  CHECK(code(good.substr(0, first + 1) + other_claims + good.substr(second)) == "jws_signature");
  const std::string json = Json::object({{"payload", good.substr(first + 1, second - first - 1)},
                                         {"protected", good.substr(0, first)},
                                         {"signature", signature}})
                               .to_string();
  CHECK(code(json) == "jws_syntax");
  CHECK(code("") == "jws_syntax");
  CHECK(code("a.b") == "jws_syntax");
  CHECK(code(good + ".e30") == "jws_syntax");
  CHECK(code(good + "=") == "jws_syntax");
  CHECK(code("!" + good) == "jws_syntax");
  CHECK(code(crypto::b64("{") + good.substr(first)) == "jws_header");
  const auto claims = [&](std::string_view text) {
    return code(
        crypto::token_of(R"({"alg":"ES256","kid":"ec"})", text, world_key("ec"), crypto::SignatureAlgorithm::kEs256));
  };
  CHECK(claims("") == "jwt_svid_claims");
  CHECK(claims("[]") == "jwt_svid_claims");
  CHECK(claims(R"({"sub":"spiffe://example.org/a","sub":"spiffe://example.org/b"})") == "jwt_svid_claims");
  CHECK(claims(R"({"exp":1e999})") == "jwt_svid_claims");
  CHECK(claims(R"({"exp":9223372036854775808})") == "jwt_svid_claims");
  CHECK(code(std::string(20'000, 'a')) == "jws_size");
  std::vector<Json> many(101, Json("reports"));
  Json wide = claims_of("{}");
  wide.set("aud", Json::array(many));
  CHECK(claims(wide.to_string()) == "jwt_svid_aud_syntax");
  // A name of the full 2,048 bytes is a name (ID-2).
  Json longest = claims_of("{}");
  longest.set("sub", "spiffe://example.org/" + std::string(2048 - 21, 'a'));
  CHECK(claims(longest.to_string()) == "accepted");
  longest.set("sub", "spiffe://example.org/" + std::string(2048 - 20, 'a'));
  CHECK(claims(longest.to_string()) == "jwt_svid_sub");
}

TEST_CASE("leeway moves the ends by so much and not more, and an asker without a name is nobody") {
  const BundleSet bundles = world_bundles();
  const auto code = [&](const std::string& edits, std::int64_t leeway_s) {
    JwtSvidRules rules = kRules;
    rules.leeway_s = leeway_s;
    return code_of_result(check_jwt_svid(table_token({"", "-", edits, "ec", "", ""}), bundles, rules));
  };
  CHECK(code(R"({"exp":"-5s"})", 6) == "accepted");
  CHECK(code(R"({"exp":"-5s"})", 5) == "jwt_svid_expired");
  CHECK(code(R"({"nbf":"5s"})", 5) == "accepted");
  CHECK(code(R"({"nbf":"5s"})", 4) == "jwt_svid_nbf");
  CHECK(code(R"({"iat":"5s"})", 4) == "jwt_svid_iat");
  CHECK(code(R"({"exp":"-3600s"})", INT64_MAX) == "jwt_svid_expired");  // an hour at most
  CHECK(code(R"({"exp":"-5s"})", -100) == "jwt_svid_expired");
  CHECK(code(R"({"exp":"5s"})", -100) == "accepted");
  JwtSvidRules nameless = kRules;
  nameless.audience = "";
  const std::string for_nobody = table_token({"", "-", R"({"aud":["",""]})", "ec", "", ""});
  CHECK(code_of_result(check_jwt_svid(for_nobody, bundles, nameless)) == "jwt_svid_aud");
}

TEST_CASE("a key that a bundle gains or loses counts at once (JB-1, JB-2, JB-3)") {
  BundleSet bundles = world_bundles();
  const std::string token = table_token({"", "-", "{}", "stranger", "", ""});
  const auto code = [&] { return code_of_result(check_jwt_svid(token, bundles, kRules)); };
  CHECK(code() == "jws_kid_unknown");
  put_document(bundles, "example.org", document({entry_of("ec"), entry_of("stranger")}));
  CHECK(code() == "accepted");
  put_document(bundles, "example.org", document({entry_of("ec")}));
  CHECK(code() == "jws_kid_unknown");
  put_document(bundles, "example.org", document({}));
  CHECK(code() == "jwt_svid_no_keys");
  bundles.remove("example.org");
  CHECK(code() == "jwt_svid_trust_domain");
}

TEST_CASE("a token that we make is what we accept") {
  const BundleSet bundles = world_bundles();
  const JwtSvidWanted wanted{.id = "spiffe://example.org/orders",
                             .audience = {"reports"},
                             .issued_at = kNow,
                             .expires_at = {kNow.nanos + 300 * kNanosPerSecond},
                             .more = Json::object({{"jti", "1"}})};
  const crypto::SignJws sign = crypto::signs_with(world_key("ec"));
  const auto token = make_jwt_svid(wanted, {crypto::SignatureAlgorithm::kEs256, "ec"}, sign);
  REQUIRE(token.ok());
  const auto svid = check_jwt_svid(*token, bundles, kRules);
  REQUIRE(svid.ok());
  CHECK(svid->id.path == "/orders");
  CHECK(svid->audience == std::vector<std::string>{"reports"});
  CHECK(svid->expires_at == wanted.expires_at);
  CHECK(svid->issued_at == wanted.issued_at);
  CHECK(svid->claims.string_or("jti", "") == "1");
  CHECK(svid->claims.find("aud")->is_string());
  CHECK(parse_jwt_svid(*token)->id == svid->id);

  const auto code = [&](auto change) {
    JwtSvidWanted changed = wanted;
    JwtSvidKey key{crypto::SignatureAlgorithm::kEs256, "ec"};
    change(changed, key);
    return code_of_result(make_jwt_svid(changed, key, sign));
  };
  CHECK(code([](auto& w, auto&) { w.audience = {"a", "b"}; }) == "accepted");
  CHECK(code([](auto& w, auto&) { w.audience = {}; }) == "jwt_svid_wanted");
  CHECK(code([](auto& w, auto&) { w.audience = {"a", ""}; }) == "jwt_svid_wanted");
  CHECK(code([](auto& w, auto&) { w.id = "spiffe://example.org"; }) == "jwt_svid_wanted");
  CHECK(code([](auto& w, auto&) { w.id = "orders"; }) == "spiffe_id_syntax");
  CHECK(code([](auto& w, auto&) { w.expires_at = w.issued_at; }) == "jwt_svid_wanted");
  CHECK(code([](auto& w, auto&) { w.more = Json::object({{"exp", 1}}); }) == "jwt_svid_wanted");
  CHECK(code([](auto& w, auto&) { w.more = Json::object({{"nbf", "x"}}); }) == "jwt_svid_nbf_syntax");
  CHECK(code([](auto& w, auto&) { w.more = Json::array(); }) == "jwt_svid_wanted");
  CHECK(code([](auto& w, auto&) { w.more = Json::object({{"x", std::string(20'000, 'x')}}); }) == "jws_size");
  CHECK(code([](auto&, auto& k) { k.algorithm = crypto::SignatureAlgorithm::kEdDsa; }) == "jwt_svid_wanted");
  CHECK(code([](auto&, auto& k) { k.kid = ""; }) == "accepted");
}

}  // namespace
}  // namespace wary::spiffe
