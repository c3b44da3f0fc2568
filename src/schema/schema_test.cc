#include "schema/schema.h"

#include <doctest/doctest.h>

using namespace wary;
using namespace wary::schema;

namespace {

// The error code, or "" when it is a schema.
std::string code_of(const std::string& text) {
  const SchemaResult made = Schema::from_text("t", text);
  return made.schema ? "" : made.errors.at(0).error.code;
}

std::string json_code_of(const std::string& text) {
  const auto json = codec::parse_json(text);
  if (!json.ok()) return json.error().code;
  const SchemaResult made = Schema::from_json(*json);
  return made.schema ? "" : made.errors.at(0).error.code;
}

// As to_string of the attribute's type, or the error code.
std::string type_in(const std::string& text, std::string_view entity, std::string_view attribute) {
  const SchemaResult made = Schema::from_text("t", text);
  if (!made.schema) return made.errors.at(0).error.code;
  const EntityType* type = made.schema->find_entity_type(entity);
  if (type == nullptr || type->find(attribute) == nullptr) return "none";
  return to_string(*type->find(attribute)->type);
}

std::string repeat(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("an error names file, line and column, marks the place and says what may be meant") {
  const SchemaResult made = Schema::from_text("app.cedarschema", "entity Team;\nentity User { team: Taem };\n");
  REQUIRE(made.errors.size() == 1);
  const cedar::SyntaxError& error = made.errors[0];
  CHECK(error.error.code == "cedarschema_undefined");
  CHECK(error.error.where == "app.cedarschema:2:21");
  CHECK(error.error.next_step == "did you mean `Team`?");
  CHECK(error.caret == "entity User { team: Taem };\n                    ^^^^");
}

TEST_CASE("everything that is wrong is reported in one run") {
  const SchemaResult made =
      Schema::from_text("t", "entity A = {x: };\nentity B in [C;\naction a appliesTo {};\nentity D;");
  CHECK(made.errors.size() == 3);
  CHECK(Schema::from_text("t", "entity A {x: No, y: Nein}; entity B {z: Non};").errors.size() == 2);
}

TEST_CASE("every kind of declaration is read") {
  const SchemaResult made = Schema::from_text("t", R"(
    @doc("people") entity User, Guest in [Team, Org::Group] = { name: String, "of age"?: Bool, } tags Set<Long>;
    entity Team { lead: User };
    entity Color enum ["red", "green"];
    type Place = { city: String, ip: ipaddr };
    action view, "list all" in [read, Action::"any"] appliesTo {
      principal: [User, Guest], resource: Team, context: { at: datetime, from?: Place },
    };
    action read, any;
    namespace Org { entity Group; @note action join in [read] appliesTo { principal: User, resource: Group }; })");
  REQUIRE(made.schema);
  const Schema& schema = *made.schema;
  CHECK(schema.entity_types().size() == 5);
  CHECK(schema.actions().size() == 5);
  CHECK(schema.environments().size() == 5);
  const EntityType* user = schema.find_entity_type("User");
  CHECK(!user->find("of age")->is_required);
  CHECK(to_string(*user->tags) == "Set<Long>");
  CHECK(schema.is_beneath(*user, *schema.find_entity_type("Org::Group")));
  CHECK(schema.find_entity_type("Color")->choices == std::vector<std::string>{"green", "red"});
  const Action* view = schema.find_action({"Action", "view"});
  CHECK(to_string(*view->context) == "{at: datetime, from?: {city: String, ip: ipaddr}}");
  const Action* join = schema.find_action({"Org::Action", "join"});
  CHECK(schema.is_beneath(*join, *schema.find_action({"Action", "read"})));
  CHECK(schema.action_entities().size() == 5);
}

TEST_CASE("a name means what is nearest") {
  CHECK(type_in("namespace N { type T = Long; entity E {x: T}; }", "N::E", "x") == "Long");
  CHECK(type_in("type T = Bool; namespace N { entity E {x: T}; }", "N::E", "x") == "Bool");
  CHECK(type_in("namespace N { entity E {x: F}; } entity F;", "N::E", "x") == "F");
  CHECK(type_in("namespace N { entity E {x: F}; } namespace M { entity F; }", "N::E", "x") == "cedarschema_undefined");
  CHECK(type_in("entity E {x: F}; entity F; type F = String;", "E", "x") == "String");
  CHECK(type_in("type ipaddr = String; entity E {x: ipaddr, y: __cedar::ipaddr};", "E", "x") == "String");
  CHECK(type_in("type ipaddr = String; entity E {x: ipaddr, y: __cedar::ipaddr};", "E", "y") == "ipaddr");
  CHECK(type_in("entity String; entity E {x: String, y: __cedar::String};", "E", "x") == "String");
  CHECK(type_in("entity E {x: Action}; action a;", "E", "x") == "Action");
}

TEST_CASE("what a namespace would hide is refused") {
  CHECK(code_of("namespace N { entity A; } entity A;") == "cedarschema_shadows");
  CHECK(code_of("namespace N { type A = Long; } entity A;") == "cedarschema_shadows");
  CHECK(code_of("namespace N { action a; } action a;") == "cedarschema_shadows");
  CHECK(code_of("namespace N { entity A; } namespace M { entity A; }").empty());
  CHECK(code_of("entity A; type A = Long;").empty());
  CHECK(code_of("namespace N { entity String; }").empty());
}

TEST_CASE("reserved names are refused where they are declared") {
  for (const char* text : {"entity __cedar;", "namespace __cedar {}", "namespace A::__cedar {}", "type __cedar = Long;",
                           "type Bool = Long;", "type Set = Long;", "entity in;", "entity if;", "action has;"}) {
    CAPTURE(text);
    CHECK(code_of(text) == "cedar_reserved");
  }
  CHECK(code_of("entity Action;") == "cedarschema_action_type");
  CHECK(code_of("entity entity; entity type; entity Set; entity tags; action \"in\";").empty());
}

TEST_CASE("cycles are refused, except among entity types") {
  CHECK(code_of("type A = A;") == "cedarschema_cycle");
  CHECK(code_of("type A = {x: B}; type B = Set<A>;") == "cedarschema_cycle");
  CHECK(code_of("action a in [b]; action b in [c]; action c in [a];") == "cedarschema_cycle");
  CHECK(code_of("entity A in [B]; entity B in [A];").empty());
  CHECK(code_of("type A = {x: E}; entity E {y: A};").empty());
}

TEST_CASE("declarations that say nothing or two things are refused") {
  CHECK(code_of("entity A; entity A;") == "cedarschema_duplicate");
  CHECK(code_of("type A = Long; type A = Long;") == "cedarschema_duplicate");
  CHECK(code_of("action a, a;") == "cedarschema_duplicate");
  CHECK(code_of("namespace N {} namespace N {}") == "cedarschema_duplicate");
  CHECK(code_of("entity A {x: Long, x: Bool};") == "cedarschema_duplicate");
  CHECK(code_of("@a(\"1\") @a(\"2\") entity A;") == "cedar_duplicate_annotation");
  CHECK(code_of("entity A; action a appliesTo {principal: A};") == "cedarschema_applies_to");
  CHECK(code_of("entity A; action a appliesTo {principal: [], resource: A};") == "cedarschema_applies_to");
  CHECK(code_of("entity A; action a appliesTo {principal: A, principal: A, resource: A};") == "cedarschema_duplicate");
  CHECK(code_of("entity A; action a appliesTo {principal: A, resource: A, context: T}; type T = Long;") ==
        "cedarschema_not_record");
  CHECK(code_of("entity A; action a appliesTo {principal: Action, resource: A};") == "cedarschema_undefined");
  CHECK(code_of("action a in [b];") == "cedarschema_undefined");
}

TEST_CASE("the JSON form is strict and names the place") {
  CHECK(json_code_of(R"({"":{"entityTypes":{},"actions":{}}})").empty());
  CHECK(json_code_of(R"({"":{"entityTypes":{}}})") == "cedarschema_json_type");
  CHECK(json_code_of(R"({"":{"entityTypes":{},"actions":{},"x":1}})") == "cedarschema_json_member");
  CHECK(json_code_of(R"({"":{"entityTypes":{"A":{},"A":{}},"actions":{}}})") == "json_duplicate_key");
  CHECK(json_code_of(R"({"":{"entityTypes":{},"actions":{"a":{"attributes":{}}}}})") == "cedarschema_unsupported");
  const auto json = codec::parse_json(
      R"({"N":{"actions":{},"entityTypes":{"A":{"shape":{
          "type":"Record","attributes":{"a/b":{"type":"Entity","name":"B"}}}}}}})");
  const SchemaResult made = Schema::from_json(*json);
  REQUIRE(made.errors.size() == 1);
  CHECK(made.errors[0].error.where == "/N/entityTypes/A/shape/attributes/a~1b");
  CHECK(made.errors[0].error.code == "cedarschema_undefined");
}

TEST_CASE("the two forms convert into each other") {
  const std::string text = R"(@n("x")
namespace N {
  type T = {
    @a
    "b c"?: Set<__cedar::Long>
  };

  entity A enum ["x", "\"y"];

  entity B in [A] = {
    t: T
  } tags N::B;

  action "do it" in [Action::"all", "more"] appliesTo {
    principal: [B],
    resource: [A, B],
    context: {}
  };

  action "all";

  action "more";
}
)";
  const auto parsed = parse_schema(cedar::Source::make("t", text));
  REQUIRE(parsed.declarations);
  const auto again = declarations_from_json(to_json(*parsed.declarations));
  REQUIRE(again.ok());
  auto written = to_text(*again);
  REQUIRE(written.ok());
  // JSON knows no annotation without a value.
  CHECK(written->replace(written->find("@a(\"\")"), 6, "@a") == text);
  CHECK(*Schema::resolve(*again).schema == *Schema::from_text("t", text).schema);
}

TEST_CASE("what the text form cannot say is refused") {
  const auto json = codec::parse_json(
      R"({"":{"commonTypes":{"C":{"type":"Record","attributes":{}}},
               "entityTypes":{"A":{"shape":{"type":"C"}}},"actions":{}}})");
  const auto declarations = declarations_from_json(*json);
  REQUIRE(declarations.ok());
  CHECK(to_text(*declarations).error().code == "cedarschema_inexpressible");
  CHECK(Schema::resolve(*declarations).schema);
}

TEST_CASE("hostile schemas end in a clean error") {
  CHECK(code_of("entity A {x: " + repeat("Set<", 200) + "Long" + repeat(">", 200) + "};") == "cedar_depth");
  CHECK(code_of("entity A {x: " + repeat("{a: ", 100'000) + "Long" + repeat("}", 100'000) + "};") == "cedar_depth");
  // Each type is twice the one before: written out, the last would have 2^40 nodes.
  std::string doubling = "type T0 = {a: Long, b: Long};";
  for (int i = 1; i < 40; ++i) {
    const std::string last = "T" + std::to_string(i - 1);
    doubling += "type T" + std::to_string(i) + " = {a: " + last + ", b: " + last + "};";
  }
  CHECK(code_of(doubling) == "cedarschema_size");
  // One body declared for many names counts once a name.
  std::string names = "entity E0";
  for (int i = 1; i < 5000; ++i) names += ",E" + std::to_string(i);
  std::string body = " {";
  for (int i = 0; i < 1000; ++i) body += "a" + std::to_string(i) + ": Long,";
  CHECK(code_of(names + body + "};") == "cedar_items");
  CHECK(code_of("entity A \xff;") == "cedar_utf8");
  CHECK(code_of("entity A enum [\"x];") == "cedar_syntax");
  const auto chain = [](int length) {
    std::string out = "type T0 = Long;";
    for (int i = 1; i < length; ++i) out += "type T" + std::to_string(i) + " = T" + std::to_string(i - 1) + ";";
    return out;
  };
  CHECK(code_of(chain(500)).empty());
  CHECK(code_of(chain(2000)) == "cedarschema_size");
}
