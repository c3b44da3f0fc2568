#include "tidy/rules.h"

#include <doctest/doctest.h>

using namespace wary::tidy;

namespace {

std::vector<std::string> rules_broken(const std::string& path, const std::string& text) {
  std::vector<std::string> rules;
  for (const Finding& finding : check_all({make_source(path, text)})) rules.push_back(finding.rule);
  return rules;
}

using Rules = std::vector<std::string>;

}  // namespace

TEST_CASE("an include may not go up a layer or sideways") {
  CHECK(rules_broken("src/codec/a.cc", "#include \"base/result.h\"\n").empty());
  CHECK(rules_broken("src/codec/a.cc", "#include \"codec/b.h\"\n").empty());
  CHECK(rules_broken("src/codec/a.cc", "#include \"store/store.h\"\n") == Rules{"layer"});
  CHECK(rules_broken("src/crypto/a.cc", "#include \"io/loop.h\"\n") == Rules{"layer"});
  CHECK(rules_broken("src/unheard/a.cc", "int a;\n") == Rules{"layer"});
}

TEST_CASE("a banned call is found with its replacement, and its namesakes are not") {
  CHECK(rules_broken("src/codec/a.cc", "auto t = time(nullptr);\n") == Rules{"banned"});
  CHECK(rules_broken("src/codec/a.cc", "auto t = ::time(nullptr);\n") == Rules{"banned"});
  CHECK(rules_broken("src/io/a.cc", "auto t = ::time(nullptr);\n").empty());
  CHECK(rules_broken("src/codec/a.cc", "auto t = clock.time(1);\nauto u = unix_time(1);\n").empty());
  CHECK(rules_broken("src/codec/a.cc", "UnixTime time(int);\n").empty());
  CHECK(rules_broken("src/codec/a.cc", "// time(nullptr)\nauto s = \"time(nullptr)\";\n").empty());
  CHECK(rules_broken("src/codec/a.cc", "#include <openssl/evp.h>\n") == Rules{"banned"});
  CHECK(rules_broken("src/crypto/a.cc", "#include <openssl/evp.h>\n").empty());
  CHECK(rules_broken("src/codec/a.cc", "return system(\"ls\");\n") == Rules{"banned"});
  CHECK(rules_broken("src/codec/a.cc", "if (memcmp(a, b, 4) == 0) {}\n") == Rules{"banned"});
}

TEST_CASE("sizes are kept: file, function and line") {
  std::string body = "int f() {\n";
  for (int i = 0; i < 80; ++i) body += "  ;\n";
  CHECK(rules_broken("src/codec/a.cc", body + "}\n") == Rules{"function_length"});
  CHECK(rules_broken("src/codec/a.cc", "namespace a {\n" + std::string(200, '\n') + "}\n").empty());
  CHECK(rules_broken("src/codec/a.cc", std::string(1001, '\n')) == Rules{"file_length"});
  CHECK(rules_broken("src/codec/a.cc", "//" + std::string(119, 'x') + "\n") == Rules{"line_length"});
}

TEST_CASE("work put off is found") {
  CHECK(rules_broken("src/codec/a.cc", std::string("// TO") + "DO later\n") == Rules{"leftover"});
}

TEST_CASE("a header says what it is") {
  CHECK(rules_broken("src/codec/a.h", "// A thing.\n#pragma once\n").empty());
  CHECK(rules_broken("src/codec/a.h", "#pragma once\n") == Rules{"header_open"});
  CHECK(rules_broken("src/codec/a.h", "// A thing.\n") == Rules{"header_open"});
}

TEST_CASE("a parser without a fuzz target in its folder is found") {
  const Source header =
      make_source("src/codec/a.h", "// A.\n#pragma once\nResult<A> parse_a(std::string_view text);\n");
  const Source fuzz = make_source("src/codec/a_fuzz.cc", "void f() { parse_a(x); }\n");
  const Source elsewhere = make_source("src/io/a_fuzz.cc", "void f() { parse_a(x); }\n");
  const auto parser_findings = [](const std::vector<Source>& sources) {
    std::vector<Finding> findings;
    check_parsers(sources, findings);
    return findings.size();
  };
  CHECK(parser_findings({header}) == 1);
  CHECK(parser_findings({header, elsewhere}) == 1);
  CHECK(parser_findings({header, fuzz}) == 0);
}
