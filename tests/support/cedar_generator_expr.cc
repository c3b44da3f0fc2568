#include "tests/support/cedar_generator_expr.h"

#include "cedar/value.h"

namespace wary::test {

namespace {

constexpr std::array<std::string_view, 16> kNumbers = {"0",
                                                       "1",
                                                       "-1",
                                                       "2",
                                                       "3",
                                                       "7",
                                                       "-7",
                                                       "10",
                                                       "100",
                                                       "9223372036854775807",
                                                       "-9223372036854775808",
                                                       "9223372036854775806",
                                                       "4611686018427387904",
                                                       "3037000500",
                                                       "9007199254740993",
                                                       "007"};
constexpr std::array<std::string_view, 8> kPatterns = {"*", "x*", "*y", "", "*\\\\**", "é*", "a\\**b", "\\u{1F600}?*"};

std::string_view constructor_name(Meant kind) {
  switch (kind) {
    case Meant::kIp: return "ip";
    case Meant::kDecimal: return "decimal";
    case Meant::kDatetime: return "datetime";
    default: return "duration";
  }
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string out;
  cedar::append_string_literal(out, text);
  return out;
}

std::string ExpressionWriter::at_least(Written::Level level, Meant kind, int depth) {
  Written written = write(kind, depth);
  const bool wraps = written.level < level || dice_.chance(4);
  return wraps ? "(" + written.text + ")" : written.text;
}

Written ExpressionWriter::write(Meant kind, int depth) {
  // Now and then something else, for the errors.
  if (dice_.chance(3)) kind = static_cast<Meant>(dice_.below(kMeantCount));
  if (depth > 0 && dice_.chance(6)) return conditional(kind, depth - 1);
  if (kind != Meant::kBool && dice_.chance(depth > 0 ? 30 : 50)) return attribute(kind, depth - 1);
  switch (kind) {
    case Meant::kBool: return boolean(depth);
    case Meant::kLong: return number(depth);
    case Meant::kString: return {string_literal(), Written::kMember};
    case Meant::kEntity: return entity(depth);
    case Meant::kEntities: return set(Meant::kEntity, depth);
    case Meant::kLongs: return set(Meant::kLong, depth);
    case Meant::kRecord: return record(depth);
    default: return extension_value(kind, depth);
  }
}

Written ExpressionWriter::conditional(Meant kind, int depth) {
  return {"if " + at_least(Written::kIf, Meant::kBool, depth) + " then " + at_least(Written::kIf, kind, depth) +
              " else " + at_least(Written::kIf, kind, depth),
          Written::kIf};
}

Written ExpressionWriter::boolean(int depth) {
  if (depth <= 0) return boolean_leaf();
  switch (dice_.below(12)) {
    case 0:
    case 1:
    case 2: return connective(depth - 1);
    case 3:
    case 4: return comparison(depth - 1);
    case 5: return membership(depth - 1);
    case 6: return presence(depth - 1);
    case 7: return set_test(depth - 1);
    case 8: return extension_test(depth - 1);
    case 9: return like(depth - 1);
    case 10: return is_type(depth - 1);
    default: return attribute(Meant::kBool, depth - 1);
  }
}

Written ExpressionWriter::boolean_leaf() {
  switch (dice_.below(5)) {
    case 0: return {"true"};
    case 1: return {"false"};
    case 2: return {"principal == " + entity_literal(), Written::kRelation};
    case 3: return {"resource in " + entity_literal(), Written::kRelation};
    default:
      return {"context has " + std::string(dice_.pick(kAttributes).name == "a b" ? "\"a b\"" : "n"),
              Written::kRelation};
  }
}

Written ExpressionWriter::connective(int depth) {
  const std::size_t form = dice_.below(5);
  if (form == 0) {
    const std::size_t count = 1 + dice_.below(3);
    return {std::string(count, '!') + at_least(Written::kMember, Meant::kBool, depth), Written::kUnary};
  }
  const bool is_and = form < 3;
  const Written::Level operand = is_and ? Written::kRelation : Written::kAnd;
  std::string out = at_least(operand, Meant::kBool, depth);
  for (std::size_t i = 1 + dice_.below(3); i > 0; --i) {
    out += (is_and ? " && " : " || ") + at_least(operand, Meant::kBool, depth);
  }
  return {std::move(out), is_and ? Written::kAnd : Written::kOr};
}

Written ExpressionWriter::comparison(int depth) {
  constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<", "<=", ">", ">="};
  const std::string_view op = dice_.pick(kOperators);
  constexpr std::array<Meant, 5> kOrdered = {Meant::kLong, Meant::kLong, Meant::kLong, Meant::kDatetime,
                                             Meant::kDuration};
  const bool is_equality = op == "==" || op == "!=";
  const Meant kind = is_equality ? static_cast<Meant>(dice_.below(kMeantCount)) : dice_.pick(kOrdered);
  return {at_least(Written::kSum, kind, depth) + " " + std::string(op) + " " + at_least(Written::kSum, kind, depth),
          Written::kRelation};
}

Written ExpressionWriter::membership(int depth) {
  const Meant right = dice_.chance(40) ? Meant::kEntities : Meant::kEntity;
  return {at_least(Written::kSum, Meant::kEntity, depth) + " in " + at_least(Written::kSum, right, depth),
          Written::kRelation};
}

Written ExpressionWriter::presence(int depth) {
  if (dice_.chance(30)) {
    const std::string tag =
        dice_.chance(70) ? quoted(dice_.pick(kTags)) : at_least(Written::kIf, Meant::kString, depth);
    return {at_least(Written::kMember, Meant::kEntity, depth) + ".hasTag(" + tag + ")", Written::kMember};
  }
  std::string out = dice_.chance(60) ? receiver(depth) : at_least(Written::kSum, Meant::kRecord, depth);
  out += " has ";
  if (dice_.chance(40)) {
    out += dice_.chance(50) ? "e" : "r";
    for (std::size_t i = 1 + dice_.below(2); i > 0; --i) out += dice_.chance(50) ? ".r" : ".n";
  } else {
    const std::string_view name = dice_.pick(kAttributes).name;
    out += cedar::is_identifier(name) && dice_.chance(80) ? std::string(name) : quoted(name);
  }
  return {std::move(out), Written::kRelation};
}

Written ExpressionWriter::set_test(int depth) {
  const bool of_longs = dice_.chance(60);
  const Meant set_kind = of_longs ? Meant::kLongs : Meant::kEntities;
  const std::string on = at_least(Written::kMember, set_kind, depth);
  switch (dice_.below(4)) {
    case 0: return {on + ".isEmpty()"};
    case 1: return {on + ".contains(" + at_least(Written::kIf, of_longs ? Meant::kLong : Meant::kEntity, depth) + ")"};
    case 2: return {on + ".containsAll(" + at_least(Written::kIf, set_kind, depth) + ")"};
    default: return {on + ".containsAny(" + at_least(Written::kIf, set_kind, depth) + ")"};
  }
}

Written ExpressionWriter::extension_test(int depth) {
  if (dice_.chance(50)) {
    constexpr std::array<std::string_view, 4> kTests = {"isIpv4", "isIpv6", "isLoopback", "isMulticast"};
    const std::string on = at_least(Written::kMember, Meant::kIp, depth);
    if (dice_.chance(50)) return {on + "." + std::string(dice_.pick(kTests)) + "()"};
    return {on + ".isInRange(" + at_least(Written::kIf, Meant::kIp, depth) + ")"};
  }
  constexpr std::array<std::string_view, 4> kTests = {"lessThan", "lessThanOrEqual", "greaterThan",
                                                      "greaterThanOrEqual"};
  return {at_least(Written::kMember, Meant::kDecimal, depth) + "." + std::string(dice_.pick(kTests)) + "(" +
          at_least(Written::kIf, Meant::kDecimal, depth) + ")"};
}

Written ExpressionWriter::like(int depth) {
  return {at_least(Written::kSum, Meant::kString, depth) + " like \"" + std::string(dice_.pick(kPatterns)) + "\"",
          Written::kRelation};
}

Written ExpressionWriter::is_type(int depth) {
  std::string out = at_least(Written::kSum, Meant::kEntity, depth) + " is " + std::string(dice_.pick(kTypes));
  if (dice_.chance(40)) {
    out += " in " + at_least(Written::kSum, dice_.chance(30) ? Meant::kEntities : Meant::kEntity, depth);
  }
  return {std::move(out), Written::kRelation};
}

Written ExpressionWriter::number_leaf() {
  std::string text(dice_.pick(kNumbers));
  const bool is_negative = text.front() == '-';
  return {std::move(text), is_negative ? Written::kUnary : Written::kMember};
}

Written ExpressionWriter::number(int depth) {
  if (depth <= 0 || dice_.chance(30)) return number_leaf();
  switch (dice_.below(5)) {
    case 0: {
      std::string out = at_least(Written::kProduct, Meant::kLong, depth - 1);
      for (std::size_t i = 1 + dice_.below(2); i > 0; --i) {
        out += (dice_.chance(50) ? " + " : " - ") + at_least(Written::kProduct, Meant::kLong, depth - 1);
      }
      return {std::move(out), Written::kSum};
    }
    case 1: {
      std::string out = at_least(Written::kUnary, Meant::kLong, depth - 1);
      for (std::size_t i = 1 + dice_.below(2); i > 0; --i)
        out += " * " + at_least(Written::kUnary, Meant::kLong, depth - 1);
      return {std::move(out), Written::kProduct};
    }
    case 2:
      return {std::string(1 + dice_.below(2), '-') + at_least(Written::kMember, Meant::kLong, depth - 1),
              Written::kUnary};
    case 3: return tag(depth - 1);
    default: {
      constexpr std::array<std::string_view, 5> kUnits = {"toMilliseconds", "toSeconds", "toMinutes", "toHours",
                                                          "toDays"};
      return {at_least(Written::kMember, Meant::kDuration, depth - 1) + "." + std::string(dice_.pick(kUnits)) + "()"};
    }
  }
}

Written ExpressionWriter::tag(int depth) {
  const std::string name = dice_.chance(80) ? quoted(dice_.pick(kTags)) : at_least(Written::kIf, Meant::kString, depth);
  return {at_least(Written::kMember, Meant::kEntity, depth) + ".getTag(" + name + ")"};
}

std::string ExpressionWriter::entity_literal() {
  // Seven ids where a world has six entities: some are unknown.
  return std::string(dice_.pick(kTypes)) + "::\"" + std::to_string(dice_.below(7)) + "\"";
}

Written ExpressionWriter::entity(int depth) {
  switch (dice_.below(6)) {
    case 0:
    case 1: return {"principal"};
    case 2: return {"resource"};
    case 3: return {dice_.chance(60) ? "action" : "Action::\"a" + std::to_string(dice_.below(5)) + "\""};
    case 4: return depth > 0 ? attribute(Meant::kEntity, depth - 1) : Written{entity_literal()};
    default: return {entity_literal()};
  }
}

std::string ExpressionWriter::list(std::string_view open, const std::vector<std::string>& items,
                                   std::string_view close) {
  std::string out(open);
  for (std::size_t i = 0; i < items.size(); ++i) out += (i > 0 ? ", " : "") + items[i];
  if (!items.empty() && dice_.chance(10)) out += ",";
  return out + std::string(close);
}

Written ExpressionWriter::set(Meant element, int depth) {
  std::vector<std::string> items;
  for (std::size_t i = dice_.below(5); i > 0; --i) {
    const Meant kind = dice_.chance(8) ? static_cast<Meant>(dice_.below(kMeantCount)) : element;
    items.push_back(at_least(Written::kIf, kind, depth - 1));
  }
  return {list("[", items, "]")};
}

Written ExpressionWriter::record(int depth) {
  std::vector<std::string> items;
  for (const Attribute& attribute : kAttributes) {
    if (!dice_.chance(depth > 0 ? 25 : 12)) continue;
    const bool bare = cedar::is_identifier(attribute.name) && dice_.chance(70);
    items.push_back((bare ? std::string(attribute.name) : quoted(attribute.name)) + ": " +
                    at_least(Written::kIf, attribute.kind, depth - 2));
  }
  return {list("{", items, "}")};
}

Written ExpressionWriter::constructor(std::string_view name, std::string_view argument, int depth) {
  if (depth > 0 && dice_.chance(4))
    return {std::string(name) + "(" + at_least(Written::kIf, Meant::kString, depth) + ")"};
  if (dice_.chance(1)) return {std::string(name) + "(" + quoted(argument) + ", " + quoted(argument) + ")"};
  return {std::string(name) + "(" + quoted(argument) + ")"};
}

Written ExpressionWriter::extension_value(Meant kind, int depth) {
  if (depth > 0 && dice_.chance(35)) {
    const std::string at = at_least(Written::kMember, Meant::kDatetime, depth - 1);
    if (kind == Meant::kDatetime) {
      if (dice_.chance(40)) return {at + ".toDate()"};
      return {at + ".offset(" + at_least(Written::kIf, Meant::kDuration, depth - 1) + ")"};
    }
    if (kind == Meant::kDuration) {
      if (dice_.chance(40)) return {at + ".toTime()"};
      return {at + ".durationSince(" + at_least(Written::kIf, Meant::kDatetime, depth - 1) + ")"};
    }
  }
  const std::string_view name = constructor_name(kind);
  if (dice_.chance(3)) return constructor(name, dice_.pick(kStrings), depth);
  switch (kind) {
    case Meant::kIp: return constructor(name, dice_.pick(kAddresses), depth);
    case Meant::kDecimal: return constructor(name, dice_.pick(kDecimals), depth);
    case Meant::kDatetime: return constructor(name, dice_.pick(kDatetimes), depth);
    default: return constructor(name, dice_.pick(kDurations), depth);
  }
}

std::string ExpressionWriter::receiver(int depth) {
  switch (dice_.below(6)) {
    case 0: return "context";
    case 1:
    case 2: return "principal";
    case 3: return "resource";
    case 4: return dice_.chance(50) ? "action" : entity_literal();
    default:
      return depth > 0 ? attribute(dice_.chance(50) ? Meant::kEntity : Meant::kRecord, depth - 1).text : "context";
  }
}

Written ExpressionWriter::attribute(Meant kind, int depth) {
  std::vector<std::string_view> names;
  for (const Attribute& attribute : kAttributes) {
    if (attribute.kind == kind) names.push_back(attribute.name);
  }
  const std::string_view name = dice_.chance(3) ? "missing" : dice_.pick(names);
  const std::string on =
      depth > 0 && dice_.chance(10) ? at_least(Written::kMember, Meant::kRecord, depth) : receiver(depth);
  if (cedar::is_identifier(name) && dice_.chance(85)) return {on + "." + std::string(name)};
  return {on + "[" + quoted(name) + "]"};
}

std::string ExpressionWriter::string_literal() {
  if (dice_.chance(20)) {
    constexpr std::array<std::string_view, 6> kEscaped = {"\\u{e9}", "\\x41",     "\\0",
                                                          "\\'",     "\\t\\r\\n", "\\u{01F600}z"};
    return "\"" + std::string(dice_.pick(kEscaped)) + "\"";
  }
  return quoted(dice_.pick(kStrings));
}

}  // namespace wary::test
