#include "contract/entity.h"

#include <doctest/doctest.h>

namespace wary::contract {
namespace {

TEST_CASE("an entity id comes back from its Cedar text") {
  for (const EntityId& id :
       {EntityId{"Wary::User", "alice"}, EntityId{"A", ""}, EntityId{"_a::B9", "a\"b\\c\n\x7f\x01"},
        EntityId{"A", std::string("z\0z", 3)}, EntityId{"A", "日本"}}) {
    const auto back = parse_entity_id(id.to_string());
    REQUIRE(back.ok());
    CHECK(*back == id);
  }
  CHECK(EntityId{"Wary::User", "alice"}.to_string() == "Wary::User::\"alice\"");
  CHECK(parse_entity_id(R"(A::"\n\r\t\0\'\"\\\x41\u{e9}\u{10FFFF}")")->id ==
        std::string("\n\r\t\0'\"\\A\xc3\xa9\xf4\x8f\xbf\xbf", 14));
}

TEST_CASE("text that is no entity id is refused with the offset") {
  for (const char* bad : {"",
                          "A",
                          "A::",
                          "A::\"",
                          "A::\"x",
                          "A::\"x\"y",
                          "\"x\"",
                          "::\"x\"",
                          "A:\"x\"",
                          "9::\"x\"",
                          "A::B",
                          "A::::\"x\"",
                          "A ::\"x\"",
                          R"(A::"\q")",
                          R"(A::"\)",
                          R"(A::"\x8f")",
                          R"(A::"\x4")",
                          R"(A::"\u{}")",
                          R"(A::"\u{d800}")",
                          R"(A::"\u{110000}")",
                          R"(A::"\u{1234567}")",
                          R"(A::"\u41")",
                          R"(A::"\u{+1}")",
                          "A::\"\xff\""}) {
    CAPTURE(bad);
    const auto id = parse_entity_id(bad);
    REQUIRE_FALSE(id.ok());
    CHECK(id.error().code == "entity_id_syntax");
    CHECK(id.error().where.starts_with("offset "));
  }
  CHECK_FALSE(parse_entity_id("A::\"" + std::string(9000, 'a') + "\"").ok());
}

Entity sample() {
  Entity entity;
  entity.tenant = "local";
  entity.id = {"Wary::User", "alice"};
  entity.parents = {{"Wary::Group", "dev"}};
  entity.attributes.push_back({"risk", 10, "risk", UnixTime{5}, UnixTime{10}, 100});
  entity.attributes.push_back({"email", "a@x", "resource", UnixTime{5}, std::nullopt, {}});
  entity.tags.push_back({"team", "blue", "resource", UnixTime{5}, std::nullopt, {}});
  return entity;
}

TEST_CASE("an entity comes back from its JSON") {
  CHECK(*entity_from_json(to_json(sample())) == sample());
  CHECK(*entity_from_json(*codec::parse_json(to_json(sample()).to_string())) == sample());
}

TEST_CASE("JSON that is no entity is refused with the pointer") {
  const auto refusal = [](auto change) {
    codec::Json json = to_json(sample());
    change(json);
    const auto entity = entity_from_json(json);
    return entity.ok() ? std::string("accepted") : entity.error().code + " " + entity.error().where;
  };
  using codec::Json;
  const auto attribute = [](Json& json) -> Json& {
    for (auto& [name, value] : json.members()) {
      if (name == "attributes") return value.items()[0];
    }
    return json;
  };
  CHECK(refusal([](Json&) {}) == "accepted");
  CHECK(refusal([](Json& j) { j = 3; }) == "entity_json_type ");
  CHECK(refusal([](Json& j) { j.set("more", 1); }) == "entity_json_unknown /more");
  CHECK(refusal([](Json& j) { j = Json::object(); }) == "entity_json_missing /tenant");
  CHECK(refusal([](Json& j) { j.set("tenant", ""); }) == "entity_json_value /tenant");
  CHECK(refusal([](Json& j) { j.set("tenant", 1); }) == "entity_json_type /tenant");
  CHECK(refusal([](Json& j) { j.set("tenant", std::string(5000, 'a')); }) == "entity_json_value /tenant");
  CHECK(refusal([](Json& j) { j.set("parents", 1); }) == "entity_json_type /parents");
  CHECK(refusal([](Json& j) { j.set("id", Json::object({{"type", "a b"}, {"id", "x"}})); }) ==
        "entity_json_value /id/type");
  CHECK(refusal([](Json& j) { j.set("parents", Json::array({Json::object()})); }) ==
        "entity_json_missing /parents/0/type");
  CHECK(refusal([](Json& j) { j.set("parents", Json::array(std::vector<Json>(257))); }) ==
        "entity_json_limit /parents");
  CHECK(refusal([&](Json& j) { attribute(j).set("since", "now"); }) == "entity_json_type /attributes/0/since");
  CHECK(refusal([&](Json& j) { attribute(j).set("name", "email"); }) == "entity_json_value /attributes/1/name");
  CHECK(refusal([&](Json& j) {
          std::erase_if(attribute(j).members(), [](auto& m) { return m.first == "on_expiry"; });
        }) == "entity_json_missing /attributes/0/on_expiry");
}

}  // namespace
}  // namespace wary::contract
