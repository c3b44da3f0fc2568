// Permits that nobody used, by records of files or by the ledger of a running wary.
#include <functional>
#include <map>
#include <optional>

#include "analysis/unused.h"
#include "cedar/parser.h"
#include "cli/policy_files.h"
#include "cli/policy_live.h"
#include "cli/policy_review.h"

namespace wary::cli {

namespace {

using codec::Json;

constexpr std::size_t kRecordsMax = 1'000'000;

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

// The decisions that were recorded of a policy, for analysis/unused.h. What could not be read is told beside it.
struct Uses {
  std::vector<analysis::RecordedRequest> requests;
  std::map<std::string, std::size_t, std::less<>> unknown;  // by policy: uses of which not all is known
  std::optional<LedgerRead> read;
};

Result<Uses> read_uses(Context& context, const Arguments& arguments) {
  Uses out;
  std::map<cedar::EntityUid, cedar::EntityPtr> known;  // one entity for a million records
  const auto shared = [&](const cedar::EntityPtr& uid) { return known.try_emplace(*uid, uid).first->second; };
  const auto take = [&](LedgerDecision decision) -> Status {
    if (!decision.is_allowed) return {};
    const cedar::Request& request = decision.recorded.request;
    if (!request.principal || !request.action || !request.resource || !decision.recorded.unknown.empty()) {
      for (const std::string& id : decision.determining) ++out.unknown[id];
      return {};
    }
    out.requests.push_back({shared(request.principal), shared(request.action), shared(request.resource), true,
                            std::move(decision.determining)});
    return {};
  };
  WARY_ASSIGN_OR_RETURN(out.read, read_decisions(context, arguments, take));
  return out;
}

void print_use(Context& context, const analysis::PermitUse& use, std::size_t unknown) {
  const std::size_t count = use.count + unknown;
  context.out(use.policy_id + ": " +
              (count == 0 ? "never used" : "used " + std::to_string(count) + (count == 1 ? " time" : " times")) + "\n");
  if (unknown > 0) {
    context.out("  nothing is proposed: of " + std::to_string(unknown) + " uses not all is recorded\n");
    return;
  }
  if (use.proposal.empty()) return;
  context.out(use.is_narrower == analysis::Verdict::kHolds ? "  would do, proved to allow nothing more:\n"
                                                           : "  might do, not proved (" + use.reason + "):\n");
  context.out(use.proposal + "\n");
}

Json use_json(const analysis::PermitUse& use, std::size_t unknown) {
  const bool is_known = unknown == 0;
  return Json::object({{"policy", Json(std::string_view(use.policy_id))},
                       {"uses", Json(static_cast<std::int64_t>(use.count + unknown))},
                       {"unknown_uses", Json(static_cast<std::int64_t>(unknown))},
                       {"proposal", Json(std::string_view(is_known ? use.proposal : ""))},
                       {"proved_narrower", Json(is_known && use.is_narrower == analysis::Verdict::kHolds)}});
}

// Recorded uses of ids that the policies have not: of policies since renamed or removed, or of others than these.
struct Strangers {
  std::size_t uses = 0;
  std::string example;
};
Strangers find_strangers(const Uses& uses, const std::function<bool(const std::string& id)>& is_known) {
  Strangers out;
  for (const analysis::RecordedRequest& request : uses.requests) {
    for (const std::string& id : request.determining) {
      if (is_known(id)) continue;
      ++out.uses;
      out.example = id;
    }
  }
  return out;
}

constexpr std::string_view kBuiltIn = "built-in";  // the file that wary's own policies name

bool is_own(const std::string& id) { return id.starts_with("wary/") || id.starts_with(policy::kGuardrailPrefix); }

// The policies that a person wrote; wary's own are not theirs to narrow.
Result<cedar::PolicySet> policies_in_force(Context& context) {
  WARY_ASSIGN_OR_RETURN(const Live live, read_live(context));
  std::vector<policy::PolicyText> texts = live.texts;
  std::erase_if(texts, [](const policy::PolicyText& text) { return text.file == kBuiltIn; });
  return policies_of_texts(context, texts);
}

}  // namespace

Status policy_unused(Context& context, const Arguments& arguments) {
  const bool is_live = arguments.positional.empty();
  if (!is_live && arguments.has("--ledger")) return misplaced("--ledger", "leave the files out");
  for (const char* flag : {"--last", "--since"}) {
    if (!is_live && arguments.has(flag)) return misplaced(flag, "it goes with the ledger: leave the files out");
  }
  if (!is_live && !arguments.has("--policies")) {
    return fail(ErrorKind::kInvalid, "usage", "an option is missing").at("--policies").expected("--policies PATH");
  }
  std::optional<schema::Schema> named;
  const schema::Schema* schema = nullptr;
  WARY_RETURN_IF_ERROR(read_schema_of(context, arguments, is_live, named, schema));
  cedar::PolicySet policies;
  if (arguments.has("--policies")) {
    WARY_ASSIGN_OR_RETURN(PolicyFiles files, read_policy_files(context, {arguments.flag("--policies")}));
    policies = std::move(files.set);
  } else {
    WARY_ASSIGN_OR_RETURN(policies, policies_in_force(context));
  }
  Uses uses;
  if (is_live) {
    WARY_ASSIGN_OR_RETURN(uses, read_uses(context, arguments));
  } else {
    WARY_ASSIGN_OR_RETURN(uses.requests, read_records(context, arguments.positional));
  }
  Json list = Json::array();
  for (const analysis::PermitUse& use : analysis::find_unused(*schema, policies, uses.requests, {})) {
    const auto at = uses.unknown.find(use.policy_id);
    const std::size_t unknown = at == uses.unknown.end() ? 0 : at->second;
    context.is_json ? void(list.push(use_json(use, unknown))) : print_use(context, use, unknown);
  }
  const Strangers strangers = find_strangers(
      uses, [&](const std::string& id) { return policies.find(id) != nullptr || (is_live && is_own(id)); });
  if (context.is_json && uses.read) {
    list = Json::object({{"policies", std::move(list)},
                         {"ledger", to_json(*uses.read)},
                         {"uses_of_others", Json(static_cast<std::int64_t>(strangers.uses))}});
  } else if (uses.read) {
    context.out("ledger: " + to_string(*uses.read) + "\n");
    if (strangers.uses > 0)
      context.out("  " + std::to_string(strangers.uses) + " uses are of other policies than these\n");
  }
  // With other ids, every permit would look unused.
  if (!is_live && strangers.uses > 0) {
    context.err("warning: the records name policies that are not here, for example " + strangers.example +
                ": such requests count for no permit\n");
  }
  if (context.is_json) context.out(list.to_pretty_string() + "\n");
  return {};
}

}  // namespace wary::cli
