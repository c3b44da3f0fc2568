#include "analysis/findings.h"

#include <algorithm>
#include <map>
#include <set>

#include "schema/validator.h"

namespace wary::analysis {

namespace {

using QuestionKind = Question::Kind;

bool is_same(const schema::Environment& a, const schema::Environment& b) {
  return a.principal == b.principal && a.action == b.action && a.resource == b.resource;
}

std::vector<const cedar::Policy*> all_of(const cedar::PolicySet& policies) {
  std::vector<const cedar::Policy*> out;
  for (const cedar::Policy& policy : policies.policies()) out.push_back(&policy);
  return out;
}

// Questions collected, then asked together.
class Finder {
 public:
  Finder(const schema::Schema& schema, const cedar::PolicySet& policies, const ProofLimits& limits, Rule rule)
      : schema_(schema), policies_(policies), limits_(limits), rule_(rule) {
    for (const cedar::Policy& policy : policies.policies()) {
      scopes_.push_back(schema::environments_of(schema, *policy.body));
    }
    applies_.resize(schema.environments().size());
  }

  Findings run() {
    find_vacuous();
    for (std::size_t i = 0; i < schema_.environments().size(); ++i) look_at(i);
    return std::move(out_);
  }

 private:
  // Where the scope lets nothing through there is nothing to ask.
  bool in_scope(std::size_t policy, const schema::Environment& environment) const {
    return std::any_of(scopes_[policy].begin(), scopes_[policy].end(),
                       [&](const schema::Environment& one) { return is_same(one, environment); });
  }
  const cedar::Policy& policy(std::size_t number) const { return policies_.policies()[number]; }
  void note(const Question& question, const Answer& answer, const std::string& what) {
    if (answer.verdict != Verdict::kUnknown) return;
    out_.unknown.push_back(to_string(question.environment) + ": " + what + ": " + answer.reason);
  }

  void find_vacuous() {
    struct Asked {
      std::size_t policy, environment;
    };
    std::vector<Question> questions;
    std::vector<Asked> asked;
    for (std::size_t i = 0; i < scopes_.size(); ++i) {
      for (std::size_t j = 0; j < schema_.environments().size(); ++j) {
        const schema::Environment& environment = schema_.environments()[j];
        if (!in_scope(i, environment)) continue;
        for (const QuestionKind kind : {QuestionKind::kNeverMatches, QuestionKind::kNeverErrors}) {
          questions.push_back({kind, environment, {&policy(i)}, {}});
          asked.push_back({i, j});
        }
      }
    }
    const std::vector<Answer> answers = prove(schema_, questions, limits_);
    std::vector<bool> may_apply(scopes_.size());
    std::set<std::string> erring;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const std::string& id = policy(asked[i].policy).id;
      note(questions[i], answers[i], id);
      if (questions[i].kind == QuestionKind::kNeverErrors) {
        if (answers[i].verdict == Verdict::kFails) erring.insert(id);
        continue;
      }
      if (answers[i].verdict == Verdict::kHolds) continue;
      may_apply[asked[i].policy] = true;
      if (answers[i].verdict == Verdict::kFails) applies_[asked[i].environment].push_back(asked[i].policy);
    }
    out_.erring.assign(erring.begin(), erring.end());
    for (std::size_t i = 0; i < scopes_.size(); ++i) {
      if (!may_apply[i]) out_.vacuous.push_back(policy(i).id);
    }
  }

  // One environment: the whole, and policies of one effect against each other.
  void look_at(std::size_t number) {
    const schema::Environment& environment = schema_.environments()[number];
    const std::vector<std::size_t>& live = applies_[number];
    EnvironmentFindings found{environment, {}, {}, Verdict::kUnknown, Verdict::kUnknown};
    std::vector<Question> questions = {{QuestionKind::kAlwaysAllows, environment, all_of(policies_), {}, false, rule_},
                                       {QuestionKind::kAlwaysDenies, environment, all_of(policies_), {}, false, rule_}};
    std::vector<std::pair<std::size_t, std::size_t>> pairs;
    if (live.size() > kComparedMax) {
      out_.unknown.push_back(to_string(environment) + ": too many policies to compare with each other");
    }
    for (std::size_t i = 0; i < live.size() && live.size() <= kComparedMax; ++i) {
      for (std::size_t j = 0; j < live.size(); ++j) {
        if (i == j || policy(live[i]).body->effect != policy(live[j]).body->effect) continue;
        questions.push_back({QuestionKind::kMatchesImplies, environment, {&policy(live[i])}, {&policy(live[j])}});
        pairs.emplace_back(live[i], live[j]);
      }
    }
    const std::vector<Answer> answers = prove(schema_, questions, limits_);
    found.allows_all = answers[0].verdict;
    found.denies_all = answers[1].verdict;
    note(questions[0], answers[0], "allows all");
    note(questions[1], answers[1], "denies all");
    std::set<std::pair<std::size_t, std::size_t>> implied;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const Answer& answer = answers[i + 2];
      note(questions[i + 2], answer, policy(pairs[i].first).id + " within " + policy(pairs[i].second).id);
      if (answer.verdict == Verdict::kHolds) implied.insert(pairs[i]);
    }
    sort_out(implied, found);
    out_.environments.push_back(std::move(found));
  }

  // Both ways: redundant; one way: shadowed.
  void sort_out(const std::set<std::pair<std::size_t, std::size_t>>& implied, EnvironmentFindings& found) const {
    std::set<std::size_t> grouped;
    for (const auto& [a, b] : implied) {
      if (!implied.contains({b, a})) {
        found.shadowed.emplace_back(policy(a).id, policy(b).id);
        continue;
      }
      if (grouped.contains(a)) continue;
      std::vector<std::string> group = {policy(a).id};
      grouped.insert(a);
      for (const auto& [c, d] : implied) {
        if (c != a || !implied.contains({d, c}) || !grouped.insert(d).second) continue;
        group.push_back(policy(d).id);
      }
      found.redundant.push_back(std::move(group));
    }
  }

  const schema::Schema& schema_;
  const cedar::PolicySet& policies_;
  const ProofLimits& limits_;
  Rule rule_;
  std::vector<std::vector<schema::Environment>> scopes_;  // by policy
  std::vector<std::vector<std::size_t>> applies_;         // by environment: policies that match something
  Findings out_;
};

}  // namespace

Comparison comparison_of(Verdict gains_nothing, Verdict loses_nothing) {
  if (gains_nothing == Verdict::kUnknown || loses_nothing == Verdict::kUnknown) return Comparison::kUnknown;
  const bool gains = gains_nothing == Verdict::kFails;
  const bool loses = loses_nothing == Verdict::kFails;
  if (gains && loses) return Comparison::kIncomparable;
  return gains ? Comparison::kMorePermissive : loses ? Comparison::kLessPermissive : Comparison::kEquivalent;
}

std::string_view to_string(Comparison comparison) {
  switch (comparison) {
    case Comparison::kEquivalent: return "equivalent";
    case Comparison::kMorePermissive: return "more permissive";
    case Comparison::kLessPermissive: return "less permissive";
    case Comparison::kIncomparable: return "incomparable";
    case Comparison::kUnknown: break;
  }
  return "unknown";
}

std::string to_string(const schema::Environment& environment) {
  return environment.principal->name + ", " + environment.action->uid->to_string() + ", " + environment.resource->name;
}

Findings find_issues(const schema::Schema& schema, const cedar::PolicySet& policies, const ProofLimits& limits,
                     Rule rule) {
  return Finder(schema, policies, limits, rule).run();
}

std::vector<EnvironmentComparison> compare(const schema::Schema& schema, const cedar::PolicySet& first,
                                           const cedar::PolicySet& second, const ProofLimits& limits, Rule rule) {
  std::vector<Question> questions;
  for (const schema::Environment& environment : schema.environments()) {
    questions.push_back({QuestionKind::kImplies, environment, all_of(first), all_of(second), false, rule});
    questions.push_back({QuestionKind::kImplies, environment, all_of(second), all_of(first), false, rule});
  }
  std::vector<Answer> answers = prove(schema, questions, limits);
  std::vector<EnvironmentComparison> out;
  for (std::size_t i = 0; i < schema.environments().size(); ++i) {
    const Comparison comparison = comparison_of(answers[2 * i].verdict, answers[2 * i + 1].verdict);
    out.push_back({schema.environments()[i], comparison, std::move(answers[2 * i]), std::move(answers[2 * i + 1])});
  }
  return out;
}

}  // namespace wary::analysis
