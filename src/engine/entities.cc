#include "engine/entities.h"

#include <algorithm>

#include "base/check.h"

namespace wary::engine {

namespace {

template <typename T>
T* writable_array(const T* array) {
  return const_cast<T*>(array);  // of a block that is being made
}

struct NamedCell {
  std::uint32_t name;
  const cedar::Value* value;
};

void sorted_names(const cedar::Value::Record& record, WorldNames& names, std::vector<NamedCell>& out) {
  out.clear();
  for (const auto& [name, value] : record) out.push_back({names.name(name), &value});
  std::sort(out.begin(), out.end(), [](const NamedCell& a, const NamedCell& b) { return a.name < b.name; });
}

}  // namespace

void EntityWriter::Changes::put(std::uint32_t ref, EntityBlock* block) {
  if (slots_.size() <= ref) slots_.resize(std::max<std::size_t>(std::size_t{ref} + 1, slots_.size() * 2));
  if (slots_[ref] != 0) {
    all_[slots_[ref] - 1].second = block;
    return;
  }
  all_.emplace_back(ref, block);
  slots_[ref] = static_cast<std::uint32_t>(all_.size());
}

bool EntityWriter::Changes::find(std::uint32_t ref, EntityBlock*& block) const {
  if (ref >= slots_.size() || slots_[ref] == 0) return false;
  block = all_[slots_[ref] - 1].second;
  return true;
}

EntityBlock* EntityWriter::make_block(const EntityInput& input, std::uint32_t ref) {
  const cedar::Entity& entity = *input.entity;
  WorldNames names(symbols_, arena_);
  std::vector<NamedCell> attributes;
  std::vector<NamedCell> tags;
  sorted_names(entity.attributes, names, attributes);
  sorted_names(entity.tags, names, tags);
  const std::size_t members = attributes.size() + tags.size();
  const std::size_t bytes = sizeof(EntityBlock) + members * (sizeof(Cell) + sizeof(std::uint32_t)) +
                            entity.parents.size() * sizeof(std::uint32_t);
  auto* block = static_cast<EntityBlock*>(arena_.allocate(bytes, alignof(Cell)));
  *block = {};
  block->ref = ref;
  block->bytes = static_cast<std::uint32_t>(bytes);
  block->attributes = static_cast<std::uint16_t>(attributes.size());
  block->tags = static_cast<std::uint16_t>(tags.size());
  const auto fill = [&](const std::vector<NamedCell>& from, const Cell* values, const std::uint32_t* numbers) {
    for (std::size_t i = 0; i < from.size(); ++i) {
      writable_array(values)[i] = to_cell(*from[i].value, names);
      writable_array(numbers)[i] = from[i].name;
    }
  };
  fill(attributes, block->values(), block->names());
  fill(tags, block->tag_values(), block->tag_names());
  auto* parents = writable_array(block->parent_refs());
  for (const cedar::EntityPtr& parent : entity.parents) *parents++ = symbols_.add_uid(parent->type, parent->id);
  auto* first = writable_array(block->parent_refs());
  std::sort(first, parents);
  block->parents = static_cast<std::uint16_t>(std::unique(first, parents) - first);
  if (!input.expiries.empty()) {
    auto* timed = arena_.make<TimedCell>(input.expiries.size());
    block->timed_cells = timed;
    block->timed = static_cast<std::uint16_t>(input.expiries.size());
    for (const Expiry& expiry : input.expiries) {
      *timed++ = {names.name(expiry.name), expiry.is_tag, expiry.at.nanos, to_cell(expiry.then, names)};
    }
  }
  return block;
}

const EntityBlock* EntityWriter::current(const Changes& changes, std::uint32_t ref) const {
  EntityBlock* changed = nullptr;
  return changes.find(ref, changed) ? changed : table_.find(ref);
}

// The block to change, a copy if the table has it; null when there is no such entity.
EntityBlock* EntityWriter::writable(Changes& changes, std::uint32_t ref) {
  EntityBlock* changed = nullptr;
  if (changes.find(ref, changed)) return changed;
  const EntityBlock* old = table_.find(ref);
  if (old == nullptr) return nullptr;
  auto* copy = static_cast<EntityBlock*>(arena_.allocate(old->bytes, alignof(Cell)));
  std::memcpy(static_cast<void*>(copy), old, old->bytes);
  changes.put(ref, copy);
  return copy;
}

std::vector<std::uint32_t> EntityWriter::with_descendants(std::vector<std::uint32_t> refs) const {
  std::sort(refs.begin(), refs.end());
  refs.erase(std::unique(refs.begin(), refs.end()), refs.end());
  if (children_.empty()) return refs;
  std::vector<std::uint8_t> seen(inner_.size(), 0);
  for (const std::uint32_t ref : refs) {
    if (ref < seen.size()) seen[ref] = 1;
  }
  for (std::size_t i = 0; i < refs.size(); ++i) {
    const auto found = children_.find(refs[i]);
    if (found == children_.end()) continue;
    for (const std::uint32_t child : found->second) {
      if (seen[child] != 0) continue;
      seen[child] = 1;
      refs.push_back(child);
    }
  }
  return refs;
}

Error EntityWriter::cycle(std::uint32_t ref) const {
  const cedar::EntityUid uid{std::string(symbols_.name(symbols_.type_of(ref))), std::string(symbols_.id_of(ref))};
  return fail(ErrorKind::kInvalid, "cedar_entity_cycle", "an entity is its own ancestor")
      .at(uid.to_string())
      .next("remove one of the parents on the way round");
}

// The closure of one whose parents have theirs.
Status EntityWriter::close_one(Changes& changes, EntityBlock& block) {
  union_.clear();
  for (std::uint32_t i = 0; i < block.parents; ++i) {
    const std::uint32_t parent = block.parent_refs()[i];
    union_.push_back(parent);
    const EntityBlock* above = current(changes, parent);
    if (above != nullptr) union_.insert(union_.end(), above->closure, above->closure + above->ancestors);
  }
  std::sort(union_.begin(), union_.end());
  union_.erase(std::unique(union_.begin(), union_.end()), union_.end());
  if (union_.size() > kAncestorsMax) {
    return fail(ErrorKind::kInvalid, "engine_ancestors", "too many ancestors")
        .at(std::string(symbols_.id_of(block.ref)))
        .expected("at most " + std::to_string(kAncestorsMax))
        .found(std::to_string(union_.size()));
  }
  auto* closure = arena_.make<std::uint32_t>(union_.size());
  std::copy(union_.begin(), union_.end(), closure);
  auto* filter = arena_.make<Filter>(1);
  *filter = {};
  for (const std::uint32_t ref : union_) filter->add(ref);
  block.filter = filter;
  block.closure = closure;
  block.ancestors = static_cast<std::uint32_t>(union_.size());
  block.is_closed = true;
  return {};
}

// Depth first, parents before children, with a stack of its own.
Status EntityWriter::close(Changes& changes, const std::vector<std::uint32_t>& refs) {
  enum State : std::uint8_t { kOther, kWaiting, kOpen, kDone };
  std::vector<std::uint8_t> states(symbols_.uids(), kOther);
  for (const std::uint32_t ref : refs) states[ref] = kWaiting;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> path;  // ref, next parent
  for (const std::uint32_t start : refs) {
    if (states[start] == kWaiting) path.emplace_back(start, 0);
    while (!path.empty()) {
      auto& [ref, next] = path.back();
      states[ref] = kOpen;
      EntityBlock* block = writable(changes, ref);
      if (block != nullptr && next < block->parents) {
        const std::uint32_t parent = block->parent_refs()[next++];
        if (states[parent] == kOpen) return cycle(parent);
        if (states[parent] == kWaiting) path.emplace_back(parent, 0);
        continue;
      }
      if (block != nullptr) WARY_RETURN_IF_ERROR(close_one(changes, *block));
      states[ref] = kDone;
      path.pop_back();
    }
  }
  return {};
}

void EntityWriter::link_children(const EntityBlock* block, bool add) {
  if (block == nullptr) return;
  for (std::uint32_t i = 0; i < block->parents; ++i) {
    auto& children = children_[block->parent_refs()[i]];
    if (add) {
      children.push_back(block->ref);
    } else {
      std::erase(children, block->ref);
    }
  }
}

void EntityWriter::link_adopted() {
  if (adopted_.empty()) return;
  inner_.assign(symbols_.uids(), 0);
  for (const std::uint32_t ref : adopted_) {
    inner_[ref] = 1;
    link_children(table_.find(ref), true);
  }
  adopted_ = {};
}

void EntityWriter::commit(const Changes& changes, const std::vector<std::uint32_t>& fresh) {
  // Edges between parents follow their blocks. What becomes a parent now had none.
  for (const auto& [ref, block] : changes.all()) {
    if (is_inner(ref)) {
      link_children(table_.find(ref), false);
      link_children(block, true);
    }
  }
  if (inner_.size() < symbols_.uids()) inner_.resize(symbols_.uids(), 0);
  for (const std::uint32_t ref : fresh) {
    inner_[ref] = 1;
    link_children(current(changes, ref), true);
  }
  std::vector<EntityTable::Change> ordered(changes.all().begin(), changes.all().end());
  std::sort(ordered.begin(), ordered.end());
  table_.put(ordered, [&](const EntityBlock& old) { garbage_ += old.bytes; });
}

Status EntityWriter::apply(std::span<const EntityInput> upserts, std::span<const cedar::EntityUid> removals) {
  link_adopted();
  Changes changes(slots_);
  for (const cedar::EntityUid& uid : removals) {
    const std::uint32_t ref = symbols_.find_uid(uid.type, uid.id);
    if (ref != kNone) changes.put(ref, nullptr);
  }
  for (const EntityInput& input : upserts) {
    const std::uint32_t ref = symbols_.add_uid(input.entity->uid->type, input.entity->uid->id);
    changes.put(ref, make_block(input, ref));
  }
  std::vector<std::uint32_t> fresh;
  std::vector<std::uint32_t> starts;
  const bool is_small = symbols_.uids() <= kSmallWorld;
  for (const auto& [ref, block] : changes.all()) {
    if (is_inner(ref))
      starts.push_back(ref);
    else if (is_small && block != nullptr)
      fresh.push_back(ref);
    for (std::uint32_t i = 0; block != nullptr && i < block->parents; ++i) {
      if (!is_inner(block->parent_refs()[i])) fresh.push_back(block->parent_refs()[i]);
    }
  }
  std::sort(fresh.begin(), fresh.end());
  fresh.erase(std::unique(fresh.begin(), fresh.end()), fresh.end());
  starts.insert(starts.end(), fresh.begin(), fresh.end());
  if (!starts.empty()) WARY_RETURN_IF_ERROR(close(changes, with_descendants(std::move(starts))));
  commit(changes, fresh);
  return {};
}

}  // namespace wary::engine
