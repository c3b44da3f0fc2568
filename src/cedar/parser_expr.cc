// Expressions, from the loosest operator to the tightest, as the Cedar grammar has them.
#include <array>
#include <limits>

#include "cedar/parser_impl.h"

namespace wary::cedar {

namespace {

struct Method {
  std::string_view name;
  ExprKind kind;
  std::size_t arguments;
};
constexpr std::array<Method, 6> kMethods = {{
    {"contains", ExprKind::kContains, 1},
    {"containsAll", ExprKind::kContainsAll, 1},
    {"containsAny", ExprKind::kContainsAny, 1},
    {"isEmpty", ExprKind::kIsEmpty, 0},
    {"getTag", ExprKind::kGetTag, 1},
    {"hasTag", ExprKind::kHasTag, 1},
}};

const Method* find_method(std::string_view name) {
  for (const Method& method : kMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

std::optional<ExprKind> comparison_of(TokenKind token) {
  switch (token) {
    case TokenKind::kEqual: return ExprKind::kEqual;
    case TokenKind::kNotEqual: return ExprKind::kNotEqual;
    case TokenKind::kLess: return ExprKind::kLess;
    case TokenKind::kLessEqual: return ExprKind::kLessEqual;
    case TokenKind::kGreater: return ExprKind::kGreater;
    case TokenKind::kGreaterEqual: return ExprKind::kGreaterEqual;
    default: return std::nullopt;
  }
}

bool make_variable(std::string_view name, Expr& out) {
  for (const Variable variable : {Variable::kPrincipal, Variable::kAction, Variable::kResource, Variable::kContext}) {
    if (to_string(variable) != name) continue;
    out.kind = ExprKind::kVariable;
    out.variable = variable;
    return true;
  }
  return false;
}

}  // namespace

bool Parser::finish(Expr& node, std::uint32_t begin) {
  node.span = {begin, last_end()};
  std::uint16_t deepest = 0;
  for (const Expr& operand : node.operands) deepest = std::max(deepest, operand.depth);
  node.depth = static_cast<std::uint16_t>(deepest + 1);
  if (node.depth <= limits_.depth) return true;
  return refuse(node.span, "cedar_depth", "the expression is nested too deep",
                "at most " + std::to_string(limits_.depth) + " levels");
}

void Parser::wrap(Expr& inner, ExprKind kind) {
  Expr outer;
  outer.kind = kind;
  outer.operands.push_back(std::move(inner));
  inner = std::move(outer);
}

bool Parser::expression(Expr& out) {
  if (depth_ >= limits_.depth) {
    return refuse(peek().span, "cedar_depth", "the expression is nested too deep",
                  "at most " + std::to_string(limits_.depth) + " levels");
  }
  ++depth_;
  const bool parsed = is_word("if") ? if_expression(out) : or_expression(out);
  --depth_;
  return parsed;
}

// (a && b) && c is a && b && c: the operators are left associative, and the tree of both is one node.
void Parser::continue_or_wrap(Expr& first, ExprKind kind) {
  if (first.kind == kind) return;
  wrap(first, kind);
  if (kind == ExprKind::kAdd) first.subtracts.push_back(false);
}

bool Parser::if_expression(Expr& out) {
  const std::uint32_t begin = peek().span.begin;
  take_word("if");
  out.kind = ExprKind::kIf;
  out.operands.resize(3);
  if (!expression(out.operands[0])) return false;
  if (!take_word("then")) return refuse_found("then", "an `if` without its `then`");
  if (!expression(out.operands[1])) return false;
  if (!take_word("else"))
    return refuse_found("else", "an `if` without its `else`", "Cedar's `if` always has an `else`");
  return expression(out.operands[2]) && finish(out, begin);
}

bool Parser::or_expression(Expr& out) {
  const std::uint32_t begin = peek().span.begin;
  if (!and_expression(out)) return false;
  if (peek().kind != TokenKind::kOr) return true;
  continue_or_wrap(out, ExprKind::kOr);
  while (take(TokenKind::kOr)) {
    if (!and_expression(out.operands.emplace_back())) return false;
  }
  return finish(out, begin);
}

bool Parser::and_expression(Expr& out) {
  const std::uint32_t begin = peek().span.begin;
  if (!relation(out)) return false;
  if (peek().kind != TokenKind::kAnd) return true;
  continue_or_wrap(out, ExprKind::kAnd);
  while (take(TokenKind::kAnd)) {
    if (!relation(out.operands.emplace_back())) return false;
  }
  return finish(out, begin);
}

bool Parser::relation(Expr& out) {
  const std::uint32_t begin = peek().span.begin;
  if (!sum(out)) return false;
  const auto kind = comparison_of(peek().kind);
  if (kind || is_word("in")) {
    ++at_;
    if (!comparison(kind.value_or(ExprKind::kIn), out)) return false;
  } else if (peek().kind == TokenKind::kAssign) {
    return refuse_found("==", "a single `=`", "Cedar compares with ==");
  } else if (take_word("has")) {
    if (!has_tail(out)) return false;
  } else if (take_word("like")) {
    if (!like_tail(out)) return false;
  } else if (take_word("is")) {
    if (!is_tail(out)) return false;
  } else {
    return true;
  }
  if (!finish(out, begin)) return false;
  const bool again = comparison_of(peek().kind) || is_word("in") || is_word("has") || is_word("like") || is_word("is");
  return !again || refuse_found("&& or )", "comparisons do not chain", "put parentheses around one of them");
}

bool Parser::comparison(ExprKind kind, Expr& out) {
  wrap(out, kind);
  return sum(out.operands.emplace_back());
}

bool Parser::has_tail(Expr& out) {
  wrap(out, ExprKind::kHas);
  if (peek().kind == TokenKind::kString) {
    if (!string_value(out.names.emplace_back())) return false;
    out.has_string = !is_identifier(out.names.back());
    return true;
  }
  do {
    if (!identifier(out.names.emplace_back(), "an attribute name or a string")) return false;
    if (out.names.size() > limits_.depth) {
      return refuse(peek().span, "cedar_depth", "the attribute path is too long",
                    "at most " + std::to_string(limits_.depth) + " attributes");
    }
  } while (take(TokenKind::kDot));
  return true;
}

bool Parser::like_tail(Expr& out) {
  wrap(out, ExprKind::kLike);
  if (peek().kind != TokenKind::kString) {
    return refuse_found("a string", "`like` wants a pattern in quotes", "a pattern cannot be computed");
  }
  const Token token = peek();
  ++at_;
  return unescape_pattern(token_text(token), token.span.begin, out.pattern, refusal);
}

bool Parser::is_tail(Expr& out) {
  wrap(out, ExprKind::kIs);
  if (!type_name(out.name, "an entity type")) return false;
  return !take_word("in") || sum(out.operands.emplace_back());
}

bool Parser::sum(Expr& out) {
  const std::uint32_t begin = peek().span.begin;
  if (!product(out)) return false;
  if (peek().kind != TokenKind::kPlus && peek().kind != TokenKind::kMinus) return true;
  continue_or_wrap(out, ExprKind::kAdd);
  while (peek().kind == TokenKind::kPlus || peek().kind == TokenKind::kMinus) {
    out.subtracts.push_back(peek().kind == TokenKind::kMinus);
    ++at_;
    if (!product(out.operands.emplace_back())) return false;
  }
  return finish(out, begin);
}

bool Parser::product(Expr& out) {
  const std::uint32_t begin = peek().span.begin;
  if (!unary(out)) return false;
  if (peek().kind == TokenKind::kStar) {
    continue_or_wrap(out, ExprKind::kMultiply);
    while (take(TokenKind::kStar)) {
      if (!unary(out.operands.emplace_back())) return false;
    }
    if (!finish(out, begin)) return false;
  }
  if (peek().kind != TokenKind::kSlash && peek().kind != TokenKind::kPercent) return true;
  return refuse_found("*, + or -", "Cedar has no division and no remainder");
}

bool Parser::unary(Expr& out) {
  constexpr int kMax = 4;
  if (peek().kind == TokenKind::kMinus) return negation(out);
  const std::uint32_t begin = peek().span.begin;
  int count = 0;
  for (; take(TokenKind::kNot); ++count) {
    if (count == kMax) return refuse_found("at most four `!`", "too many `!` in a row");
  }
  if (count > 0 && peek().kind == TokenKind::kMinus)
    return refuse_found("an operand", "`-` after `!`", "use parentheses");
  if (!member(out)) return false;
  for (int i = 0; i < count; ++i) {
    wrap(out, ExprKind::kNot);
    if (!finish(out, begin)) return false;
  }
  return true;
}

bool Parser::negation(Expr& out) {
  constexpr int kMax = 4;
  const std::uint32_t begin = peek().span.begin;
  int count = 0;
  for (; take(TokenKind::kMinus); ++count) {
    if (count == kMax) return refuse_found("at most four `-`", "too many `-` in a row");
  }
  // A minus before a bare number is part of the number, or the smallest long could not be written.
  const TokenKind after = peek(1).kind;
  const bool bare_number = peek().kind == TokenKind::kNumber && after != TokenKind::kDot &&
                           after != TokenKind::kLeftBracket && after != TokenKind::kLeftParen;
  if (bare_number) {
    if (!number(true, out)) return false;
    --count;
    if (!finish(out, begin)) return false;
  } else if (peek().kind == TokenKind::kNot) {
    return refuse_found("an operand", "`!` after `-`", "use parentheses");
  } else if (!member(out)) {
    return false;
  }
  for (int i = 0; i < count; ++i) {
    wrap(out, ExprKind::kNegate);
    if (!finish(out, begin)) return false;
  }
  return true;
}

bool Parser::member(Expr& out) {
  const std::uint32_t begin = peek().span.begin;
  Primary start;
  if (!primary(start, out)) return false;
  if (start.kind == Primary::Kind::kName) {
    if (!first_access(start, out) || !finish(out, begin)) return false;
  }
  while (true) {
    const TokenKind next = peek().kind;
    if (next == TokenKind::kLeftParen) {
      return refuse_found("an operator", "only functions and methods are called", "an expression is not a function");
    }
    if (next != TokenKind::kDot && next != TokenKind::kLeftBracket) return true;
    if (!access(out) || !finish(out, begin)) return false;
  }
}

// A name is a function when it is called, and nothing else that stands in an expression.
bool Parser::first_access(Primary& start, Expr& out) {
  const Span at = {tokens_[at_ - 1].span.begin, last_end()};
  if (peek().kind == TokenKind::kLeftParen) return function(start.name, at, out);
  return refuse(
      at, "cedar_syntax", "a name that is no variable", "principal, action, resource, context or a function",
      "`" + start.name + "`",
      "attributes stand behind a variable: context." + start.name + "; strings in quotes; entities as Type::\"id\"");
}

bool Parser::access(Expr& out) {
  if (take(TokenKind::kLeftBracket)) {
    wrap(out, ExprKind::kGetAttribute);
    if (peek().kind != TokenKind::kString) {
      return refuse_found("a string", "only a string literal indexes", "attribute names cannot be computed");
    }
    return string_value(out.name) && want(TokenKind::kRightBracket, "]", "an index without its bracket");
  }
  take(TokenKind::kDot);
  const Span at = peek().span;
  std::string name;
  if (!identifier(name, "an attribute or method name")) return false;
  if (peek().kind == TokenKind::kLeftParen) return method(name, at, out);
  wrap(out, ExprKind::kGetAttribute);
  out.name = std::move(name);
  return true;
}

bool Parser::method(std::string_view name, Span at, Expr& out) {
  const ExtensionFunction* extension = find_extension(name);
  const Method* method = find_method(name);
  if (method == nullptr && (extension == nullptr || !extension->is_method)) {
    const bool is_function = extension != nullptr;
    return refuse(at, "cedar_method", is_function ? "a function called as a method" : "no such method", {},
                  "`" + std::string(name) + "`",
                  is_function ? "write " + std::string(name) + "(...)"
                              : std::string("sets have contains, containsAll, "
                                            "containsAny, isEmpty; entities hasTag, getTag"));
  }
  wrap(out, method != nullptr ? method->kind : ExprKind::kCall);
  if (extension != nullptr) out.call = extension->op;
  std::vector<Expr> arguments;
  if (!method_arguments(arguments)) return false;
  if (method != nullptr && arguments.size() != method->arguments) {
    return refuse({at.begin, last_end()}, "cedar_arity", "wrong number of arguments for " + std::string(name),
                  std::to_string(method->arguments), std::to_string(arguments.size()));
  }
  for (Expr& argument : arguments) out.operands.push_back(std::move(argument));
  return true;
}

bool Parser::method_arguments(std::vector<Expr>& out) {
  take(TokenKind::kLeftParen);
  while (!take(TokenKind::kRightParen)) {
    if (!expression(out.emplace_back())) return false;
    if (out.size() > limits_.items) return refuse(peek().span, "cedar_items", "too many arguments");
    if (peek().kind != TokenKind::kRightParen && !want(TokenKind::kComma, ", or )", "arguments are not closed")) {
      return false;
    }
  }
  return true;
}

bool Parser::function(const std::string& name, Span at, Expr& out) {
  const ExtensionFunction* extension = find_extension(name);
  if (extension == nullptr || extension->is_method) {
    const bool is_method = extension != nullptr || find_method(name) != nullptr;
    return refuse(at, "cedar_function", is_method ? "a method called as a function" : "no such function",
                  "ip, decimal, datetime or duration", "`" + name + "`",
                  is_method ? "write value." + name + "(...)" : std::string());
  }
  out.kind = ExprKind::kCall;
  out.call = extension->op;
  return method_arguments(out.operands);
}

bool Parser::primary(Primary& start, Expr& out) {
  const Token token = peek();
  switch (token.kind) {
    case TokenKind::kNumber: return number(false, out) && finish(out, token.span.begin);
    case TokenKind::kString: {
      std::string text;
      if (!string_value(text)) return false;
      out.literal = Value(text);
      return finish(out, token.span.begin);
    }
    case TokenKind::kLeftParen: {
      ++at_;
      return expression(out) && want(TokenKind::kRightParen, ")", "a parenthesis is not closed");
    }
    case TokenKind::kLeftBracket: return set_literal(out) && finish(out, token.span.begin);
    case TokenKind::kLeftBrace: return record_literal(out) && finish(out, token.span.begin);
    case TokenKind::kIdentifier: return name_or_reference(start, out);
    case TokenKind::kSlot:
      return refuse_found("an expression", "a template slot outside the scope",
                          "?principal and ?resource stand in the scope only, after == or in");
    default: return refuse_found("an expression", "no expression starts here");
  }
}

bool Parser::name_or_reference(Primary& start, Expr& out) {
  const Token first = peek();
  const std::string_view word = token_text(first);
  const bool qualified = peek(1).kind == TokenKind::kDoubleColon;
  if (!qualified && (word == "true" || word == "false")) {
    ++at_;
    out.literal = Value(word == "true");
    return finish(out, first.span.begin);
  }
  if (!qualified && make_variable(word, out)) {
    ++at_;
    return finish(out, first.span.begin);
  }
  std::string name;
  if (!identifier(name, "an expression")) return false;
  while (take(TokenKind::kDoubleColon)) {
    if (peek().kind == TokenKind::kString) {
      EntityUid uid{std::move(name), {}};
      if (!string_value(uid.id)) return false;
      out.literal = Value::entity(std::make_shared<const EntityUid>(std::move(uid)));
      return finish(out, first.span.begin);
    }
    std::string part;
    if (!identifier(part, "a name or an entity id in quotes")) return false;
    name += "::" + part;
  }
  start.kind = Primary::Kind::kName;
  start.name = std::move(name);
  return true;
}

bool Parser::number(bool negative, Expr& out) {
  const Token token = peek();
  ++at_;
  const std::uint64_t max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) + (negative ? 1 : 0);
  std::uint64_t magnitude = 0;
  for (const char c : token_text(token)) {
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (magnitude > (max - digit) / 10) {
      return refuse(token.span, "cedar_integer", "a number outside 64 bits",
                    "-9223372036854775808 to 9223372036854775807", describe(token, text_));
    }
    magnitude = magnitude * 10 + digit;
  }
  out.literal = Value(static_cast<std::int64_t>(negative ? ~magnitude + 1 : magnitude));
  return true;
}

bool Parser::set_literal(Expr& out) {
  take(TokenKind::kLeftBracket);
  out.kind = ExprKind::kSet;
  while (!take(TokenKind::kRightBracket)) {
    if (out.operands.size() == limits_.items) {
      return refuse(peek().span, "cedar_items", "too many elements", "at most " + std::to_string(limits_.items));
    }
    if (!expression(out.operands.emplace_back())) return false;
    if (peek().kind != TokenKind::kRightBracket && !want(TokenKind::kComma, ", or ]", "a set is not closed"))
      return false;
  }
  return true;
}

bool Parser::record_literal(Expr& out) {
  take(TokenKind::kLeftBrace);
  out.kind = ExprKind::kRecord;
  std::map<std::string, bool, std::less<>> seen;
  while (!take(TokenKind::kRightBrace)) {
    if (out.operands.size() == limits_.items) {
      return refuse(peek().span, "cedar_items", "too many attributes", "at most " + std::to_string(limits_.items));
    }
    const Token key = peek();
    std::string& name = out.names.emplace_back();
    if (!record_key(name)) return false;
    if (!seen.emplace(name, true).second) {
      return refuse(key.span, "cedar_duplicate_key", "a record names an attribute twice", {}, describe(key, text_));
    }
    if (!want(TokenKind::kColon, ":", "an attribute without its value")) return false;
    if (!expression(out.operands.emplace_back())) return false;
    if (peek().kind != TokenKind::kRightBrace && !want(TokenKind::kComma, ", or }", "a record is not closed"))
      return false;
  }
  return true;
}

bool Parser::record_key(std::string& out) {
  if (peek().kind == TokenKind::kString) return string_value(out);
  return identifier(out, "an attribute name or a string");
}

bool Parser::string_value(std::string& out) {
  const Token token = peek();
  ++at_;
  return unescape_string(token_text(token), token.span.begin, out, refusal);
}

}  // namespace wary::cedar
