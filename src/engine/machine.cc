#include "engine/machine.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>

#include "cedar/pattern.h"

namespace wary::engine {

using cedar::EvalErrorKind;
using cedar::Outcome;

namespace {

// Whether the refs hold this one: eight at a time, which beats a search up to hundreds.
bool scan(const std::uint32_t* refs, std::uint32_t size, std::uint32_t ref) {
  std::uint32_t at = 0;
#ifdef __SSE2__
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(ref));
  for (; at + 8 <= size; at += 8) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(refs + at));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(refs + at + 4));
    const __m128i same = _mm_or_si128(_mm_cmpeq_epi32(a, wanted), _mm_cmpeq_epi32(b, wanted));
    if (_mm_movemask_epi8(same) != 0) return true;
  }
#endif
  for (; at < size; ++at) {
    if (refs[at] == ref) return true;
  }
  return false;
}

constexpr std::uint32_t kScanned = 128;

// Whether a closure, ascending, holds the ref.
bool holds(const std::uint32_t* closure, std::uint32_t size, std::uint32_t ref) {
  return size <= kScanned ? scan(closure, size, ref) : std::binary_search(closure, closure + size, ref);
}

bool has_ancestor(const EntityBlock& closed, std::uint32_t ref) {
  return closed.filter->may_have(ref) && holds(closed.closure, closed.ancestors, ref);
}

}  // namespace

void ReadLog::compact() {
  std::sort(refs_.begin(), refs_.end());
  refs_.erase(std::unique(refs_.begin(), refs_.end()), refs_.end());
  next_check_ = std::max<std::size_t>(64, refs_.size() * 2);
}

void Machine::start(const Symbols& symbols, const EntityTable& table, const cedar::Request& request, UnixTime now,
                    std::uint32_t stack) {
  arena_.reset();
  symbols_ = &symbols;
  table_ = &table;
  names_.start(symbols);
  const std::array<const cedar::EntityUid*, 3> uids = {request.principal.get(), request.action.get(),
                                                       request.resource.get()};
  const std::array<Symbols::Known, 3> known = symbols.find_uids(uids);
  for (const Symbols::Known& one : known) table.prefetch(one.ref);
  for (std::size_t i = 0; i < uids.size(); ++i) {
    Subject& subject = subjects_[i];
    subject.cell = names_.uid(*uids[i], known[i]);
    subject.block = table.find(subject.cell.entity);
    if (subject.block != nullptr) __builtin_prefetch(subject.block);
    subject.was_read = false;
    subject.was_climbed = false;
    subject.has_ancestors = false;
    subject.walks = 0;
  }
  context_value_ = &request.context;
  context_.tag = Tag::kBool;  // made into cells when somebody asks
  if (stack_.size() < std::size_t{stack} + 1) stack_.resize(std::size_t{stack} + 1);
  looked_at_.clear();
  climbed_.clear();
  now_ = now.nanos;
  valid_until_ = std::numeric_limits<std::int64_t>::max();
}

void Machine::gather(Subject& subject) {
  subject.has_ancestors = true;
  subject.was_climbed = true;
  subject.was_read = true;
  subject.ancestors = {};
  subject.filter = nullptr;
  const EntityBlock* block = subject.block;
  if (block == nullptr) return;
  if (block->is_closed) {
    subject.ancestors = {block->closure, block->ancestors};
    subject.filter = block->filter;
    return;
  }
  auto& all = subject.gathered;
  all.clear();
  for (std::uint32_t i = 0; i < block->parents; ++i) {
    const std::uint32_t parent = block->parent_refs()[i];
    all.push_back(parent);
    const EntityBlock* above = table_->find(parent);
    if (above != nullptr) all.insert(all.end(), above->closure, above->closure + above->ancestors);
  }
  // Few are looked through as they are; what stands twice does no harm.
  if (all.size() > kScanned) {
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
  }
  subject.ancestors = all;
}

bool Machine::is_among(std::span<const std::uint32_t> ancestors, std::uint32_t ref) {
  return holds(ancestors.data(), static_cast<std::uint32_t>(ancestors.size()), ref);
}

bool Machine::is_in(std::uint32_t ref, std::uint32_t ancestor) {
  if (ref == ancestor) return true;
  for (Subject& subject : subjects_) {
    if (subject.cell.entity == ref) return subject_is_in(subject, ancestor);
  }
  climbed_.add(ref);
  const EntityBlock* block = table_->find(ref);
  if (block == nullptr) return false;
  if (block->is_closed) return has_ancestor(*block, ancestor);
  return walk_to(*block, ancestor);
}

bool Machine::walk_to(const EntityBlock& block, std::uint32_t ancestor) const {
  const std::uint32_t* parents = block.parent_refs();
  for (std::uint32_t i = 0; i < block.parents; ++i) {
    if (parents[i] == ancestor) return true;
    table_->prefetch(parents[i]);
  }
  for (std::uint32_t i = 0; i < block.parents; ++i) {
    const EntityBlock* above = table_->find(parents[i]);
    if (above != nullptr && above->is_closed && has_ancestor(*above, ancestor)) return true;
  }
  return false;
}

bool Machine::is_in_any(const Scope& scope, Subject& subject) {
  if (scope.count == 1) return subject_is_in(subject, scope.ref);
  const auto all = scope.all();
  return std::any_of(all.begin(), all.end(), [&](std::uint32_t ref) { return subject_is_in(subject, ref); });
}

const Cell* Machine::peek(cedar::Variable variable, std::uint32_t name) {
  if (variable != cedar::Variable::kContext) {
    const EntityBlock* block = look_up(subjects_[static_cast<std::size_t>(variable)]);
    return block != nullptr ? attribute(*block, name) : nullptr;
  }
  if (context_.tag != Tag::kRecord) context_ = to_cell(*context_value_, names_);
  return context_.record->find(name);
}

bool Machine::matches_part(const Scope& scope, std::size_t which) {
  using Kind = cedar::ScopeConstraint::Kind;
  Subject& subject = subjects_[which];
  switch (scope.kind) {
    case Kind::kAny: return true;
    case Kind::kEqual: return subject.cell.entity == scope.ref;
    case Kind::kIn: return is_in_any(scope, subject);
    case Kind::kIs: return subject.cell.type == scope.type;
    case Kind::kIsIn: return subject.cell.type == scope.type && is_in_any(scope, subject);
  }
  return false;
}

// The operations that nearly every policy does; in line, since a call costs as much as they do.

[[gnu::always_inline]] inline const EntityBlock* Machine::look_up(std::uint32_t ref) {
  for (Subject& subject : subjects_) {
    if (subject.cell.entity == ref) return look_up(subject);
  }
  looked_at_.add(ref);
  return table_->find(ref);
}

[[gnu::always_inline]] inline bool Machine::member_of_entity(const EntityBlock* block, std::uint32_t name, Cell& out) {
  if (block == nullptr) return fail(EvalErrorKind::kEntityDoesNotExist);
  const Cell* found = attribute(*block, name);
  if (found == nullptr) return fail(EvalErrorKind::kEntityAttrDoesNotExist);
  out = *found;
  return true;
}

[[gnu::always_inline]] inline bool Machine::push_member(const Operation& operation, Cell*& top) {
  if (operation.variable < 3) return member_of_entity(look_up(subjects_[operation.variable]), operation.a, *++top);
  if (context_.tag != Tag::kRecord) context_ = to_cell(*context_value_, names_);
  const Cell* found = context_.record->find(operation.a);
  if (found == nullptr) return fail(EvalErrorKind::kRecordAttrDoesNotExist);
  *++top = *found;
  return true;
}

[[gnu::always_inline]] inline bool Machine::member(Cell& top, std::uint32_t name) {
  if (top.tag == Tag::kEntity) return member_of_entity(look_up(top.entity), name, top);
  if (top.tag != Tag::kRecord) return type_error();
  const Cell* found = top.record->find(name);
  if (found == nullptr) return fail(EvalErrorKind::kRecordAttrDoesNotExist);
  top = *found;
  return true;
}

[[gnu::always_inline]] inline void Machine::push_variable(const Operation& operation, Cell*& top) {
  if (operation.variable < 3) {
    *++top = subjects_[operation.variable].cell;
    return;
  }
  if (context_.tag != Tag::kRecord) context_ = to_cell(*context_value_, names_);
  *++top = context_;
}

[[gnu::always_inline]] inline void Machine::push_has(const Operation& operation, Cell*& top) {
  const Cell* found = nullptr;
  if (operation.variable < 3) {
    const EntityBlock* block = look_up(subjects_[operation.variable]);
    if (block != nullptr) found = attribute(*block, operation.a);
  } else {
    if (context_.tag != Tag::kRecord) context_ = to_cell(*context_value_, names_);
    found = context_.record->find(operation.a);
  }
  *++top = Cell::boolean(found != nullptr);
}

template <typename In>
[[gnu::always_inline]] inline bool Machine::in_cell(const Cell& right, Cell& out, In in) {
  if (right.tag == Tag::kEntity) return out = Cell::boolean(in(right.entity)), true;
  if (right.tag != Tag::kSet || right.set->others != 0) return type_error();
  const auto cells = right.set->cells();
  const bool any = std::any_of(cells.begin(), cells.end(), [&](const Cell& cell) { return in(cell.entity); });
  return out = Cell::boolean(any), true;
}

[[gnu::always_inline]] inline bool Machine::variable_in(const Operation& operation, Cell& top) {
  Subject& subject = subjects_[operation.variable];
  return in_cell(top, top, [&](std::uint32_t ancestor) { return subject_is_in(subject, ancestor); });
}

[[gnu::always_inline]] inline bool Machine::variable_in_member(const Operation& operation, Cell*& top) {
  const EntityBlock* block = look_up(subjects_[operation.other]);
  if (block == nullptr) return fail(EvalErrorKind::kEntityDoesNotExist);
  const Cell* found = attribute(*block, operation.a);
  if (found == nullptr) return fail(EvalErrorKind::kEntityAttrDoesNotExist);
  *++top = *found;
  return (operation.b == kNone || member(*top, operation.b)) && variable_in(operation, *top);
}

Outcome Machine::run(const Program& program) {
  const Operation* code = program.code;
  const Operation* next = code;
  Cell* top = stack_.data();
  while (true) {
    const Operation& operation = *next++;
    switch (operation.code) {
      case Code::kConstant: *++top = program.constants[operation.a]; break;
      case Code::kVariable: push_variable(operation, top); break;
      case Code::kVariableHas: push_has(operation, top); break;
      case Code::kEqual:
        --top;
        *top = Cell::boolean(equal(top[0], top[1]));
        break;
      case Code::kVariableMember:
        if (!push_member(operation, top)) return Outcome::kError;
        break;
      case Code::kVariableIn:
        if (!variable_in(operation, *top)) return Outcome::kError;
        break;
      case Code::kVariableInMember:
        if (!variable_in_member(operation, top)) return Outcome::kError;
        break;
      case Code::kMember:
        if (!member(*top, operation.a)) return Outcome::kError;
        break;
      case Code::kJump: next = code + operation.a; break;
      case Code::kAnd:
      case Code::kOr:
        if (top->tag != Tag::kBool) return error_ = EvalErrorKind::kTypeError, Outcome::kError;
        if (top->is_true() == (operation.code == Code::kOr)) {
          next = code + operation.a;
        } else {
          --top;
        }
        break;
      case Code::kBranch:
        if (top->tag != Tag::kBool) return error_ = EvalErrorKind::kTypeError, Outcome::kError;
        if (!(top--)->is_true()) next = code + operation.a;
        break;
      case Code::kIsBeforeIn:
        if (top->tag != Tag::kEntity) return error_ = EvalErrorKind::kTypeError, Outcome::kError;
        if (top->type != operation.a) {
          *top = Cell::boolean(false);
          next = code + operation.b;
        }
        break;
      case Code::kWhen:
      case Code::kUnless:
        if (top->tag != Tag::kBool) return error_ = EvalErrorKind::kTypeError, Outcome::kError;
        if ((top--)->is_true() != (operation.code == Code::kWhen)) return Outcome::kNotSatisfied;
        break;
      case Code::kSatisfied: return Outcome::kSatisfied;
      default:
        if (!step(program, operation, top)) return Outcome::kError;
    }
  }
}

bool Machine::step(const Program& program, const Operation& operation, Cell*& top) {
  switch (operation.code) {
    case Code::kHas: return has(program, operation, *top);
    case Code::kBoolean: return top->tag == Tag::kBool || type_error();
    case Code::kNot:
      if (top->tag != Tag::kBool) return type_error();
      return *top = Cell::boolean(!top->is_true()), true;
    case Code::kNegate: return negate(*top);
    case Code::kNotEqual: --top; return *top = Cell::boolean(!equal(top[0], top[1])), true;
    case Code::kLess:
    case Code::kLessEqual:
    case Code::kGreater:
    case Code::kGreaterEqual: return order(operation.code, top);
    case Code::kIn: return in(top);
    case Code::kAdd:
    case Code::kSubtract:
    case Code::kMultiply: return arithmetic(operation.code, top);
    case Code::kLike: return like(program, operation, *top);
    case Code::kIs:
      if (top->tag != Tag::kEntity) return type_error();
      return *top = Cell::boolean(top->type == operation.a), true;
    case Code::kSet: return make_set(operation.a, top);
    case Code::kRecord: return make_record(program, operation, top);
    case Code::kContains:
    case Code::kContainsAll:
    case Code::kContainsAny: return set_method(operation.code, top);
    case Code::kIsEmpty: return is_empty(*top);
    case Code::kGetTag:
    case Code::kHasTag: return tag(operation.code, top);
    case Code::kCall: return call(operation, top);
    default: return fail(EvalErrorKind::kWrongNumArguments);
  }
}

const Cell* Machine::timed(const EntityBlock& block, std::uint32_t name, bool is_tag, const Cell* now) {
  for (std::uint32_t i = 0; i < block.timed; ++i) {
    const TimedCell& fact = block.timed_cells[i];
    if (fact.is_tag != is_tag || fact.name != name) continue;
    if (fact.at_nanos <= now_) return &fact.then;
    valid_until_ = std::min(valid_until_, fact.at_nanos);
    return now;
  }
  return now;
}

// Each step but the last must lead to a record or entity; a missing one is false.
bool Machine::has(const Program& program, const Operation& operation, Cell& top) {
  Cell base = top;
  for (std::uint32_t i = 0; i < operation.b; ++i) {
    const std::uint32_t name = program.names[operation.a + i];
    const Cell* found = nullptr;
    if (base.tag == Tag::kRecord) {
      found = base.record->find(name);
    } else if (base.tag == Tag::kEntity) {
      const EntityBlock* block = look_up(base.entity);
      if (block != nullptr) found = attribute(*block, name);
    } else {
      return type_error();
    }
    if (found == nullptr) return top = Cell::boolean(false), true;
    base = *found;
  }
  return top = Cell::boolean(true), true;
}

bool Machine::in(Cell*& top) {
  --top;
  if (top[0].tag != Tag::kEntity) return type_error();
  const std::uint32_t ref = top[0].entity;
  return in_cell(top[1], top[0], [&](std::uint32_t ancestor) { return is_in(ref, ancestor); });
}

bool Machine::order(Code code, Cell*& top) {
  --top;
  const Tag tag = top[0].tag;
  const bool ordered = tag == Tag::kLong || tag == Tag::kDatetime || tag == Tag::kDuration;
  if (!ordered || top[1].tag != tag) return type_error();
  const std::int64_t a = top[0].number;
  const std::int64_t b = top[1].number;
  switch (code) {
    case Code::kLess: return top[0] = Cell::boolean(a < b), true;
    case Code::kLessEqual: return top[0] = Cell::boolean(a <= b), true;
    case Code::kGreater: return top[0] = Cell::boolean(a > b), true;
    default: return top[0] = Cell::boolean(a >= b), true;
  }
}

bool Machine::arithmetic(Code code, Cell*& top) {
  --top;
  if (top[0].tag != Tag::kLong || top[1].tag != Tag::kLong) return type_error();
  std::int64_t& a = top[0].number;
  const std::int64_t b = top[1].number;
  const bool overflowed = code == Code::kAdd        ? __builtin_add_overflow(a, b, &a)
                          : code == Code::kSubtract ? __builtin_sub_overflow(a, b, &a)
                                                    : __builtin_mul_overflow(a, b, &a);
  return !overflowed || fail(EvalErrorKind::kIntegerOverflow);
}

bool Machine::negate(Cell& top) {
  if (top.tag != Tag::kLong) return type_error();
  return !__builtin_sub_overflow(std::int64_t{0}, top.number, &top.number) || fail(EvalErrorKind::kIntegerOverflow);
}

bool Machine::like(const Program& program, const Operation& operation, Cell& top) {
  if (top.tag != Tag::kString) return type_error();
  return top = Cell::boolean(cedar::matches_pattern(top.text->view(), program.patterns[operation.a])), true;
}

bool Machine::make_set(std::uint32_t count, Cell*& top) {
  top -= static_cast<std::ptrdiff_t>(count) - 1;
  auto* set = static_cast<Set*>(arena_.allocate(sizeof(Set) + count * sizeof(Cell), alignof(Cell)));
  auto* cells = const_cast<Cell*>(set->begin());
  std::copy(top, top + count, cells);
  set->size = sort_unique(cells, count);
  set->others = static_cast<std::uint32_t>(
      std::count_if(cells, cells + set->size, [](const Cell& cell) { return cell.tag != Tag::kEntity; }));
  *top = {};
  top->tag = Tag::kSet;
  top->set = set;
  return true;
}

bool Machine::make_record(const Program& program, const Operation& operation, Cell*& top) {
  const std::uint32_t count = operation.b;
  top -= static_cast<std::ptrdiff_t>(count) - 1;
  const std::size_t bytes = sizeof(Record) + count * (sizeof(Cell) + sizeof(std::uint32_t));
  auto* record = static_cast<Record*>(arena_.allocate(bytes, alignof(Cell)));
  record->size = count;
  auto* values = const_cast<Cell*>(record->values());
  auto* names = const_cast<std::uint32_t*>(record->names());
  // Insertion keeps the names ascending; a record in a policy is small, and nearly in order.
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t name = program.names[operation.a + i];
    std::uint32_t at = i;
    for (; at > 0 && names[at - 1] > name; --at) {
      names[at] = names[at - 1];
      values[at] = values[at - 1];
    }
    names[at] = name;
    values[at] = top[i];
  }
  *top = {};
  top->tag = Tag::kRecord;
  top->record = record;
  return true;
}

bool Machine::is_empty(Cell& top) {
  if (top.tag != Tag::kSet) return type_error();
  return top = Cell::boolean(top.set->size == 0), true;
}

bool Machine::set_method(Code code, Cell*& top) {
  --top;
  if (top[0].tag != Tag::kSet) return type_error();
  const Set& receiver = *top[0].set;
  if (code == Code::kContains) return top[0] = Cell::boolean(contains(receiver, top[1])), true;
  if (top[1].tag != Tag::kSet) return type_error();
  const auto cells = top[1].set->cells();
  const auto is_in_receiver = [&](const Cell& cell) { return contains(receiver, cell); };
  const bool holds = code == Code::kContainsAll ? std::all_of(cells.begin(), cells.end(), is_in_receiver)
                                                : std::any_of(cells.begin(), cells.end(), is_in_receiver);
  return top[0] = Cell::boolean(holds), true;
}

bool Machine::tag(Code code, Cell*& top) {
  --top;
  if (top[0].tag != Tag::kEntity || top[1].tag != Tag::kString) return type_error();
  const EntityBlock* block = look_up(top[0].entity);
  const Cell* found = nullptr;
  if (block != nullptr && (block->tags > 0 || block->timed > 0)) {
    const std::uint32_t name = symbols_->find_name(top[1].text->view());
    const std::uint32_t at = find_name(block->tag_names(), block->tags, name);
    found = at < block->tags ? block->tag_values() + at : nullptr;
    if (block->timed > 0) found = timed(*block, name, true, found);
  }
  if (code == Code::kHasTag) return top[0] = Cell::boolean(found != nullptr), true;
  if (block == nullptr) return fail(EvalErrorKind::kEntityDoesNotExist);
  if (found == nullptr) return fail(EvalErrorKind::kEntityAttrDoesNotExist);
  return top[0] = *found, true;
}

// Through the function table of the language, so that there is one place that knows what each does. Only values of
// extension types, numbers and texts can be arguments; anything else is of the wrong type, which a boolean is too.
bool Machine::call(const Operation& operation, Cell*& top) {
  top -= static_cast<std::ptrdiff_t>(operation.a) - 1;
  std::array<cedar::Value, 2> arguments;
  for (std::uint32_t i = 0; i < operation.a; ++i) {
    const Cell& cell = top[i];
    switch (cell.tag) {
      case Tag::kString: arguments[i] = cedar::Value(cell.text->view()); break;
      case Tag::kDecimal: arguments[i] = cedar::Value(cedar::Decimal{cell.number}); break;
      case Tag::kIp: arguments[i] = cedar::Value(*cell.ip); break;
      case Tag::kDatetime: arguments[i] = cedar::Value(cedar::Datetime{cell.number}); break;
      case Tag::kDuration: arguments[i] = cedar::Value(cedar::Duration{cell.number}); break;
      default: arguments[i] = cedar::Value(false);
    }
  }
  using Result = cedar::ExtensionResult::Outcome;
  const auto result = cedar::call_extension(static_cast<cedar::ExtensionOp>(operation.variable),
                                            std::span(arguments.data(), operation.a));
  if (result.outcome == Result::kTypeError) return type_error();
  if (result.outcome == Result::kFailed) return fail(EvalErrorKind::kFailedExtensionFunctionExecution);
  return *top = to_cell(result.value, names_), true;
}

}  // namespace wary::engine
