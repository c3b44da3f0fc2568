#include "analysis/prove.h"

#include <algorithm>

#include "analysis/compiler.h"
#include "analysis/model.h"
#include "cedar/json.h"
#include "codec/json.h"
#include "schema/conformance.h"

namespace wary::analysis {

using codec::Json;
using Policies = std::vector<const cedar::Policy*>;

namespace {

constexpr Limits kAnswerLimits{.bytes = std::size_t{16} << 20, .depth = 128, .items = 100'000, .total = 2'000'000};

constexpr std::uint32_t kQuickMs = 1'000;

// One question, put to the solver.
class Prover {
 public:
  Prover(z3::context& context, const schema::Schema& schema, const Question& question)
      : question_(question), encoding_(context, schema), compiler_(encoding_, question.environment) {}

  Answer run(std::uint32_t timeout_ms) {
    const z3::expr claim = contradiction();
    Answer out;
    if (claim.is_false()) {
      out.verdict = Verdict::kHolds;
      return out;
    }
    // The plain solver starts in a third of the time; the one with all its tactics knows more.
    const std::vector<z3::expr> facts = encoding_.facts();
    z3::solver quick(encoding_.context(), z3::solver::simple());
    out = ask(quick, claim, facts, std::min(timeout_ms, kQuickMs));
    if (out.verdict != Verdict::kUnknown) return out;
    z3::solver thorough(encoding_.context());
    return ask(thorough, claim, facts, timeout_ms);
  }

 private:
  Answer ask(z3::solver& solver, const z3::expr& claim, const std::vector<z3::expr>& facts, std::uint32_t timeout_ms) {
    z3::params parameters(encoding_.context());
    parameters.set("timeout", timeout_ms);
    solver.set(parameters);
    for (const z3::expr& fact : facts) solver.add(fact);
    solver.push();
    solver.add(claim);
    Answer out;
    switch (solver.check()) {
      case z3::unsat:
        // From facts that contradict each other anything follows.
        solver.pop();
        if (solver.check() != z3::sat)
          out.reason = "no store could be found at all";
        else
          out.verdict = Verdict::kHolds;
        break;
      case z3::sat:
        out.verdict = Verdict::kFails;
        out.witness = ModelReader(encoding_, solver.get_model()).read(compiler_);
        break;
      case z3::unknown: out.reason = "the solver gave up: " + solver.reason_unknown(); break;
    }
    return out;
  }

  struct Set {
    z3::expr permits;
    z3::expr forbids;
    z3::expr matches;
    z3::expr errors;
    z3::expr allows() const { return both(permits, negated(forbids)); }
  };
  // Of `forbids`: what denies, by the question's rule.
  z3::expr denies(const PolicyTerms& terms) const {
    return question_.rule == Rule::kCedar ? terms.is_satisfied : either(terms.is_satisfied, terms.errors);
  }
  Set compile(const Policies& policies) {
    const z3::expr no = encoding_.boolean(false);
    Set out{no, no, no, no};
    for (const cedar::Policy* policy : policies) {
      const PolicyTerms terms = compiler_.policy(*policy);
      if (policy->body->effect == cedar::Effect::kPermit) {
        out.permits = either(out.permits, terms.is_satisfied);
      } else {
        out.forbids = either(out.forbids, denies(terms));
      }
      out.matches = either(out.matches, terms.is_satisfied);
      out.errors = either(out.errors, terms.errors);
    }
    return out;
  }

  // What is so where the question's claim does not hold.
  z3::expr contradiction() {
    using Kind = Question::Kind;
    Set a = compile(question_.a);
    const bool wants_b = question_.kind == Kind::kImplies || question_.kind == Kind::kDisjoint ||
                         question_.kind == Kind::kMatchesImplies;
    Set b = wants_b ? compile(question_.b) : a;
    if (question_.has_other_permits) {
      const z3::expr others = encoding_.context().bool_const("other permits");
      a.permits = either(a.permits, others);
      b.permits = either(b.permits, others);
    }
    switch (question_.kind) {
      case Kind::kImplies: return both(a.allows(), negated(b.allows()));
      case Kind::kDisjoint: return both(a.allows(), b.allows());
      case Kind::kAlwaysAllows: return negated(a.allows());
      case Kind::kAlwaysDenies: return a.allows();
      case Kind::kNeverErrors: return a.errors;
      case Kind::kNeverMatches: return a.matches;
      case Kind::kMatchesImplies: break;
    }
    return both(a.matches, negated(b.matches));
  }

  const Question& question_;
  Encoding encoding_;
  Compiler compiler_;
};

Json to_json(const Witness& witness) {
  Json entities = Json::array();
  for (const cedar::EntityHandle& entity : witness.entities) entities.push(cedar::to_json(*entity));
  Json out = Json::object();
  out.set("principal", cedar::to_json(*witness.request.principal));
  out.set("action", cedar::to_json(*witness.request.action));
  out.set("resource", cedar::to_json(*witness.request.resource));
  out.set("context", cedar::to_json(witness.request.context));
  out.set("entities", std::move(entities));
  return out;
}

Result<Witness> witness_from_json(const Json& json) {
  Witness out;
  const Json nothing;
  const auto member = [&](std::string_view name) -> const Json& {
    const Json* found = json.find(name);
    return found != nullptr ? *found : nothing;
  };
  WARY_ASSIGN_OR_RETURN(out.request.principal, cedar::entity_uid_from_json(member("principal")));
  WARY_ASSIGN_OR_RETURN(out.request.action, cedar::entity_uid_from_json(member("action")));
  WARY_ASSIGN_OR_RETURN(out.request.resource, cedar::entity_uid_from_json(member("resource")));
  WARY_ASSIGN_OR_RETURN(out.request.context, cedar::value_from_json(member("context")));
  WARY_ASSIGN_OR_RETURN(out.entities, cedar::entities_from_json(member("entities")));
  return out;
}

std::string line_of(const Answer& answer) {
  Json out = Json::object();
  out.set("verdict", to_string(answer.verdict));
  if (!answer.reason.empty()) out.set("reason", answer.reason);
  if (answer.witness) out.set("witness", to_json(*answer.witness));
  return out.to_string();
}

Answer unknown(std::string reason) { return {Verdict::kUnknown, std::move(reason), std::nullopt}; }

Answer answer_from_line(std::string_view line) {
  const auto json = codec::parse_json(line, kAnswerLimits);
  if (!json.ok()) return unknown("the worker's answer cannot be read");
  const std::string_view verdict = json->string_or("verdict", "");
  if (verdict == "holds") return {Verdict::kHolds, "", std::nullopt};
  if (verdict != "fails") return unknown(std::string(json->string_or("reason", "no reason")));
  const Json* member = json->find("witness");
  auto witness = witness_from_json(member != nullptr ? *member : Json());
  if (!witness.ok()) return unknown("the counter-example cannot be read: " + witness.error().to_string());
  return {Verdict::kFails, "", std::move(*witness)};
}

Answer solve(z3::context& context, const schema::Schema& schema, const Question& question, std::uint32_t timeout_ms) {
  try {
    return Prover(context, schema, question).run(timeout_ms);
  } catch (const Unsupported& unsupported) {
    return unknown("cannot be encoded: " + unsupported.what);
  } catch (const z3::exception& error) {
    return unknown("the solver failed: " + std::string(error.msg()));
  }
}

// The questions from `first` on; how many were answered, and why no more.
std::string ask_worker(const schema::Schema& schema, std::span<const Question> questions, const ProofLimits& limits,
                       std::vector<Answer>& answers) {
  const std::span<const Question> rest = questions.subspan(answers.size());
  const auto work = [&](const LineSink& say) {
    z3::context context;
    for (const Question& question : rest) say(line_of(solve(context, schema, question, limits.question_ms)));
  };
  const WorkerEnd end = run_in_worker(limits.worker, work, [&](std::string_view line) {
    if (answers.size() < questions.size()) answers.push_back(answer_from_line(line));
  });
  return end.is_complete ? "" : end.reason;
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHolds: return "holds";
    case Verdict::kFails: return "fails";
    case Verdict::kUnknown: break;
  }
  return "unknown";
}

std::vector<Answer> prove_unchecked(const schema::Schema& schema, std::span<const Question> questions,
                                    const ProofLimits& limits) {
  std::vector<Answer> answers;
  answers.reserve(questions.size());
  while (answers.size() < questions.size()) {
    const std::size_t before = answers.size();
    const std::string reason = ask_worker(schema, questions, limits, answers);
    // A worker that answered some may have been out of time for all of them: the next question gets one of its own.
    if (answers.size() > before) continue;
    answers.push_back(unknown("worker: " + (reason.empty() ? std::string("no answer") : reason)));
    // Nothing at all came: that will not be better in the next one.
    if (before == 0 && answers.size() == 1 && reason == "cannot start a worker") {
      answers.resize(questions.size(), answers.front());
    }
  }
  return answers;
}

std::vector<Answer> prove(const schema::Schema& schema, std::span<const Question> questions,
                          const ProofLimits& limits) {
  std::vector<Answer> answers = prove_unchecked(schema, questions, limits);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].verdict != Verdict::kFails) continue;
    const std::string wrong = replay(schema, questions[i], *answers[i].witness);
    if (!wrong.empty()) answers[i] = unknown("a counter-example does not replay: " + wrong);
  }
  return answers;
}

}  // namespace wary::analysis
