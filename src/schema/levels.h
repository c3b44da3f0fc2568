// Level validation (RFC 76): how many steps from entity to entity an expression takes, so that a host can tell how deep
// it must load entities. Private to schema/.
//
// Works on a typed expression; what was not typed is not evaluated and not looked at. Time is linear in the expression.
#pragma once

#include "schema/typechecker.h"

namespace wary::schema {

class LevelChecker {
 public:
  LevelChecker(const Schema& schema, const Environment& environment, const Typechecker::Types& types,
               std::uint32_t level, Report& report)
      : schema_(schema), environment_(environment), types_(types), level_(level), report_(report) {}

  void check(const cedar::Expr& e);

 private:
  using Path = std::vector<std::string_view>;
  const Type* type_of(const cedar::Expr& e) const;
  void check_operands(const cedar::Expr& e);
  void check_has(const cedar::Expr& e);
  // Steps to reach the entity that `path` names inside of the expression.
  std::uint32_t reach(const cedar::Expr& e, Path path);
  std::uint32_t reach_in_record(const cedar::Expr& e, Path path);
  void dereference(const cedar::Expr& at, std::uint32_t steps);

  const Schema& schema_;
  const Environment& environment_;
  const Typechecker::Types& types_;
  std::uint32_t level_;
  Report& report_;
};

}  // namespace wary::schema
