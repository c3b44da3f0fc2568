#include "cli/policy_test_file.h"

#include <algorithm>

#include "cedar/authorizer.h"
#include "cedar/json.h"
#include "cedar/parser.h"
#include "schema/conformance.h"

namespace wary::cli {

namespace {

using codec::Json;

constexpr std::size_t kTestsMax = 100'000;

Error wrong(std::string_view where, std::string_view expected) {
  return fail(ErrorKind::kInvalid, "policy_test_file", "not a test").at(std::string(where)).expected(expected);
}

// A misspelt member would make a test hold that should not.
Status only_members(const Json& json, std::initializer_list<std::string_view> known, const std::string& where) {
  for (const auto& [name, value] : json.members()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string list;
    for (const std::string_view one : known) list += (list.empty() ? "" : ", ") + std::string(one);
    return wrong(where + "/" + name, list);
  }
  return {};
}

struct PolicyTest {
  std::string name;
  cedar::Request request;
  cedar::EntityStore store;
  bool is_allowed = false;
  std::optional<std::vector<std::string>> reasons;
  std::optional<std::int64_t> errors;
};

Result<cedar::EntityPtr> read_uid(const Json& request, std::string_view member, const std::string& where) {
  const Json* json = request.find(member);
  const std::string place = where + "/request/" + std::string(member);
  if (json == nullptr || !json->is_string()) return wrong(place, "Type::\"id\" in a string");
  auto uid = cedar::parse_entity_uid(json->as_string());
  if (!uid.ok()) return wrong(place, "Type::\"id\"").found(json->as_string());
  return cedar::make_entity(uid->type, uid->id);
}

Status read_request(const Json& json, const schema::Schema* schema, const std::string& where, PolicyTest& out) {
  const Json* request = json.find("request");
  if (request == nullptr || !request->is_object()) return wrong(where + "/request", "an object");
  WARY_RETURN_IF_ERROR(only_members(*request, {"principal", "action", "resource", "context"}, where + "/request"));
  WARY_ASSIGN_OR_RETURN(out.request.principal, read_uid(*request, "principal", where));
  WARY_ASSIGN_OR_RETURN(out.request.action, read_uid(*request, "action", where));
  WARY_ASSIGN_OR_RETURN(out.request.resource, read_uid(*request, "resource", where));
  const Json* context = request->find("context");
  if (context == nullptr) return {};
  const schema::Action* action = schema != nullptr ? schema->find_action(*out.request.action) : nullptr;
  auto value =
      action != nullptr ? schema::context_from_json(*schema, *context, *action) : cedar::value_from_json(*context);
  if (!value.ok() || value->as_record() == nullptr) return wrong(where + "/request/context", "a record");
  out.request.context = std::move(*value);
  return {};
}

Status read_entities(const Json& json, const schema::Schema* schema, const std::string& where, PolicyTest& out) {
  const Json* list = json.find("entities");
  std::vector<cedar::EntityHandle> entities;
  if (list != nullptr) {
    auto read = schema != nullptr ? schema::entities_from_json(*schema, *list) : cedar::entities_from_json(*list);
    if (!read.ok()) {
      Error error = read.error();
      error.where = where + "/entities" + error.where;
      return error;
    }
    entities = std::move(*read);
  } else if (schema != nullptr) {
    entities = schema->action_entities();
  }
  WARY_ASSIGN_OR_RETURN(out.store, cedar::EntityStore::make(std::move(entities)));
  return {};
}

Status read_expected(const Json& json, const std::string& where, PolicyTest& out) {
  const std::string_view decision = json.string_or("decision", "");
  if (decision != "allow" && decision != "deny") return wrong(where + "/decision", "allow or deny").found(decision);
  out.is_allowed = decision == "allow";
  if (const Json* reasons = json.find("reason")) {
    if (!reasons->is_array()) return wrong(where + "/reason", "a list of policy ids");
    out.reasons.emplace();
    for (const Json& reason : reasons->items()) {
      if (!reason.is_string()) return wrong(where + "/reason", "a list of policy ids");
      out.reasons->push_back(std::string(reason.as_string()));
    }
    std::sort(out.reasons->begin(), out.reasons->end());
  }
  if (json.find("num_errors") != nullptr) {
    out.errors = json.integer_or("num_errors", -1);
    if (*out.errors < 0) return wrong(where + "/num_errors", "a count");
  }
  return {};
}

std::string listed(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& item : list) out += (out.empty() ? "" : ", ") + item;
  return out.empty() ? "none" : out;
}

std::string problem_of(const PolicyTest& test, const cedar::PolicySet& policies) {
  cedar::StoreView view(test.store);
  cedar::Response response = cedar::is_authorized(policies, test.request, view);
  if (response.is_allowed != test.is_allowed) {
    return std::string("expected ") + (test.is_allowed ? "allow" : "deny") + ", is " +
           (response.is_allowed ? "allow" : "deny") +
           (response.errors.empty()
                ? ""
                : " (" + response.errors.front().policy_id + ": " + response.errors.front().error.message + ")");
  }
  std::sort(response.reasons.begin(), response.reasons.end());
  if (test.reasons && response.reasons != *test.reasons) {
    return "expected the reasons " + listed(*test.reasons) + ", they are " + listed(response.reasons);
  }
  const auto errors = static_cast<std::int64_t>(response.errors.size());
  if (test.errors && errors != *test.errors) {
    return "expected " + std::to_string(*test.errors) + " errors, there are " + std::to_string(errors);
  }
  return {};
}

}  // namespace

Result<std::vector<PolicyTestOutcome>> run_policy_tests(const Json& json, const cedar::PolicySet& policies,
                                                        const schema::Schema* schema) {
  if (!json.is_array() || json.items().size() > kTestsMax) return wrong("", "a list of at most 100,000 tests");
  if (json.items().empty()) return wrong("", "at least one test");
  std::vector<PolicyTestOutcome> out;
  for (std::size_t i = 0; i < json.items().size(); ++i) {
    const Json& item = json.items()[i];
    const std::string where = "/" + std::to_string(i);
    if (!item.is_object()) return wrong(where, "an object");
    WARY_RETURN_IF_ERROR(
        only_members(item, {"name", "request", "entities", "decision", "reason", "num_errors"}, where));
    PolicyTest test;
    test.name = item.string_or("name", "test " + std::to_string(i));
    WARY_RETURN_IF_ERROR(read_request(item, schema, where, test));
    WARY_RETURN_IF_ERROR(read_entities(item, schema, where, test));
    WARY_RETURN_IF_ERROR(read_expected(item, where, test));
    out.push_back({test.name, problem_of(test, policies)});
  }
  return out;
}

}  // namespace wary::cli
