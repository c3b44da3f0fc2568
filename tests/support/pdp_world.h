// A decision point over a snapshot of a test's own: what a test needs to ask the plugs without processes.
#pragma once

#include <map>

#include "pdp/authority.h"
#include "policy/decide.h"

namespace wary::test {

class SnapshotAuthority final : public pdp::Authority {
 public:
  explicit SnapshotAuthority(policy::SnapshotPtr snapshot) : snapshot_(std::move(snapshot)) {}
  policy::SnapshotPtr snapshot() override { return snapshot_; }
  UnixTime now() override { return now_; }
  contract::Decision decide(const pdp::Question& question) override {
    asked.push_back(question);
    contract::Decision out = consider(question);
    out.id = "d" + std::to_string(asked.size());
    return out;
  }
  contract::Decision consider(const pdp::Question& question) override {
    return policy::decide(snapshot_, question.request, now_, {"", question.obligations});
  }
  bool record_search(const pdp::Question&, std::string_view searched, std::size_t found) override {
    searches.emplace_back(std::string(searched), found);
    return is_recording;
  }
  enforce::Point::Subject identify(std::string_view token, std::string_view, std::string_view spiffe) override {
    if (!spiffe.empty()) return {{"Wary::Workload", std::string(spiffe)}, std::nullopt, false};
    if (token == "of-alice") return {{"Wary::User", "alice"}, contract::EntityId{"Wary::Session", "s1"}, false};
    return {{"Wary::Anonymous", "anonymous"}, std::nullopt, true};
  }
  std::optional<contract::EntityId> resource_of(std::string_view host, std::string_view path) override {
    if (host.substr(0, host.rfind(':')) != "site.localhost") return std::nullopt;
    return path.starts_with("/kept") ? contract::EntityId{"Wary::Route", "test/kept"}
                                     : contract::EntityId{"Wary::App", "test/site"};
  }

  void set(policy::SnapshotPtr snapshot) { snapshot_ = std::move(snapshot); }
  std::vector<pdp::Question> asked;
  std::vector<std::pair<std::string, std::size_t>> searches;
  bool is_recording = true;

 private:
  policy::SnapshotPtr snapshot_;
  UnixTime now_{1'000 * kNanosPerSecond};
};

inline contract::Entity entity_of(std::string_view type, std::string_view id,
                                  std::vector<std::pair<std::string, codec::Json>> facts = {}) {
  contract::Entity out;
  out.tenant = "local";
  out.id = {std::string(type), std::string(id)};
  for (auto& [name, value] : facts) out.attributes.push_back({name, std::move(value), "test", {}, {}, {}});
  return out;
}

inline Result<policy::SnapshotPtr> snapshot_of(std::string_view cedar, std::vector<contract::Entity> entities,
                                               std::uint64_t revision = 7) {
  policy::SnapshotContent content;
  content.revision = revision;
  content.policies = {{"main", std::string(cedar), "main.cedar", 1}};
  content.entities = std::move(entities);
  return policy::build_snapshot(content, UnixTime{1'000 * kNanosPerSecond}, 1);
}

inline std::string header_of(const pdp::Answer& answer, std::string_view name) {
  for (const auto& [key, value] : answer.headers) {
    if (key == name) return value;
  }
  return "";
}

}  // namespace wary::test
