#include "schema/shapes.h"

#include <algorithm>

namespace wary::schema {

using cedar::Expr;
using cedar::ExprKind;

std::uint32_t Shapes::make(std::string_view tag, const std::vector<std::uint32_t>& parts, std::string_view text) {
  std::string key(tag);
  for (const std::uint32_t part : parts) key += " " + std::to_string(part);
  key += ' ';
  key += text;
  return known_.try_emplace(std::move(key), static_cast<std::uint32_t>(known_.size())).first->second;
}

std::uint32_t Shapes::name(std::string_view text) { return make("name", {}, text); }
std::uint32_t Shapes::attribute_of(std::uint32_t base, std::string_view name) { return make(".", {base}, name); }

std::uint32_t Shapes::of(const Expr& e) {
  const auto cached = cache_.find(&e);
  if (cached != cache_.end()) return cached->second;
  const std::uint32_t shape = compute(e);
  cache_.emplace(&e, shape);
  return shape;
}

std::uint32_t Shapes::compute_has(const Expr& e) {
  std::uint32_t base = of(e.operands[0]);
  std::uint32_t out = make("has", {base}, e.names[0]);
  for (std::size_t i = 1; i < e.names.size(); ++i) {
    base = attribute_of(base, e.names[i - 1]);
    out = make("&&", {out, make("has", {base}, e.names[i])});
  }
  return out;
}

std::uint32_t Shapes::compute_record(const Expr& e) {
  std::vector<std::size_t> order(e.names.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return e.names[a] < e.names[b]; });
  std::vector<std::uint32_t> parts;
  for (const std::size_t i : order) {
    parts.push_back(name(e.names[i]));
    parts.push_back(of(e.operands[i]));
  }
  return make("record", parts);
}

std::uint32_t Shapes::compute(const Expr& e) {
  std::vector<std::uint32_t> parts;
  if (e.kind != ExprKind::kHas && e.kind != ExprKind::kRecord) {
    for (const Expr& operand : e.operands) parts.push_back(of(operand));
  }
  const auto chain = [&](const auto& tag) {
    std::uint32_t out = parts[0];
    for (std::size_t i = 1; i < parts.size(); ++i) out = make(tag(i), {out, parts[i]});
    return out;
  };
  const auto negated = [&](std::string_view tag) { return make("!", {make(tag, parts)}); };
  switch (e.kind) {
    case ExprKind::kLiteral:
      return make("literal", {static_cast<std::uint32_t>(e.literal.kind())}, e.literal.to_string());
    case ExprKind::kVariable: return make("variable", {}, cedar::to_string(e.variable));
    case ExprKind::kIf: return make("if", parts);
    case ExprKind::kOr: return chain([](std::size_t) { return std::string_view("||"); });
    case ExprKind::kAnd: return chain([](std::size_t) { return std::string_view("&&"); });
    case ExprKind::kMultiply: return chain([](std::size_t) { return std::string_view("*"); });
    case ExprKind::kAdd: return chain([&](std::size_t i) { return std::string_view(e.subtracts[i] ? "-" : "+"); });
    case ExprKind::kNot: return make("!", parts);
    case ExprKind::kNegate: return make("negate", parts);
    case ExprKind::kEqual: return make("==", parts);
    case ExprKind::kNotEqual: return negated("==");
    case ExprKind::kLess: return make("<", parts);
    case ExprKind::kLessEqual: return make("<=", parts);
    case ExprKind::kGreater: return negated("<=");
    case ExprKind::kGreaterEqual: return negated("<");
    case ExprKind::kIn: return make("in", parts);
    case ExprKind::kGetAttribute: return attribute_of(parts[0], e.name);
    case ExprKind::kHas: return compute_has(e);
    case ExprKind::kLike: {
      std::string pattern;
      for (const cedar::PatternElement& element : e.pattern) {
        pattern += element.is_wildcard ? "*" : std::to_string(static_cast<std::uint32_t>(element.code_point)) + ",";
      }
      return make("like", parts, pattern);
    }
    case ExprKind::kIs: {
      const std::uint32_t is = make("is", {parts[0]}, e.name);
      return parts.size() == 1 ? is : make("&&", {is, make("in", parts)});
    }
    case ExprKind::kSet: return make("set", parts);
    case ExprKind::kRecord: return compute_record(e);
    case ExprKind::kContains: return make("contains", parts);
    case ExprKind::kContainsAll: return make("containsAll", parts);
    case ExprKind::kContainsAny: return make("containsAny", parts);
    case ExprKind::kGetTag: return make("getTag", parts);
    case ExprKind::kHasTag: return make("hasTag", parts);
    case ExprKind::kIsEmpty: return make("isEmpty", parts);
    case ExprKind::kCall: break;
  }
  return make("call", parts, cedar::extension(e.call).name);
}

bool Capabilities::contains(const Capabilities& one) const {
  return std::binary_search(items_.begin(), items_.end(), one.items_.front());
}

Capabilities Capabilities::joined(const Capabilities& other) const {
  if (items_.empty()) return other;
  if (other.items_.empty()) return *this;
  Capabilities out;
  std::set_union(items_.begin(), items_.end(), other.items_.begin(), other.items_.end(),
                 std::back_inserter(out.items_));
  return out;
}

Capabilities Capabilities::shared(const Capabilities& other) const {
  Capabilities out;
  std::set_intersection(items_.begin(), items_.end(), other.items_.begin(), other.items_.end(),
                        std::back_inserter(out.items_));
  return out;
}

}  // namespace wary::schema
