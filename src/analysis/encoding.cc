#include "analysis/encoding.h"

#include <algorithm>
#include <cstdio>

#include "analysis/ip_bits.h"
#include "cedar/lexer.h"

namespace wary::analysis {

using Kind = schema::Type::Kind;
using schema::Type;
using schema::TypePtr;

namespace {

std::string solver_text(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t code = cedar::next_code_point(text, at);
    if (code > 0x2FFFF) throw Unsupported{"a string with a character beyond U+2FFFF"};
    if (code >= 0x20 && code < 0x7F && code != '\\') {
      out += static_cast<char>(code);
      continue;
    }
    char escape[16];
    std::snprintf(escape, sizeof escape, "\\u{%x}", static_cast<unsigned>(code));
    out += escape;
  }
  return out;
}

}  // namespace

z3::expr both(const z3::expr& a, const z3::expr& b) {
  if (a.is_false() || b.is_true()) return a;
  if (b.is_false() || a.is_true()) return b;
  return a && b;
}
z3::expr either(const z3::expr& a, const z3::expr& b) {
  if (a.is_true() || b.is_false()) return a;
  if (b.is_true() || a.is_false()) return b;
  return a || b;
}
z3::expr negated(const z3::expr& a) {
  if (a.is_true()) return a.ctx().bool_val(false);
  if (a.is_false()) return a.ctx().bool_val(true);
  return !a;
}

const Field* Term::find(std::string_view name) const {
  const auto at = std::find_if(fields.begin(), fields.end(), [&](const Field& field) { return field.name == name; });
  return at != fields.end() ? &*at : nullptr;
}

bool Encoding::is_listed(const std::string& type) const {
  if (schema::is_action_type(type)) return true;
  const schema::EntityType* entity = schema_.find_entity_type(type);
  return entity != nullptr && entity->is_enum;
}

const std::vector<std::string>& Encoding::listed(const std::string& type) {
  const auto [at, is_new] = listed_.try_emplace(type);
  if (!is_new) return at->second;
  const schema::EntityType* entity = schema_.find_entity_type(type);
  if (entity != nullptr && entity->is_enum) at->second = entity->choices;
  for (const schema::Action& action : schema_.actions()) {
    if (action.uid->type == type) at->second.push_back(action.uid->id);
  }
  if (at->second.empty()) throw Unsupported{"an entity type without entities: " + type};
  return at->second;
}

z3::sort Encoding::sort_of(const Type& type) {
  switch (type.kind) {
    case Kind::kBool:
    case Kind::kTrue:
    case Kind::kFalse: return context_.bool_sort();
    case Kind::kLong:
    case Kind::kDecimal:
    case Kind::kDatetime:
    case Kind::kDuration: return context_.bv_sort(64);
    case Kind::kString: return context_.string_sort();
    case Kind::kIp: return context_.bv_sort(kIpBits);
    case Kind::kSet: return context_.array_sort(sort_of(*type.element), context_.bool_sort());
    case Kind::kEntity: break;
    case Kind::kRecord: {
      for (const auto& [known, sort] : tuples_) {
        if (known == type) return sort;
      }
      std::vector<std::string> names;
      std::vector<z3::sort> sorts;
      for (const schema::Attribute& attribute : type.attributes) {
        sorts.push_back(sort_of(*attribute.type));
        sorts.push_back(context_.bool_sort());
      }
      for (std::size_t i = 0; i < sorts.size(); ++i) {
        names.push_back("record" + std::to_string(tuples_.size()) + "." + std::to_string(i));
      }
      std::vector<const char*> pointers;
      for (const std::string& name : names) pointers.push_back(name.c_str());
      z3::func_decl_vector projections(context_);
      const std::string name = "record" + std::to_string(tuples_.size());
      tuple_makers_.push_back(context_.tuple_sort(name.c_str(), static_cast<unsigned>(sorts.size()), pointers.data(),
                                                  sorts.data(), projections));
      tuples_.emplace_back(type, tuple_makers_.back().range());
      return tuples_.back().second;
    }
  }
  const auto known = sorts_.find(type.entity);
  if (known != sorts_.end()) return known->second;
  if (!is_listed(type.entity)) {
    return sorts_.emplace(type.entity, context_.uninterpreted_sort(type.entity.c_str())).first->second;
  }
  const std::vector<std::string>& ids = listed(type.entity);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < ids.size(); ++i) names.push_back(type.entity + " " + std::to_string(i));
  std::vector<const char*> pointers;
  for (const std::string& name : names) pointers.push_back(name.c_str());
  z3::func_decl_vector makers(context_);
  z3::func_decl_vector testers(context_);
  const z3::sort sort = context_.enumeration_sort(type.entity.c_str(), static_cast<unsigned>(ids.size()),
                                                  pointers.data(), makers, testers);
  for (std::size_t i = 0; i < ids.size(); ++i) named_[type.entity].emplace(ids[i], makers[static_cast<int>(i)]());
  return sorts_.emplace(type.entity, sort).first->second;
}

z3::expr Encoding::default_of(const z3::sort& sort) {
  if (sort.is_bool()) return context_.bool_val(false);
  if (sort.is_bv()) return context_.bv_val(0, sort.bv_size());
  if (sort.is_array()) return z3::const_array(sort.array_domain(), context_.bool_val(false));
  if (sort.is_seq()) return context_.string_val("");
  return context_.constant(("default " + sort.name().str()).c_str(), sort);
}

z3::expr Encoding::apply(const std::string& name, const z3::expr_vector& arguments, const z3::sort& range) {
  auto at = functions_.find(name);
  if (at == functions_.end()) {
    z3::sort_vector domain(context_);
    for (int i = 0; i < static_cast<int>(arguments.size()); ++i) domain.push_back(arguments[i].get_sort());
    const std::string number = "function " + std::to_string(fresh_++);  // as entities are: names may hold a zero
    at = functions_.emplace(name, context_.function(number.c_str(), domain, range)).first;
  }
  return at->second(arguments);
}

Term Encoding::leaves(const std::string& name, const TypePtr& type, const z3::expr_vector& arguments) {
  if (type->kind != Kind::kRecord) {
    Term out(type, apply(name, arguments, sort_of(*type)));
    meet(out);
    return out;
  }
  Term out(type, boolean(true));
  functions_.try_emplace(name, context_.function("record", z3::sort_vector(context_), context_.bool_sort()));
  for (const schema::Attribute& attribute : type->attributes) {
    const std::string leaf = attribute_name(name, attribute.name);
    const z3::expr present = attribute.is_required ? boolean(true) : apply(leaf + "?", arguments, context_.bool_sort());
    out.fields.push_back({attribute.name, present, leaves(leaf, attribute.type, arguments)});
  }
  return out;
}

Term Encoding::variable(const std::string& name, const TypePtr& type) {
  return leaves("$" + name, type, z3::expr_vector(context_));
}

void Encoding::meet(const Term& term) {
  if (!met_.insert(term.value.id()).second) return;
  if (term.type->kind == Kind::kIp) facts_.push_back(is_valid_ip(term.value));
  if (term.type->kind != Kind::kSet) return;
  // A set is finite: what is not told of it is not in it.
  const Kind element = term.type->element->kind;
  if (element != Kind::kString && element != Kind::kLong && element != Kind::kIp && element != Kind::kDecimal &&
      element != Kind::kDatetime && element != Kind::kDuration && element != Kind::kSet) {
    return;
  }
  const z3::expr rest(context_, Z3_mk_array_default(context_, term.value));
  facts_.push_back(!rest);
}

Term Encoding::entity(const cedar::EntityUid& uid) {
  TypePtr type = schema::make_entity_type(uid.type);
  const z3::sort sort = sort_of(*type);
  auto& known = named_[uid.type];
  const auto at = known.find(uid.id);
  if (at != known.end()) return {std::move(type), at->second};
  if (is_listed(uid.type)) throw Unsupported{"an entity that the schema does not list: " + uid.to_string()};
  // Numbered: the solver's names end at a zero byte, and two ids must never be one.
  const z3::expr constant = context_.constant(("entity " + std::to_string(fresh_++)).c_str(), sort);
  known.emplace(uid.id, constant);
  return {std::move(type), constant};
}

Term Encoding::literal(const cedar::Value& value) {
  const auto bits = [&](std::int64_t number) { return context_.bv_val(number, 64); };
  switch (value.kind()) {
    case cedar::Value::Kind::kBool: return {schema::bool_type(), boolean(*value.as_bool())};
    case cedar::Value::Kind::kLong: return {schema::long_type(), bits(*value.as_long())};
    case cedar::Value::Kind::kString:
      return {schema::string_type(), context_.string_val(solver_text(*value.as_string()))};
    case cedar::Value::Kind::kEntity: return entity(**value.as_entity());
    case cedar::Value::Kind::kDecimal:
      return {schema::extension_type(Kind::kDecimal), bits(value.as_decimal()->ten_thousandths)};
    case cedar::Value::Kind::kDatetime:
      return {schema::extension_type(Kind::kDatetime), bits(value.as_datetime()->milliseconds)};
    case cedar::Value::Kind::kDuration:
      return {schema::extension_type(Kind::kDuration), bits(value.as_duration()->milliseconds)};
    case cedar::Value::Kind::kIp: return {schema::extension_type(Kind::kIp), ip_bits(context_, *value.as_ip())};
    case cedar::Value::Kind::kSet:
    case cedar::Value::Kind::kRecord: break;
  }
  throw Unsupported{"a literal of this kind"};
}

Term Encoding::attribute(const Term& entity, const schema::Attribute& attribute) {
  z3::expr_vector arguments(context_);
  arguments.push_back(entity.value);
  return leaves(attribute_name(entity.type->entity, attribute.name), attribute.type, arguments);
}

z3::expr Encoding::has_attribute(const Term& entity, const schema::Attribute& attribute) {
  if (attribute.is_required) return boolean(true);
  z3::expr_vector arguments(context_);
  arguments.push_back(entity.value);
  return apply(attribute_name(entity.type->entity, attribute.name) + "?", arguments, context_.bool_sort());
}

Term Encoding::tag(const Term& entity, const Term& key) {
  const schema::EntityType* type = schema_.find_entity_type(entity.type->entity);
  if (type == nullptr || type->tags == nullptr) throw Unsupported{"a tag of a type without tags"};
  has_tag(entity, key);
  z3::expr_vector arguments(context_);
  arguments.push_back(entity.value);
  arguments.push_back(key.value);
  return leaves(tag_name(type->name), type->tags, arguments);
}

z3::expr Encoding::tag_keys(const std::string& type, const z3::expr& entity) {
  z3::expr_vector arguments(context_);
  arguments.push_back(entity);
  const TypePtr keys = schema::make_set(schema::string_type());
  Term known(keys, apply(tag_name(type) + "s", arguments, sort_of(*keys)));
  meet(known);
  return known.value;
}

z3::expr Encoding::has_tag(const Term& entity, const Term& key) {
  const schema::EntityType* type = schema_.find_entity_type(entity.type->entity);
  if (type == nullptr || type->tags == nullptr) return boolean(false);
  elements_.push_back(key.value);
  return z3::select(tag_keys(type->name, entity.value), key.value);
}

}  // namespace wary::analysis
