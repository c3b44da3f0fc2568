#include "codec/yaml.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>

#include "tests/support/archive.h"
#include "tests/support/skip.h"

using namespace wary;
using namespace wary::codec;

namespace {

// The suite writes what an editor would hide: these marks stand for it.
std::string unmark(std::string text) {
  const auto replace = [&](std::string_view mark, std::string_view by) {
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size())) {
      text.replace(at, mark.size(), by);
    }
  };
  replace("\u2423", " ");
  replace("\u2014", "");
  replace("\u00bb", "\t");
  replace("\u21b5", "");
  if (text.ends_with("\u220e\n")) text.resize(text.size() - 4);
  return text;
}

// The values of a text that holds one JSON value after the other.
std::vector<Json> json_values(const std::string& text) {
  std::vector<Json> values;
  std::string part;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    part += text.substr(at, end - at);
    at = end;
    if (Result<Json> value = parse_json(part); value.ok()) {
      values.push_back(*std::move(value));
      part.clear();
    }
  }
  CHECK_MESSAGE(part.find_first_not_of(" \n") == std::string::npos, text);
  return values;
}

}  // namespace

TEST_CASE("agrees with the published YAML suite wherever it accepts, and refuses every failing case") {
  const auto data = test::testdata();
  if (!data) WARY_SKIP("WARY_TESTDATA is not set");
  const test::UnpackedArchive suite(*data + "/craft/yaml_suite.tar.gz");
  REQUIRE(suite.ok());
  std::map<std::string, int> outside;
  int failing = 0, equal = 0, without_json = 0;
  for (const auto& entry : std::filesystem::directory_iterator(suite.path() + "/yaml_suite/src")) {
    const std::string file = entry.path().filename();
    const auto description = parse_yaml(test::read_file(entry.path()).value(), file);
    REQUIRE_MESSAGE(description.ok(), file);
    for (const Json& item : description->front().value.items()) {
      if (item.find("yaml") == nullptr) continue;
      const std::string text = unmark(item.find("yaml")->as_string());
      const auto documents = parse_yaml(text, file);
      if (item.bool_or("fail", false)) {
        CHECK_MESSAGE(!documents.ok(), file << "\n" << text);
        ++failing;
      } else if (!documents.ok()) {
        ++outside[documents.error().code];
      } else if (item.find("json") == nullptr || !item.find("json")->is_string()) {
        ++without_json;
      } else {
        const std::vector<Json> wanted = json_values(unmark(item.find("json")->as_string()));
        std::vector<Json> found;
        for (const YamlDocument& document : *documents) found.push_back(document.value);
        CHECK_MESSAGE(found == wanted, file << "\n" << text << "\n" << (found.empty() ? "" : found[0].to_string()));
        ++equal;
      }
    }
  }
  std::string counts;
  for (const auto& [code, count] : outside) counts += code + " " + std::to_string(count) + ", ";
  MESSAGE("equal " << equal << ", refused as it must be " << failing << ", outside of the part we read: " << counts);
  CHECK(failing == 56);
  CHECK(equal == 114);
  CHECK(without_json == 2);
  // What is outside may not grow silently.
  CHECK(counts == "yaml_anchor 15, yaml_complex_key 25, yaml_directive 16, yaml_syntax 6, yaml_tab 5, yaml_tag 16, ");
}

TEST_CASE("reads the kinds of a configuration file") {
  const auto documents = parse_yaml(
                             "# first\na: 1\nb:\n- x: 'it''s'\n  y: [1, {k: v, \"q\":2}, ]\n- |\n  line\n   more\n\nc: "
                             ">-\n  folded\n  text\n\n  next\n"
                             "d: plain\n  goes on\ne: no\n--- second\n",
                             "f")
                             .value();
  REQUIRE(documents.size() == 2);
  CHECK(documents[0].value.to_string() == R"({"a":1,"b":[{"x":"it's","y":[1,{"k":"v","q":2}]},"line\n more\n"],)"
                                          R"("c":"folded text\nnext","d":"plain goes on","e":"no"})");
  CHECK(documents[1].value == Json("second"));
  CHECK(parse_yaml("", "f").value().empty());
  CHECK(parse_yaml("# only\n", "f").value().empty());
  CHECK(parse_yaml("a: 1\r\nb: 2\r\n", "f").value()[0].value.integer_or("b", 0) == 2);
}

TEST_CASE("resolves plain scalars by the core schema and nothing more") {
  const auto value = [](const std::string& text) {
    return parse_yaml("a: " + text, "f").value()[0].value.find("a")->to_string();
  };
  CHECK(value("~") == "null");
  CHECK(value("Null") == "null");
  CHECK(value("") == "null");
  CHECK(value("TRUE") == "true");
  CHECK(value("yes") == "\"yes\"");
  CHECK(value("-0x1f") == "\"-0x1f\"");
  CHECK(value("0x1F") == "31");
  CHECK(value("0o17") == "15");
  CHECK(value("+12") == "12");
  CHECK(value("012") == "12");
  CHECK(value("9223372036854775807") == "9223372036854775807");
  CHECK(value("1.") == "1.0");
  CHECK(value(".5e1") == "5.0");
  CHECK(value("1e3") == "1000.0");
  CHECK(value("1.2.3") == "\"1.2.3\"");
  CHECK(value("12:30") == "\"12:30\"");
  CHECK(value("\"12\"") == "\"12\"");
  CHECK(value("\"\\x41\\u00e9\\U0001f600\\ud83d\\ude00\\N\\_\"") == "\"A\u00e9\U0001f600\U0001f600\u0085\u00a0\"");
}

TEST_CASE("every refusal has its code and its place") {
  const auto check = [](std::string_view text, std::string_view code, std::string_view where) {
    const auto documents = parse_yaml(text, "app.yaml");
    REQUIRE_MESSAGE(!documents.ok(), text);
    CHECK_MESSAGE(documents.error().code == code, text);
    CHECK_MESSAGE(documents.error().where == where, text << documents.error().where);
  };
  check("a: &x 1\n", "yaml_anchor", "app.yaml:1:4");
  check("a: 1\nb: *x\n", "yaml_alias", "app.yaml:2:4");
  check("a: !!str 1\n", "yaml_tag", "app.yaml:1:4");
  check("a:\n  <<: {b: 1}\n", "yaml_merge_key", "app.yaml:2:3");
  check("? a\n: b\n", "yaml_complex_key", "app.yaml:1:1");
  check("[a]: b\n", "yaml_complex_key", "app.yaml:1:1");
  check("{[a]: b}\n", "yaml_complex_key", "app.yaml:1:2");
  check("[a: b]\n", "yaml_complex_key", "app.yaml:1:3");
  check(": b\n", "yaml_complex_key", "app.yaml:1:1");
  check("a:\n\tb: 1\n", "yaml_tab", "app.yaml:2:1");
  check("a:\t1\n", "yaml_tab", "app.yaml:1:3");
  check("-\ta\n", "yaml_tab", "app.yaml:1:2");
  check("a: |\n\tb\n", "yaml_tab", "app.yaml:2:1");
  check("a: b\n\tc\n", "yaml_tab", "app.yaml:2:1");
  check("a: 1\nb:\n  c: 2\na: 3\n", "yaml_duplicate_key", "app.yaml:4:1");
  check("{a: 1, \"a\": 2}\n", "yaml_duplicate_key", "app.yaml:1:8");
  check("%YAML 1.2\n---\na\n", "yaml_directive", "app.yaml:1:1");
  check("a: b: c\n", "yaml_syntax", "app.yaml:1:4");
  check("a: - b\n", "yaml_syntax", "app.yaml:1:4");
  check("a: @b\n", "yaml_syntax", "app.yaml:1:4");
  check("a: \"b\n", "yaml_syntax", "app.yaml:1:4");
  check("a: \"b\" c\n", "yaml_syntax", "app.yaml:1:8");
  check("a: [b\n", "yaml_syntax", "app.yaml:2:1");
  check("a: [b c, d}\n", "yaml_syntax", "app.yaml:1:11");
  check("a: {b}\n", "yaml_syntax", "app.yaml:1:6");
  check("a: |x\n  b\n", "yaml_syntax", "app.yaml:1:5");
  check("a: 1\nb\n", "yaml_syntax", "app.yaml:2:1");
  check("a: 1\n  b: 2\n", "yaml_indent", "app.yaml:2:3");
  check("a:\n    b: 1\n  c: 2\n", "yaml_indent", "app.yaml:3:3");
  check("a: b\n  - c\n", "yaml_indent", "app.yaml:2:3");
  check("a: [\nb]\n", "yaml_indent", "app.yaml:2:1");
  check("a: \"b\nc\"\n", "yaml_indent", "app.yaml:2:1");
  check("a: 1\n- b\n", "yaml_indent", "app.yaml:2:1");
  check("- a\nb: 1\n", "yaml_indent", "app.yaml:2:1");
  check("a: |\n   \n  b\n", "yaml_indent", "app.yaml:3:1");
  check("a: \"\\q\"\n", "yaml_escape", "app.yaml:1:6");
  check("a: \"\\ud800\"\n", "yaml_escape", "app.yaml:1:6");
  check("a: \"\\u12\"\n", "yaml_escape", "app.yaml:1:9");
  check("a: \xff\n", "yaml_utf8", "app.yaml:1:4");
  check("a: \x01\n", "yaml_syntax", "app.yaml:1:4");
  check("a: b\rc\n", "yaml_syntax", "app.yaml:1:5");
  check("a: 9223372036854775808\n", "yaml_integer_range", "app.yaml:1:4");
  check("a: 0xffffffffffffffff\n", "yaml_integer_range", "app.yaml:1:4");
  check("a: .inf\n", "yaml_number_range", "app.yaml:1:4");
  check("a: 1e999\n", "yaml_number_range", "app.yaml:1:4");
  check(std::string(1025, 'k') + ": 1\n", "yaml_size", "app.yaml:1:1");
}

TEST_CASE("knows where every node stands") {
  const auto documents = parse_yaml("spec:\n  ports:\n  - name: x\n    a/b~c: [1,\n      2]\n", "app.yaml").value();
  const YamlDocument& document = documents[0];
  CHECK(document.nodes.size() == 8);
  CHECK(document.find("/spec/ports/0/name").value == TextPosition{3, 11});
  CHECK(document.find("/spec/ports/0/name").key == TextPosition{3, 5});
  CHECK(document.find("/spec/ports/0/a~1b~0c/1").value == TextPosition{5, 7});
  CHECK(document.find("/spec/ports/0/missing/deeper").value == TextPosition{3, 5});
  CHECK(document.find("/spec/ports/1").key == TextPosition{2, 3});
  CHECK(document.find("").value == TextPosition{1, 1});
  CHECK(place(document.file, document.find("/spec").key) == "app.yaml:1:1");
  CHECK(place("", {2, 3}) == "2:3");
}

TEST_CASE("YAML keeps its limits at the bound and refuses one more") {
  const auto code = [](const std::string& text, const Limits& limits) {
    const auto documents = parse_yaml(text, "f", limits);
    return documents.ok() ? std::string("ok") : documents.error().code;
  };
  const auto flow = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(code(flow(64), {}) == "ok");
  CHECK(code(flow(65), {}) == "yaml_depth");
  CHECK(code("- - - a", {.depth = 3}) == "ok");
  CHECK(code("- - - a", {.depth = 2}) == "yaml_depth");
  CHECK(code("a:\n  b: 1", {.depth = 1}) == "yaml_depth");
  CHECK(code("{a: {b: 1}}", {.depth = 1}) == "yaml_depth");
  CHECK(code("- a\n- b", {.items = 2}) == "ok");
  CHECK(code("- a\n- b", {.items = 1}) == "yaml_items");
  CHECK(code("a: 1\nb: 2", {.items = 1}) == "yaml_items");
  CHECK(code("[a, b]", {.items = 1}) == "yaml_items");
  CHECK(code("[a, b]", {.total = 3}) == "ok");
  CHECK(code("[a, b]", {.total = 2}) == "yaml_items");
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += std::to_string(i) + ":\n";
  CHECK(code(many, {}) == "ok");
  CHECK(code(many + "x:\n", {}) == "yaml_items");
  CHECK(code("abc", {.bytes = 3}) == "ok");
  CHECK(code("abcd", {.bytes = 3}) == "yaml_size");
}
