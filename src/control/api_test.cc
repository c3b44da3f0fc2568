#include "control/api.h"

#include "codec/text.h"
#include "control/control_test_world.h"
#include "control/names.h"
#include "enforce/point.h"
#include "link/subscriber.h"

using namespace wary;
using namespace wary::control;
using namespace wary::control::test;

TEST_CASE("every call is decided: the owner may, others get 403 and both are recorded") {
  World world;
  const Caller alice{{"Wary::User", "alice"}, "", ""}, nobody{{"Wary::Anonymous", "anonymous"}, "", ""};
  const std::vector<std::pair<std::string, std::string>> calls = {{"POST", "/v1/apply"},
                                                                  {"GET", "/v1/objects/users"},
                                                                  {"DELETE", "/v1/objects/user/x"},
                                                                  {"GET", "/v1/watch"},
                                                                  {"POST", "/v1/try"},
                                                                  {"GET", "/v1/explain/x"},
                                                                  {"POST", "/v1/revoke"},
                                                                  {"POST", "/v1/restore"},
                                                                  {"POST", "/v1/sessions"},
                                                                  {"POST", "/v1/workloads/issue"},
                                                                  {"GET", "/v1/health"},
                                                                  {"GET", "/v1/ledger/events"},
                                                                  {"GET", "/v1/ledger/decisions"},
                                                                  {"GET", "/v1/snapshot"},
                                                                  {"GET", "/v1/ledger/proof/x"},
                                                                  {"GET", "/v1/ledger/key"},
                                                                  {"POST", "/v1/ledger/check"}};
  const std::uint64_t revision = world.plane->snapshot()->revision();
  for (const auto& [method, path] : calls) {
    for (const Caller& caller : {alice, nobody}) {
      const auto exchange =
          world.call(caller, method, path, R"({"user":"alice","kind":"user","name":"alice","reason":"x"})");
      CHECK_MESSAGE(exchange->status == 403, path);
      CHECK_MESSAGE(exchange->code() == "denied", path);
    }
    const auto exchange = world.call(owner(), method, path, "{}");
    CHECK_MESSAGE(exchange->status != 403, path);
    CHECK_MESSAGE(exchange->status != 0, path);
  }
  std::size_t denied = 0;
  for (const contract::Event& event : world.events())
    denied += event.detail.find("\"decision\":\"deny\"") != std::string::npos ? 1U : 0U;
  CHECK(denied == 2 * calls.size());
  CHECK(world.plane->snapshot()->revision() == revision);
  CHECK(world.call(alice, "PUT", "/v1/apply")->code() == "api_method");
  CHECK(world.call(alice, "GET", "/v2")->status == 404);
}

TEST_CASE("apply takes a bundle whole or not at all, and says where it is wrong") {
  World world;
  const std::string good = R"({"apiVersion":"wary.dev/v1","kind":"User","metadata":{"name":"carol"},"spec":{}})";
  const std::string bad =
      R"({"apiVersion":"wary.dev/v1","kind":"Policy",
"metadata":{"name":"p","namespace":"demo"},"spec":{"cedar":"permit (","source":"p.cedar"}})";
  const auto refused = world.call(owner(), "POST", "/v1/apply", R"({"objects":[)" + good + "," + bad + "]}");
  REQUIRE(refused->json().find("errors") != nullptr);
  CHECK(refused->body.find("p.cedar:1:") != std::string::npos);
  CHECK(world.plane->objects().find(key_of(kTenantWide, "User", "carol")) == nullptr);
  const auto taken = world.call(owner(), "POST", "/v1/apply", R"({"objects":[)" + good + "]}");
  CHECK_MESSAGE(taken->status == 200, taken->body);
  CHECK(world.plane->objects().find(key_of(kTenantWide, "User", "carol")) != nullptr);
  CHECK(world.call(owner(), "POST", "/v1/apply", R"({"objects":[1]})")->body.find("resource_form") !=
        std::string::npos);
  for (const char* body : {"", "[]", "{\"objects\":1}", "nonsense"}) {
    CHECK_MESSAGE(world.call(owner(), "POST", "/v1/apply", body)->status == 400, std::string(body));
  }
}

TEST_CASE("a decision is explained at its own revision, also after a restart, and not once that is gone") {
  World world;
  const Caller alice{{"Wary::User", "alice"}, "", ""};
  const auto denied = world.call(alice, "GET", "/v1/health");
  const std::string text(denied->json().find("error")->string_or("next", ""));
  const std::string reference = text.substr(10, text.find(';') - 10);
  REQUIRE(world.put(key_of(kTenantWide, "User", "alice"), R"({"groups":["owners"]})").ok());
  const auto check = [&] {
    const auto explained = world.call(owner(), "GET", "/v1/explain/" + reference);
    CHECK_MESSAGE(explained->status == 200, explained->body);
    CHECK(explained->json().string_or("decision", "") == "deny");
  };
  check();
  CHECK(world.call(alice, "GET", "/v1/health")->status == 200);
  world.close();
  REQUIRE(world.open().ok());
  check();
  CHECK(world.call(owner(), "GET", "/v1/explain/none")->code() == "decision_unknown");
  REQUIRE(world.plane->store()->compact(world.plane->revision()).ok());
  world.close();
  REQUIRE(world.open().ok());
  CHECK(world.call(owner(), "GET", "/v1/explain/" + reference)->code() == "revision_compacted");
}

TEST_CASE("a link signs in once, and not a disabled or unknown user") {
  World world;
  const contract::EntityId by{"Wary::User", "owner"};
  CHECK(world.sign_in->create_link(by, "nobody").error().code == "user_unknown");
  const auto link = world.sign_in->create_link(by, "alice");
  REQUIRE(link.ok());
  CHECK(world.sign_in->redeem_link("wrong").error().code == "sign_in_refused");
  const auto session = world.sign_in->redeem_link(link->secret);
  REQUIRE(session.ok());
  CHECK(world.sign_in->redeem_link(link->secret).error().code == "sign_in_refused");
  const auto late = world.sign_in->create_link(by, "alice");
  world.sim.jump_wall_clock(11 * 60 * kNanosPerSecond);
  CHECK(world.sign_in->redeem_link(late->secret).error().code == "sign_in_refused");
  const auto before = world.sign_in->create_link(by, "alice");
  REQUIRE(world.put(key_of(kTenantWide, "User", "alice"), R"({"disabled":true})").ok());
  CHECK(world.sign_in->redeem_link(before->secret).error().code == "user_disabled");
  CHECK(world.sign_in->create_link(by, "alice").error().code == "user_disabled");
}

TEST_CASE("a sign-in is answered when the enforcement points know the session") {
  World world;
  const io::Address address = io::Address::unix_socket("/run/link.sock");
  REQUIRE(world.plane->listen(address).ok());
  REQUIRE(world.files.make_directory("edge").ok());
  link::SubscriberHooks hooks;
  hooks.verify = [&](ByteView message, ByteView sign) { return world.key.public_key().verify(message, sign); };
  hooks.on_update = [](const link::Update&) -> Status { return {}; };
  hooks.on_receipt = [](const link::Receipt&) {};
  hooks.on_ledger_state = [](bool) {};
  hooks.on_connection = [](bool) {};
  const std::unique_ptr<io::Loop> edge = world.sim.make_loop();
  link::Subscriber subscriber(*edge, world.files, {"edge/test", address, "edge", 8}, hooks, null_log());
  REQUIRE(subscriber.start().ok());
  world.run(200);
  REQUIRE(world.plane->acknowledged());
  const auto sign_in = [&] {
    http::Request request;
    request.method = "POST";
    request.path = "/api/signin";
    request.headers = {{"Origin", "https://console.localhost:7443"}};
    request.body = R"({"code":")" + world.sign_in->create_link({"Wary::User", "owner"}, "alice")->secret + R"("})";
    auto exchange = std::make_shared<TestExchange>(std::move(request));
    world.api->handle_console(exchange);
    return exchange;
  };
  const auto answered = sign_in();
  CHECK(answered->status == 0);
  world.run(100);
  CHECK(answered->status == 200);
  CHECK(*world.plane->acknowledged() == world.plane->snapshot()->revision());
}

TEST_CASE("a revocation fits however many sessions there are, and no link from before outlives it") {
  World world;
  const contract::EntityId by{"Wary::User", "owner"};
  for (int i = 0; i < 1'100; ++i) {
    const std::string spec = R"({"user":"alice","created":1,"expires":9000000000000000000})";
    REQUIRE(world.put(key_of(kTenantWide, "Session", "s" + std::to_string(i)), spec).ok());
  }
  REQUIRE(world.put(key_of(kTenantWide, "User", "bob"), "{}").ok());
  const std::string body = R"({"kind":"user","name":"alice","reason":"test"})";
  const auto revoked = world.call(owner(), "POST", "/v1/revoke", body);
  world.run(2'000);
  CHECK(revoked->status == 200);

  const auto link = world.sign_in->create_link(by, "bob");
  REQUIRE(link.ok());
  const auto again = world.call(owner(), "POST", "/v1/revoke", R"({"kind":"user","name":"bob","reason":"test"})");
  world.run(2'000);
  CHECK(again->status == 200);
  REQUIRE(world.call(owner(), "POST", "/v1/restore", R"({"kind":"user","name":"bob","reason":"test"})")->status == 200);
  CHECK(world.sign_in->redeem_link(link->secret).error().code == "sign_in_refused");
}

TEST_CASE("a browser signs in to an application that is reached over TLS like to any other") {
  World world;
  for (const char* identity :
       {R"({"spiffeId":"spiffe://local/demo/secure"})", R"({"serverName":"a.test","roots":""})"}) {
    REQUIRE(world
                .put(key_of("demo", "App", "secure"),
                     R"({"hosts":["secure.localhost"],"upstream":"https://127.0.0.1:8443","upstreamIdentity":)" +
                         std::string(identity) + "}")
                .ok());
    const auto session =
        world.sign_in->redeem_link(world.sign_in->create_link({"Wary::User", "owner"}, "alice")->secret);
    REQUIRE(session.ok());
    CHECK(world.sign_in->create_code(session->session, "secure.localhost", std::string(64, 'a')).ok());
  }
}

TEST_CASE("a code opens one host for one browser once, while its session lives") {
  World world;
  const std::string state(64, 'a');
  const auto session = world.sign_in->redeem_link(world.sign_in->create_link({"Wary::User", "owner"}, "alice")->secret);
  REQUIRE(session.ok());
  const auto code = [&] {
    auto made = world.sign_in->create_code(session->session, "site.localhost", state);
    REQUIRE(made.ok());
    return made->secret;
  };
  CHECK(world.sign_in->redeem_code(code(), "site.localhost", state).ok());
  const std::string used = code();
  CHECK(world.sign_in->redeem_code(used, "other.localhost", state).error().code == "sign_in_refused");
  CHECK(world.sign_in->redeem_code(used, "site.localhost", state).error().code == "sign_in_refused");
  CHECK(world.sign_in->redeem_code(code(), "site.localhost", std::string(64, 'b')).error().code == "sign_in_refused");
  const std::string late = code();
  world.run(31'000);
  CHECK(world.sign_in->redeem_code(late, "site.localhost", state).error().code == "sign_in_refused");
  for (const char* host : {"nobody.localhost", "site.localhost:7443", "site.localhost:7443@evil.test",
                           "site.localhost:\r\nX: 1", "site.localhost:1/.."}) {
    CHECK_MESSAGE(world.sign_in->create_code(session->session, host, state).error().code == "sign_in_refused", host);
  }
  CHECK(world.sign_in->create_code(session->session, "site.localhost", "short").error().code == "sign_in_refused");
  const std::string of_disabled = code();
  REQUIRE(world.put(key_of(kTenantWide, "User", "alice"), R"({"disabled":true})").ok());
  CHECK_FALSE(world.sign_in->redeem_code(of_disabled, "site.localhost", state).ok());
  REQUIRE(world.put(key_of(kTenantWide, "User", "alice"), "{}").ok());
  const std::string expired = code();
  world.sim.jump_wall_clock(9 * 3600 * kNanosPerSecond);
  CHECK(world.sign_in->redeem_code(expired, "site.localhost", state).error().code == "sign_in_refused");
}

TEST_CASE("one session takes neither all the codes nor ever more credentials") {
  World world;
  const std::string state(64, 'a');
  const auto sign_in = [&] {
    auto made = world.sign_in->redeem_link(world.sign_in->create_link({"Wary::User", "owner"}, "alice")->secret);
    REQUIRE(made.ok());
    return made->session;
  };
  const std::string greedy = sign_in(), other = sign_in();
  const auto first = world.sign_in->create_code(greedy, "site.localhost", state);
  for (int i = 0; i < 10'000; ++i) REQUIRE(world.sign_in->create_code(greedy, "site.localhost", state).ok());
  CHECK(world.sign_in->redeem_code(first->secret, "site.localhost", state).error().code == "sign_in_refused");
  const auto code = world.sign_in->create_code(other, "site.localhost", state);
  REQUIRE(code.ok());
  CHECK(world.sign_in->redeem_code(code->secret, "site.localhost", state).ok());

  const auto count = [&] { return world.plane->objects().of_kind("Credential").size(); };
  std::string newest;
  for (int i = 0; i < 20; ++i) {
    const auto again = world.sign_in->create_code(greedy, "site.localhost", state);
    REQUIRE(again.ok());
    const auto token = world.sign_in->redeem_code(again->secret, "site.localhost", state);
    REQUIRE(token.ok());
    newest = wary::enforce::credential_id(token->secret);
    world.settle();
  }
  CHECK(count() == 2 + 1 + 4);  // of the console, two sessions; of the site, one and the newest four
  CHECK(world.plane->objects().find(key_of(kTenantWide, "Credential", newest)) != nullptr);
}

TEST_CASE("a name is also taken as it is printed, NAMESPACE/NAME") {
  World world;
  const auto applied = world.call(owner(), "POST", "/v1/apply", R"({"objects":[{"apiVersion":"wary.dev/v1","kind":"App",
"metadata":{"name":"site","namespace":"demo"},"spec":{"hosts":["a.localhost"],"upstream":"http://127.0.0.1:1"}}]})");
  REQUIRE_MESSAGE(applied->status == 200, applied->body);
  const auto status = [&](const std::string& method, const std::string& path, const std::string& query) {
    return world.call(owner(), method, path, "", query)->status;
  };
  CHECK(status("GET", "/v1/objects/App/site", "namespace=demo") == 200);
  CHECK(status("GET", "/v1/objects/App/site", "") == 404);
  CHECK(status("GET", "/v1/objects/App/demo%2Fsite", "") == 200);
  CHECK(status("GET", "/v1/history/App/demo%2Fsite", "") == 200);
  // Elsewhere it is another name, and a kind without namespaces has none before its names.
  CHECK(status("GET", "/v1/objects/App/default%2Fsite", "") == 404);
  CHECK(status("GET", "/v1/objects/App/demo%2Fsite", "namespace=demo") == 404);
  CHECK(status("GET", "/v1/objects/User/owner", "") == 200);
  CHECK(status("GET", "/v1/objects/User/demo%2Fowner", "") == 404);
  CHECK(status("DELETE", "/v1/objects/App/demo%2Fsite", "") == 200);
  CHECK(status("GET", "/v1/objects/App/site", "namespace=demo") == 404);
}

TEST_CASE("a host that is served already is refused with whose it is") {
  World world;
  const auto apply = [&](const std::string& name, const std::string& host) {
    return world.call(
        owner(), "POST", "/v1/apply",
        R"({"objects":[{"apiVersion":"wary.dev/v1","kind":"App","metadata":{"namespace":"demo","name":")" + name +
            R"("},"spec":{"upstream":"http://127.0.0.1:1","hosts":[")" + host + R"("]}}]})");
  };
  REQUIRE(apply("one", "a.localhost")->json().find("errors") == nullptr);
  CHECK_MESSAGE(apply("two", "A.localhost")->body.find("it is that of App demo/one") != std::string::npos,
                apply("two", "A.localhost")->body);
  CHECK(apply("one", "a.localhost")->json().find("errors") == nullptr);
}

TEST_CASE("what is asked for wrongly is refused, with what was expected and what to do next") {
  World world;
  const auto refused = [&](const std::string& path, const std::string& query, const std::string& code) {
    const auto exchange = world.call(owner(), "GET", path, "", query);
    CHECK_MESSAGE(exchange->code() == code, (path + "?" + query + ": " + exchange->body));
    const codec::Json answer = exchange->json();
    CHECK_FALSE(answer.find("error")->string_or("next", "").empty());
    CHECK_FALSE(answer.find("error")->string_or("found", "").empty());
  };
  for (const char* query : {"last=abc", "last=-5", "last=1x", "after=99999999999999999999", "last=%20"})
    refused("/v1/ledger/events", query, "api_number");
  refused("/v1/ledger/consistency", "from=abc", "api_number");
  refused("/v1/watch", "since=abc", "api_number");
  refused("/v1/watch", "kind=Foo", "resource_kind");
  refused("/v1/objects/Foo", "", "resource_kind");
  refused("/v1/objects/App/none", "", "resource_unknown");
  refused("/v1/history/User/none", "", "resource_unknown");
  refused("/v1/objects/App/wary%2Fnone", "", "resource_unknown");
  refused("/v1/explain/none", "", "decision_unknown");
  refused("/v1/ledger/proof/none", "", "decision_unknown");
  refused("/v1/ledger/proof/%23999999", "", "event_unknown");
  refused("/v1/ledger/proof/%23x", "", "event_unknown");
  const auto backwards = world.call(owner(), "GET", "/v1/ledger/consistency", "", "from=2&to=1");
  CHECK(backwards->code() == "ledger_range");
  CHECK(backwards->json().find("error")->string_or("expected", "") == "at most 1");
  CHECK(world.call(owner(), "GET", "/v1/ledger/consistency", "", "from=1")->status == 200);
  const auto proof = world.call(owner(), "GET", "/v1/ledger/proof/%230");
  CHECK(proof->json().integer_or("index", -1) == 0);
}

TEST_CASE("a slip in what is named is told what was meant") {
  World world;
  const auto next = [&](const std::string& method, const std::string& path, const std::string& body = "") {
    const codec::Json answer = world.call(owner(), method, path, body)->json();
    const codec::Json* error = answer.find("error");
    return error != nullptr ? std::string(error->string_or("next", "")) : answer.to_string();
  };
  const auto meant = [](const std::string& name) { return "did you mean " + name + "? "; };
  CHECK(next("GET", "/v1/objects/App/demo%2Fsit").starts_with(meant("demo/site")));
  CHECK(next("GET", "/v1/objects/App/site").starts_with(meant("demo/site")));  // of another namespace
  CHECK(next("GET", "/v1/objects/App/siet").starts_with(meant("demo/site")));
  CHECK(next("GET", "/v1/objects/User/alcie").starts_with(meant("alice")));
  CHECK(next("GET", "/v1/objects/User/nobody-near").starts_with("wary get user lists them"));
  CHECK(next("GET", "/v1/objects/usr").starts_with(meant("User")));
  CHECK(next("GET", "/v1/objects/aps").starts_with(meant("App")));
  CHECK(next("GET", "/v1/objects/polices").starts_with(meant("Policy")));
  CHECK(next("GET", "/v1/objects/something").starts_with("a kind is written"));
  CHECK(next("DELETE", "/v1/objects/User/alcie").starts_with(meant("alice")));
  CHECK(next("POST", "/v1/revoke", R"({"kind":"user","name":"alcie","reason":"r"})").starts_with(meant("alice")));
  CHECK(next("POST", "/v1/revoke", R"({"kind":"session","name":"alice","reason":"r"})").find("did you mean") ==
        std::string::npos);
  CHECK(next("POST", "/v1/revoke", R"({"kind":"usr","name":"alice","reason":"r"})").starts_with(meant("user")));
  CHECK(next("POST", "/v1/sessions", R"({"user":"alcie"})").starts_with(meant("alice")));
  CHECK(next("POST", "/v1/try", R"({"principal":"alice","method":"GET","url":"https://siet.localhost/"})")
            .starts_with(meant("site.localhost")));
  // Whoever signs in is told nothing of who else there is.
  CHECK(world.sign_in->create_link({"Wary::User", "owner"}, "alcie").error().next_step.find("alice") ==
        std::string::npos);
  const auto answer = world.call(owner(), "POST", "/v1/apply", R"({"objects":[
{"apiVersion":"wary.dev/v1","kind":"Rout","metadata":{"name":"a","namespace":"demo"},"spec":{}},
{"apiVersion":"wary.dev/v1","kind":"Route","metadata":{"name":"a","namespace":"demo"},
 "spec":{"app":"siet","path":"/a"}},
{"apiVersion":"wary.dev/v1","kind":"User","metadata":{"name":"carol"},"spec":{"groups":["onwers"]}}]})");
  const codec::Json refused = answer->json();
  REQUIRE(refused.find("errors") != nullptr);
  std::string hints;
  for (const codec::Json& error : refused.find("errors")->items())
    hints += std::string(error.string_or("next", "")) + " ";
  CHECK(hints == "did you mean Route? did you mean demo/site? did you mean owners? ");
  std::string many =
      R"({"objects":[{"apiVersion":"wary.dev/v1","kind":"User","metadata":{"name":"carol"},"spec":{"groups":[)";
  for (int i = 0; i < 40; ++i) many += (i > 0 ? "," : "") + ("\"owner" + std::to_string(i)) + "\"";
  const codec::Json all = world.call(owner(), "POST", "/v1/apply", many + "]}}]}")->json();
  REQUIRE(all.find("errors")->items().size() == 40);
  CHECK(all.find("errors")->items()[19].string_or("next", "") == "did you mean owners?");
  CHECK(all.find("errors")->items()[20].string_or("next", "").empty());
}

TEST_CASE("a principal is named by everybody in the same ways") {
  const Settings settings{"local", "console.localhost", "/run/console.sock"};
  const auto named = [&](std::string_view text) {
    const auto who = principal_named(settings, text);
    return who ? who->to_string() : who.error().code;
  };
  for (const char* text : {"alice", "user:alice", R"(User::"alice")", R"(Wary::User::"alice")"})
    CHECK_MESSAGE(named(text) == R"(Wary::User::"alice")", text);
  for (const char* text :
       {"workload:demo/reader", "spiffe://local/demo/reader", R"(Workload::"spiffe://local/demo/reader")",
        R"(Wary::Workload::"spiffe://local/demo/reader")"})
    CHECK_MESSAGE(named(text) == R"(Wary::Workload::"spiffe://local/demo/reader")", text);
  CHECK(named("workload:reader") == R"(Wary::Workload::"spiffe://local/default/reader")");
  for (const char* text : {"node:n1", "spiffe://local/wary/node/n1"})
    CHECK_MESSAGE(named(text) == R"(Wary::Node::"spiffe://local/wary/node/n1")", text);
  CHECK(named("anonymous") == R"(Wary::Anonymous::"anonymous")");
  CHECK(named(R"(Shop::User::"x")") == R"(Shop::User::"x")");
  CHECK(named(R"(Bot::"x")") == R"(Bot::"x")");
  for (const char* text : {"", R"(Wary::User::"alice)", "Wary::User::alice", "User::"})
    CHECK_MESSAGE(named(text) == "principal_syntax", text);

  World world;
  const auto tail = [&](const std::string& actor) {
    return world.call(owner(), "GET", "/v1/ledger/events", "", "last=100&actor=" + codec::encode_percent(actor));
  };
  CHECK(world.call({{"Wary::User", "alice"}, "", ""}, "GET", "/v1/health")->status == 403);
  const std::string whole = tail(R"(Wary::User::"alice")")->body;
  CHECK_MESSAGE(whole.find(R"("action":"status")") != std::string::npos, whole);
  CHECK(whole.find("owner") == std::string::npos);
  for (const char* text : {"alice", "user:alice", R"(User::"alice")"}) CHECK_MESSAGE(tail(text)->body == whole, text);
  CHECK(tail("Wary::User::alice")->code() == "principal_syntax");
  CHECK(tail("bob")->body.empty());
  const auto tried = [&](const std::string& who) {
    codec::Json body = codec::Json::object();
    body.set("principal", std::string_view(who)).set("method", "GET").set("url", "https://site.localhost/");
    return world.call(owner(), "POST", "/v1/try", body.to_string());
  };
  CHECK(tried(R"(User::"alice")")->json().string_or("text", "") == tried("alice")->json().string_or("text", "?"));
  CHECK(tried("")->code() == "principal_syntax");
}

TEST_CASE("who is signed in is listed, newest first, and who may not see it is told nothing") {
  World world;
  const auto sign_in = [&](const char* user) {
    auto made = world.sign_in->redeem_link(world.sign_in->create_link({"Wary::User", "owner"}, user)->secret);
    REQUIRE(made.ok());
    world.run(1000);
    return made->session;
  };
  REQUIRE(world.put(key_of(kTenantWide, "User", "bob"), "{}").ok());
  REQUIRE(world.put(key_of(kTenantWide, "User", "carol"), "{}").ok());
  const std::string first = sign_in("alice"), other = sign_in("bob"), second = sign_in("alice"),
                    gone = sign_in("carol");
  const auto list = [&](const std::string& query = "") {
    const auto exchange = world.call(owner(), "GET", "/v1/sessions", "", query);
    REQUIRE_MESSAGE(exchange->status == 200, exchange->body);
    return exchange->json();
  };
  const auto ids = [&](const std::string& query = "") {
    std::vector<std::string> out;
    const codec::Json answer = list(query);
    for (const codec::Json& one : answer.find("sessions")->items()) out.emplace_back(one.string_or("session", ""));
    return out;
  };
  using Ids = std::vector<std::string>;
  CHECK(ids() == Ids{gone, second, other, first});
  CHECK(ids("principal=alice") == Ids{second, first});
  CHECK(ids("principal=User%3A%3A%22bob%22") == Ids{other});
  CHECK(list().integer_or("leftOut", -1) == 0);

  // Since, until, hosts, and when an event of it last came.
  const auto code = world.sign_in->create_code(other, "site.localhost", std::string(64, 'a'));
  REQUIRE(world.sign_in->redeem_code(code->secret, "site.localhost", std::string(64, 'a')).ok());
  world.run(1000);
  const UnixTime asked = world.sim.clock().unix_time();
  CHECK(world.call({{"Wary::User", "bob"}, other, ""}, "GET", "/v1/sessions")->status == 403);
  const codec::Json bobs = list("principal=bob").find("sessions")->items()[0];
  CHECK(bobs.string_or("user", "") == "bob");
  CHECK(bobs.find("hosts")->to_string() == R"(["console.localhost","site.localhost"])");
  CHECK(bobs.string_or("lastSeen", "") == to_rfc3339(asked));
  CHECK(bobs.string_or("since", "") < bobs.string_or("lastSeen", ""));
  CHECK(bobs.string_or("until", "") > bobs.string_or("lastSeen", ""));
  CHECK(world.count("session.list") > 0);  // the deny is recorded too

  // Ended, revoked, or of somebody who is: not signed in.
  REQUIRE(world.call(owner(), "POST", "/v1/revoke", R"({"kind":"session","name":")" + second + R"(","reason":"r"})")
              ->status == 200);
  REQUIRE(world.put(key_of(kTenantWide, "User", "bob"), R"({"disabled":true})").ok());
  REQUIRE(world.call(owner(), "DELETE", "/v1/objects/User/carol")->status == 200);
  CHECK(ids() == Ids{first});
  world.sim.jump_wall_clock(9 * 3600 * kNanosPerSecond);
  CHECK(ids().empty());
  CHECK(world.call(owner(), "GET", "/v1/sessions", "", "principal=alcie")->body.find("did you mean alice?") !=
        std::string::npos);
  CHECK(world.call(owner(), "GET", "/v1/sessions", "", "principal=workload:demo/x")->code() == "user_unknown");
  CHECK(world.call(owner(), "GET", "/v1/objects/sessions")->body.find("wary session list") != std::string::npos);
}
