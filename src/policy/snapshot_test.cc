#include "policy/snapshot.h"

#include <doctest/doctest.h>

#include <random>

#include "policy/decide.h"
#include "policy/facts.h"
#include "policy/serialize.h"

using namespace wary;
using namespace wary::policy;
using codec::Json;

namespace {

constexpr UnixTime kBuilt{1'000 * kNanosPerSecond};

contract::Entity user(const std::string& id, std::int64_t level = 1, std::vector<contract::EntityId> parents = {}) {
  contract::Entity out;
  out.tenant = "local";
  out.id = {"Wary::User", id};
  out.parents = std::move(parents);
  contract::Fact fact;
  fact.name = "level";
  fact.value = Json(level);
  fact.source = "test";
  out.attributes = {fact};
  return out;
}

SnapshotContent some_content() {
  SnapshotContent out;
  out.revision = 3;
  out.policies = {{"a", "permit (principal, action, resource);", "a.cedar", 1},
                  {"b", "forbid (principal, action, resource) when { false };", "b.cedar", 4}};
  out.entities = {user("alice"), user("bob", 2)};
  contract::Fact timed;
  timed.name = "ok";
  timed.value = Json(true);
  timed.source = "endpoint";
  timed.since = {5};
  timed.expires = UnixTime{9};
  timed.on_expiry = Json(false);
  out.entities[0].tags = {timed};
  return out;
}

std::string build_code(const SnapshotContent& content) {
  const auto built = build_snapshot(content, kBuilt, 1);
  return built.ok() ? "" : built.error().code;
}

std::string check_code(std::string_view text) {
  const PolicyCheck check = check_policies({"t", std::string(text), "t.cedar", 1});
  return check.errors.empty() ? "" : check.errors[0].error.code;
}

}  // namespace

TEST_CASE("a snapshot goes through its text form and back, byte for byte") {
  const std::string text = serialize_snapshot(some_content());
  const auto again = parse_snapshot(text);
  REQUIRE_MESSAGE(again.ok(), again.error().to_string());
  CHECK(again->policies == some_content().policies);
  CHECK(again->entities == some_content().entities);
  CHECK(serialize_snapshot(*again) == text);
  const auto built = build_snapshot(*again, kBuilt, 1);
  REQUIRE(built.ok());
  CHECK(serialize_snapshot(content_of(**built)) == text);
}

TEST_CASE("a delta goes through its text form and back, byte for byte") {
  SnapshotDelta delta;
  delta.from = 3;
  delta.to = 4;
  delta.upserts = {user("carol")};
  delta.removals = {{"Wary::User", "bob"}};
  for (const bool with_policies : {false, true}) {
    if (with_policies) {
      delta.policy_upserts = some_content().policies;
      delta.policy_removals = {"gone", "local/old"};
    }
    const std::string text = serialize_delta(delta);
    const auto again = parse_delta(text);
    REQUIRE_MESSAGE(again.ok(), again.error().to_string());
    CHECK(serialize_delta(*again) == text);
    CHECK(again->changes_policies() == with_policies);
    CHECK(again->policy_upserts == delta.policy_upserts);
    CHECK(again->policy_removals == delta.policy_removals);
    CHECK(again->removals == delta.removals);
  }
}

TEST_CASE("text that is not exactly a snapshot or delta is refused with the place") {
  const auto where = [](std::string_view text) {
    const auto parsed = parse_snapshot(text);
    return parsed.ok() ? std::string("accepted") : parsed.error().code + " " + parsed.error().where;
  };
  CHECK(where("[]") == "policy_json /");
  CHECK(where(R"({"format":"wary-snapshot-2","tenant":"local","revision":1,"policies":[],"entities":[]})") ==
        "policy_json /format");
  CHECK(where(R"({"format":"wary-snapshot-1","tenant":1,"revision":1,"policies":[],"entities":[]})") ==
        "policy_json /tenant");
  CHECK(where(R"({"format":"wary-snapshot-1","tenant":"local","revision":-1,"policies":[],"entities":[]})") ==
        "policy_json /revision");
  CHECK(where(R"({"format":"wary-snapshot-1","tenant":"local","revision":1,"entities":[]})") ==
        "policy_json /policies");
  CHECK(where(R"({"format":"wary-snapshot-1","tenant":"local","revision":1,"policies":[{}],"entities":[]})") ==
        "policy_json /id");
  CHECK(where(R"({"format":"wary-snapshot-1","tenant":"local","revision":1,"policies":[)"
              R"({"id":"a","text":"","file":"","first_line":1,"x":1}],"entities":[]})") == "policy_json /x");
  CHECK(where(R"({"format":"wary-snapshot-1","tenant":"local","revision":1,"policies":[],"entities":{}})") ==
        "policy_json /entities");
  CHECK(where(R"({"format":"wary-snapshot-1","tenant":"local","revision":1,"policies":[],"entities":[],"more":1})") ==
        "policy_json /more");
  CHECK(where(R"({"format":"wary-snapshot-1","tenant":"local","revision":1,"policies":[],"entities":[1]})")
            .find("/entities/0") != std::string::npos);
  CHECK(where("{").starts_with("json_"));
  CHECK(where(serialize_snapshot(some_content()) + " 1").starts_with("json_"));
  CHECK(parse_delta(serialize_snapshot(some_content())).error().code == "policy_json");
  CHECK(parse_delta(
            R"({"format":"wary-delta-1","tenant":"local","from":1,"to":2,"upserts":[],"removals":[{"type":"U"}]})")
            .error()
            .where == "/id");
}

TEST_CASE("the content hash is the same however the content was reached, and differs for any change") {
  const auto full = build_snapshot(some_content(), kBuilt, 1);
  REQUIRE(full.ok());
  SnapshotContent shuffled = some_content();
  std::swap(shuffled.entities[0], shuffled.entities[1]);
  std::swap(shuffled.policies[0], shuffled.policies[1]);
  shuffled.revision = 99;
  CHECK((*build_snapshot(shuffled, {}, 1))->content_hash() == (*full)->content_hash());
  SnapshotDelta there{
      .tenant = "local",
      .from = 3,
      .to = 4,
      .upserts = {user("carol"), user("bob", 9)},
  };
  const auto changed = apply_delta(**full, there, kBuilt);
  REQUIRE(changed.ok());
  CHECK((*changed)->content_hash() != (*full)->content_hash());
  SnapshotDelta back{
      .tenant = "local", .from = 4, .to = 5, .upserts = {user("bob", 2)}, .removals = {{"Wary::User", "carol"}}};
  CHECK((*apply_delta(**changed, back, kBuilt))->content_hash() == (*full)->content_hash());
  SnapshotDelta texts{.tenant = "local", .from = 3, .to = 4, .policy_removals = {some_content().policies[0].id}};
  CHECK((*apply_delta(**full, texts, kBuilt))->content_hash() != (*full)->content_hash());
  CHECK((*full)->content_hash().size() == 64);
}

TEST_CASE("a delta between two contents leads from one to the other") {
  const SnapshotContent from = some_content();
  SnapshotContent to = from;
  to.revision = 8;
  to.entities = {from.entities[0], user("dave")};
  to.policies.pop_back();
  const SnapshotDelta delta = delta_between(from, to);
  CHECK(delta.upserts.size() == 1);
  CHECK(delta.removals == std::vector<contract::EntityId>{{"Wary::User", "bob"}});
  CHECK(delta.policy_upserts.empty());
  CHECK(delta.policy_removals == std::vector<std::string>{from.policies.back().id});
  const auto reached = apply_delta(**build_snapshot(from, kBuilt, 1), delta, kBuilt);
  REQUIRE(reached.ok());
  CHECK((*reached)->revision() == 8);
  CHECK((*reached)->content_hash() == (*build_snapshot(to, kBuilt, 1))->content_hash());
  SnapshotContent same = from;
  same.revision = 4;
  const SnapshotDelta nothing = delta_between(from, same);
  CHECK(nothing.upserts.empty());
  CHECK(nothing.removals.empty());
  CHECK_FALSE(nothing.changes_policies());
}

TEST_CASE("a delta that does not continue the snapshot is refused and changes nothing") {
  const auto base = build_snapshot(some_content(), kBuilt, 1);
  REQUIRE(base.ok());
  const auto code = [&](std::string_view tenant, std::uint64_t from, std::uint64_t to) {
    SnapshotDelta delta;
    delta.tenant = tenant;
    delta.from = from;
    delta.to = to;
    const auto next = apply_delta(**base, delta, kBuilt);
    return next.ok() ? std::string() : next.error().code;
  };
  CHECK(code("local", 3, 4) == "");
  CHECK(code("local", 2, 4) == "policy_delta_base");
  CHECK(code("local", 4, 5) == "policy_delta_base");
  CHECK(code("local", 3, 3) == "policy_delta_base");
  CHECK(code("other", 3, 4) == "policy_delta_base");
  SnapshotDelta broken{.tenant = "local", .from = 3, .to = 4, .policy_upserts = {{"x", "permit", "", 1}}};
  CHECK(apply_delta(**base, broken, kBuilt).error().code == "cedar_syntax");
  SnapshotDelta cycle{
      .tenant = "local",
      .from = 3,
      .to = 4,
      .upserts = {user("alice", 1, {{"Wary::User", "alice"}})},
  };
  CHECK(apply_delta(**base, cycle, kBuilt).error().code == "cedar_entity_cycle");
}

// Removals and upserts of one entity in one delta, an entity twice, parents that come later, circles.
TEST_CASE("whatever the deltas hold and in whatever order, the engine, the store and a snapshot built anew agree") {
  std::mt19937 random(7);
  const auto below = [&](std::uint32_t count) { return static_cast<std::uint32_t>(random() % count); };
  const auto name = [&] { return "u" + std::to_string(below(9)); };
  SnapshotContent first;
  first.revision = 1;
  first.policies = {{"in", "permit (principal, action, resource) when { principal in resource };", "", 1},
                    {"level", "forbid (principal, action, resource) when { principal.level > 5 };", "", 1}};
  auto current = *build_snapshot(first, kBuilt, 1);
  std::size_t refused = 0;
  for (std::uint64_t round = 0; round < 400; ++round) {
    SnapshotDelta delta;
    delta.from = current->revision();
    delta.to = delta.from + 1;
    for (std::uint32_t i = below(4); i > 0; --i) delta.removals.push_back({"Wary::User", name()});
    for (std::uint32_t i = below(4); i > 0; --i) {
      std::vector<contract::EntityId> parents;
      for (std::uint32_t j = below(3); j > 0; --j) parents.push_back({"Wary::User", name()});
      delta.upserts.push_back(user(name(), below(10), std::move(parents)));
    }
    const auto next = apply_delta(*current, delta, kBuilt);
    refused += next.ok() ? 0U : 1U;
    if (next.ok()) current = *next;
    const auto anew = build_snapshot(content_of(*current), kBuilt, 1);
    REQUIRE(anew.ok());
    CHECK((*anew)->content_hash() == current->content_hash());
    for (std::uint32_t principal = 0; principal < 9; ++principal) {
      for (std::uint32_t resource = 0; resource < 9; ++resource) {
        const contract::Request request{"local",
                                        {"Wary::User", "u" + std::to_string(principal)},
                                        {"Wary::Action", "x"},
                                        {"Wary::User", "u" + std::to_string(resource)},
                                        Json::object()};
        const contract::Decision a = decide(*current, request, kBuilt, {});
        const contract::Decision b = decide(**anew, request, kBuilt, {});
        const auto asked = to_cedar(*current, request);
        REQUIRE(asked.ok());
        FactView view(current->entities(), kBuilt);
        cedar::Evaluator walker(*asked, view);
        const bool is_in = walker.evaluate(*current->policies().find("in")) == cedar::Outcome::kSatisfied;
        const bool is_high = walker.evaluate(*current->policies().find("level")) != cedar::Outcome::kNotSatisfied;
        const bool is_known = current->find_entity(request.principal) != nullptr;
        CHECK(a.is_allowed() == b.is_allowed());
        CHECK(a.reason_code == b.reason_code);
        CHECK(a.is_allowed() == (is_in && !is_high && is_known));
      }
    }
  }
  CHECK(refused > 20);
  CHECK(refused < 380);
}

TEST_CASE("content that is wrong anywhere is refused whole") {
  const auto with_entity = [](contract::Entity entity) {
    SnapshotContent content = some_content();
    content.entities.push_back(std::move(entity));
    return build_code(content);
  };
  contract::Entity bad = user("x");
  bad.tenant = "other";
  CHECK(with_entity(bad) == "policy_tenant");
  bad = user("x");
  bad.id.type = "not a type";
  CHECK(with_entity(bad) == "policy_entity");
  bad = user(std::string(1025, 'x'));
  CHECK(with_entity(bad) == "policy_entity");
  CHECK(with_entity(user("x", 1, {{"", "g"}})) == "policy_entity");
  CHECK(with_entity(user("x", 1, std::vector<contract::EntityId>(257, {"G", "g"}))) == "policy_entity");
  bad = user("x");
  bad.attributes.push_back(bad.attributes[0]);
  CHECK(with_entity(bad) == "policy_fact");
  bad = user("x");
  bad.attributes[0].value = Json();
  CHECK(with_entity(bad) == "policy_fact");
  bad = user("x");
  bad.attributes.assign(1025, bad.attributes[0]);
  CHECK(with_entity(bad) == "policy_fact");
  bad = user("x");
  bad.attributes[0].expires = UnixTime{1};
  CHECK(with_entity(bad) == "policy_fact_expiry");
  CHECK(with_entity(user("alice", 77)) == "cedar_entity_duplicate");
  CHECK(with_entity(user("x", 1, {{"Wary::User", "x"}})) == "cedar_entity_cycle");

  const auto with_policy = [](PolicyText text) {
    SnapshotContent content = some_content();
    content.policies.push_back(std::move(text));
    return build_code(content);
  };
  CHECK(with_policy({"c", "permit (principal, action, resource);", "", 1}) == "");
  CHECK(with_policy({"c", "permit (principal);", "", 1}) == "cedar_syntax");
  CHECK(with_policy({"", "", "", 1}) == "policy_reserved_id");
  CHECK(with_policy({"guardrail/x", "", "", 1}) == "policy_reserved_id");
  CHECK(with_policy({std::string(257, 'c'), "", "", 1}) == "policy_reserved_id");
  CHECK(with_policy({"a", "", "", 1}) == "policy_duplicate_id");
  // b/policy0 may come from a text of two policies and from a text of that name.
  SnapshotContent content = some_content();
  content.policies = {{"b", "permit (principal, action, resource); permit (principal, action, resource);", "", 1},
                      {"b/policy0", "permit (principal, action, resource);", "", 1}};
  CHECK(build_code(content) == "policy_duplicate_id");
}

TEST_CASE("a policy text is checked whole and every error has its place") {
  const PolicyCheck good = check_policies({"t", "permit (principal, action, resource);", "t.cedar", 1});
  CHECK(good.ids == std::vector<std::string>{"t"});
  const PolicyCheck two = check_policies(
      {"t", "@id(\"x\") permit (principal, action, resource); forbid (principal, action, resource);", "t.cedar", 1});
  CHECK(two.ids == std::vector<std::string>{"t/x", "t/policy1"});
  const PolicyCheck bad =
      check_policies({"t", "permit (principal);\npermit (principal, action, resource) when { 1 = 1 };", "t.cedar", 10});
  REQUIRE(bad.errors.size() == 2);
  CHECK(bad.policies.empty());
  CHECK(bad.errors[0].error.where == "t.cedar:10:18");
  CHECK(bad.errors[1].error.where == "t.cedar:11:47");
  CHECK(check_policies({"t", "x", "", 1}).errors[0].error.where == "t:1:1");
  CHECK(check_code("permit (principal == ?principal, action, resource);") == "policy_template");
  CHECK(check_code("@obligation(\"x\") forbid (principal, action, resource);") == "policy_obligation");
  CHECK(check_code("@obligation permit (principal, action, resource);") == "policy_obligation");
  CHECK(check_code("@obligation_value(\"x\") permit (principal, action, resource);") == "policy_obligation");
  CHECK(check_code("@id(\"a b\") permit (principal, action, resource);") == "policy_id");
  CHECK(check_code("@id(\"\") permit (principal, action, resource);") == "policy_id");
  CHECK(
      check_code("@id(\"a\") permit (principal, action, resource); @id(\"a\") forbid (principal, action, resource);") ==
      "policy_id");
  CHECK(check_code("// " + std::string(limits::kPolicyBytes, 'x')) == "cedar_size");
  CHECK(check_code("// " + std::string(limits::kPolicyBytes - 3, 'x')) == "");
}

TEST_CASE("the guardrails are in every snapshot, first, and compile as what they say") {
  const auto built = build_snapshot({}, kBuilt, 1);
  REQUIRE(built.ok());
  std::vector<cedar::Policy> policies;
  (*built)->policies().for_each([&](const cedar::Policy& policy) { policies.push_back(policy); });
  REQUIRE(policies.size() == guardrails().size());
  for (std::size_t i = 0; i < policies.size(); ++i) {
    CHECK(policies[i].id == guardrails()[i].id);
    CHECK(policies[i].id.starts_with(kGuardrailPrefix));
    CHECK(policies[i].body->effect == cedar::Effect::kForbid);
  }
  CHECK((*built)->policies().texts().empty());
  CHECK((*built)->policies().find("guardrail/revoked-session") != nullptr);
  CHECK((*built)->policies().find("absent") == nullptr);
}

TEST_CASE("one changed entity among a hundred thousand does not copy the others") {
  SnapshotContent content;
  content.revision = 1;
  for (int i = 0; i < 20'000; ++i) content.entities.push_back(user("u" + std::to_string(i)));
  const auto base = build_snapshot(content, kBuilt, 1);
  REQUIRE(base.ok());
  SnapshotDelta delta{.tenant = "local", .from = 1, .to = 2, .upserts = {user("u7", 5)}};
  const auto next = apply_delta(**base, delta, kBuilt);
  REQUIRE(next.ok());
  std::size_t copied = 0;
  (*base)->entities().for_each([&](const cedar::EntityHandle& one) {
    if ((*next)->entities().find(*one->uid) != one.get()) ++copied;
  });
  CHECK(copied == 1);
}
