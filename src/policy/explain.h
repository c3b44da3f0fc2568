// explain: why a decision came out as it did, at its own revision: the policies that decided, with file and lines, what
// each part of the scope and each when/unless clause gave, and the values it met. For a deny that nothing permitted:
// the permits that came nearest and their first false clause.
//
//   Result<Explanation> why = explain(snapshot, {.request = request, .revision = r, .decided = t});
//   print(to_text(*why));            // for a person
//   send(to_json(*why));             // for the console
//
// The record is decided again, so the snapshot must be the one of that revision: revision_compacted (kGone) otherwise.
// Values are quoted only as far as a clause met them. Pure; any thread. Limits: 10 policies of a kind, 3 near permits,
// 20 values a clause, 200 bytes a value.
#pragma once

#include <string>
#include <vector>

#include "policy/decide.h"

namespace wary::policy {

struct DecisionRecord {
  contract::Request request;
  std::uint64_t revision = 0;
  UnixTime decided;
  DecideOptions options;
};

// One part of the scope, or one clause.
struct ClauseReport {
  enum class Outcome { kTrue, kFalse, kError, kNotReached };
  struct Met {
    std::string expression;
    std::string value;  // Cedar text, shortened; "error: ..." when it could not be read
  };
  Outcome outcome = Outcome::kNotReached;  // whether the clause holds: `unless { false }` does
  std::string text;                        // as written
  std::uint32_t line = 0;
  std::vector<Met> values;
  std::string error;
};

struct PolicyReport {
  std::string id;
  std::string file;
  std::uint32_t first_line = 0;
  std::uint32_t last_line = 0;
  bool is_forbid = false;
  std::string outcome;                // "satisfied", "not satisfied", "error"
  std::string text;                   // as written
  std::vector<ClauseReport> scope;    // principal, action, resource
  std::vector<ClauseReport> clauses;  // in order
};

struct Explanation {
  contract::Decision decision;
  std::string question;  // who, what, on what: one line
  std::vector<PolicyReport> determining;
  std::vector<PolicyReport> errors;
  std::vector<PolicyReport> nearest;  // permits, when none was satisfied and no forbid spoke
  std::vector<std::string> notes;     // of guardrails that have no Cedar text
};

Result<Explanation> explain(const Snapshot& snapshot, const DecisionRecord& record);
std::string to_text(const Explanation& explanation);
codec::Json to_json(const Explanation& explanation);

}  // namespace wary::policy
