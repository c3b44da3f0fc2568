// Two schemas of one change: what differs between them, which kinds of request both have, and policies of one in the
// other's world. Private to analysis/.
//
// Of a schema only its actions take part in deciding: they are entities, and policies ask for their groups. All else
// comes with the request and the store, which are the same for both sides.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cedar/policy_set.h"
#include "schema/schema.h"

namespace wary::analysis {

constexpr std::size_t kSchemaChangesMax = 1'000;

// A line each, of what a person would look for: "User: attribute level: Long added".
std::vector<std::string> describe_changes(const schema::Schema& before, const schema::Schema& after);

// The environment of the same names, where the schema has one.
std::optional<schema::Environment> counterpart(const schema::Schema& schema, const schema::Environment& environment);

// Whether a condition may ask for an action's groups.
bool asks_for_groups(const cedar::PolicyBody& body);

// Policies that are decided by the actions of `own`, for a world that has those of another schema.
class Carrier {
 public:
  Carrier(const schema::Schema& own, const schema::Schema& world) : own_(own), world_(world) {}
  // Whether the action is in other groups there.
  bool is_moved(const cedar::EntityUid& action);
  // Whether the scope lets the action pass by one schema and not by the other, or names what the other has not: by that
  // it reaches nothing, whatever else it names.
  bool is_moved(const cedar::Policy& policy, const cedar::EntityUid& action) const;
  // The policy itself where it did not move; else one that names the action, or null where by its own schema the action
  // does not pass. Lives as long as this.
  const cedar::Policy* carry(const cedar::Policy* policy, const cedar::EntityUid& action);

 private:
  const schema::Schema& own_;
  const schema::Schema& world_;
  std::map<cedar::EntityUid, bool> moved_;
  std::deque<cedar::Policy> made_;
};

}  // namespace wary::analysis
