#include "tests/conform/cedar_forms.h"

#include <map>

#include "cedar/authorizer.h"
#include "cedar/format.h"
#include "cedar/lexer.h"
#include "cedar/parser.h"
#include "cedar/policy_json.h"
#include "cedar/printer.h"

namespace wary::test {
namespace {

namespace fs = std::filesystem;
using codec::Json;

std::shared_ptr<const cedar::Source> source_of(const fs::path& file) {
  return cedar::Source::make(file.string(), read_file(file.string()).value_or(""));
}

bool survives_json(const cedar::PolicyBody& policy) {
  const auto json = cedar::to_json(policy);
  if (!json.ok()) return false;
  const auto parsed = codec::parse_json(json->to_string(), cedar::kPolicyJsonLimits);
  if (!parsed.ok()) return false;
  const auto again = cedar::policy_from_json(*parsed, "again");
  if (!again.ok() || cedar::print(**again) != cedar::print(policy)) return false;
  const auto twice = cedar::to_json(**again);
  return twice.ok() && *twice == *json;
}

std::string formatted(std::string_view name, std::string_view text) {
  return cedar::format_policies(cedar::Source::make(name, text)).text;
}

// Linked with what fits, refused with what does not, and kept by the JSON of the set.
bool links(const cedar::PolicySet& set, const cedar::Policy& one) {
  cedar::SlotValues values;
  if (one.body->principal.is_slot) values.principal = cedar::make_entity("User", "alice");
  if (one.body->resource.is_slot) values.resource = cedar::make_entity("Folder", "x");
  cedar::SlotValues wrong = values;
  (wrong.principal ? wrong.principal : wrong.resource) = nullptr;
  cedar::PolicySet linked = set;
  const bool refused = !linked.link(one.id, "link", wrong).ok() && !linked.link("none", "link", values).ok() &&
                       !linked.link(one.id, one.id, values).ok();
  if (!refused || !linked.link(one.id, "link", values).ok()) return false;
  const auto json = cedar::to_json(linked);
  if (!json.ok()) return false;
  const auto again = cedar::policy_set_from_json(*json);
  return again.ok() && again->find("link") != nullptr && again->find("link")->template_id == one.id &&
         *cedar::to_json(*again) == *json;
}

// Each policy by itself, and the text as a whole.
void run_policies(const fs::path& file, CorpusCount& count) {
  const auto source = source_of(file);
  const cedar::ParsedPolicies parsed = cedar::parse_policies(source);
  if (!parsed.errors.empty()) return count.fail(parsed.errors.front().error.to_string());
  const std::string name = file.string();
  for (const auto& policy : parsed.policies) {
    count.check(survives_json(*policy), name + ": as JSON and back: " + cedar::print(*policy).substr(0, 200));
  }
  const cedar::PolicySet set = cedar::PolicySet::from(parsed.policies);
  for (const cedar::Policy& one : set.templates()) count.check(links(set, one), name + ": linking " + one.id);
  // format_policies makes sure of the meaning itself.
  const std::string once = formatted(name, source->text());
  count.check(formatted(name, once) == once, name + ": formatting twice");
}

// Whether the reference takes each policy of the parser sample, found by asking it (4.13); most are of older languages.
void run_parser_sample(const fs::path& file, CorpusCount& count) {
  constexpr std::string_view kVerdicts = "nnnnnnnynnnnnnnnynynnnnnnnynnnnnnnnnnnnnnnnynynnyyyyyyy";
  const auto source = source_of(file);
  std::vector<cedar::Refusal> refusals;
  std::size_t begin = 0;
  std::size_t number = 0;
  for (const cedar::Token& token : cedar::tokenize(source->text(), refusals)) {
    if (token.kind != cedar::TokenKind::kSemicolon) continue;
    const auto text = std::string_view(source->text()).substr(begin, token.span.end - begin);
    begin = token.span.end;
    const bool is_accepted = cedar::parse_policies(cedar::Source::make("sample", text)).errors.empty();
    const bool is_wanted = number < kVerdicts.size() && kVerdicts[number] == 'y';
    count.check(is_accepted == is_wanted, file.string() + ": sample " + std::to_string(number));
    ++number;
  }
  count.check(number == kVerdicts.size(), file.string() + ": number of samples");
}

std::string_view snapshot_text(std::string_view snapshot) {
  const std::size_t head = snapshot.find("\n---\n", 3);
  std::string_view text = head == std::string_view::npos ? snapshot : snapshot.substr(head + 5);
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

// The file a snapshot was made from: "@sandbox_a__policies_2.cedar.snap" stands for sandbox_a/policies_2.cedar.
fs::path snapshot_input(const fs::path& snapshot) {
  std::string name = snapshot.filename().string();
  name = name.substr(name.find('@') + 1);
  name.resize(name.size() - std::string_view(".snap").size());
  if (snapshot.parent_path().filename() == "snapshots") return snapshot.parent_path().parent_path() / name;
  for (std::size_t at = name.find("__"); at != std::string::npos; at = name.find("__")) name.replace(at, 2, "/");
  fs::path root = snapshot;
  while (root.has_relative_path() && root.filename() != "cedar-syntax") root = root.parent_path();
  return root.parent_path() / "cedar-cli-samples" / name;
}

// Snapshots of an earlier run of the formatter lie beside those of the present one.
bool is_superseded(const fs::path& snapshot, std::string_view text) {
  constexpr std::string_view kEarlier = "cli_sample_data_format@";
  std::string name = snapshot.filename().string();
  const std::size_t at = name.find(kEarlier);
  if (at == std::string::npos) return false;
  const auto present =
      read_file((snapshot.parent_path() / name.replace(at, kEarlier.size(), "format_files@")).string());
  return present && snapshot_text(*present) != text;
}

void run_snapshot(const fs::path& file, CorpusCount& count) {
  const std::string content = read_file(file.string()).value_or("");
  const std::string_view wanted = snapshot_text(content);
  if (is_superseded(file, wanted)) {
    ++count.skipped;
    return count.note("skip " + file.string() + ": superseded by format_files@ beside it, which differs");
  }
  const std::string kept = formatted(file.string(), wanted);
  count.check(snapshot_text(kept) == wanted, file.string() + ": formatted text changes");
  const auto input = read_file(snapshot_input(file).string());
  if (!input) {
    ++count.skipped;
    return count.note("skip " + file.string() + ": its input is not there");
  }
  count.check(snapshot_text(formatted(file.string(), *input)) == wanted, file.string() + ": the layout differs");
}

// JSON of a policy or a set: read, and written back the same; or refused where the sample is there to be refused.
void run_policy_json(const fs::path& file, CorpusCount& count) {
  const std::string name = file.filename().string();
  const bool is_refused = name.starts_with("policy_mixed_") || name.starts_with("policy_no_matching_");
  const auto json = codec::parse_json(read_file(file.string()).value_or(""), cedar::kPolicyJsonLimits);
  if (!json.ok()) return count.fail(file.string() + ": " + json.error().to_string());
  if (json->find("effect") != nullptr || is_refused) {
    const auto policy = cedar::policy_from_json(*json, name);
    const auto set = cedar::policy_set_from_json(*json);
    if (is_refused) return count.check(!policy.ok() && !set.ok(), file.string() + ": is to be refused");
    const bool same = policy.ok() && cedar::to_json(**policy)->to_canonical_string() == json->to_canonical_string();
    return count.check(same, file.string() + ": the policy's JSON");
  }
  const auto set = cedar::policy_set_from_json(*json);
  const bool same = set.ok() && cedar::to_json(*set)->to_canonical_string() == json->to_canonical_string();
  count.check(same, file.string() + ": the set's JSON");
  fs::path text = file;
  text.replace_extension();  // policy.cedar beside policy.cedar.json is the same set as text
  if (!fs::exists(text)) return;
  const auto parsed = cedar::parse_policies(source_of(text));
  const auto translated = cedar::to_json(cedar::PolicySet::from(parsed.policies));
  count.check(translated.ok() && translated->to_canonical_string() == json->to_canonical_string(),
              file.string() + ": the translation");
}

void run_probes(const fs::path& file, CorpusCount& count) {
  const auto json = codec::parse_json(read_file(file.string()).value_or(""), kCorpusLimits);
  if (!json.ok() || json->find("cases") == nullptr) return count.fail(file.string() + ": unreadable");
  auto user = std::make_shared<cedar::Entity>();
  user->uid = cedar::make_entity("U", "a");
  user->attributes = {{"s", cedar::Value("x")}};
  user->parents = {cedar::make_entity("G", "g")};
  const auto store = cedar::EntityStore::make({user});
  const cedar::Request request{cedar::make_entity("U", "a"), cedar::make_entity("Action", "v"),
                               cedar::make_entity("R", "r"),
                               cedar::Value::record({{"a", cedar::Value::record({{"b", cedar::Value(1)}})}})};
  for (const Json& probe : json->find("cases")->items()) {
    const std::string when(probe.string_or("when", ""));
    std::string expected(probe.string_or("outcome", ""));
    // One probe is short of a parenthesis, which the run that made it took for a policy that denies.
    if (expected == " deny") expected = "reject";
    const auto parsed =
        cedar::parse_policies(cedar::Source::make("probe", "permit(principal,action,resource) when { " + when + " };"));
    std::string outcome = "reject";
    if (parsed.errors.empty()) {
      cedar::StoreView view(*store);
      const auto response = cedar::is_authorized(cedar::PolicySet::from(parsed.policies), request, view);
      outcome = response.is_allowed ? "allow" : response.errors.empty() ? "deny" : "error";
    }
    count.check(outcome == expected, file.string() + ": " + when + ": " + outcome);
  }
}

}  // namespace

bool run_cedar_form(const fs::path& file, CorpusCount& count) {
  const std::string name = file.filename().string();
  if (name == "parser_policies.cedar")
    run_parser_sample(file, count);
  else if (name == "semantic-facts.json")
    run_probes(file, count);
  else if (name.ends_with(".cedar"))
    run_policies(file, count);
  else if (name.ends_with(".cedar.json"))
    run_policy_json(file, count);
  else if (name.ends_with(".cedar.snap"))
    run_snapshot(file, count);
  else
    return false;
  return true;
}

}  // namespace wary::test
