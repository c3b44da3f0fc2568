#include "analysis/recorded.h"

#include <algorithm>
#include <set>

namespace wary::analysis {

namespace {

void collect_entities(const cedar::Value& value, std::set<cedar::EntityUid>& out) {
  if (const cedar::EntityPtr* uid = value.as_entity()) {
    out.insert(**uid);
  } else if (const cedar::Value::Record* record = value.as_record()) {
    for (const auto& [name, member] : *record) collect_entities(member, out);
  } else if (const cedar::Value::Set* set = value.as_set()) {
    for (const cedar::Value& member : *set) collect_entities(member, out);
  }
}

std::set<cedar::EntityUid> named_by(const cedar::Request& request) {
  std::set<cedar::EntityUid> out = {*request.principal, *request.resource};
  collect_entities(request.context, out);
  return out;
}

}  // namespace

Replayer::Side Replayer::ask(const engine::Snapshot& snapshot, const cedar::PolicySet& policies,
                             const RecordedDecision& decision) {
  Side out;
  const auto body_of = [&](std::uint32_t number) -> const cedar::PolicyBody& {
    return *policies.find(snapshot.policy_id(number))->body;
  };
  const engine::Answer& answer = worker_.decide(snapshot, decision.request, now_);
  out.is_allowed = answer.is_allowed;
  for (const engine::Failure& failure : answer.errors) {
    if (failure.is_forbid) out.is_allowed = false;
  }
  if (out.is_allowed) {
    for (const std::uint32_t permit : answer.permits) {
      const cedar::PolicyBody& body = body_of(permit);
      const std::string* obligation = body.annotation("obligation");
      const std::string* value = body.annotation("obligation_value");
      if (obligation != nullptr) out.obligations.push_back(*obligation + "\n" + (value != nullptr ? *value : ""));
    }
    std::sort(out.obligations.begin(), out.obligations.end());
    out.obligations.erase(std::unique(out.obligations.begin(), out.obligations.end()), out.obligations.end());
  }
  const std::set<cedar::EntityUid> named = named_by(decision.request);
  for (const cedar::EntityUid& uid : worker_.reads(snapshot)) {
    if (uid == *decision.request.action) continue;
    out.unknown = changed_since_(uid, decision.decided, named.contains(uid));
    if (!out.unknown.empty()) break;
  }
  return out;
}

void Replayer::add(const RecordedDecision& decision) {
  std::string unknown = decision.unknown;
  Side was;
  Side is;
  if (unknown.empty()) {
    was = ask(sides_.before, sides_.old_policies, decision);
    is = ask(sides_.after, sides_.new_policies, decision);
    unknown = was.unknown.empty() ? is.unknown : was.unknown;
  }
  if (unknown.empty() && was.obligations != is.obligations) {
    unknown = "whether the program that asked can keep the obligation is not recorded";
  }
  if (!unknown.empty()) {
    ++out_.unknown;
    return count(out_.unknowns, decision.request, unknown);
  }
  if (was.is_allowed == is.is_allowed) {
    ++out_.same;
    return;
  }
  ++(is.is_allowed ? out_.gained : out_.lost);
  count(is.is_allowed ? out_.gains : out_.losses, decision.request, "");
}

void Replayer::count(std::vector<ReplayGroup>& groups, const cedar::Request& request, const std::string& reason) {
  const auto text = [](const cedar::EntityPtr& uid) { return uid ? uid->to_string() : std::string("?"); };
  ReplayGroup group{text(request.principal), text(request.action), text(request.resource), reason, 1};
  const std::string key = std::string(&groups == &out_.gains    ? "+"
                                      : &groups == &out_.losses ? "-"
                                                                : "?") +
                          '\n' + group.principal + '\n' + group.action + '\n' + group.resource + '\n' + reason;
  const auto at = group_of_.find(key);
  if (at != group_of_.end()) {
    ++groups[at->second].count;
  } else if (groups.size() >= kReplayGroupsMax) {
    ++out_.unnamed;
  } else {
    group_of_.emplace(key, groups.size());
    groups.push_back(std::move(group));
  }
}

}  // namespace wary::analysis
