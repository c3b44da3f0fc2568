#include "tests/support/cedar_generator.h"

#include <algorithm>
#include <array>
#include <memory>

#include "base/check.h"
#include "cedar/lexer.h"
#include "cedar/parser.h"
#include "tests/support/cedar_generator_expr.h"

namespace wary::test {

namespace {

using cedar::EntityPtr;
using cedar::Value;

constexpr std::size_t kActions = 4;

Value random_string(Dice& dice) { return Value(dice.pick(kStrings)); }

// One id more than a world has entities, so that some point nowhere.
EntityPtr random_entity(Dice& dice, const WorldShape& shape) {
  return cedar::make_entity(dice.pick(kTypes), std::to_string(dice.below(shape.entities + 1)));
}

template <typename List, typename Parse>
Value random_extension(Dice& dice, const List& list, Parse parse) {
  const auto parsed = parse(dice.pick(list));
  return parsed.ok() ? Value(*parsed) : Value(false);
}

Value random_value(Dice& dice, const WorldShape& shape, Meant kind, int depth);

Value random_set(Dice& dice, const WorldShape& shape, Meant element) {
  Value::Set items;
  for (std::size_t i = dice.below(5); i > 0; --i) {
    // No datetimes there: some have no JSON form that every reader takes inside a set.
    const Meant kind = dice.chance(8) ? static_cast<Meant>(dice.below(3)) : element;
    items.push_back(random_value(dice, shape, kind, 0));
  }
  return Value::set(std::move(items));
}

Value::Record random_attributes(Dice& dice, const WorldShape& shape, int depth) {
  Value::Record out;
  for (const Attribute& attribute : kAttributes) {
    if (!dice.chance(depth > 0 ? 70 : 35)) continue;
    const Meant kind = dice.chance(5) ? static_cast<Meant>(dice.below(kMeantCount)) : attribute.kind;
    out.emplace_back(std::string(attribute.name), random_value(dice, shape, kind, depth - 1));
  }
  return out;
}

Value random_value(Dice& dice, const WorldShape& shape, Meant kind, int depth) {
  switch (kind) {
    case Meant::kBool: return Value(dice.chance(50));
    case Meant::kLong: {
      constexpr std::array<std::int64_t, 10> kLongs = {
          0, 1, -1, 2, 3, 7, 10, 100, 9'007'199'254'740'991, -9'007'199'254'740'991};
      return Value(dice.pick(kLongs));
    }
    case Meant::kString: return random_string(dice);
    case Meant::kEntity: return Value::entity(random_entity(dice, shape));
    case Meant::kEntities: return random_set(dice, shape, Meant::kEntity);
    case Meant::kLongs: return random_set(dice, shape, Meant::kLong);
    case Meant::kRecord: return Value::record(depth > 0 ? random_attributes(dice, shape, depth - 1) : Value::Record());
    case Meant::kIp: return random_extension(dice, kAddresses, cedar::parse_ip);
    case Meant::kDecimal: return random_extension(dice, kDecimals, cedar::parse_decimal);
    case Meant::kDatetime: return random_extension(dice, kDatetimes, cedar::parse_datetime);
    case Meant::kDuration: return random_extension(dice, kDurations, cedar::parse_duration);
  }
  return {};
}

// Parents have a higher number, or a later type: no cycles.
void add_parents(Dice& dice, const WorldShape& shape, std::size_t type, std::size_t number, cedar::Entity& entity) {
  for (std::size_t i = dice.below(4); i > 0; --i) {
    const std::size_t parent_type = type + dice.below(kTypes.size() - type);
    const std::size_t lowest = parent_type == type ? number + 1 : 0;
    if (lowest > shape.entities) continue;
    const std::size_t parent = lowest + dice.below(shape.entities + 1 - lowest);
    const EntityPtr uid = cedar::make_entity(kTypes[parent_type], std::to_string(parent));
    bool is_there = false;
    for (const EntityPtr& other : entity.parents) is_there = is_there || *other == *uid;
    if (!is_there) entity.parents.push_back(uid);
  }
}

std::vector<cedar::EntityHandle> random_entities(Dice& dice, const WorldShape& shape) {
  std::vector<cedar::EntityHandle> out;
  for (std::size_t type = 0; type < kTypes.size(); ++type) {
    for (std::size_t number = 0; number < shape.entities; ++number) {
      if (dice.chance(10)) continue;
      auto entity = std::make_shared<cedar::Entity>();
      entity->uid = cedar::make_entity(kTypes[type], std::to_string(number));
      entity->attributes = *Value::record(random_attributes(dice, shape, 2)).as_record();
      Value::Record tags;
      for (const std::string_view tag : kTags) {
        if (dice.chance(40)) tags.emplace_back(std::string(tag), random_value(dice, shape, Meant::kLong, 0));
      }
      entity->tags = *Value::record(std::move(tags)).as_record();
      add_parents(dice, shape, type, number, *entity);
      out.push_back(std::move(entity));
    }
  }
  for (std::size_t number = 0; number < kActions; ++number) {
    auto action = std::make_shared<cedar::Entity>();
    action->uid = cedar::make_entity("Action", "a" + std::to_string(number));
    if (dice.chance(50)) action->parents.push_back(cedar::make_entity("Action", "a" + std::to_string(number + 1)));
    out.push_back(std::move(action));
  }
  return out;
}

std::string random_action(Dice& dice) { return "Action::\"a" + std::to_string(dice.below(kActions + 1)) + "\""; }

std::string scope_part(Dice& dice, std::string_view name, bool has_slot) {
  ExpressionWriter writer(dice);
  const std::string variable(name);
  const std::string target = has_slot ? "?" + variable : writer.entity_literal();
  const std::string type(dice.pick(kTypes));
  const std::size_t form = has_slot ? 2 + dice.below(3) : dice.below(7);
  switch (form) {
    case 1: return variable + " is " + type;
    case 2: return variable + " == " + target;
    case 3: return variable + " in " + target;
    case 4: return variable + " is " + type + " in " + target;
    default: return variable;
  }
}

std::string action_part(Dice& dice) {
  switch (dice.below(5)) {
    case 0: return "action == " + random_action(dice);
    case 1: return "action in " + random_action(dice);
    case 2: {
      std::string out = "action in [";
      for (std::size_t i = dice.below(4); i > 0; --i)
        out += random_action(dice) + (i > 1 || dice.chance(15) ? ", " : "");
      return out + "]";
    }
    default: return "action";
  }
}

std::string random_annotations(Dice& dice) {
  constexpr std::array<std::string_view, 5> kNames = {"id", "advice", "if", "_x", "permit"};
  std::string out;
  for (const std::string_view name : kNames) {
    if (!dice.chance(8)) continue;
    out += "@" + std::string(name);
    if (dice.chance(75)) out += "(" + quoted(dice.pick(kStrings)) + ")";
    out += "\n";
  }
  return out;
}

cedar::Request random_request(Dice& dice, const WorldShape& shape) {
  cedar::Request request;
  request.principal =
      dice.chance(70) ? cedar::make_entity("U", std::to_string(dice.below(std::max<std::size_t>(shape.entities, 1))))
                      : random_entity(dice, shape);
  request.resource = random_entity(dice, shape);
  request.action = cedar::make_entity("Action", "a" + std::to_string(dice.below(kActions + 1)));
  request.context = Value::record(random_attributes(dice, shape, 2));
  return request;
}

struct TokenTexts {
  std::vector<std::string> tokens;
};
TokenTexts tokens_of(std::string_view text) {
  std::vector<cedar::Refusal> refusals;
  TokenTexts out;
  for (const cedar::Token& token : cedar::tokenize(text, refusals)) {
    if (token.kind != cedar::TokenKind::kEnd) {
      out.tokens.emplace_back(text.substr(token.span.begin, token.span.end - token.span.begin));
    }
  }
  return out;
}

std::string joined(const std::vector<std::string>& tokens) {
  std::string out;
  for (const std::string& token : tokens) out += (out.empty() ? "" : " ") + token;
  return out;
}

void link_templates(World& world, Dice& dice, const WorldShape& shape) {
  if (world.policies.templates().empty()) return;
  for (std::size_t i = 0; i < shape.links; ++i) {
    const cedar::Policy& from = dice.pick(world.policies.templates());
    WorldLink link{from.id, "link" + std::to_string(i), {}};
    if (from.body->principal.is_slot) link.values.principal = random_entity(dice, shape);
    if (from.body->resource.is_slot) link.values.resource = random_entity(dice, shape);
    WARY_CHECK(world.policies.link(link.template_id, link.id, link.values).ok());
    world.links.push_back(std::move(link));
  }
}

}  // namespace

// SplitMix64 (Steele, Lea, Flood 2014).
std::uint64_t Dice::number() {
  std::uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

std::string random_expression(Dice& dice, int depth) { return ExpressionWriter(dice).write(Meant::kBool, depth).text; }

std::string random_policy(Dice& dice, const WorldShape& shape, bool is_template) {
  const bool principal_slot = is_template && dice.chance(70);
  const bool resource_slot = is_template && (!principal_slot || dice.chance(50));
  std::string out = random_annotations(dice) + (dice.chance(70) ? "permit" : "forbid") + " (" +
                    scope_part(dice, "principal", principal_slot) + ", " + action_part(dice) + ", " +
                    scope_part(dice, "resource", resource_slot) + (dice.chance(5) ? "," : "") + ")";
  constexpr std::array<std::size_t, 6> kConditions = {0, 1, 1, 1, 2, 3};
  for (std::size_t i = dice.pick(kConditions); i > 0; --i) {
    out += (dice.chance(70) ? "\nwhen { " : "\nunless { ") + random_expression(dice, shape.depth) + " }";
  }
  return out + ";\n";
}

std::string restyle(std::string_view text, Dice& dice) {
  std::string out;
  for (const std::string& token : tokens_of(text).tokens) {
    out += token;
    switch (dice.below(14)) {
      case 0: out += "\n"; break;
      case 1: out += "\t\r\n  "; break;
      case 2: out += dice.chance(50) ? " // a note\n" : "\n// a line of its own\n// and one more\n"; break;
      default: out += " "; break;
    }
  }
  return out;
}

std::string mutate(std::string_view text, Dice& dice) {
  constexpr std::array<std::string_view, 24> kTokens = {
      "(", ")",  "{",   "}",  "[",  "]", ",",    ".",     ";",       "::", "==",   "-",
      "!", "in", "has", "is", "if", "@", "like", "\"x\"", "__cedar", "1",  "when", "?principal"};
  std::vector<std::string> tokens = tokens_of(text).tokens;
  for (std::size_t i = 1 + dice.below(2); i > 0 && !tokens.empty(); --i) {
    const std::size_t at = dice.below(tokens.size());
    switch (dice.below(5)) {
      case 0: tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(at)); break;
      case 1: tokens.insert(tokens.begin() + static_cast<std::ptrdiff_t>(at), std::string(tokens[at])); break;
      case 2: std::swap(tokens[at], tokens[dice.below(tokens.size())]); break;
      case 3: tokens[at] = dice.pick(kTokens); break;
      default: tokens.insert(tokens.begin() + static_cast<std::ptrdiff_t>(at), std::string(dice.pick(kTokens))); break;
    }
  }
  return joined(tokens);
}

World make_world(std::uint64_t seed, const WorldShape& shape) {
  Dice dice(seed);
  World world;
  world.seed = seed;
  std::string text;
  for (std::size_t i = 0; i < shape.policies; ++i) text += random_policy(dice, shape, false);
  if (shape.links > 0) text += random_policy(dice, shape, true) + random_policy(dice, shape, true);
  world.text = restyle(text, dice);
  const auto parsed = cedar::parse_policies(cedar::Source::make("world " + std::to_string(seed), world.text));
  WARY_CHECK(parsed.errors.empty());
  world.policies = cedar::PolicySet::from(parsed.policies);
  link_templates(world, dice, shape);
  world.entities = random_entities(dice, shape);
  auto store = cedar::EntityStore::make(world.entities);
  WARY_CHECK(store.ok());
  world.store = std::move(*store);
  for (std::size_t i = 0; i < shape.requests; ++i) world.requests.push_back(random_request(dice, shape));
  return world;
}

}  // namespace wary::test
