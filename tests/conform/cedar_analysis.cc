#include "tests/conform/cedar_analysis.h"

#include <cstdio>
#include <map>
#include <set>

#include "analysis/findings.h"
#include "schema/validator.h"

namespace wary::test {

namespace {

namespace fs = std::filesystem;

struct Inputs {
  std::optional<schema::Schema> schema;
  cedar::PolicySet first;
  cedar::PolicySet second;
};

// Policies by what their @id says, as the tables name them.
cedar::PolicySet named_set(const fs::path& file) {
  const auto parsed = cedar::parse_policies(cedar::Source::make(file.string(), read_file(file.string()).value_or("?")));
  cedar::PolicySet out;
  for (std::size_t i = 0; i < parsed.policies.size(); ++i) {
    const std::string* id = parsed.policies[i]->annotation("id");
    (void)out.add(id != nullptr ? *id : "policy" + std::to_string(i), parsed.policies[i]);
  }
  return out;
}

std::vector<std::string> split(const std::string& text, const std::string& by) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  for (std::size_t at = text.find(by); at != std::string::npos; at = text.find(by, begin)) {
    out.push_back(text.substr(begin, at - begin));
    begin = at + by.size();
  }
  out.push_back(text.substr(begin));
  return out;
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// The arguments of the command that made the table: arg("x").
std::vector<std::string> arguments_of(const std::string& text) {
  std::vector<std::string> out;
  for (const std::string& part : split(text.substr(0, text.find("\n---\n", 4)), "arg(\\\"")) {
    out.push_back(part.substr(0, part.find("\\\"")));
  }
  out.erase(out.begin());
  return out;
}

std::string folder_of(const std::string& text) {
  constexpr std::string_view kBefore = "examples/analyze/";
  const std::size_t at = text.find(kBefore);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + kBefore.size();
  return text.substr(begin, text.find('\\', begin) - begin);
}

using Rows = std::map<std::string, std::set<std::string>>;  // "User view Thing": what the table says

// A row goes on where the first column is empty; examples are left out.
Rows rows_of(const std::string& text) {
  Rows out;
  std::string at;
  for (const std::string& line : split(text, "\n")) {
    if (!line.starts_with("|")) continue;
    const std::vector<std::string> cells = split(line, "|");
    if (cells.size() < 5 || trimmed(cells[1]) == "PrincipalType") continue;
    if (!trimmed(cells[1]).empty()) at = trimmed(cells[1]) + " " + trimmed(cells[2]) + " " + trimmed(cells[3]);
    const std::string words = trimmed(cells[4]);
    if (words.starts_with("pset1 is ") || words.starts_with("Policy ") || words.starts_with("Redundant ")) {
      out[at].insert(words);
    }
  }
  return out;
}

std::string key_of(const schema::Environment& environment) {
  return std::string(schema::base_name(environment.principal->name)) + " " + environment.action->uid->id + " " +
         std::string(schema::base_name(environment.resource->name));
}

std::string listed(const std::set<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : "; ") + word;
  return out.empty() ? "nothing" : out;
}

void check_rows(const std::string& place, const Rows& wanted, const Rows& found, CorpusCount& count) {
  std::set<std::string> keys;
  for (const auto& [key, words] : wanted) keys.insert(key);
  for (const auto& [key, words] : found) keys.insert(key);
  for (const std::string& key : keys) {
    const auto a = wanted.find(key);
    const auto b = found.find(key);
    const std::set<std::string> expected = a != wanted.end() ? a->second : std::set<std::string>();
    const std::set<std::string> got = b != found.end() ? b->second : std::set<std::string>();
    count.check(expected == got, place + " " + key + ": expected " + listed(expected) + ", found " + listed(got));
  }
}

std::string words_of(analysis::Comparison comparison) {
  switch (comparison) {
    case analysis::Comparison::kEquivalent: return "pset1 is equivalent to pset2";
    case analysis::Comparison::kMorePermissive: return "pset1 is more permissive than pset2";
    case analysis::Comparison::kLessPermissive: return "pset1 is less permissive than pset2";
    case analysis::Comparison::kIncomparable: return "pset1 is incomparable with pset2";
    case analysis::Comparison::kUnknown: break;
  }
  return "unknown";
}

std::string group_words(const std::vector<std::string>& group) {
  std::string out = "Redundant Policies: ";
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (i > 0) out += group.size() == 2 ? " and " : i + 1 == group.size() ? ", and " : ", ";
    out += "`" + group[i] + "`";
  }
  return out;
}

void check_comparison(const std::string& place, const std::string& text, const Inputs& inputs, CorpusCount& count) {
  Rows found;
  for (const auto& one : analysis::compare(*inputs.schema, inputs.first, inputs.second, {}, analysis::Rule::kCedar)) {
    std::string words = words_of(one.comparison);
    if (one.comparison == analysis::Comparison::kUnknown) words += ": " + one.gained.reason + one.lost.reason;
    found[key_of(one.environment)].insert(words);
  }
  check_rows(place, rows_of(text), found, count);
}

void check_findings(const std::string& place, const std::string& text, const Inputs& inputs, CorpusCount& count) {
  const analysis::Findings findings = analysis::find_issues(*inputs.schema, inputs.first, {}, analysis::Rule::kCedar);
  Rows found;
  for (const auto& one : findings.environments) {
    for (const auto& group : one.redundant) found[key_of(one.environment)].insert(group_words(group));
    for (const auto& [inner, outer] : one.shadowed) {
      found[key_of(one.environment)].insert("Policy `" + inner + "` shadowed by `" + outer + "`");
    }
  }
  check_rows(place, rows_of(text), found, count);
  std::set<std::string> vacuous;
  std::set<std::string> expected;
  for (const std::string& id : findings.vacuous)
    vacuous.insert("Policy `" + id + "` applies to no authorization requests.");
  for (const std::string& line : split(text, "\n")) {
    if (line.find("applies to no authorization requests") != std::string::npos) expected.insert(trimmed(line));
  }
  count.check(vacuous == expected, place + ": vacuous: expected " + listed(expected) + ", found " + listed(vacuous));
  for (const std::string& unknown : findings.unknown) count.note("unknown " + place + " " + unknown);
}

void run_table(const fs::path& file, CorpusCount& count) {
  const std::string text = read_file(file.string()).value_or("");
  const std::vector<std::string> arguments = arguments_of(text);
  const fs::path folder = file.parent_path().parent_path() / folder_of(text);
  if (arguments.size() < 4 || !fs::exists(folder)) return count.fail(file.string() + ": no command in the table");
  Inputs inputs;
  auto made = schema::Schema::from_text("schema", read_file((folder / arguments.back()).string()).value_or("?"));
  if (!made.schema) return count.fail(file.string() + ": its schema");
  inputs.schema = std::move(made.schema);
  inputs.first = named_set(folder / arguments[2]);
  if (arguments[1] == "policies") return check_findings(file.filename().string(), text, inputs, count);
  inputs.second = named_set(folder / arguments[3]);
  check_comparison(file.filename().string(), text, inputs, count);
}

// Sets without a table: everything about them is decided, a set is equivalent to itself, and to itself without what
// never applies.
void run_set(const fs::path& file, CorpusCount& count) {
  auto made = schema::Schema::from_text(
      "schema", read_file((file.parent_path() / "policies.cedarschema").string()).value_or("?"));
  const std::string place = file.parent_path().filename().string();
  if (!made.schema) return count.fail(place + ": its schema");
  const cedar::PolicySet set = named_set(file);
  count.check(schema::validate(*made.schema, set).is_valid(), place + ": does not validate");
  const analysis::Findings findings = analysis::find_issues(*made.schema, set, {}, analysis::Rule::kCedar);
  count.check(findings.unknown.empty(), place + ": " + listed({findings.unknown.begin(), findings.unknown.end()}));
  cedar::PolicySet live;
  for (const cedar::Policy& policy : set.policies()) {
    const auto& gone = findings.vacuous;
    if (std::find(gone.begin(), gone.end(), policy.id) == gone.end()) (void)live.add(policy.id, policy.body);
  }
  for (const auto& one : analysis::compare(*made.schema, set, live, {}, analysis::Rule::kCedar)) {
    count.check(
        one.comparison == analysis::Comparison::kEquivalent,
        place + " " + key_of(one.environment) + ": without vacuous policies " + std::string(to_string(one.comparison)));
  }
}

}  // namespace

bool run_cedar_analysis(const fs::path& file, CorpusCount& count) {
  const std::string name = file.filename().string();
  const std::size_t passed = count.passed;
  const std::size_t failed = count.failed;
  const auto tell = [&](const std::string& what) {
    std::printf("analysis, %s: %zu passed, %zu failed\n", what.c_str(), count.passed - passed, count.failed - failed);
  };
  if (name.find("__analyze_") != std::string::npos && name.ends_with(".snap")) {
    run_table(file, count);
    tell(name.substr(name.find("__analyze_") + 10));
    return true;
  }
  if (name == "policies.cedar" && file.parent_path().parent_path().filename() == "symcc") {
    run_set(file, count);
    tell("set " + file.parent_path().filename().string());
  }
  return false;
}

}  // namespace wary::test
