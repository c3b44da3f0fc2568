// Findings: what is wrong with a set of policies by itself, whatever is asked of it: policies that never apply, that
// others make needless, and whole environments that are always allowed or always denied.
//
//   Findings findings = find_issues(schema, policies, {}, Rule::kDecisionPoint);
//   for (const std::string& id : findings.vacuous) ...                       // applies to no request
//   for (const EnvironmentFindings& one : findings.environments) ...
//
// Pairs of policies are compared within an environment, of one effect. What could not be proved is listed as unknown
// and counts neither way. Calls fork, as prove.h; any thread. Limits: ProofLimits; kComparedMax policies of one effect
// in an environment are compared with each other.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "analysis/prove.h"

namespace wary::analysis {

constexpr std::size_t kComparedMax = 200;

struct EnvironmentFindings {
  schema::Environment environment;
  std::vector<std::vector<std::string>> redundant;            // groups that match the same requests
  std::vector<std::pair<std::string, std::string>> shadowed;  // the first matches only where the second does
  Verdict allows_all = Verdict::kUnknown;
  Verdict denies_all = Verdict::kUnknown;
};

struct Findings {
  std::vector<std::string> vacuous;  // applies to no request of any environment
  std::vector<std::string> erring;   // errors for some request: an overflow, as validated policies do nothing else
  std::vector<EnvironmentFindings> environments;
  std::vector<std::string> unknown;  // what could not be proved, and why
};

Findings find_issues(const schema::Schema& schema, const cedar::PolicySet& policies, const ProofLimits& limits,
                     Rule rule);

// How two sets compare in one environment.
enum class Comparison : std::uint8_t { kEquivalent, kMorePermissive, kLessPermissive, kIncomparable, kUnknown };
std::string_view to_string(Comparison comparison);  // "more permissive"
// Of what the first allows beyond the second, and the other way.
Comparison comparison_of(Verdict gains_nothing, Verdict loses_nothing);

struct EnvironmentComparison {
  schema::Environment environment;
  Comparison comparison = Comparison::kUnknown;
  Answer gained;  // kFails: the first allows what the second does not
  Answer lost;    // the other way
};

// Of the first set against the second, in every environment of the schema.
std::vector<EnvironmentComparison> compare(const schema::Schema& schema, const cedar::PolicySet& first,
                                           const cedar::PolicySet& second, const ProofLimits& limits, Rule rule);

std::string to_string(const schema::Environment& environment);  // User, Action::"view", Doc

}  // namespace wary::analysis
