// Equality, choice, sets and ancestors.
#include <algorithm>

#include "analysis/encoding.h"

namespace wary::analysis {

using Kind = schema::Type::Kind;
using schema::Type;
using schema::TypePtr;

namespace {

constexpr std::size_t kMembersMax = 96;  // of one entity type, on either side of `in`
constexpr std::size_t kHierarchyFactsMax = 400'000;

}  // namespace

z3::expr Encoding::equal(const Term& a, const Term& b) {
  if (a.type->is_boolean() != b.type->is_boolean() || (!a.type->is_boolean() && a.type->kind != b.type->kind)) {
    return boolean(false);
  }
  if (a.type->kind == Kind::kEntity && a.type->entity != b.type->entity) return boolean(false);
  if (a.type->kind != Kind::kRecord) {
    if (z3::eq(a.value, b.value)) return boolean(true);
    if (a.type->kind == Kind::kSet && !z3::eq(a.value.get_sort(), b.value.get_sort())) {
      throw Unsupported{"sets of different types compared"};
    }
    return (a.value == b.value).simplify();
  }
  if (a.fields.size() != b.fields.size()) return boolean(false);
  z3::expr out = boolean(true);
  for (const Field& field : a.fields) {
    const Field* other = b.find(field.name);
    if (other == nullptr) return boolean(false);
    const z3::expr same = both(field.is_present, equal(field.term, other->term));
    out = both(out, either(both(same, other->is_present), both(negated(field.is_present), negated(other->is_present))));
  }
  return out;
}

Term Encoding::choose(const z3::expr& condition, const Term& then_term, const Term& else_term) {
  if (condition.is_true()) return then_term;
  if (condition.is_false()) return else_term;
  const TypePtr type = then_term.type->is_boolean() ? schema::bool_type() : then_term.type;
  if (type->kind != Kind::kRecord) {
    Term out(type, z3::ite(condition, then_term.value, else_term.value));
    meet(out);
    return out;
  }
  Term out(type, boolean(true));
  for (const Field& field : then_term.fields) {
    const Field* other = else_term.find(field.name);
    if (other == nullptr) throw Unsupported{"records of different shapes"};
    out.fields.push_back({field.name, z3::ite(condition, field.is_present, other->is_present).simplify(),
                          choose(condition, field.term, other->term)});
  }
  return out;
}

z3::expr Encoding::packed(const Term& term) {
  if (term.type->kind != Kind::kRecord) return term.value;
  const z3::sort sort = sort_of(*term.type);
  z3::expr_vector arguments(context_);
  for (const schema::Attribute& attribute : term.type->attributes) {
    const Field* field = term.find(attribute.name);
    if (field == nullptr) throw Unsupported{"records of different shapes in a set"};
    const z3::expr value = packed(field->term);
    // What is not there is one value, so that equal records are equal tuples.
    arguments.push_back(field->is_present.is_true() ? value
                                                    : z3::ite(field->is_present, value, default_of(value.get_sort())));
    arguments.push_back(field->is_present);
  }
  for (std::size_t i = 0; i < tuples_.size(); ++i) {
    if (z3::eq(tuples_[i].second, sort)) return tuple_makers_[i](arguments);
  }
  throw Unsupported{"a record in a set"};
}

Term Encoding::make_set(const TypePtr& type, std::vector<Term> elements) {
  z3::expr set = z3::empty_set(sort_of(*type->element));
  for (const Term& element : elements) set = z3::store(set, packed(element), boolean(true));
  Term out(type, set);
  out.elements = std::move(elements);
  return out;
}

z3::expr Encoding::contains(const Term& set, const Term& element) {
  if (!set.elements) {
    elements_.push_back(packed(element));
    return z3::select(set.value, elements_.back());
  }
  z3::expr out = boolean(false);
  for (const Term& one : *set.elements) out = either(out, equal(one, element));
  return out;
}

z3::expr Encoding::contains_all(const Term& set, const Term& other) {
  if (!other.elements) return z3::set_subset(other.value, set.value);
  z3::expr out = boolean(true);
  for (const Term& one : *other.elements) out = both(out, contains(set, one));
  return out;
}

z3::expr Encoding::contains_any(const Term& set, const Term& other) {
  if (!other.elements && set.elements) return contains_any(other, set);
  if (!other.elements) return intersects(set.value, other.value, *set.type->element);
  z3::expr out = boolean(false);
  for (const Term& one : *other.elements) out = either(out, contains(set, one));
  return out;
}

z3::expr Encoding::is_empty(const Term& set) {
  if (set.elements) return boolean(set.elements->empty());
  return set.value == z3::empty_set(set.value.get_sort().array_domain());
}

// A common element has a name, so that what holds of the terms met holds of it.
z3::expr Encoding::intersects(const z3::expr& a, const z3::expr& b, const Type& element) {
  const std::string number = std::to_string(fresh_++);
  const z3::expr holds = context_.bool_const(("intersects " + number).c_str());
  const z3::expr common = context_.constant(("common " + number).c_str(), sort_of(element));
  facts_.push_back(holds == (z3::set_intersect(a, b) != z3::empty_set(sort_of(element))));
  facts_.push_back(z3::implies(holds, z3::select(a, common) && z3::select(b, common)));
  elements_.push_back(common);
  if (element.kind == Kind::kEntity) add_member(element.entity, common);
  return holds;
}

bool Encoding::may_be_in(const std::string& type, const std::string& ancestor) const {
  const schema::EntityType* from = schema_.find_entity_type(type);
  const schema::EntityType* to = schema_.find_entity_type(ancestor);
  return from != nullptr && to != nullptr && schema_.is_beneath(*from, *to);
}

z3::expr Encoding::ancestors(const std::string& from, const std::string& to, const z3::expr& entity) {
  z3::expr_vector arguments(context_);
  arguments.push_back(entity);
  const z3::sort member = sort_of(*schema::make_entity_type(to));
  return apply(ancestors_name(from, to), arguments, context_.array_sort(member, context_.bool_sort()));
}

void Encoding::add_member(const std::string& type, const z3::expr& entity) {
  if (seen_members_.emplace(type, entity.id()).second) members_.try_emplace(type).first->second.push_back(entity);
}

// A division of its own, wide enough not to overflow: cheaper than the solver's.
z3::expr Encoding::remainder(const z3::expr& number, std::int64_t divisor) {
  const std::string which = std::to_string(fresh_++);
  const z3::expr quotient = context_.bv_const(("quotient " + which).c_str(), 64);
  const z3::expr rest = context_.bv_const(("remainder " + which).c_str(), 64);
  const z3::expr by = context_.bv_val(divisor, 64);
  facts_.push_back(rest >= 0 && rest < by);
  facts_.push_back(quotient >= context_.bv_val(INT64_MIN / divisor - 1, 64) &&
                   quotient <= context_.bv_val(INT64_MAX / divisor, 64));
  facts_.push_back(z3::sext(number, 2) == z3::sext(quotient, 2) * z3::sext(by, 2) + z3::sext(rest, 2));
  return rest;
}

// What the schema says of actions is all there is to say.
z3::expr Encoding::action_is_in(const Term& entity, const Term& ancestor) {
  z3::expr out = boolean(false);
  for (const schema::Action& action : schema_.actions()) {
    if (action.uid->type != entity.type->entity) continue;
    const z3::expr is_action = equal(entity, this->entity(*action.uid));
    if (is_action.is_false()) continue;
    for (const schema::Action& group : schema_.actions()) {
      if (group.uid->type != ancestor.type->entity) continue;
      if (&action != &group && !schema_.is_beneath(action, group)) continue;
      out = either(out, both(is_action, equal(ancestor, this->entity(*group.uid))));
    }
  }
  return out;
}

z3::expr Encoding::is_in(const Term& entity, const Term& ancestor) {
  const std::string& from = entity.type->entity;
  const std::string& to = ancestor.type->entity;
  if (schema::is_action_type(from)) {
    return schema::is_action_type(to) ? action_is_in(entity, ancestor) : boolean(false);
  }
  z3::expr out = from == to ? equal(entity, ancestor) : boolean(false);
  if (out.is_true() || !may_be_in(from, to)) return out;
  add_member(from, entity.value);
  add_member(to, ancestor.value);
  return either(out, z3::select(ancestors(from, to, entity.value), ancestor.value));
}

z3::expr Encoding::is_in_any(const Term& entity, const Term& set) {
  if (set.elements) {
    z3::expr out = boolean(false);
    for (const Term& one : *set.elements) out = either(out, is_in(entity, one));
    return out;
  }
  const std::string& from = entity.type->entity;
  const std::string& to = set.type->element->entity;
  if (schema::is_action_type(from) && schema::is_action_type(to)) throw Unsupported{"an action in a set of actions"};
  z3::expr out = from == to ? z3::select(set.value, entity.value) : boolean(false);
  if (!may_be_in(from, to)) return out;
  add_member(from, entity.value);
  return either(out, intersects(ancestors(from, to, entity.value), set.value, *set.type->element));
}

// Whatever is in something is in what that is in; nothing is in itself by way of its parents.
void Encoding::add_hierarchy_facts() {
  std::size_t count = 0;
  for (const auto& [type, members] : members_) {
    if (members.size() > kMembersMax) throw Unsupported{"too many entities of type " + type + " compared with `in`"};
  }
  for (const auto& [low, lows] : members_) {
    for (const auto& [middle, middles] : members_) {
      if (!may_be_in(low, middle)) continue;
      for (const z3::expr& x : lows) {
        if (low == middle) facts_.push_back(!z3::select(ancestors(low, low, x), x));
        for (const auto& [high, highs] : members_) {
          if (!may_be_in(middle, high)) continue;
          count += middles.size() * highs.size();
          if (count > kHierarchyFactsMax) throw Unsupported{"too many entities compared with `in`"};
          for (const z3::expr& y : middles) {
            for (const z3::expr& z : highs) {
              facts_.push_back(
                  z3::implies(z3::select(ancestors(low, middle, x), y) && z3::select(ancestors(middle, high, y), z),
                              z3::select(ancestors(low, high, x), z)));
            }
          }
        }
      }
    }
  }
}

std::vector<z3::expr> Encoding::facts() {
  add_hierarchy_facts();
  std::vector<z3::expr> out = facts_;
  for (const auto& [type, known] : named_) {
    if (is_listed(type) || known.size() < 2) continue;
    z3::expr_vector all(context_);
    for (const auto& [id, constant] : known) all.push_back(constant);
    out.push_back(z3::distinct(all));
  }
  return out;
}

}  // namespace wary::analysis
