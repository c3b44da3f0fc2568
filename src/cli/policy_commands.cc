// policy check, fmt, convert, eval, explain, search, diff, unused, test: Cedar policies as files, without a running
// wary; diff and unused also with one.
#include <algorithm>

#include "cedar/format.h"
#include "cedar/json.h"
#include "cedar/parser.h"
#include "cedar/policy_json.h"
#include "cedar/printer.h"
#include "cli/commands.h"
#include "cli/policy_files.h"
#include "cli/policy_live.h"
#include "cli/policy_questions.h"
#include "cli/policy_review.h"
#include "cli/policy_test_file.h"
#include "policy/validate.h"
#include "schema/validator.h"

namespace wary::cli {

namespace {

using codec::Json;

std::string counted(std::size_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

Result<std::optional<std::uint32_t>> read_level(const Arguments& arguments) {
  if (!arguments.has("--level")) return std::optional<std::uint32_t>();
  const std::string text = arguments.flag("--level");
  const bool is_number = !text.empty() && text.size() <= 3 &&
                         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_number) {
    return fail(ErrorKind::kInvalid, "usage", "not a level").at("--level").expected("a number to 999").found(text);
  }
  return std::optional<std::uint32_t>(static_cast<std::uint32_t>(std::stoul(text)));
}

// Says what was found in how many policies; an error when one of them is.
Status report_findings(Context& context, std::size_t policies, const std::vector<policy::PolicyFinding>& findings) {
  std::size_t errors = 0;
  Json list = Json::array();
  for (const policy::PolicyFinding& finding : findings) {
    errors += finding.is_warning ? 0U : 1U;
    if (context.is_json) {
      list.push(finding_json(finding));
    } else {
      print_finding(context, finding);
    }
  }
  if (context.is_json) {
    context.out(Json::object({{"policies", Json(static_cast<std::int64_t>(policies))}, {"findings", std::move(list)}})
                    .to_pretty_string() +
                "\n");
  } else {
    context.out(counted(policies, "policy", "policies") + ": " + counted(errors, "error", "errors") + ", " +
                counted(findings.size() - errors, "warning", "warnings") + "\n");
  }
  if (errors == 0) return {};
  return fail(ErrorKind::kInvalid, "policy_invalid", counted(errors, "error", "errors") + " in the policies");
}

// What `wary apply` would say of these files.
Status check_for_platform(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const std::vector<PolicyFile> files, read_texts(context, arguments.positional));
  std::size_t count = 0;
  std::size_t broken = 0;
  std::vector<policy::PolicyFinding> findings;
  for (const PolicyFile& file : files) {
    WARY_ASSIGN_OR_RETURN(const std::string name, applied_name(file));
    const policy::PolicyCheck check = policy::check_policies({name, file.text, file.path, 1});
    print_errors(context, check.errors);
    broken += check.errors.size();
    count += check.policies.size();
    for (policy::PolicyFinding& finding : policy::validate_policies(check)) findings.push_back(std::move(finding));
  }
  if (broken > 0) {
    return fail(ErrorKind::kInvalid, "policy_invalid", counted(broken, "error", "errors") + " in the policies");
  }
  return report_findings(context, count, findings);
}

Status check_policies(Context& context, const Arguments& arguments) {
  const auto misplaced = [](std::string_view flag, std::string_view next) {
    return fail(ErrorKind::kInvalid, "usage", "this option does not go with the others").found(flag).next(next);
  };
  const bool has_schema = arguments.has("--schema");
  if (arguments.has("--platform") && has_schema) {
    return misplaced("--schema", "--platform is wary's own schema: name one of the two");
  }
  if (arguments.has("--level") && !has_schema) return misplaced("--level", "name the schema with --schema FILE");
  if (arguments.has("--platform")) return check_for_platform(context, arguments);
  WARY_ASSIGN_OR_RETURN(const PolicyFiles policies, read_policy_files(context, arguments.positional));
  const std::size_t count = policies.set.policies().size() + policies.set.templates().size();
  if (!has_schema) {
    context.out(context.is_json ? "{\"policies\": " + std::to_string(count) + "}\n"
                                : counted(count, "policy", "policies") +
                                      ": no syntax errors; --schema FILE or --platform checks the types too\n");
    return {};
  }
  WARY_ASSIGN_OR_RETURN(const schema::Schema schema, read_schema(context, arguments.flag("--schema")));
  schema::ValidationOptions options;
  WARY_ASSIGN_OR_RETURN(options.level, read_level(arguments));
  schema::Validation validation = schema::validate(schema, policies.set, options);
  std::vector<policy::PolicyFinding> findings;
  for (schema::Finding& finding : validation.findings) {
    findings.push_back({std::string(schema::to_string(finding.kind)), std::move(finding.policy_id), finding.is_warning,
                        std::move(finding.error), std::move(finding.caret)});
  }
  return report_findings(context, count, findings);
}

Status format(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const std::vector<PolicyFile> files, read_texts(context, arguments.positional));
  std::size_t changed = 0;
  std::size_t broken = 0;
  Json list = Json::array();
  for (const PolicyFile& file : files) {
    if (file.is_json) {
      return fail(ErrorKind::kInvalid, "policy_file", "JSON has no layout to change")
          .at(file.path)
          .expected("a name ending in .cedar")
          .next("wary policy convert prints it as text");
    }
    const cedar::FormattedPolicies formatted = cedar::format_policies(file.source);
    print_errors(context, formatted.errors);
    broken += formatted.errors.empty() ? 0U : 1U;
    if (!formatted.errors.empty() || formatted.text == file.text) continue;
    ++changed;
    list.push(Json(std::string_view(file.path)));
    if (!context.is_json) context.out(file.path + "\n");
    if (arguments.has("--check")) continue;
    WARY_RETURN_IF_ERROR(io::write_file_atomically(context.files, file.path, as_bytes(formatted.text)));
  }
  if (context.is_json) context.out(Json::object({{"changed", std::move(list)}}).to_pretty_string() + "\n");
  if (broken > 0) {
    return fail(ErrorKind::kInvalid, "policy_invalid",
                counted(broken, "file has", "files have") + " syntax errors, and is as it was");
  }
  if (changed > 0 && arguments.has("--check")) {
    return fail(ErrorKind::kInvalid, "policy_format", counted(changed, "file is", "files are") + " not formatted")
        .next("wary policy fmt rewrites them");
  }
  return {};
}

Status convert(Context& context, const Arguments& arguments) {
  const std::string path = arguments.positional[0];
  if (path.ends_with(".cedarschema") || path.ends_with(".cedarschema.json")) {
    WARY_ASSIGN_OR_RETURN(const schema::Schema schema, read_schema(context, path));
    if (path.ends_with(".json")) {
      WARY_ASSIGN_OR_RETURN(const std::string text, schema::to_text(schema.declarations()));
      context.out(text);
    } else {
      context.out(schema::to_json(schema.declarations()).to_pretty_string() + "\n");
    }
    return {};
  }
  WARY_ASSIGN_OR_RETURN(const PolicyFiles policies, read_policy_files(context, {path}));
  if (!policies.files.empty() && policies.files.front().is_json) {
    for (const auto* list : {&policies.set.policies(), &policies.set.templates()}) {
      for (const cedar::Policy& policy : *list) context.out(cedar::print(standalone(policy)) + "\n");
    }
    return {};
  }
  WARY_ASSIGN_OR_RETURN(const Json json, cedar::to_json(policies.set));
  context.out(json.to_pretty_string() + "\n");
  return {};
}

Status run_tests(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const PolicyFiles policies, read_policy_files(context, {arguments.flag("--policies")}));
  std::optional<schema::Schema> schema;
  if (arguments.has("--schema")) {
    WARY_ASSIGN_OR_RETURN(schema::Schema read, read_schema(context, arguments.flag("--schema")));
    schema.emplace(std::move(read));
  }
  std::size_t passed = 0;
  std::size_t failed = 0;
  Json list = Json::array();
  for (const std::string& path : arguments.positional) {
    WARY_ASSIGN_OR_RETURN(const Json json, read_json(context, path));
    auto outcomes = run_policy_tests(json, policies.set, schema ? &*schema : nullptr);
    if (!outcomes.ok()) {
      Error error = outcomes.error();
      error.where = path + error.where;
      return error;
    }
    for (const PolicyTestOutcome& outcome : *outcomes) {
      ++(outcome.problem.empty() ? passed : failed);
      if (outcome.problem.empty()) continue;
      list.push(Json::object({{"file", Json(std::string_view(path))},
                              {"name", Json(std::string_view(outcome.name))},
                              {"problem", Json(std::string_view(outcome.problem))}}));
      if (!context.is_json) context.out("FAIL " + path + " " + outcome.name + ": " + outcome.problem + "\n");
    }
  }
  if (context.is_json) {
    context.out(Json::object({{"passed", Json(static_cast<std::int64_t>(passed))},
                              {"failed", Json(static_cast<std::int64_t>(failed))},
                              {"failures", std::move(list)}})
                    .to_pretty_string() +
                "\n");
  } else {
    context.out(std::to_string(passed) + " passed, " + std::to_string(failed) + " failed\n");
  }
  if (failed == 0) return {};
  return fail(ErrorKind::kInvalid, "policy_test", counted(failed, "test", "tests") + " failed");
}

constexpr std::string_view kByCedar =
    "By Cedar's own rules: a policy that fails is skipped. wary denies where a forbid fails; policy explain says so.";

Flag policies_flag() {
  return {"--policies", "PATH", "a file of policies (.cedar, .json) or a directory of .cedar files", true};
}
Flag schema_flag(bool is_required = false) {
  return {"--schema", "FILE", "a Cedar schema (.cedarschema or .json)", is_required};
}
Flag entities_flag() { return {"--entities", "FILE", "entities as JSON"}; }

std::vector<Command> text_commands() {
  return {
      {{"policy", "check"},
       {"FILE", "..."},
       "Check policies: syntax, and types against a schema",
       {schema_flag(),
        {"--platform", "", "by wary's own schema and rules, as wary apply checks them"},
        {"--level", "N", "with --schema: how many steps from entity to entity a policy may take"}},
       "",
       check_policies},
      {{"policy", "fmt"},
       {"FILE", "..."},
       "Lay policies out in the one style, comments kept",
       {{"--check", "", "change nothing; fail when a file would change"}},
       "The names of changed files are printed.",
       format},
      {{"policy", "convert"},
       {"FILE"},
       "Print policies or a schema in the other form: text as JSON, JSON as text",
       {},
       "FILE ends in .cedar, .json, .cedarschema or .cedarschema.json.",
       convert},
  };
}

std::vector<Command> question_commands() {
  const std::vector<Flag> question = {policies_flag(),
                                      {"--principal", "UID", "who, as Type::\"id\"", true},
                                      {"--action", "UID", "what", true},
                                      {"--resource", "UID", "on what", true},
                                      {"--context", "JSON", "the context as JSON, or @FILE"},
                                      entities_flag(),
                                      schema_flag()};
  std::vector<Flag> searched = question;
  for (Flag& flag : searched) flag.is_required = flag.name == "--policies";
  return {
      {{"policy", "eval"},
       {},
       "Decide a request by files: decision, reasons, errors",
       question,
       std::string(kByCedar) + "\nExit code 0 is ALLOW and 1 is DENY; another is an error, and no answer.",
       policy_evaluate},
      {{"policy", "explain"},
       {},
       "Say why a request is decided as it is: clauses, values, the nearest permits",
       question,
       "By the decision point's rules: its guardrails hold as well, and a forbid that fails denies.",
       policy_explain},
      {{"policy", "search"},
       {"WHAT", "TYPE"},
       "List who may, or on what: every principal, action or resource of a type that is allowed",
       searched,
       "WHAT is principal, action or resource; its own option is left out. Only entities that are known can be "
       "found.\n" +
           std::string(kByCedar),
       policy_search},
  };
}

std::vector<Flag> with_ledger(std::vector<Flag> flags) {
  for (Flag& flag : ledger_flags()) flags.push_back(std::move(flag));
  return flags;
}

// Those that read a running wary too.
std::vector<Command> review_commands() {
  return {
      {{"policy", "diff"},
       {"PATH", "..."},
       "Say what a change of policies does: what is proved, and who gains or loses what",
       with_ledger(
           {schema_flag(),
            {"--schema-before", "FILE", "of OLD, where its schema is another than --schema"},
            entities_flag(),
            {"--platform", "", "PATH: what applying it would change in a running wary; its ledger is asked again"},
            {"--namespace", "NAME", "of --platform: the policies' namespace (default: default)"},
            {"--ledger", "", "OLD NEW: over the entities and recorded decisions of a running wary"},
            {"--no-new-access", "", "fail unless it is proved that nobody gains access"}}),
       "PATH is OLD NEW, with --schema or --ledger; or with --platform the files as `wary apply` would take them.\n"
       "Every answer says which tier gave it: scope, solver, entities, or ledger. What is not proved is unknown, "
       "never\n"
       "safe; so is a recorded decision whose request was not recorded whole, or that rests on what is gone since.\n"
       "Recorded decisions are asked again by the policies alone, not by what wary adds for revoked and ended "
       "sessions.\n"
       "With --schema-before each set is checked by its own schema. What is gained is asked of all that fits the new "
       "one,\n"
       "what is lost of all that fits the old one; kinds of request that only one has are named, and nothing is "
       "proved\n"
       "of them. --entities fit the old one.\n"
       "By the decision point's rule: a forbid that fails denies, a permit that fails is skipped.",
       policy_diff},
      {{"policy", "unused"},
       {"[FILE]", "..."},
       "List permits that recorded requests never used, and narrower ones that would do",
       with_ledger({{"--policies", "PATH", "a file of policies or a directory of them (default: what is in force)"},
                    {"--schema", "FILE", "a Cedar schema (default: wary's own)"},
                    {"--ledger", "", "the decisions of a running wary, as without FILE"}}),
       "Without FILE the ledger of a running wary is read. FILE holds one JSON object a line: {\"principal\", "
       "\"action\",\n"
       "\"resource\": as Type::\"id\", \"decision\": \"allow\" or \"deny\", \"policies\": [ids]}; --policies and "
       "--schema\n"
       "go with it. A use counts for the policy of its id, also when its text was another then.",
       policy_unused},
      {{"policy", "test"},
       {"FILE", "..."},
       "Run tests of policies: requests with the decisions they must get",
       {policies_flag(), schema_flag()},
       "A test file is a JSON list of {\"name\"?, \"request\": {\"principal\", \"action\", \"resource\", "
       "\"context\"?},\n"
       "\"entities\"?, \"decision\": \"allow\" or \"deny\", \"reason\"?: [policy ids], \"num_errors\"?}.\n" +
           std::string(kByCedar),
       run_tests},
  };
}

}  // namespace

std::vector<Command> policy_commands() {
  std::vector<Command> out = text_commands();
  for (const auto& more : {question_commands(), review_commands()}) out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace wary::cli
