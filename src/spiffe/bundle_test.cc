#include "spiffe/bundle.h"

#include <doctest/doctest.h>

#include "crypto/sign.h"
#include "spiffe/spiffe_test_world.h"

namespace wary::spiffe {
namespace {

using codec::Json;

Bytes root_of(const std::string& trust_domain) {
  const auto key = crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256);
  REQUIRE(key.ok());
  const std::int64_t year = 365 * 24 * 3600 * kNanosPerSecond;
  auto made = crypto::create_ca({"root", trust_domain, kNow, {kNow.nanos + year}}, *key);
  REQUIRE(made.ok());
  return std::move(made).value();
}

Json root_entry(const Bytes& der) {
  const auto certificate = crypto::parse_certificate(der);
  auto key = crypto::VerifyKey::decode_spki(certificate->public_key);
  REQUIRE(key.ok());
  Json entry = crypto::to_json({std::move(key).value(), {}, "x509-svid", {}, {}});
  entry.set("x5c", Json::array({codec::encode_base64(der)}));
  return entry;
}

// What the one entry of a bundle of example.org was left out for; "taken" otherwise.
std::string entry_code(const Json& entry) {
  const auto bundle = parse_bundle("example.org", document({entry}));
  if (!bundle.ok()) return "bundle: " + bundle.error().code;
  if (bundle->left_out.empty()) return bundle->trusts_nothing() ? "nothing" : "taken";
  return bundle->left_out.front().error.code;
}

TEST_CASE("a bundle is written and read back as it was") {
  Bundle bundle = bundle_of("example.org", {root_of("example.org"), root_of("example.org")});
  bundle.jwt_authorities = {{world_key("ec").public_key(), "ec", {}, {}, {}},
                            {world_key("rsa").public_key(), "rsa", {}, {}, {}}};
  bundle.sequence = INT64_MAX;
  bundle.refresh_hint_s = 60;
  const auto text = write_bundle(bundle);
  REQUIRE(text.ok());
  const auto again = parse_bundle("example.org", *text);
  REQUIRE(again.ok());
  CHECK(again->x509_authorities == bundle.x509_authorities);
  REQUIRE(again->jwt_authorities.size() == 2);
  CHECK(again->jwt_authorities[1].kid == "rsa");
  CHECK(again->jwt_authorities[1].key.to_spki() == world_key("rsa").public_key().to_spki());
  CHECK(again->sequence == INT64_MAX);
  CHECK(again->refresh_after_s() == 60);
  CHECK(again->left_out.empty());
  CHECK(*write_bundle(*again) == *text);
  CHECK(text->find(R"("use":"x509-svid")") != std::string::npos);
  CHECK(text->find(R"("use":"jwt-svid")") != std::string::npos);

  const Bundle nothing = bundle_of("example.org");
  CHECK(*write_bundle(nothing) == R"({"keys":[]})");
  CHECK(parse_bundle("example.org", R"({"keys":[]})")->trusts_nothing());
  CHECK(parse_bundle("example.org", R"({"keys":[]})")->refresh_after_s() == 300);

  Bundle nameless = bundle;
  nameless.jwt_authorities[0].kid = "";
  CHECK(write_bundle(nameless).error().code == "bundle_key_kid");
  Bundle twins = bundle;
  twins.jwt_authorities[0].kid = "rsa";
  CHECK(write_bundle(twins).error().code == "bundle_kid_repeated");
  Bundle foreign = bundle;
  foreign.x509_authorities = {root_of("other.example")};
  CHECK(write_bundle(foreign).error().code == "svid_signer_trust_domain");
  foreign.x509_authorities = {to_bytes("x")};
  CHECK(write_bundle(foreign).error().code == "x509_syntax");
  foreign.trust_domain = "Example";
  CHECK(write_bundle(foreign).error().code == "bundle_trust_domain");
}

TEST_CASE("an entry that is unknown or breaks its rules is left out with its code, and the rest counts (JB-5, JB-6)") {
  const Json good = root_entry(root_of("example.org"));
  const auto root_with = [&](std::string_view name, Json value) {
    Json entry = good;
    entry.set(name, std::move(value));
    return entry_code(entry);
  };
  const std::string der = good.find("x5c")->items().front().as_string();
  CHECK(entry_code(good) == "taken");
  CHECK(root_with("kid", "a") == "bundle_key_kid");
  CHECK(root_with("x5c", Json::array()) == "bundle_key_x5c");
  CHECK(root_with("x5c", der) == "bundle_key_x5c");
  CHECK(root_with("x5c", Json::array({1})) == "bundle_key_x5c");
  CHECK(root_with("x5c", Json::array({der + "\n"})) == "bundle_key_x5c");
  CHECK(root_with("x5c", Json::array({"AAAA"})) == "x509_syntax");
  CHECK(root_with("x5c", Json::array({codec::encode_base64(root_of("example.org"))})) == "bundle_key_x5c_other");
  CHECK(root_with("use", "X509-SVID") == "bundle_key_use");
  CHECK(root_with("use", "wit-svid") == "bundle_key_use");
  CHECK(root_with("use", 5) == "bundle_key_use");
  CHECK(root_with("kty", "new") == "bundle_key_type");
  CHECK(root_with("kty", 5) == "bundle_key_type");
  CHECK(root_with("d", "AA") == "jwk_private");
  CHECK(entry_code(root_entry(root_of("other.example"))) == "svid_signer_trust_domain");
  Json bare = entry_of("ec", "x509-svid");
  CHECK(entry_code(bare) == "bundle_key_kid");

  CHECK(entry_code(entry_of("ec")) == "taken");
  CHECK(entry_code(entry_of("ec", "")) == "bundle_key_use");
  CHECK(entry_code(crypto::to_json({world_key("ec").public_key(), {}, "jwt-svid", {}, {}})) == "bundle_key_kid");
  Json broken = entry_of("ec");
  broken.set("x", broken.find("y")->as_string());
  CHECK(entry_code(broken) == "jose_key_syntax");
  CHECK(entry_code(Json("ec")) == "bundle: bundle_syntax");

  const auto mixed = parse_bundle("example.org", document({broken, entry_of("rsa"), Json::object(), good}));
  REQUIRE(mixed.ok());
  CHECK(mixed->jwt_authorities.size() == 1);
  CHECK(mixed->x509_authorities.size() == 1);
  CHECK(mixed->left_out.size() == 2);

  // The specification's own words: the first counts, the rest is ignored.
  Json twice = good;
  twice.set("x5c", Json::array({der, "not even base64"}));
  const auto first = parse_bundle("example.org", document({twice}));
  REQUIRE(first.ok());
  CHECK(first->x509_authorities.size() == 1);
  REQUIRE(first->left_out.size() == 1);
  CHECK(first->left_out[0].error.code == "bundle_key_x5c_more");
}

TEST_CASE("a document that is no bundle is refused with its code") {
  const auto code = [](std::string_view text) { return code_of_result(parse_bundle("example.org", text)); };
  CHECK(code(R"({"keys":[],"unknown":{"a":[1]}})") == "accepted");
  CHECK(code("") == "json_syntax");
  CHECK(code("[]") == "bundle_syntax");
  CHECK(code("{}") == "bundle_syntax");
  CHECK(code(R"({"keys":null})") == "bundle_syntax");
  CHECK(code(R"({"keys":[],"keys":[]})") == "json_duplicate_key");
  CHECK(code(R"({"keys":[{"use":"a","use":"b"}]})") == "json_duplicate_key");
  CHECK(code(R"({"keys":[],"spiffe_sequence":9223372036854775807})") == "accepted");
  CHECK(code(R"({"keys":[],"spiffe_sequence":-1})") == "bundle_sequence");
  CHECK(code(R"({"keys":[],"spiffe_sequence":1.5})") == "bundle_sequence");
  CHECK(code(R"({"keys":[],"spiffe_sequence":"1"})") == "bundle_sequence");
  CHECK(code(R"({"keys":[],"spiffe_sequence":18446744073709551616})") == "json_integer_range");
  CHECK(code(R"({"keys":[],"spiffe_refresh_hint":-1})") == "bundle_refresh_hint");
  CHECK(code(R"({"keys":[],"spiffe_refresh_hint":null})") == "bundle_refresh_hint");
  CHECK(code(document({entry_of("ec"), entry_of("ec")})) == "bundle_kid_repeated");
  CHECK(code(document(std::vector<Json>(257, Json::object()))) == "json_items");
  CHECK(code(R"({"keys":[],"a":")" + std::string(1 << 20, 'a') + "\"}") == "json_size");
  for (const char* name : {"", "A", "a/b", "a:1", "a b", "spiffe://a", "%61"}) {
    CAPTURE(name);
    CHECK(code_of_result(parse_bundle(name, R"({"keys":[]})")) == "bundle_trust_domain");
  }
  CHECK(check_trust_domain(std::string(255, 'a')).ok());
  CHECK_FALSE(check_trust_domain(std::string(256, 'a')).ok());
  CHECK_FALSE(check_trust_domain(std::string(300, 'a')).ok());
}

TEST_CASE("a set holds one bundle a trust domain, whole, and bounded") {
  BundleSet set;
  put_document(set, "a", document({entry_of("ec")}));
  put_document(set, "b", document({entry_of("rsa")}));
  CHECK(set.find("a")->jwt_authorities.front().kid == "ec");
  put_document(set, "a", document({entry_of("rsa")}));
  CHECK(set.find("a")->jwt_authorities.size() == 1);
  CHECK(set.find("a")->jwt_authorities.front().kid == "rsa");
  CHECK(set.find("c") == nullptr);
  CHECK(set.find_roots("c") == nullptr);
  set.remove("a");
  set.remove("never");
  CHECK(set.find("a") == nullptr);
  CHECK(set.size() == 1);
  CHECK(set.put(bundle_of("x", {to_bytes("x")})).error().code == "x509_syntax");
  CHECK(set.put(bundle_of("X")).error().code == "bundle_trust_domain");
  for (std::size_t i = 0; set.size() < kBundleSetMax; ++i) CHECK(set.put(bundle_of(std::to_string(i))).ok());
  CHECK(set.put(bundle_of("one-more")).error().code == "bundle_set_size");
  CHECK(set.put(bundle_of("b")).ok());
  CHECK(set.find("b")->trusts_nothing());
}

}  // namespace
}  // namespace wary::spiffe
