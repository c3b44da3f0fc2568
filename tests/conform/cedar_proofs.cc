// conform_cedar_proofs DIR [EVERY]: proofs against the published Cedar requests: for every EVERY-th case whose policies
// validate, what is proved of all requests must be so of those that are published, for stores that hold whatever they
// name. A counter-example counts as passed, for it was replayed; `unknown` is counted as skipped, with its reason.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "analysis/prove.h"
#include "schema/conformance.h"
#include "schema/validator.h"
#include "tests/support/archive.h"
#include "tests/support/cedar_corpus.h"

namespace wary::test {
namespace {

namespace fs = std::filesystem;
using analysis::Question;
using analysis::Verdict;

bool is_held(const cedar::EntityStore& store, const cedar::Value& value) {
  if (const cedar::EntityPtr* uid = value.as_entity()) return store.find(**uid) != nullptr;
  if (const cedar::Value::Set* set = value.as_set()) {
    return std::all_of(set->begin(), set->end(), [&](const cedar::Value& one) { return is_held(store, one); });
  }
  const cedar::Value::Record* record = value.as_record();
  return record == nullptr ||
         std::all_of(record->begin(), record->end(), [&](const auto& member) { return is_held(store, member.second); });
}

bool is_whole(const cedar::EntityStore& store) {
  bool whole = true;
  store.for_each([&](const cedar::EntityHandle& entity) {
    for (const cedar::EntityPtr& parent : entity->parents) whole = whole && store.find(*parent) != nullptr;
    for (const auto& [name, value] : entity->attributes) whole = whole && is_held(store, value);
    for (const auto& [name, value] : entity->tags) whole = whole && is_held(store, value);
  });
  return whole;
}

class Proofs {
 public:
  void take(const fs::path& file) {
    const auto json = codec::parse_json(read_file(file.string()).value_or(""), kCorpusLimits);
    if (!json.ok() || !is_corpus_case(*json) || !json->find("policies")->is_string()) return;
    const auto text = read_named(file, json->string_or("schema", ""));
    const auto policies = read_named(file, json->string_or("policies", ""));
    const auto entities = read_named(file, json->string_or("entities", ""));
    if (!text || !policies || !entities) return;
    const auto made = schema::Schema::from_text("schema", *text);
    const auto parsed = cedar::parse_policies(cedar::Source::make("policies", *policies));
    const auto entity_json = codec::parse_json(*entities, kCorpusLimits);
    if (!made.schema || !parsed.errors.empty() || !entity_json.ok()) return;
    const auto set = cedar::PolicySet::from(parsed.policies);
    const auto read = schema::entities_from_json(*made.schema, *entity_json);
    if (!read.ok() || !schema::validate(*made.schema, set).is_valid()) return;
    const auto store = cedar::EntityStore::make(*read);
    if (!store.ok() || !is_whole(*store)) return;
    ++cases_;
    std::vector<Asked> asked;
    for (const codec::Json& request : json->find("requests")->items()) add(*made.schema, set, *store, request, asked);
    ask(file.filename().string(), *made.schema, asked);
  }

  int close() const {
    for (const auto& [reason, count] : reasons_) std::printf("unknown, %zu times: %s\n", count, reason.c_str());
    std::printf("%zu cases; %zu proved, %zu shown false\n", cases_, proved_, shown_);
    std::printf("%zu passed, %zu failed, %zu skipped\n", proved_ + shown_, failed_, unknown_);
    return failed_ == 0 && proved_ > 0 ? 0 : 1;
  }

 private:
  struct Asked {
    Question question;
    bool is_contradicted = false;  // by a published request
  };

  void add(const schema::Schema& schema, const cedar::PolicySet& set, const cedar::EntityStore& store,
           const codec::Json& json, std::vector<Asked>& asked) {
    cedar::Request request;
    request.principal = cedar::entity_uid_from_json(*json.find("principal")).value();
    request.action = cedar::entity_uid_from_json(*json.find("action")).value();
    request.resource = cedar::entity_uid_from_json(*json.find("resource")).value();
    const schema::Action* action = schema.find_action(*request.action);
    if (action == nullptr) return;
    const auto context = schema::context_from_json(schema, *json.find("context"), *action);
    if (!context.ok()) return;
    request.context = *context;
    if (!schema::validate_request(schema, request).ok() || !is_held(store, request.context) ||
        store.find(*request.principal) == nullptr || store.find(*request.resource) == nullptr) {
      return;
    }
    const schema::Environment environment{schema.find_entity_type(request.principal->type), action,
                                          schema.find_entity_type(request.resource->type)};
    std::vector<const cedar::Policy*> all;
    for (const cedar::Policy& policy : set.policies()) all.push_back(&policy);
    cedar::StoreView view(store);
    const cedar::Response response = cedar::is_authorized(set, request, view);
    const bool matches = std::any_of(all.begin(), all.end(), [&](const cedar::Policy* policy) {
      return cedar::Evaluator(request, view).evaluate(*policy) == cedar::Outcome::kSatisfied;
    });
    const std::array<bool, 4> contradicts = {!response.is_allowed, response.is_allowed, !response.errors.empty(),
                                             matches};
    using Kind = Question::Kind;
    constexpr std::array<Kind, 4> kKinds = {Kind::kAlwaysAllows, Kind::kAlwaysDenies, Kind::kNeverErrors,
                                            Kind::kNeverMatches};
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
      const auto is_it = [&](const Asked& one) {
        const schema::Environment& other = one.question.environment;
        return one.question.kind == kKinds[i] && other.principal == environment.principal &&
               other.action == environment.action && other.resource == environment.resource;
      };
      auto at = std::find_if(asked.begin(), asked.end(), is_it);
      if (at == asked.end())
        at = asked.insert(at, {{kKinds[i], environment, all, {}, false, analysis::Rule::kCedar}, false});
      at->is_contradicted = at->is_contradicted || contradicts[i];
    }
  }

  void ask(const std::string& place, const schema::Schema& schema, const std::vector<Asked>& asked) {
    std::vector<Question> questions;
    for (const Asked& one : asked) questions.push_back(one.question);
    const auto answers = analysis::prove(schema, questions, {.question_ms = 2'000, .worker = {}});
    for (std::size_t i = 0; i < answers.size(); ++i) count(place, i % 4, answers[i], asked[i].is_contradicted);
  }

  void count(const std::string& place, std::size_t question, const analysis::Answer& answer, bool contradicts) {
    if (answer.verdict == Verdict::kFails) ++shown_;
    if (answer.verdict == Verdict::kUnknown) {
      ++unknown_;
      ++reasons_[answer.reason.substr(0, 100)];
    }
    if (answer.verdict != Verdict::kHolds) return;
    if (!contradicts) {
      ++proved_;
      return;
    }
    ++failed_;
    std::printf("FAIL %s: question %zu is proved, and a published request shows otherwise\n", place.c_str(), question);
  }

  std::size_t cases_ = 0, proved_ = 0, shown_ = 0, failed_ = 0, unknown_ = 0;
  std::map<std::string, std::size_t> reasons_;
};

void run_folder(const fs::path& folder, std::size_t every, Proofs& proofs) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::size_t number = 0;
  for (const fs::path& file : files) {
    const std::string name = file.filename().string();
    if (name.ends_with(".tar.zst") || name.ends_with(".tar.gz")) {
      const UnpackedArchive archive(file.string());
      if (archive.ok()) run_folder(archive.path(), every, proofs);
    } else if (name.ends_with(".json") && name.find('.') == name.size() - 5 && number++ % every == 0) {
      proofs.take(file);
    }
  }
}

}  // namespace
}  // namespace wary::test

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: conform_cedar_proofs DIR [EVERY]\n");
    return 2;
  }
  wary::test::Proofs proofs;
  wary::test::run_folder(argv[1], argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 16, proofs);
  return proofs.close();
}
