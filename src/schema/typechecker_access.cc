// Attributes and tags: what may be read, and what a test for it teaches.
#include "schema/typechecker.h"

#include "codec/nearest.h"

namespace wary::schema {

using cedar::Expr;
using Kind = Type::Kind;

namespace {

constexpr std::string_view kExpected = "an entity or a record";

std::string owner_text(const Type& type) {
  return type.kind == Kind::kEntity ? "`" + type.entity + "`" : "this record";
}

}  // namespace

const Attribute* Typechecker::attribute_of(const Type& type, std::string_view name) const {
  if (type.kind == Kind::kRecord) return type.find(name);
  const EntityType* entity = schema_.find_entity_type(type.entity);
  return entity != nullptr ? entity->find(name) : nullptr;  // actions have none
}

std::vector<std::string_view> Typechecker::attribute_names(const Type& type) const {
  const EntityType* entity = type.kind == Kind::kEntity ? schema_.find_entity_type(type.entity) : nullptr;
  std::vector<std::string_view> out;
  for (const Attribute& attribute : entity != nullptr ? entity->attributes : type.attributes) {
    out.push_back(attribute.name);
  }
  return out;
}

Answer Typechecker::get_attribute(const Expr& e, const Capabilities& prior) {
  const Answer base = expect(e.operands[0], prior, {Kind::kEntity, Kind::kRecord}, kExpected);
  if (base.type == nullptr) return Answer::wrong();
  const Attribute* attribute = attribute_of(*base.type, e.name);
  if (attribute == nullptr) {
    const std::string near = report_.wants_hint() ? codec::nearest(e.name, attribute_names(*base.type)) : std::string();
    report_.add(FindingKind::kUnsafeAttributeAccess, e.span,
                "attribute `" + e.name + "` is not declared for " + owner_text(*base.type), {}, "`" + e.name + "`",
                near.empty() ? std::string() : "did you mean `" + near + "`?");
    return Answer::wrong();
  }
  const auto needed = Capabilities::attribute(shapes_.of(e.operands[0]), shapes_.name(e.name));
  if (attribute->is_required || prior.contains(needed)) return {attribute->type, base.is_right, {}};
  report_.add(FindingKind::kUnsafeOptionalAttributeAccess, e.span,
              "attribute `" + e.name + "` of " + owner_text(*base.type) + " may be missing", {}, {},
              "test for it before: ... has " + e.name + " && ...");
  return Answer::wrong(attribute->type);
}

// One attribute of what has the shape. An entity need not exist, so `has` of a required attribute may be false as well.
Answer Typechecker::has_one(const Answer& base, std::uint32_t base_shape, const std::string& name,
                            const Capabilities& prior) {
  const Attribute* attribute = attribute_of(*base.type, name);
  if (attribute == nullptr) return {bool_type(false), base.is_right, {}};
  const auto learnt = Capabilities::attribute(base_shape, shapes_.name(name));
  const bool is_certain = (attribute->is_required && base.type->kind == Kind::kRecord) || prior.contains(learnt);
  return {is_certain ? bool_type(true) : bool_type(), base.is_right, learnt};
}

Answer Typechecker::has(const Expr& e, const Capabilities& prior) {
  Answer base =
      expect(e.operands[0], prior, {Kind::kEntity, Kind::kRecord}, kExpected, "sets have contains(), strings `like`");
  if (base.type == nullptr) return Answer::wrong(bool_type());
  std::uint32_t shape = shapes_.of(e.operands[0]);
  Answer out = has_one(base, shape, e.names[0], prior);
  for (std::size_t i = 1; i < e.names.size() && out.type->kind != Kind::kFalse; ++i) {
    const Attribute* attribute = attribute_of(*base.type, e.names[i - 1]);
    base.type = attribute->type;
    shape = shapes_.attribute_of(shape, e.names[i - 1]);
    if (base.type->kind != Kind::kEntity && base.type->kind != Kind::kRecord) {
      unexpected(e, kExpected, *base.type, "`" + e.names[i - 1] + "` has no attributes");
      return Answer::wrong(bool_type());
    }
    out = conjunction(out, has_one(base, shape, e.names[i], prior.joined(out.when_true)));
  }
  return out;
}

Answer Typechecker::has_tag(const Expr& e, const Capabilities& prior) {
  const Answer entity = expect(e.operands[0], prior, {Kind::kEntity}, "an entity");
  const Answer key = expect(e.operands[1], prior, {Kind::kString}, "String");
  if (entity.type == nullptr) return Answer::wrong();
  const bool is_right = entity.is_right && key.is_right;
  const EntityType* type = schema_.find_entity_type(entity.type->entity);
  const auto learnt = Capabilities::tag(shapes_.of(e.operands[0]), shapes_.of(e.operands[1]));
  if (type == nullptr || type->tags == nullptr) return {bool_type(false), is_right, learnt};
  return {prior.contains(learnt) ? bool_type(true) : bool_type(), is_right, learnt};
}

Answer Typechecker::get_tag(const Expr& e, const Capabilities& prior) {
  const Answer entity = expect(e.operands[0], prior, {Kind::kEntity}, "an entity");
  const Answer key = expect(e.operands[1], prior, {Kind::kString}, "String");
  if (entity.type == nullptr) return Answer::wrong();
  const auto needed = Capabilities::tag(shapes_.of(e.operands[0]), shapes_.of(e.operands[1]));
  const std::string owner = owner_text(*entity.type);
  if (!prior.contains(needed)) {
    report_.add(FindingKind::kUnsafeTagAccess, e.span, "the tag may be missing on " + owner, {}, {},
                "test for it before: ... .hasTag(...) && ...");
    return Answer::wrong();
  }
  const EntityType* type = schema_.find_entity_type(entity.type->entity);
  if (type == nullptr || type->tags == nullptr) {
    report_.add(FindingKind::kNoTagsAllowed, e.span, owner + " has no tags", {}, {},
                "declare them in the schema: entity ... tags Type;");
    return Answer::wrong();
  }
  return {type->tags, entity.is_right && key.is_right, {}};
}

}  // namespace wary::schema
