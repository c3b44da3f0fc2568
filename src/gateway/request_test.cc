// What the gateway asks the policy, against what policies are checked by: the platform's schema.
#include <set>

#include "codec/json.h"
#include "gateway/connection_test_world.h"
#include "policy/decide.h"
#include "policy/validate.h"
#include "schema/conformance.h"

using namespace wary;
using namespace wary::gateway::test;

TEST_CASE("every request that is asked conforms to the platform's schema, whoever sends it") {
  World world;
  std::vector<std::unique_ptr<Client>> clients;
  clients.push_back(world.ask("/reports/1?query=kept"));
  clients.push_back(world.client("site.test", true));
  clients.back()->send("GET /reports/1 HTTP/1.1\r\nHost: SITE.test\r\n\r\n");
  for (const std::string method : {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}) {
    clients.push_back(world.client());
    clients.back()->send(method + " /reports/../private HTTP/1.1\r\nHost: site.test:7443\r\nContent-Length: 0\r\n\r\n");
  }
  world.run(200);
  const auto events = world.events();
  REQUIRE(events.size() == clients.size());
  std::set<std::string> principals;
  const policy::SnapshotPtr snapshot = policy::build_snapshot({}, {}, 1).value();
  for (const contract::Event& event : events) {
    contract::Request question;
    question.tenant = snapshot->tenant();
    question.principal = *contract::parse_entity_id(event.actor);
    question.action = {"Wary::Action", event.action};
    question.resource = *contract::parse_entity_id(event.resource);
    question.context = *codec::parse_json(event.detail)->find("context");
    const auto request = policy::to_cedar(*snapshot, question);
    REQUIRE(request.ok());
    const Status fits = schema::validate_request(policy::platform_schema(), *request);
    CHECK_MESSAGE(fits.ok(), (event.action + " " + (fits.ok() ? "" : fits.error().to_string())));
    principals.insert(question.principal.type);
  }
  CHECK(principals == std::set<std::string>{"Wary::Anonymous", "Wary::User", "Wary::Workload"});
}

// A method that the schema does not name is in no group of actions: nothing but a permit of every action lets it pass.
TEST_CASE("other methods are asked as they are") {
  World world;
  const auto client = world.client();
  client->send("PROPFIND / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 0\r\n\r\n");
  world.run(100);
  const auto events = world.events();
  REQUIRE(events.size() == 1);
  CHECK(events[0].action == "PROPFIND");
  CHECK(policy::platform_schema().find_action({"Wary::Action", "PROPFIND"}) == nullptr);
}
