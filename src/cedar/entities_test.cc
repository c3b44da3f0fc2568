#include "cedar/entities.h"

#include <doctest/doctest.h>

#include <chrono>

#include "cedar/authorizer.h"
#include "cedar/json.h"
#include "cedar/parser.h"

using namespace wary;
using namespace wary::cedar;

namespace {

EntityHandle entity(std::string_view id, std::vector<std::string> parents = {}, int n = 0) {
  auto out = std::make_shared<Entity>();
  out->uid = make_entity("T", id);
  out->attributes = {{"n", Value(n)}};
  for (const std::string& parent : parents) out->parents.push_back(make_entity("T", parent));
  return out;
}

std::string json_code(std::string_view text) {
  const auto json = codec::parse_json(text);
  REQUIRE(json.ok());
  const auto entities = entities_from_json(*json);
  if (!entities.ok()) return entities.error().code + " " + entities.error().where;
  const auto store = EntityStore::make(*entities);
  return store.ok() ? "" : store.error().code + " " + store.error().where;
}

}  // namespace

TEST_CASE("a store finds what was put in, and a changed store leaves the old one as it was") {
  std::vector<EntityHandle> many;
  for (int i = 0; i < 5000; ++i) many.push_back(entity(std::to_string(i), {"g"}, i));
  const auto store = EntityStore::make(many);
  REQUIRE(store.ok());
  CHECK(store->size() == 5000);
  const auto next =
      store->with({.upserts = {entity("17", {}, 1), entity("new")}, .removals = {{"T", "18"}, {"T", "absent"}}});
  REQUIRE(next.ok());
  CHECK(next->size() == 5000);
  CHECK(*find_member(next->find({"T", "17"})->attributes, "n") == Value(1));
  CHECK(*find_member(store->find({"T", "17"})->attributes, "n") == Value(17));
  CHECK(next->find({"T", "18"}) == nullptr);
  CHECK(store->find({"T", "18"}) != nullptr);
  CHECK(next->find({"T", "4999"}) == store->find({"T", "4999"}));  // shared, not copied
  std::size_t visited = 0;
  next->for_each([&](const EntityHandle&) { ++visited; });
  CHECK(visited == 5000);
}

TEST_CASE("a store grown one by one finds everything") {
  EntityStore store;
  for (int i = 0; i < 2000; ++i) {
    auto next = store.with({.upserts = {entity(std::to_string(i))}, .removals = {}});
    REQUIRE(next.ok());
    store = *next;
  }
  CHECK(store.size() == 2000);
  for (int i = 0; i < 2000; ++i) CHECK(store.find({"T", std::to_string(i)}) != nullptr);
}

TEST_CASE("cycles are refused when loaded and when a change would close one") {
  CHECK(EntityStore::make({entity("a", {"b"}), entity("b", {"c"}), entity("c", {"a"})}).error().code ==
        "cedar_entity_cycle");
  CHECK(EntityStore::make({entity("a", {"a"})}).error().code == "cedar_entity_cycle");
  const auto store = EntityStore::make({entity("a", {"b"}), entity("b", {"c"})});
  REQUIRE(store.ok());
  CHECK(store->with({.upserts = {entity("c", {"a"})}, .removals = {}}).error().code == "cedar_entity_cycle");
  CHECK(store->with({.upserts = {entity("c", {"a"}), entity("b")}, .removals = {}}).ok());
  // A diamond is no cycle.
  CHECK(EntityStore::make({entity("a", {"b", "c"}), entity("b", {"d"}), entity("c", {"d"})}).ok());
}

TEST_CASE("one id twice is refused when the content differs") {
  CHECK(EntityStore::make({entity("a"), entity("a")})->size() == 1);
  CHECK(EntityStore::make({entity("a", {}, 1), entity("a", {}, 2)}).error().code == "cedar_entity_duplicate");
  CHECK(EntityStore::make({entity("a", {"b"}), entity("a", {"c"})}).error().code == "cedar_entity_duplicate");
}

TEST_CASE("a long chain and a wide lattice of parents are walked in linear time and without recursion") {
  std::vector<EntityHandle> chain;
  for (int i = 0; i < 50'000; ++i) chain.push_back(entity(std::to_string(i), {std::to_string(i + 1)}));
  // Layers of ten, each a child of all ten of the next: 10^20 paths.
  for (int layer = 0; layer < 20; ++layer) {
    for (int k = 0; k < 10; ++k) {
      std::vector<std::string> parents;
      for (int p = 0; p < 10; ++p) parents.push_back("L" + std::to_string(layer + 1) + "." + std::to_string(p));
      chain.push_back(entity("L" + std::to_string(layer) + "." + std::to_string(k), parents));
    }
  }
  const auto store = EntityStore::make(chain);
  REQUIRE(store.ok());
  StoreView view(*store);
  const Request request{make_entity("T", "0"), make_entity("Action", "v"), make_entity("T", "L0.0")};
  Evaluator evaluator(request, view);
  CHECK(evaluator.is_in(request.principal, {"T", "50000"}));
  CHECK(!evaluator.is_in(request.principal, {"T", "nowhere"}));
  CHECK(evaluator.is_in(request.resource, {"T", "L20.3"}));
  CHECK(!evaluator.is_in(make_entity("T", "L0.1"), {"T", "nowhere"}));  // not a subject of the request
  CHECK(evaluator.is_in(make_entity("T", "L0.1"), {"T", "L20.9"}));
}

TEST_CASE("what a decision read is named, each once") {
  const auto store =
      EntityStore::make({entity("a", {"g"}, 1), entity("g", {"top"}), entity("r", {}, 2), entity("o", {}, 3)});
  REQUIRE(store.ok());
  const auto reads = [&](const std::string& condition) {
    const auto parsed =
        parse_policies(Source::make("t", "permit(principal, action, resource) when { " + condition + " };"));
    REQUIRE(parsed.errors.empty());
    StoreView view(*store);
    const Request request{make_entity("T", "a"), make_entity("Action", "v"), make_entity("T", "r")};
    std::string out;
    for (const EntityPtr& uid : is_authorized(PolicySet::from(parsed.policies), request, view).reads)
      out += uid->id + " ";
    return out;
  };
  CHECK(reads("true") == "");
  CHECK(reads("principal == resource") == "");
  CHECK(reads("principal.n == 1 && principal has x") == "a ");
  CHECK(reads("resource.n == 2 || T::\"o\".n == 3") == "r ");
  CHECK(reads("resource.n == 1 || T::\"o\".n == 3") == "r o ");
  CHECK(reads("principal in T::\"top\"") == "a g top ");
  CHECK(reads("T::\"o\" in T::\"top\" || T::\"absent\" has n") == "o absent ");
  CHECK(reads("principal.hasTag(\"k\")") == "a ");
  // More than a few are kept apart as well.
  std::string all = "true";
  for (int i = 0; i < 40; ++i) all += " && !(T::\"x" + std::to_string(i % 30) + "\" has n)";
  const std::string names = reads(all);
  CHECK(std::count(names.begin(), names.end(), ' ') == 30);
}

TEST_CASE("entity JSON is read strictly and names the place of an error") {
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{},"parents":[]}])") == "");
  CHECK(json_code(R"([{"uid":{"__entity":{"type":"U","id":"a"}},"attrs":{"x":[1,"y",true,{"z":{}}]},)"
                  R"("parents":[{"__entity":{"type":"U","id":"b"}}],"tags":{"t":1}}])") == "");
  CHECK(json_code(R"({})") == "cedar_json_type ");
  CHECK(json_code(R"([1])") == "cedar_json_type /0");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{}}])") == "cedar_json_member /0");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{},"parents":[],"more":1}])") == "cedar_json_member /0");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a","x":1},"attrs":{},"parents":[]}])") == "cedar_json_member /0/uid");
  CHECK(json_code(R"([{"uid":{"type":"U","id":1},"attrs":{},"parents":[]}])") == "cedar_json_type /0/uid");
  CHECK(json_code(R"([{"uid":"U::\"a\"","attrs":{},"parents":[]}])") == "cedar_json_type /0/uid");
  CHECK(json_code(R"([{"uid":{"type":"if","id":"a"},"attrs":{},"parents":[]}])") == "cedar_type_name /0/uid");
  CHECK(json_code(R"([{"uid":{"type":"A:B","id":"a"},"attrs":{},"parents":[]}])") == "cedar_type_name /0/uid");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":null},"parents":[]}])") ==
        "cedar_json_type /0/attrs/x");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":[{"y":1.5}]},"parents":[]}])") ==
        "cedar_json_type /0/attrs/x/0/y");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":[],"parents":[]}])") == "cedar_json_type /0/attrs");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{},"parents":{}}])") == "cedar_json_type /0/parents");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{},"parents":[1]}])") == "cedar_json_type /0/parents/0");
  CHECK(json_code(
            R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":{"__entity":{"type":"U","id":"b"},"y":1}},"parents":[]}])") ==
        "cedar_json_escape /0/attrs/x");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":{"__expr":"1"}},"parents":[]}])") ==
        "cedar_json_escape /0/attrs/x");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":{"__extn":{"fn":"nope","arg":"1"}}},"parents":[]}])") ==
        "cedar_json_escape /0/attrs/x/__extn");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":{"__extn":{"fn":"ip"}}},"parents":[]}])") ==
        "cedar_json_escape /0/attrs/x/__extn");
  CHECK(json_code(
            R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":{"__extn":{"fn":"offset","args":[1]}}},"parents":[]}])") ==
        "cedar_json_escape /0/attrs/x/__extn");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":{"__extn":{"fn":"ip","arg":"no"}}},"parents":[]}])") ==
        "cedar_extension /0/attrs/x/__extn");
  CHECK(json_code(R"([{"uid":{"type":"U","id":"a"},"attrs":{"x":{"__extn":1}},"parents":[]}])") ==
        "cedar_json_type /0/attrs/x/__extn");
}

TEST_CASE("entity JSON has bounds on depth, attributes and parents") {
  codec::Json deep(1);
  for (int i = 0; i < 70; ++i) deep = codec::Json::array({deep});
  CHECK(value_from_json(deep).error().code == "cedar_json_depth");
  const auto with = [](std::size_t attributes, std::size_t parents) {
    codec::Json json = codec::Json::object();
    json.set("uid", to_json(EntityUid{"U", "a"}));
    codec::Json members = codec::Json::object();
    for (std::size_t i = 0; i < attributes; ++i) members.members().emplace_back("a" + std::to_string(i), 1);
    json.set("attrs", members);
    codec::Json list = codec::Json::array();
    for (std::size_t i = 0; i < parents; ++i) list.push(to_json(EntityUid{"G", std::to_string(i)}));
    return json.set("parents", list);
  };
  CHECK(entity_from_json(with(kEntityAttributesMax, kEntityParentsMax)).ok());
  CHECK(entity_from_json(with(kEntityAttributesMax + 1, 0)).error().code == "cedar_json_items");
  CHECK(entity_from_json(with(0, kEntityParentsMax + 1)).error().code == "cedar_json_items");
}

TEST_CASE("values of every type go through JSON and back unchanged") {
  const Value::Record all = {{"bool", Value(true)},
                             {"long", Value(std::int64_t{-9223372036854775807 - 1})},
                             {"string", Value("\u00e9\"\\\n")},
                             {"entity", Value::entity(make_entity("A::B", "x"))},
                             {"set", Value::set({Value(1), Value("a"), Value::set({})})},
                             {"record", Value::record({{"k", Value(1)}})},
                             {"decimal", Value(Decimal{-5})},
                             {"ip", Value(*parse_ip("2001:db8::/32"))},
                             {"datetime", Value(*parse_datetime("2024-10-15T11:38:02.101Z"))},
                             {"far", Value(Datetime{9223372036854775807})},
                             {"farther", Value(Datetime{-9223372036854775807 - 1})},
                             {"duration", Value(Duration{-1})}};
  const Value value = Value::record(all);
  const auto again = value_from_json(to_json(value));
  REQUIRE(again.ok());
  CHECK(*again == value);
}

TEST_CASE("an entity goes through JSON and back unchanged") {
  auto made = std::make_shared<Entity>();
  made->uid = make_entity("U", "a");
  made->attributes = {{"n", Value(1)}};
  made->tags = {{"t", Value("x")}};
  made->parents = {make_entity("G", "g")};
  const auto again = entity_from_json(to_json(*made));
  REQUIRE(again.ok());
  CHECK(to_json(**again) == to_json(*made));
}
