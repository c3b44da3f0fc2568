#include "schema/conformance.h"

#include <doctest/doctest.h>

using namespace wary;
using namespace wary::schema;

namespace {

const Schema& sample() {
  static const SchemaResult made = Schema::from_text("sample", R"(
    entity Team in [Org];
    entity Org;
    entity Color enum ["red", "green"];
    entity User in [Team] { age: Long, ip?: ipaddr, team?: Team, pay?: decimal, since?: datetime, ttl?: duration,
                            rec?: { a: Long, b?: Team }, likes?: Set<Color> } tags Set<ipaddr>;
    action read in [rw] appliesTo { principal: User, resource: Team, context: { mfa: Bool, from?: ipaddr } };
    action rw in [all];
    action all;)");
  REQUIRE(made.schema);
  return *made.schema;
}

// "where code", or "" when it fits.
std::string user(const std::string& attributes, const std::string& rest = R"(,"parents":[])") {
  const auto json = codec::parse_json(R"({"uid":{"type":"User","id":"a"},"attrs":)" + attributes + rest + "}");
  if (!json.ok()) return json.error().to_string();
  const auto entity = entity_from_json(sample(), *json);
  return entity.ok() ? "" : entity.error().where + " " + entity.error().code;
}

std::string entity(const std::string& text) {
  const auto read = entity_from_json(sample(), *codec::parse_json(text));
  return read.ok() ? "" : read.error().where + " " + read.error().code;
}

std::string request(std::string_view principal, std::string_view action, std::string_view resource,
                    cedar::Value context) {
  cedar::Request request{cedar::make_entity(principal, "x"), cedar::make_entity("Action", action),
                         cedar::make_entity(resource, "y"), std::move(context)};
  const Status fits = validate_request(sample(), request);
  return fits.ok() ? "" : fits.error().where + " " + fits.error().code;
}

}  // namespace

TEST_CASE("the schema says how values are written") {
  const auto json = codec::parse_json(R"({"uid":{"type":"User","id":"a"},"parents":[{"type":"Team","id":"t"}],
    "attrs":{"age":1,"ip":"10.0.0.1","team":{"type":"Team","id":"t"},"pay":{"fn":"decimal","arg":"1.5"},
             "since":{"__extn":{"fn":"datetime","arg":"2024-01-01"}},"ttl":"1h",
             "rec":{"a":1,"b":{"__entity":{"type":"Team","id":"u"}}},
             "likes":[{"type":"Color","id":"red"}]},"tags":{"net":["10.0.0.0/8"]}})");
  const auto read = entity_from_json(sample(), *json);
  REQUIRE(read.ok());
  const cedar::Entity& alice = **read;
  CHECK(cedar::find_member(alice.attributes, "ip")->as_ip() != nullptr);
  CHECK((*cedar::find_member(alice.attributes, "team")->as_entity())->id == "t");
  CHECK(cedar::find_member(alice.attributes, "pay")->as_decimal()->ten_thousandths == 15'000);
  CHECK(cedar::find_member(alice.attributes, "since")->as_datetime() != nullptr);
  CHECK(cedar::find_member(alice.attributes, "ttl")->as_duration()->milliseconds == 3'600'000);
  CHECK(cedar::find_member(alice.tags, "net")->as_set()->front().as_ip() != nullptr);
}

TEST_CASE("entities that are not what the schema says are refused, with the place") {
  CHECK(user(R"({"age":1})").empty());
  CHECK(user(R"({})") == "/attrs/age conformance_missing");
  CHECK(user(R"({"age":"1"})") == "/attrs/age conformance_type");
  CHECK(user(R"({"age":1,"agee":2})") == "/attrs/agee conformance_undeclared");
  CHECK(user(R"({"age":1,"ip":"10.0.0"})") == "/attrs/ip cedar_extension");
  CHECK(user(R"({"age":1,"ip":{"fn":"decimal","arg":"1.0"}})") == "/attrs/ip conformance_type");
  CHECK(user(R"({"age":1,"team":{"type":"Org","id":"t"}})") == "/attrs/team conformance_type");
  CHECK(user(R"({"age":1,"team":"t"})") == "/attrs/team conformance_type");
  CHECK(user(R"({"age":1,"rec":{}})") == "/attrs/rec/a conformance_missing");
  CHECK(user(R"({"age":1,"rec":{"a":1,"z":1}})") == "/attrs/rec/z conformance_undeclared");
  CHECK(user(R"({"age":1,"likes":[{"type":"Color","id":"blue"}]})") == "/attrs/likes/0 conformance_enum_id");
  CHECK(user(R"({"age":1})", R"(,"parents":[{"type":"Org","id":"o"}])").empty());
  CHECK(user(R"({"age":1})", R"(,"parents":[{"type":"User","id":"o"}])") == "/parents/0 conformance_parent");
  CHECK(user(R"({"age":1})", R"(,"parents":[],"tags":{"a":"b"})") == "/tags/a conformance_type");
  CHECK(entity(R"({"uid":{"type":"Team","id":"t"},"attrs":{},"parents":[],"tags":{"a":1}})") ==
        "/tags/a conformance_no_tags");
  CHECK(entity(R"({"uid":{"type":"X","id":"t"},"attrs":{},"parents":[]})") == "/uid conformance_unknown_type");
  CHECK(entity(R"({"uid":{"type":"Color","id":"blue"},"attrs":{},"parents":[]})") == "/uid conformance_enum_id");
}

TEST_CASE("supplied actions must be those of the schema, which are added") {
  CHECK(entity(R"({"uid":{"type":"Action","id":"read"},"attrs":{},"parents":[{"type":"Action","id":"rw"}]})").empty());
  CHECK(entity(R"({"uid":{"type":"Action","id":"read"},"attrs":{},"parents":[]})") == " conformance_action");
  CHECK(entity(R"({"uid":{"type":"Action","id":"read"},"attrs":{},"parents":[{"type":"Action","id":"all"}]})") ==
        " conformance_action");
  CHECK(entity(R"({"uid":{"type":"Action","id":"no"},"attrs":{},"parents":[]})") == "/uid conformance_unknown_action");
  const auto all = entities_from_json(sample(), *codec::parse_json("[]"));
  REQUIRE(all.ok());
  CHECK(all->size() == 3);
  CHECK(validate_entities(sample(), *all).ok());
}

TEST_CASE("a request fits its action") {
  const auto context = [](bool mfa) { return cedar::Value::record({{"mfa", cedar::Value(mfa)}}); };
  CHECK(request("User", "read", "Team", context(true)).empty());
  CHECK(request("X", "read", "Team", context(true)) == "/principal conformance_unknown_type");
  CHECK(request("Team", "read", "Team", context(true)) == "/principal conformance_not_applicable");
  CHECK(request("User", "read", "User", context(true)) == "/resource conformance_not_applicable");
  CHECK(request("User", "raed", "Team", context(true)) == "/action conformance_unknown_action");
  CHECK(request("User", "rw", "Team", context(true)) == "/principal conformance_not_applicable");
  CHECK(request("Color", "read", "Team", context(true)) == "/principal conformance_enum_id");
  CHECK(request("User", "read", "Team", cedar::Value::record({})) == "/context/mfa conformance_missing");
  CHECK(request("User", "read", "Team", cedar::Value::record({{"mfa", cedar::Value(1)}})) ==
        "/context/mfa conformance_type");
}
