#include "schema/levels.h"

#include <algorithm>

namespace wary::schema {

using cedar::Expr;
using cedar::ExprKind;
using Kind = Type::Kind;

const Type* LevelChecker::type_of(const Expr& e) const {
  const auto found = types_.find(&e);
  return found != types_.end() ? found->second.get() : nullptr;
}

void LevelChecker::dereference(const Expr& at, std::uint32_t steps) {
  if (steps < level_) return;
  report_.add(FindingKind::kEntityDerefLevelViolation, at.span,
              "takes " + std::to_string(steps + 1) + (steps == 0 ? " step" : " steps") + " from entity to entity",
              "at most " + std::to_string(level_), std::to_string(steps + 1),
              "pass what is needed in the context, or allow a higher level");
}

void LevelChecker::check_operands(const Expr& e) {
  for (const Expr& operand : e.operands) check(operand);
}

void LevelChecker::check(const Expr& e) {
  if (type_of(e) == nullptr) return;
  switch (e.kind) {
    case ExprKind::kIn:
    case ExprKind::kHasTag:
    case ExprKind::kGetTag:
      dereference(e, reach(e.operands[0], {}));
      check(e.operands[1]);
      return;
    case ExprKind::kIs: {
      const Type* tested = type_of(e.operands[0]);
      if (e.operands.size() == 1 || tested == nullptr || tested->entity != e.name) {
        check(e.operands[0]);
        return;
      }
      dereference(e, reach(e.operands[0], {}));
      check(e.operands[1]);
      return;
    }
    case ExprKind::kHas: check_has(e); return;
    case ExprKind::kGetAttribute: {
      const Type* base = type_of(e.operands[0]);
      if (base != nullptr && base->kind == Kind::kEntity)
        dereference(e, reach(e.operands[0], {}));
      else
        check(e.operands[0]);
      return;
    }
    default: check_operands(e);
  }
}

// Of `e has a.b.c` each step that starts at an entity reaches further than those before it: the last one counts.
void LevelChecker::check_has(const Expr& e) {
  const Type* type = type_of(e.operands[0]);
  if (type == nullptr) return;
  std::vector<const Type*> types;  // types[i] is what names[i] is looked for in
  for (const std::string& name : e.names) {
    if (type == nullptr) break;
    types.push_back(type);
    const EntityType* entity = type->kind == Kind::kEntity ? schema_.find_entity_type(type->entity) : nullptr;
    const Attribute* attribute = entity != nullptr ? entity->find(name) : type->find(name);
    type = attribute != nullptr ? attribute->type.get() : nullptr;
  }
  std::size_t last = types.size();
  while (last > 0 && types[last - 1]->kind != Kind::kEntity) --last;
  if (last == 0) {
    check(e.operands[0]);
    return;
  }
  std::uint32_t steps = 0;
  Path path;
  for (std::size_t i = last - 1; i > 0; --i) {
    if (types[i - 1]->kind == Kind::kEntity)
      ++steps;
    else
      path.push_back(e.names[i - 1]);
  }
  dereference(e, reach(e.operands[0], std::move(path)) + steps);
}

std::uint32_t LevelChecker::reach(const Expr& e, Path path) {
  switch (e.kind) {
    case ExprKind::kVariable: return 0;
    case ExprKind::kLiteral: {
      const cedar::EntityPtr* uid = e.literal.as_entity();
      if (uid != nullptr && **uid == *environment_.action->uid) return 0;
      report_.add(FindingKind::kEntityDerefLevelViolation, e.span,
                  "reads what is behind an entity that is no part of the request",
                  "principal, resource, action or context", {}, "entities in literals are not loaded at any level");
      return 0;
    }
    case ExprKind::kIf: {
      check(e.operands[0]);
      const std::uint32_t first = type_of(e.operands[1]) != nullptr ? reach(e.operands[1], path) : 0;
      const std::uint32_t second = type_of(e.operands[2]) != nullptr ? reach(e.operands[2], std::move(path)) : 0;
      return std::max(first, second);
    }
    case ExprKind::kGetAttribute: {
      const Type* base = type_of(e.operands[0]);
      if (base != nullptr && base->kind == Kind::kEntity) return reach(e.operands[0], std::move(path)) + 1;
      path.push_back(e.name);
      return reach(e.operands[0], std::move(path));
    }
    case ExprKind::kGetTag: {
      const std::uint32_t steps = reach(e.operands[0], std::move(path)) + 1;
      check(e.operands[1]);
      return steps;
    }
    case ExprKind::kRecord: return reach_in_record(e, std::move(path));
    default: check_operands(e); return 0;
  }
}

std::uint32_t LevelChecker::reach_in_record(const Expr& e, Path path) {
  const std::string_view wanted = path.empty() ? std::string_view() : path.back();
  if (!path.empty()) path.pop_back();
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < e.operands.size(); ++i) {
    if (e.names[i] == wanted)
      out = reach(e.operands[i], path);
    else
      check(e.operands[i]);
  }
  return out;
}

}  // namespace wary::schema
