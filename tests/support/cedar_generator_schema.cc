#include "tests/support/cedar_generator_schema.h"

#include <array>

#include "tests/support/cedar_generator_expr.h"

namespace wary::test {

namespace {

std::string type_of(Dice& dice, Meant kind, int depth);

std::string attributes(Dice& dice, int depth) {
  std::string out = "{";
  for (const Attribute& attribute : kAttributes) {
    if (!dice.chance(depth > 0 ? 75 : 40)) continue;
    const Meant kind = dice.chance(6) ? static_cast<Meant>(dice.below(kMeantCount)) : attribute.kind;
    out += (attribute.name == "a b" ? quoted(attribute.name) : std::string(attribute.name)) +
           (dice.chance(35) ? "?: " : ": ") + type_of(dice, kind, depth - 1) + ", ";
  }
  return out + "}";
}

std::string type_of(Dice& dice, Meant kind, int depth) {
  switch (kind) {
    case Meant::kBool: return "Bool";
    case Meant::kLong: return "Long";
    case Meant::kString: return "String";
    case Meant::kEntity: return std::string(dice.pick(kTypes));
    case Meant::kEntities: return "Set<" + std::string(dice.pick(kTypes)) + ">";
    case Meant::kLongs: return "Set<Long>";
    case Meant::kRecord: return depth > 0 ? attributes(dice, depth - 1) : "{}";
    case Meant::kIp: return "ipaddr";
    case Meant::kDecimal: return "decimal";
    case Meant::kDatetime: return "datetime";
    case Meant::kDuration: return "duration";
  }
  return "Bool";
}

// Some of the types, from `first` on; may be none.
std::string some_types(Dice& dice, std::size_t first, unsigned percent) {
  std::string out;
  for (std::size_t i = first; i < kTypes.size(); ++i) {
    if (dice.chance(percent)) out += (out.empty() ? "" : ", ") + std::string(kTypes[i]);
  }
  return out;
}

std::string entity_declaration(Dice& dice, std::size_t number, std::string_view name) {
  std::string out = "entity " + std::string(name);
  const std::string parents = some_types(dice, number, 50);
  if (!parents.empty()) out += " in [" + parents + "]";
  if (dice.chance(85)) out += " " + attributes(dice, 2);
  if (dice.chance(50)) out += std::string(" tags ") + (dice.chance(80) ? "Long" : "String");
  return out + ";\n";
}

std::string action_declaration(Dice& dice, int number) {
  std::string out = "action a" + std::to_string(number);
  if (number < 4 && dice.chance(50)) out += " in [a" + std::to_string(number + 1) + "]";
  std::string principals = some_types(dice, 0, 60);
  std::string resources = some_types(dice, 0, 60);
  if (principals.empty()) principals = kTypes[0];
  if (resources.empty()) resources = kTypes[2];
  if (dice.chance(85)) {
    out += " appliesTo { principal: [" + principals + "], resource: [" + resources + "]";
    if (dice.chance(80)) out += ", context: " + attributes(dice, 2);
    out += " }";
  }
  return out + ";\n";
}

// `principal.n`, and a condition under which it is there.
std::string guarded(Dice& dice, std::string_view variable, const Attribute& attribute, std::string_view test) {
  const std::string name =
      attribute.name == "a b" ? "[" + quoted(attribute.name) + "]" : "." + std::string(attribute.name);
  const std::string present = attribute.name == "a b" ? quoted(attribute.name) : std::string(attribute.name);
  const std::string value = std::string(variable) + name + std::string(test);
  if (dice.chance(25)) return value;
  return "(" + std::string(variable) + " has " + present + (dice.chance(90) ? " && " : " || ") + value + ")";
}

std::string tame_test(Dice& dice) {
  constexpr std::array<std::string_view, 3> kVariables = {"principal", "resource", "context"};
  const std::string_view variable = dice.pick(kVariables);
  switch (dice.below(10)) {
    case 0: return guarded(dice, variable, kAttributes[0], "");
    case 1: return guarded(dice, variable, kAttributes[1], " < 3");
    case 2: return guarded(dice, variable, kAttributes[3], " like \"x*\"");
    case 3: return guarded(dice, variable, kAttributes[4], " == principal");
    case 4: return guarded(dice, variable, kAttributes[6], ".contains(resource)");
    case 5: return guarded(dice, variable, kAttributes[7], ".containsAny([1, 2])");
    case 6: return guarded(dice, variable, kAttributes[9], ".isInRange(ip(\"10.0.0.0/8\"))");
    case 7: return guarded(dice, variable, kAttributes[8], ".n == 1");
    case 8: return "(principal.hasTag(\"k\") && principal.getTag(\"k\") > 1)";
    default: return "principal in resource";
  }
}

}  // namespace

std::string random_schema(Dice& dice) {
  std::string out = entity_declaration(dice, 0, "U") + entity_declaration(dice, 1, "G");
  out += "namespace N {\n" + entity_declaration(dice, 2, "R") + "}\n";
  out += "namespace N::M {\n" + entity_declaration(dice, 3, "F") + "}\n";
  for (int i = 0; i < 5; ++i) out += action_declaration(dice, i);
  return out;
}

std::string random_tame_policy(Dice& dice) {
  const auto scope = [&](std::string_view name) {
    const std::string type(dice.pick(kTypes));
    switch (dice.below(4)) {
      case 0: return std::string(name) + " is " + type;
      case 1: return std::string(name) + " == " + type + "::\"1\"";
      case 2: return std::string(name) + " in " + type + "::\"1\"";
      default: return std::string(name);
    }
  };
  const std::string action =
      dice.chance(60) ? "action == Action::\"a" + std::to_string(dice.below(5)) + "\"" : "action in Action::\"a4\"";
  std::string out = dice.chance(70) ? "permit (" : "forbid (";
  out += scope("principal") + ", " + action + ", " + scope("resource") + ")";
  for (std::size_t i = dice.below(3); i > 0; --i) {
    out += (dice.chance(70) ? " when { " : " unless { ") + tame_test(dice) +
           (dice.chance(30) ? " && " + tame_test(dice) : "") + " }";
  }
  return out + ";\n";
}

}  // namespace wary::test
