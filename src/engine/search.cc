#include "engine/search.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "engine/world.h"

namespace wary::engine {

using cedar::Variable;

// What the entities of a snapshot are asked backwards: by type, by parent, by attribute.
class DirectoryIndex {
 public:
  explicit DirectoryIndex(const Snapshot& snapshot);
  const std::vector<std::uint32_t>& of_type(std::uint32_t type) const { return at(types_, type); }
  // Everything in `ref`, itself first.
  void add_below(std::uint32_t ref, std::vector<std::uint32_t>& out) const;
  // Those whose attribute `name` is the entity.
  const std::vector<std::uint32_t>& with(std::uint32_t name, std::uint32_t entity) const {
    return at(attributes_, std::uint64_t{name} << 32 | entity);
  }

 private:
  template <typename Map, typename Key>
  static const std::vector<std::uint32_t>& at(const Map& map, Key key) {
    static const std::vector<std::uint32_t> kNothing;
    const auto found = map.find(key);
    return found != map.end() ? found->second : kNothing;
  }
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> types_;
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> children_;
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> attributes_;
};

DirectoryIndex::DirectoryIndex(const Snapshot& snapshot) {
  const Symbols& symbols = snapshot.world().symbols;
  snapshot.entities().for_each([&](const EntityBlock& block) {
    types_[symbols.type_of(block.ref)].push_back(block.ref);
    for (std::uint32_t i = 0; i < block.parents; ++i) children_[block.parent_refs()[i]].push_back(block.ref);
    for (std::uint32_t i = 0; i < block.attributes; ++i) {
      const Cell& value = block.values()[i];
      if (value.tag != Tag::kEntity) continue;
      attributes_[std::uint64_t{block.names()[i]} << 32 | value.entity].push_back(block.ref);
    }
    // What an attribute becomes later counts as well: a candidate too many is decided like any other.
    for (std::uint32_t i = 0; i < block.timed; ++i) {
      const TimedCell& timed = block.timed_cells[i];
      if (timed.is_tag || timed.then.tag != Tag::kEntity) continue;
      attributes_[std::uint64_t{timed.name} << 32 | timed.then.entity].push_back(block.ref);
    }
  });
}

void DirectoryIndex::add_below(std::uint32_t ref, std::vector<std::uint32_t>& out) const {
  std::vector<std::uint32_t> open = {ref};
  std::unordered_map<std::uint32_t, bool> seen = {{ref, true}};
  while (!open.empty()) {
    const std::uint32_t next = open.back();
    open.pop_back();
    out.push_back(next);
    for (const std::uint32_t child : at(children_, next)) {
      if (seen.emplace(child, true).second) open.push_back(child);
    }
  }
}

Directory::Directory(SnapshotPtr snapshot)
    : snapshot_(std::move(snapshot)), index_(std::make_unique<const DirectoryIndex>(*snapshot_)) {}
Directory::~Directory() = default;

namespace {

// The refs of one question's type that could be allowed.
class Candidates {
 public:
  Candidates(const Directory& directory, Machine& machine, Variable free, std::uint32_t type)
      : snapshot_(directory.snapshot()), index_(directory.index()), machine_(machine), free_(free), type_(type) {}

  std::vector<std::uint32_t> find() {
    const auto& policies = snapshot_.rules().policies;
    policies.for_each([&](const CompiledPolicy& policy) {
      if (!is_all_ && !policy.is_forbid && others_match(policy)) add_policy(policy);
    });
    if (is_all_) {
      found_ = index_.of_type(type_);
      policies.for_each([&](const CompiledPolicy& policy) { add_refs(scope_of(policy)); });  // ids that only they know
    }
    const Symbols& symbols = snapshot_.world().symbols;
    std::erase_if(found_, [&](std::uint32_t ref) { return symbols.type_of(ref) != type_; });
    std::sort(found_.begin(), found_.end(),
              [&](std::uint32_t a, std::uint32_t b) { return symbols.id_of(a) < symbols.id_of(b); });
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return std::move(found_);
  }

 private:
  const Scope& scope_of(const CompiledPolicy& policy) const {
    return free_ == Variable::kPrincipal ? policy.principal
           : free_ == Variable::kAction  ? policy.action
                                         : policy.resource;
  }
  bool others_match(const CompiledPolicy& policy) {
    return (free_ == Variable::kPrincipal || machine_.matches_scope(policy.principal, Variable::kPrincipal)) &&
           (free_ == Variable::kAction || machine_.matches_scope(policy.action, Variable::kAction)) &&
           (free_ == Variable::kResource || machine_.matches_scope(policy.resource, Variable::kResource));
  }
  void add_refs(const Scope& scope) { found_.insert(found_.end(), scope.refs, scope.refs + scope.count); }

  void add_policy(const CompiledPolicy& policy) {
    using Kind = cedar::ScopeConstraint::Kind;
    const Scope& scope = scope_of(policy);
    switch (scope.kind) {
      case Kind::kEqual: found_.push_back(scope.ref); return;
      case Kind::kIn:
      case Kind::kIsIn:
        if (scope.kind == Kind::kIsIn && scope.type != type_) return;
        for (const std::uint32_t ref : scope.all()) index_.add_below(ref, found_);
        return;
      case Kind::kIs:
        if (scope.type != type_) return;
        break;
      case Kind::kAny: break;
    }
    for (const Alternatives& alternatives : policy.narrowed) {
      if (alternatives.front().variable == free_ && narrow(alternatives)) return;
    }
    is_all_ = true;
  }

  // False when a value is not of a kind that can be looked up.
  bool narrow(Alternatives alternatives) {
    std::vector<std::uint32_t> found;
    for (const Narrowing& narrowing : alternatives) {
      Cell value;
      // A value that fails here fails, or is not reached, for every candidate: no candidate comes of it.
      if (!machine_.evaluate(narrowing.value, value)) continue;
      if (!add_value(narrowing, value, found)) return false;
    }
    found_.insert(found_.end(), found.begin(), found.end());
    return true;
  }

  bool add_value(const Narrowing& narrowing, const Cell& value, std::vector<std::uint32_t>& out) {
    if (narrowing.kind == Narrowing::Kind::kAttribute) {
      if (value.tag != Tag::kEntity) return false;
      const auto& refs = index_.with(narrowing.name, value.entity);
      out.insert(out.end(), refs.begin(), refs.end());
      return true;
    }
    const auto add = [&](const Cell& cell) {
      if (cell.tag != Tag::kEntity || cell.entity >= kTemporary) return;
      if (narrowing.kind == Narrowing::Kind::kIn) {
        index_.add_below(cell.entity, out);
      } else {
        out.push_back(cell.entity);
      }
    };
    add(value);
    if (value.tag == Tag::kSet) std::for_each(value.set->begin(), value.set->begin() + value.set->size, add);
    return true;
  }

  const Snapshot& snapshot_;
  const DirectoryIndex& index_;
  Machine& machine_;
  Variable free_;
  std::uint32_t type_;
  std::vector<std::uint32_t> found_;
  bool is_all_ = false;
};

cedar::EntityPtr& part(cedar::Request& request, Variable variable) {
  return variable == Variable::kPrincipal ? request.principal
         : variable == Variable::kAction  ? request.action
                                          : request.resource;
}

}  // namespace

Result<SearchResult> search(const Directory& directory, Worker& worker, const SearchQuery& query) {
  if (query.free == Variable::kContext || query.limit == 0 || query.limit > kSearchLimitMax) {
    return fail(ErrorKind::kInvalid, "engine_search", "not a search")
        .expected("principal, action or resource, and a limit from 1 to " + std::to_string(kSearchLimitMax));
  }
  const Snapshot& snapshot = directory.snapshot();
  const Symbols& symbols = snapshot.world().symbols;
  SearchResult out;
  const std::uint32_t type = symbols.find_name(query.type);
  if (type == kNone) return out;
  cedar::Request request = query.request;
  // A type that no policy and no entity can have: nothing is taken for the one that is searched.
  part(request, query.free) = cedar::make_entity(std::string_view("?", 1), "");
  Machine& machine = worker.machine();
  machine.start(symbols, snapshot.entities(), request, query.now, snapshot.rules().stack);
  const auto candidates = Candidates(directory, machine, query.free, type).find();
  for (const std::uint32_t ref : candidates) {
    const std::string_view id = symbols.id_of(ref);
    if (!query.after.empty() && id <= query.after) continue;
    if (out.ids.size() == query.limit) {
      out.next = out.ids.back();
      break;
    }
    part(request, query.free) = cedar::make_entity(query.type, id);
    ++out.decided;
    if (worker.decide(snapshot, request, query.now).is_allowed) out.ids.emplace_back(id);
  }
  return out;
}

}  // namespace wary::engine
