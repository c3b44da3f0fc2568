// Snapshots and deltas as text: canonical JSON (keys sorted, no blanks), what link carries and signs.
//
//   std::string text = serialize_snapshot(content);
//   Result<SnapshotContent> again = parse_snapshot(text);
//   {"entities":[...],"format":"wary-snapshot-1","policies":[...],"revision":7,"tenant":"local"}
//   {"format":"wary-delta-1","from":7,"policies"?:[...],"removals":[{"id","type"}],"tenant":"local","to":8,
//    "upserts":[...]}
//
// Strict: an unknown or missing member, a wrong type, another format are refused with the place. Parsing checks the
// form; build_snapshot and apply_delta check the meaning. Pure; any thread. Limits: 64 MiB a text, 1,000,000 entities.
#pragma once

#include <string>
#include <string_view>

#include "policy/snapshot.h"

namespace wary::policy {

std::string serialize_snapshot(const SnapshotContent& content);
std::string serialize_delta(const SnapshotDelta& delta);
// Errors: json_*, policy_json, entity_json_*.
Result<SnapshotContent> parse_snapshot(std::string_view text);
Result<SnapshotDelta> parse_delta(std::string_view text);

// The delta that leads from one content to the next, with nothing in it that is the same in both.
SnapshotDelta delta_between(const SnapshotContent& from, const SnapshotContent& to);

}  // namespace wary::policy
