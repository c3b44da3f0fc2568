// Shapes: a number for each expression, the same for expressions that are written differently in nothing but spaces and
// parentheses. What `has` learns about `principal.team` holds for every expression of that shape. Private to schema/.
//
// `a != b` has the shape of `!(a == b)`, chains that of nested pairs, `e has a.b` that of `e has a && e.a has b`.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "cedar/ast.h"

namespace wary::schema {

class Shapes {
 public:
  std::uint32_t of(const cedar::Expr& e);
  std::uint32_t attribute_of(std::uint32_t base, std::string_view name);  // base.name
  std::uint32_t name(std::string_view text);

 private:
  std::uint32_t compute(const cedar::Expr& e);
  std::uint32_t compute_has(const cedar::Expr& e);
  std::uint32_t compute_record(const cedar::Expr& e);
  std::uint32_t make(std::string_view tag, const std::vector<std::uint32_t>& parts, std::string_view text = {});

  std::unordered_map<std::string, std::uint32_t> known_;
  std::unordered_map<const cedar::Expr*, std::uint32_t> cache_;
};

// What is known to be there: an attribute or tag of an expression, by shape. Sorted, without duplicates.
class Capabilities {
 public:
  static Capabilities attribute(std::uint32_t of, std::uint32_t name) {
    return Capabilities((std::uint64_t{of} << 32) | name);
  }
  static Capabilities tag(std::uint32_t of, std::uint32_t key) {
    return Capabilities((std::uint64_t{of} << 32) | key | 0x8000'0000U);
  }
  Capabilities() = default;

  bool contains(const Capabilities& one) const;  // which holds a single one
  Capabilities joined(const Capabilities& other) const;
  Capabilities shared(const Capabilities& other) const;
  bool is_empty() const { return items_.empty(); }

 private:
  explicit Capabilities(std::uint64_t one) : items_{one} {}
  std::vector<std::uint64_t> items_;
};

}  // namespace wary::schema
