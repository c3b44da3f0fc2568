// Running the published Cedar cases: a case file names policies, entities and requests with the expected answers.
#pragma once
#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cedar/authorizer.h"
#include "cedar/json.h"
#include "cedar/parser.h"
#include "tests/support/testdata.h"

namespace wary::test {

struct CorpusCount {
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::size_t skipped = 0;
  std::vector<std::string> notes;  // one line a failure or skip, the first few
  // Another engine: for policies and entities a check of requests, which says what differs from the tree walker's
  // response, or nothing.
  using Check = std::function<std::string(const cedar::Request&, const cedar::Response&)>;
  std::function<Check(const cedar::PolicySet&, const cedar::EntityStore&)> other_engine;

  void check(bool is_right, const std::string& line) {
    if (is_right)
      ++passed;
    else
      fail(line);
  }
  void note(const std::string& line) {
    if (notes.size() < 40) notes.push_back(line);
  }
  void fail(const std::string& line, std::size_t count = 1) {
    failed += count;
    note("FAIL " + line);
  }
};

constexpr Limits kCorpusLimits{.bytes = std::size_t{256} << 20, .depth = 200, .items = 1'000'000, .total = 100'000'000};

inline std::vector<std::string> string_list(const codec::Json* json) {
  std::vector<std::string> out;
  if (json != nullptr && json->is_array()) {
    for (const codec::Json& item : json->items()) out.push_back(item.as_string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// A file that a case names: beside the case by base name, or below one of the folders above it.
inline std::optional<std::string> read_named(const std::filesystem::path& case_file, std::string_view name) {
  const std::filesystem::path relative{std::string(name)};
  if (auto text = read_file((case_file.parent_path() / relative.filename()).string())) return text;
  for (std::filesystem::path folder = case_file.parent_path(); folder.has_relative_path();
       folder = folder.parent_path()) {
    if (auto text = read_file((folder / relative).string())) return text;
  }
  return std::nullopt;
}

// Compares one request; with `decision_only` the ids are not looked at.
inline void run_corpus_request(const std::string& place, const cedar::PolicySet& policies,
                               const cedar::EntityStore& store, const codec::Json& json, bool decision_only,
                               const CorpusCount::Check& check, CorpusCount& count) {
  cedar::Request request;
  const auto uid = [&](std::string_view name, cedar::EntityPtr& out) {
    const codec::Json* member = json.find(name);
    auto parsed = member != nullptr ? cedar::entity_uid_from_json(*member)
                                    : Result<cedar::EntityPtr>(wary::fail(ErrorKind::kInvalid, "missing", name));
    if (parsed.ok())
      out = *parsed;
    else
      count.fail(place + ": " + parsed.error().to_string());
    return parsed.ok();
  };
  if (!uid("principal", request.principal) || !uid("action", request.action) || !uid("resource", request.resource))
    return;
  const codec::Json* context_json = json.find("context");
  auto context = context_json != nullptr ? cedar::value_from_json(*context_json) : cedar::Value::record({});
  if (!context.ok() || context->as_record() == nullptr) return count.fail(place + ": context");
  request.context = *context;
  cedar::StoreView view(store);
  const cedar::Response response = cedar::is_authorized(policies, request, view);
  std::vector<std::string> reasons = response.reasons;
  std::vector<std::string> errors;
  for (const auto& failure : response.errors) errors.push_back(failure.policy_id);
  std::sort(reasons.begin(), reasons.end());
  std::sort(errors.begin(), errors.end());
  const bool allowed = json.string_or("decision", "") == "allow";
  const bool same_ids =
      decision_only || (reasons == string_list(json.find("reason")) && errors == string_list(json.find("errors")));
  if (const std::string difference = check ? check(request, response) : std::string(); !difference.empty()) {
    return count.fail(place + ": " + difference);
  }
  if (response.is_allowed == allowed && same_ids) {
    ++count.passed;
  } else {
    count.fail(place + (response.is_allowed == allowed ? ": reasons or errors differ" : ": the decision differs"));
  }
}

// In the handwritten cases entity attributes are {"type","id"} and only the schema tells that they are entities:
// written out here, below "attrs", as the schema would have it.
inline void write_entities_out(codec::Json& json, bool in_attributes) {
  if (json.is_array()) {
    for (codec::Json& item : json.items()) write_entities_out(item, in_attributes);
  } else if (json.is_object() && in_attributes && json.members().size() == 2 && json.find("type") && json.find("id")) {
    json = codec::Json::object({{"__entity", json}});
  } else if (json.is_object()) {
    for (auto& [name, member] : json.members()) write_entities_out(member, in_attributes || name == "attrs");
  }
}

inline void run_corpus_requests(const std::string& place, std::string_view policy_text, std::string_view entity_text,
                                const std::vector<codec::Json>& requests, bool decision_only,
                                const std::vector<cedar::EntityHandle>& more_entities, bool is_handwritten,
                                CorpusCount& count) {
  const auto parsed = cedar::parse_policies(cedar::Source::make(place, policy_text));
  if (!parsed.errors.empty()) return count.fail(parsed.errors.front().error.to_string(), requests.size());
  auto json = codec::parse_json(entity_text, kCorpusLimits);
  if (!json.ok()) return count.fail(place + ": " + json.error().to_string(), requests.size());
  if (is_handwritten) write_entities_out(*json, false);
  auto entities = cedar::entities_from_json(*json);
  if (!entities.ok()) return count.fail(place + ": " + entities.error().to_string(), requests.size());
  entities->insert(entities->end(), more_entities.begin(), more_entities.end());
  auto store = cedar::EntityStore::make(std::move(*entities));
  if (!store.ok()) return count.fail(place + ": " + store.error().to_string(), requests.size());
  const auto policies = cedar::PolicySet::from(parsed.policies);
  const CorpusCount::Check check = count.other_engine ? count.other_engine(policies, *store) : CorpusCount::Check();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    run_corpus_request(place + " request " + std::to_string(i), policies, *store, requests[i], decision_only, check,
                       count);
  }
}

inline bool is_corpus_case(const codec::Json& json) {
  return json.is_object() && json.find("policies") != nullptr && json.find("entities") != nullptr &&
         json.find("requests") != nullptr;
}

// False when the file is no case.
inline bool run_corpus_case(const std::filesystem::path& file, CorpusCount& count) {
  const auto text = read_file(file.string());
  const auto json = codec::parse_json(text.value_or(""), kCorpusLimits);
  if (!json.ok() || !is_corpus_case(*json) || !json->find("policies")->is_string() ||
      !json->find("entities")->is_string()) {
    return false;
  }
  const auto policies = read_named(file, json->string_or("policies", ""));
  const auto entities = read_named(file, json->string_or("entities", ""));
  const auto& requests = json->find("requests")->items();
  if (!policies || !entities) {
    count.skipped += requests.size();
    count.note("skip " + file.string() + ": the files it names are not there");
    return true;
  }
  const bool is_handwritten = json->string_or("entities", "").starts_with("sample-data/");
  run_corpus_requests(file.string(), *policies, *entities, requests, false, {}, is_handwritten, count);
  return true;
}

// The action hierarchy of the github application stands in its schema, which entities do not carry.
inline std::vector<cedar::EntityHandle> github_actions() {
  const std::vector<std::string> order = {"read", "triage", "write", "maintain", "admin"};
  std::vector<cedar::EntityHandle> out;
  for (std::size_t i = 0; i < order.size(); ++i) {
    auto action = std::make_shared<cedar::Entity>();
    action->uid = cedar::make_entity("Action", order[i]);
    if (i + 1 < order.size()) action->parents.push_back(cedar::make_entity("Action", order[i + 1]));
    out.push_back(std::move(action));
  }
  return out;
}

// APP.N.H.requests.json beside APP.N.H.entities.json. Decisions only: ids differ between implementations there.
inline void run_oopsla_case(const std::filesystem::path& requests_file, const std::string& policies,
                            CorpusCount& count) {
  std::string entities_file = requests_file.string();
  entities_file.replace(entities_file.rfind(".requests.json"), std::string::npos, ".entities.json");
  const auto requests = codec::parse_json(read_file(requests_file.string()).value_or(""), kCorpusLimits);
  const auto entities = read_file(entities_file);
  if (!requests.ok() || !requests->is_array() || !entities) return count.fail(requests_file.string() + ": unreadable");
  const bool is_github = requests_file.filename().string().starts_with("github.");
  run_corpus_requests(requests_file.string(), policies, *entities, requests->items(), true,
                      is_github ? github_actions() : std::vector<cedar::EntityHandle>(), false, count);
}

}  // namespace wary::test
