#include "cli/policy_live.h"

#include <algorithm>
#include <charconv>

#include "cedar/extension.h"
#include "cedar/json.h"
#include "cedar/parser.h"
#include "cli/api.h"
#include "cli/policy_files.h"

namespace wary::cli {

namespace {

using codec::Json;

constexpr std::size_t kLiveEntitiesMax = 500'000;
constexpr std::uint64_t kEventsMax = 1'000'000;
constexpr std::uint64_t kEventsDefault = 10'000;
constexpr std::uint64_t kProgressEvents = 50'000;
constexpr std::string_view kOwnType = "Wary::";
constexpr std::string_view kAction = "Wary::Action";

Status add_entities(const Json& page, std::vector<contract::Entity>& out) {
  const Json* list = page.find("entities");
  if (list == nullptr || !list->is_array())
    return fail(ErrorKind::kInternal, "api_answer", "no entities in the answer");
  for (const Json& item : list->items()) {
    if (out.size() >= kLiveEntitiesMax) {
      return fail(ErrorKind::kExhausted, "live_too_large", "there are more than 500,000 entities");
    }
    WARY_ASSIGN_OR_RETURN(contract::Entity entity, contract::entity_from_json(item));
    out.push_back(std::move(entity));
  }
  return {};
}

void add_texts(const Json& page, std::vector<policy::PolicyText>& out) {
  const Json* list = page.find("policies");
  if (list == nullptr || !list->is_array()) return;
  for (const Json& item : list->items()) {
    out.push_back({std::string(item.string_or("id", "")), std::string(item.string_or("text", "")),
                   std::string(item.string_or("file", "")), static_cast<std::uint32_t>(item.integer_or("line", 1))});
  }
}

Error bad_time(const std::string& text) {
  return fail(ErrorKind::kInvalid, "usage", "not a time")
      .at("--since")
      .expected("how long ago, as 36h or 7d, or a time as 2026-11-21T19:26:00Z")
      .found(text);
}

Result<std::uint64_t> last_of(const Arguments& arguments) {
  // With a time alone everything since then, as far as the limit goes.
  if (!arguments.has("--last")) return arguments.has("--since") ? kEventsMax : kEventsDefault;
  const std::string text = arguments.flag("--last");
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && value >= 1 && value <= kEventsMax) {
    return value;
  }
  return fail(ErrorKind::kInvalid, "usage", "not a number of events").at("--last").expected("1 to 1000000").found(text);
}

Result<std::int64_t> since_of(Context& context, const Arguments& arguments) {
  constexpr std::int64_t kMillisMax = INT64_MAX / kNanosPerMilli;
  const std::string text = arguments.flag("--since");
  std::int64_t millis = 0;
  if (const auto ago = cedar::parse_duration(text); ago.ok()) {
    if (ago->milliseconds <= 0 || ago->milliseconds > kMillisMax) return bad_time(text);
    millis = context.clock.unix_time().nanos / kNanosPerMilli - ago->milliseconds;
  } else {
    const auto time = cedar::parse_datetime(text);
    if (!time.ok() || time->milliseconds > kMillisMax) return bad_time(text);
    millis = time->milliseconds;
  }
  return std::max<std::int64_t>(millis, 1) * kNanosPerMilli;
}

// Another program's action may be of any type; an older event has only its id.
Result<cedar::EntityPtr> action_of(const Json& row, const Json& detail, std::string& unknown) {
  if (const std::string_view whole = detail.string_or("action", ""); !whole.empty()) {
    WARY_ASSIGN_OR_RETURN(const cedar::EntityUid uid, cedar::parse_entity_uid(whole));
    return cedar::make_entity(uid.type, uid.id);
  }
  if (!detail.string_or("pep", "").empty()) unknown = "the type of its action is not recorded";
  return cedar::make_entity(std::string(kAction), std::string(row.string_or("action", "")));
}

Result<cedar::Value> context_of(const Json& detail, std::string& unknown) {
  const Json* context = detail.find("context");
  if (context == nullptr || !context->is_object()) {
    unknown = "its context is not recorded";
    return cedar::Value::record({});
  }
  if (context->find("context_too_large") != nullptr) unknown = "its context was too large to be recorded";
  return cedar::value_from_json(*context);
}

Status read_uid(const Json& row, std::string_view member, cedar::EntityPtr& out) {
  WARY_ASSIGN_OR_RETURN(const cedar::EntityUid uid, cedar::parse_entity_uid(row.string_or(member, "")));
  out = cedar::make_entity(uid.type, uid.id);
  return {};
}

Status read_request(const Json& row, const Json& detail, LedgerDecision& out) {
  WARY_RETURN_IF_ERROR(read_uid(row, "actor", out.recorded.request.principal));
  WARY_RETURN_IF_ERROR(read_uid(row, "resource", out.recorded.request.resource));
  WARY_ASSIGN_OR_RETURN(out.recorded.request.action, action_of(row, detail, out.recorded.unknown));
  WARY_ASSIGN_OR_RETURN(out.recorded.request.context, context_of(detail, out.recorded.unknown));
  return {};
}

// What cannot be read is a decision all the same: one of which nothing is known.
LedgerDecision decision_of(const Json& row) {
  LedgerDecision out;
  out.recorded.decided = UnixTime{row.integer_or("at", 0)};
  const auto detail = codec::parse_json(row.string_or("detail", ""));
  if (!detail.ok()) {
    out.recorded.unknown = "its event cannot be read";
    return out;
  }
  const Status read = read_request(row, *detail, out);
  if (!read.ok()) out.recorded.unknown = "its event cannot be read: " + read.error().message;
  out.is_allowed = detail->string_or("decision", "") == "allow";
  if (const Json* policies = detail->find("policies"); policies != nullptr && policies->is_array()) {
    for (const Json& policy : policies->items()) {
      if (policy.is_string()) out.determining.push_back(policy.as_string());
    }
  }
  return out;
}

// Rows without an outcome are searches and the like.
Status hand_over(const Json& page, LedgerRead& read, const std::function<Status(LedgerDecision)>& on_decision) {
  const Json* rows = page.find("decisions");
  if (rows == nullptr || !rows->is_array())
    return fail(ErrorKind::kInternal, "api_answer", "no decisions in the answer");
  read.others += static_cast<std::size_t>(page.integer_or("others", 0));
  for (const Json& row : rows->items()) {
    ++read.decisions;
    WARY_RETURN_IF_ERROR(on_decision(decision_of(row)));
  }
  return {};
}

}  // namespace

Result<cedar::PolicySet> policies_of_texts(Context& context, const std::vector<policy::PolicyText>& texts) {
  cedar::PolicySet out;
  std::size_t broken = 0;
  for (const policy::PolicyText& text : texts) {
    const policy::PolicyCheck check = policy::check_policies(text);
    print_errors(context, check.errors);
    broken += check.errors.size();
    if (!check.errors.empty()) continue;
    for (std::size_t i = 0; i < check.policies.size(); ++i) {
      WARY_RETURN_IF_ERROR(out.add(check.ids[i], check.policies[i]));
    }
  }
  if (broken == 0) return out;
  return fail(ErrorKind::kInvalid, "policy_invalid",
              std::to_string(broken) + (broken == 1 ? " error in the policies" : " errors in the policies"));
}

Result<Live> read_live(Context& context) {
  Live out;
  policy::SnapshotContent content;
  std::string query = "at=0";
  for (;;) {
    WARY_ASSIGN_OR_RETURN(const Json page, call_api(context, "GET", "/v1/snapshot", std::nullopt, query));
    WARY_RETURN_IF_ERROR(add_entities(page, content.entities));
    add_texts(page, out.texts);
    const std::int64_t revision = page.integer_or("revision", 0), next = page.integer_or("next", 0);
    content.revision = static_cast<std::uint64_t>(revision);
    if (next >= page.integer_or("total", 0)) break;
    query = "revision=" + std::to_string(revision) + "&at=" + std::to_string(next);
  }
  WARY_ASSIGN_OR_RETURN(out.policies, policies_of_texts(context, out.texts));
  WARY_ASSIGN_OR_RETURN(out.snapshot,
                        policy::build_snapshot(content, context.clock.unix_time(), context.random.number()));
  return out;
}

Result<engine::SnapshotPtr> compile_live(const Live& live, const cedar::PolicySet& policies) {
  return live.snapshot->compiled().with_policies(policies.policies());
}

std::string changed_since(const Live& live, const cedar::EntityUid& uid, UnixTime decided, UnixTime now,
                          bool is_named) {
  const contract::Entity* entity = live.snapshot->find_entity({uid.type, uid.id});
  // wary makes no entities of other types: what is not there now was not there then.
  if (entity == nullptr) return is_named && uid.type.starts_with(kOwnType) ? uid.type + " of it is gone" : "";
  for (const auto* facts : {&entity->attributes, &entity->tags}) {
    for (const contract::Fact& fact : *facts) {
      if (fact.expires && *fact.expires > decided && *fact.expires <= now) {
        return "`" + fact.name + "` of its " + uid.type + " expired since";
      }
    }
  }
  return "";
}

policy::EntityNames names_of(const Live& live) {
  // A namespace that was never applied is the parent of what is in it all the same.
  auto known = std::make_shared<std::set<std::pair<std::string, std::string>>>();  // shared by the two below
  live.snapshot->entities().for_each([&](const cedar::EntityHandle& entity) {
    known->emplace(entity->uid->type, entity->uid->id);
    for (const cedar::EntityPtr& parent : entity->parents) known->emplace(parent->type, parent->id);
  });
  const auto has = [known](const contract::EntityId& id) { return known->contains({id.type, id.id}); };
  return {has, [known](std::string_view type) {
            std::vector<std::string> out;
            for (auto at = known->lower_bound({std::string(type), ""}); at != known->end() && at->first == type; ++at) {
              out.push_back(at->second);
            }
            return out;
          }};
}

std::string to_string(const LedgerRead& read) {
  return std::to_string(read.decisions) + " recorded decisions in events #" + std::to_string(read.from) + " to #" +
         std::to_string(read.to == 0 ? 0 : read.to - 1) + "; " + std::to_string(read.others) +
         " other events between them ask nothing, " + std::to_string(read.from) + " older ones were not looked at";
}

Json to_json(const LedgerRead& read) {
  return Json::object({{"from", Json(static_cast<std::int64_t>(read.from))},
                       {"to", Json(static_cast<std::int64_t>(read.to))},
                       {"decisions", Json(static_cast<std::int64_t>(read.decisions))},
                       {"other_events", Json(static_cast<std::int64_t>(read.others))},
                       {"older_events", Json(static_cast<std::int64_t>(read.from))}});
}

std::vector<Flag> ledger_flags() {
  return {{"--last", "N", "of the ledger: the newest N events (default 10000, at most 1000000)"},
          {"--since", "TIME", "of the ledger: what is newer, as 36h, 7d or 2026-11-21T19:26:00Z"}};
}

Result<LedgerRead> read_decisions(Context& context, const Arguments& arguments,
                                  const std::function<Status(LedgerDecision)>& on_decision) {
  WARY_ASSIGN_OR_RETURN(const std::uint64_t last, last_of(arguments));
  std::string query = "last=" + std::to_string(last);
  if (arguments.has("--since")) {
    WARY_ASSIGN_OR_RETURN(const std::int64_t since, since_of(context, arguments));
    query += "&since=" + std::to_string(since);
  }
  LedgerRead read;
  std::uint64_t told = 0;
  for (bool is_first = true;; is_first = false) {
    WARY_ASSIGN_OR_RETURN(const Json page, call_api(context, "GET", "/v1/ledger/decisions", std::nullopt, query));
    if (is_first) {
      // What is recorded from here on, these calls among it, is not looked at.
      read.from = static_cast<std::uint64_t>(page.integer_or("from", 0));
      read.to = static_cast<std::uint64_t>(page.integer_or("to", 0));
    }
    WARY_RETURN_IF_ERROR(hand_over(page, read, on_decision));
    const auto next = static_cast<std::uint64_t>(page.integer_or("next", 0));
    if (next >= read.to) return read;
    if (next <= static_cast<std::uint64_t>(page.integer_or("from", 0))) {
      return fail(ErrorKind::kInternal, "api_answer", "the ledger's pages do not go on").at("#" + std::to_string(next));
    }
    if (next - read.from >= told + kProgressEvents) {
      told = next - read.from;
      context.err("read " + std::to_string(told) + " of " + std::to_string(read.to - read.from) + " events\n");
    }
    query = "from=" + std::to_string(next) + "&to=" + std::to_string(read.to);
  }
}

}  // namespace wary::cli
