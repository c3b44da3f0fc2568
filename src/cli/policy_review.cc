#include "cli/policy_review.h"

#include <optional>

#include "analysis/impact.h"
#include "analysis/recorded.h"
#include "cli/policy_files.h"
#include "cli/policy_live.h"
#include "policy/validate.h"
#include "schema/validator.h"

namespace wary::cli {

namespace {

using codec::Json;

Json review_json(const analysis::Review& review) {
  Json environments = Json::array();
  for (const analysis::EnvironmentReview& one : review.environments) {
    const auto finding = [](const analysis::Finding& found) {
      Json out = Json::object({{"verdict", Json(analysis::to_string(found.answer.verdict))},
                               {"tier", Json(analysis::to_string(found.tier))}});
      if (!found.answer.reason.empty()) out.set("reason", std::string_view(found.answer.reason));
      if (found.answer.witness) out.set("example", analysis::to_string(*found.answer.witness));
      return out;
    };
    environments.push(Json::object({{"environment", Json(analysis::to_string(one.environment))},
                                    {"comparison", Json(analysis::to_string(one.comparison))},
                                    {"gains_nothing", finding(one.gained)},
                                    {"loses_nothing", finding(one.lost)}}));
  }
  Json changes = Json::array();
  for (const analysis::PolicyChange& change : review.changes) {
    const std::string_view kind = change.before == nullptr ? "added" : change.after == nullptr ? "removed" : "edited";
    changes.push(Json::object({{"policy", Json(std::string_view(change.id()))}, {"change", Json(kind)}}));
  }
  for (const analysis::PolicyChange& change : review.moved) {
    changes.push(Json::object({{"policy", Json(std::string_view(change.id()))}, {"change", Json("moved")}}));
  }
  Json not_covered = Json::array();
  for (const analysis::NotCovered& one : review.not_covered) not_covered.push(Json(std::string_view(one.reason)));
  return Json::object({{"not_covered", std::move(not_covered)},
                       {"no_new_access", Json(analysis::to_string(review.no_new_access()))},
                       {"no_lost_access", Json(analysis::to_string(review.no_lost_access()))},
                       {"changes", std::move(changes)},
                       {"environments", std::move(environments)}});
}

// Where the schemas differ.
void add_schema(const analysis::Review& review, Json& out) {
  Json lines = Json::array();
  for (const std::string& line : review.schema_changes) lines.push(Json(std::string_view(line)));
  Json lone = Json::array();
  for (const analysis::LoneEnvironment& one : review.lone) {
    Json permits = Json::array();
    for (const std::string& id : one.permits) permits.push(Json(std::string_view(id)));
    lone.push(Json::object({{"environment", Json(analysis::to_string(one.environment))},
                            {"change", Json(std::string_view(one.is_added ? "added" : "removed"))},
                            {"permits", std::move(permits)}}));
  }
  out.set("schema_changes", std::move(lines)).set("only_one_schema", std::move(lone));
}

Json impact_json(const analysis::Impact& impact) {
  Json examples = Json::array();
  for (const analysis::AccessChange& change : impact.examples) {
    examples.push(Json::object({{"change", Json(std::string_view(change.is_gained ? "gains" : "loses"))},
                                {"principal", Json(std::string_view(change.principal))},
                                {"action", Json(std::string_view(change.action))},
                                {"resource", Json(std::string_view(change.resource))}}));
  }
  return Json::object({{"gained", Json(static_cast<std::int64_t>(impact.gained))},
                       {"lost", Json(static_cast<std::int64_t>(impact.lost))},
                       {"undecided", Json(static_cast<std::int64_t>(impact.undecided))},
                       {"principals", Json(static_cast<std::int64_t>(impact.principals))},
                       {"complete", Json(impact.is_complete)},
                       {"reason", Json(std::string_view(impact.reason))},
                       {"examples", std::move(examples)}});
}

std::string impact_text(const analysis::Impact& impact) {
  std::string out = "entities: " + std::to_string(impact.gained) + " accesses gained, " + std::to_string(impact.lost) +
                    " lost, by " + std::to_string(impact.principals) + " principals, with an empty context\n";
  if (impact.undecided > 0) {
    out += "  and " + std::to_string(impact.undecided) + " that a forbid decides by the context\n";
  }
  if (!impact.is_complete) out += "  not all was looked at: " + impact.reason + "\n";
  for (const analysis::AccessChange& change : impact.examples) {
    out += std::string(change.is_gained ? "  + " : "  - ") + change.principal + "  " + change.action + "  " +
           change.resource + "\n";
  }
  return out;
}

Json groups_json(const std::vector<analysis::ReplayGroup>& groups) {
  Json out = Json::array();
  for (const analysis::ReplayGroup& group : groups) {
    Json one = Json::object({{"principal", Json(std::string_view(group.principal))},
                             {"action", Json(std::string_view(group.action))},
                             {"resource", Json(std::string_view(group.resource))},
                             {"count", Json(static_cast<std::int64_t>(group.count))}});
    if (!group.reason.empty()) one.set("reason", std::string_view(group.reason));
    out.push(std::move(one));
  }
  return out;
}

Json replay_json(const analysis::Replay& replay, const LedgerRead& read) {
  Json out = to_json(read);
  out.set("gained", static_cast<std::int64_t>(replay.gained)).set("lost", static_cast<std::int64_t>(replay.lost));
  out.set("same", static_cast<std::int64_t>(replay.same)).set("unknown", static_cast<std::int64_t>(replay.unknown));
  out.set("gains", groups_json(replay.gains)).set("losses", groups_json(replay.losses));
  out.set("unknowns", groups_json(replay.unknowns)).set("unnamed", static_cast<std::int64_t>(replay.unnamed));
  return out;
}

void add_groups(std::string& out, std::string_view sign, const std::vector<analysis::ReplayGroup>& groups) {
  for (const analysis::ReplayGroup& group : groups) {
    out += "  " + std::string(sign) + " " + group.principal + "  " + group.action + "  " + group.resource;
    if (group.count > 1) out += "  " + std::to_string(group.count) + " times";
    if (!group.reason.empty()) out += "  unknown: " + group.reason;
    out += "\n";
  }
}

std::string replay_text(const analysis::Replay& replay, const LedgerRead& read) {
  std::string out = "ledger: " + to_string(read) +
                    "\n  asked again, by the policies alone: " + std::to_string(replay.gained) +
                    " allowed that were not, " + std::to_string(replay.lost) + " no longer allowed, " +
                    std::to_string(replay.same) + " as before, " + std::to_string(replay.unknown) + " unknown\n";
  add_groups(out, "+", replay.gains);
  add_groups(out, "-", replay.losses);
  add_groups(out, "?", replay.unknowns);
  if (replay.unnamed > 0) out += "  and " + std::to_string(replay.unnamed) + " that are not named here\n";
  return out;
}

// What is compared, and by what.
struct Change {
  std::optional<schema::Schema> named;   // of --schema
  std::optional<schema::Schema> former;  // of --schema-before
  const schema::Schema* schema = nullptr;
  const schema::Schema& schema_before() const { return former ? *former : *schema; }
  cedar::PolicySet before;
  cedar::PolicySet after;
  std::optional<Live> live;
  std::vector<policy::PolicyFinding> unknown;  // entities that the files of --platform name and that are not there
};

// The files in the place of what `wary apply` would put them over; everything else in force stays.
Result<cedar::PolicySet> policies_after_apply(Context& context, const Arguments& arguments, const Live& live,
                                              std::vector<policy::PolicyFinding>& unknown) {
  WARY_ASSIGN_OR_RETURN(const std::vector<PolicyFile> files, read_texts(context, arguments.positional));
  std::vector<policy::PolicyText> texts = live.texts;
  policy::EntityNames names = names_of(live);
  for (const PolicyFile& file : files) {
    WARY_ASSIGN_OR_RETURN(const std::string name, applied_name(file));
    const std::string id = arguments.flag("--namespace", "default") + "/" + name;
    std::erase_if(texts, [&](const policy::PolicyText& text) { return text.id == id; });
    texts.push_back({id, file.text, file.path, 1});
    for (policy::PolicyFinding& finding : names.find_unknown(policy::check_policies(texts.back()))) {
      unknown.push_back(std::move(finding));
    }
  }
  return policies_of_texts(context, texts);
}

Status read_change(Context& context, const Arguments& arguments, Change& out) {
  const bool is_platform = arguments.has("--platform");
  const bool is_live = is_platform || arguments.has("--ledger");
  if (is_platform && arguments.has("--schema")) return misplaced("--schema", "--platform is wary's own schema");
  if (is_live && arguments.has("--entities")) return misplaced("--entities", "a running wary has its own entities");
  if (!is_platform && arguments.has("--namespace")) return misplaced("--namespace", "it goes with --platform");
  if (is_live && arguments.has("--schema-before")) return misplaced("--schema-before", "a running wary has one schema");
  for (const char* flag : {"--last", "--since"}) {
    if (!is_live && arguments.has(flag)) return misplaced(flag, "it goes with --ledger or --platform");
  }
  if (!is_platform && arguments.positional.size() != 2) {
    return fail(ErrorKind::kInvalid, "usage", "two sets of policies are compared")
        .expected("OLD NEW, or --platform FILE ...")
        .found(std::to_string(arguments.positional.size()))
        .next("wary help policy diff");
  }
  WARY_RETURN_IF_ERROR(read_schema_of(context, arguments, is_live, out.named, out.schema));
  if (arguments.has("--schema-before")) {
    WARY_ASSIGN_OR_RETURN(out.former, read_schema(context, arguments.flag("--schema-before")));
  }
  if (is_live) {
    WARY_ASSIGN_OR_RETURN(out.live, read_live(context));
  }
  if (is_platform) {
    out.before = out.live->policies;
    WARY_ASSIGN_OR_RETURN(out.after, policies_after_apply(context, arguments, *out.live, out.unknown));
    return {};
  }
  WARY_ASSIGN_OR_RETURN(PolicyFiles before, read_policy_files(context, {arguments.positional[0]}));
  WARY_ASSIGN_OR_RETURN(PolicyFiles after, read_policy_files(context, {arguments.positional[1]}));
  out.before = std::move(before.set);
  out.after = std::move(after.set);
  return {};
}

Result<analysis::Impact> impact_of(Context& context, const engine::SnapshotPtr& snapshot, const Change& change,
                                   const analysis::Review& review) {
  std::vector<analysis::PolicyChange> changes = review.changes;
  changes.insert(changes.end(), review.moved.begin(), review.moved.end());
  const analysis::ImpactQuery query{.schema = *change.schema,
                                    .schema_before = change.former ? &*change.former : nullptr,
                                    .changes = changes,
                                    .now = context.clock.unix_time()};
  return analysis::find_impact(snapshot, change.after.policies(), query);
}

Result<engine::SnapshotPtr> snapshot_of_file(Context& context, const Arguments& arguments, const Change& change) {
  WARY_ASSIGN_OR_RETURN(const std::vector<cedar::EntityHandle> entities,
                        read_entities(context, arguments.flag("--entities"), &change.schema_before()));
  std::vector<engine::EntityInput> inputs;
  inputs.reserve(entities.size());
  for (const cedar::EntityHandle& entity : entities) inputs.push_back({entity.get(), {}});
  return engine::Snapshot::make(change.before.policies(), inputs, {.seed = context.random.number()});
}

Result<LedgerRead> replay_ledger(Context& context, const Arguments& arguments, const Change& change,
                                 const engine::Snapshot& before, const engine::Snapshot& after, analysis::Replay& out) {
  const UnixTime now = context.clock.unix_time();
  analysis::Replayer replayer({before, change.before, after, change.after}, now,
                              [&](const cedar::EntityUid& uid, UnixTime decided, bool is_named) {
                                return changed_since(*change.live, uid, decided, now, is_named);
                              });
  WARY_ASSIGN_OR_RETURN(LedgerRead read, read_decisions(context, arguments, [&](LedgerDecision decision) -> Status {
                          replayer.add(decision.recorded);
                          return {};
                        }));
  out = replayer.result();
  return read;
}

struct DiffReport {
  analysis::Review review;
  std::optional<analysis::Impact> impact;
  std::optional<LedgerRead> read;
  analysis::Replay replay;
};

void print_report(Context& context, const Arguments& arguments, const Change& change, const DiffReport& report) {
  if (!context.is_json) {
    for (const policy::PolicyFinding& finding : change.unknown) print_finding(context, finding);
    context.out(analysis::to_string(report.review));
    if (report.impact) context.out(impact_text(*report.impact));
    if (report.read) context.out(replay_text(report.replay, *report.read));
    return;
  }
  Json out = review_json(report.review);
  if (arguments.has("--schema-before")) add_schema(report.review, out);
  if (report.impact) out.set("entities", impact_json(*report.impact));
  if (report.read) out.set("ledger", replay_json(report.replay, *report.read));
  if (!change.unknown.empty()) {
    Json warnings = Json::array();
    for (const policy::PolicyFinding& finding : change.unknown) warnings.push(finding_json(finding));
    out.set("warnings", std::move(warnings));
  }
  context.out(out.to_pretty_string() + "\n");
}

Status judge(const Arguments& arguments, const DiffReport& report) {
  const analysis::Verdict verdict = report.review.no_new_access();
  const bool is_shown =
      verdict == analysis::Verdict::kFails || (report.impact && report.impact->gained > 0) || report.replay.gained > 0;
  const bool is_proved = verdict == analysis::Verdict::kHolds;
  if (!arguments.has("--no-new-access") || (is_proved && !is_shown)) return {};
  return fail(ErrorKind::kDenied, "policy_new_access",
              is_shown ? "the change gives new access" : "it is not proved that the change gives no new access");
}

}  // namespace

Status policy_diff(Context& context, const Arguments& arguments) {
  Change change;
  WARY_RETURN_IF_ERROR(read_change(context, arguments, change));
  DiffReport report;
  report.review = analysis::review_change({change.schema_before(), change.before}, {*change.schema, change.after}, {});
  engine::SnapshotPtr snapshot;
  if (change.live) {
    WARY_ASSIGN_OR_RETURN(snapshot, compile_live(*change.live, change.before));
  } else if (arguments.has("--entities")) {
    WARY_ASSIGN_OR_RETURN(snapshot, snapshot_of_file(context, arguments, change));
  }
  if (snapshot) {
    WARY_ASSIGN_OR_RETURN(report.impact, impact_of(context, snapshot, change, report.review));
  }
  if (change.live) {
    WARY_ASSIGN_OR_RETURN(report.read,
                          replay_ledger(context, arguments, change, *snapshot, *report.impact->after, report.replay));
  }
  print_report(context, arguments, change, report);
  return judge(arguments, report);
}

}  // namespace wary::cli
