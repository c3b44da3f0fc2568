// Machine: one request against programs. Private to engine/.
//
//   machine.start(symbols, table, request, now);
//   if (machine.matches(policy)) outcome = machine.run(policy.program);
//
// Belongs to one thread, is used for one request after another, and allocates nothing once it has grown to what its
// requests need. No recursion, but for comparing nested values. Errors are a kind; their text is the tree walker's.
#pragma once

#include <array>
#include <limits>
#include <span>
#include <vector>

#include "cedar/evaluator.h"
#include "engine/entities.h"
#include "engine/program.h"

namespace wary::engine {

// Which entities a decision asked about; kept short by dropping what stands twice.
class ReadLog {
 public:
  void clear() {
    refs_.clear();
    next_check_ = 64;
  }
  void add(std::uint32_t ref) {
    if (!refs_.empty() && refs_.back() == ref) return;
    refs_.push_back(ref);
    if (refs_.size() >= next_check_) compact();
  }
  std::span<const std::uint32_t> refs() const { return refs_; }

 private:
  void compact();
  std::vector<std::uint32_t> refs_;
  std::size_t next_check_ = 64;
};

class Machine {
 public:
  Machine() : arena_(std::size_t{1} << 14), names_(arena_) {}

  // Borrows all of them until the next start.
  void start(const Symbols& symbols, const EntityTable& table, const cedar::Request& request, UnixTime now,
             std::uint32_t stack);
  // Principal and resource of the scope, which cannot fail. The action is what the index has found it by.
  bool matches(const CompiledPolicy& policy) {
    return matches(policy.resource, kResource) && matches(policy.principal, kPrincipal);
  }
  // The member of a variable, or null when it is not there.
  const Cell* peek(cedar::Variable variable, std::uint32_t name);
  cedar::Outcome run(const Program& program);
  // Of an expression (compile_value); false: error() tells.
  bool evaluate(const Program& program, Cell& out) {
    if (run(program) != cedar::Outcome::kSatisfied) return false;
    out = stack_[1];
    return true;
  }
  bool matches_scope(const Scope& scope, cedar::Variable variable) {
    return matches(scope, static_cast<std::size_t>(variable));
  }
  cedar::EvalErrorKind error() const { return error_; }

  std::uint32_t ref(cedar::Variable variable) const {
    return subjects_[static_cast<std::size_t>(variable)].cell.entity;
  }
  std::uint32_t type(cedar::Variable variable) const { return subjects_[static_cast<std::size_t>(variable)].cell.type; }
  // Ancestors of principal, action or resource, in no order; few may stand twice.
  std::span<const std::uint32_t> ancestors(cedar::Variable variable) {
    return ancestors(subjects_[static_cast<std::size_t>(variable)]);
  }

  // What was asked: entities themselves, entities whose ancestors were looked through.
  const ReadLog& looked_at() const { return looked_at_; }
  const ReadLog& climbed() const { return climbed_; }
  bool was_looked_at(cedar::Variable variable) const { return subjects_[static_cast<std::size_t>(variable)].was_read; }
  bool was_climbed(cedar::Variable variable) const { return subjects_[static_cast<std::size_t>(variable)].was_climbed; }
  const cedar::EntityUid& temporary(std::uint32_t ref) const { return names_.temporary(ref); }
  // When the first timed fact that was read changes; the largest number when none does.
  std::int64_t valid_until_nanos() const { return valid_until_; }

 private:
  static constexpr std::uint8_t kWalks = 2;  // questions that are not worth gathering all ancestors
  static constexpr std::size_t kPrincipal = 0;
  static constexpr std::size_t kAction = 1;
  static constexpr std::size_t kResource = 2;

  struct Subject {
    Cell cell;
    const EntityBlock* block = nullptr;
    bool was_read = false;
    bool was_climbed = false;
    bool has_ancestors = false;
    std::uint8_t walks = 0;
    std::span<const std::uint32_t> ancestors;
    const Filter* filter = nullptr;  // of the ancestors, where they are a closure
    std::vector<std::uint32_t> gathered;
  };

  bool matches(const Scope& scope, std::size_t which) {
    return scope.kind == cedar::ScopeConstraint::Kind::kAny || matches_part(scope, which);
  }
  bool matches_part(const Scope& scope, std::size_t which);
  bool is_in_any(const Scope& scope, Subject& subject);
  std::span<const std::uint32_t> ancestors(Subject& subject) {
    if (!subject.has_ancestors) gather(subject);
    return subject.ancestors;
  }
  void gather(Subject& subject);
  // Whether an entity without a closure is in it, by its parents.
  bool walk_to(const EntityBlock& block, std::uint32_t ancestor) const;
  bool subject_is_in(Subject& subject, std::uint32_t ancestor) {
    if (subject.cell.entity == ancestor) return true;
    if (!subject.has_ancestors && subject.block != nullptr && !subject.block->is_closed && ++subject.walks <= kWalks) {
      subject.was_climbed = true;
      return walk_to(*subject.block, ancestor);
    }
    const auto all = ancestors(subject);
    return (subject.filter == nullptr || subject.filter->may_have(ancestor)) && is_among(all, ancestor);
  }
  static bool is_among(std::span<const std::uint32_t> ancestors, std::uint32_t ref);
  bool is_in(std::uint32_t ref, std::uint32_t ancestor);
  const EntityBlock* look_up(std::uint32_t ref);
  const EntityBlock* look_up(Subject& subject) {
    subject.was_read = true;
    return subject.block;
  }
  const Cell* timed(const EntityBlock& block, std::uint32_t name, bool is_tag, const Cell* now);
  const Cell* attribute(const EntityBlock& block, std::uint32_t name) {
    const std::uint32_t at = find_name(block.names(), block.attributes, name);
    const Cell* found = at < block.attributes ? block.values() + at : nullptr;
    return block.timed == 0 ? found : timed(block, name, false, found);
  }

  bool fail(cedar::EvalErrorKind kind) {
    error_ = kind;
    return false;
  }
  bool type_error() { return fail(cedar::EvalErrorKind::kTypeError); }

  // Each does one operation on the stack whose top is `top`; false: error_ tells.
  bool step(const Program& program, const Operation& operation, Cell*& top);
  bool push_member(const Operation& operation, Cell*& top);
  bool member(Cell& top, std::uint32_t name);
  void push_variable(const Operation& operation, Cell*& top);
  void push_has(const Operation& operation, Cell*& top);
  bool has(const Program& program, const Operation& operation, Cell& top);
  bool member_of_entity(const EntityBlock* block, std::uint32_t name, Cell& out);
  bool variable_in(const Operation& operation, Cell& top);
  bool variable_in_member(const Operation& operation, Cell*& top);
  bool in(Cell*& top);
  template <typename In>
  bool in_cell(const Cell& right, Cell& out, In in);
  bool order(Code code, Cell*& top);
  bool arithmetic(Code code, Cell*& top);
  bool negate(Cell& top);
  bool like(const Program& program, const Operation& operation, Cell& top);
  bool make_set(std::uint32_t count, Cell*& top);
  bool make_record(const Program& program, const Operation& operation, Cell*& top);
  bool set_method(Code code, Cell*& top);
  bool is_empty(Cell& top);
  bool tag(Code code, Cell*& top);
  bool call(const Operation& operation, Cell*& top);

  Arena arena_;
  RequestNames names_;
  const Symbols* symbols_ = nullptr;
  const EntityTable* table_ = nullptr;
  std::array<Subject, 3> subjects_;
  const cedar::Value* context_value_ = nullptr;
  Cell context_;
  std::vector<Cell> stack_;
  ReadLog looked_at_;
  ReadLog climbed_;
  std::int64_t now_ = 0;
  std::int64_t valid_until_ = std::numeric_limits<std::int64_t>::max();
  cedar::EvalErrorKind error_ = cedar::EvalErrorKind::kTypeError;
};

}  // namespace wary::engine
