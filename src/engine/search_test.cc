#include "engine/search.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "cedar/parser.h"
#include "tests/support/cedar_generator.h"

using namespace wary;
using namespace wary::engine;
using cedar::make_entity;
using cedar::Value;
using cedar::Variable;

namespace {

SnapshotPtr snapshot_of(const std::vector<cedar::Policy>& policies, const std::vector<cedar::EntityHandle>& entities) {
  std::vector<EntityInput> inputs;
  for (const auto& entity : entities) inputs.push_back({entity.get(), {}});
  auto made = Snapshot::make(policies, inputs, {.seed = 3});
  REQUIRE(made.ok());
  return *made;
}

cedar::EntityPtr& part(cedar::Request& request, Variable variable) {
  return variable == Variable::kPrincipal ? request.principal
         : variable == Variable::kAction  ? request.action
                                          : request.resource;
}

cedar::EntityHandle document(int i, std::string_view owner, std::string_view folder) {
  auto out = std::make_shared<cedar::Entity>();
  out->uid = make_entity("Doc", "d" + std::to_string(i));
  out->attributes = {{"owner", Value::entity(make_entity("User", owner))}};
  out->parents = {make_entity("Folder", folder)};
  return out;
}

}  // namespace

TEST_CASE("a search finds exactly what trying every entity finds") {
  std::size_t found = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    const test::World world =
        test::make_world(seed, {.policies = 6, .links = 6, .entities = 6, .requests = 4, .depth = 2});
    const Directory directory(snapshot_of(world.policies.policies(), world.entities));
    std::set<std::string> types;
    for (const auto& entity : world.entities) types.insert(entity->uid->type);
    Worker worker;
    for (const cedar::Request& request : world.requests) {
      for (const Variable free : {Variable::kPrincipal, Variable::kAction, Variable::kResource}) {
        for (const std::string& type : types) {
          SearchQuery query{free, type, request, {}, kSearchLimitMax, ""};
          const auto result = search(directory, worker, query);
          REQUIRE(result.ok());
          const std::set<std::string> ids(result->ids.begin(), result->ids.end());
          CHECK(ids.size() == result->ids.size());
          found += ids.size();
          for (const auto& entity : world.entities) {
            if (entity->uid->type != type) continue;
            cedar::Request one = request;
            part(one, free) = entity->uid;
            cedar::StoreView view(world.store);
            const bool allowed = cedar::is_authorized(world.policies, one, view).is_allowed;
            CHECK_MESSAGE(allowed == (ids.count(entity->uid->id) == 1), "seed ", seed, " ", entity->uid->to_string());
          }
        }
      }
    }
  }
  CHECK(found > 500);
}

TEST_CASE("only what a clause leaves is decided, page by page") {
  const auto parsed = cedar::parse_policies(
      cedar::Source::make("t",
                          "permit(principal, action, resource) when { resource.owner == principal };"
                          "permit(principal, action, resource in Folder::\"shared\");"
                          "permit(principal, action, resource) when { context.extra.contains(resource) };"
                          "forbid(principal, action, resource == Doc::\"d0\");"));
  REQUIRE(parsed.errors.empty());
  std::vector<cedar::EntityHandle> entities;
  for (int i = 0; i < 5000; ++i)
    entities.push_back(document(i, i % 100 == 0 ? "ann" : "bob", i == 7 ? "shared" : "own"));
  const Directory directory(snapshot_of(cedar::PolicySet::from(parsed.policies).policies(), entities));
  Worker worker;
  SearchQuery query;
  query.free = Variable::kResource;
  query.type = "Doc";
  query.limit = 20;
  query.request = {make_entity("User", "ann"), make_entity("Action", "read"), nullptr,
                   Value::record({{"extra", Value::set({Value::entity(make_entity("Doc", "d9")), Value(1)})}})};
  query.request.resource = make_entity("Doc", "");
  std::vector<std::string> ids;
  std::size_t decided = 0;
  do {
    const auto page = search(directory, worker, query);
    REQUIRE(page.ok());
    CHECK(page->ids.size() <= 20);
    ids.insert(ids.end(), page->ids.begin(), page->ids.end());
    decided += page->decided;
    query.after = page->next;
  } while (!query.after.empty());
  CHECK(ids.size() == 51);  // 50 of ann's but d0, one shared, one of the context
  CHECK(std::is_sorted(ids.begin(), ids.end()));
  CHECK(decided < 60);
}

TEST_CASE("an unknown type is found nowhere, and a search without sense is refused") {
  const Directory directory(snapshot_of({}, {}));
  Worker worker;
  SearchQuery query;
  query.request = {make_entity("U", "a"), make_entity("Action", "b"), make_entity("R", "c"), Value::record({})};
  query.type = "Nowhere";
  const auto nothing = search(directory, worker, query);
  REQUIRE(nothing.ok());
  CHECK(nothing->ids.empty());
  query.limit = 0;
  CHECK(search(directory, worker, query).error().code == "engine_search");
  query.limit = 1;
  query.free = Variable::kContext;
  CHECK(search(directory, worker, query).error().code == "engine_search");
}
