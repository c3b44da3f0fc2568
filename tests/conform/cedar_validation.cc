#include "tests/conform/cedar_validation.h"

#include <cstdio>
#include <set>

#include "schema/conformance.h"
#include "schema/validator.h"

namespace wary::test {

namespace {

namespace fs = std::filesystem;
using codec::Json;
using schema::Schema;

std::string first_error(const schema::SchemaResult& result) {
  return result.errors.empty() ? std::string() : result.errors.front().error.to_string();
}

// The kinds of the errors that a file lists as sentences.
std::set<std::string> kinds_of(const Json* sentences) {
  struct Known {
    std::string_view words;
    std::string_view kind;
  };
  constexpr Known kKnown[] = {
      {"empty set literals are forbidden", "EmptySetForbidden"},
      {"safety of access to tag", "UnsafeTagAccess"},
      {"safety of access to optional attribute", "UnsafeOptionalAttributeAccess"},
      {"extension function argument validation", "FunctionArgumentValidation"},
      {"unrecognized entity type", "UnrecognizedEntityType"},
      {"unrecognized action", "UnrecognizedActionId"},
      {"unable to find an applicable action", "InvalidActionApplication"},
      {"may not be called with non-literal", "NonLitExtConstructor"},
      {"wrong number of arguments", "WrongNumberArguments"},
      {"unexpected type", "UnexpectedType"},
      {"not compatible", "IncompatibleTypes"},
      {" not found", "UnsafeAttributeAccess"},
  };
  std::set<std::string> out;
  if (sentences == nullptr || !sentences->is_array()) return out;
  for (const Json& sentence : sentences->items()) {
    std::string_view kind = "?";
    for (const Known& known : kKnown) {
      if (sentence.as_string().find(known.words) == std::string::npos) continue;
      kind = known.kind;
      break;
    }
    out.emplace(kind);
  }
  return out;
}

std::string joined(const std::set<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ",") + name;
  return out.empty() ? "none" : out;
}

struct PolicyFindings {
  bool is_valid = true;
  std::set<std::string> kinds;  // of errors
};

std::map<std::string, PolicyFindings> findings_by_policy(const schema::Validation& validation) {
  std::map<std::string, PolicyFindings> out;
  for (const schema::Finding& finding : validation.findings) {
    if (finding.is_warning) continue;
    PolicyFindings& policy = out[finding.policy_id];
    policy.is_valid = false;
    policy.kinds.emplace(schema::to_string(finding.kind));
  }
  return out;
}

void check_policies(const std::string& place, const schema::Validation& validation, const Json& expected,
                    CorpusCount& verdicts, CorpusCount& kinds) {
  const auto found = findings_by_policy(validation);
  const Json* policies = expected.find("perPolicy");
  if (policies == nullptr) return;
  for (const auto& [id, policy] : policies->members()) {
    const auto at = found.find(id);
    const PolicyFindings findings = at != found.end() ? at->second : PolicyFindings();
    verdicts.check(findings.is_valid == policy.bool_or("strict", true), place + " " + id + ": strict validation");
    const std::set<std::string> wanted = kinds_of(policy.find("strictErrors"));
    kinds.check(findings.kinds == wanted,
                place + " " + id + ": expected " + joined(wanted) + ", found " + joined(findings.kinds));
  }
}

// The request, when it fits the schema.
std::optional<cedar::Request> valid_request(const Schema& schema, const Json& json) {
  cedar::Request request;
  for (const auto& [name, out] :
       {std::pair{"principal", &request.principal}, {"action", &request.action}, {"resource", &request.resource}}) {
    const Json* member = json.find(name);
    auto uid = member != nullptr ? cedar::entity_uid_from_json(*member)
                                 : Result<cedar::EntityPtr>(fail(ErrorKind::kInvalid, "", ""));
    if (!uid.ok()) return std::nullopt;
    *out = *uid;
  }
  const schema::Action* action = schema.find_action(*request.action);
  if (const Json* context = json.find("context"); context != nullptr && action != nullptr) {
    auto value = schema::context_from_json(schema, *context, *action);
    if (!value.ok()) return std::nullopt;
    request.context = *value;
  }
  if (!schema::validate_request(schema, request).ok()) return std::nullopt;
  return request;
}

// What validation promises: a policy that passed fails on a request that fits by nothing but overflow, a call that
// cannot be answered, or an entity that is not there.
bool is_sound(const cedar::PolicySet& policies, const cedar::EntityStore& store, const cedar::Request& request) {
  cedar::StoreView view(store);
  const cedar::Response response = cedar::is_authorized(policies, request, view);
  return std::all_of(response.errors.begin(), response.errors.end(), [](const auto& failure) {
    using Kind = cedar::EvalErrorKind;
    return failure.error.kind == Kind::kIntegerOverflow || failure.error.kind == Kind::kEntityDoesNotExist ||
           failure.error.kind == Kind::kFailedExtensionFunctionExecution;
  });
}

std::optional<Json> read_json(const fs::path& file) {
  const auto text = read_file(file.string());
  auto json = codec::parse_json(text.value_or(""), kCorpusLimits);
  if (!json.ok()) return std::nullopt;
  return std::move(*json);
}

fs::path beside(const fs::path& file, std::string_view suffix) {
  const std::string name = file.filename().string();
  return file.parent_path() / (name.substr(0, name.find('.')) + std::string(suffix));
}

std::string entity_name(const Json& entity) {
  const Json* uid = entity.find("uid");
  if (uid == nullptr) return {};
  if (const Json* escaped = uid->find("__entity")) uid = escaped;
  return std::string(uid->string_or("type", "")) + "::" + std::string(uid->string_or("id", ""));
}

void check_entities(const std::string& place, const Schema& schema, const Json& entities, const Json* expected,
                    CorpusCount& count) {
  if (expected == nullptr) {
    const auto read = schema::entities_from_json(schema, entities);
    count.check(read.ok() && schema::validate_entities(schema, *read).ok(),
                place + ": entities: " + (read.ok() ? "refused together" : read.error().to_string()));
    return;
  }
  for (const Json& entity : entities.items()) {
    const Json* verdict = expected->find(entity_name(entity));
    if (verdict == nullptr) continue;
    const auto read = schema::entity_from_json(schema, entity);
    count.check(read.ok() == (verdict->find("errors") == nullptr),
                place + " " + entity_name(entity) + ": " + (read.ok() ? "accepted" : read.error().to_string()));
  }
}

// The text form and its published JSON form mean the same, and the one converts into the other.
void check_json_form(const std::string& place, const schema::ParsedDeclarations& parsed, const Schema& schema,
                     const Json& json, CorpusCount& count) {
  const schema::SchemaResult other = Schema::from_json(json);
  count.check(other.schema && *other.schema == schema, place + ": the JSON schema differs " + first_error(other));
  count.check(schema::to_json(*parsed.declarations).to_canonical_string() == json.to_canonical_string(),
              place + ": the schema written as JSON differs");
  const auto text = schema::to_text(*parsed.declarations);
  const schema::SchemaResult again = text.ok() ? Schema::from_text("again", *text) : schema::SchemaResult();
  count.check(again.schema && *again.schema == schema,
              place + ": the schema written as text differs " + first_error(again));
}

}  // namespace

void CedarValidation::take_case(const fs::path& file, const Json& json) {
  const std::string place = file.string();
  const auto policies = read_named(file, json.string_or("policies", ""));
  const auto schema_text = read_named(file, json.string_or("schema", ""));
  const auto entities = read_named(file, json.string_or("entities", ""));
  if (!policies || !schema_text || json.find("shouldValidate") == nullptr) return;
  const auto parsed = schema::parse_schema(cedar::Source::make(place, *schema_text));
  schema::SchemaResult made = Schema::from_text(place, *schema_text);
  counts_["schemas"].check(made.schema.has_value(), place + ": " + first_error(made));
  if (!made.schema) return;
  const Schema& schema = *made.schema;
  const auto bodies = cedar::parse_policies(cedar::Source::make(place, *policies));
  const cedar::PolicySet policy_set = cedar::PolicySet::from(bodies.policies);
  const schema::Validation validation = schema::validate(schema, policy_set);
  const bool is_valid = bodies.errors.empty() && validation.is_valid();
  // There `shouldValidate` is about policies and entities together, in permissive mode; verdicts by policy follow.
  if (file.parent_path().filename() != "validator-cases")
    counts_["policy sets"].check(
        is_valid == json.bool_or("shouldValidate", true),
        place + ": shouldValidate " +
            (validation.findings.empty() ? "" : validation.findings.front().error.to_string()));
  const auto verdicts = read_json(beside(file, ".validation.json"));
  const Json* per_entity = nullptr;
  const Json* per_request = nullptr;
  if (verdicts) {
    check_policies(place, validation, *verdicts->find("policyValidation"), counts_["policies"],
                   counts_["kinds of errors"]);
    if (const Json* found = verdicts->find("entityValidation")) per_entity = found->find("perEntity");
    per_request = verdicts->find("requestValidation");
  }
  std::optional<cedar::EntityStore> store;
  if (const auto read = codec::parse_json(entities.value_or(""), kCorpusLimits); read.ok()) {
    check_entities(place, schema, *read, per_entity, counts_["entities"]);
    if (const auto all = schema::entities_from_json(schema, *read); all.ok() && is_valid) {
      if (auto made_store = cedar::EntityStore::make(*all); made_store.ok()) store = std::move(*made_store);
    }
  }
  const auto& requests = json.find("requests")->items();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const bool expected = per_request != nullptr ? per_request->items()[i].bool_or("strict", true) : true;
    if (per_request == nullptr && !requests[i].bool_or("validateRequest", true)) continue;
    const auto request = valid_request(schema, requests[i]);
    counts_["requests"].check(request.has_value() == expected, place + " request " + std::to_string(i));
    if (request && store) {
      counts_["soundness"].check(is_sound(policy_set, *store, *request),
                                 place + " request " + std::to_string(i) + " fails");
    }
  }
  if (const auto form = read_json(beside(file, ".cedarschema.json"))) {
    check_json_form(place, parsed, schema, *form, counts_["schema forms"]);
  }
}

void CedarValidation::take_parsing(const fs::path& file) {
  const auto expected = read_json(file);
  const auto names = read_json(beside(file, ".json"));
  if (!expected || !names) return;
  CorpusCount& count = counts_["entity parsing"];
  const std::string place = file.string();
  const auto text = read_named(file, names->string_or("schema", ""));
  if (!text) {
    ++count.skipped;
    return count.note("skip " + place + ": its schema is not there");
  }
  const auto made = Schema::from_text(place, *text);
  if (!made.schema) return count.fail(place + ": " + first_error(made));
  const auto entities = read_json(file.parent_path() / fs::path(std::string(names->string_or("entities", ""))));
  bool all = false;
  if (entities) {
    const auto read = schema::entities_from_json(*made.schema, *entities);
    all = read.ok() && schema::validate_entities(*made.schema, *read).ok();
  }
  count.check(all == expected->find("allEntities")->bool_or("success", true), place + ": all entities");
  if (!entities || !entities->is_array()) return;
  for (const Json& entity : entities->items()) {
    const Json* verdict = expected->find("perEntity")->find(entity_name(entity));
    if (verdict == nullptr) continue;
    count.check(schema::entity_from_json(*made.schema, entity).ok() == verdict->bool_or("success", true),
                place + " " + entity_name(entity));
  }
}

// A snapshot is a resolved schema in one fixed layout: read and written again it is the same text.
void CedarValidation::take_snapshot(const fs::path& file) {
  const std::string text = read_file(file.string()).value_or("");
  const std::size_t header = text.find("---\n", 4);
  if (header == std::string::npos) return;
  std::string wanted = text.substr(header + 4);
  while (!wanted.empty() && wanted.back() == '\n') wanted.pop_back();
  CorpusCount& count = counts_["schema snapshots"];
  const auto made = Schema::from_text(file.filename().string(), wanted);
  if (!made.schema) return count.fail(file.string() + ": " + first_error(made));
  const auto declarations = made.schema->declarations();
  auto written = schema::to_text(declarations);
  while (written.ok() && !written->empty() && written->back() == '\n') written->pop_back();
  count.check(written.ok() && *written == wanted, file.string() + ": written again it differs");
  const auto again = Schema::from_json(schema::to_json(declarations));
  count.check(again.schema && *again.schema == *made.schema, file.string() + ": through JSON it differs");
}

// A schema in both forms that belongs to no case: the JSON form, which need not resolve by itself, written as text.
void CedarValidation::take_translation(const fs::path& json_file, const fs::path& text_file) {
  const auto made = Schema::from_text("text", read_file(text_file.string()).value_or("?"));
  const auto json = read_json(json_file);
  const auto declarations = schema::declarations_from_json(json.value_or(Json()));
  const auto text = declarations.ok() ? schema::to_text(*declarations) : Result<std::string>(declarations.error());
  const auto other = text.ok() ? Schema::from_text("written", *text) : schema::SchemaResult();
  counts_["schema forms"].check(
      made.schema && other.schema && *made.schema == *other.schema,
      json_file.string() + ": the two forms differ " + first_error(made) + first_error(other));
}

// policy-level-N.cedar is valid at level N and at no lower one.
void CedarValidation::take_level(const fs::path& file) {
  const auto made =
      Schema::from_text("schema", read_file((file.parent_path() / "schema.cedarschema").string()).value_or("?"));
  if (!made.schema) return;
  const auto bodies = cedar::parse_policies(cedar::Source::make("level", read_file(file.string()).value_or("?")));
  const auto policies = cedar::PolicySet::from(bodies.policies);
  const std::string name = file.filename().string();
  const auto wanted = static_cast<std::uint32_t>(name.at(name.find("level-") + 6) - '0');
  for (std::uint32_t level = 0; level <= wanted + 1; ++level) {
    schema::ValidationOptions options;
    options.level = level;
    counts_["levels"].check(schema::validate(*made.schema, policies, options).is_valid() == (level >= wanted),
                            file.string() + ": at level " + std::to_string(level));
  }
}

// A policy file that lies beside schemas but in no case is valid by one of them, unless its name says that it is bad.
void CedarValidation::take_policies(const fs::path& file) {
  const auto bodies = cedar::parse_policies(cedar::Source::make(file.string(), read_file(file.string()).value_or("?")));
  if (!bodies.errors.empty()) return;  // of another program
  const auto policies = cedar::PolicySet::from(bodies.policies);
  bool has_schema = false;
  bool is_valid = false;
  for (const auto& entry : fs::directory_iterator(file.parent_path())) {
    if (entry.path().extension() != ".cedarschema") continue;
    const auto made = Schema::from_text(entry.path().string(), read_file(entry.path().string()).value_or("?"));
    counts_["schemas"].check(made.schema.has_value(), entry.path().string() + ": " + first_error(made));
    has_schema = has_schema || made.schema;
    is_valid = is_valid || (made.schema && schema::validate(*made.schema, policies).is_valid());
  }
  const bool is_bad = file.stem().string().ends_with("_bad");
  if (has_schema)
    counts_["policy files"].check(is_valid == !is_bad, file.string() + (is_bad ? ": accepted" : ": refused"));
}

bool CedarValidation::take(const fs::path& file) {
  const std::string name = file.filename().string();
  const auto has = [&](std::string_view suffix) { return name.ends_with(suffix); };
  if (has(".parsing.json")) {
    take_parsing(file);
  } else if (has(".cedarschema.snap")) {
    take_snapshot(file);
  } else if (name.starts_with("policy-level-") && has(".cedar")) {
    take_level(file);
  } else if (has(".cedar")) {
    if (!fs::exists(beside(file, ".json"))) take_policies(file);
  } else if (has(".cedarschema.json") && fs::exists(file.parent_path() / name.substr(0, name.size() - 5)) &&
             !fs::exists(beside(file, ".json"))) {
    take_translation(file, file.parent_path() / name.substr(0, name.size() - 5));
  } else if (has(".json") && !has(".entities.json") && !has(".validation.json") && !has(".cedarschema.json")) {
    const auto json = read_json(file);
    if (json && is_corpus_case(*json) && json->find("policies")->is_string()) take_case(file, *json);
    return file.parent_path().filename() == "validator-cases";
  }
  return file.parent_path().filename() == "validator-cases" || file.parent_path().filename() == "entity-parsing-cases";
}

void CedarValidation::close(CorpusCount& count) const {
  for (const auto& [kind, one] : counts_) {
    for (const std::string& note : one.notes) std::printf("%s\n", note.c_str());
    std::printf("validation, %s: %zu passed, %zu failed\n", kind.c_str(), one.passed, one.failed);
    count.passed += one.passed;
    count.failed += one.failed;
    count.skipped += one.skipped;
  }
}

}  // namespace wary::test
