#include "gateway/headers.h"

#include <doctest/doctest.h>

#include <string>

#include "gateway/site.h"

using namespace wary;
using namespace wary::gateway;
namespace http1 = wary::codec::http1;

namespace {

std::string forwarded(const std::string& request) {
  http1::HeadScan scan;
  http1::RequestHead head;
  REQUIRE(http1::parse_request_head(request, scan, head).progress == http1::Progress::kDone);
  std::string cookies, text;
  std::vector<http1::Field> fields;
  forward_request_fields(head, cookies, fields);
  for (const http1::Field& field : fields) text += std::string(field.name) + "=" + std::string(field.value) + ";";
  return text;
}

contract::Entity app(const std::string& id, const std::string& host, const std::string& upstream) {
  contract::Entity entity;
  entity.tenant = "local";
  entity.id = {"Wary::App", id};
  entity.attributes = {{"hosts", codec::Json::array({codec::Json(host)}), "resource", {}, {}, {}},
                       {"upstream", codec::Json(upstream), "resource", {}, {}, {}}};
  return entity;
}

contract::Entity route(const std::string& id, const std::string& app_id, const std::string& path) {
  contract::Entity entity;
  entity.tenant = "local";
  entity.id = {"Wary::Route", id};
  codec::Json target = codec::Json::object();
  target.set("type", "Wary::App").set("id", std::string_view(app_id));
  entity.attributes = {{"app", codec::Json::object({{"__entity", target}}), "resource", {}, {}, {}},
                       {"path", codec::Json(path), "resource", {}, {}, {}}};
  return entity;
}

}  // namespace

TEST_CASE("identity headers never come from a client, however they are spelled") {
  for (const char* name :
       {"Wary-Principal", "wary_principal", "Wary.Principal", "X-WARY-User", "X-Forwarded-For", "x_forwarded_user",
        "Forwarded", "X-Real-IP", "Remote-User", "REMOTE_USER", "X-Remote-User", "X.User", "Remote!User", "Client-Cert",
        "X-SSL-Client-Cert", "X-Auth-Request-Email", "X-Original-URL", "X-HTTP-Method-Override"}) {
    CAPTURE(name);
    CHECK(is_reserved(name));
    CHECK(forwarded("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(name) + ": alice\r\n\r\n") == "");
  }
  for (const char* name : {"Accept", "User-Agent", "Authorization", "X-Request-Id", "Warytale", "Cookies"}) {
    CAPTURE(name);
    CHECK(!is_reserved(name));
  }
}

TEST_CASE("hop-by-hop fields and what Connection names do not go on") {
  CHECK(forwarded("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\n"
                  "Keep-Alive: 5\r\nAccept: */*\r\n\r\n") == "Accept=*/*;");
}

TEST_CASE("our cookies stay here, others go on") {
  CHECK(forwarded("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; __Host-wary_session=secret; b=2\r\n\r\n") ==
        "Cookie=a=1; b=2;");
  CHECK(forwarded("GET / HTTP/1.1\r\nHost: a\r\nCookie: __Host-wary_session=s;__Host-wary_state=t\r\n\r\n") == "");
  CHECK(strip_own_cookies("__Host-wary_session = secret; x=1") == "x=1");
}

TEST_CASE("an upstream cannot set our cookies") {
  const std::string answer =
      "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-wary_session=x; Path=/\r\n"
      "Set-Cookie: =__Host-wary_session=x\r\nSet-Cookie: = __Host-wary_state=x\r\nSet-Cookie: ok=1\r\nContent-Length: "
      "0\r\n\r\n";
  http1::HeadScan scan;
  http1::ResponseHead head;
  REQUIRE(http1::parse_response_head(answer, scan, "GET", head).progress == http1::Progress::kDone);
  std::vector<http1::Field> fields;
  forward_response_fields(head, false, fields);
  REQUIRE(fields.size() == 1);
  CHECK(fields[0].value == "ok=1");
  fields.clear();
  forward_response_fields(head, true, fields);
  CHECK(fields.size() == 4);
}

TEST_CASE("the longest route wins, and what no route names belongs to the app") {
  const auto entities = {app("demo/a", "A.localhost", "http://127.0.0.1:80")};
  const auto r1 = route("demo/api", "demo/a", "/api/*"), r2 = route("demo/q", "demo/a", "/api/q"),
             r3 = route("demo/bad", "demo/none", "/x");
  const auto a = *entities.begin();
  std::vector<Error> problems;
  const auto site = Site::build({&a}, {&r1, &r2, &r3}, problems);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].where == "Wary::Route::\"demo/bad\"");
  const App* found = site->find_app("a.LOCALHOST:7443");
  REQUIRE(found != nullptr);
  CHECK(found->find_route("/api/q").resource.id == "demo/q");
  CHECK(found->find_route("/api/query").resource.id == "demo/api");
  CHECK(found->find_route("/other").resource.id == "demo/a");
  CHECK(site->find_app("b.localhost") == nullptr);
}

TEST_CASE("a route of everything below has the path above it too, unless another route is exactly that") {
  const auto a = app("demo/a", "a.localhost", "http://127.0.0.1:80");
  const auto r1 = route("demo/pay", "demo/a", "/pay/*"), r2 = route("demo/tax", "demo/a", "/tax/*"),
             r3 = route("demo/tax-page", "demo/a", "/tax"), r4 = route("demo/rest", "demo/a", "/*");
  std::vector<Error> problems;
  const auto site = Site::build({&a}, {&r1, &r2, &r3, &r4}, problems);
  const App* found = site->find_app("a.localhost");
  REQUIRE(found != nullptr);
  CHECK(found->find_route("/pay").resource.id == "demo/pay");
  CHECK(found->find_route("/pay/").resource.id == "demo/pay");
  CHECK(found->find_route("/payroll").resource.id == "demo/rest");
  CHECK(found->find_route("/pa").resource.id == "demo/rest");
  CHECK(found->find_route("/tax").resource.id == "demo/tax-page");
  CHECK(found->find_route("/tax/2026").resource.id == "demo/tax");
  CHECK(found->find_route("/").resource.id == "demo/rest");
}

TEST_CASE("a second app cannot take over a host, and a broken one is named") {
  const auto a = app("demo/a", "a.localhost", "http://127.0.0.1:80"), b = app("demo/b", "a.localhost", "unix:/x"),
             c = app("demo/c", "c.localhost", "ftp://example");
  std::vector<Error> problems;
  const auto site = Site::build({&a, &b, &c}, {}, problems);
  CHECK(problems.size() == 2);
  CHECK(site->find_app("a.localhost")->id.id == "demo/a");
  CHECK(site->find_app("c.localhost") == nullptr);
}

TEST_CASE("an upstream is a numeric address or a socket") {
  CHECK(parse_upstream("http://127.0.0.1:9090")->to_string() == "127.0.0.1:9090");
  CHECK(parse_upstream("http://[::1]:80/")->to_string() == "[::1]:80");
  CHECK(parse_upstream("https://127.0.0.1:9443")->to_string() == "127.0.0.1:9443");
  CHECK(parse_upstream("unix:/run/x.sock")->to_string() == "unix:/run/x.sock");
  for (const char* bad : {"", "http://localhost:80", "http://127.0.0.1", "http://127.0.0.1:0", "http://127.0.0.1:99999",
                          "ftp://127.0.0.1:1", "unix:relative", "http://:80", "http://[]:80/", "http://[x]:80"}) {
    CAPTURE(bad);
    CHECK(!parse_upstream(bad).ok());
    CHECK(parse_upstream(bad).error().found_text == bad);
  }
}

TEST_CASE("fields that may hold a credential are found whatever their case, and one that comes twice is told") {
  const auto read = [](const std::string& fields, http1::RequestHead& head, std::string& text) {
    text = "GET / HTTP/1.1\r\nHost: a.test\r\n" + fields + "\r\n";
    http1::HeadScan scan;
    REQUIRE(http1::parse_request_head(text, scan, head).progress == http1::Progress::kDone);
    return credentials_of(head);
  };
  http1::RequestHead head;
  std::string text;
  const auto one = read("AUTHORIZATION: Bearer x\r\nX-Api-Key: k\r\ndpop: p\r\n", head, text);
  CHECK(one.authorization == "Bearer x");
  CHECK(one.api_key == "k");
  CHECK(one.dpop == "p");
  CHECK_FALSE(one.has_repeated_field);
  CHECK_FALSE(read("", head, text).has_repeated_field);
  for (const char* name : {"Authorization", "X-Api-Key", "DPoP"}) {
    const std::string field = std::string(name) + ": a\r\n";
    CHECK_MESSAGE(read(field + field, head, text).has_repeated_field, name);
  }
}

TEST_CASE("a credential that wary knew somebody by stays here, and another's goes on") {
  const std::vector<http1::Field> all = {
      {"Accept", "*/*"}, {"authorization", "Bearer x"}, {"DPoP", "p"}, {"X-API-Key", "k"}, {"X-Other", "y"}};
  const auto kept = [&](bool owns_authorization, bool owns_api_key) {
    enforce::Subject subject;
    subject.owns_authorization = owns_authorization;
    subject.owns_api_key = owns_api_key;
    std::vector<http1::Field> fields = all;
    drop_credentials(subject, fields);
    std::string names;
    for (const http1::Field& field : fields) names += std::string(field.name) + " ";
    return names;
  };
  CHECK(kept(false, false) == "Accept authorization DPoP X-API-Key X-Other ");
  CHECK(kept(true, false) == "Accept X-API-Key X-Other ");
  CHECK(kept(false, true) == "Accept authorization DPoP X-Other ");
  CHECK(kept(true, true) == "Accept X-Other ");
}

TEST_CASE("an app says whether credentials go on") {
  contract::Entity open = app("t/open", "open.test", "http://127.0.0.1:1"), usual = app("t/a", "a.test", "unix:/a");
  open.attributes.push_back({"forward_authorization", codec::Json(true), "resource", {}, {}, {}});
  std::vector<Error> problems;
  const auto site = Site::build({&open, &usual}, {}, problems);
  CHECK(problems.empty());
  CHECK(site->find_app("open.test")->forwards_authorization);
  CHECK_FALSE(site->find_app("a.test")->forwards_authorization);
}
