#include "policy/decide.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "policy/explain.h"
#include "policy/serialize.h"
#include "policy/snapshot_cell.h"

using namespace wary;
using namespace wary::policy;
using codec::Json;

namespace {

constexpr UnixTime kNow{1'000 * kNanosPerSecond};
constexpr UnixTime kLater{2'000 * kNanosPerSecond};

contract::Fact fact(std::string_view name, Json value) {
  contract::Fact out;
  out.name = name;
  out.value = std::move(value);
  out.source = "test";
  return out;
}

contract::Fact expiring(std::string_view name, Json value, UnixTime expires, Json then) {
  contract::Fact out = fact(name, std::move(value));
  out.expires = expires;
  out.on_expiry = std::move(then);
  return out;
}

contract::Entity entity(std::string_view type, std::string_view id, std::vector<contract::Fact> facts = {},
                        std::vector<contract::EntityId> parents = {}) {
  contract::Entity out;
  out.tenant = "local";
  out.id = {std::string(type), std::string(id)};
  out.attributes = std::move(facts);
  out.parents = std::move(parents);
  return out;
}

const contract::EntityId kAlice{"Wary::User", "alice"};
const contract::EntityId kGet{"Wary::Action", "get"};
const contract::EntityId kMetrics{"Wary::Route", "metrics"};

SnapshotContent content(std::string_view policies, std::vector<contract::Entity> more = {}) {
  SnapshotContent out;
  out.revision = 7;
  out.policies = {{"main", std::string(policies), "main.cedar", 1}};
  out.entities = {entity("Wary::User", "alice", {fact("level", 3)}, {{"Wary::Group", "sre"}}),
                  entity("Wary::Group", "sre"), entity("Wary::Action", "get", {}, {{"Wary::Action", "read"}}),
                  entity("Wary::Route", "metrics", {fact("owner", "sre")})};
  for (contract::Entity& one : more) {
    std::erase_if(out.entities, [&](const contract::Entity& old) { return old.id == one.id; });
    out.entities.push_back(std::move(one));
  }
  return out;
}

SnapshotPtr snapshot(std::string_view policies, std::vector<contract::Entity> more = {}) {
  auto built = build_snapshot(content(policies, std::move(more)), kNow, 1);
  REQUIRE_MESSAGE(built.ok(), built.error().to_string());
  return *built;
}

contract::Request request(Json context = Json::object()) {
  return {"local", kAlice, kGet, kMetrics, std::move(context)};
}

contract::Decision decided(const SnapshotPtr& by, Json context = Json::object(), UnixTime now = kNow) {
  return decide(by, request(std::move(context)), now, {.decision_id = "d1", .known_obligations = {"step-up"}});
}

Json reference(std::string_view type, std::string_view id) {
  return Json::object({{"__entity", Json::object({{"type", Json(type)}, {"id", Json(id)}})}});
}

constexpr std::string_view kPermit =
    "permit (principal in Wary::Group::\"sre\", action in Wary::Action::\"read\", resource);";

}  // namespace

TEST_CASE("a permit allows, and the decision says by which policy, at which revision, depending on what") {
  const contract::Decision decision = decided(snapshot(kPermit));
  CHECK(decision.is_allowed());
  CHECK(decision.reason_code == "permit");
  CHECK(decision.id == "d1");
  CHECK(decision.tenant == "local");
  CHECK(decision.revision == 7);
  CHECK(decision.determining == std::vector<std::string>{"main"});
  CHECK(decision.errors.empty());
  CHECK(!decision.valid_until.has_value());
  const auto depends_on = [&](const contract::EntityId& id) {
    return std::count(decision.depends_on.begin(), decision.depends_on.end(), id);
  };
  CHECK(depends_on(kAlice) == 1);
  CHECK(depends_on(kGet) == 1);
  CHECK(depends_on(kMetrics) == 1);
  CHECK(depends_on({"Wary::Group", "sre"}) == 1);
  CHECK(depends_on({"Wary::Action", "read"}) == 1);
  CHECK(decision.depends_on.size() == 5);
}

TEST_CASE("nothing that permits is a deny, and so is no snapshot") {
  CHECK(decided(snapshot("permit (principal == Wary::User::\"bob\", action, resource);")).reason_code == "no_permit");
  const contract::Decision missing = decided(nullptr);
  CHECK(!missing.is_allowed());
  CHECK(missing.reason_code == "snapshot_missing");
  CHECK(missing.id == "d1");
}

TEST_CASE("a satisfied forbid overrides every permit") {
  const auto by = snapshot(
      "@id(\"open\") permit (principal, action, resource);\n"
      "@id(\"closed\") forbid (principal, action, resource) when { resource.owner == \"sre\" };");
  const contract::Decision decision = decided(by);
  CHECK(decision.reason_code == "forbid");
  CHECK(decision.determining == std::vector<std::string>{"main/closed"});
}

TEST_CASE("a forbid that fails denies; a permit that fails is as if absent") {
  const auto forbid =
      snapshot("permit (principal, action, resource); forbid (principal, action, resource) when { principal.nope };");
  const contract::Decision denied = decided(forbid);
  CHECK(!denied.is_allowed());
  CHECK(denied.reason_code == "forbid_error");
  CHECK(denied.determining == std::vector<std::string>{"main/policy1"});
  REQUIRE(denied.errors.size() == 1);
  CHECK(denied.errors[0].policy == "main/policy1");
  CHECK(denied.errors[0].kind == "EntityAttrDoesNotExist");
  const auto permit =
      snapshot("permit (principal, action, resource); permit (principal, action, resource) when { principal.nope };");
  const contract::Decision allowed = decided(permit);
  CHECK(allowed.is_allowed());
  CHECK(allowed.errors.size() == 1);
  // A forbid whose scope does not match cannot fail.
  const auto other = snapshot(
      "permit (principal, action, resource); forbid (principal is Wary::Pipeline, action, resource) when { "
      "principal.nope };");
  CHECK(decided(other).is_allowed());
}

TEST_CASE("obligations of determining permits are handed on, and an unknown one denies") {
  const auto known = snapshot(
      "@obligation(\"step-up\") @obligation_value(\"mfa\") permit (principal, action, resource);"
      "permit (principal, action, resource) when { true };");
  const contract::Decision allowed = decided(known);
  CHECK(allowed.is_allowed());
  REQUIRE(allowed.obligations.size() == 1);
  CHECK(allowed.obligations[0].name == "step-up");
  CHECK(allowed.obligations[0].value == "mfa");
  const auto unknown = snapshot(
      "@obligation(\"watermark\") permit (principal, action, resource);"
      "@obligation(\"step-up\") permit (principal, action, resource) when { true };");
  const contract::Decision denied = decided(unknown);
  CHECK(!denied.is_allowed());
  CHECK(denied.reason_code == "obligation_unknown");
  REQUIRE(denied.obligations.size() == 1);
  CHECK(denied.obligations[0].name == "watermark");
  // The obligation of a permit that is not satisfied binds nobody.
  const auto unsatisfied = snapshot(
      "permit (principal, action, resource);"
      "@obligation(\"watermark\") permit (principal, action, resource) when { false };");
  CHECK(decided(unsatisfied).is_allowed());
}

TEST_CASE("malformed requests are denied as invalid") {
  const auto by = snapshot(kPermit);
  const auto code = [&](const contract::Request& asked) {
    const contract::Decision decision = decide(by, asked, kNow, {});
    CHECK(!decision.is_allowed());
    return decision.reason_code;
  };
  contract::Request asked = request();
  asked.tenant = "other";
  CHECK(code(asked) == "request_invalid");
  for (contract::EntityId contract::Request::* part :
       {&contract::Request::principal, &contract::Request::action, &contract::Request::resource}) {
    for (const contract::EntityId& bad :
         {contract::EntityId{"", "x"}, contract::EntityId{"if", "x"}, contract::EntityId{"A::", "x"},
          contract::EntityId{"U", std::string(1025, 'x')}, contract::EntityId{"U", "\xff"}}) {
      asked = request();
      asked.*part = bad;
      CHECK(code(asked) == "request_invalid");
    }
  }
  CHECK(code(request(Json(1))) == "request_invalid");
  CHECK(code(request(Json::object({{"x", Json()}}))) == "request_invalid");
  CHECK(code(request(Json::object({{"x", Json(1.5)}}))) == "request_invalid");
  CHECK(code(request(Json::object({{"x", Json(1)}, {"x", Json(2)}}))) == "request_invalid");
  CHECK(code(request(Json::object({{"x", Json::object({{"__entity", Json(1)}})}}))) == "request_invalid");
  CHECK(code(request(Json::object({{"x", Json::array(std::vector<Json>(10'001, Json(1)))}}))) == "request_invalid");
  Json deep(1);
  for (int i = 0; i < 100; ++i) deep = Json::array({deep});
  CHECK(code(request(Json::object({{"x", deep}}))) == "request_invalid");
}

TEST_CASE("revoked or disabled principals and devices, and sessions that are not active, are denied whatever permits") {
  const auto with = [](std::vector<contract::Entity> more, Json context = Json::object()) {
    return decided(snapshot("permit (principal, action, resource);", std::move(more)), std::move(context));
  };
  CHECK(with({}).is_allowed());
  const auto denied_by = [](const contract::Decision& decision) {
    CHECK(!decision.is_allowed());
    return decision.determining.empty() ? "" : decision.determining[0];
  };
  CHECK(denied_by(with({entity("Wary::User", "alice", {fact("revoked", true)})})) == "guardrail/revoked-principal");
  CHECK(denied_by(with({entity("Wary::User", "alice", {fact("disabled", true)})})) == "guardrail/revoked-principal");
  CHECK(with({entity("Wary::User", "alice", {fact("revoked", false), fact("disabled", false)})}).is_allowed());
  const Json session = Json::object({{"session", reference("Wary::Session", "s")}});
  CHECK(with({entity("Wary::Session", "s", {fact("active", true)})}, session).is_allowed());
  CHECK(denied_by(with({entity("Wary::Session", "s", {fact("active", false)})}, session)) ==
        "guardrail/inactive-session");
  CHECK(denied_by(with({entity("Wary::Session", "s", {fact("active", true), fact("revoked", true)})}, session)) ==
        "guardrail/revoked-session");
  const Json device = Json::object({{"device", reference("Wary::Device", "d")}});
  CHECK(with({entity("Wary::Device", "d")}, device).is_allowed());
  CHECK(denied_by(with({entity("Wary::Device", "d", {fact("revoked", true)})}, device)) == "guardrail/revoked-device");
  CHECK(denied_by(with({entity("Wary::Device", "d", {fact("disabled", true)})}, device)) == "guardrail/revoked-device");
}

TEST_CASE("a missing fact never weakens a forbid") {
  const std::string_view open = "permit (principal, action, resource);";
  // The whole entity is gone: not a clean slate but an unknown one.
  SnapshotContent without = content(open);
  std::erase_if(without.entities, [](const contract::Entity& one) { return one.id == kAlice; });
  const contract::Decision unknown = decided(*build_snapshot(without, kNow, 1));
  CHECK(unknown.reason_code == "forbid");
  CHECK(unknown.determining == std::vector<std::string>{"guardrail/unknown-principal"});
  CHECK(decide(*build_snapshot(without, kNow, 1), request(), kNow,
               {.decision_id = "", .known_obligations = {}, .require_known = false})
            .is_allowed());
  const contract::Decision device =
      decided(snapshot(open), Json::object({{"device", reference("Wary::Device", "gone")}}));
  CHECK(device.determining == std::vector<std::string>{"guardrail/unknown-device"});
  CHECK(std::count(device.depends_on.begin(), device.depends_on.end(), contract::EntityId{"Wary::Device", "gone"}) ==
        1);
  // A session without its fact, or without its entity.
  const Json session = Json::object({{"session", reference("Wary::Session", "s")}});
  CHECK(!decided(snapshot(open), session).is_allowed());
  CHECK(!decided(snapshot(open, {entity("Wary::Session", "s")}), session).is_allowed());
  // A fact of another type is an error, and the error of a forbid denies.
  CHECK(decided(snapshot(open, {entity("Wary::User", "alice", {fact("revoked", "yes")})})).reason_code ==
        "forbid_error");
  CHECK(decided(snapshot(open), Json::object({{"session", Json("s")}})).reason_code == "forbid_error");
  CHECK(decided(snapshot(open), Json::object({{"device", Json(1)}})).reason_code == "forbid_error");
  // A fact of a forbid that expired takes its value on expiry, whether it is read or asked for with `has`.
  const std::string_view risky =
      "permit (principal, action, resource);"
      "forbid (principal, action, resource) when { principal has risk && principal.risk > 50 };";
  const auto by = snapshot(risky, {entity("Wary::User", "alice", {expiring("risk", 10, kLater, 100)})});
  CHECK(decided(by, Json::object(), kNow).is_allowed());
  CHECK(!decided(by, Json::object(), kLater).is_allowed());
}

TEST_CASE("facts expire at their time, and a decision that read one says until when it holds") {
  const std::string_view text =
      "permit (principal, action, resource) when { principal.compliant };"
      "permit (principal, action, resource) when { resource.owner == \"x\" };";
  const auto by = snapshot(text, {entity("Wary::User", "alice",
                                         {expiring("compliant", true, kLater, false), expiring("other", 1, kNow, 2)})});
  const contract::Decision before = decided(by, Json::object(), {kLater.nanos - 1});
  CHECK(before.is_allowed());
  REQUIRE(before.valid_until.has_value());
  CHECK(*before.valid_until == kLater);
  const contract::Decision after = decided(by, Json::object(), kLater);
  CHECK(!after.is_allowed());
  CHECK(!after.valid_until.has_value());
  // Tags expire as well; the earliest of several counts.
  contract::Entity tagged = entity("Wary::User", "alice", {expiring("a", 1, {3'000 * kNanosPerSecond}, 0)});
  tagged.tags = {expiring("t", 1, kLater, 0)};
  const auto tags =
      snapshot("permit (principal, action, resource) when { principal.getTag(\"t\") == principal.a };", {tagged});
  CHECK(*decided(tags, Json::object(), kNow).valid_until == kLater);
  CHECK(!decided(tags, Json::object(), kLater).is_allowed());
}

TEST_CASE("a decision does not change with entities it does not depend on") {
  const std::string_view text =
      "permit (principal in Wary::Group::\"sre\", action in [Wary::Action::\"read\"], resource) "
      "when { resource.owner == \"sre\" && principal.level > 2 };"
      "forbid (principal, action, resource) when { context has n && context.n > 5 };";
  const SnapshotPtr base = snapshot(text);
  std::uint64_t seed = 1;
  for (int round = 0; round < 200; ++round) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    SnapshotDelta delta;
    delta.from = 7;
    delta.to = 8;
    for (std::uint64_t i = 0; i < seed % 20; ++i) {
      delta.upserts.push_back(entity("Wary::User", "other" + std::to_string((seed >> 20) + i),
                                     {fact("level", static_cast<std::int64_t>(i)), fact("revoked", true)},
                                     {{"Wary::Group", i % 2 == 0 ? "sre" : "dev"}}));
    }
    const auto next = apply_delta(*base, delta, kNow);
    REQUIRE(next.ok());
    const Json context = Json::object({{"n", Json(static_cast<std::int64_t>(seed >> 60))}});
    const contract::Decision before = decided(base, context);
    const contract::Decision after = decided(*next, context);
    CHECK(before.effect() == after.effect());
    CHECK(before.determining == after.determining);
    CHECK(before.depends_on == after.depends_on);
  }
}

TEST_CASE("the index by action leaves no policy out that could match") {
  const std::string_view text =
      "@id(\"any\") permit (principal, action, resource);"
      "@id(\"get\") permit (principal, action == Wary::Action::\"get\", resource);"
      "@id(\"put\") permit (principal, action == Wary::Action::\"put\", resource);"
      "@id(\"read\") permit (principal, action in Wary::Action::\"read\", resource);"
      "@id(\"self\") permit (principal, action in [Wary::Action::\"get\", Wary::Action::\"read\"], resource);"
      "@id(\"write\") permit (principal, action in Wary::Action::\"write\", resource);"
      "@id(\"none\") permit (principal, action in [], resource);";
  const contract::Decision decision = decided(snapshot(text));
  CHECK(decision.determining == std::vector<std::string>{"main/any", "main/get", "main/read", "main/self"});
}

TEST_CASE("readers see a swapped snapshot at their next get") {
  SnapshotCell cell;
  SnapshotReader reader(cell);
  CHECK(reader.get() == nullptr);
  const SnapshotPtr first = snapshot(kPermit);
  cell.swap(first);
  CHECK(reader.get() == first);
  CHECK(reader.get() == first);
  const SnapshotPtr second = snapshot(kPermit);
  cell.swap(second);
  CHECK(reader.get() == second);
  CHECK(cell.current() == second);
}

TEST_CASE("an explanation names policies, lines, clauses and the values they met") {
  const auto by = snapshot(
      "// who may read\n"
      "@id(\"readers\")\n"
      "permit (principal in Wary::Group::\"sre\", action, resource)\n"
      "when { principal.level > 5 }\n"
      "unless { resource.owner == \"nobody\" };\n"
      "@id(\"far\") permit (principal is Wary::Pipeline, action == Wary::Action::\"put\", resource);");
  const auto why = explain(*by, {request(), 7, kNow, {}});
  REQUIRE(why.ok());
  CHECK(why->decision.reason_code == "no_permit");
  REQUIRE(why->nearest.size() == 2);
  const PolicyReport& near = why->nearest[0];
  CHECK(near.id == "main/readers");
  CHECK(near.file == "main.cedar");
  CHECK(near.first_line == 2);
  CHECK(near.last_line == 5);
  REQUIRE(near.clauses.size() == 2);
  CHECK(near.clauses[0].outcome == ClauseReport::Outcome::kFalse);
  CHECK(near.clauses[0].line == 4);
  REQUIRE(near.clauses[0].values.size() == 1);
  CHECK(near.clauses[0].values[0].expression == "principal.level");
  CHECK(near.clauses[0].values[0].value == "3");
  CHECK(near.clauses[1].outcome == ClauseReport::Outcome::kNotReached);
  CHECK(to_text(*why) ==
        "Wary::User::\"alice\" Wary::Action::\"get\" Wary::Route::\"metrics\"\n"
        "denied: no permit is satisfied (no_permit, revision 7)\n"
        "nearest permits:\n"
        "  permit main/readers  main.cedar:2-5  not satisfied\n"
        "    line 4  false  when { principal.level > 5 }\n"
        "      principal.level = 3\n"
        "    line 5  not reached  unless { resource.owner == \"nobody\" }\n"
        "  permit main/far  main.cedar:6  not satisfied\n"
        "    line 6  false  principal is Wary::Pipeline\n"
        "      principal = Wary::User::\"alice\"\n"
        "    line 6  false  action == Wary::Action::\"put\"\n"
        "      action = Wary::Action::\"get\"\n");
  const Json json = to_json(*why);
  CHECK(json.find("reason_code")->as_string() == "no_permit");
  CHECK(json.find("nearest")->items().size() == 2);
  CHECK(codec::parse_json(json.to_string()).ok());
}

TEST_CASE("an explanation of a forbid, an error, an obligation and a malformed request says so") {
  const auto forbid =
      explain(*snapshot(kPermit, {entity("Wary::User", "alice", {fact("revoked", true)}, {{"Wary::Group", "sre"}})}),
              {request(), 7, kNow, {}});
  REQUIRE(forbid.ok());
  REQUIRE(forbid->determining.size() == 1);
  CHECK(forbid->determining[0].id == "guardrail/revoked-principal");
  CHECK(forbid->determining[0].outcome == "satisfied");
  CHECK(to_text(*forbid).find("principal.revoked = true") != std::string::npos);
  CHECK(forbid->nearest.empty());
  const auto failed =
      explain(*snapshot("forbid (principal, action, resource) when { principal.nope };"), {request(), 7, kNow, {}});
  REQUIRE(failed.ok());
  REQUIRE(failed->errors.size() == 1);
  CHECK(failed->errors[0].outcome == "error");
  CHECK(to_text(*failed).find("EntityAttrDoesNotExist") != std::string::npos);
  const auto obliged =
      explain(*snapshot("@obligation(\"watermark\") permit (principal, action, resource);"), {request(), 7, kNow, {}});
  CHECK(to_text(*obliged).find("obligation: watermark") != std::string::npos);
  contract::Request bad = request();
  bad.principal.type = "";
  CHECK(to_text(*explain(*snapshot(kPermit), {bad, 7, kNow, {}})).find("malformed") != std::string::npos);
  contract::Request stranger = request();
  stranger.principal.id = "mallory";
  CHECK(to_text(*explain(*snapshot(kPermit), {stranger, 7, kNow, {}})).find("guardrail/unknown-principal") !=
        std::string::npos);
  const auto timed = explain(*snapshot("permit (principal, action, resource) when { principal.ok };",
                                       {entity("Wary::User", "alice", {expiring("ok", true, kLater, false)})}),
                             {request(), 7, kNow, {}});
  CHECK(to_text(*timed).find("valid until 1970-01-01T00:33:20.000Z") != std::string::npos);
  CHECK(to_json(*timed).find("valid_until") != nullptr);
}

TEST_CASE("an explanation wants the snapshot of the decision's revision") {
  const auto why = explain(*snapshot(kPermit), {request(), 6, kNow, {}});
  REQUIRE(!why.ok());
  CHECK(why.error().code == "revision_compacted");
  CHECK(why.error().kind == ErrorKind::kGone);
}
