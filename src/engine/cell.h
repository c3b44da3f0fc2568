// Cell: a Cedar value in 16 bytes, as the compiled engine computes with it. Private to engine/.
//
// What does not fit lies behind a pointer into an arena: of the world for entities and policies, of the scratch space
// for one request. Entities are numbers (symbols.h). Two cells of one evaluation compare by an order that is total but
// means nothing outside: enough for sets, which are sorted, and for equality.
#pragma once

#include <compare>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "cedar/value.h"

namespace wary::engine {

// In the order of cedar::Value::Kind.
enum class Tag : std::uint8_t { kBool, kLong, kString, kEntity, kSet, kRecord, kDecimal, kIp, kDatetime, kDuration };

// A string: length, hash, then its bytes.
struct Text {
  std::uint32_t size;
  std::uint32_t hash;
  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
  std::string_view view() const { return {bytes(), size}; }
};

struct Set;
struct Record;

struct Cell {
  Tag tag = Tag::kBool;
  std::uint32_t type = 0;  // of an entity: its type's name
  union {
    std::int64_t number = 0;  // long, decimal, datetime, duration; 0 or 1 of a bool
    std::uint32_t entity;
    const Text* text;
    const Set* set;
    const Record* record;
    const cedar::IpAddress* ip;
  };

  static Cell boolean(bool value) { return of(Tag::kBool, value ? 1 : 0); }
  static Cell of(Tag tag, std::int64_t number) {
    Cell cell;
    cell.tag = tag;
    cell.number = number;
    return cell;
  }
  static Cell of(const Text* text) {
    Cell cell;
    cell.tag = Tag::kString;
    cell.text = text;
    return cell;
  }
  static Cell entity_of(std::uint32_t ref, std::uint32_t type) {
    Cell cell;
    cell.tag = Tag::kEntity;
    cell.type = type;
    cell.number = 0;
    cell.entity = ref;
    return cell;
  }
  bool is_true() const { return number != 0; }
};
static_assert(sizeof(Cell) == 16);

// Cells in ascending order, each once; they follow the head.
struct Set {
  std::uint32_t size;
  std::uint32_t others;  // how many are no entities
  const Cell* begin() const { return reinterpret_cast<const Cell*>(this + 1); }
  std::span<const Cell> cells() const { return {begin(), size}; }
};
static_assert(sizeof(Set) % alignof(Cell) == 0);

// Members by ascending name number: the values follow the head, then the names.
struct Record {
  std::uint32_t size;
  std::uint32_t unused;
  const Cell* values() const { return reinterpret_cast<const Cell*>(this + 1); }
  const std::uint32_t* names() const { return reinterpret_cast<const std::uint32_t*>(values() + size); }
  const Cell* find(std::uint32_t name) const;
};

std::strong_ordering compare(const Cell& a, const Cell& b);

inline bool same_text(const Text* a, const Text* b) { return a == b || (a->hash == b->hash && a->view() == b->view()); }
inline bool equal(const Cell& a, const Cell& b) {
  if (a.tag != b.tag) return false;
  switch (a.tag) {
    case Tag::kBool:
    case Tag::kLong:
    case Tag::kDecimal:
    case Tag::kDatetime:
    case Tag::kDuration: return a.number == b.number;
    case Tag::kEntity: return a.entity == b.entity;
    case Tag::kString: return same_text(a.text, b.text);
    default: return compare(a, b) == std::strong_ordering::equal;
  }
}

// Whether the sorted cells hold this one.
bool contains(const Set& set, const Cell& cell);
// Sorts, drops what stands twice; the new size.
std::uint32_t sort_unique(Cell* cells, std::uint32_t size);
// Where the name stands among ascending ones, or `size`.
inline std::uint32_t find_name(const std::uint32_t* names, std::uint32_t size, std::uint32_t name) {
  if (size <= 16) {
    std::uint32_t at = 0;
    while (at < size && names[at] != name) ++at;
    return at;
  }
  std::uint32_t low = 0;
  for (std::uint32_t count = size; count > 0;) {
    const std::uint32_t half = count / 2;
    if (names[low + half] < name) {
      low += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return low < size && names[low] == name ? low : size;
}
inline const Cell* Record::find(std::uint32_t name) const {
  const std::uint32_t at = find_name(names(), size, name);
  return at < size ? values() + at : nullptr;
}

}  // namespace wary::engine
