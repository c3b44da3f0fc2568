// What `wary policy diff` and `unused` read of a running wary: what is in force, the entities there are, and recorded
// decisions. Private to cli/.
//
//   WARY_ASSIGN_OR_RETURN(const Live live, read_live(context));
//   WARY_ASSIGN_OR_RETURN(const LedgerRead read, read_decisions(context, arguments, [&](LedgerDecision d) { ... }));
//
// Each page is a call of the API, authorised and recorded: the ledger's as `wary ledger tail`, what is in force as
// `wary get`. Limits: a million events (--last), 500,000 entities.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "analysis/recorded.h"
#include "cedar/policy_set.h"
#include "cli/command.h"
#include "policy/entity_names.h"
#include "policy/snapshot.h"

namespace wary::cli {

struct Live {
  std::vector<policy::PolicyText> texts;
  cedar::PolicySet policies;     // of the texts, by the ids that decisions are recorded with
  policy::SnapshotPtr snapshot;  // the entities and the guardrails, without these policies
};

// Errors: those of the API, live_too_large.
Result<Live> read_live(Context& context);
// By the ids that `wary apply` would give. Errors: those of policy::check_policies (told before).
Result<cedar::PolicySet> policies_of_texts(Context& context, const std::vector<policy::PolicyText>& texts);

// The live entities under these policies alone. The latest of its line, as analysis/impact.h wants it.
Result<engine::SnapshotPtr> compile_live(const Live& live, const cedar::PolicySet& policies);
// Why an entity is not what it was when a decision was made: it is gone, or a fact of it expired since.
std::string changed_since(const Live& live, const cedar::EntityUid& uid, UnixTime decided, UnixTime now, bool is_named);

// The entities there are, for policies that name them.
policy::EntityNames names_of(const Live& live);

struct LedgerDecision {
  analysis::RecordedDecision recorded;
  bool is_allowed = false;
  std::vector<std::string> determining;
};

// What was looked at: every event between is a decision that was handed over, or counted in `others`.
struct LedgerRead {
  std::uint64_t from = 0;
  std::uint64_t to = 0;  // the number behind the last
  std::size_t decisions = 0;
  std::size_t others = 0;  // sign-ins, changes, cuts, searches: nobody asked for a decision
};
std::string to_string(const LedgerRead& read);
codec::Json to_json(const LedgerRead& read);

// --last N (default 10,000 events), --since TIME.
std::vector<Flag> ledger_flags();
Result<LedgerRead> read_decisions(Context& context, const Arguments& arguments,
                                  const std::function<Status(LedgerDecision)>& on_decision);

}  // namespace wary::cli
