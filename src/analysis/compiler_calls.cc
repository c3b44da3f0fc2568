// `like` and calls of extension functions.
#include "analysis/compiler.h"
#include "analysis/ip_bits.h"
#include "cedar/extension.h"

namespace wary::analysis {

using cedar::Expr;
using cedar::ExtensionOp;

namespace {

constexpr std::int64_t kDay = 86'400'000;

// The texts between the wildcards: one more than there are of them.
std::vector<std::string> pieces_of(const std::vector<cedar::PatternElement>& pattern) {
  std::vector<std::string> out(1);
  bool was_wildcard = false;
  for (const cedar::PatternElement& element : pattern) {
    if (!element.is_wildcard)
      cedar::append_utf8(out.back(), element.code_point);
    else if (!was_wildcard)
      out.emplace_back();
    was_wildcard = element.is_wildcard;
  }
  return out;
}

}  // namespace

Computed Compiler::like(const Expr& e) {
  const Computed text = compile(e.operands[0]);
  const std::vector<std::string> pieces = pieces_of(e.pattern);
  const auto piece = [&](std::size_t i) { return encoding_.literal(cedar::Value(std::string_view(pieces[i]))).value; };
  const z3::expr& value = text.term.value;
  if (pieces.size() == 1) return boolean((value == piece(0)).simplify(), text.error);
  if (pieces.size() == 2 && pieces[0].empty() && pieces[1].empty()) return boolean(encoding_.boolean(true), text.error);
  if (pieces.size() == 2 && pieces[1].empty()) return boolean(z3::prefixof(piece(0), value), text.error);
  if (pieces.size() == 2 && pieces[0].empty()) return boolean(z3::suffixof(piece(1), value), text.error);
  if (pieces.size() == 3 && pieces[0].empty() && pieces[2].empty()) {
    return boolean(value.contains(piece(1)), text.error);
  }
  z3::context& context = encoding_.context();
  z3::sort strings = context.string_sort();
  const z3::expr anything = z3::re_full(context.re_sort(strings));
  z3::expr_vector parts(context);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) parts.push_back(anything);
    if (!pieces[i].empty()) parts.push_back(z3::to_re(piece(i)));
  }
  return boolean(z3::in_re(value, z3::concat(parts)), text.error);
}

Computed Compiler::call(const Expr& e) {
  const bool is_constructor = !cedar::extension(e.call).is_method;
  if (is_constructor) {
    if (e.operands.size() != 1 || e.operands[0].kind != cedar::ExprKind::kLiteral) throw Unsupported{"a constructor"};
    const cedar::ExtensionResult made = cedar::call_extension(e.call, {&e.operands[0].literal, 1});
    if (made.outcome != cedar::ExtensionResult::Outcome::kValue) throw Unsupported{"a constructor that fails"};
    return {encoding_.literal(made.value), no()};
  }
  std::vector<Computed> arguments;
  z3::expr error = no();
  for (const Expr& operand : e.operands) {
    arguments.push_back(compile(operand));
    error = either(error, arguments.back().error);
  }
  const z3::expr a = arguments[0].term.value;
  const z3::expr b = arguments.back().term.value;
  const auto range = [&](std::string_view text) {
    return ip_in_range(a, ip_bits(encoding_.context(), *cedar::parse_ip(text)));
  };
  switch (e.call) {
    case ExtensionOp::kLessThan: return boolean(a < b, error);
    case ExtensionOp::kLessThanOrEqual: return boolean(a <= b, error);
    case ExtensionOp::kGreaterThan: return boolean(a > b, error);
    case ExtensionOp::kGreaterThanOrEqual: return boolean(a >= b, error);
    case ExtensionOp::kIsIpv4: return boolean(negated(ip_is_v6(a)), error);
    case ExtensionOp::kIsIpv6: return boolean(ip_is_v6(a), error);
    case ExtensionOp::kIsLoopback: return boolean(either(range("127.0.0.0/8"), range("::1")), error);
    case ExtensionOp::kIsMulticast: return boolean(either(range("224.0.0.0/4"), range("ff00::/8")), error);
    case ExtensionOp::kIsInRange: return boolean(ip_in_range(a, b), error);
    default: break;
  }
  Computed out = call_time(e, arguments);
  out.error = either(error, out.error);
  return out;
}

// Moments and durations: milliseconds.
Computed Compiler::call_time(const Expr& e, const std::vector<Computed>& arguments) {
  using Kind = schema::Type::Kind;
  const z3::expr a = arguments[0].term.value;
  const z3::expr b = arguments.back().term.value;
  const auto bits = [&](std::int64_t number) { return encoding_.context().bv_val(number, 64); };
  const auto datetime = [&](const z3::expr& value, const z3::expr& fits) {
    return Computed{Term(schema::extension_type(Kind::kDatetime), value), negated(fits.simplify())};
  };
  const auto whole = [&](std::int64_t unit) {  // truncated
    return Computed{Term(schema::long_type(), unit == 1 ? a : a / bits(unit)), no()};
  };
  const bool is_split = e.call == ExtensionOp::kToDate || e.call == ExtensionOp::kToTime;
  const z3::expr rest = is_split ? encoding_.remainder(a, kDay) : a;
  switch (e.call) {
    case ExtensionOp::kOffset:
      return datetime(a + b, z3::bvadd_no_overflow(a, b, true) && z3::bvadd_no_underflow(a, b));
    case ExtensionOp::kDurationSince:
      return {Term(schema::extension_type(Kind::kDuration), a - b),
              negated((z3::bvsub_no_overflow(a, b) && z3::bvsub_no_underflow(a, b, true)).simplify())};
    case ExtensionOp::kToDate:
      return datetime(a - rest, z3::bvsub_no_overflow(a, rest) && z3::bvsub_no_underflow(a, rest, true));
    case ExtensionOp::kToTime: return {Term(schema::extension_type(Kind::kDuration), rest), no()};
    case ExtensionOp::kToMilliseconds: return whole(1);
    case ExtensionOp::kToSeconds: return whole(1'000);
    case ExtensionOp::kToMinutes: return whole(60'000);
    case ExtensionOp::kToHours: return whole(3'600'000);
    case ExtensionOp::kToDays: return whole(kDay);
    default: break;
  }
  throw Unsupported{"a call of " + std::string(cedar::extension(e.call).name)};
}

}  // namespace wary::analysis
