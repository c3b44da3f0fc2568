#include "analysis/model.h"

#include <algorithm>

#include "analysis/ip_bits.h"
#include "cedar/lexer.h"

namespace wary::analysis {

using Kind = schema::Type::Kind;
using cedar::Value;
using schema::Type;

namespace {

constexpr std::size_t kEntitiesMax = 2'000;
constexpr std::size_t kElementsMax = 10'000;

// What the solver prints of a text, \u{41} for what is no plain letter.
std::string unescaped(std::string_view escaped) {
  std::string out;
  for (std::size_t at = 0; at < escaped.size(); ++at) {
    const std::size_t open = at + 2;
    const std::size_t close = escaped.substr(at).starts_with("\\u{") ? escaped.find('}', open) : std::string::npos;
    if (close == std::string::npos) {
      out += escaped[at];
      continue;
    }
    const auto code = std::stoul(std::string(escaped.substr(open + 1, close - open - 1)), nullptr, 16);
    if (code >= 0xD800 && code <= 0xDFFF) throw Unsupported{"a counter-example with half a character"};
    cedar::append_utf8(out, static_cast<char32_t>(code));
    at = close;
  }
  return out;
}

}  // namespace

std::uint64_t ModelReader::bits(const z3::expr& value) {
  const z3::expr found = eval(value);
  std::uint64_t out = 0;
  if (!found.is_numeral_u64(out)) throw Unsupported{"a number the solver leaves open"};
  return out;
}

std::string ModelReader::text(const z3::expr& value) {
  const z3::expr found = eval(value);
  if (!found.is_string_value()) throw Unsupported{"a string the solver leaves open"};
  return unescaped(found.get_string());
}

// Ids that policies name keep their names; the rest get short ones.
void ModelReader::name_entities() {
  for (const auto& [type, named] : encoding_.named_entities()) {
    for (const auto& [id, constant] : named) {
      const z3::expr value = eval(constant);
      ids_[type].insert(id);
      known_.insert({{type, value.to_string()}, {cedar::make_entity(type, id), value}});
    }
  }
}

cedar::EntityPtr ModelReader::entity_of(const std::string& type, const z3::expr& value) {
  const z3::expr found = eval(value);
  const auto key = std::make_pair(type, found.to_string());
  auto at = known_.find(key);
  if (at == known_.end()) {
    if (encoding_.is_listed(type)) return listed(type, found);
    std::set<std::string>& taken = ids_[type];
    std::size_t number = taken.size();
    std::string id;
    do {
      id = "any-" + std::to_string(++number);
    } while (!taken.insert(id).second);
    at = known_.insert({key, {cedar::make_entity(type, id), found}}).first;
  }
  return used(type, at->second);
}

// Of a type that the schema lists, whose sort the model may have needed first.
cedar::EntityPtr ModelReader::listed(const std::string& type, const z3::expr& value) {
  for (const auto& [id, constant] : encoding_.named_entities().at(type)) {
    if (!z3::eq(constant, value)) continue;
    return used(type, known_.insert({{type, value.to_string()}, {cedar::make_entity(type, id), value}}).first->second);
  }
  throw Unsupported{"an entity the schema does not list"};
}

// Described once, with what it refers to.
cedar::EntityPtr ModelReader::used(const std::string& type, const Known& known) {
  const cedar::EntityPtr& uid = known.uid;
  if (!schema::is_action_type(type) && parents_.try_emplace(*uid).second) {
    if (parents_.size() > kEntitiesMax) throw Unsupported{"a counter-example with too many entities"};
    open_.emplace_back(type, known);
  }
  return uid;
}

Value ModelReader::simple(const z3::expr& value, const Type& type) {
  switch (type.kind) {
    case Kind::kBool:
    case Kind::kTrue:
    case Kind::kFalse: return Value(is_true(value));
    case Kind::kLong: return Value(static_cast<std::int64_t>(bits(value)));
    case Kind::kDecimal: return Value(cedar::Decimal{static_cast<std::int64_t>(bits(value))});
    case Kind::kDatetime: return Value(cedar::Datetime{static_cast<std::int64_t>(bits(value))});
    case Kind::kDuration: return Value(cedar::Duration{static_cast<std::int64_t>(bits(value))});
    case Kind::kString: return Value(std::string_view(text(value)));
    case Kind::kEntity: return Value::entity(entity_of(type.entity, value));
    case Kind::kIp: {
      if (!is_true(is_valid_ip(value))) throw Unsupported{"an address that is none"};
      return Value(ip_from_bits(is_true(ip_is_v6(value)), static_cast<std::uint8_t>(bits(value.extract(135, 128))),
                                bits(value.extract(127, 64)), bits(value.extract(63, 0))));
    }
    case Kind::kSet: return set_of(value, *type.element);
    case Kind::kRecord: break;
  }
  return tuple(value, type);
}

Value ModelReader::tuple(const z3::expr& value, const Type& type) {
  const z3::expr found = eval(value);
  if (!found.is_app() || found.num_args() != 2 * type.attributes.size()) throw Unsupported{"a record left open"};
  Value::Record members;
  for (unsigned i = 0; i < type.attributes.size(); ++i) {
    const schema::Attribute& attribute = type.attributes[i];
    if (!attribute.is_required && !is_true(found.arg(2 * i + 1))) continue;
    members.emplace_back(attribute.name, simple(found.arg(2 * i), *attribute.type));
  }
  return Value::record(std::move(members));
}

// What an array may hold true: everything of a sort that is finite in the model, else what it says.
std::vector<z3::expr> ModelReader::candidates(const z3::expr& array) {
  std::vector<z3::expr> out;
  z3::context& context = encoding_.context();
  const z3::sort index = array.get_sort().array_domain();
  if (index.sort_kind() == Z3_UNINTERPRETED_SORT) {
    bool is_known = false;  // a sort the model never needed has no universe
    for (unsigned i = 0; i < Z3_model_get_num_sorts(context, model_); ++i) {
      is_known = is_known || Z3_is_eq_sort(context, Z3_model_get_sort(context, model_, i), index);
    }
    if (!is_known) return out;
    z3::ast_vector_tpl<z3::expr> universe(context, Z3_model_get_sort_universe(context, model_, index));
    for (int i = 0; i < static_cast<int>(universe.size()); ++i) out.push_back(universe[i]);
    return out;
  }
  if (index.is_bool()) return {context.bool_val(false), context.bool_val(true)};
  z3::expr at = eval(array);
  while (out.size() < kElementsMax && at.is_app() && at.decl().decl_kind() == Z3_OP_STORE) {
    out.push_back(at.arg(1));
    const z3::expr next = at.arg(0);
    at = next;
  }
  if (at.is_app() && at.decl().decl_kind() == Z3_OP_CONST_ARRAY) return out;
  if (at.is_app() && at.decl().decl_kind() == Z3_OP_AS_ARRAY) {
    const z3::func_decl function(context, Z3_get_as_array_func_decl(context, at));
    const z3::func_interp cases = model_.get_func_interp(function);
    for (unsigned i = 0; i < cases.num_entries(); ++i) out.push_back(cases.entry(i).arg(0));
    return out;
  }
  // Told in another way: what the policies ask for is enough, for a counter-example is replayed.
  std::set<std::string> seen;
  for (const z3::expr& element : encoding_.elements()) {
    const z3::expr value = z3::eq(element.get_sort(), index) ? eval(element) : at;
    if (z3::eq(element.get_sort(), index) && seen.insert(value.to_string()).second) out.push_back(value);
  }
  return out;
}

Value ModelReader::set_of(const z3::expr& array, const Type& element) {
  Value::Set elements;
  std::vector<z3::expr> all;
  if (element.kind == Kind::kEntity && encoding_.is_listed(element.entity)) {
    for (const auto& [id, constant] : encoding_.named_entities().at(element.entity)) all.push_back(constant);
  } else {
    all = candidates(array);
  }
  for (const z3::expr& one : all) {
    if (is_true(z3::select(array, one))) elements.push_back(simple(one, element));
  }
  return Value::set(std::move(elements));
}

Value ModelReader::record_of(const Term& term) {
  Value::Record members;
  for (const Field& field : term.fields) {
    if (is_true(field.is_present)) members.emplace_back(field.name, value_of(field.term));
  }
  return Value::record(std::move(members));
}

Value ModelReader::value_of(const Term& term) {
  return term.type->kind == Kind::kRecord ? record_of(term) : simple(term.value, *term.type);
}

Value ModelReader::absent(const Type& type) {
  switch (type.kind) {
    case Kind::kEntity: return simple(encoding_.default_of(encoding_.sort_of(type)), type);
    case Kind::kSet: return Value::set({});
    case Kind::kTrue: return Value(true);
    case Kind::kIp: return Value(cedar::IpAddress{.bytes = {127, 0, 0, 1}, .prefix = 32, .is_v6 = false});
    case Kind::kRecord: {
      Value::Record members;
      for (const schema::Attribute& attribute : type.attributes) {
        if (attribute.is_required) members.emplace_back(attribute.name, absent(*attribute.type));
      }
      return Value::record(std::move(members));
    }
    default: break;
  }
  return simple(encoding_.default_of(encoding_.sort_of(type)), type);
}

void ModelReader::add_tags(const schema::EntityType& type, const Known& known, cedar::Entity& out) {
  const std::string keys_name = Encoding::tag_name(type.name) + "s";
  if (type.tags == nullptr || !encoding_.knows(keys_name)) return;
  const z3::expr keys = encoding_.tag_keys(type.name, known.value);
  const Term entity(type.type, known.value);
  for (const z3::expr& key : candidates(keys)) {
    if (!is_true(z3::select(keys, key))) continue;
    const Term name(schema::string_type(), eval(key));
    out.tags.emplace_back(text(key), value_of(encoding_.tag(entity, name)));
  }
  std::sort(out.tags.begin(), out.tags.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
}

cedar::EntityHandle ModelReader::entity(const std::string& type_name, const Known& known) {
  cedar::Entity out;
  out.uid = known.uid;
  const schema::EntityType* type = encoding_.schema().find_entity_type(type_name);
  if (type == nullptr) throw Unsupported{"an entity of no type"};
  const Term self(type->type, known.value);
  for (const schema::Attribute& attribute : type->attributes) {
    const std::string name = Encoding::attribute_name(type_name, attribute.name);
    const bool is_asked = encoding_.knows(name);
    if (!attribute.is_required) {
      if (!encoding_.knows(name + "?") || !is_true(encoding_.has_attribute(self, attribute))) continue;
    }
    out.attributes.emplace_back(attribute.name,
                                is_asked ? value_of(encoding_.attribute(self, attribute)) : absent(*attribute.type));
  }
  add_tags(*type, known, out);
  return std::make_shared<const cedar::Entity>(std::move(out));
}

// Between the terms that a policy compares with `in`, for of these the facts hold.
void ModelReader::add_parents() {
  for (const auto& [low, lows] : encoding_.members()) {
    for (const auto& [high, highs] : encoding_.members()) {
      if (!encoding_.has_ancestors(low, high)) continue;
      for (const z3::expr& x : lows) {
        const cedar::EntityPtr child = entity_of(low, x);
        for (const z3::expr& y : highs) {
          if (!is_true(z3::select(encoding_.ancestors(low, high, x), y))) continue;
          const cedar::EntityPtr parent = entity_of(high, y);
          std::vector<cedar::EntityPtr>& all = parents_[*child];
          const bool is_known =
              std::any_of(all.begin(), all.end(), [&](const cedar::EntityPtr& one) { return *one == *parent; });
          if (!is_known) all.push_back(parent);
        }
      }
    }
  }
}

Witness ModelReader::read(const Compiler& compiler) {
  name_entities();
  Witness out;
  out.request.principal = entity_of(compiler.principal().type->entity, compiler.principal().value);
  out.request.resource = entity_of(compiler.resource().type->entity, compiler.resource().value);
  out.request.action = entity_of(compiler.action().type->entity, compiler.action().value);
  out.request.context = record_of(compiler.context());
  add_parents();
  while (!open_.empty()) {
    const auto [type, known] = open_.back();
    open_.pop_back();
    out.entities.push_back(entity(type, known));
  }
  for (cedar::EntityHandle& one : out.entities) {
    const auto at = parents_.find(*one->uid);
    if (at == parents_.end() || at->second.empty()) continue;
    cedar::Entity with = *one;
    with.parents = at->second;
    one = std::make_shared<const cedar::Entity>(std::move(with));
  }
  std::sort(out.entities.begin(), out.entities.end(),
            [](const cedar::EntityHandle& a, const cedar::EntityHandle& b) { return *a->uid < *b->uid; });
  return out;
}

}  // namespace wary::analysis
