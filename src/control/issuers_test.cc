#include "control/issuers.h"

#include "control/api_keys.h"
#include "control/control_test_world.h"
#include "control/views.h"
#include "crypto/jose_test_world.h"
#include "enforce/api_key.h"
#include "enforce/jwt_issuer.h"
#include "policy/serialize.h"

using namespace wary;
using namespace wary::control;
using namespace wary::control::test;

namespace {

std::string jwks_of(const std::string& kid, crypto::JoseKeyType type = crypto::JoseKeyType::kP256) {
  codec::Json key = crypto::to_json({crypto::jose_key(type).public_key(), kid, {}, {}, {}});
  return codec::Json::object({{"keys", codec::Json::array({std::move(key)})}}).to_string();
}

struct IssuerWorld {
  World world;
  Issuers issuers{*world.plane, {world.sim.clock(), null_log()}};

  // The codes of the answer's errors.
  std::string apply(const std::string& kind, const std::string& name, const std::string& spec) {
    const auto answer = world.call(owner(), "POST", "/v1/apply",
                                   R"({"objects":[{"apiVersion":"wary.dev/v1","kind":")" + kind +
                                       R"(","metadata":{"name":")" + name + R"("},"spec":)" + spec + "}]}");
    CHECK(answer->status == 200);
    const codec::Json json = answer->json();
    const codec::Json* errors = json.find("errors");
    std::string out;
    for (std::size_t i = 0; errors != nullptr && i < errors->items().size(); ++i) {
      const codec::Json& error = errors->items()[i];
      out += (out.empty() ? "" : " ") + std::string(error.string_or("code", "")) + "@" +
             std::string(error.string_or("pointer", ""));
    }
    return out;
  }
  std::string issuer(const std::string& more, const std::string& name = "corp", const std::string& url = "https://i/") {
    return apply("Issuer", name, R"({"issuer":")" + url + R"(","audiences":["api"])" + more + "}");
  }
  std::string told(const std::string& operation, const std::string& more, const std::string& name = "corp") {
    codec::Json call = *codec::parse_json(R"({"uri":"https://i/keys")" + more + "}");
    call.set("op", std::string_view(operation)).set("issuer", std::string_view(name));
    std::optional<codec::Json> answer;
    issuers.handle("federation/local", call, [&](codec::Json reply) { answer = std::move(reply); });
    world.settle();
    REQUIRE(answer.has_value());
    const codec::Json* error = answer->find("error");
    return error == nullptr ? "" : std::string(error->string_or("code", ""));
  }
  std::string fetched(const std::string& jwks) {
    return told("jwks.fetched", ",\"jwks\":" + codec::Json(jwks).to_string());
  }
  const codec::Json* fact(const std::string& type, const std::string& id, std::string_view name) {
    const contract::Entity* entity = world.plane->snapshot()->find_entity({type, id});
    for (std::size_t i = 0; entity != nullptr && i < entity->attributes.size(); ++i) {
      if (entity->attributes[i].name == name) return &entity->attributes[i].value;
    }
    return nullptr;
  }
  // Thumbprints that tokens of the issuer are believed by; "none" without the fact.
  std::string keys(const std::string& name = "corp") {
    const codec::Json* found = fact("Wary::Issuer", name, "keys");
    std::string out = found == nullptr ? "none" : "";
    for (std::size_t i = 0; found != nullptr && i < found->items().size(); ++i) out += found->items()[i].as_string();
    return out;
  }
};

const std::string kFrom = R"(,"jwksUri":"https://i/keys")";
std::string thumbprint_of(crypto::JoseKeyType type) { return crypto::thumbprint(crypto::jose_key(type).public_key()); }
const std::string kHash(64, 'a');

}  // namespace

TEST_CASE("an issuer's keys are those fetched, else those applied; a change of its word takes the fetched ones away") {
  IssuerWorld it;
  CHECK(it.issuer(kFrom) == "");
  CHECK(it.keys() == "none");
  CHECK(it.fetched(jwks_of("a")) == "");
  CHECK(it.keys() == thumbprint_of(crypto::JoseKeyType::kP256));
  CHECK(it.world.count("issuer.keys_fetched") == 1);
  const std::uint64_t revision = it.world.plane->snapshot()->revision();
  CHECK(it.fetched(jwks_of("a")) == "");
  CHECK(it.world.plane->snapshot()->revision() == revision);
  CHECK(it.fetched(jwks_of("b", crypto::JoseKeyType::kEd25519)) == "");
  CHECK(it.keys() == thumbprint_of(crypto::JoseKeyType::kEd25519));
  CHECK(it.issuer(kFrom + R"(,"requireDpop":true)") == "");
  CHECK(it.keys() == thumbprint_of(crypto::JoseKeyType::kEd25519));
  CHECK(it.issuer(kFrom + ",\"jwks\":" + jwks_of("c")) == "");
  CHECK(it.keys() == thumbprint_of(crypto::JoseKeyType::kP256));
  CHECK(it.fetched(jwks_of("b", crypto::JoseKeyType::kEd25519)) == "");
  CHECK(it.issuer(R"(,"jwksUri":"https://elsewhere/")") == "");
  CHECK(it.keys() == "none");
  CHECK(it.fetched(jwks_of("a")) == "issuer_unknown");  // from where it was
  CHECK(it.world.call(owner(), "DELETE", "/v1/objects/issuer/corp")->status == 200);
  CHECK(it.world.plane->objects().find(key_of(kTenantWide, "FetchedKeys", "corp")) == nullptr);
}

TEST_CASE(
    "keys are wanted when a token names one that the fetched set lacks, once in 30 s, until another set is there") {
  IssuerWorld it;
  const auto wanted = [&] { return it.fact("Wary::Issuer", "corp", "wanted"); };
  CHECK(it.issuer(kFrom) == "");
  CHECK(it.told("jwks.missing", "") == "");
  CHECK(it.told("jwks.missing", "", "nobody") == "issuer_unknown");
  CHECK(it.world.count("issuer.keys_missing") == 0);  // the first fetch is under way
  CHECK(it.fetched(jwks_of("a")) == "");
  CHECK(wanted() == nullptr);
  CHECK(it.told("jwks.missing", "") == "");
  REQUIRE(wanted() != nullptr);
  const std::int64_t first = wanted()->as_integer();
  CHECK(first == it.world.sim.clock().unix_time().nanos);
  CHECK(it.keys() == thumbprint_of(crypto::JoseKeyType::kP256));
  // As often as edges say so.
  for (int second = 0; second < 29; ++second) {
    it.world.run(1'000);
    CHECK(it.told("jwks.missing", "") == "");
  }
  CHECK(wanted()->as_integer() == first);
  it.world.run(1'001);
  CHECK(it.told("jwks.missing", "") == "");
  CHECK(wanted()->as_integer() > first);
  CHECK(it.world.count("issuer.keys_missing") == 2);
  CHECK(it.fetched(jwks_of("a")) == "");  // nothing new
  CHECK(wanted() != nullptr);
  CHECK(it.fetched(jwks_of("b", crypto::JoseKeyType::kEd25519)) == "");
  CHECK(wanted() == nullptr);
}

TEST_CASE("a set that verifies nothing is refused, and the last good one stays") {
  IssuerWorld it;
  CHECK(it.issuer(kFrom) == "");
  CHECK(it.fetched(jwks_of("a")) == "");
  CHECK(it.fetched("{") == "json_syntax");
  CHECK(it.fetched(R"({"keys":[]})") == "issuer_keys");
  CHECK(it.fetched(R"({"keys":[{"kty":"new"}]})") == "issuer_keys");
  CHECK(it.told("jwks.failed", R"(,"error":{"code":"federation_timeout","message":"why\u001b"})") == "");
  CHECK(it.keys() == thumbprint_of(crypto::JoseKeyType::kP256));
  CHECK(it.world.count("issuer.keys_failed") == 1);  // one a minute
  const codec::Json status = it.issuers.status_of("corp");
  CHECK(status.find("error")->string_or("code", "") == "federation_timeout");
  CHECK(status.find("error")->string_or("message", "") == "why?");
  CHECK(status.string_or("summary", "").find("1 key") != std::string::npos);
  CHECK(it.told("jwks.fetched", "", "absent") == "issuer_unknown");
}

TEST_CASE("an issuer that could not be believed is not taken") {
  IssuerWorld it;
  CHECK(it.issuer("") == "issuer_keys_missing@/spec");
  CHECK(it.issuer(R"(,"jwksUri":"http://i/keys")") == "issuer_jwks_uri@/spec/jwksUri");
  CHECK(it.issuer(R"(,"jwksUri":"http://127.0.0.1:80/keys")") == "");
  CHECK(it.issuer(R"(,"jwks":{"keys":[]})") == "issuer_keys@/spec/jwks");
  CHECK(it.issuer(R"(,"jwks":"{")") == "json_syntax@/spec/jwks");
  CHECK(it.issuer(R"(,"jwks":{"keys":[{"kty":"oct","k":"AAAA"}]})") == "jwk_private@/spec/jwks");
  CHECK(it.issuer(kFrom + R"(,"algorithms":["HS256"])").starts_with("schema_enum@/spec/algorithms/0"));
  CHECK(it.issuer(kFrom + R"(,"skewSeconds":61)").starts_with("schema_maximum@/spec/skewSeconds"));
  CHECK(it.issuer(kFrom + R"(,"principal":{"listed":[{"value":"x"}]})") == "issuer_listed@/spec/principal/listed/0");
  CHECK(it.issuer(kFrom + R"(,"principal":{"listed":[{"value":"x","user":"gone"}]})") ==
        "reference_unknown@/spec/principal/listed/0");
  CHECK(it.issuer(kFrom + R"(,"principal":{"listed":[{"value":"x","user":"alice"},{"value":"x","user":"owner"}]})") ==
        "issuer_rules@/spec");
  CHECK(it.issuer(kFrom + R"(,"groups":{"claim":"groups","listed":[{"value":"x","group":"gone"}]})") ==
        "reference_unknown@/spec/groups/listed/0/group");
  CHECK(it.issuer(kFrom, "other") == "issuer_taken@/spec/issuer");
  CHECK(it.issuer(kFrom, "other", "https://o/") == "");
}

TEST_CASE("what enforcement points are told of an issuer is what they check by") {
  IssuerWorld it;
  CHECK(it.apply("Workload", "ci", "{}") == "");
  CHECK(it.issuer(kFrom + R"(,"jwks":)" + jwks_of("a") +
                  R"(,"principal":{"claim":"name","suffix":"@x","onlyListed":true,"listed":)"
                  R"([{"value":"ci","workload":"default/ci"},{"value":"a","user":"alice"}]},)"
                  R"("groups":{"claim":"groups","listed":[{"value":"x","group":"owners"}]})") == "");
  const auto read =
      enforce::issuer_from("corp", *codec::parse_json(it.fact("Wary::Issuer", "corp", "rules")->as_string()),
                           it.fact("Wary::Issuer", "corp", "jwks")->as_string());
  REQUIRE(read.ok());
  CHECK(read->url == "https://i/");
  CHECK(read->claim == "name");
  CHECK(read->only_listed);
  CHECK(read->algorithms.size() == 4);
  CHECK(read->subjects.at("ci").to_string() == "Wary::Workload::\"spiffe://local/default/ci\"");
  CHECK(read->groups.at("x") == "owners");
  CHECK(read->keys.size() == 1);
  // Who fetches its keys sees it; an agent does not.
  CHECK(snapshot_of(*it.world.plane->snapshot(), "local", "federation/").find("Wary::Issuer") != std::string::npos);
  CHECK(snapshot_of(*it.world.plane->snapshot(), "local", "agent/local").find("Wary::Issuer") == std::string::npos);
}

TEST_CASE("an API key is made with the hash of what its maker keeps, for one holder and until a time") {
  IssuerWorld it;
  const auto create = [&](const std::string& name, const std::string& spec, const std::string& seconds = "60") {
    const auto answer =
        it.world.call(owner(), "POST", "/v1/apikeys",
                      R"({"name":")" + name + R"(","expiresSeconds":)" + seconds + R"(,"spec":)" + spec + "}");
    return answer->status == 200 ? std::string("made") : answer->code();
  };
  const std::string good = R"({"user":"alice","sha256":")" + kHash + "\"}";
  CHECK(create("ci", good, "0") == "api_key_life");
  CHECK(create("ci", good, "31622401") == "api_key_life");
  CHECK(create("ci", R"({"sha256":")" + kHash + "\"}") == "api_key_holder");
  CHECK(create("ci", R"({"user":"alice","workload":"a/b","sha256":")" + kHash + "\"}") == "api_key_holder");
  CHECK(create("ci", R"({"user":"gone","sha256":")" + kHash + "\"}") == "reference_unknown");
  CHECK(create("ci", R"({"workload":"demo/gone","sha256":")" + kHash + "\"}") == "reference_unknown");
  CHECK(create("ci", R"({"user":"alice","apps":["demo/gone"],"sha256":")" + kHash + "\"}") == "reference_unknown");
  CHECK(create("ci", R"({"user":"alice","methods":["CONNECT"],"sha256":")" + kHash + "\"}") == "schema_enum");
  CHECK(create("ci", R"({"user":"alice","sha256":"short"})").starts_with("schema_"));
  CHECK(create("No Name", good) == "resource_name");
  CHECK(it.world.plane->objects().of_kind("ApiKeyHash").empty());
  CHECK(create("ci", R"({"user":"alice","methods":["GET"],"apps":["demo/site"],"sha256":")" + kHash + "\"}") == "made");
  CHECK(create("ci", good) == "api_key_exists");
  CHECK(create("other", good) == "api_key_taken");
  CHECK(it.world.count("apikey.create") >= 1);
  REQUIRE(it.fact("Wary::ApiKeyHash", kHash, "key") != nullptr);
  CHECK(it.fact("Wary::ApiKeyHash", kHash, "key")->to_string().find("\"ci\"") != std::string::npos);
  CHECK(it.fact("Wary::ApiKey", "ci", "active")->as_bool());
  CHECK(api_key_status(it.world.plane->objects(), "ci", it.world.sim.clock().unix_time())
            .string_or("summary", "")
            .starts_with("user alice  until "));
  // Whoever may not, makes none.
  CHECK(it.world.call({{"Wary::User", "alice"}, "", ""}, "POST", "/v1/apikeys", "{}")->code() == "denied");
  // Another key of the same name, and none.
  const std::string other(64, 'b');
  CHECK(it.apply("ApiKey", "ci", R"({"user":"alice","expiresAt":9000000000,"sha256":")" + other + "\"}") == "");
  CHECK(it.fact("Wary::ApiKeyHash", kHash, "key") == nullptr);
  CHECK(it.fact("Wary::ApiKeyHash", other, "key") != nullptr);
  CHECK(it.world.call(owner(), "DELETE", "/v1/objects/apikey/ci")->status == 200);
  CHECK(it.fact("Wary::ApiKeyHash", other, "key") == nullptr);
  CHECK(it.world.plane->snapshot()->find_entity({"Wary::ApiKey", "ci"}) == nullptr);
}

TEST_CASE("an API key, an issuer and one token are revoked by name, and restored") {
  IssuerWorld it;
  CHECK(it.issuer(kFrom) == "");
  CHECK(it.apply("ApiKey", "ci", R"({"user":"alice","expiresAt":9000000000,"sha256":")" + kHash + "\"}") == "");
  const auto call = [&](const std::string& path, const std::string& kind, const std::string& name) {
    const auto answer =
        it.world.call(owner(), "POST", path, R"({"kind":")" + kind + R"(","name":")" + name + R"(","reason":"test"})");
    it.world.run(2'000);
    return answer->status == 200 ? std::string("done") : answer->code();
  };
  const auto is_revoked = [&](const std::string& type, const std::string& id) {
    const codec::Json* fact = it.fact(type, id, "revoked");
    return fact != nullptr && fact->as_bool();
  };
  const std::string token = enforce::token_entity_id("corp", "id-1/x");
  CHECK(call("/v1/revoke", "apikey", "ci") == "done");
  CHECK(call("/v1/revoke", "issuer", "corp") == "done");
  CHECK(call("/v1/revoke", "token", "corp/id-1/x") == "done");
  CHECK(is_revoked("Wary::ApiKey", "ci"));
  CHECK(is_revoked("Wary::Issuer", "corp"));
  CHECK(is_revoked("Wary::Token", token));
  CHECK(call("/v1/revoke", "apikey", "gone") == "revoke_unknown");
  CHECK(call("/v1/revoke", "token", "corp") == "revoke_unknown");
  CHECK(call("/v1/revoke", "token", "gone/x") == "revoke_unknown");
  CHECK(call("/v1/restore", "apikey", "ci") == "done");
  CHECK(call("/v1/restore", "token", "corp/id-1/x") == "done");
  CHECK(call("/v1/restore", "token", "corp/never") == "revoke_unknown");
  CHECK_FALSE(is_revoked("Wary::ApiKey", "ci"));
  CHECK(it.world.plane->snapshot()->find_entity({"Wary::Token", token}) == nullptr);
}
