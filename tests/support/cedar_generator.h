// Random Cedar: policies, templates with links, entities and requests made from a seed, covering the whole language:
// every operator, extension values, tags, 64-bit edges, unknown entities, heterogeneous sets, and expressions that err.
// For comparing engines: the tree walker, a compiled one, another implementation.
//
//   const World world = make_world(42);
//   for (const cedar::Request& request : world.requests) {
//     cedar::StoreView view(world.store);
//     cedar::is_authorized(world.policies, request, view);
//   }
//
// The same seed and shape give the same world on every machine. Integers in entities and contexts stay within 2^53, so
// that a JavaScript implementation can be asked, too; those in policies do not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cedar/evaluator.h"

namespace wary::test {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::uint64_t number();
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(number() % bound); }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <typename List>
  const auto& pick(const List& list) {
    return list[below(list.size())];
  }

 private:
  std::uint64_t state_;
};

struct WorldShape {
  std::size_t policies = 10;
  std::size_t links = 4;     // of the templates, which are two
  std::size_t entities = 6;  // of each type
  std::size_t requests = 16;
  int depth = 4;  // of expressions
};

struct WorldLink {
  std::string template_id;
  std::string id;
  cedar::SlotValues values;
};

struct World {
  std::uint64_t seed = 0;
  std::string text;              // static policies and templates, with comments
  cedar::PolicySet policies;     // of `text`, numbered from policy0, and the links
  std::vector<WorldLink> links;  // as they were made
  std::vector<cedar::EntityHandle> entities;
  cedar::EntityStore store;  // of `entities`
  std::vector<cedar::Request> requests;
};

World make_world(std::uint64_t seed, const WorldShape& shape = {});

// One policy as text, and one expression that is meant to be a boolean.
std::string random_policy(Dice& dice, const WorldShape& shape, bool is_template);
std::string random_expression(Dice& dice, int depth);

// The same tokens with other blanks and comments between them.
std::string restyle(std::string_view text, Dice& dice);
// A text with a few tokens left out, doubled, swapped or replaced; seldom still a policy.
std::string mutate(std::string_view text, Dice& dice);

}  // namespace wary::test
