#include "pdp/authzen.h"

#include <doctest/doctest.h>

#include "codec/json.h"
#include "pdp/entities.h"
#include "tests/support/pdp_world.h"

using namespace wary;
using namespace wary::pdp;
using codec::Json;

namespace {

constexpr std::string_view kAuthzenPolicies = R"(
@id("reads") permit (principal, action == Wary::Action::"read", resource is Doc);
@id("owner") permit (principal, action == Wary::Action::"write", resource is Doc)
  when { context.resource has owner && context.resource.owner == principal.mail };
@id("careful") @obligation("step-up") @obligation_value("mfa")
permit (principal, action == Wary::Action::"delete", resource is Doc);
@id("soft") permit (principal, action == Wary::Action::"drop", resource)
  when { context.action has soft && context.action.soft };
)";

std::vector<contract::Entity> authzen_entities() {
  return {test::entity_of("Wary::User", "alice", {{"mail", "a@x"}, {"revoked", false}, {"disabled", false}}),
          test::entity_of("Wary::User", "bob", {{"mail", "b@x"}, {"revoked", false}, {"disabled", false}}),
          test::entity_of("Wary::User", "gone", {{"mail", "g@x"}, {"revoked", true}, {"disabled", false}}),
          test::entity_of("Doc", "1"),
          test::entity_of("Doc", "2", {{"owner", "b@x"}}),
          test::entity_of("Doc", "3")};
}

struct AuthzenWorld {
  test::SnapshotAuthority authority{*test::snapshot_of(kAuthzenPolicies, authzen_entities())};
  Authzen authzen{authority};

  Answer post(std::string_view path, std::string_view body, std::string_view type = "application/json") {
    Call call;
    call.method = "POST";
    call.path = path;
    call.host = "pdp.test";
    call.content_type = type;
    call.request_id = "r-1";
    call.body = body;
    call.pep = "test";
    return authzen.answer(call);
  }
  Json ask(std::string_view path, std::string_view body) {
    const Answer answer = post(path, body);
    REQUIRE_MESSAGE(answer.status == 200, answer.body);
    return *codec::parse_json(answer.body);
  }
  bool allows(std::string_view body) { return ask("/access/v1/evaluation", body).bool_or("decision", false); }
};

std::string question(std::string_view user, std::string_view action, std::string_view doc, std::string_view more = "") {
  return R"({"subject":{"type":"user","id":")" + std::string(user) + R"("},"action":{"name":")" + std::string(action) +
         R"("},"resource":{"type":"Doc","id":")" + std::string(doc) + R"("})" + std::string(more) + "}";
}

std::string ids(const Json& answer, std::string_view member = "id") {
  std::string out;
  for (const Json& one : answer.find("results")->items()) out += std::string(one.string_or(member, "?")) + " ";
  return out;
}

}  // namespace

TEST_CASE("an evaluation is decided and says why") {
  AuthzenWorld world;
  const Json answer = world.ask("/access/v1/evaluation", question("alice", "read", "1"));
  CHECK(answer.bool_or("decision", false));
  CHECK(answer.find("context")->string_or("reason", "") == "permit");
  CHECK(answer.find("context")->string_or("decision_id", "") == "d1");
  CHECK(answer.find("context")->integer_or("revision", 0) == 7);
  CHECK(!world.allows(question("alice", "shred", "1")));
  CHECK(!world.allows(question("nobody", "read", "1")));
  CHECK(!world.allows(question("gone", "read", "1")));
  CHECK(world.allows(question("alice", "read", "unknown")));
  CHECK(world.authority.asked.front().pep == "test");
}

TEST_CASE("what a PEP asserts is in context, and stored facts win") {
  AuthzenWorld world;
  const auto write = [&](std::string_view doc, std::string_view owner) {
    return world.allows(
        R"({"subject":{"type":"user","id":"alice"},"action":{"name":"write"},"resource":{"type":"Doc","id":")" +
        std::string(doc) + R"(","properties":{"owner":")" + std::string(owner) + R"("}}})");
  };
  CHECK(write("1", "a@x"));
  CHECK(!write("1", "b@x"));
  CHECK(!write("2", "a@x"));  // it is stored that b@x owns it
  // No attribute of an entity is ever what was only asserted.
  CHECK(!world.allows(R"({"subject":{"type":"user","id":"gone","properties":{"revoked":false}},)"
                      R"("action":{"name":"read"},"resource":{"type":"Doc","id":"1"}})"));
  CHECK(!world.allows(question("alice", "drop", "1")));
  CHECK(world.allows(R"({"subject":{"type":"user","id":"alice"},"action":{"name":"drop","properties":{"soft":true}},)"
                     R"("resource":{"type":"Doc","id":"1"},"context":{"action":{"soft":false}}})"));
}

TEST_CASE("any JSON becomes a Cedar value") {
  const auto converted = [](std::string_view text) {
    const auto value = to_cedar_json(*codec::parse_json(text));
    return value ? value->to_string() : std::string("nothing");
  };
  CHECK(converted("null") == "nothing");
  CHECK(converted(R"([1,null,{"a":null,"b":"c"}])") == R"([1,{"b":"c"}])");
  CHECK(converted("1.5") == R"({"__extn":{"fn":"decimal","arg":"1.5000"}})");
  CHECK(converted("-0.0001") == R"({"__extn":{"fn":"decimal","arg":"-0.0001"}})");
  CHECK(converted("0.00001") == R"("1e-05")");
  CHECK(converted("1e300") == R"("1e+300")");
}

TEST_CASE("an obligation goes with an allow only to who said that it can keep it") {
  AuthzenWorld world;
  const Json without = world.ask("/access/v1/evaluation", question("alice", "delete", "1"));
  CHECK(!without.bool_or("decision", true));
  CHECK(without.find("context")->string_or("reason", "") == "obligation_unknown");
  const Json with =
      world.ask("/access/v1/evaluation", question("alice", "delete", "1", R"(,"options":{"obligations":["step-up"]})"));
  CHECK(with.bool_or("decision", false));
  CHECK(with.find("context")->find("obligations")->to_string() ==
        R"([{"id":"1","type":"step-up","properties":{"value":"mfa"}}])");
}

TEST_CASE("a batch has defaults, whole objects replace them, and a wrong item is a deny") {
  AuthzenWorld world;
  const Json answer = world.ask("/access/v1/evaluations", R"({"subject":{"type":"user","id":"alice"},
    "action":{"name":"read"},"resource":{"type":"Doc","id":"1"},"evaluations":[{},{"action":{"name":"shred"}},
    {"resource":{"type":"Doc"}},7,{"subject":{"type":"user","id":"bob"}}]})");
  std::string decisions;
  for (const Json& one : answer.find("evaluations")->items()) decisions += one.bool_or("decision", false) ? "1" : "0";
  CHECK(decisions == "10001");
  CHECK(world.authority.asked.size() == 3);
  CHECK(world.ask("/access/v1/evaluations", question("alice", "read", "1")).bool_or("decision", false));
  CHECK(world.ask("/access/v1/evaluations", question("alice", "read", "1", R"(,"evaluations":[])"))
            .bool_or("decision", false));
}

TEST_CASE("every item of a batch gets what stands at the top, whole, and its own where it has that") {
  AuthzenWorld world;
  const Json answer = world.ask("/access/v1/evaluations", R"({
    "subject":{"type":"user","id":"alice","properties":{"team":"t1","levels":[1,null,2.5]}},"action":{"name":"read"},
    "resource":{"type":"Doc","id":"1"},"context":{"from":{"city":"x","gone":null}},
    "evaluations":[{},{"resource":{"type":"Doc","id":"2"}},
      {"subject":{"type":"user","id":"bob","properties":{"team":"t2"}},"action":{"name":"read"},
       "resource":{"type":"Doc","id":"3"},"context":{"own":true,"no":null}},{}]})");
  REQUIRE(answer.find("evaluations")->items().size() == 4);
  REQUIRE(world.authority.asked.size() == 4);
  const auto context = [&](std::size_t item) {
    return world.authority.asked[item].request.context.to_canonical_string();
  };
  const std::string shared = R"({"action":{},"from":{"city":"x"},"resource":{},)"
                             R"("subject":{"levels":[1,{"__extn":{"arg":"2.5000","fn":"decimal"}}],"team":"t1"}})";
  CHECK(context(0) == shared);
  CHECK(context(1) == shared);
  CHECK(context(2) == R"({"action":{},"own":true,"resource":{},"subject":{"team":"t2"}})");
  CHECK(context(3) == shared);
}

TEST_CASE("a batch ends at the first deny or permit when that is asked") {
  AuthzenWorld world;
  const auto count = [&](std::string_view semantic) {
    return world
        .ask("/access/v1/evaluations", R"({"subject":{"type":"user","id":"alice"},"action":{"name":"read"},
      "resource":{"type":"Doc","id":"1"},"options":{"evaluations_semantic":")" +
                                           std::string(semantic) +
                                           R"("},"evaluations":[{},{"action":{"name":"shred"}},{}]})")
        .find("evaluations")
        ->items()
        .size();
  };
  CHECK(count("execute_all") == 3);
  CHECK(count("deny_on_first_deny") == 2);
  CHECK(count("permit_on_first_permit") == 1);
  CHECK(world.post("/access/v1/evaluations", R"({"options":{"evaluations_semantic":"x"},"evaluations":[{}]})").status ==
        400);
  std::string many = R"({"evaluations":[{})";
  for (std::size_t i = 0; i < kBatchMax; ++i) many += ",{}";
  CHECK(world.post("/access/v1/evaluations", many + "]}").status == 400);
}

TEST_CASE("a search gives exactly what an evaluation would allow") {
  AuthzenWorld world;
  const Json who =
      world.ask("/access/v1/search/subject",
                R"({"subject":{"type":"user"},"action":{"name":"read"},"resource":{"type":"Doc","id":"1"}})");
  CHECK(ids(who) == "alice bob ");  // one is revoked
  CHECK(who.find("results")->items().front().string_or("type", "") == "user");
  CHECK(ids(world.ask("/access/v1/search/resource", question("alice", "read", "ignored"))) == "1 2 3 ");
  CHECK(ids(world.ask("/access/v1/search/resource", question("nobody", "read", "1"))).empty());
  CHECK(ids(world.ask("/access/v1/search/resource", question("alice", "delete", "1"))).empty());  // an obligation
  CHECK(ids(world.ask("/access/v1/search/action",
                      R"({"subject":{"type":"user","id":"alice"},"resource":{"type":"Doc","id":"1"}})"),
            "name") == "read ");
  CHECK(ids(world.ask("/access/v1/search/subject",
                      R"({"subject":{"type":"no type"},"action":{"name":"read"},"resource":{"type":"Doc","id":"1"}})"))
            .empty());
  CHECK(world.authority.searches.size() == 6);
  world.authority.is_recording = false;
  CHECK(world.post("/access/v1/search/resource", question("alice", "read", "1")).status == 503);
}

TEST_CASE("pages have tokens that are bound to the question and the revision") {
  AuthzenWorld world;
  const auto page = [&](std::string_view user, std::string_view about) {
    return world.post("/access/v1/search/resource", question(user, "read", "", ",\"page\":" + std::string(about)));
  };
  const Json first = *codec::parse_json(page("alice", R"({"limit":2})").body);
  CHECK(ids(first) == "1 2 ");
  CHECK(first.find("page")->integer_or("count", 0) == 2);
  const std::string token(first.find("page")->string_or("next_token", ""));
  REQUIRE(!token.empty());
  const std::string with = R"({"limit":2,"token":")" + token + "\"}";
  const Json second = *codec::parse_json(page("alice", with).body);
  CHECK(ids(second) == "3 ");
  CHECK(second.find("page")->string_or("next_token", "?").empty());
  CHECK(page("bob", with).status == 400);
  CHECK(page("alice", R"({"token":"AAAA"})").status == 400);
  CHECK(page("alice", R"({"limit":0})").status == 400);
  world.authority.set(*test::snapshot_of(kAuthzenPolicies, authzen_entities(), 8));
  CHECK(page("alice", with).status == 400);
}

TEST_CASE("what is no request is refused, and X-Request-ID comes back") {
  AuthzenWorld world;
  for (const std::string_view body :
       {"", "{", "[]", "{}", R"({"subject":"a","action":{"name":"r"},"resource":{"type":"D","id":"1"}})",
        R"({"subject":{"type":"user","id":"a"},"action":{"name":1},"resource":{"type":"D","id":"1"}})",
        R"({"subject":{"type":"user","id":"a"},"action":{"name":"r"},"resource":{"type":"D"}})",
        R"({"subject":{"type":"user","id":"a"},"action":{"name":"r"},"resource":{"id":"1"}})",
        R"({"subject":{"type":"user","id":"a","properties":1},"action":{"name":"r"},"resource":{"type":"D","id":"1"}})",
        R"({"subject":{"type":"user","id":"a"},"action":{"name":"r"},"resource":{"type":"D","id":"1"},"context":1})"}) {
    CHECK_MESSAGE(world.post("/access/v1/evaluation", body).status == 400, body);
  }
  const Answer good = world.post("/access/v1/evaluation", question("alice", "read", "1", R"(,"more":{"a":1})"),
                                 "application/json; charset=utf-8");
  CHECK(good.status == 200);
  CHECK(test::header_of(good, "X-Request-ID") == "r-1");
  CHECK(world.post("/access/v1/evaluation", question("alice", "read", "1"), "text/plain").status == 400);
  CHECK(world.post("/access/v1/nothing", "{}").status == 404);
  CHECK(world.post("/.well-known/authzen-configuration", "{}").status == 405);
  CHECK(world.post("/access/v1/evaluation", std::string(kBodyBytesMax + 1, ' ')).status == 413);
  Call call{"GET", "/access/v1/evaluation", "pdp.test", "", "", "", "", "test"};
  CHECK(test::header_of(world.authzen.answer(call), "Allow") == "POST");
  call = {"POST", "/access/v1/evaluation", "pdp.test", "application/json", "gzip", "", "x", "test"};
  CHECK(world.authzen.answer(call).status == 415);
  call = {"GET", "/.well-known/authzen-configuration/local", "pdp.test", "", "", "", "", "test"};
  const Json about = *codec::parse_json(world.authzen.answer(call).body);
  CHECK(about.string_or("policy_decision_point", "") == "https://pdp.test");
  CHECK(about.string_or("access_evaluation_endpoint", "") == "https://pdp.test/access/v1/evaluation");
  call.pep.clear();
  CHECK(world.authzen.answer(call).status == 401);
  CHECK(!test::header_of(world.authzen.answer(call), "WWW-Authenticate").empty());
}
