#include "federation/issuer_keys.h"

#include "federation/federation_test_world.h"

using namespace wary;
using namespace wary::federation;
using namespace wary::federation::test;

namespace {

constexpr std::string_view kKeys =
    R"({"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";

contract::Entity issuer(const std::string& name, const std::string& uri, std::int64_t wanted = 0) {
  contract::Entity entity;
  entity.tenant = std::string(contract::kDefaultTenant);
  entity.id = {"Wary::Issuer", name};
  if (!uri.empty()) entity.attributes.push_back({"jwks_uri", codec::Json(uri), "resource", {}, {}, {}});
  if (wanted != 0) entity.attributes.push_back({"wanted", codec::Json(wanted), "identity", {}, {}, {}});
  return entity;
}

const codec::Json* last_call(const World& world, std::string_view operation) {
  for (auto call = world.calls.rbegin(); call != world.calls.rend(); ++call) {
    if (call->string_or("op", "") == operation) return &*call;
  }
  return nullptr;
}
std::string last_failure(const World& world) {
  const codec::Json* call = last_call(world, "jwks.failed");
  return call != nullptr ? std::string(call->find("error")->string_or("code", "")) : "";
}

}  // namespace

TEST_CASE("keys are fetched from https, or from this machine") {
  CHECK(parse_jwks_uri("https://idp.test/keys").ok());
  CHECK(parse_jwks_uri("http://127.0.0.1:8080/keys").ok());
  CHECK(parse_jwks_uri("http://[::1]:8080/keys").ok());
  for (const char* uri : {"", "http://idp.test/keys", "http://localhost/keys", "http://127.0.0.1.evil.test/",
                          "file:///x", "https://user@idp.test/", "http://127.evil.test/"}) {
    CHECK_MESSAGE(parse_jwks_uri(uri).error().code == "issuer_jwks_uri", uri);
  }
}

TEST_CASE("a set is good for as long as the answer says") {
  CHECK_FALSE(max_age_of(""));
  CHECK_FALSE(max_age_of("public"));
  CHECK(max_age_of("public, max-age=120") == 120);
  CHECK(max_age_of("Max-Age=7 , must-revalidate") == 7);
  CHECK(max_age_of("max-age=120, no-store") == 0);
  CHECK(max_age_of("no-cache") == 0);
  for (const char* text : {"max-age=", "max-age=x", "max-age=-1", "max-age=99999999999999999999"}) {
    CHECK_FALSE_MESSAGE(max_age_of(text), text);
  }
}

TEST_CASE("an issuer's keys are fetched when it is learned, handed up as they came, and fetched again") {
  World world;
  world.context = world.web.server("", "idp.localhost");
  world.document = kKeys;
  world.open_federation();
  world.commit({issuer("corp", "https://idp.localhost:8443/keys")});
  world.run(2);
  REQUIRE(world.count("jwks.fetched") == 1);
  const codec::Json* call = last_call(world, "jwks.fetched");
  CHECK(call->string_or("issuer", "") == "corp");
  CHECK(call->string_or("uri", "") == "https://idp.localhost:8443/keys");
  CHECK(call->string_or("jwks", "") == kKeys);
  world.run(250);
  CHECK(world.asked == 1);
  world.run(60);
  CHECK(world.asked == 2);
  // Elsewhere: at once. Nowhere, or gone: no more.
  world.commit({issuer("corp", "https://idp.localhost:8443/others")});
  world.run(2);
  CHECK(world.asked == 3);
  world.commit({issuer("corp", "")});
  world.run(400);
  CHECK(world.asked == 3);
  world.commit({issuer("corp", "https://idp.localhost:8443/keys")});
  world.run(2);
  CHECK(world.asked == 4);
  world.commit({}, {{"Wary::Issuer", "corp"}});
  world.run(400);
  CHECK(world.asked == 4);
}

TEST_CASE("a set that lacks a wanted key is fetched again at once, and not more than every 10 s") {
  World world;
  world.context = world.web.server("", "idp.localhost");
  world.document = kKeys;
  const std::string uri = "https://idp.localhost:8443/keys";
  world.open_federation();
  world.commit({issuer("corp", uri)});
  world.run(2);
  CHECK(world.asked == 1);
  world.commit({issuer("corp", uri, 5)});
  world.run(7);
  CHECK(world.asked == 1);  // too soon
  world.run(3);
  CHECK(world.asked == 2);
  world.run(30);
  world.commit({issuer("corp", uri, 5)});  // what changed is something else
  world.run(2);
  CHECK(world.asked == 2);
  world.commit({issuer("corp", uri, 6)});
  world.run(1);
  CHECK(world.asked == 3);
  world.commit({issuer("corp", uri)});  // there is another set
  world.run(20);
  CHECK(world.asked == 3);
  world.run(300);  // and the usual time goes on
  CHECK(world.asked == 4);
}

TEST_CASE("what cannot be fetched or read is told, and tried again soon, then less and less") {
  World world;
  world.context = world.web.server("", "other.localhost");
  world.document = kKeys;
  world.entities = {issuer("corp", "https://idp.localhost:8443/keys")};
  world.open_federation();
  world.run(2);
  CHECK(last_failure(world) == "x509_name");
  world.context = world.other.server("spiffe://b.test/server");
  world.run(11);
  CHECK(last_failure(world) == "x509_untrusted");
  world.context = world.web.server("", "idp.localhost");
  world.document = "{";
  world.run(21);
  CHECK(last_failure(world) == "json_syntax");
  CHECK(world.count("jwks.fetched") == 0);
  world.document = kKeys;
  world.run(41);
  CHECK(world.count("jwks.fetched") == 1);
  const std::size_t asked = world.asked;
  world.run(250);
  CHECK(world.asked == asked);
}
