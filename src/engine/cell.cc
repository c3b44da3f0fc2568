#include "engine/cell.h"

#include <algorithm>

namespace wary::engine {

namespace {

std::strong_ordering compare_texts(const Text& a, const Text& b) {
  if (&a == &b) return std::strong_ordering::equal;
  if (a.hash != b.hash) return a.hash <=> b.hash;
  if (a.size != b.size) return a.size <=> b.size;
  return a.view() <=> b.view();
}

std::strong_ordering compare_cells(const Cell* a, std::uint32_t a_size, const Cell* b, std::uint32_t b_size) {
  for (std::uint32_t i = 0; i < a_size && i < b_size; ++i) {
    const std::strong_ordering order = compare(a[i], b[i]);
    if (order != 0) return order;
  }
  return a_size <=> b_size;
}

std::strong_ordering compare_records(const Record& a, const Record& b) {
  if (&a == &b) return std::strong_ordering::equal;
  if (a.size != b.size) return a.size <=> b.size;
  for (std::uint32_t i = 0; i < a.size; ++i) {
    if (a.names()[i] != b.names()[i]) return a.names()[i] <=> b.names()[i];
  }
  return compare_cells(a.values(), a.size, b.values(), b.size);
}

bool before(const Cell& a, const Cell& b) { return compare(a, b) < 0; }

}  // namespace

// The recursion is as deep as the values, which the parsers bound.
std::strong_ordering compare(const Cell& a, const Cell& b) {
  if (a.tag != b.tag) return a.tag <=> b.tag;
  switch (a.tag) {
    case Tag::kString: return compare_texts(*a.text, *b.text);
    case Tag::kEntity: return a.entity <=> b.entity;
    case Tag::kSet:
      if (a.set == b.set) return std::strong_ordering::equal;
      return compare_cells(a.set->begin(), a.set->size, b.set->begin(), b.set->size);
    case Tag::kRecord: return compare_records(*a.record, *b.record);
    case Tag::kIp: return *a.ip <=> *b.ip;
    default: return a.number <=> b.number;
  }
}

bool contains(const Set& set, const Cell& cell) {
  if (set.size <= 8) {
    return std::any_of(set.begin(), set.begin() + set.size, [&](const Cell& other) { return equal(cell, other); });
  }
  return std::binary_search(set.begin(), set.begin() + set.size, cell, before);
}

std::uint32_t sort_unique(Cell* cells, std::uint32_t size) {
  std::sort(cells, cells + size, before);
  return static_cast<std::uint32_t>(std::unique(cells, cells + size, equal) - cells);
}

}  // namespace wary::engine
