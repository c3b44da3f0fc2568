#include "codec/json.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "codec/error_json.h"
#include "codec/json_scan.h"
#include "tests/support/archive.h"
#include "tests/support/skip.h"

using namespace wary;
using codec::Json;
using codec::parse_json;

namespace {

Json parsed_json(std::string_view text) {
  Result<Json> value = parse_json(text);
  REQUIRE_MESSAGE(value.ok(), text);
  return *std::move(value);
}
Error refused_json(std::string_view text, const Limits& limits = {}) {
  Result<Json> value = parse_json(text, limits);
  REQUIRE_MESSAGE(!value.ok(), text);
  CHECK_FALSE(codec::scan_json(text, limits).ok());
  return std::move(value).error();
}

}  // namespace

TEST_CASE("reads every kind of value") {
  const Json value = parsed_json(R"({"n":null,"t":true,"i":-7,"d":2.5,"s":"a\u00e9\ud83d\ude00","a":[1,[]],"o":{}})");
  CHECK(value.find("n")->is_null());
  CHECK(value.bool_or("t", false));
  CHECK(value.integer_or("i", 0) == -7);
  CHECK(value.find("d")->as_number() == 2.5);
  CHECK(value.string_or("s", "") == "a\xc3\xa9\xf0\x9f\x98\x80");
  CHECK(value.find("a")->items().size() == 2);
  CHECK(value.find("o")->members().empty());
  CHECK(value.find("missing") == nullptr);
  CHECK(value.find("i")->find("x") == nullptr);
  CHECK(value.string_or("i", "fallback") == "fallback");
  CHECK(value.integer_or("s", 3) == 3);
  CHECK(value.bool_or("s", true));
}

TEST_CASE("integers are exact over the whole int64 range and refused outside it") {
  CHECK(parsed_json("9223372036854775807").as_integer() == std::numeric_limits<std::int64_t>::max());
  CHECK(parsed_json("-9223372036854775808").as_integer() == std::numeric_limits<std::int64_t>::min());
  CHECK(parsed_json("9007199254740993").as_integer() == 9007199254740993);
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "18446744073709551615",
                           "18446744073709551616", "123456789012345678901234567890"}) {
    CHECK(refused_json(text).code == "json_integer_range");
  }
  CHECK(refused_json("1e999").code == "json_number_range");
  CHECK(parsed_json("1e-999").as_number() == 0.0);
}

TEST_CASE("refuses each defect with its code and position") {
  const auto check = [](std::string_view text, std::string_view code, std::string_view where) {
    const Error error = refused_json(text);
    CHECK_MESSAGE(error.code == code, text);
    CHECK_MESSAGE(error.where == where, text);
  };
  check("", "json_syntax", "line 1, column 1 (byte 0)");
  check("{\n  \"a\": 1,\n  \"a\": 2}", "json_duplicate_key", "line 3, column 3 (byte 14)");
  check(R"({"a":1,"\u0061":2})", "json_duplicate_key", "line 1, column 8 (byte 7)");
  check("[1] 2", "json_syntax", "line 1, column 5 (byte 4)");
  check("[1,]", "json_syntax", "line 1, column 4 (byte 3)");
  check("[1 2]", "json_syntax", "line 1, column 4 (byte 3)");
  check("{a:1}", "json_syntax", "line 1, column 2 (byte 1)");
  check("{\"a\" 1}", "json_syntax", "line 1, column 6 (byte 5)");
  check("{\"a\":1 \"b\":2}", "json_syntax", "line 1, column 8 (byte 7)");
  check("\"\xff\"", "json_utf8", "line 1, column 2 (byte 1)");
  check("\"\xed\xa0\x80\"", "json_utf8", "line 1, column 2 (byte 1)");
  check("\"\\ud800x\"", "json_utf8", "line 1, column 2 (byte 1)");
  check("\"\\udc00\"", "json_utf8", "line 1, column 2 (byte 1)");
  check("\"\\x\"", "json_syntax", "line 1, column 2 (byte 1)");
  check("\"\\u12g4\"", "json_syntax", "line 1, column 2 (byte 1)");
  check("\"a\nb\"", "json_syntax", "line 1, column 3 (byte 2)");
  check("\"a", "json_syntax", "line 1, column 3 (byte 2)");
  check("01", "json_syntax", "line 1, column 1 (byte 0)");
  check("1.", "json_syntax", "line 1, column 1 (byte 0)");
  check("1e", "json_syntax", "line 1, column 1 (byte 0)");
  check("tru", "json_syntax", "line 1, column 1 (byte 0)");
  check("\xef\xbb\xbf{}", "json_syntax", "line 1, column 1 (byte 0)");
}

TEST_CASE("finds a duplicate among many members") {
  std::string text = "{";
  for (int i = 0; i < 40; ++i) text += "\"k" + std::to_string(i) + "\":1,";
  CHECK(parsed_json(text + "\"last\":1}").members().size() == 41);
  CHECK(refused_json(text + "\"k7\":1}").code == "json_duplicate_key");
}

TEST_CASE("keeps its limits at the bound and refuses one more") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(parse_json(nested(64)).ok());
  CHECK(refused_json(nested(65)).code == "json_depth");
  CHECK(refused_json(nested(5000)).code == "json_depth");
  CHECK(refused_json(R"({"a":{"a":1}})", {.depth = 1}).code == "json_depth");
  const Limits limits{.bytes = 12, .items = 3, .total = 5};
  CHECK(parse_json("[1,2,3]     ", limits).ok());
  CHECK(refused_json("[1,2,3]      ", limits).code == "json_size");
  CHECK(refused_json("[1,2,3,4]", limits).code == "json_items");
  CHECK(parse_json("[[1,2],3]", limits).ok());
  CHECK(refused_json("[[1,2],3,4]", limits).code == "json_items");
  CHECK(refused_json(R"({"a":1,"b":2})", {.items = 1}).code == "json_items");
}

TEST_CASE("writes what it reads back as the same value") {
  const std::string text = R"({"b":[1,2.5,"x\"\\\n\u0001/"],"a":{"z":null,"y":true}})";
  const Json value = parsed_json(text);
  CHECK(value.to_string() == text);
  CHECK(value.to_canonical_string() == R"({"a":{"y":true,"z":null},"b":[1,2.5,"x\"\\\n\u0001/"]})");
  CHECK(value.to_pretty_string() ==
        "{\n  \"b\": [\n    1,\n    2.5,\n    \"x\\\"\\\\\\n\\u0001/\"\n  ],\n  \"a\": {\n    \"z\": null,\n"
        "    \"y\": true\n  }\n}");
  CHECK(Json::array().to_pretty_string() == "[]");
  CHECK(Json::object().to_pretty_string() == "{}");
}

TEST_CASE("a double stays a double and the shortest digits are written") {
  CHECK(Json(1.0).to_string() == "1.0");
  CHECK(Json(0.1).to_string() == "0.1");
  CHECK(Json(1e22).to_string() == "1e+22");
  CHECK(parsed_json(Json(1.0).to_string()) == Json(1.0));
  CHECK_FALSE(Json(1.0) == Json(1));
  CHECK(Json(std::numeric_limits<double>::infinity()).to_string() == "null");
}

TEST_CASE("bytes that are no UTF-8 are written as the replacement character") {
  CHECK(Json("a\xff\xc3\xa9\x80z").to_string() == "\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbdz\"");
}

TEST_CASE("set adds or replaces and push appends") {
  Json object = Json::object();
  object.set("a", 1).set("b", Json::array().push("x").push(true)).set("a", 2);
  CHECK(object.to_string() == R"({"a":2,"b":["x",true]})");
}

TEST_CASE("gives the published verdict on every file of the JSON parsing suite") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  const test::UnpackedArchive suite(*data + "/craft/json_parsing.tar.gz");
  REQUIRE(suite.ok());
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(suite.path() + "/json_parsing")) {
    const std::string name = entry.path().filename();
    const std::string text = test::read_file(entry.path()).value();
    const bool ok = parse_json(text).ok();
    CHECK_MESSAGE(parse_json(text).ok() == ok, name);
    CHECK_MESSAGE(codec::scan_json(text, {}).ok() == ok, name);
    // RFC 8259 lets a reader refuse duplicate members, the suite does not; we refuse, see json.h.
    const bool duplicates = name.starts_with("y_object_duplicated_key");
    if (name.starts_with("y_")) CHECK_MESSAGE(ok == !duplicates, name);
    if (name.starts_with("n_")) CHECK_MESSAGE(!ok, name);
    ++files;
  }
  CHECK(files == 191);
}

TEST_CASE("an error says as JSON what it has to say, and no more") {
  const Error error = fail(ErrorKind::kInvalid, "a_code", "what is wrong").at("here").expected("this").found("that");
  CHECK(to_json(error).to_canonical_string() == R"({"code":"a_code","expected":"this","found":"that","kind":")" +
                                                    std::string(to_string(error.kind)) +
                                                    R"(","message":"what is wrong","where":"here"})");
  CHECK(to_json(fail(ErrorKind::kInvalid, "b", "c").next("do")).string_or("next", "") == "do");
  CHECK(to_json(fail(ErrorKind::kInvalid, "b", "c")).members().size() == 3);
}
