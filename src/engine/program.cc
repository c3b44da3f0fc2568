#include "engine/program.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "cedar/evaluator.h"

namespace wary::engine {

namespace {

using cedar::Expr;
using cedar::ExprKind;

// Nothing here asks for an entity or for the request, so an operation on constants gives the same each time.
bool is_pure(ExprKind kind) {
  switch (kind) {
    case ExprKind::kVariable:
    case ExprKind::kIn:
    case ExprKind::kGetAttribute:
    case ExprKind::kHas:
    case ExprKind::kGetTag:
    case ExprKind::kHasTag: return false;
    default: return true;
  }
}

bool is_constant(const Expr& e) {
  if (!is_pure(e.kind) || (e.kind == ExprKind::kIs && e.operands.size() == 2)) return false;
  return std::all_of(e.operands.begin(), e.operands.end(), is_constant);
}

// What is compiled, before it becomes a block.
struct Draft {
  std::vector<Operation> code;
  std::vector<Cell> constants;
  std::vector<std::uint32_t> names;
  std::vector<std::span<const cedar::PatternElement>> patterns;
  std::uint32_t stack = 1;
};

template <typename T>
T* copied(const std::vector<T>& from, Arena& arena) {
  if (from.empty()) return nullptr;
  T* out = arena.make<T>(from.size());
  std::copy(from.begin(), from.end(), out);
  return out;
}

class Compiler {
 public:
  explicit Compiler(WorldNames& names) : names_(names) {}

  const CompiledPolicy* policy(const cedar::Policy& policy, std::uint32_t number) {
    const cedar::PolicyBody& body = *policy.body;
    auto* out = new (names_.arena().make<CompiledPolicy>(1)) CompiledPolicy;
    out->number = number;
    out->is_forbid = body.effect == cedar::Effect::kForbid;
    out->id = make_text(names_.arena(), policy.id, 0);
    out->has_conditions = !body.conditions.empty();
    for (const cedar::Condition& condition : body.conditions) {
      expression(condition.expression);
      emit(condition.is_unless ? Code::kUnless : Code::kWhen, 0, 0, 0, -1);
    }
    out->program = finish();
    out->principal = scope(body.principal, policy.slots.principal);
    out->action = scope(body.action, nullptr);
    out->resource = scope(body.resource, policy.slots.resource);
    if (out->has_conditions && !body.conditions.front().is_unless)
      out->first = first_test(body.conditions.front().expression);
    out->narrowed = find_narrowings(policy, names_);
    return out;
  }

  Program value(const Expr& e) {
    expression(e);
    return finish();
  }

 private:
  Program finish() {
    emit(Code::kSatisfied);
    Arena& arena = names_.arena();
    Program out;
    out.code = copied(draft_.code, arena);
    out.constants = copied(draft_.constants, arena);
    out.names = copied(draft_.names, arena);
    out.patterns = copied(draft_.patterns, arena);
    out.stack = draft_.stack;
    return out;
  }

  std::uint32_t here() const { return static_cast<std::uint32_t>(draft_.code.size()); }

  // `effect`: how the stack's depth changes.
  std::uint32_t emit(Code code, std::uint8_t variable = 0, std::uint32_t a = 0, std::uint32_t b = 0, int effect = 0) {
    depth_ += effect;
    WARY_CHECK(depth_ >= 0);
    draft_.stack = std::max(draft_.stack, static_cast<std::uint32_t>(depth_) + 1);
    draft_.code.push_back({code, variable, 0, a, b});
    return here() - 1;
  }

  Scope scope(const cedar::ScopeConstraint& constraint, const cedar::EntityPtr& slot) {
    Scope out;
    out.kind = constraint.kind;
    if (!constraint.type.empty()) out.type = names_.name(constraint.type);
    std::vector<std::uint32_t> refs;
    const auto add = [&](const cedar::EntityPtr& uid) { refs.push_back(names_.uid(*uid).entity); };
    if (constraint.is_slot) {
      WARY_CHECK(slot != nullptr);
      add(slot);
    } else {
      std::for_each(constraint.entities.begin(), constraint.entities.end(), add);
    }
    out.count = static_cast<std::uint32_t>(refs.size());
    out.refs = copied(refs, names_.arena());
    if (out.count > 0) out.ref = refs.front();
    return out;
  }

  FirstTest first_test(const Expr& clause) {
    const Expr* e = &clause;
    while (e->kind == ExprKind::kAnd) e = &e->operands[0];
    if (e->kind != ExprKind::kEqual) return {};
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      const Expr& member = e->operands[i];
      const Expr& value = e->operands[1 - i];
      const bool fits = member.kind == ExprKind::kGetAttribute && member.operands[0].kind == ExprKind::kVariable &&
                        value.kind == ExprKind::kLiteral;
      if (!fits) continue;
      return {true, member.operands[0].variable, names_.name(member.name), to_cell(value.literal, names_)};
    }
    return {};
  }

  void constant(const cedar::Value& value) {
    draft_.constants.push_back(to_cell(value, names_));
    emit(Code::kConstant, 0, static_cast<std::uint32_t>(draft_.constants.size() - 1), 0, 1);
  }

  // Computes it now if that can be done and does not fail.
  bool fold(const Expr& e) {
    if (e.kind == ExprKind::kLiteral) {
      constant(e.literal);
      return true;
    }
    if (!is_constant(e)) return false;
    static const cedar::EntityStore nothing;
    cedar::Request request{cedar::make_entity("", ""), cedar::make_entity("", ""), cedar::make_entity("", "")};
    cedar::StoreView view(nothing);
    cedar::Evaluator evaluator(request, view);
    cedar::Value room;
    const cedar::Value* value = evaluator.evaluate(e, room);
    if (value == nullptr) return false;
    constant(*value);
    return true;
  }

  void expression(const Expr& e) {
    if (fold(e)) return;
    switch (e.kind) {
      case ExprKind::kLiteral: return;
      case ExprKind::kVariable: emit(Code::kVariable, variable(e), 0, 0, 1); return;
      case ExprKind::kIf: conditional(e); return;
      case ExprKind::kOr: junction(e, Code::kOr); return;
      case ExprKind::kAnd: junction(e, Code::kAnd); return;
      case ExprKind::kNot: unary(e, Code::kNot); return;
      case ExprKind::kNegate: unary(e, Code::kNegate); return;
      case ExprKind::kEqual: binary(e, Code::kEqual); return;
      case ExprKind::kNotEqual: binary(e, Code::kNotEqual); return;
      case ExprKind::kLess: binary(e, Code::kLess); return;
      case ExprKind::kLessEqual: binary(e, Code::kLessEqual); return;
      case ExprKind::kGreater: binary(e, Code::kGreater); return;
      case ExprKind::kGreaterEqual: binary(e, Code::kGreaterEqual); return;
      case ExprKind::kIn: membership(e); return;
      case ExprKind::kAdd: chain(e, Code::kAdd); return;
      case ExprKind::kMultiply: chain(e, Code::kMultiply); return;
      case ExprKind::kGetAttribute: member(e); return;
      case ExprKind::kHas: has(e); return;
      case ExprKind::kLike: like(e); return;
      case ExprKind::kIs: is(e); return;
      case ExprKind::kSet: set(e); return;
      case ExprKind::kRecord: record(e); return;
      case ExprKind::kContains: binary(e, Code::kContains); return;
      case ExprKind::kContainsAll: binary(e, Code::kContainsAll); return;
      case ExprKind::kContainsAny: binary(e, Code::kContainsAny); return;
      case ExprKind::kGetTag: binary(e, Code::kGetTag); return;
      case ExprKind::kHasTag: binary(e, Code::kHasTag); return;
      case ExprKind::kIsEmpty: unary(e, Code::kIsEmpty); return;
      case ExprKind::kCall: call(e); return;
    }
  }

  static std::uint8_t variable(const Expr& e) { return static_cast<std::uint8_t>(e.variable); }
  static bool is_subject(const Expr& e) {
    return e.kind == ExprKind::kVariable && e.variable != cedar::Variable::kContext;
  }

  void unary(const Expr& e, Code code) {
    expression(e.operands[0]);
    emit(code);
  }
  void binary(const Expr& e, Code code) {
    expression(e.operands[0]);
    expression(e.operands[1]);
    emit(code, 0, 0, 0, -1);
  }
  void chain(const Expr& e, Code code) {
    expression(e.operands[0]);
    for (std::size_t i = 1; i < e.operands.size(); ++i) {
      expression(e.operands[i]);
      const bool subtracts = code == Code::kAdd && e.subtracts[i];
      emit(subtracts ? Code::kSubtract : code, 0, 0, 0, -1);
    }
  }
  void conditional(const Expr& e) {
    expression(e.operands[0]);
    const std::uint32_t branch = emit(Code::kBranch, 0, 0, 0, -1);
    expression(e.operands[1]);
    const std::uint32_t jump = emit(Code::kJump, 0, 0, 0, -1);
    draft_.code[branch].a = here();
    expression(e.operands[2]);
    draft_.code[jump].a = here();
  }
  void junction(const Expr& e, Code code) {
    std::vector<std::uint32_t> exits;
    for (std::size_t i = 0; i < e.operands.size(); ++i) {
      expression(e.operands[i]);
      if (i + 1 < e.operands.size()) exits.push_back(emit(code, 0, 0, 0, -1));
    }
    emit(Code::kBoolean);
    for (const std::uint32_t at : exits) draft_.code[at].a = here();
  }
  void membership(const Expr& e) {
    if (!is_subject(e.operands[0])) return binary(e, Code::kIn);
    if (in_member(e)) return;
    expression(e.operands[1]);
    emit(Code::kVariableIn, variable(e.operands[0]));
  }
  // `principal in resource.readers`, `principal in resource.owner.readers`: one operation. False: it is not that.
  bool in_member(const Expr& e) {
    const Expr& last = e.operands[1];
    if (last.kind != ExprKind::kGetAttribute) return false;
    const bool is_one = is_subject(last.operands[0]);
    const Expr& first = is_one ? last : last.operands[0];
    if (first.kind != ExprKind::kGetAttribute || !is_subject(first.operands[0])) return false;
    const std::uint32_t name = names_.name(first.name);
    emit(Code::kVariableInMember, variable(e.operands[0]), name, is_one ? kNone : names_.name(last.name), 1);
    draft_.code.back().other = variable(first.operands[0]);
    return true;
  }
  void member(const Expr& e) {
    if (e.operands[0].kind == ExprKind::kVariable) {
      emit(Code::kVariableMember, variable(e.operands[0]), names_.name(e.name), 0, 1);
      return;
    }
    expression(e.operands[0]);
    emit(Code::kMember, 0, names_.name(e.name));
  }
  void has(const Expr& e) {
    if (e.operands[0].kind == ExprKind::kVariable && e.names.size() == 1) {
      emit(Code::kVariableHas, variable(e.operands[0]), names_.name(e.names[0]), 0, 1);
      return;
    }
    expression(e.operands[0]);
    const auto first = static_cast<std::uint32_t>(draft_.names.size());
    for (const std::string& name : e.names) draft_.names.push_back(names_.name(name));
    emit(Code::kHas, 0, first, static_cast<std::uint32_t>(e.names.size()));
  }
  void like(const Expr& e) {
    expression(e.operands[0]);
    draft_.patterns.emplace_back(copied(e.pattern, names_.arena()), e.pattern.size());
    emit(Code::kLike, 0, static_cast<std::uint32_t>(draft_.patterns.size() - 1));
  }
  void is(const Expr& e) {
    expression(e.operands[0]);
    if (e.operands.size() == 1) {
      emit(Code::kIs, 0, names_.name(e.name));
      return;
    }
    const std::uint32_t test = emit(Code::kIsBeforeIn, 0, names_.name(e.name));
    expression(e.operands[1]);
    emit(Code::kIn, 0, 0, 0, -1);
    draft_.code[test].b = here();
  }
  void set(const Expr& e) {
    for (const Expr& operand : e.operands) expression(operand);
    const int count = static_cast<int>(e.operands.size());
    emit(Code::kSet, 0, static_cast<std::uint32_t>(count), 0, 1 - count);
  }
  // Values are computed in the order of the names as texts, which decides whose error is told; a record is kept by the
  // numbers of its names.
  void record(const Expr& e) {
    std::vector<std::size_t> order(e.operands.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return e.names[x] < e.names[y]; });
    for (const std::size_t i : order) expression(e.operands[i]);
    const auto first = static_cast<std::uint32_t>(draft_.names.size());
    for (const std::size_t i : order) draft_.names.push_back(names_.name(e.names[i]));
    const int count = static_cast<int>(order.size());
    emit(Code::kRecord, 0, first, static_cast<std::uint32_t>(count), 1 - count);
  }
  void call(const Expr& e) {
    for (const Expr& operand : e.operands) expression(operand);
    const int count = static_cast<int>(e.operands.size());
    const bool fits = e.operands.size() == cedar::extension(e.call).arguments;
    emit(fits ? Code::kCall : Code::kWrongCount, static_cast<std::uint8_t>(e.call), static_cast<std::uint32_t>(count),
         0, 1 - count);
  }

  WorldNames& names_;
  Draft draft_;
  int depth_ = 0;
};

}  // namespace

const CompiledPolicy* compile(const cedar::Policy& policy, std::uint32_t number, WorldNames& names) {
  return Compiler(names).policy(policy, number);
}

Program compile_value(const cedar::Expr& expression, WorldNames& names) { return Compiler(names).value(expression); }

}  // namespace wary::engine
