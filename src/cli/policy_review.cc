#include "cli/policy_review.h"

#include <set>

#include "analysis/impact.h"
#include "analysis/unused.h"
#include "cedar/json.h"
#include "cedar/parser.h"
#include "cli/policy_files.h"

namespace wary::cli {

namespace {

using codec::Json;

constexpr std::size_t kRecordsMax = 1'000'000;

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
  Json not_covered = Json::array();
  for (const analysis::NotCovered& one : review.not_covered) not_covered.push(Json(std::string_view(one.reason)));
  return Json::object({{"not_covered", std::move(not_covered)},
                       {"no_new_access", Json(analysis::to_string(review.no_new_access()))},
                       {"no_lost_access", Json(analysis::to_string(review.no_lost_access()))},
                       {"changes", std::move(changes)},
                       {"environments", std::move(environments)}});
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
                       {"principals", Json(static_cast<std::int64_t>(impact.principals))},
                       {"complete", Json(impact.is_complete)},
                       {"reason", Json(std::string_view(impact.reason))},
                       {"examples", std::move(examples)}});
}

std::string impact_text(const analysis::Impact& impact) {
  std::string out = "entities: " + std::to_string(impact.gained) + " accesses gained, " + std::to_string(impact.lost) +
                    " lost, by " + std::to_string(impact.principals) + " principals, with an empty context\n";
  if (!impact.is_complete) out += "  not all was looked at: " + impact.reason + "\n";
  for (const analysis::AccessChange& change : impact.examples) {
    out += std::string(change.is_gained ? "  + " : "  - ") + change.principal + "  " + change.action + "  " +
           change.resource + "\n";
  }
  return out;
}

Result<analysis::Impact> impact_of(Context& context, const schema::Schema& schema, const std::string& path,
                                   const cedar::PolicySet& before, const cedar::PolicySet& after,
                                   const analysis::Review& review) {
  WARY_ASSIGN_OR_RETURN(const std::vector<cedar::EntityHandle> entities, read_entities(context, path, &schema));
  std::vector<engine::EntityInput> inputs;
  inputs.reserve(entities.size());
  for (const cedar::EntityHandle& entity : entities) inputs.push_back({entity.get(), {}});
  WARY_ASSIGN_OR_RETURN(const engine::SnapshotPtr snapshot,
                        engine::Snapshot::make(before.policies(), inputs, {.seed = context.random.number()}));
  const analysis::ImpactQuery query{.schema = schema, .changes = review.changes, .now = context.clock.unix_time()};
  return analysis::find_impact(snapshot, after.policies(), query);
}

Result<cedar::EntityPtr> record_uid(const Json& record, std::string_view member, const std::string& where) {
  auto uid = cedar::parse_entity_uid(record.string_or(member, ""));
  if (!uid.ok()) {
    return fail(ErrorKind::kInvalid, "policy_record", "not a recorded request")
        .at(where + "/" + std::string(member))
        .expected("Type::\"id\" in a string");
  }
  return cedar::make_entity(uid->type, uid->id);
}

Status add_record(std::string_view line, const std::string& where, std::vector<analysis::RecordedRequest>& out) {
  if (out.size() >= kRecordsMax) {
    return fail(ErrorKind::kExhausted, "policy_record", "more than 1,000,000 recorded requests").at(where);
  }
  const auto json = codec::parse_json(line);
  if (!json.ok() || !json->is_object()) {
    return fail(ErrorKind::kInvalid, "policy_record", "not a recorded request")
        .at(where)
        .expected("a JSON object a line");
  }
  analysis::RecordedRequest record;
  WARY_ASSIGN_OR_RETURN(record.principal, record_uid(*json, "principal", where));
  WARY_ASSIGN_OR_RETURN(record.action, record_uid(*json, "action", where));
  WARY_ASSIGN_OR_RETURN(record.resource, record_uid(*json, "resource", where));
  const auto wrong = [&](std::string_view member, std::string_view expected) {
    return fail(ErrorKind::kInvalid, "policy_record", "not a recorded request")
        .at(where + "/" + std::string(member))
        .expected(expected);
  };
  const std::string_view decision = json->string_or("decision", "");
  if (decision != "allow" && decision != "deny") return wrong("decision", "allow or deny").found(decision);
  record.is_allowed = decision == "allow";
  const Json* policies = json->find("policies");
  if (policies == nullptr || !policies->is_array()) return wrong("policies", "a list of policy ids");
  for (const Json& policy : policies->items()) {
    if (!policy.is_string()) return wrong("policies", "a list of policy ids");
    record.determining.emplace_back(policy.as_string());
  }
  out.push_back(std::move(record));
  return {};
}

Result<std::vector<analysis::RecordedRequest>> read_records(Context& context, const std::vector<std::string>& paths) {
  constexpr std::size_t kRecordFileMax = std::size_t{512} << 20;
  std::vector<analysis::RecordedRequest> out;
  for (const std::string& path : paths) {
    WARY_ASSIGN_OR_RETURN(const Bytes bytes, io::read_file(context.files, path, kRecordFileMax));
    std::string_view text = as_text(bytes);
    for (std::size_t number = 1; !text.empty(); ++number) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      if (!line.empty()) WARY_RETURN_IF_ERROR(add_record(line, path + ":" + std::to_string(number), out));
    }
  }
  if (out.empty()) {
    return fail(ErrorKind::kInvalid, "policy_record", "no recorded request, so nothing is known to be unused")
        .at(paths.front());
  }
  return out;
}

// Ids that the records have and the policies have not: with other ids, every permit would look unused.
void tell_strangers(Context& context, const cedar::PolicySet& policies,
                    const std::vector<analysis::RecordedRequest>& records) {
  std::set<std::string> strangers;
  for (const analysis::RecordedRequest& record : records) {
    for (const std::string& id : record.determining) {
      if (policies.find(id) == nullptr) strangers.insert(id);
    }
  }
  if (strangers.empty()) return;
  context.err("warning: the records name policies that are not here (" + std::to_string(strangers.size()) +
              ", for example " + *strangers.begin() + "): such requests count for no permit\n");
}

}  // namespace

Status policy_diff(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const schema::Schema schema, read_schema(context, arguments.flag("--schema")));
  WARY_ASSIGN_OR_RETURN(const PolicyFiles before, read_policy_files(context, {arguments.positional[0]}));
  WARY_ASSIGN_OR_RETURN(const PolicyFiles after, read_policy_files(context, {arguments.positional[1]}));
  const analysis::Review review = analysis::review_change(schema, before.set, after.set, {});
  std::optional<analysis::Impact> impact;
  if (arguments.has("--entities")) {
    WARY_ASSIGN_OR_RETURN(impact,
                          impact_of(context, schema, arguments.flag("--entities"), before.set, after.set, review));
  }
  if (context.is_json) {
    Json out = review_json(review);
    if (impact) out.set("entities", impact_json(*impact));
    context.out(out.to_pretty_string() + "\n");
  } else {
    context.out(analysis::to_string(review));
    if (impact) context.out(impact_text(*impact));
  }
  if (!arguments.has("--no-new-access") || review.no_new_access() == analysis::Verdict::kHolds) return {};
  const bool shown = review.no_new_access() == analysis::Verdict::kFails;
  return fail(ErrorKind::kDenied, "policy_new_access",
              shown ? "the change gives new access" : "it is not proved that the change gives no new access");
}

Status policy_unused(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const schema::Schema schema, read_schema(context, arguments.flag("--schema")));
  WARY_ASSIGN_OR_RETURN(const PolicyFiles policies, read_policy_files(context, {arguments.flag("--policies")}));
  WARY_ASSIGN_OR_RETURN(const std::vector<analysis::RecordedRequest> records,
                        read_records(context, arguments.positional));
  tell_strangers(context, policies.set, records);
  Json list = Json::array();
  for (const analysis::PermitUse& use : analysis::find_unused(schema, policies.set, records, {})) {
    const bool is_proved = use.is_narrower == analysis::Verdict::kHolds;
    if (context.is_json) {
      list.push(Json::object({{"policy", Json(std::string_view(use.policy_id))},
                              {"uses", Json(static_cast<std::int64_t>(use.count))},
                              {"proposal", Json(std::string_view(use.proposal))},
                              {"proved_narrower", Json(is_proved)}}));
      continue;
    }
    context.out(
        use.policy_id + ": " +
        (use.count == 0 ? "never used" : "used " + std::to_string(use.count) + (use.count == 1 ? " time" : " times")) +
        "\n");
    if (use.proposal.empty()) continue;
    context.out(is_proved ? "  would do, proved to allow nothing more:\n"
                          : "  might do, not proved (" + use.reason + "):\n");
    context.out(use.proposal + "\n");
  }
  if (context.is_json) context.out(list.to_pretty_string() + "\n");
  return {};
}

}  // namespace wary::cli
