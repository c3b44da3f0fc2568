#include "codec/json_schema.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/skip.h"
#include "tests/support/testdata.h"

using namespace wary;
using namespace wary::codec;

namespace {

JsonSchema compiled(std::string_view text) {
  Result<JsonSchema> schema = JsonSchema::compile(parse_json(text).value());
  REQUIRE_MESSAGE(schema.ok(), text << (schema.ok() ? "" : schema.error().to_string()));
  return *std::move(schema);
}
std::vector<SchemaError> errors(std::string_view schema, std::string_view value) {
  return compiled(schema).validate(parse_json(value).value());
}
Error refused_schema(std::string_view text) {
  Result<JsonSchema> schema = JsonSchema::compile(parse_json(text).value());
  REQUIRE_MESSAGE(!schema.ok(), text);
  return schema.error();
}

}  // namespace

TEST_CASE("reports every fault of a resource with its pointer, code and what was expected") {
  const std::string_view schema = R"({
    "type": "object", "required": ["name", "port"], "additionalProperties": false,
    "properties": {
      "name": {"type": "string", "format": "dns-label", "description": "who"},
      "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80},
      "mode": {"enum": ["fast", "safe"]},
      "tags/x": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "uniqueItems": true,
                 "maxItems": 3},
      "peer": {"$ref": "#/$defs/peer"}},
    "$defs": {"peer": {"oneOf": [{"type": "string", "format": "spiffe-id"},
                                 {"type": "object", "required": ["host"]}]}}})";
  CHECK(errors(schema, R"({"name":"a","port":80,"mode":"safe","tags/x":["a","b"],"peer":"spiffe://a/b"})").empty());
  CHECK(errors(schema, R"({"name":"a","port":80,"peer":{"host":1}})").empty());
  const auto found = errors(schema, R"({"nmae":"a","port":0,"mode":"slow","tags/x":["a","B","a"],"peer":7})");
  const std::vector<SchemaError> wanted = {
      {"", "schema_required", "a required member is missing", "name", ""},
      {"/nmae", "schema_unknown_property", "this member is not known here", "name", "nmae"},
      {"/port", "schema_minimum", "the number is too small", ">= 1", "0"},
      {"/mode", "schema_enum", "the value is none of those allowed", R"("fast", "safe")", R"("slow")"},
      {"/tags~1x/1", "schema_pattern", "the text does not match", "^[a-z]+$", R"("B")"},
      {"/tags~1x/2", "schema_unique_items", "the list has this item already", "", R"("a")"},
      {"/peer", "schema_one_of", "the value does not fit exactly one of the alternatives", "", "7"}};
  CHECK(found == wanted);
  CHECK(found[2].to_error().to_string() == "/port: the number is too small (expected >= 1, found 0) [schema_minimum]");
  CHECK(errors(schema, "[]")[0].expected == "object");
  CHECK(errors(schema, "[]")[0].found == "array");
  CHECK(compiled(schema).validate(parse_json(R"({"a":1,"b":2})").value(), 1).size() == 1);
}

TEST_CASE("each remaining keyword has its code") {
  const auto code = [](std::string_view schema, std::string_view value) {
    const auto found = errors(schema, value);
    return found.empty() ? std::string("valid") : found[0].code;
  };
  CHECK(code("false", "1") == "schema_never");
  CHECK(code("true", "1") == "valid");
  CHECK(code(R"({"const":{"a":1,"b":2}})", R"({"b":2.0,"a":1})") == "valid");
  CHECK(code(R"({"const":1})", "2") == "schema_enum");
  CHECK(code(R"({"maximum":9223372036854775806})", "9223372036854775807") == "schema_maximum");
  CHECK(code(R"({"exclusiveMinimum":1.5})", "1.5") == "schema_minimum");
  CHECK(code(R"({"exclusiveMaximum":2})", "2") == "schema_maximum");
  CHECK(code(R"({"minLength":2})", "\"\xc3\xa9\"") == "schema_min_length");
  CHECK(code(R"({"maxLength":1})", "\"\xc3\xa9\"") == "valid");
  CHECK(code(R"({"maxLength":1})", R"("ab")") == "schema_max_length");
  CHECK(code(R"({"minItems":1})", "[]") == "schema_min_items");
  CHECK(code(R"({"maxItems":1})", "[1,2]") == "schema_max_items");
  CHECK(code(R"({"uniqueItems":true})", "[1,1.0]") == "schema_unique_items");
  CHECK(code(R"({"anyOf":[{"type":"string"},{"minimum":3}]})", "2") == "schema_any_of");
  CHECK(code(R"({"oneOf":[{"minimum":1},{"minimum":3}]})", "4") == "schema_one_of");
  CHECK(code(R"({"allOf":[{"minimum":1},{"maximum":3}]})", "4") == "schema_maximum");
  CHECK(code(R"({"additionalProperties":{"type":"string"}})", R"({"a":1})") == "schema_type");
  CHECK(code(R"({"type":"integer"})", "1.0") == "valid");
  CHECK(code(R"({"type":"integer"})", "1.5") == "schema_type");
  CHECK(code(R"({"format":"hostname"})", R"("A.example")") == "valid");
  CHECK(code(R"({"format":"hostname"})", R"("a..b")") == "schema_format");
  CHECK(code(R"({"format":"uri"})", R"("ftp://a")") == "schema_format");
  CHECK(code(R"({"format":"dns-label"})", R"("-a")") == "schema_format");
}

TEST_CASE("refuses schemas that it would not keep") {
  const auto check = [](std::string_view text, std::string_view code, std::string_view where) {
    CHECK_MESSAGE(refused_schema(text).code == code, text);
    CHECK_MESSAGE(refused_schema(text).where == where, text);
  };
  check(R"({"properties":{"a":{"patternProperties":{}}}})", "schema_keyword", "/properties/a/patternProperties");
  check(R"({"items":{"$defs":{}}})", "schema_keyword", "/items/$defs");
  check("1", "schema_syntax", "the root");
  check(R"({"type":"text"})", "schema_syntax", "/type");
  check(R"({"type":[]})", "schema_syntax", "/type");
  check(R"({"required":[1]})", "schema_syntax", "/required");
  check(R"({"required":"a"})", "schema_syntax", "/required");
  check(R"({"properties":[]})", "schema_syntax", "/properties");
  check(R"({"enum":1})", "schema_syntax", "/enum");
  check(R"({"enum":[1],"const":1})", "schema_syntax", "/const");
  check(R"({"minItems":-1})", "schema_syntax", "/minItems");
  check(R"({"minimum":"1"})", "schema_syntax", "/minimum");
  check(R"({"uniqueItems":1})", "schema_syntax", "/uniqueItems");
  check(R"({"anyOf":[]})", "schema_syntax", "/anyOf");
  check(R"({"allOf":[true,{"minLength":"x"}]})", "schema_syntax", "/allOf/1/minLength");
  check(R"({"pattern":"("})", "schema_syntax", "/pattern");
  check(R"({"pattern":1})", "schema_syntax", "/pattern");
  check(R"({"format":"email"})", "schema_syntax", "/format");
  check(R"({"$defs":1})", "schema_syntax", "/$defs");
  check(R"({"$ref":1})", "schema_syntax", "/$ref");
  check(R"({"$ref":"#/$defs/missing"})", "schema_ref", "/$ref");
  check(R"({"$ref":"other.json"})", "schema_ref", "/$ref");
  check(R"({"$ref":"#"})", "schema_loop", "the root");
  check(R"({"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"}]}}})", "schema_loop", "the root");
  std::string deep = "true";
  for (int i = 0; i < 65; ++i) deep = R"({"items":)" + deep + "}";
  Result<Json> parsed = parse_json(deep, {.depth = 100});
  CHECK(JsonSchema::compile(parsed.value()).error().code == "schema_depth");
}

TEST_CASE("a schema that refers to itself follows the value and ends in time") {
  const std::string_view tree = R"({"type":"object","additionalProperties":{"$ref":"#"}})";
  CHECK(errors(tree, R"({"a":{"b":{"c":{}}}})").empty());
  CHECK(errors(tree, R"({"a":{"b":{"c":1}}})")[0].pointer == "/a/b/c");
  const std::string_view bomb =
      R"({"anyOf":[{"allOf":[{"items":{"$ref":"#"}}],"minItems":9},{"allOf":[{"items":{"$ref":"#"}}],"minItems":8}]})";
  const std::string nested = std::string(60, '[') + std::string(60, ']');
  const auto found = errors(bomb, nested);
  REQUIRE_FALSE(found.empty());
  CHECK(found[0].code == "schema_steps");
}

TEST_CASE("agrees with the published JSON Schema suite on every schema it compiles") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  int compiled_schemas = 0, outside = 0, verdicts = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*data + "/access/jsonschema/tests/draft2020-12")) {
    if (!entry.is_regular_file()) continue;
    const Result<Json> groups = parse_json(test::read_file(entry.path()).value());
    const std::string file = entry.path().filename();
    if (!groups.ok()) {
      // One file has integers of more than 64 bits.
      CHECK_MESSAGE(groups.error().code == "json_integer_range", file);
      continue;
    }
    for (const Json& group : groups->items()) {
      const Result<JsonSchema> schema = JsonSchema::compile(*group.find("schema"));
      if (!schema.ok()) {
        ++outside;
        continue;
      }
      ++compiled_schemas;
      for (const Json& item : group.find("tests")->items()) {
        // The draft lets format be asserted, which we do; the suite tests the other choice here.
        if (item.string_or("description", "").find("only an annotation") != std::string_view::npos) continue;
        ++verdicts;
        const bool valid = schema->validate(*item.find("data")).empty();
        CHECK_MESSAGE(valid == item.bool_or("valid", false),
                      file << ": " << std::string(group.string_or("description", "")) << ": "
                           << std::string(item.string_or("description", "")));
      }
    }
  }
  CHECK(compiled_schemas == 62);
  CHECK(outside == 201);  // keywords beyond ours; may not grow silently
  CHECK(verdicts == 247);
}
