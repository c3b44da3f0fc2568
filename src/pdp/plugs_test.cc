// Forward authentication, HAProxy's protocol and Kubernetes' webhook over one small world.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>

#include "codec/json.h"
#include "codec/protobuf.h"
#include "pdp/envoy.h"
#include "pdp/forward.h"
#include "pdp/kubernetes.h"
#include "pdp/spop.h"
#include "tests/support/pdp_world.h"

using namespace wary;
using namespace wary::pdp;
using codec::Json;

namespace {

constexpr std::string_view kPlugsPolicies = R"(
@id("alice-reads") permit (principal == Wary::User::"alice", action == Wary::Action::"GET", resource);
@id("pods") permit (principal == Wary::User::"alice", action == Wary::Action::"kubernetes.get",
  resource == Kubernetes::Resource::"web//pods/p1") when { context.kubernetes.groups.contains("dev") };
@id("no-secrets") forbid (principal, action, resource) when { context has kubernetes &&
  context.kubernetes has resource && context.kubernetes.resource == "secrets" };
)";

std::vector<contract::Entity> plugs_entities() {
  Json alice = Json::object();
  alice.set("type", "Wary::User").set("id", "alice");
  return {test::entity_of("Wary::User", "alice", {{"revoked", false}, {"disabled", false}}),
          test::entity_of("Wary::Anonymous", "anonymous"),
          test::entity_of("Wary::Session", "s1",
                          {{"user", Json::object({{"__entity", alice}})}, {"active", true}, {"revoked", false}}),
          test::entity_of("Wary::App", "test/site"), test::entity_of("Wary::Route", "test/kept")};
}

struct PlugsWorld {
  test::SnapshotAuthority authority{*test::snapshot_of(kPlugsPolicies, plugs_entities())};
  Answer forward(std::string method, std::string path, std::vector<http::Header> headers) {
    http::Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.host = "site.localhost:8443";
    request.headers = std::move(headers);
    const auto answer = answer_forward(authority, request, "test");
    REQUIRE(answer.has_value());
    return *answer;
  }
  Json kubernetes(std::string_view spec) {
    const std::string body =
        R"({"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":)" + std::string(spec) + "}";
    const Answer answer =
        answer_kubernetes(authority, {"POST", "/kubernetes/authorize", "h", "application/json", "", "", body, "test"});
    REQUIRE_MESSAGE(answer.status == 200, answer.body);
    return *codec::parse_json(answer.body)->find("status");
  }
};

std::string seed(const std::string& name) {
  std::ifstream in(std::string(WARY_SOURCE_DIR) + "/fuzz/pdp_spop/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const http::Header kAlice{"Cookie", "a=b; __Host-wary_session=of-alice"};

}  // namespace

TEST_CASE("a proxy's three dialects lead to one answer") {
  PlugsWorld world;
  const Answer nginx =
      world.forward("GET", "/nginx", {{"X-Original-Method", "GET"}, {"X-Original-URI", "/kept/x%c3%a9?q=1"}, kAlice});
  CHECK(nginx.status == 200);
  CHECK(test::header_of(nginx, "Wary-Principal") == "Wary::User::\"alice\"");
  CHECK(test::header_of(nginx, "Wary-Session") == "s1");
  CHECK(test::header_of(nginx, "Wary-Decision") == "d1");
  CHECK(world.authority.asked.back().request.resource.id == "test/kept");
  CHECK(world.authority.asked.back().path == "/kept/x%C3%A9");
  const Answer caddy = world.forward("GET", "/forward-auth",
                                     {{"X-Forwarded-Method", "POST"},
                                      {"X-Forwarded-Uri", "/"},
                                      {"X-Forwarded-Host", "site.localhost"},
                                      {"X-Forwarded-For", "1.2.3.4, 10.0.0.9"},
                                      kAlice});
  CHECK(caddy.status == 403);
  CHECK(world.authority.asked.back().request.context.find("client")->to_string() ==
        R"({"__extn":{"fn":"ip","arg":"10.0.0.9"}})");
  CHECK(world.forward("GET", "/envoy/kept/1", {kAlice}).status == 200);
  CHECK(world.forward("DELETE", "/envoy/kept/1", {kAlice}).status == 403);
}

TEST_CASE("nobody is 401, what is not said is 400, what is not served is 403") {
  PlugsWorld world;
  const Answer nobody = world.forward("GET", "/envoy/", {});
  CHECK(nobody.status == 401);
  CHECK(!test::header_of(nobody, "WWW-Authenticate").empty());
  CHECK(test::header_of(nobody, "Wary-Principal").empty());
  CHECK(world.forward("GET", "/nginx", {kAlice}).status == 400);
  CHECK(world.forward("GET", "/nginx", {{"X-Original-Method", "GET"}, {"X-Original-URI", "//x%zz"}, kAlice}).status !=
        200);
  CHECK(world
            .forward("GET", "/forward-auth",
                     {{"X-Forwarded-Method", "GET"},
                      {"X-Forwarded-Uri", "/"},
                      {"X-Forwarded-Host", "other.localhost"},
                      kAlice})
            .status == 403);
  for (const char* other : {"/a/../kept/1", "/kept//1", "/%6bept/1", "/./kept", "/kept;x", "/kept%2f1"}) {
    const std::size_t asked = world.authority.asked.size();
    CHECK(world.forward("GET", "/nginx", {{"X-Original-Method", "GET"}, {"X-Original-URI", other}, kAlice}).status ==
          403);
    CHECK(world.authority.asked.size() == asked);
  }
  for (const char* other : {"site.localhost:\xff", "site.localhost:x", "site.localhost, a", "site.localhost:1:2"}) {
    const std::size_t asked = world.authority.asked.size();
    CHECK(world
              .forward("GET", "/forward-auth",
                       {{"X-Forwarded-Method", "GET"}, {"X-Forwarded-Uri", "/"}, {"X-Forwarded-Host", other}, kAlice})
              .status == 403);
    CHECK(world.authority.asked.size() == asked);
  }
  // Two of a header say nothing.
  CHECK(world
            .forward("GET", "/nginx",
                     {{"X-Original-Method", "GET"}, {"X-Original-URI", "/"}, {"X-Original-URI", "/kept"}, kAlice})
            .status == 400);
}

TEST_CASE("a policy sees one name of the host, and no client that is no address") {
  PlugsWorld world;
  for (const char* host : {"site.localhost", "SITE.localhost:8443", "site.localhost:1"}) {
    world.forward("GET", "/forward-auth",
                  {{"X-Forwarded-Method", "GET"},
                   {"X-Forwarded-Uri", "/"},
                   {"X-Forwarded-Host", host},
                   {"X-Forwarded-For", std::string(20'000, 'x')},
                   kAlice});
    const Question& asked = world.authority.asked.back();
    CHECK(asked.request.context.string_or("host", "") == "site.localhost");
    CHECK(asked.request.context.find("client") == nullptr);
    CHECK(asked.client == "");
  }
}

TEST_CASE("an IPv4 client of a socket for both families is the IPv4 address that policies speak of") {
  PlugsWorld world;
  const auto client_of = [&](const std::string& text) {
    world.forward("GET", "/nginx",
                  {{"X-Original-Method", "GET"}, {"X-Original-URI", "/"}, {"X-Real-IP", text}, kAlice});
    const Json* client = world.authority.asked.back().request.context.find("client");
    return client != nullptr ? std::string(client->find("__extn")->string_or("arg", "")) : "";
  };
  CHECK(client_of("::ffff:10.1.2.3") == "10.1.2.3");
  CHECK(client_of("::FFFF:10.1.2.3") == "10.1.2.3");
  CHECK(client_of("0000:0000:0000:0000:0000:ffff:0a01:0203") == "10.1.2.3");
  CHECK(client_of("2001:db8::1") == "2001:db8::1");
  // What is no address says nothing, in place of making the request one that cannot be decided.
  for (const char* text : {"1.2.3.4.5", "fffff", "::ffff:1.2.3", "1.2.3.4/8", "unix:", "[::1]:80"}) {
    CHECK_MESSAGE(client_of(text) == "", text);
  }
}

TEST_CASE("a review of a resource and a path at once is none") {
  PlugsWorld world;
  const std::string body =
      R"({"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"alice",
        "resourceAttributes":{"verb":"get"},"nonResourceAttributes":{"verb":"get","path":"/x"}}})";
  CHECK(answer_kubernetes(world.authority, {"POST", "/", "h", "application/json", "", "", body, "test"}).status == 400);
  CHECK(world.authority.asked.empty());
}

TEST_CASE("HAProxy is greeted, answered and let go") {
  PlugsWorld world;
  Spop spop(world.authority, "haproxy");
  const std::string out = spop.receive(seed("session"));
  CHECK(spop.is_over());
  CHECK(out.find("version") != std::string::npos);
  CHECK(out.find("pipelining") != std::string::npos);
  const std::size_t allow = out.find("allow");
  REQUIRE(allow != std::string::npos);
  CHECK(out[allow + 5] == 0x11);  // a boolean that is true
  CHECK(out.find("Wary::User::\"alice\"") != std::string::npos);
  CHECK(world.authority.asked.size() == 1);
  CHECK(world.authority.asked[0].client == "10.0.0.1");
  CHECK(world.authority.asked[0].pep == "haproxy");
  Spop check(world.authority, "haproxy");
  CHECK(!check.receive(seed("check")).empty());
  CHECK(check.is_over());
}

TEST_CASE("HAProxy's fragments, strange frames and large ones end the connection, and nothing is allowed") {
  PlugsWorld world;
  const auto ends = [&](const std::string& bytes, int status) {
    Spop spop(world.authority, "haproxy");
    const std::string out = spop.receive(bytes);
    const std::size_t at = out.find("status-code");
    REQUIRE(at != std::string::npos);
    CHECK(spop.is_over());
    CHECK(out.find("allow") == std::string::npos);
    CHECK(out[at + 12] == status);
  };
  ends(seed("fragment"), 10);
  ends(std::string("\0\1\0\0", 4), 3);
  ends(std::string("\0\0\0\1\3", 5), 4);
  ends(seed("session").substr(seed("session").find(std::string("\3\0\0\0\1", 5)) - 4),
       4);  // a question before the hello
  std::string old = seed("check");
  old.replace(old.find("1.0, 2.0"), 8, "1.0, 3.0");
  ends(old, 8);
}

TEST_CASE("Kubernetes gets an opinion where there is one") {
  PlugsWorld world;
  const Json yes = world.kubernetes(R"({"user":"alice","groups":["dev"],"resourceAttributes":
    {"namespace":"web","verb":"get","group":"","version":"v1","resource":"pods","name":"p1"}})");
  CHECK(yes.bool_or("allowed", false));
  const Json none = world.kubernetes(R"({"user":"alice","resourceAttributes":{"verb":"list","resource":"pods"}})");
  CHECK(!none.bool_or("allowed", true));
  CHECK(none.find("denied") == nullptr);
  const Json system =
      world.kubernetes(R"({"user":"system:node","nonResourceAttributes":{"verb":"get","path":"/api"}})");
  CHECK(system.find("denied") == nullptr);
  const Json never = world.kubernetes(R"({"user":"alice","resourceAttributes":{"verb":"get","resource":"secrets"}})");
  CHECK(never.bool_or("denied", false));
  CHECK(never.string_or("reason", "").find("forbid") != std::string::npos);
  const Answer wrong = answer_kubernetes(
      world.authority, {"POST", "/kubernetes/authorize", "h", "application/json", "", "", R"({"kind":"Pod"})", "test"});
  CHECK(wrong.status == 400);
}

namespace {

std::string message(std::uint32_t number, std::string_view bytes) {
  std::string out;
  codec::append_proto_bytes(out, number, bytes);
  return out;
}

std::string check_request(std::string_view method, std::string_view cookie, std::string_view principal = "") {
  const std::string cookies = message(3, message(1, "cookie") + message(2, cookie));
  const std::string http = message(2, method) + cookies + message(4, "/kept/1?q") + message(5, "site.localhost");
  const std::string source = message(1, message(1, message(2, "10.1.2.3"))) + message(4, principal);
  return message(1, message(1, source) + message(4, message(2, http)));
}

// The bytes of the field at that path of numbers; nothing where it is missing.
std::optional<std::string> at(std::string_view bytes, std::initializer_list<std::uint32_t> path) {
  std::string now(bytes);
  for (const std::uint32_t number : path) {
    codec::ProtoReader reader(now);
    std::optional<std::string> found;
    while (const auto field = reader.next()) {
      if (field->number == number && !found) {
        found = field->type == codec::ProtoField::kBytes ? std::string(field->bytes) : std::to_string(field->value);
      }
    }
    if (!found) return std::nullopt;
    now = *found;
  }
  return now;
}

std::string check(PlugsWorld& world, const std::string& bytes) {
  http::Http2Request request{
      1, "POST", "/envoy.service.auth.v3.Authorization/Check", "a", "http", {{"content-type", "application/grpc"}}, ""};
  request.body = std::string("\0\0\0", 3);
  request.body += static_cast<char>(bytes.size() >> 8);
  request.body += static_cast<char>(bytes.size());
  request.body += bytes;
  const http::Http2Response answer = answer_envoy(world.authority, request, "envoy");
  return answer.body.size() >= 5 ? answer.body.substr(5) : answer.headers.at(1).second;
}

}  // namespace

TEST_CASE("Envoy's gRPC check is judged like every proxy's question") {
  PlugsWorld world;
  const std::string yes = check(world, check_request("GET", "__Host-wary_session=of-alice"));
  CHECK(at(yes, {1}) == "");  // google.rpc.Status 0
  CHECK(at(yes, {3, 2, 1, 1}) == "wary-principal");
  CHECK(at(yes, {3, 2, 1, 2}) == "Wary::User::\"alice\"");
  CHECK(at(yes, {3, 2, 3}) == "2");
  CHECK(world.authority.asked.back().client == "10.1.2.3");
  CHECK(world.authority.asked.back().request.resource.id == "test/kept");
  const std::string no = check(world, check_request("POST", "__Host-wary_session=of-alice"));
  CHECK(at(no, {1, 1}) == "7");
  CHECK(at(no, {2, 1, 1}) == "403");
  CHECK(!at(no, {3}));
  CHECK(at(check(world, check_request("GET", "")), {2, 1, 1}) == "401");
  (void)check(world, check_request("GET", "", "spiffe://local/a/b"));
  CHECK(world.authority.asked.back().request.principal.to_string() == "Wary::Workload::\"spiffe://local/a/b\"");
  CHECK(check(world, "\x0a\x05") == "3");  // INVALID_ARGUMENT
  CHECK(at(check(world, ""), {2, 1, 1}) == "400");
}
