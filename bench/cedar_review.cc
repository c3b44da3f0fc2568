// bench cedar_review: what the review of one edited policy costs.
//
//   cedar_review_bench [FIGURES] [ENTITIES...]     writes {"name","value","unit"} rows; entities: 100000 1000000
//
// 10,000 policies, half of them for one user each, half for a group with a condition; one is edited. `verdict` is from
// two policy sets to the proofs of both directions, worker process included; `names` is from the edit to the list of
// who gains or loses what, reverse indexes of the entities included; `replay` decides recorded requests by both sets.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "analysis/impact.h"
#include "cedar/parser.h"

namespace wary::bench {
namespace {

using Clock = std::chrono::steady_clock;
using cedar::make_entity;
using cedar::Value;

constexpr int kPolicies = 10'000;
constexpr int kGroups = 10'000;
constexpr int kFolders = 1'000;
constexpr int kEdited = 17;

double millis_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Of this process and its workers, in user and kernel: what a busy machine does not change much.
double processor_millis() {
  double out = 0;
  for (const auto who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage used{};
    getrusage(who, &used);
    for (const timeval& time : {used.ru_utime, used.ru_stime}) {
      out += static_cast<double>(time.tv_sec) * 1000 + static_cast<double>(time.tv_usec) / 1000;
    }
  }
  return out;
}

struct Figures {
  std::string rows;
  void add(const std::string& name, double value, const std::string& unit) {
    std::printf("%-44s %12.1f %s\n", name.c_str(), value, unit.c_str());
    std::fflush(stdout);
    rows += (rows.empty() ? "\n " : ",\n ") + std::string("{\"name\": \"") + name +
            "\", \"value\": " + std::to_string(value) + ", \"unit\": \"" + unit + "\"}";
  }
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

schema::Schema make_schema() {
  std::string text =
      "entity Group; entity User in [Group] { level: Long }; entity Folder; entity Doc in [Folder] { owner: User };\n";
  for (int i = 0; i < 10; ++i) {
    text += "action a" + std::to_string(i) + " appliesTo { principal: User, resource: Doc, context: { n: Long } };\n";
  }
  auto made = schema::Schema::from_text("schema", text);
  if (!made.schema) die("the schema");
  return std::move(*made.schema);
}

// The policy that is edited stands among those of groups.
std::string policy_text(int i, const std::string& edited) {
  const std::string number = std::to_string(i);
  const std::string rest = "action == Action::\"a" + std::to_string(i % 10) + "\", resource in Folder::\"f" +
                           std::to_string(i % kFolders) + "\")";
  if (i == kEdited) return "permit(principal in Group::\"g" + number + "\", " + rest + edited + "\n";
  if (i % 2 == 0) return "permit(principal == User::\"u" + number + "\", " + rest + ";\n";
  return "permit(principal in Group::\"g" + number + "\", " + rest + " when { context.n > " + number + " };\n";
}

cedar::PolicySet make_policies(const std::string& edited, const std::string& more = "") {
  std::string text;
  for (int i = 0; i < kPolicies; ++i) text += policy_text(i, edited);
  const auto parsed = cedar::parse_policies(cedar::Source::make("bench", text + more));
  if (!parsed.errors.empty()) die(parsed.errors[0].error.to_string());
  return cedar::PolicySet::from(parsed.policies);
}

void review(const schema::Schema& schema, const std::string& name, const cedar::PolicySet& before,
            const cedar::PolicySet& after, Figures& figures) {
  double best = 1e18;
  double least = 1e18;
  std::string comparison;
  for (int round = 0; round < 5; ++round) {
    const double busy = processor_millis();
    const auto start = Clock::now();
    const analysis::Review made = analysis::review_change(schema, before, after, {});
    best = std::min(best, millis_since(start));
    least = std::min(least, processor_millis() - busy);
    if (made.environments.empty()) die("nothing was reviewed");
    comparison = to_string(made.environments[0].comparison);
  }
  figures.add("verdict, " + name + ": " + comparison, best, "ms");
  figures.add("verdict, " + name + ": processor", least, "ms");
}

std::vector<cedar::EntityHandle> make_entities(const schema::Schema& schema, int count) {
  std::vector<cedar::EntityHandle> out = schema.action_entities();
  std::vector<cedar::EntityPtr> groups;
  std::vector<cedar::EntityPtr> folders;
  for (int i = 0; i < kGroups; ++i) groups.push_back(make_entity("Group", "g" + std::to_string(i)));
  for (int i = 0; i < kFolders; ++i) folders.push_back(make_entity("Folder", "f" + std::to_string(i)));
  for (int i = 0; i < count / 2; ++i) {
    const auto user = make_entity("User", "u" + std::to_string(i));
    const std::size_t at = static_cast<std::size_t>(i);
    out.push_back(std::make_shared<const cedar::Entity>(
        cedar::Entity{user, {{"level", Value(i % 10)}}, {}, {groups[at % groups.size()]}}));
    out.push_back(std::make_shared<const cedar::Entity>(cedar::Entity{make_entity("Doc", "d" + std::to_string(i)),
                                                                      {{"owner", Value::entity(user)}},
                                                                      {},
                                                                      {folders[at % folders.size()]}}));
  }
  return out;
}

std::vector<cedar::Request> make_requests(int entities, int count) {
  std::mt19937 random(7);
  std::vector<cedar::Request> out;
  for (int i = 0; i < count; ++i) {
    const auto pick = [&](const char* type, const char* letter, int below) {
      return make_entity(type, letter + std::to_string(static_cast<int>(random() % static_cast<unsigned>(below))));
    };
    out.push_back({pick("User", "u", entities / 2), pick("Action", "a", 10), pick("Doc", "d", entities / 2),
                   Value::record({{"n", Value(static_cast<std::int64_t>(random() % 20'000))}})});
  }
  return out;
}

void name_changes(const schema::Schema& schema, int count, const cedar::PolicySet& before,
                  const cedar::PolicySet& after, Figures& figures) {
  const std::string size = std::to_string(count) + " entities";
  engine::SnapshotPtr snapshot;
  {
    const auto entities = make_entities(schema, count);
    std::vector<engine::EntityInput> inputs;
    for (const auto& entity : entities) inputs.push_back({entity.get(), {}});
    auto made = engine::Snapshot::make(before.policies(), inputs, {.seed = 0x5EED});
    if (!made.ok()) die(made.error().to_string());
    snapshot = std::move(*made);
  }
  review(schema, "condition lowered, beside " + size, before, after, figures);
  const auto start = Clock::now();
  const auto changes = analysis::changes_between(before, after);
  analysis::ImpactQuery query{.schema = schema, .changes = changes};
  query.context = Value::record({{"n", Value(10)}});
  const auto impact = analysis::find_impact(snapshot, after.policies(), query);
  if (!impact.ok()) die(impact.error().to_string());
  figures.add("names, " + size, millis_since(start), "ms");
  figures.add("names, " + size + ": gained", static_cast<double>(impact->gained), "accesses");
  if (!impact->is_complete) die("not complete: " + impact->reason);
  const auto requests = make_requests(count, 1'000'000);
  const auto begin = Clock::now();
  const auto other = analysis::replay_requests(*snapshot, *impact->after, requests, {});
  const double seconds = millis_since(begin) / 1000;
  figures.add("replay, " + size + ": decisions a second", 2 * static_cast<double>(requests.size()) / seconds, "1/s");
  figures.add("replay, " + size + ": answered otherwise", static_cast<double>(other.size()), "requests");
}

int run(const std::string& path, const std::vector<int>& sizes) {
  Figures figures;
  const schema::Schema schema = make_schema();
  const auto before = make_policies(" when { context.n > 17 };");
  const auto lowered = make_policies(" when { context.n > 7 };");
  review(schema, "condition lowered", before, lowered, figures);
  review(schema, "condition raised", before, make_policies(" when { context.n > 27 };"), figures);
  review(schema, "condition rewritten", before, make_policies(" when { context.n >= 18 };"), figures);
  review(schema, "forbid added", before,
         make_policies(" when { context.n > 17 };",
                       "forbid(principal, action == Action::\"a7\", resource) when { "
                       "principal.level < 3 };"),
         figures);
  for (const int size : sizes) name_changes(schema, size, before, lowered, figures);
  if (!path.empty()) std::ofstream(path) << "[" << figures.rows << "\n]\n";
  return 0;
}

}  // namespace
}  // namespace wary::bench

int main(int argc, char** argv) {
  std::vector<int> sizes;
  for (int i = 2; i < argc; ++i) sizes.push_back(std::atoi(argv[i]));
  if (sizes.empty()) sizes = {100'000, 1'000'000};
  return wary::bench::run(argc > 1 ? argv[1] : "", sizes);
}
