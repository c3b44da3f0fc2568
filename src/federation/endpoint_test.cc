#include "federation/endpoint.h"

#include <doctest/doctest.h>

using namespace wary;
using namespace wary::federation;

namespace {

std::string code_of_endpoint(std::string_view json) {
  const auto endpoint = endpoint_from(*codec::parse_json(json));
  return endpoint.ok() ? "" : endpoint.error().code + " " + endpoint.error().where;
}
std::string target(std::string_view location) {
  const auto found = redirect_target(*codec::parse_uri("https://a.example:8443/x/bundle?q"), location);
  return found.ok() ? found->to_string() : found.error().code;
}

}  // namespace

TEST_CASE("endpoints of both profiles are read, and written as they were") {
  for (const char* text :
       {R"({"url":"https://b.example/bundle","profile":"https_web"})",
        R"({"url":"https://127.0.0.1:8443/","profile":"https_spiffe","spiffeId":"spiffe://b.example/server"})",
        R"({"url":"https://[::1]:8443/a?b=c","profile":"https_web"})"}) {
    const auto endpoint = endpoint_from(*codec::parse_json(text));
    REQUIRE_MESSAGE(endpoint.ok(), text);
    CHECK(to_json(*endpoint) == *codec::parse_json(text));
  }
}

TEST_CASE("what is no endpoint is refused, with the member") {
  CHECK(code_of_endpoint(R"({"profile":"https_web"})") == "federation_url url");
  for (const char* url : {"http://b.example/", "https://user@b.example/", "https://b.example/#x", "b.example",
                          "https://", "https://b.example:0/", "https://b.example:70000/"}) {
    CHECK(code_of_endpoint(R"({"url":")" + std::string(url) + R"(","profile":"https_web"})") == "federation_url url");
  }
  CHECK(code_of_endpoint(R"({"url":"https://b.example/","profile":"https"})") == "federation_profile profile");
  CHECK(code_of_endpoint(R"({"url":"https://b.example/","profile":"https_web","spiffeId":"spiffe://b/c"})") ==
        "federation_spiffe_id spiffeId");
  for (const char* id : {"", "spiffe://b.example", "spiffe://B/c", "https://b.example/c"}) {
    CHECK(code_of_endpoint(R"({"url":"https://b.example/","profile":"https_spiffe","spiffeId":")" + std::string(id) +
                           "\"}") == "federation_spiffe_id spiffeId");
  }
}

TEST_CASE("a redirect goes to https, by URL or by path, and nowhere else") {
  CHECK(target("https://b.example/y") == "https://b.example/y");
  CHECK(target("https://b.example/y#part") == "https://b.example/y");
  CHECK(target("/y?z") == "https://a.example:8443/y?z");
  CHECK(target("//c.example:1/y") == "https://c.example:1/y");
  for (const char* location : {"http://b.example/y", "", "y", "spiffe://b.example/y", "https://user@b.example/",
                               "javascript:alert(1)", "https:///y", "/a b"}) {
    CHECK_MESSAGE(target(location) == "federation_redirect", location);
  }
}
