// conform_authzen DIR: the AuthZEN certification scenario (authorization-api-*-scenario.md: every request in it with
// what the scenario expects), the interop's decisions*.json, the search results and the JSON schemas below DIR, asked
// of the decision point's functions over the worlds of authzen_worlds.h.
#include <cstring>
#include <map>

#include "codec/json_schema.h"
#include "pdp/authzen.h"
#include "tests/conform/authzen_worlds.h"
#include "tests/conform/count.h"

namespace wary::test {
namespace {

using codec::Json;

constexpr Limits kLimits{.bytes = std::size_t{16} << 20, .depth = 64, .items = 100'000, .total = 1'000'000};

struct Pdp {
  explicit Pdp(policy::SnapshotPtr snapshot) : authority(std::move(snapshot)) {}
  pdp::Answer ask(std::string_view method, std::string_view path, std::string_view body,
                  std::string_view type = "application/json", std::string_view request_id = "") {
    pdp::Call call;
    call.method = method;
    call.path = path;
    call.host = "pdp.example.com";
    call.content_type = type;
    call.request_id = request_id;
    call.body = body;
    call.pep = "conform";
    return authzen.answer(call);
  }
  SnapshotAuthority authority;
  pdp::Authzen authzen{authority};
};

std::string header(const pdp::Answer& answer, std::string_view name) {
  for (const auto& [key, value] : answer.headers) {
    if (key == name) return value;
  }
  return "";
}

// The values of "decision" in a text, which may have placeholders: '1', '0' or '?'.
std::string decisions_in(std::string_view text) {
  std::string out;
  constexpr std::string_view kName = "\"decision\":";
  for (std::size_t at = text.find(kName); at != std::string_view::npos; at = text.find(kName, at + 1)) {
    std::string_view rest = text.substr(at + kName.size());
    while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
    out += rest.starts_with("true") ? '1' : rest.starts_with("false") ? '0' : '?';
  }
  return out;
}

bool same_decisions(const std::string& expected, const std::string& got) {
  return expected.size() == got.size() && std::equal(expected.begin(), expected.end(), got.begin(),
                                                     [](char a, char b) { return a == b || (a == '?' && b != '?'); });
}

bool contains(const Json& results, const Json& wanted) {
  return std::any_of(results.items().begin(), results.items().end(), [&](const Json& one) { return one == wanted; });
}

// One request of the scenario and what stands after it.
struct Case {
  std::string section, label, request, expected_line, expected_body;
};

std::string path_of(const Case& one) {
  if (one.section.starts_with("c-2")) return "/access/v1/evaluation";
  if (one.section.starts_with("c-3")) return "/access/v1/evaluations";
  const auto is = [&](std::string_view section, std::string_view word) {
    return one.section.starts_with(section) || one.label.find(word) != std::string::npos;
  };
  if (is("c-4-3", "Resource Search (")) return "/access/v1/search/resource";
  if (is("c-4-4", "Action Search (") || one.label.find("(Action Search") != std::string::npos) {
    return "/access/v1/search/action";
  }
  return "/access/v1/search/subject";
}

class Scenario {
 public:
  Scenario(std::string_view text, Count& count) : count_(count), pdp_(*certification_world()) { read(text); }

 private:
  // Line by line: headings carry the section, a label precedes each block, "Expected" precedes the answer's.
  void read(std::string_view text) {
    Case now;
    std::string block;
    bool in_block = false, expects = false;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      const std::string line(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.starts_with("~~~")) {
        if (in_block && expects && !now.request.empty()) now.expected_body = block;
        if (in_block && !expects) now.request = block;
        in_block = !in_block;
        block.clear();
      } else if (in_block) {
        block += line + "\n";
      } else if (line.starts_with("#")) {
        finish(now);
        expects = false;
        const std::size_t anchor = line.find("{#");
        now.section = anchor == std::string::npos ? "" : line.substr(anchor + 2, line.find('}') - anchor - 2);
      } else if (line.starts_with("**Expected")) {
        now.expected_line = line;
        expects = true;
      } else if (line.starts_with("**Request") || line.find(" Search (") != std::string::npos) {
        finish(now);
        now.label = line;
        expects = false;
      }
    }
    finish(now);
    by_hand();
  }

  void finish(Case& one) {
    if (!one.request.empty() && !one.expected_line.empty()) run(one);
    one = Case{one.section, "", "", "", ""};
  }

  void run(const Case& one) {
    std::string request = one.request;
    constexpr std::string_view kToken = "<next_token from previous response>";
    if (const std::size_t at = request.find(kToken); at != std::string::npos) {
      request.replace(at, kToken.size(), next_token_);
    }
    const std::string path = path_of(one), name = one.section + " " + one.label;
    const pdp::Answer answer = pdp_.ask("POST", path, request);
    const bool refused = one.expected_line.find("HTTP 400") != std::string::npos;
    count_.check(answer.status == (refused ? 400 : 200), name + ": status " + std::to_string(answer.status));
    if (refused || answer.status != 200) return;
    const auto body = codec::parse_json(answer.body);
    if (path.find("search") == std::string::npos) {
      std::string expected = decisions_in(one.expected_body);
      if (expected.empty()) expected = decisions_in(one.expected_line);
      return count_.check(body.ok() && same_decisions(expected, decisions_in(answer.body)),
                          name + ": " + expected + " but " + answer.body);
    }
    const Json* results = body.ok() ? body->find("results") : nullptr;
    count_.check(results != nullptr && results->is_array(), name + ": no results");
    if (results == nullptr || !results->is_array()) return;
    if (const Json* page = body->find("page")) next_token_ = page->string_or("next_token", "");
    if (one.expected_line.find("identical to") != std::string::npos) {
      return count_.check(*results == first_[path], name + ": " + results->to_string());
    }
    first_.try_emplace(path, *results);
    const auto wanted = codec::parse_json(one.expected_body);
    if (!wanted.ok() || wanted->find("results") == nullptr) return;
    const auto& items = wanted->find("results")->items();
    const bool all =
        std::all_of(items.begin(), items.end(), [&](const Json& item) { return contains(*results, item); });
    count_.check(all && (!items.empty() || results->items().empty()), name + ": " + results->to_string());
  }

  // What the scenario says in words only.
  void by_hand() {
    const std::string good = R"({"subject":{"type":"user","id":"alice"},"action":{"name":"read"},)"
                             R"("resource":{"type":"record","id":"record-1"}})";
    const std::string path = "/access/v1/evaluation";
    count_.check(pdp_.ask("POST", path, good, "text/plain").status == 400, "c-2-4-3 invalid content type");
    count_.check(pdp_.ask("POST", path, "{\"subject\":").status == 400, "c-2-4-4 malformed JSON");
    count_.check(pdp_.ask("POST", path, "").status == 400, "c-2-4-5 empty body");
    count_.check(header(pdp_.ask("POST", path, good, "application/json", "id-1"), "X-Request-ID") == "id-1",
                 "c-2-5-1 X-Request-ID");
    count_.check(pdp_.ask("POST", path, good).status == 200, "c-2-5-2 no X-Request-ID");
    for (int i = 0; i < 5; ++i) {
      count_.check(decisions_in(pdp_.ask("POST", path, good).body) == "1", "c-2-6 idempotency");
    }
    count_.check(header(pdp_.ask("POST", path, good), "Content-Type") == "application/json", "c-5 content type");
    const pdp::Answer about = pdp_.ask("GET", "/.well-known/authzen-configuration", "");
    const auto json = codec::parse_json(about.body);
    count_.check(about.status == 200 && header(about, "Content-Type") == "application/json" && json.ok(), "c-6-2");
    if (!json.ok()) return;
    count_.check(json->string_or("policy_decision_point", "") == "https://pdp.example.com", "c-6-5 base");
    for (const char* name : {"access_evaluation_endpoint", "access_evaluations_endpoint", "search_subject_endpoint",
                             "search_resource_endpoint", "search_action_endpoint"}) {
      count_.check(json->string_or(name, "").starts_with("https://pdp.example.com/"), std::string("c-6-5 ") + name);
    }
  }

  Count& count_;
  Pdp pdp_;
  std::string next_token_;
  std::map<std::string, Json> first_;  // results of the first search at each path
};

// Drafts before 1.0 had a resource's own members where 1.0 has them in `properties`: moved there, the case is the same.
Json to_1_0(Json request) {
  for (auto& [name, part] : request.members()) {
    if (name != "resource" || part.find("properties") != nullptr) continue;
    Json properties = Json::object();
    for (const auto& [member, value] : part.members()) {
      if (member != "type" && member != "id") properties.set(member, value);
    }
    if (!properties.members().empty()) part.set("properties", std::move(properties));
  }
  return request;
}

void run_decisions(const Json& file, const std::string& name, const codec::JsonSchema* response, Count& count) {
  Pdp pdp(*todo_world());
  for (const auto& [set, cases] : file.members()) {
    const bool batch = set == "evaluations";
    for (std::size_t i = 0; i < cases.items().size(); ++i) {
      const Json& one = cases.items()[i];
      const std::string place = name + " " + set + " " + std::to_string(i);
      const pdp::Answer answer = pdp.ask("POST", batch ? "/access/v1/evaluations" : "/access/v1/evaluation",
                                         to_1_0(*one.find("request")).to_string());
      const std::string expected = batch                            ? decisions_in(one.find("expected")->to_string())
                                   : one.bool_or("expected", false) ? "1"
                                                                    : "0";
      count.check(answer.status == 200 && decisions_in(answer.body) == expected,
                  place + ": " + expected + " but " + answer.body);
      if (batch || response == nullptr) continue;
      const auto body = codec::parse_json(answer.body);
      count.check(body.ok() && response->validate(*body).empty(), place + ": not of the response's schema");
    }
  }
}

void run_search(const Json& file, const Json& users, const Json& records, const std::string& name, Count& count) {
  Pdp pdp(*record_world(users, records));
  for (const Json& one : file.find("evaluation")->items()) {
    const std::string request = one.find("request")->to_string();
    const pdp::Answer answer = pdp.ask("POST", "/access/v1/search/subject", request);
    const auto body = codec::parse_json(answer.body);
    const Json* results = body.ok() ? body->find("results") : nullptr;
    const Json& wanted = *one.find("expected")->find("results");
    const bool same = results != nullptr && results->items().size() == wanted.items().size() &&
                      std::all_of(wanted.items().begin(), wanted.items().end(),
                                  [&](const Json& item) { return contains(*results, item); });
    count.check(same, name + " " + request + ": " + answer.body);
  }
}

Json without_examples(Json schema) {
  std::erase_if(schema.members(), [](const auto& member) { return member.first == "example"; });
  for (auto& [name, member] : schema.members()) {
    if (member.is_object()) member = without_examples(std::move(member));
  }
  return schema;
}

std::optional<codec::JsonSchema> schema_of(const std::string& path, Count& count) {
  const auto json = codec::parse_json(read_file(path).value_or(""));
  if (!json.ok()) return std::nullopt;
  auto schema = codec::JsonSchema::compile(without_examples(*json));
  count.check(schema.ok(), path + ": " + (schema.ok() ? "" : schema.error().to_string()));
  if (!schema.ok()) return std::nullopt;
  return std::move(*schema);
}

// A request that the schema refuses is refused, and one that it takes is answered.
void run_request_schema(const codec::JsonSchema& schema, Count& count) {
  Pdp pdp(*certification_world());
  for (const char* subject :
       {R"({"type":"user","id":"a"})", R"({"type":"user"})", R"("a")", "null", R"({"type":1,"id":"a"})"}) {
    for (const char* action : {R"({"name":"r"})", R"({"name":1})", R"({"name":"r","properties":{"x":1}})"}) {
      for (const char* more : {"", R"(,"context":{"a":1})", R"(,"context":[])", R"(,"other":1)"}) {
        const std::string body = std::string(R"({"subject":)") + subject + R"(,"action":)" + action +
                                 R"(,"resource":{"type":"record","id":"r"})" + more + "}";
        const bool valid = schema.validate(*codec::parse_json(body)).empty();
        count.check((pdp.ask("POST", "/access/v1/evaluation", body).status == 200) == valid, "schema: " + body);
      }
    }
  }
}

int run(const std::string& folder) {
  Count count;
  const std::vector<std::string> files = files_below(folder);
  const auto file = [&](std::string_view end) {
    for (const std::string& path : files) {
      if (path.ends_with(end)) return path;
    }
    return std::string();
  };
  const auto response = schema_of(file("evaluation-response.schema.json"), count);
  const auto request = schema_of(file("evaluation-request.schema.json"), count);
  if (request) run_request_schema(*request, count);
  const auto users = codec::parse_json(read_file(file("search/users.json")).value_or(""));
  const auto records = codec::parse_json(read_file(file("search/records.json")).value_or(""));
  for (const std::string& path : files) {
    const std::string name = path.substr(folder.size() + 1);
    if (name.ends_with("api-1_0-scenario.md")) {
      Scenario(read_file(path).value_or(""), count);
      continue;
    }
    const bool is_known = name.ends_with(".schema.json") || name.ends_with("users.json") ||
                          name.ends_with("records.json") || name.ends_with("scenario-todo.md") ||
                          name.ends_with("scenario-todo-1.1.md") || name.ends_with("scenario-search.md");
    if (is_known) continue;  // read above, or prose that the decisions and results are cases of
    const auto json = codec::parse_json(read_file(path).value_or(""), kLimits);
    const std::string base = name.substr(name.rfind('/') + 1);
    if (json.ok() && base.starts_with("decisions")) {
      run_decisions(*json, name, response ? &*response : nullptr, count);
    } else if (json.ok() && base == "subject.results.json" && users.ok() && records.ok()) {
      run_search(*json, *users, *records, name, count);
    } else {
      count.unknown(name);
    }
  }
  return count.close();
}

}  // namespace
}  // namespace wary::test

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: conform_authzen DIR\n"), 2;
  return wary::test::run(argv[1]);
}
