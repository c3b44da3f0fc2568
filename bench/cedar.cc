// bench cedar: what a decision of the compiled engine costs, on the workloads that its peers are given too.
//
//   cedar_bench FIGURES [TESTDATA/policy] [WORKLOADS]     writes {"name","value","unit"} rows; with WORKLOADS, a
//   folder,
//                                                          also the made workloads as files, for the peers
//
// A figure is per request the least mean of 32 calls in a row over several rounds, then median and 99th percentile over
// the requests; `mixed` is the mean over the requests one after another. A call takes the request as parsed: ids as
// strings, which it looks up. Every decision is compared with the expected one before anything is timed.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

#include "cedar/json.h"
#include "cedar/parser.h"
#include "crypto/hash.h"
#include "engine/image.h"
#include "io/system.h"

namespace wary::bench {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using cedar::make_entity;

double nanos_since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

template <typename T>
T need(Result<T> result, const std::string& what) {
  if (!result.ok()) die(what + ": " + result.error().to_string());
  return std::move(*result);
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Workload {
  std::string policies;
  std::vector<cedar::EntityHandle> entities;
  std::vector<cedar::Request> requests;
  std::vector<bool> allowed;  // of each request; the tree walker's where nothing is published
};

struct Figures {
  struct Row {
    std::string name;
    double value;
    std::string unit;
  };
  std::vector<Row> rows;
  void add(const std::string& name, double value, const std::string& unit) {
    std::printf("%-44s %12.1f %s\n", name.c_str(), value, unit.c_str());
    std::fflush(stdout);
    rows.push_back({name, value, unit});
  }
  void write(const std::string& path) const {
    std::ofstream out(path);
    out << "[";
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out << (i > 0 ? ",\n " : "\n ") << "{\"name\": \"" << rows[i].name << "\", \"value\": " << rows[i].value
          << ", \"unit\": \"" << rows[i].unit << "\"}";
    }
    out << "\n]\n";
  }
};

double percentile(std::vector<double> values, double at) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(at * static_cast<double>(values.size() - 1))];
}

cedar::PolicySet parse(const std::string& text) {
  constexpr Limits kLarge{.bytes = std::size_t{1} << 30, .depth = 256, .items = 10'000'000, .total = 1'000'000'000};
  const auto parsed = cedar::parse_policies(cedar::Source::make("bench", text), kLarge);
  if (!parsed.errors.empty()) die(parsed.errors[0].error.to_string());
  return cedar::PolicySet::from(parsed.policies);
}

engine::SnapshotPtr build(const cedar::PolicySet& policies, const std::vector<cedar::EntityHandle>& entities) {
  std::vector<engine::EntityInput> inputs;
  inputs.reserve(entities.size());
  for (const auto& entity : entities) inputs.push_back({entity.get(), {}});
  return need(engine::Snapshot::make(policies.policies(), inputs, {.seed = 0x5EED}), "snapshot");
}

void check(const engine::Snapshot& snapshot, const Workload& workload, engine::Worker& worker) {
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    if (worker.decide(snapshot, workload.requests[i], {}).is_allowed != workload.allowed[i]) die("a decision differs");
  }
}

// By request: nanoseconds a call.
std::vector<double> measure(const engine::Snapshot& snapshot, const std::vector<cedar::Request>& requests, int rounds) {
  engine::Worker worker;
  constexpr int kCalls = 32;
  std::vector<double> best(requests.size(), 1e18);
  std::size_t allowed = 0;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto start = Clock::now();
      for (int call = 0; call < kCalls; ++call) allowed += worker.decide(snapshot, requests[i], {}).is_allowed;
      best[i] = std::min(best[i], nanos_since(start) / kCalls);
    }
  }
  if (allowed == 1) std::printf(" ");  // so that the calls are made
  return best;
}

double mixed(const engine::Snapshot& snapshot, const std::vector<cedar::Request>& requests, int rounds) {
  engine::Worker worker;
  std::size_t allowed = 0;
  std::vector<double> means;
  for (int round = 0; round < rounds; ++round) {
    const auto start = Clock::now();
    for (const cedar::Request& request : requests) allowed += worker.decide(snapshot, request, {}).is_allowed;
    means.push_back(nanos_since(start) / static_cast<double>(requests.size()));
  }
  if (allowed == 1) std::printf(" ");
  return percentile(means, 0.5);
}

// Each request of a stream by itself, the second time through, with what reading the clock twice costs.
std::vector<double> one_by_one(const engine::Snapshot& snapshot, const std::vector<cedar::Request>& requests) {
  engine::Worker worker;
  std::size_t allowed = 0;
  for (const cedar::Request& request : requests) allowed += worker.decide(snapshot, request, {}).is_allowed;
  std::vector<double> out;
  out.reserve(requests.size());
  for (const cedar::Request& request : requests) {
    // A request that was just parsed lies in the cache.
    for (const auto& uid : {request.principal, request.action, request.resource})
      allowed += uid->id.size() + uid->type.size();
    const auto start = Clock::now();
    allowed += worker.decide(snapshot, request, {}).is_allowed;
    out.push_back(nanos_since(start));
  }
  if (allowed == 1) std::printf(" ");
  return out;
}

// ---- B1: the OOPSLA applications

std::vector<cedar::EntityHandle> github_actions() {
  const std::vector<std::string> order = {"read", "triage", "write", "maintain", "admin"};
  std::vector<cedar::EntityHandle> out;
  for (std::size_t i = 0; i < order.size(); ++i) {
    auto action = std::make_shared<cedar::Entity>();
    action->uid = make_entity("Action", order[i]);
    if (i + 1 < order.size()) action->parents.push_back(make_entity("Action", order[i + 1]));
    out.push_back(std::move(action));
  }
  return out;
}

Workload load_application(const fs::path& oopsla, const fs::path& folder, const std::string& name, int n,
                          int hierarchy) {
  constexpr Limits kLarge{.bytes = std::size_t{1} << 30, .depth = 64, .items = 10'000'000, .total = 1'000'000'000};
  Workload out;
  out.policies = read(oopsla / "apps" / name / (name == "tinytodo" ? "tinytodo.cedar" : "policies.cedar"));
  const std::string stem = name + "." + std::to_string(n) + "." + std::to_string(hierarchy);
  auto json = need(codec::parse_json(read(folder / (stem + ".entities.json")), kLarge), stem);
  out.entities = need(cedar::entities_from_json(json), stem);
  if (name == "github") {
    for (auto& action : github_actions()) out.entities.push_back(action);
  }
  const auto requests = need(codec::parse_json(read(folder / (stem + ".requests.json")), kLarge), stem);
  for (const codec::Json& request : requests.items()) {
    cedar::Request one;
    one.principal = need(cedar::entity_uid_from_json(*request.find("principal")), stem);
    one.action = need(cedar::entity_uid_from_json(*request.find("action")), stem);
    one.resource = need(cedar::entity_uid_from_json(*request.find("resource")), stem);
    out.requests.push_back(std::move(one));
    out.allowed.push_back(request.string_or("decision", "") == "allow");
  }
  return out;
}

// ---- Workloads as files, which every engine reads

void write(const fs::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  if (!out.good()) die("cannot write " + path.string());
}

void write_workload(const fs::path& folder, const Workload& workload) {
  fs::create_directories(folder);
  write(folder / "policies.cedar", workload.policies);
  codec::Json entities = codec::Json::array();
  for (const auto& entity : workload.entities) entities.push(cedar::to_json(*entity));
  write(folder / "entities.json", entities.to_canonical_string());
  codec::Json requests = codec::Json::array();
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    const cedar::Request& request = workload.requests[i];
    codec::Json one = codec::Json::object({{"principal", cedar::to_json(*request.principal)},
                                           {"action", cedar::to_json(*request.action)},
                                           {"resource", cedar::to_json(*request.resource)},
                                           {"context", cedar::to_json(request.context)}});
    if (!workload.allowed.empty()) one.set("allowed", codec::Json(static_cast<bool>(workload.allowed[i])));
    requests.push(std::move(one));
  }
  write(folder / "requests.json", requests.to_canonical_string());
}

void make_oopsla(const fs::path& testdata, const fs::path& out) {
  const fs::path oopsla = testdata / "oopsla";
  if (testdata.empty() || !fs::exists(oopsla / "hierarchies.tar.zst")) {
    std::printf("[skip] B1: the published applications are not there\n");
    return;
  }
  const fs::path folder = fs::temp_directory_path() / ("wary-bench-" + std::to_string(std::random_device()()));
  fs::create_directories(folder);
  const std::string command =
      "tar --zstd -xf '" + (oopsla / "hierarchies.tar.zst").string() + "' -C '" + folder.string() + "'";
  if (std::system(command.c_str()) != 0) die("hierarchies.tar.zst cannot be unpacked");
  for (const std::string name : {"gdrive", "github", "tinytodo"}) {
    for (const int n : {5, 50}) {
      for (int hierarchy = 0; hierarchy < 4; ++hierarchy) {
        write_workload(out / ("B1-" + name + "-" + std::to_string(n) + "-" + std::to_string(hierarchy)),
                       load_application(oopsla, folder / "small", name, n, hierarchy));
      }
    }
  }
  fs::remove_all(folder);
}

Workload read_workload(const fs::path& folder) {
  constexpr Limits kLarge{.bytes = std::size_t{1} << 30, .depth = 64, .items = 10'000'000, .total = 1'000'000'000};
  Workload out;
  out.policies = read(folder / "policies.cedar");
  out.entities =
      need(cedar::entities_from_json(need(codec::parse_json(read(folder / "entities.json"), kLarge), "entities")),
           "entities");
  const auto requests = need(codec::parse_json(read(folder / "requests.json"), kLarge), "requests");
  for (const codec::Json& request : requests.items()) {
    cedar::Request one;
    one.principal = need(cedar::entity_uid_from_json(*request.find("principal")), "principal");
    one.action = need(cedar::entity_uid_from_json(*request.find("action")), "action");
    one.resource = need(cedar::entity_uid_from_json(*request.find("resource")), "resource");
    one.context = need(cedar::value_from_json(*request.find("context")), "context");
    out.requests.push_back(std::move(one));
    const codec::Json* allowed = request.find("allowed");
    if (allowed != nullptr) out.allowed.push_back(allowed->as_bool());
  }
  return out;
}

void run_workloads(const fs::path& folder) {
  std::vector<fs::path> all;
  for (const auto& entry : fs::directory_iterator(folder)) all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  for (const fs::path& path : all) {
    const Workload workload = read_workload(path);
    const auto snapshot = build(parse(workload.policies), workload.entities);
    engine::Worker worker;
    if (!workload.allowed.empty()) check(*snapshot, workload, worker);
    std::string decisions;
    for (const cedar::Request& request : workload.requests) {
      decisions += worker.decide(*snapshot, request, {}).is_allowed ? '1' : '0';
    }
    const auto times = measure(*snapshot, workload.requests, 15);
    std::printf("{\"workload\":\"%s\",\"p50\":%.1f,\"p99\":%.1f,\"mixed\":%.1f,\"decisions\":\"%s\"}\n",
                path.filename().c_str(), percentile(times, 0.5), percentile(times, 0.99),
                mixed(*snapshot, workload.requests, 100), decisions.c_str());
    std::fflush(stdout);
  }
}

// ---- B2: many policies

std::string number(std::size_t i) { return std::to_string(i); }

Workload b2_workload(char kind, std::size_t policies, std::mt19937_64& random) {
  Workload out;
  for (std::size_t i = 0; i < policies; ++i) {
    if (kind == 'a') {
      out.policies += "permit(principal == U::\"u" + number(i) + "\", action == Action::\"a" + number(i % 10) +
                      "\", resource in Folder::\"f" + number(i % 100) + "\");\n";
    } else if (kind == 'b') {
      out.policies += "permit(principal in Group::\"g" + number(i) +
                      "\", action, resource) when { resource.owner == principal && context.n > " + number(i) + " };\n";
    } else {
      out.policies += "permit(principal, action, resource) when { resource.owner == U::\"u" + number(i) + "\" };\n";
    }
  }
  const std::size_t users = std::min<std::size_t>(policies, 10'000);
  const auto add = [&](std::string_view type, const std::string& id, cedar::Value::Record attributes,
                       std::vector<cedar::EntityPtr> parents) {
    auto entity = std::make_shared<cedar::Entity>();
    entity->uid = make_entity(type, id);
    entity->attributes = std::move(attributes);
    entity->parents = std::move(parents);
    out.entities.push_back(std::move(entity));
  };
  for (std::size_t i = 0; i < users; ++i) {
    std::vector<cedar::EntityPtr> groups;
    for (int k = 0; k < 5; ++k) groups.push_back(make_entity("Group", "g" + number(random() % policies)));
    add("U", "u" + number(i), {}, std::move(groups));
  }
  for (std::size_t i = 0; i < 1000; ++i) {
    add("Doc", "d" + number(i), {{"owner", cedar::Value::entity(make_entity("U", "u" + number(random() % users)))}},
        {make_entity("Folder", "f" + number(i % 100))});
  }
  for (int i = 0; i < 500; ++i) {
    cedar::Request request;
    const std::size_t user = random() % users;
    request.principal = make_entity("U", "u" + number(user));
    request.action = make_entity("Action", "a" + number(user % 10));
    // Half of the requests of (a) meet their policy.
    request.resource =
        make_entity("Doc", "d" + number(i % 2 == 0 ? user % 100 + 100 * (random() % 10) : random() % 1000));
    if (kind == 'b') {
      request.context = cedar::Value::record({{"n", cedar::Value(static_cast<std::int64_t>(random() % policies))}});
    }
    out.requests.push_back(std::move(request));
  }
  return out;
}

// What the tree walker says, of some requests when there are too many policies for all.
void expect(Workload& workload, const cedar::PolicySet& policies, const engine::Snapshot& snapshot) {
  const auto store = need(cedar::EntityStore::make(workload.entities), "store");
  engine::Worker worker;
  const std::size_t most = policies.policies().size() > 100'000 ? 10 : workload.requests.size();
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    const bool allowed = worker.decide(snapshot, workload.requests[i], {}).is_allowed;
    if (i < most) {
      cedar::StoreView view(store);
      if (cedar::is_authorized(policies, workload.requests[i], view).is_allowed != allowed) die("a decision differs");
    }
    workload.allowed.push_back(allowed);
  }
}

void b2(Figures& figures) {
  for (const char kind : {'a', 'b', 'd'}) {
    for (const std::size_t policies : {1'000U, 10'000U, 100'000U, 1'000'000U}) {
      if (kind == 'd' && policies > 10'000U) continue;
      std::mt19937_64 random(policies);
      Workload workload = b2_workload(kind, policies, random);
      const cedar::PolicySet set = parse(workload.policies);
      const auto start = Clock::now();
      const auto snapshot = build(set, workload.entities);
      const double built = nanos_since(start);
      expect(workload, set, *snapshot);
      const auto times = measure(*snapshot, workload.requests, kind == 'd' ? 2 : 7);
      const std::string row = std::string("B2") + kind + " " + number(policies) + " policies";
      figures.add(row + " p50", percentile(times, 0.5), "ns");
      figures.add(row + " p99", percentile(times, 0.99), "ns");
      figures.add(row + " compile", built / 1e6, "ms");
    }
  }
}

// ---- B3: many entities

struct World {
  std::vector<cedar::EntityHandle> entities;
  std::size_t users;
  std::size_t documents;
};

// Users in groups of depth up to 10, five parents each on average; documents in folders of depth 6.
World b3_world(std::size_t users, std::mt19937_64& random) {
  World world{{}, users, users};
  const std::size_t groups = std::max<std::size_t>(users / 100, 10);
  const std::size_t folders = std::max<std::size_t>(users / 20, 6);
  const auto add = [&](std::string_view type, const std::string& id, cedar::Value::Record attributes,
                       std::vector<cedar::EntityPtr> parents) {
    auto entity = std::make_shared<cedar::Entity>();
    entity->uid = make_entity(type, id);
    entity->attributes = std::move(attributes);
    entity->parents = std::move(parents);
    world.entities.push_back(std::move(entity));
  };
  std::vector<cedar::EntityPtr> group;
  std::vector<cedar::EntityPtr> folder;
  for (std::size_t i = 0; i < groups; ++i) group.push_back(make_entity("Group", "g" + number(i)));
  for (std::size_t i = 0; i < folders; ++i) folder.push_back(make_entity("Folder", "f" + number(i)));
  // Level k of ten: a tenth of the groups each; one parent on the level above.
  const std::size_t level = groups / 10;
  for (std::size_t i = 0; i < groups; ++i) {
    std::vector<cedar::EntityPtr> parents;
    if (i >= level) parents.push_back(group[(i / level - 1) * level + random() % level]);
    add("Group", group[i]->id, {}, std::move(parents));
  }
  const std::size_t folder_level = std::max<std::size_t>(folders / 6, 1);
  for (std::size_t i = 0; i < folders; ++i) {
    std::vector<cedar::EntityPtr> parents;
    if (i >= folder_level) parents.push_back(folder[(i / folder_level - 1) * folder_level + random() % folder_level]);
    add("Folder", folder[i]->id, {}, std::move(parents));
  }
  for (std::size_t i = 0; i < users; ++i) {
    std::vector<cedar::EntityPtr> parents;
    for (std::size_t k = 1 + random() % 9; k > 0; --k) parents.push_back(group[random() % groups]);
    add("U", "u" + number(i), {{"level", cedar::Value(static_cast<std::int64_t>(random() % 10))}}, std::move(parents));
  }
  for (std::size_t i = 0; i < users; ++i) {
    add("Doc", "d" + number(i), {{"owner", cedar::Value::entity(make_entity("U", "u" + number(random() % users)))}},
        {folder[random() % folders]});
  }
  return world;
}

std::string b3_policies() {
  std::string out;
  for (int i = 0; i < 20; ++i) {
    out += "permit(principal in Group::\"g" + number(static_cast<std::size_t>(i)) +
           "\", action == Action::\"read\", resource in Folder::\"f" + number(static_cast<std::size_t>(i)) + "\");\n";
  }
  out +=
      "permit(principal, action in [Action::\"read\", Action::\"write\"], resource) when { resource.owner == principal "
      "};\n";
  out += "forbid(principal, action == Action::\"write\", resource) when { principal.level < 2 };\n";
  return out;
}

// Ranks by Zipf's law with exponent 1.1, by inversion of a table.
class Zipf {
 public:
  explicit Zipf(std::size_t size) {
    sums_.reserve(size);
    double sum = 0;
    for (std::size_t i = 1; i <= size; ++i) sums_.push_back(sum += std::pow(static_cast<double>(i), -1.1));
  }
  std::size_t operator()(std::mt19937_64& random) const {
    const double at = std::uniform_real_distribution<double>(0, sums_.back())(random);
    return static_cast<std::size_t>(std::lower_bound(sums_.begin(), sums_.end(), at) - sums_.begin());
  }

 private:
  std::vector<double> sums_;
};

// The same world saved as an image and opened again, as after a restart with the file in the page cache; every decision
// is compared with the one of the snapshot that was saved.
void b3_image(Figures& figures, const std::string& row, const cedar::PolicySet& set, const engine::Snapshot& snapshot,
              const std::vector<cedar::Request>& requests) {
  const fs::path path = fs::temp_directory_path() / ("wary-bench-" + std::to_string(std::random_device()()));
  const auto files = io::make_real_files();
  auto start = Clock::now();
  const Status saved = engine::save_image(snapshot, *files, path.string(), {.random = std::random_device()()});
  if (!saved.ok()) die("save: " + saved.error().to_string());
  figures.add(row + " image save", nanos_since(start) / 1e6, "ms");
  std::vector<double> opens;
  std::vector<double> firsts;
  for (int round = 0; round < 5; ++round) {
    start = Clock::now();
    const auto opened = need(engine::open_image(*files, path.string(), set.policies()), "open");
    opens.push_back(nanos_since(start) / 1e6);
    engine::Worker worker;
    start = Clock::now();
    const bool allowed = worker.decide(*opened.snapshot, requests[0], {}).is_allowed;
    firsts.push_back(nanos_since(start) / 1e3);
    if (allowed != engine::Worker().decide(snapshot, requests[0], {}).is_allowed) die("a decision differs");
  }
  figures.add(row + " image open", percentile(opens, 0.5), "ms");
  figures.add(row + " image first decision", percentile(firsts, 0.5), "us");
  const std::string content = read(path);
  figures.add(row + " image size", static_cast<double>(content.size()) / 1e6, "MB");
  start = Clock::now();
  const auto digest = crypto::sha256(as_bytes(content));
  figures.add(row + " image digest alone", nanos_since(start) / 1e6 + (digest[0] == digest[1] ? 1e-9 : 0), "ms");
  const auto opened = need(engine::open_image(*files, path.string(), set.policies()), "open");
  engine::Worker first;
  engine::Worker second;
  for (const cedar::Request& request : requests) {
    const engine::Answer& wanted = first.decide(snapshot, request, {});
    const engine::Answer& answer = second.decide(*opened.snapshot, request, {});
    if (answer.is_allowed != wanted.is_allowed || answer.reasons() != wanted.reasons()) die("a decision differs");
  }
  figures.add(row + " image uniform mixed", mixed(*opened.snapshot, requests, 5), "ns");
  fs::remove(path);
}

void b3(Figures& figures) {
  for (const std::size_t users : {1'000U, 10'000U, 100'000U, 500'000U}) {
    std::mt19937_64 random(users);
    const World world = b3_world(users, random);
    const cedar::PolicySet set = parse(b3_policies());
    const auto start = Clock::now();
    const auto snapshot = build(set, world.entities);
    const double built = nanos_since(start);
    const std::string row = "B3 " + number(world.entities.size()) + " entities";
    const auto count = static_cast<double>(world.entities.size());
    figures.add(row + " build", count / (built / 1e9) / 1e6, "M entities/s");
    figures.add(row + " memory", static_cast<double>(snapshot->entity_bytes()) / count, "B/entity");
    const Zipf zipf(users);
    for (const bool is_zipf : {true, false}) {
      std::vector<cedar::Request> requests;
      for (std::size_t i = 0; i < 200'000; ++i) {
        const auto pick = [&] { return is_zipf ? zipf(random) : random() % users; };
        cedar::Request request;
        request.principal = make_entity("U", "u" + number(pick()));
        request.action = make_entity("Action", random() % 4 == 0 ? "write" : "read");
        request.resource = make_entity("Doc", "d" + number(pick()));
        requests.push_back(std::move(request));
      }
      if (is_zipf) {
        Workload sample{"", world.entities, {requests.begin(), requests.begin() + 300}, {}};
        expect(sample, set, *snapshot);
      }
      const std::string stream = row + (is_zipf ? " zipf" : " uniform");
      figures.add(stream + " p50", percentile(one_by_one(*snapshot, requests), 0.5), "ns");
      figures.add(stream + " mixed", mixed(*snapshot, requests, 5), "ns");
      if (!is_zipf && users == 500'000U) {
        figures.add(row + " load", built / 1e6, "ms");
        b3_image(figures, row, set, *snapshot, requests);
      }
    }
  }
}

// ---- B4: change while deciding

// One policy of 10,000 is replaced by another.
void b4_policies(char kind, Figures& figures) {
  std::mt19937_64 random(5);
  constexpr std::uint32_t kPolicies = 10'000;
  Workload workload = b2_workload(kind, kPolicies, random);
  const cedar::PolicySet set = parse(workload.policies);
  auto current = build(set, workload.entities);
  expect(workload, set, *current);
  std::vector<std::uint32_t> numbers(kPolicies);
  std::iota(numbers.begin(), numbers.end(), 0U);
  std::vector<double> spent;
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    const std::size_t at = random() % kPolicies;
    const auto start = Clock::now();
    auto next =
        current->with({.added_policies = {{&set.policies()[at], kPolicies + i}}, .removed_policies = {numbers[at]}});
    spent.push_back(nanos_since(start) / 1000);
    current = need(std::move(next), "edit");
    numbers[at] = kPolicies + i;
  }
  engine::Worker worker;
  check(*current, workload, worker);
  const std::string name = std::string("B4 B2") + kind + ", 10,000 policies: one edited, ";
  figures.add(name + "p50", percentile(spent, 0.5), "us");
  figures.add(name + "p99", percentile(spent, 0.99), "us");
}

// One thread decides all the time while another changes an entity every millisecond: how long until a change is
// decided by, and what it does to the decisions of the first.
void b4(Figures& figures) {
  std::mt19937_64 random(4);
  const World world = b3_world(100'000, random);
  const cedar::PolicySet set = parse(b3_policies());
  auto current = build(set, world.entities);
  std::vector<double> spent;
  for (int i = 0; i < 2'000; ++i) {
    auto changed = std::make_shared<cedar::Entity>(*world.entities[world.entities.size() - 1 - random() % 100'000]);
    changed->attributes = {{"owner", cedar::Value::entity(make_entity("U", "u" + number(random() % 100'000)))}};
    const auto start = Clock::now();
    auto next = current->with({.upserts = {{changed.get(), {}}}});
    spent.push_back(nanos_since(start) / 1000);
    current = need(std::move(next), "change");
  }
  figures.add("B4 200,000 entities: one changed, p50", percentile(spent, 0.5), "us");
  figures.add("B4 200,000 entities: one changed, p99", percentile(spent, 0.99), "us");
  spent.clear();
  for (int i = 0; i < 200; ++i) {
    // A group of the upper levels moves: its closure and those of the groups in it.
    auto moved = std::make_shared<cedar::Entity>(*world.entities[200 + random() % 100]);
    moved->parents = {make_entity("Group", "g" + number(random() % 100))};
    const auto start = Clock::now();
    auto next = current->with({.upserts = {{moved.get(), {}}}});
    spent.push_back(nanos_since(start) / 1000);
    current = need(std::move(next), "move");
  }
  figures.add("B4 200,000 entities: a group moved, p50", percentile(spent, 0.5), "us");
  figures.add("B4 200,000 entities: a group moved, p99", percentile(spent, 0.99), "us");
  for (const char kind : {'a', 'b'}) b4_policies(kind, figures);
}

int run(int argc, char** argv) {
  const std::string verb = argc > 2 ? argv[1] : "";
  if (verb == "make") {
    make_oopsla(argc > 3 ? argv[3] : "", argv[2]);
    for (const char kind : {'a', 'b'}) {
      for (const std::size_t policies : {1'000U, 10'000U}) {
        std::mt19937_64 random(policies);
        write_workload(fs::path(argv[2]) / ("B2" + std::string(1, kind) + "-" + number(policies)),
                       b2_workload(kind, policies, random));
      }
    }
    return 0;
  }
  if (verb == "run") {
    run_workloads(argv[2]);
    return 0;
  }
  if (verb != "own") {
    std::fprintf(stderr, "usage: cedar_bench make DIR [TESTDATA/policy] | run DIR | own FIGURES\n");
    return 2;
  }
  Figures figures;
  const char* part = std::getenv("WARY_BENCH_PART");  // b2, b3 or b4 alone
  const auto wanted = [&](std::string_view name) { return part == nullptr || name == part; };
  if (wanted("b2")) b2(figures);
  if (wanted("b3")) b3(figures);
  if (wanted("b4")) b4(figures);
  figures.write(argv[2]);
  return 0;
}

}  // namespace
}  // namespace wary::bench

int main(int argc, char** argv) { return wary::bench::run(argc, argv); }
