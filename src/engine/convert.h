// Cedar values to cells. Private to engine/.
//
// Two ways in: what belongs to a world is added to its symbols; what a request brings is looked up only, and what
// nobody has mentioned before gets a number that holds for this request.
#pragma once

#include <string>
#include <vector>

#include "cedar/entities.h"
#include "engine/symbols.h"

namespace wary::engine {

// Of a world: adds.
class WorldNames {
 public:
  WorldNames(Symbols& symbols, Arena& arena) : symbols_(symbols), arena_(arena) {}
  std::uint32_t name(std::string_view text) { return symbols_.add_name(text); }
  const Text* text(std::string_view text) { return symbols_.add_text(text); }
  Cell uid(const cedar::EntityUid& uid) {
    const std::uint32_t ref = symbols_.add_uid(uid.type, uid.id);
    return Cell::entity_of(ref, symbols_.type_of(ref));
  }
  Arena& arena() { return arena_; }

 private:
  Symbols& symbols_;
  Arena& arena_;
};

// Of one request: looks up, and numbers from kTemporary on for the rest.
class RequestNames {
 public:
  explicit RequestNames(Arena& arena) : arena_(arena) {}
  void start(const Symbols& symbols) {
    symbols_ = &symbols;
    names_.clear();
    uids_.clear();
  }
  std::uint32_t name(std::string_view text);
  const Text* text(std::string_view text) { return make_text(arena_, text, symbols_->hash(text)); }
  Cell uid(const cedar::EntityUid& uid) {
    const std::uint32_t ref = symbols_->find_uid(uid.type, uid.id);
    if (ref != kNone) return Cell::entity_of(ref, symbols_->type_of(ref));
    return unknown(uid);
  }
  // What find_uids found for the uid.
  Cell uid(const cedar::EntityUid& uid, const Symbols::Known& known) {
    return known.ref != kNone ? Cell::entity_of(known.ref, known.type) : unknown(uid);
  }
  Arena& arena() { return arena_; }
  const cedar::EntityUid& temporary(std::uint32_t ref) const { return *uids_[ref - kTemporary]; }

 private:
  Cell unknown(const cedar::EntityUid& uid);

  Arena& arena_;
  const Symbols* symbols_ = nullptr;
  std::vector<std::string_view> names_;
  std::vector<const cedar::EntityUid*> uids_;  // borrowed of the request
};

// Errors are not possible: a Value is well formed. The recursion is as deep as the value.
template <typename Names>
Cell to_cell(const cedar::Value& value, Names& names);
template <typename Names>
const Record* to_record(const cedar::Value::Record& record, Names& names);

}  // namespace wary::engine
