// The parser's inside, shared by its two files: parser.cc (policies) and parser_expr.cc (expressions). Private to
// cedar/.
//
// Recursive descent. Each function returns false after it set `refusal`; the caller returns at once. Depth is counted
// on the way down (so the parser's own stack is bounded) and on the way up (so every tree is bounded for its walkers).
#pragma once

#include <string_view>
#include <vector>

#include "base/limits.h"
#include "cedar/ast.h"

namespace wary::cedar {

class Parser {
 public:
  Parser(std::string_view text, const std::vector<Token>& tokens, const Limits& limits)
      : text_(text), tokens_(tokens), limits_(limits) {}

  bool policy(PolicyBody& out);
  bool expression(Expr& out);
  bool entity_reference(EntityPtr& out);

  bool at_end() const { return peek().kind == TokenKind::kEnd; }
  // Past the next semicolon, for going on after an error.
  void skip_policy();
  const Token& peek(std::size_t ahead = 0) const;
  bool refuse_found(std::string_view expected, std::string_view message, std::string_view hint = {});

  Refusal refusal;

 private:
  // What a member expression may start with besides an expression: names become calls or types.
  struct Primary {
    enum class Kind { kExpression, kName } kind = Kind::kExpression;
    std::string name;  // "ip", "A::b"
  };

  // parser.cc
  bool annotations(PolicyBody& out);
  bool effect(PolicyBody& out);
  bool scope(PolicyBody& out);
  bool scope_variable(std::string_view name, ScopeConstraint& out);
  bool scope_target(Variable variable, ScopeConstraint& out);
  bool scope_list(ScopeConstraint& out);
  std::size_t take_parentheses();
  bool close_parentheses(std::size_t count);
  bool action_types(const ScopeConstraint& action);
  bool condition(Condition& out);

  // parser_expr.cc
  bool if_expression(Expr& out);
  bool or_expression(Expr& out);
  bool and_expression(Expr& out);
  bool relation(Expr& out);
  bool comparison(ExprKind kind, Expr& out);
  bool has_tail(Expr& out);
  bool like_tail(Expr& out);
  bool is_tail(Expr& out);
  bool sum(Expr& out);
  bool product(Expr& out);
  bool unary(Expr& out);
  bool negation(Expr& out);
  bool member(Expr& out);
  bool first_access(Primary& primary, Expr& out);
  bool access(Expr& out);
  bool method(std::string_view name, Span at, Expr& out);
  bool method_arguments(std::vector<Expr>& out);
  bool function(const std::string& name, Span at, Expr& out);
  bool primary(Primary& kind, Expr& out);
  bool name_or_reference(Primary& kind, Expr& out);
  bool number(bool negative, Expr& out);
  bool set_literal(Expr& out);
  bool record_literal(Expr& out);
  bool record_key(std::string& out);
  bool string_value(std::string& out);

  bool type_name(std::string& out, std::string_view expected);
  bool identifier(std::string& out, std::string_view expected);      // not a reserved word
  bool any_identifier(std::string& out, std::string_view expected);  // reserved words too
  bool check_name(std::string_view name, Span at);

  std::string_view token_text(const Token& token) const {
    return text_.substr(token.span.begin, token.span.end - token.span.begin);
  }
  bool is_word(std::string_view word, std::size_t ahead = 0) const;
  bool take(TokenKind kind);
  bool take_word(std::string_view word);
  bool want(TokenKind kind, std::string_view expected, std::string_view message, std::string_view hint = {});
  bool refuse(Span at, std::string_view code, std::string_view message, std::string_view expected = {},
              std::string_view found = {}, std::string_view hint = {});
  // Sets the depth of a node from its operands, and its span to reach the last token taken.
  bool finish(Expr& node, std::uint32_t begin);
  // Makes `inner` the first operand of a new node that takes its place.
  static void wrap(Expr& inner, ExprKind kind);
  static void continue_or_wrap(Expr& first, ExprKind kind);
  std::uint32_t last_end() const { return at_ > 0 ? tokens_[at_ - 1].span.end : 0; }

  std::string_view text_;
  const std::vector<Token>& tokens_;
  Limits limits_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
};

}  // namespace wary::cedar
