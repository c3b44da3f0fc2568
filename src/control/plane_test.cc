#include "control/plane.h"

#include "control/control_test_world.h"

using namespace wary;
using namespace wary::control;
using namespace wary::control::test;

TEST_CASE("a change is stored, decided by and recorded, and is there after a restart") {
  World world;
  const std::uint64_t before = world.plane->snapshot()->revision();
  const auto committed = world.put(key_of(kTenantWide, "User", "carol"), "{}", "user.made");
  REQUIRE(committed.ok());
  CHECK(committed->revision == before + 1);
  CHECK(world.plane->snapshot()->find_entity({"Wary::User", "carol"}) != nullptr);
  world.settle();
  CHECK(world.count("user.made") == 1);
  const std::string hash = world.plane->snapshot()->content_hash();
  world.close();
  REQUIRE(world.open().ok());
  CHECK(world.plane->snapshot()->revision() == committed->revision);
  CHECK(world.plane->snapshot()->content_hash() == hash);
  world.settle();
  CHECK(world.count("user.made") == 1);  // sent again from the outbox, stored once
}

TEST_CASE("a change with a policy that does not compile is refused whole") {
  World world;
  const std::uint64_t revision = world.plane->snapshot()->revision();
  Change change;
  change.writes.push_back({key_of(kTenantWide, "User", "carol"), World::spec("{}")});
  change.writes.push_back({key_of("demo", "Policy", "bad"),
                           World::spec(R"j({"cedar":"permit (principal, action)","source":"bad.cedar"})j")});
  change.event = World::event("never");
  const auto refused = world.plane->commit(std::move(change));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().where.starts_with("bad.cedar:1:"));
  CHECK(world.plane->snapshot()->revision() == revision);
  CHECK(world.plane->snapshot()->find_entity({"Wary::User", "carol"}) == nullptr);
  CHECK(world.plane->objects().find(key_of(kTenantWide, "User", "carol")) == nullptr);
  REQUIRE(world.put(key_of(kTenantWide, "User", "dave"), "{}").ok());
  world.settle();
  CHECK(world.count("never") == 0);
}

TEST_CASE("an event that is too large refuses its change and leaves no gap behind") {
  World world;
  Change change;
  change.writes.push_back({key_of(kTenantWide, "User", "carol"), World::spec("{}")});
  change.event = World::event("large");
  change.event.detail = "{\"note\":\"" + std::string(70'000, 'x') + "\"}";
  CHECK(world.plane->commit(std::move(change)).error().code == "event_too_large");
  REQUIRE(world.put(key_of(kTenantWide, "User", "dave"), "{}", "after").ok());
  world.settle();
  std::uint64_t last = 0;
  for (const contract::Event& event : world.events()) {
    if (event.id.source != "waryd") continue;
    CHECK(event.id.sequence == last + 1);
    last = event.id.sequence;
  }
  CHECK(last > 0);
}

TEST_CASE("an event that cannot be stored does not stop the ledger for everyone") {
  World world;
  contract::Event event = World::event("huge");
  event.actor = std::string(5'000, 'a');
  world.plane->record(event);
  world.run(500);
  CHECK(world.plane->is_ledger_available());
  CHECK(world.put(key_of(kTenantWide, "User", "carol"), "{}").ok());
}

TEST_CASE("while the ledger takes nothing nothing changes, and it goes on by itself") {
  World world;
  world.settle();
  world.ledger_files.set_capacity(1);
  contract::Event large = World::event("large");
  large.detail = "\"" + std::string(50'000, 'x') + "\"";
  for (int i = 0; i < 100 && world.plane->is_ledger_available(); ++i) {  // more than what the ledger has reserved
    world.plane->record(large);
    world.settle();
  }
  REQUIRE_FALSE(world.plane->is_ledger_available());
  world.plane->record(World::event("lost?"));
  CHECK(world.put(key_of(kTenantWide, "User", "carol"), "{}").error().code == "ledger_unavailable");
  world.ledger_files.set_capacity(std::uint64_t{1} << 30);
  world.run(1'500);
  CHECK(world.plane->is_ledger_available());
  CHECK(world.put(key_of(kTenantWide, "User", "carol"), "{}").ok());
  world.settle();
  CHECK(world.count("lost?") == 1);
}

TEST_CASE("after a power cut at any call no change that was answered is missing, and none is without its event") {
  std::size_t cuts = 0;
  for (std::uint64_t at = 0;; ++at) {
    World world;
    world.settle();
    const std::uint64_t begin = world.files.calls();
    world.files.fail_at(begin + at, io::SimFault::kPowerCut);
    std::vector<std::string> answered;
    for (int i = 0; i < 3; ++i) {
      const std::string name = "u" + std::to_string(i);
      if (world.put(key_of(kTenantWide, "User", name), "{}", "made." + name).ok())
        answered.push_back(name);
      else
        break;  // waryd stops here: it opens its store anew
    }
    const bool done = answered.size() == 3;
    world.close();
    world.files.clear_faults();
    world.files.crash();
    REQUIRE(world.open().ok());
    world.settle();
    for (const std::string& name : answered) {
      CHECK(world.plane->objects().find(key_of(kTenantWide, "User", name)) != nullptr);
    }
    for (int i = 0; i < 3; ++i) {
      const std::string name = "u" + std::to_string(i);
      const bool there = world.plane->objects().find(key_of(kTenantWide, "User", name)) != nullptr;
      CHECK(world.count("made." + name) == (there ? 1 : 0));
    }
    ++cuts;
    if (done) break;
  }
  MESSAGE(cuts, " places to cut");
  CHECK(cuts > 5);
}

TEST_CASE("a ledger that lost what it had acknowledged is not gone on with") {
  World world;
  const store::Key bob = key_of(kTenantWide, "User", "bob");
  REQUIRE(world.put(bob, "{}").ok());
  world.settle();
  world.close();
  world.ledger.reset();
  world.ledger_files = io::SimFiles(11);
  REQUIRE(world.ledger_files.make_directory("ledger").ok());
  world.open_ledger();
  const Status refused = world.open();
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == "ledger_behind_store");
  CHECK(refused.error().where == "waryd/ledger");
  CHECK_FALSE(refused.error().next_step.empty());
  CHECK(world.events().empty());
}

TEST_CASE("a ledger whose newest events were decided long ago is whole") {
  World world;
  REQUIRE(world.put(key_of(kTenantWide, "User", "bob"), "{}").ok());
  world.settle();
  for (int i = 0; i < 1500; ++i) {  // as an edge ships what it decided while it was cut off
    contract::Event event = World::event("GET");
    event.detail = R"({"revision":1})";
    world.plane->record(std::move(event));
    if (i % 100 == 0) world.settle();
  }
  world.settle();
  world.close();
  const Status opened = world.open();
  CHECK_MESSAGE(opened.ok(), (opened.ok() ? "" : opened.error().to_string()));
}

TEST_CASE("an old revision is made again after a restart, and is gone once compacted") {
  World world;
  REQUIRE(world.put(key_of(kTenantWide, "User", "carol"), "{}").ok());
  const std::uint64_t old = world.plane->snapshot()->revision();
  const std::string hash = world.plane->snapshot()->content_hash();
  REQUIRE(world.put(key_of(kTenantWide, "User", "carol"), R"({"disabled":true})").ok());
  world.close();
  REQUIRE(world.open().ok());
  const auto again = world.plane->snapshot_at(old);
  REQUIRE(again.ok());
  CHECK((*again)->content_hash() == hash);
  CHECK((*again)->revision() == old);
  CHECK(world.plane->snapshot_at(old + 100).error().code == "revision_compacted");
  CHECK(world.plane->snapshot_at(0).error().code == "revision_compacted");
  REQUIRE(world.plane->store()->compact(world.plane->revision()).ok());
  CHECK(world.plane->snapshot_at(old).error().code == "revision_compacted");
}

TEST_CASE("the owner cannot be shut out by a change") {
  World world;
  for (const char* spec : {R"({"groups":[]})", R"({"groups":["owners"],"disabled":true})"}) {
    CHECK(world.put(key_of(kTenantWide, "User", "owner"), spec).error().code == "owner_protected");
  }
  CHECK(world.put(key_of(kTenantWide, "Revocation", "user.-.owner"), "{}").error().code == "owner_protected");
}

TEST_CASE("a resource says everything that is wrong with it, and where") {
  World world;
  const auto codes = [&](std::string_view text) {
    std::vector<ResourceError> errors;
    const auto resource = parse_resource(world.plane->kinds(), *codec::parse_json(text), 3, errors);
    CHECK(resource.has_value() == errors.empty());
    std::string out;
    for (const ResourceError& error : errors) {
      CHECK(error.object == 3);
      out += error.error.code + " " + error.pointer + ";";
    }
    return out;
  };
  CHECK(codes(R"({"apiVersion":"wary.dev/v1","kind":"User","metadata":{"name":"a"},"spec":{}})").empty());
  CHECK(codes("[]") == "resource_form ;");
  CHECK(codes(R"({"apiVersion":"v9","kind":"User","metadata":{"name":"A"},"spec":{},"x":1})") ==
        "resource_unknown_field /x;resource_api_version /apiVersion;resource_name /metadata/name;");
  CHECK(codes(R"({"apiVersion":"wary.dev/v1","kind":"user","metadata":{"name":"a"}})") == "resource_kind /kind;");
  CHECK(codes(R"({"apiVersion":"wary.dev/v1","kind":"User"})") == "resource_form /metadata;");
  CHECK(codes(
            R"({"apiVersion":"wary.dev/v1","kind":"App","metadata":{"name":"a","namespace":"B",
"labels":{"k":1}},"spec":{"hosts":["h"],"upstream":"x"}})") ==
        "resource_labels /metadata/labels/k;resource_name /metadata/namespace;");
  CHECK(
      codes(R"({"apiVersion":"wary.dev/v1","kind":"User","metadata":{"name":"a"},"spec":{"nope":1}})").find("/spec") !=
      std::string::npos);
}

TEST_CASE("entities come from the objects that have a part in them") {
  World world;
  const Settings& settings = world.plane->settings();
  Objects objects;
  objects.put(key_of(kTenantWide, "User", "u"), World::spec(R"({"groups":["g"]})"), 1);
  const auto fact_of = [](const contract::Entity& entity, std::string_view name) {
    for (const contract::Fact& fact : entity.attributes) {
      if (fact.name == name) return fact.value.to_string();
    }
    return std::string("none");
  };
  auto user = derive_entity(objects, {"Wary::User", "u"}, settings);
  REQUIRE(user);
  CHECK(user->parents == std::vector<contract::EntityId>{{"Wary::Group", "g"}});
  CHECK(fact_of(*user, "revoked") == "false");
  Objects next = Objects::over(objects);
  next.put(key_of(kTenantWide, "Revocation", "user.-.u"), World::spec("{}"), 2);
  CHECK(fact_of(*derive_entity(next, {"Wary::User", "u"}, settings), "revoked") == "true");
  CHECK(fact_of(*derive_entity(objects, {"Wary::User", "u"}, settings), "revoked") == "false");
  next.remove(key_of(kTenantWide, "User", "u"));
  CHECK_FALSE(derive_entity(next, {"Wary::User", "u"}, settings));
  CHECK(entities_of(key_of(kTenantWide, "Revocation", "workload.demo.reader"), settings) ==
        std::vector<contract::EntityId>{{"Wary::Workload", "spiffe://local/demo/reader"}});
  CHECK(entities_of(key_of(kTenantWide, "Outbox", "e1"), settings).empty());
}
