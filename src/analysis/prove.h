// Proofs about Cedar policies: questions over every request and every store of entities that fit the schema, answered
// by a solver in a worker process.
//
//   Question question{Question::Kind::kImplies, environment, new_policies, old_policies};   // no new access?
//   std::vector<Answer> answers = prove(schema, {&question, 1}, {});
//   if (answers[0].verdict == Verdict::kHolds) ...             // proved: for every request of this environment
//   if (answers[0].witness) print(*answers[0].witness);        // a request for which it does not hold
//
// A witness was replayed by the tree walker before it is given: requests and entities fit the schema and show what is
// said. What cannot be encoded or solved in time, and a witness that does not replay, is kUnknown with the reason,
// which is never "safe". Entities are taken to be there: whatever a request or an attribute names is in the store, and
// fits the schema. Policies are decided by the question's rule; validated ones err where a number overflows.
//
// Calls fork; any thread. Limits: ProofLimits; strings in literals up to U+2FFFF.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/worker.h"
#include "cedar/evaluator.h"
#include "schema/schema.h"

namespace wary::analysis {

enum class Verdict : std::uint8_t { kHolds, kFails, kUnknown };
std::string_view to_string(Verdict verdict);  // "holds"

// Who decides, which is what a policy that errs does. A permit that errs is as if absent, whoever decides.
enum class Rule : std::uint8_t {
  kDecisionPoint,  // wary's: a forbid that errs denies (policy/decide.h)
  kCedar,          // a forbid that errs is as if absent
};

struct Question {
  enum class Kind : std::uint8_t {
    kImplies,         // what `a` allows, `b` allows
    kDisjoint,        // nothing is allowed by both
    kAlwaysAllows,    // `a` allows every request
    kAlwaysDenies,    // `a` allows none
    kNeverErrors,     // no policy of `a` errors
    kNeverMatches,    // no policy of `a` is satisfied
    kMatchesImplies,  // where one of `a` is satisfied, one of `b` is
  };
  Kind kind = Kind::kImplies;
  schema::Environment environment;
  std::vector<const cedar::Policy*> a;  // borrowed
  std::vector<const cedar::Policy*> b;
  // There may be permits, left out of both sets, of which nothing is known: what holds, holds whatever they are; what
  // fails need not.
  bool has_other_permits = false;
  Rule rule = Rule::kDecisionPoint;
};

// A request and the entities it is decided over, actions of the schema not included.
struct Witness {
  cedar::Request request;
  std::vector<cedar::EntityHandle> entities;
};
std::string to_string(const Witness& witness);  // several lines, as a person reads them

struct Answer {
  Verdict verdict = Verdict::kUnknown;
  std::string reason;  // of kUnknown
  std::optional<Witness> witness;
};

struct ProofLimits {
  std::uint32_t question_ms = 5'000;  // of the solver, for one question
  WorkerLimits worker;                // of one worker; many questions may take several
};

// One answer a question, in order. A question that kills its worker is unknown; the rest go on in a new one.
std::vector<Answer> prove(const schema::Schema& schema, std::span<const Question> questions, const ProofLimits& limits);

// The same, but counter-examples are as the solver gave them: for callers who replay them against more than the
// question says.
std::vector<Answer> prove_unchecked(const schema::Schema& schema, std::span<const Question> questions,
                                    const ProofLimits& limits);

// The tree walker's decision: a satisfied permit, and no forbid that is satisfied or, by the decision point's rule,
// errs.
bool is_allowed(const std::vector<const cedar::Policy*>& policies, const cedar::Request& request,
                const cedar::EntityStore& store, Rule rule);
// Empty when the witness fits the schema and shows that the question's claim does not hold; else what is wrong with it.
std::string replay(const schema::Schema& schema, const Question& question, const Witness& witness);

}  // namespace wary::analysis
