// One direction of one environment of a review. Private to analysis/.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "analysis/prove.h"

namespace wary::analysis {

inline bool is_permit(const cedar::Policy* policy) { return policy->body->effect == cedar::Effect::kPermit; }
inline bool is_forbid(const cedar::Policy* policy) { return !is_permit(policy); }

// What `wide` allows and `narrow` does not, in the world of one schema.
struct Versus {
  const schema::Schema& schema;
  schema::Environment environment;
  Rule rule;
  std::vector<const cedar::Policy*> wide;  // whole sets
  std::vector<const cedar::Policy*> narrow;
  std::vector<const cedar::Policy*> changed_wide;  // of them, what is not in both
  std::vector<const cedar::Policy*> changed_narrow;
};

// Asked in rounds, so that all directions share a worker. Policies that did not change count only where they make a
// counter-example wrong; then they are taken in. What is left out can only take away from the difference, but for
// permits beside an edited forbid: a few are there from the start, to find a counter-example; where there is none, the
// solver is told that there may be more.
class Direction {
 public:
  explicit Direction(Versus versus);
  const schema::Schema& schema() const { return schema_; }
  const Question* question() const { return is_done_ ? nullptr : &slice_; }
  const Answer& answer() const { return answer_; }
  void hear(Answer answer);

 private:
  using Policies = std::vector<const cedar::Policy*>;
  void close(Answer answer);
  std::string refine(const Witness& witness);
  bool decides(const cedar::Policy& policy, cedar::Outcome outcome) const;
  void take(const Policies& more);
  bool may_meet(const cedar::Policy& policy) const;

  const schema::Schema& schema_;
  Question full_;
  Question slice_;
  Policies unchanged_;
  Policies others_;  // permits that an edited policy can meet, not taken in
  std::set<const cedar::Policy*> taken_;
  int rounds_ = 0;
  bool is_done_ = false;
  Answer answer_;
};

}  // namespace wary::analysis
