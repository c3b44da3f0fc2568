#include "analysis/prove.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "cedar/parser.h"

namespace wary::analysis {
namespace {

// A schema, a set of policies, and questions about them.
class World {
 public:
  World(std::string_view schema, std::string_view policies)
      : made_(schema::Schema::from_text("schema", schema)),
        set_(cedar::PolicySet::from(cedar::parse_policies(cedar::Source::make("policies", policies)).policies)) {
    REQUIRE(made_.schema);
  }
  const schema::Schema& schema() const { return *made_.schema; }
  std::vector<const cedar::Policy*> pick(std::initializer_list<std::size_t> numbers) const {
    std::vector<const cedar::Policy*> out;
    for (const std::size_t number : numbers) out.push_back(&set_.policies().at(number));
    return out;
  }
  Answer ask(Question::Kind kind, std::initializer_list<std::size_t> a, std::initializer_list<std::size_t> b = {}) {
    const Question question{kind, schema().environments().at(0), pick(a), pick(b)};
    return prove(schema(), {&question, 1}, {}).at(0);
  }

 private:
  schema::SchemaResult made_;
  cedar::PolicySet set_;
};

using Kind = Question::Kind;

constexpr std::string_view kSchema = R"(
  entity Group in [Group];
  entity User in [Group] { level: Long, name: String, friends: Set<User>, manager?: User } tags Set<String>;
  entity Plan enum ["free", "paid"];
  entity Doc in [Group] { owner: User, plan: Plan, labels: Set<String>, place: { country?: String, zone: Long } };
  action view appliesTo { principal: User, resource: Doc,
    context: { ip: ipaddr, now: datetime, cost: decimal, wait: duration, n: Long } };
)";

std::string one(std::string_view condition) {
  return "permit(principal, action, resource) when { " + std::string(condition) + " };\n";
}

TEST_CASE("new access is found, and shown by a request that replays") {
  World world(kSchema, one("principal.level > 3") + one("principal.level > 4"));
  CHECK(world.ask(Kind::kImplies, {1}, {0}).verdict == Verdict::kHolds);
  const Answer gained = world.ask(Kind::kImplies, {0}, {1});
  REQUIRE(gained.verdict == Verdict::kFails);
  CHECK(to_string(*gained.witness).find("level: 4") != std::string::npos);
}

TEST_CASE("an overflow is an error, and a policy that errors is absent") {
  World world(kSchema, one("principal.level + 1 > principal.level") + one("true"));
  CHECK(world.ask(Kind::kImplies, {1}, {0}).verdict == Verdict::kFails);
  CHECK(world.ask(Kind::kNeverErrors, {0}).verdict == Verdict::kFails);
  CHECK(world.ask(Kind::kNeverErrors, {1}).verdict == Verdict::kHolds);
}

TEST_CASE("groups are transitive and never in themselves") {
  World world(kSchema, one("principal in Group::\"a\" && Group::\"a\" in Group::\"b\"") +
                           one("principal in Group::\"b\"") +
                           one("Group::\"a\" in Group::\"b\" && Group::\"b\" in Group::\"a\""));
  CHECK(world.ask(Kind::kImplies, {0}, {1}).verdict == Verdict::kHolds);
  CHECK(world.ask(Kind::kImplies, {1}, {0}).verdict == Verdict::kFails);
  CHECK(world.ask(Kind::kNeverMatches, {2}).verdict == Verdict::kHolds);
}

TEST_CASE("conditions that hold for every request are told from those that do not") {
  struct Row {
    std::string_view condition;
    Verdict never;   // matches nothing
    Verdict always;  // allows everything
  };
  constexpr Verdict kYes = Verdict::kHolds;
  constexpr Verdict kNo = Verdict::kFails;
  for (const Row& row : std::initializer_list<Row>{
           {"resource.plan == Plan::\"free\" || resource.plan == Plan::\"paid\"", kNo, kYes},
           {"resource.labels.contains(\"x\") && resource.labels.isEmpty()", kYes, kNo},
           {"[\"x\", \"y\"].containsAll(resource.labels) && resource.labels.contains(\"z\")", kYes, kNo},
           {"resource.labels.containsAny([\"x\"]) == resource.labels.contains(\"x\")", kNo, kYes},
           {"principal.friends.containsAny(resource.owner.friends)", kNo, kNo},
           {"principal in resource.owner.friends && resource.owner.friends.isEmpty()", kYes, kNo},
           {"principal has manager && principal.manager == principal", kNo, kNo},
           {"principal.hasTag(\"t\") && principal.getTag(\"t\").contains(\"v\")", kNo, kNo},
           {"resource.place has country && resource.place.country like \"a*b*c\"", kNo, kNo},
           {"{zone: context.n, name: \"x\"} == {name: \"x\", zone: context.n}", kNo, kYes},
           {"principal.name like \"ab*\" && !(principal.name like \"a*\")", kYes, kNo},
           {"context.ip.isInRange(ip(\"10.0.0.0/8\")) && context.ip.isIpv6()", kYes, kNo},
           {"context.ip.isInRange(ip(\"10.1.0.0/16\")) && !context.ip.isInRange(ip(\"10.0.0.0/8\"))", kYes, kNo},
           {"context.ip.isLoopback() && context.ip.isIpv6()", kNo, kNo},
           {"context.ip.isIpv4() || context.ip.isIpv6()", kNo, kYes},
           {"context.cost.lessThan(decimal(\"1.5\")) && context.cost.greaterThan(decimal(\"1.5\"))", kYes, kNo},
           {"context.now.toTime() < duration(\"24h\") && context.now.toTime() >= duration(\"0h\")", kNo, kYes},
           {"context.now.toDate() > context.now", kYes, kNo},
           {"context.wait.toHours() > 1 && context.wait < duration(\"1h\")", kYes, kNo},
           {"context.now.offset(context.wait) < context.now && context.wait > duration(\"0ms\")", kYes, kNo},
           {"if context.n > 3 then context.n > 2 else context.n <= 3", kNo, kYes},
           {"context.n * 8 == 24 && context.n != 3", kYes, kNo},
           {"-context.n == context.n && context.n != 0", kYes, kNo},
       }) {
    CAPTURE(row.condition);
    World world(kSchema, one(row.condition));
    const Answer never = world.ask(Kind::kNeverMatches, {0});
    CHECK_MESSAGE(never.verdict == row.never, never.reason);
    const Answer always = world.ask(Kind::kAlwaysAllows, {0});
    CHECK_MESSAGE(always.verdict == row.always, always.reason);
  }
}

TEST_CASE("ids and attributes that differ behind a zero byte are two") {
  World world("entity U { \"a\\0x\": Long, \"a\\0y\": Long }; action view appliesTo { principal: U, resource: U };",
              one("principal == U::\"\\0x\" && resource == U::\"\\0y\"") +
                  one("principal[\"a\\0x\"] > 0 && principal[\"a\\0y\"] < 0"));
  CHECK(world.ask(Kind::kNeverMatches, {0}).verdict == Verdict::kFails);
  CHECK(world.ask(Kind::kNeverMatches, {1}).verdict == Verdict::kFails);
  CHECK(world.ask(Kind::kAlwaysAllows, {0}).verdict == Verdict::kFails);
}

TEST_CASE("disjoint sets, and forbids that take all") {
  World world(kSchema, one("context.n > 3") + one("context.n < 3") + "forbid(principal, action, resource);");
  CHECK(world.ask(Kind::kDisjoint, {0}, {1}).verdict == Verdict::kHolds);
  CHECK(world.ask(Kind::kDisjoint, {0}, {0}).verdict == Verdict::kFails);
  CHECK(world.ask(Kind::kAlwaysDenies, {0, 2}).verdict == Verdict::kHolds);
  CHECK(world.ask(Kind::kAlwaysDenies, {0}).verdict == Verdict::kFails);
  CHECK(world.ask(Kind::kMatchesImplies, {0}, {2}).verdict == Verdict::kHolds);
}

TEST_CASE("a policy that does not validate is unknown, never safe") {
  World world(kSchema, one("principal.nothing > 3"));
  const Answer answer = world.ask(Kind::kNeverMatches, {0});
  CHECK(answer.verdict == Verdict::kUnknown);
  CHECK(answer.reason.find("does not validate") != std::string::npos);
}

TEST_CASE("a worker without time or memory is unknown, with the reason") {
  World world(kSchema, one("principal.level > 3") + one("principal.level > 4"));
  const Question question{Kind::kImplies, world.schema().environments()[0], world.pick({1}), world.pick({0})};
  ProofLimits limits;
  limits.worker.memory_bytes = 1 << 20;
  const Answer starved = prove(world.schema(), {&question, 1}, limits).at(0);
  CHECK(starved.verdict == Verdict::kUnknown);
  CHECK(starved.reason.find("worker") != std::string::npos);
  limits = {};
  limits.worker.wall_ms = 1;
  const Answer late = prove(world.schema(), {&question, 1}, limits).at(0);
  CHECK(late.verdict == Verdict::kUnknown);
  CHECK(late.reason.find("out of time") != std::string::npos);
}

TEST_CASE("a question that takes its worker with it is unknown, and the next one is answered") {
  // The factors of a product of two primes, of 31 bits each.
  World world(kSchema, one("principal.level * resource.place.zone == 4611685975477714963 && principal.level > 1 && "
                           "resource.place.zone > principal.level") +
                           one("principal.level > 3"));
  const schema::Environment environment = world.schema().environments()[0];
  const std::vector<Question> questions = {{Kind::kNeverMatches, environment, world.pick({0}), {}, false},
                                           {Kind::kNeverMatches, environment, world.pick({1}), {}, false}};
  ProofLimits limits;
  limits.question_ms = 60'000;
  limits.worker.wall_ms = 10'000;
  const std::vector<Answer> answers = prove(world.schema(), questions, limits);
  CHECK(answers.at(0).verdict == Verdict::kUnknown);
  CHECK(answers[0].reason == "worker: out of time");
  CHECK(answers.at(1).verdict == Verdict::kFails);
}

TEST_CASE("many questions outlive the time of one worker") {
  World world(kSchema, one("principal.level > 3"));
  const Question question{Kind::kNeverMatches, world.schema().environments()[0], world.pick({0}), {}, false};
  ProofLimits limits;
  limits.worker.wall_ms = 2'500;  // many times what one takes, a fraction of what all take
  const std::vector<Answer> answers = prove(world.schema(), std::vector<Question>(400, question), limits);
  CHECK(answers.size() == 400);
  CHECK(std::all_of(answers.begin(), answers.end(),
                    [](const Answer& answer) { return answer.verdict == Verdict::kFails; }));
}

TEST_CASE("a worker that crashes, hangs or talks without end says why it ended") {
  // Time ends only what is meant to run out of it.
  WorkerLimits limits{.wall_ms = 120'000, .cpu_seconds = 60, .memory_bytes = 64 << 20};
  std::vector<std::string> lines;
  const auto take = [&](std::string_view line) { lines.emplace_back(line); };
  CHECK(run_in_worker(
            limits,
            [](const LineSink& say) {
              say("one");
              say("two");
            },
            take)
            .is_complete);
  CHECK(lines == std::vector<std::string>{"one", "two"});
  const WorkerEnd crashed = run_in_worker(limits, [](const LineSink&) { raise(SIGSEGV); }, take);
  CHECK_FALSE(crashed.is_complete);
  CHECK(crashed.reason.find("signal 11") != std::string::npos);
  WorkerLimits short_wait = limits;
  short_wait.wall_ms = 300;
  const WorkerEnd hung = run_in_worker(
      short_wait,
      [](const LineSink&) {
        for (;;) pause();
      },
      take);
  CHECK(hung.reason == "out of time");
  WorkerLimits short_work = limits;
  short_work.cpu_seconds = 1;
  const WorkerEnd spun = run_in_worker(
      short_work,
      [](const LineSink&) {
        for (volatile bool on = true; on;) continue;
      },
      take);
  CHECK(spun.reason.find(spun.reason.find("processor") != std::string::npos ? "processor" : "signal 9") !=
        std::string::npos);
  const auto talk = [](const LineSink& say) {
    const std::string line(1 << 20, 'x');
    for (;;) say(line);
  };
  CHECK(run_in_worker(limits, talk, [](std::string_view) {}).reason == "the worker said too much");
}

}  // namespace
}  // namespace wary::analysis
