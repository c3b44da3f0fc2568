#include "codec/pattern.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

using namespace wary;
using namespace wary::codec;

TEST_CASE("matches as ECMAScript does for what it knows") {
  const auto matches = [](std::string_view pattern, std::string_view text) {
    Result<Pattern> compiled = Pattern::compile(pattern);
    REQUIRE_MESSAGE(compiled.ok(), pattern);
    return compiled->matches(text);
  };
  CHECK(matches("", ""));
  CHECK(matches("b", "abc"));
  CHECK_FALSE(matches("^b", "abc"));
  CHECK(matches("^a.c$", "abc"));
  CHECK(matches("^a.c$",
                "a\xc3\xa9"
                "c"));
  CHECK_FALSE(matches("^a.c$", "a\nc"));
  CHECK(matches("^[a-z][a-z0-9-]*$", "ab-9"));
  CHECK_FALSE(matches("^[a-z][a-z0-9-]*$", "9a"));
  CHECK(matches("^[^a-c\\]]+$", "xyz"));
  CHECK_FALSE(matches("^[^a-c\\]]+$", "xbz"));
  CHECK(matches("^(ab|cd)+$", "abcdab"));
  CHECK_FALSE(matches("^(ab|cd)+$", "abc"));
  CHECK(matches("^(?:a|)b$", "b"));
  CHECK(matches("^a{2}$", "aa"));
  CHECK_FALSE(matches("^a{2}$", "aaa"));
  CHECK(matches("^a{2,}$", "aaaa"));
  CHECK_FALSE(matches("^a{2,}$", "a"));
  CHECK(matches("^(a{1,3}b)*$", "aabaaabab"));
  CHECK_FALSE(matches("^(a{1,3}b)*$", "aaaab"));
  CHECK(matches("^a{0}b$", "b"));
  CHECK(matches("^a?a?$", "a"));
  CHECK(matches("^(a*)*$", "aaa"));
  CHECK(matches("^\\d+\\.\\d+$", "12.5"));
  CHECK(matches("^\\w\\W\\s\\S\\D$", "a- xx"));
  CHECK(matches("^[\\d_-]+$", "1_-"));
  CHECK(matches("^[\xc3\xa0-\xc3\xaf]$", "\xc3\xa9"));
  CHECK(matches("a$|^b", "ba"));
  CHECK_FALSE(matches("[]", "a"));
  CHECK_FALSE(matches("a",
                      "\xff"
                      "a"));
}

TEST_CASE("refuses patterns it does not know") {
  for (const char* pattern : {"(",      ")",     "a)", "[",   "[a",  "[b-a]", "[\\d-x]", "*", "a**", "a{",  "a{x}",
                              "a{2,1}", "a{,2}", "\\", "\\q", "\\1", "(?=a)", "a{9999}", "]", "}",   "\xff"}) {
    CHECK_MESSAGE(Pattern::compile(pattern).error().code == "pattern_syntax", pattern);
  }
  CHECK_FALSE(Pattern::compile(std::string(1025, 'a')).ok());
  CHECK_FALSE(Pattern::compile("(((a{50}){50}){50})").ok());
  CHECK_FALSE(Pattern::compile(std::string(40, '(') + std::string(40, ')')).ok());
}

TEST_CASE("a hostile pattern over a hostile text stays linear") {
  const Pattern pattern = Pattern::compile("^(a|a|aa)+(a+a+)+$").value();
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(pattern.matches(std::string(20'000, 'a') + "b"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1));
}
