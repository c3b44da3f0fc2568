// bench policy: what a decision costs. 20 policies, 1,000 entities, one thread, the request already built; then the
// same with 100,000 entities, the cost of changing one of them, and the published OOPSLA applications where they are
// present.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "policy/decide.h"
#include "policy/explain.h"

namespace {

using namespace wary;
using codec::Json;

contract::Fact fact(std::string_view name, Json value) {
  contract::Fact out;
  out.name = name;
  out.value = std::move(value);
  out.source = "bench";
  return out;
}

contract::Entity entity(std::string_view type, std::string id, std::vector<contract::Fact> facts,
                        std::vector<contract::EntityId> parents) {
  contract::Entity out;
  out.tenant = "local";
  out.id = {std::string(type), std::move(id)};
  out.attributes = std::move(facts);
  out.parents = std::move(parents);
  return out;
}

// 20 policies of the kinds an application has: by group and route, by owner, by time and posture, with exceptions.
std::string policy_text() {
  std::string out;
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    out += "permit (principal in Wary::Group::\"g" + n +
           "\", action in Wary::Action::\"read\", resource in Wary::App::\"app" + n + "\");\n";
  }
  for (int i = 0; i < 4; ++i) {
    const std::string n = std::to_string(i);
    out += "permit (principal is Wary::User, action == Wary::Action::\"post\", resource in Wary::App::\"app" + n +
           "\") when { resource has owner && resource.owner == principal };\n";
  }
  out +=
      "permit (principal, action in Wary::Action::\"write\", resource) when { principal.level > 5 && context.mfa };\n";
  out += "permit (principal is Wary::Workload, action, resource) when { context.path like \"/api/*\" };\n";
  out += "forbid (principal, action, resource) unless { ip(context.ip).isInRange(ip(\"10.0.0.0/8\")) };\n";
  out +=
      "forbid (principal, action in Wary::Action::\"write\", resource) when { principal has risk && principal.risk > "
      "50 };\n";
  return out;
}

policy::SnapshotContent content(int users) {
  policy::SnapshotContent out;
  out.revision = 1;
  out.policies = {{"main", policy_text(), "main.cedar", 1}};
  for (int i = 0; i < 12; ++i) {
    out.entities.push_back(entity("Wary::Group", "g" + std::to_string(i), {}, {{"Wary::Group", "all"}}));
    out.entities.push_back(entity("Wary::App", "app" + std::to_string(i), {}, {}));
  }
  for (const char* action : {"get", "head"})
    out.entities.push_back(entity("Wary::Action", action, {}, {{"Wary::Action", "read"}}));
  for (const char* action : {"post", "put"})
    out.entities.push_back(entity("Wary::Action", action, {}, {{"Wary::Action", "write"}}));
  for (int i = 0; i < users; ++i) {
    out.entities.push_back(
        entity("Wary::User", "user" + std::to_string(i), {fact("level", i % 10), fact("risk", i % 100)},
               {{"Wary::Group", "g" + std::to_string(i % 12)}, {"Wary::Group", "g" + std::to_string(i % 7)}}));
    if (i % 2 == 0)
      out.entities.push_back(
          entity("Wary::Route", "route" + std::to_string(i), {}, {{"Wary::App", "app" + std::to_string(i % 12)}}));
  }
  out.entities.push_back(entity("Wary::Session", "s", {fact("active", true)}, {}));
  return out;
}

std::vector<contract::Request> requests(int users) {
  std::vector<contract::Request> out;
  for (int i = 0; i < 1000; ++i) {
    const int user = static_cast<int>(static_cast<unsigned>(i) * 2654435761U % static_cast<unsigned>(users));
    Json context = Json::object({{"ip", Json("10.1.2.3")}, {"mfa", Json(true)}, {"path", Json("/api/v1/query")}});
    context.set("session",
                Json::object({{"__entity", Json::object({{"type", Json("Wary::Session")}, {"id", Json("s")}})}}));
    out.push_back({"local",
                   {"Wary::User", "user" + std::to_string(user)},
                   {"Wary::Action", i % 4 == 0 ? "post" : "get"},
                   {"Wary::Route", "route" + std::to_string(user / 2 * 2)},
                   std::move(context)});
  }
  return out;
}

// There is no peer for these: what a decision costs is compared in the edge's bench, where it is part of a request.
codec::Json figures = codec::Json::array();
void add_figure(std::string name, double value, std::string_view unit) {
  figures.push(codec::Json::object({{"name", name},
                                    {"value", value},
                                    {"unit", unit},
                                    {"peer", codec::Json()},
                                    {"peer_value", codec::Json()},
                                    {"ratio", codec::Json()}}));
}

double nanos_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

void decisions(const char* name, int users) {
  const auto snapshot = policy::build_snapshot(content(users), {}, 1);
  if (!snapshot.ok()) {
    std::printf("%s: %s\n", name, snapshot.error().to_string().c_str());
    return;
  }
  const auto asked = requests(users);
  const policy::DecideOptions options{.decision_id = "", .known_obligations = {"step-up"}};
  std::vector<double> each;
  std::size_t allowed = 0;
  for (int round = 0; round < 21; ++round) {
    for (const auto& request : asked) {
      const auto start = std::chrono::steady_clock::now();
      allowed += policy::decide(**snapshot, request, {1}, options).is_allowed() ? 1U : 0U;
      if (round > 0) each.push_back(nanos_since(start));
    }
  }
  std::sort(each.begin(), each.end());
  std::printf("%-28s %6.0f ns p50  %6.0f ns p99  %zu of %zu allowed\n", name, each[each.size() / 2],
              each[each.size() * 99 / 100], allowed / 21, asked.size());
  add_figure(std::string(name) + ", p50", each[each.size() / 2], "ns");
  add_figure(std::string(name) + ", p99", each[each.size() * 99 / 100], "ns");
}

// 500 deltas one after another; `fill` says what each changes.
template <typename Fill>
void apply_deltas(const std::string& name, policy::SnapshotPtr current, Fill fill) {
  std::vector<double> each;
  for (int i = 0; i < 500; ++i) {
    policy::SnapshotDelta delta;
    delta.from = current->revision();
    delta.to = delta.from + 1;
    fill(i, delta);
    const auto start = std::chrono::steady_clock::now();
    auto next = policy::apply_delta(*current, delta, {});
    each.push_back(nanos_since(start));
    if (!next.ok()) {
      std::printf("%s: %s\n", name.c_str(), next.error().to_string().c_str());
      return;
    }
    current = *next;
  }
  std::sort(each.begin(), each.end());
  const double p50 = each[each.size() / 2] / 1000;
  const double p99 = each[each.size() * 99 / 100] / 1000;
  std::printf("%-28s %6.0f us p50  %6.0f us p99\n", name.c_str(), p50, p99);
  add_figure(name + ", p50", p50, "us");
  add_figure(name + ", p99", p99, "us");
}

void change(int users) {
  const auto snapshot = policy::build_snapshot(content(users), {}, 1);
  if (!snapshot.ok()) return;
  apply_deltas("change one of 100,000", *snapshot, [](int i, policy::SnapshotDelta& delta) {
    delta.upserts = {entity("Wary::User", "user" + std::to_string(i), {fact("level", i), fact("revoked", true)},
                            {{"Wary::Group", "g1"}})};
  });
}

// One text of 10,000 changes: parsed, compiled, indexed, hashed.
void edit(int texts) {
  policy::SnapshotContent made = content(650);
  const auto text_of = [](int i, int edition) {
    const std::string n = std::to_string(i);
    return policy::PolicyText{"team/p" + n,
                              "permit (principal in Wary::Group::\"t" + n +
                                  "\", action in Wary::Action::\"read\", resource in Wary::App::\"app" + n +
                                  "\") when { principal.level > " + std::to_string(edition) + " };\n",
                              "p.cedar", 1};
  };
  for (int i = 0; i < texts; ++i) made.policies.push_back(text_of(i, 0));
  const auto snapshot = policy::build_snapshot(made, {}, 1);
  if (!snapshot.ok()) return;
  apply_deltas("edit one policy of 10,000", *snapshot,
               [&](int i, policy::SnapshotDelta& delta) { delta.policy_upserts = {text_of(i * 17 % texts, i)}; });
}

}  // namespace

int main(int argc, char** argv) {
  decisions("decide, 1,000 entities", 650);
  decisions("decide, 100,000 entities", 66'000);
  change(66'000);
  edit(10'000);
  // The figures alone: who runs it adds commit and machine.
  if (argc > 1) std::ofstream(argv[1]) << figures.to_string() << "\n";
  return 0;
}
