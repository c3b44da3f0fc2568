#include "analysis/schema_change.h"

#include <algorithm>
#include <set>

namespace wary::analysis {

namespace {

using schema::Schema;
using Names = std::set<std::string>;

// ---- What differs

class Describer {
 public:
  Describer(const Schema& before, const Schema& after) : before_(before), after_(after) {}

  std::vector<std::string> run() {
    for (const schema::EntityType& type : before_.entity_types()) {
      const schema::EntityType* other = after_.find_entity_type(type.name);
      other == nullptr ? say(type.name, "removed") : compare(type, *other);
    }
    for (const schema::EntityType& type : after_.entity_types()) {
      if (before_.find_entity_type(type.name) == nullptr) say(type.name, "added");
    }
    for (const schema::Action& action : before_.actions()) {
      const schema::Action* other = after_.find_action(*action.uid);
      other == nullptr ? say(action.uid->to_string(), "removed") : compare(action, *other);
    }
    for (const schema::Action& action : after_.actions()) {
      if (before_.find_action(*action.uid) == nullptr) say(action.uid->to_string(), "added");
    }
    return std::move(out_);
  }

 private:
  void say(const std::string& where, const std::string& what) {
    if (out_.size() < kSchemaChangesMax) out_.push_back(where + ": " + what);
    if (out_.size() == kSchemaChangesMax) out_.push_back("and more");
  }

  void compare(const schema::EntityType& a, const schema::EntityType& b) {
    compare_attributes(a.name, "attribute ", a.attributes, b.attributes);
    compare_names(a.name, "in ", type_names(before_, a.parents), type_names(after_, b.parents));
    compare_names(a.name, "id ", {a.choices.begin(), a.choices.end()}, {b.choices.begin(), b.choices.end()});
    const auto tags = [](const schema::EntityType& type) {
      return type.tags != nullptr ? Names{schema::to_string(*type.tags)} : Names{};
    };
    compare_names(a.name, "tags ", tags(a), tags(b));
  }

  void compare(const schema::Action& a, const schema::Action& b) {
    const std::string where = a.uid->to_string();
    compare_names(where, "in ", group_names(before_, a), group_names(after_, b));
    compare_names(where, "principal ", type_names(before_, a.principals), type_names(after_, b.principals));
    compare_names(where, "resource ", type_names(before_, a.resources), type_names(after_, b.resources));
    compare_attributes(where, "context ", a.context->attributes, b.context->attributes);
  }

  void compare_attributes(const std::string& where, const std::string& what, const std::vector<schema::Attribute>& a,
                          const std::vector<schema::Attribute>& b) {
    const auto text = [](const schema::Attribute& one) {
      return one.name + (one.is_required ? ": " : "?: ") + schema::to_string(*one.type);
    };
    for (const schema::Attribute& one : a) {
      const schema::Attribute* other = schema::find_attribute(b, one.name);
      if (other == nullptr) {
        say(where, what + text(one) + " removed");
      } else if (!(*one.type == *other->type) || one.is_required != other->is_required) {
        say(where, what + text(one) + " is now " + text(*other));
      }
    }
    for (const schema::Attribute& one : b) {
      if (schema::find_attribute(a, one.name) == nullptr) say(where, what + text(one) + " added");
    }
  }

  void compare_names(const std::string& where, const std::string& what, const Names& a, const Names& b) {
    for (const std::string& name : a) {
      if (!b.contains(name)) say(where, what + name + " removed");
    }
    for (const std::string& name : b) {
      if (!a.contains(name)) say(where, what + name + " added");
    }
  }

  static Names type_names(const Schema& schema, const std::vector<std::uint32_t>& types) {
    Names out;
    for (const std::uint32_t type : types) out.insert(schema.entity_types()[type].name);
    return out;
  }
  static Names group_names(const Schema& schema, const schema::Action& action) {
    Names out;
    for (const std::uint32_t group : action.parents) out.insert(schema.actions()[group].uid->to_string());
    return out;
  }

  const Schema& before_;
  const Schema& after_;
  std::vector<std::string> out_;
};

// ---- Actions and their groups

std::set<cedar::EntityUid> groups_of(const Schema& schema, const cedar::EntityUid& uid) {
  std::set<cedar::EntityUid> out;
  const schema::Action* action = schema.find_action(uid);
  for (const schema::Action& group : schema.actions()) {
    if (action != nullptr && schema.is_beneath(*action, group)) out.insert(*group.uid);
  }
  return out;
}

bool passes(const Schema& schema, const cedar::ScopeConstraint& scope, const cedar::EntityUid& uid) {
  const schema::Action* action = schema.find_action(uid);
  return std::any_of(scope.entities.begin(), scope.entities.end(), [&](const cedar::EntityPtr& named) {
    const schema::Action* group = schema.find_action(*named);
    return *named == uid || (action != nullptr && group != nullptr && schema.is_beneath(*action, *group));
  });
}

bool is_no_action(const cedar::Expr& e) {
  if (e.kind == cedar::ExprKind::kSet) return std::all_of(e.operands.begin(), e.operands.end(), is_no_action);
  const cedar::EntityPtr* uid = e.kind == cedar::ExprKind::kLiteral ? e.literal.as_entity() : nullptr;
  return uid != nullptr && !schema::is_action_type((*uid)->type);
}

bool asks_for_groups(const cedar::Expr& e) {
  const bool is_in = e.kind == cedar::ExprKind::kIn || (e.kind == cedar::ExprKind::kIs && e.operands.size() == 2);
  if (is_in && !is_no_action(e.operands[1])) {
    const cedar::Expr& left = e.operands[0];
    const bool is_other = left.kind == cedar::ExprKind::kVariable && left.variable != cedar::Variable::kAction;
    if (!is_other) return true;
  }
  return std::any_of(e.operands.begin(), e.operands.end(),
                     [](const cedar::Expr& operand) { return asks_for_groups(operand); });
}

}  // namespace

std::vector<std::string> describe_changes(const Schema& before, const Schema& after) {
  return Describer(before, after).run();
}

std::optional<schema::Environment> counterpart(const Schema& schema, const schema::Environment& environment) {
  const schema::EntityType* principal = schema.find_entity_type(environment.principal->name);
  const schema::Action* action = schema.find_action(*environment.action->uid);
  const schema::EntityType* resource = schema.find_entity_type(environment.resource->name);
  if (principal == nullptr || action == nullptr || resource == nullptr) return std::nullopt;
  const auto has = [](const std::vector<std::uint32_t>& sorted, const schema::EntityType& type) {
    return std::binary_search(sorted.begin(), sorted.end(), type.index);
  };
  if (!has(action->principals, *principal) || !has(action->resources, *resource)) return std::nullopt;
  return schema::Environment{principal, action, resource};
}

bool asks_for_groups(const cedar::PolicyBody& body) {
  return std::any_of(body.conditions.begin(), body.conditions.end(),
                     [](const cedar::Condition& one) { return asks_for_groups(one.expression); });
}

bool Carrier::is_moved(const cedar::EntityUid& action) {
  const auto [at, is_new] = moved_.emplace(action, false);
  if (is_new) at->second = groups_of(own_, action) != groups_of(world_, action);
  return at->second;
}

bool Carrier::is_moved(const cedar::Policy& policy, const cedar::EntityUid& action) const {
  const cedar::ScopeConstraint& scope = policy.body->action;
  if (scope.kind != cedar::ScopeConstraint::Kind::kIn) return false;
  return passes(own_, scope, action) != passes(world_, scope, action) ||
         std::any_of(scope.entities.begin(), scope.entities.end(),
                     [&](const cedar::EntityPtr& named) { return world_.find_action(*named) == nullptr; });
}

const cedar::Policy* Carrier::carry(const cedar::Policy* policy, const cedar::EntityUid& action) {
  if (!is_moved(*policy, action)) return policy;
  if (!passes(own_, policy->body->action, action)) return nullptr;
  cedar::PolicyBody body = *policy->body;
  body.action = {};
  body.action.kind = cedar::ScopeConstraint::Kind::kEqual;
  body.action.entities = {cedar::make_entity(action.type, action.id)};
  cedar::Policy& made = made_.emplace_back(*policy);
  made.body = std::make_shared<const cedar::PolicyBody>(std::move(body));
  return &made;
}

}  // namespace wary::analysis
