#include "codec/uri.h"

#include <doctest/doctest.h>

using namespace wary;
using namespace wary::codec;

TEST_CASE("reads an absolute URI and writes it back in one spelling") {
  const Uri uri = parse_uri("HTTPS://A.example:443/b%20c?d=e").value();
  CHECK(uri == Uri{"https", "a.example", 443, "/b%20c", "d=e"});
  CHECK(uri.to_string() == "https://a.example/b%20c?d=e");
  CHECK(parse_uri("http://[::1]:8080").value().to_string() == "http://[::1]:8080/");
  CHECK(parse_uri("http://a?b").value().to_string() == "http://a/?b");
}

TEST_CASE("refuses URIs with more than scheme, host, port, path and query") {
  const auto code = [](std::string_view text) { return parse_uri(text).error().code; };
  CHECK(code("ftp://a/") == "uri_scheme");
  CHECK(code("//a/") == "uri_scheme");
  CHECK(code("http:/a") == "uri_scheme");
  for (const char* text :
       {"http:///a", "http://u@a/", "http://a:x/", "http://a:65536/", "http://[::1/", "http://a b/"}) {
    CHECK_MESSAGE(code(text) == "uri_authority", text);
  }
  for (const char* text : {"http://a/#b", "http://a/ b", "http://a/%2", "http://a/\"", "http://a#b"}) {
    CHECK_MESSAGE(code(text) == "uri_path", text);
  }
  CHECK(code("http://a/" + std::string(9000, 'b')) == "uri_size");
  CHECK(parse_origin_form("a").error().code == "uri_path");
  CHECK(parse_origin_form("/a?b?c").value().query == "b?c");
}

TEST_CASE("a host has one name, with a port or without, however it is written") {
  for (const char* text : {"a.example", "A.Example", "a.example.", "a.example:443", "A.EXAMPLE.:8443"}) {
    CHECK_MESSAGE(host_name(text) == "a.example", text);
  }
  CHECK(host_name("[::1]:443") == "[::1]");
  CHECK(host_name("[::1]") == "[::1]");
  CHECK(host_name("") == "");
}

TEST_CASE("one resource has one path") {
  const auto path = [](std::string_view text) { return normalise_path(text).value(); };
  CHECK(path("/") == "/");
  CHECK(path("/a/b") == "/a/b");
  CHECK(path("/a//b/") == "/a/b/");
  CHECK(path("//") == "/");
  CHECK(path("/./a/../b") == "/b");
  CHECK(path("/a/%2E%2e/b") == "/b");
  CHECK(path("/%61dmin/x") == "/admin/x");
  CHECK(path("/a/.") == "/a/");
  CHECK(path("/a/b/..") == "/a/");
  CHECK(path("/a/..") == "/");
  CHECK(path("/a%20b/%c3%a9%3a") == "/a%20b/%C3%A9:");
  CHECK(path("/v1/x%3Adelete/%40a/%21%24%26%27%28%29%2a%2B%2c%3D%7e") == "/v1/x:delete/@a/!$&'()*+,=~");
  CHECK(path("/100%25") == "/100%25");
  CHECK(path(path("/a%3Fb/./c")) == path("/a%3Fb/./c"));
}

TEST_CASE("a path that is said to be normal is its one spelling") {
  for (const char* text : {"/", "/a", "/a/b.c/", "/v1/x:y/@a/!$&'()*+,=~", "/a.b/c..d", "/-/_"}) {
    CHECK_MESSAGE(is_normal_path(text), text);
  }
  for (const char* text : {"", "a", "//", "/a//b", "/.", "/a/.b", "/..", "/a/../b", "/%61", "/a;b", "/a b", "/a\\b",
                           "/a?b", "/\xc3\xa9"}) {
    CHECK_FALSE_MESSAGE(is_normal_path(text), text);
  }
  std::uint32_t state = 1;
  std::size_t normal = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string text = "/";
    for (int k = 0; k < 6; ++k) {
      state = state * 1664525 + 1013904223;
      text += "/ab.%;2~"[state >> 29];
    }
    if (!is_normal_path(text)) continue;
    ++normal;
    REQUIRE(normalise_path(text).value() == text);
  }
  CHECK(normal > 1000);
}

TEST_CASE("refuses paths that servers read differently") {
  for (const char* text : {"/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "/a%00", "/a%0d", "/a%7f", "/a;b", "/..;/a", "/a%3bb",
                           "/%252e", "/%25%36%31", "/%c0%af", "/%ff"}) {
    CHECK_MESSAGE(normalise_path(text).error().code == "path_ambiguous", text);
  }
  for (const char* text : {"", "a", "/%", "/%u0061", "/a b", "/a?b"})
    CHECK(normalise_path(text).error().code == "path_syntax");
  for (const char* text : {"/..", "/a/../..", "/%2e%2e/a"})
    CHECK(normalise_path(text).error().code == "path_escapes_root");
  CHECK(normalise_path("/ab%2f").error().where == "byte 3");
}

TEST_CASE("reads SPIFFE IDs as the standard writes them") {
  const SpiffeId id = parse_spiffe_id("spiffe://a.example-1_x/ns/Prod/sa.v1").value();
  CHECK(id.trust_domain == "a.example-1_x");
  CHECK(id.path == "/ns/Prod/sa.v1");
  CHECK(id.to_string() == "spiffe://a.example-1_x/ns/Prod/sa.v1");
  CHECK(parse_spiffe_id("spiffe://a").value().path.empty());
  const std::string longest = "spiffe://a/" + std::string(2048 - 11, 'b');
  CHECK(parse_spiffe_id(longest).ok());
  CHECK(parse_spiffe_id(longest + "b").error().code == "spiffe_id_size");
  CHECK(parse_spiffe_id("spiffe://" + std::string(255, 'a')).ok());
  CHECK(parse_spiffe_id("spiffe://" + std::string(256, 'a')).error().code == "spiffe_id_trust_domain");
}

TEST_CASE("refuses what is nearly a SPIFFE ID") {
  for (const char* text : {"", "a", "Spiffe://a", "spiffe:/a", "http://a"}) {
    CHECK(parse_spiffe_id(text).error().code == "spiffe_id_scheme");
  }
  for (const char* text : {"spiffe://", "spiffe:///a", "spiffe://A", "spiffe://a:1", "spiffe://u@a", "spiffe://a%41",
                           "spiffe://a?b", "spiffe://a#b"}) {
    CHECK_MESSAGE(parse_spiffe_id(text).error().code == "spiffe_id_trust_domain", text);
  }
  for (const char* text : {"spiffe://a/", "spiffe://a//b", "spiffe://a/b/", "spiffe://a/.", "spiffe://a/../b",
                           "spiffe://a/b?c", "spiffe://a/b#c", "spiffe://a/%41", "spiffe://a/\xc3\xa9"}) {
    CHECK_MESSAGE(parse_spiffe_id(text).error().code == "spiffe_id_path", text);
  }
}
