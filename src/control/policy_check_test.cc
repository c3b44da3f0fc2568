#include "control/policy_check.h"

#include <set>

#include "codec/yaml.h"
#include "control/control_test_world.h"
#include "control/workload_identity.h"
#include "policy/decide.h"
#include "policy/validate.h"
#include "schema/conformance.h"
#include "tests/support/testdata.h"

using namespace wary;
using namespace wary::control;
using namespace wary::control::test;

namespace {

codec::Json policy_object(const std::string& name, const std::string& text) {
  codec::Json metadata = codec::Json::object();
  metadata.set("name", std::string_view(name)).set("namespace", "demo");
  codec::Json spec = codec::Json::object();
  spec.set("cedar", std::string_view(text)).set("source", name + ".cedar");
  codec::Json object = codec::Json::object();
  object.set("apiVersion", kApiVersion).set("kind", "Policy");
  object.set("metadata", std::move(metadata)).set("spec", std::move(spec));
  return object;
}

Resource stored_policy(const std::string& name, const std::string& text) {
  Resource resource;
  resource.key = key_of("demo", "Policy", name);
  resource.spec = *policy_object(name, text).find("spec");
  return resource;
}

codec::Json apply(World& world, std::vector<codec::Json> objects, bool dry_run = false) {
  codec::Json body = codec::Json::object();
  body.set("objects", codec::Json::array(std::move(objects))).set("dryRun", dry_run);
  const auto exchange = world.call(owner(), "POST", "/v1/apply", body.to_string());
  CHECK_MESSAGE(exchange->status == 200, exchange->body);
  return exchange->json();
}

codec::Json apply_policy(World& world, const std::string& text) { return apply(world, {policy_object("p", text)}); }

std::string codes(const codec::Json& answer, std::string_view member) {
  std::string out;
  const codec::Json* list = answer.find(member);
  if (list == nullptr) return out;
  for (const codec::Json& problem : list->items()) {
    out += (out.empty() ? "" : " ") + std::string(problem.string_or("code", ""));
  }
  return out;
}

bool is_stored(const World& world, const std::string& name) {
  return world.plane->objects().find(key_of("demo", "Policy", name)) != nullptr;
}

// The demo's resources and policies, as `wary apply` sends them.
std::vector<codec::Json> demo_objects() {
  const std::string directory = std::string(WARY_SOURCE_DIR) + "/examples/demo/resources/";
  std::vector<codec::Json> out;
  const auto yaml = wary::test::read_file(directory + "resources.yaml");
  REQUIRE(yaml);
  const auto documents = codec::parse_yaml(*yaml, "resources.yaml", Limits{});
  REQUIRE(documents.ok());
  for (const codec::YamlDocument& document : *documents) out.push_back(document.value);
  for (const char* name : {"chat", "metrics", "site"}) {
    const auto text = wary::test::read_file(directory + "policies/" + name + ".cedar");
    REQUIRE(text);
    out.push_back(policy_object(name, *text));
  }
  return out;
}

// Everything that is decided by now is what the schema says.
std::set<std::string> check_entities(const World& world) {
  std::set<std::string> types;
  world.plane->snapshot()->entities().for_each([&](const cedar::EntityHandle& entity) {
    types.insert(entity->uid->type);
    const Status fits = schema::validate_entity(policy::platform_schema(), *entity);
    CHECK_MESSAGE(fits.ok(), (entity->uid->to_string() + ": " + (fits.ok() ? "" : fits.error().to_string())));
  });
  return types;
}

}  // namespace

TEST_CASE("a misspelt attribute refuses the apply, with place, caret and hint, and nothing is changed") {
  World world;
  const std::uint64_t revision = world.plane->snapshot()->revision();
  const codec::Json user =
      *codec::parse_json(R"({"apiVersion":"wary.dev/v1","kind":"User","metadata":{"name":"carol"},"spec":{}})");
  const codec::Json answer =
      apply(world, {user, policy_object("typo",
                                        "permit (principal is Wary::User, action, resource is Wary::App)\n"
                                        "when { principal.disabeld };")});
  REQUIRE(codes(answer, "errors") == "validation_unsafe_attribute_access");
  const codec::Json& error = answer.find("errors")->items()[0];
  CHECK(error.string_or("where", "") == "typo.cedar:2:8");
  CHECK(error.string_or("pointer", "") == "/spec/cedar");
  CHECK(error.integer_or("object", -1) == 1);
  CHECK(error.string_or("next", "").find("disabled") != std::string_view::npos);
  CHECK(error.string_or("caret", "").find("^^^") != std::string_view::npos);
  CHECK(answer.find("results") == nullptr);
  CHECK(world.plane->snapshot()->revision() == revision);
  CHECK_FALSE(is_stored(world, "typo"));
  CHECK(world.plane->objects().find(key_of(kTenantWide, "User", "carol")) == nullptr);
}

TEST_CASE("every kind of mistake has its code") {
  World world;
  const auto refused = [&](const std::string& text) {
    const std::string found = codes(apply_policy(world, text), "errors");
    CHECK_MESSAGE(!found.empty(), text);
    return found;
  };
  const std::string on_app = "permit (principal, action, resource is Wary::App) when { ";
  CHECK(refused("permit (principal is Wary::Usr, action, resource);") == "validation_unrecognized_entity_type");
  CHECK(refused("permit (principal, action == Wary::Action::\"GTE\", resource);") ==
        "validation_unrecognized_action_id");
  CHECK(refused("permit (principal, action == Wary::Action::\"POST\", resource is Wary::Platform);") ==
        "validation_invalid_action_application");
  CHECK(refused(on_app + "context.path + 1 == 2 };") == "validation_unexpected_type");
  CHECK(refused(on_app + "context.path == 1 };") == "validation_incompatible_types");
  CHECK(refused(on_app + "resource.owner == principal };") == "validation_unsafe_attribute_access");
  CHECK(refused(on_app + "context.session.active };") == "validation_unsafe_optional_attribute_access");
  CHECK(refused(on_app + "resource.getTag(\"a\") == \"b\" };") == "validation_unsafe_tag_access");
  CHECK(refused(on_app + "ip(context.host).isLoopback() };") == "validation_non_literal_constructor");
  CHECK(refused(on_app + "context.client == ip(\"nonsense\") };") == "validation_function_argument");
  CHECK(refused(on_app + "[].contains(context.path) };") == "validation_empty_set_forbidden");
  CHECK(refused("permit (principal, action, resource == Wary::Platform::\"other\");") ==
        "validation_invalid_enum_entity");
  CHECK(refused("permit (principal, action, resource is App);") == "validation_unrecognized_entity_type");
  CHECK(refused("permit (principal is Shop::Bot, action, resource);") == "validation_unrecognized_entity_type");
  // Syntax first: what does not parse is not looked at further.
  CHECK(refused("permit (principal, action, resource) when { principal.nothing").starts_with("cedar_"));
  CHECK(refused("permit (principal == ?principal, action, resource);") == "policy_template");
  CHECK_FALSE(is_stored(world, "p"));
}

TEST_CASE("warnings are told and do not refuse") {
  World world;
  const auto warned = [&](const std::string& text) {
    const codec::Json answer = apply_policy(world, text);
    CHECK_MESSAGE(answer.find("errors") == nullptr, answer.to_string());
    CHECK(answer.find("results") != nullptr);
    return codes(answer, "warnings");
  };
  CHECK(warned("permit (principal, action, resource) when { context has vehicle };") == "validation_impossible_policy");
  CHECK(is_stored(world, "p"));
  CHECK(warned("permit (principal == Wary::User::\"p\xD0\xB0ul\", action, resource);") ==
        "validation_mixed_script_identifier policy_entity_unknown");
  CHECK(warned("permit (principal, action, resource is Shop::Order) when { resource.total > 5 };") == "policy_foreign");
  CHECK(warned("permit (principal, action, resource is Wary::App);").empty());
  // Neither does trying: the warnings are the same, and nothing is changed.
  const codec::Json tried =
      apply(world, {policy_object("q", "permit (principal, action, resource) when { false };")}, true);
  CHECK(codes(tried, "warnings") == "validation_impossible_policy");
  CHECK_FALSE(is_stored(world, "q"));
  const codec::Json both = apply(world, {policy_object("q", "permit (principal, action, resource) when { false };"),
                                         policy_object("r", "permit (principal is Wary::Usr, action, resource);")});
  CHECK(codes(both, "errors") == "validation_unrecognized_entity_type");
  CHECK(codes(both, "warnings") == "validation_impossible_policy");
  CHECK(both.find("errors")->items()[0].integer_or("object", -1) == 1);
  CHECK(both.find("warnings")->items()[0].integer_or("object", -1) == 0);
  CHECK_FALSE(is_stored(world, "q"));
}

TEST_CASE("a policy that names what does not exist is taken with a warning") {
  World world;
  const auto object = [](const char* text) { return *codec::parse_json(text); };
  const std::string text =
      "permit (principal == Wary::User::\"alcie\", action in Wary::Action::\"read\", resource == "
      "Wary::App::\"demo/shop\");";
  const codec::Json answer = apply_policy(world, text);
  CHECK(codes(answer, "errors").empty());
  CHECK(is_stored(world, "p"));
  REQUIRE(codes(answer, "warnings") == "policy_entity_unknown policy_entity_unknown");
  const codec::Json& user = answer.find("warnings")->items()[0];
  CHECK(user.string_or("where", "") == "p.cedar:1:9");
  CHECK(user.string_or("found", "") == "Wary::User::\"alcie\"");
  CHECK(user.string_or("next", "") == "did you mean Wary::User::\"alice\"?");
  CHECK(user.string_or("caret", "").find("^^^") != std::string_view::npos);
  // What the same apply brings is there, in any order; what was there before is too.
  const codec::Json app =
      object(R"({"apiVersion":"wary.dev/v1","kind":"App","metadata":{"name":"shop","namespace":"demo"},)"
             R"("spec":{"hosts":["shop.localhost"],"upstream":"http://127.0.0.1:1"}})");
  const codec::Json whole =
      object(R"({"apiVersion":"wary.dev/v1","kind":"User","metadata":{"name":"alcie"},"spec":{}})");
  CHECK(codes(apply(world, {policy_object("p", text), app, whole}), "warnings").empty());
  CHECK(codes(apply_policy(world, text), "warnings").empty());
}

// As an older wary has stored it: committed without being checked against the schema.
TEST_CASE("a stored policy that is not valid keeps deciding after a restart, and the log tells") {
  World world;
  const std::string text =
      "permit (principal == Wary::User::\"alice\", action, resource)\n"
      "when { action == Wary::Action::\"status\" || resource.nothing };";
  Change change;
  change.writes.push_back({key_of("demo", "Policy", "old"), *codec::parse_json(to_stored(stored_policy("old", text)))});
  change.event = World::event("as before");
  REQUIRE(world.plane->commit(std::move(change)).ok());
  const Caller alice{{"Wary::User", "alice"}, "", ""};
  CHECK(world.call(alice, "GET", "/v1/health")->status == 200);
  world.close();
  std::string lines;
  Log log(world.sim.clock(), "waryd", [&](std::string_view line) { lines += line; }, 1, 2);
  world.log = &log;
  REQUIRE(world.open().ok());
  CHECK(world.call(alice, "GET", "/v1/health")->status == 200);
  CHECK_MESSAGE(lines.find("control.policy_invalid") != std::string::npos, lines);
  CHECK(lines.find("Policy demo/old") != std::string::npos);
  CHECK(lines.find("old.cedar:2:") != std::string::npos);
  CHECK(lines.find("control.policies_invalid") != std::string::npos);
  // Something else is still taken; the policy itself is not, until it is mended.
  CHECK(codes(apply_policy(world, "permit (principal, action, resource is Wary::App);"), "errors").empty());
  CHECK(codes(apply(world, {policy_object("old", text)}), "errors").starts_with("validation_unsafe_attribute_access"));
  CHECK(world.call(alice, "GET", "/v1/health")->status == 200);
  const std::string mended = text.substr(0, text.find("\n")) + ";";
  CHECK(codes(apply(world, {policy_object("old", mended)}), "errors").empty());
}

namespace {

// An issuer with everything it may have, one of its tokens that was revoked, and keys of both holders.
void put_credentials(World& world) {
  REQUIRE(world
              .put(key_of(kTenantWide, "Issuer", "corp"),
                   R"({"issuer":"https://idp.test/","audiences":["api"],"jwksUri":"https://idp.test/keys","jwks":)"
                   R"({"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}})")
              .ok());
  REQUIRE(world.put(key_of(kTenantWide, "Issuer", "bare"), R"({"issuer":"https://b.test/","audiences":["api"]})").ok());
  REQUIRE(world.put(key_of(kTenantWide, "Revocation", "token.corp." + std::string(64, 'a')), "{}").ok());
  REQUIRE(world
              .put(key_of(kTenantWide, "ApiKey", "ci"),
                   R"({"user":"bob","sha256":"x","expiresAt":9000000000,"methods":["GET"],"apps":["demo/site"],)"
                   R"("routes":["demo/bare"]})")
              .ok());
  REQUIRE(
      world.put(key_of(kTenantWide, "ApiKey", "job"), R"({"workload":"demo/job","sha256":"y","expiresAt":1})").ok());
  REQUIRE(world.put(key_of(kTenantWide, "ApiKeyHash", std::string(64, 'b')), R"({"key":"ci"})").ok());
  REQUIRE(world
              .put(key_of("demo", "Route", "strict"),
                   R"({"app":"site","path":"/strict","stepUp":{"acr":["gold"],"maxAgeSeconds":60}})")
              .ok());
  REQUIRE(world
              .put(key_of("demo", "App", "secure"),
                   R"({"hosts":["secure.localhost"],"upstream":"https://127.0.0.1:1","upstreamIdentity":)"
                   R"({"spiffeId":"spiffe://local/demo/job","clientCertificate":false}})")
              .ok());
  REQUIRE(world
              .put(key_of("demo", "App", "open"),
                   R"({"hosts":["open.localhost"],"upstream":"http://127.0.0.1:1","forwardAuthorization":true,)"
                   R"("plain":"serve","hsts":{"maxAgeSeconds":60,"includeSubDomains":true}})")
              .ok());
}

}  // namespace

TEST_CASE("every kind of entity that is applied or built in is known by its name") {
  World world;
  put_credentials(world);
  const auto warned = [&](const std::string& uid) {
    const codec::Json answer =
        apply_policy(world, "forbid (principal, action, resource is Wary::App) when { context has session &&\n[" + uid +
                                "].contains(context.session.user) };");
    return codes(answer, "warnings").find("policy_entity_unknown") != std::string::npos;
  };
  const auto named = [&](const char* type, const std::string& id) {
    return "Wary::" + std::string(type) + "::\"" + id + "\"";
  };
  const std::pair<const char*, const char*> there[] = {
      {"User", "alice"},        {"Group", "owners"},     {"Namespace", "demo"},
      {"App", "demo/site"},     {"App", "wary/console"}, {"Route", "wary/node-link"},
      {"Route", "demo/strict"}, {"Issuer", "corp"},      {"ApiKey", "ci"}};
  for (const auto& [type, id] : there) CHECK_FALSE_MESSAGE(warned(named(type, id)), id);
  for (const char* type :
       {"User", "Group", "Namespace", "App", "Route", "Issuer", "ApiKey", "Workload", "Node", "TrustDomain"})
    CHECK_MESSAGE(warned(named(type, "demo/none")), type);
  for (const char* type : {"Session", "Credential", "Token", "ApiKeyHash"})
    CHECK_FALSE_MESSAGE(warned(named(type, "none")), type);
}

TEST_CASE("what is derived from the demo, from sessions and from revocations conforms to the schema") {
  World world;
  const codec::Json answer = apply(world, demo_objects());
  CHECK_MESSAGE(answer.find("errors") == nullptr, answer.to_string());
  CHECK(codes(answer, "warnings").empty());
  REQUIRE(world.put(key_of("demo", "Route", "bare"), R"({"app":"site","path":"/bare"})").ok());
  REQUIRE(world.put(key_of(kTenantWide, "User", "dora"), R"({"disabled":true})").ok());
  REQUIRE(world
              .put(key_of("demo", "Workload", "job"),
                   R"({"disabled":true,"groups":["sre"],"selectors":[["unix:uid:7"]],"hint":"h",)"
                   R"("ttlSeconds":60,"federatesWith":["x.test"],"nodes":["web-1"],"nodeGroups":["sre"]})")
              .ok());
  REQUIRE(world.put(key_of(kTenantWide, "Node", "web-1"), R"({"groups":["sre"]})").ok());
  REQUIRE(world.put(key_of(kTenantWide, "NodeKey", "web-1"), R"({"method":"tpm"})").ok());
  REQUIRE(world.put(key_of(kTenantWide, "Group", "on-call"), R"({"parents":["sre"]})").ok());
  put_credentials(world);
  WorkloadIdentity identity(*world.plane, {world.sim.clock(), world.random, null_log(), {}, {}});
  REQUIRE(identity.publish(R"({"keys":[]})"));
  const auto session = world.sign_in->redeem_link(world.sign_in->create_link({"Wary::User", "owner"}, "bob")->secret);
  REQUIRE(session.ok());
  const auto code = world.sign_in->create_code(session->session, "site.localhost", std::string(64, 'a'));
  REQUIRE(code.ok());
  REQUIRE(world.sign_in->redeem_code(code->secret, "site.localhost", std::string(64, 'a')).ok());
  const std::set<std::string> types = check_entities(world);
  for (const schema::EntityType& type : policy::platform_schema().entity_types()) {
    CHECK_MESSAGE(types.contains(type.name), (type.name + " is in the schema, and nothing makes it"));
  }
  for (const schema::Action& action : policy::platform_schema().actions()) {
    CHECK_MESSAGE(world.plane->snapshot()->entities().find(*action.uid) != nullptr, action.uid->id);
  }
  for (const char* body :
       {R"({"kind":"user","name":"bob","reason":"test"})", R"({"kind":"node","name":"web-1","reason":"test"})",
        R"({"kind":"workload","name":"demo/job","reason":"test"})", R"({"kind":"apikey","name":"ci","reason":"test"})",
        R"({"kind":"issuer","name":"corp","reason":"test"})", R"({"kind":"token","name":"corp/x","reason":"test"})"}) {
    const auto revoked = world.call(owner(), "POST", "/v1/revoke", body);
    world.run(2'000);
    CHECK(revoked->status == 200);
  }
  check_entities(world);
}

TEST_CASE("wary's own policies are valid without a warning") {
  for (const policy::PolicyText& text : built_in_policies()) {
    const policy::PolicyCheck check = policy::check_policies(text);
    CHECK(check.errors.empty());
    for (const policy::PolicyFinding& finding : policy::validate_policies(check)) {
      FAIL_CHECK((finding.policy + ": " + finding.error.to_string()));
    }
  }
}

TEST_CASE("what the API asks the policy conforms to the schema, whoever calls") {
  World world;
  const Caller callers[] = {owner(),
                            {{"Wary::User", "alice"}, "s1", ""},
                            {{"Wary::Workload", "spiffe://local/demo/reader"}, "", ""},
                            {{"Wary::Anonymous", "anonymous"}, "", ""}};
  const std::vector<std::pair<std::string, std::string>> calls = {{"POST", "/v1/apply"},
                                                                  {"GET", "/v1/objects/users"},
                                                                  {"DELETE", "/v1/objects/user/x"},
                                                                  {"GET", "/v1/watch"},
                                                                  {"POST", "/v1/try"},
                                                                  {"GET", "/v1/explain/x"},
                                                                  {"POST", "/v1/revoke"},
                                                                  {"POST", "/v1/restore"},
                                                                  {"POST", "/v1/sessions"},
                                                                  {"GET", "/v1/sessions"},
                                                                  {"POST", "/v1/apikeys"},
                                                                  {"POST", "/v1/workloads/issue"},
                                                                  {"POST", "/v1/ca/rotate"},
                                                                  {"GET", "/v1/health"},
                                                                  {"POST", "/v1/nodes/tokens"},
                                                                  {"GET", "/v1/ledger/events"},
                                                                  {"GET", "/v1/ledger/decisions"},
                                                                  {"GET", "/v1/snapshot"},
                                                                  {"POST", "/v1/ledger/check"}};
  for (const auto& [method, path] : calls) {
    for (const Caller& caller : callers) world.call(caller, method, path, "{}");
  }
  std::set<std::string> declared;
  const schema::Action* manage = policy::platform_schema().find_action({"Wary::Action", "manage"});
  REQUIRE(manage != nullptr);
  for (const schema::Action& action : policy::platform_schema().actions()) {
    if (policy::platform_schema().is_beneath(action, *manage)) declared.insert(action.uid->id);
  }
  std::set<std::string> asked;
  for (const contract::Event& event : world.events()) {
    if (event.class_uid != contract::EventClass::kApiActivity) continue;
    contract::Request question;
    question.tenant = event.tenant;
    question.principal = *contract::parse_entity_id(event.actor);
    question.action = {"Wary::Action", event.action};
    question.resource = *contract::parse_entity_id(event.resource);
    question.context = *codec::parse_json(event.detail)->find("context");
    const auto request = policy::to_cedar(*world.plane->snapshot(), question);
    REQUIRE(request.ok());
    const Status fits = schema::validate_request(policy::platform_schema(), *request);
    CHECK_MESSAGE(fits.ok(), (event.action + ": " + (fits.ok() ? "" : fits.error().to_string())));
    asked.insert(event.action);
  }
  declared.erase("pdp.evaluate");  // asked by pdp/, at the edge
  CHECK(asked == declared);
}
