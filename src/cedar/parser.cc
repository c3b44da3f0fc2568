#include "cedar/parser.h"

#include <algorithm>
#include <array>

#include "cedar/parser_impl.h"

namespace wary::cedar {

namespace {

constexpr std::size_t kErrorsMax = 50;

bool is_reserved_word(std::string_view word) {
  constexpr std::array<std::string_view, 9> kReserved = {"true", "false", "if",   "then", "else",
                                                         "in",   "is",    "like", "has"};
  return std::find(kReserved.begin(), kReserved.end(), word) != kReserved.end();
}

Refusal make_refusal(std::string_view code, std::string_view message, std::string_view expected) {
  Refusal refusal;
  refusal.code = code;
  refusal.message = message;
  refusal.expected = expected;
  return refusal;
}

// The tokens of a text that may be parsed at all.
std::vector<Token> scan(const Source& source, const Limits& limits, std::vector<Refusal>& refusals) {
  const std::string& text = source.text();
  if (text.size() > limits.bytes) {
    refusals.push_back(
        make_refusal("cedar_size", "the text is too long", "at most " + std::to_string(limits.bytes) + " bytes"));
  } else if (!is_valid_utf8(text)) {
    refusals.push_back(make_refusal("cedar_utf8", "the text is not UTF-8", "UTF-8"));
  } else {
    return tokenize(text, refusals);
  }
  return {Token{}};
}

}  // namespace

const Token& Parser::peek(std::size_t ahead) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }

bool Parser::is_word(std::string_view word, std::size_t ahead) const {
  const Token& token = peek(ahead);
  return token.kind == TokenKind::kIdentifier && token_text(token) == word;
}

bool Parser::take(TokenKind kind) {
  if (peek().kind != kind || kind == TokenKind::kEnd) return false;
  ++at_;
  return true;
}

bool Parser::take_word(std::string_view word) {
  if (!is_word(word)) return false;
  ++at_;
  return true;
}

bool Parser::want(TokenKind kind, std::string_view expected, std::string_view message, std::string_view hint) {
  return take(kind) || refuse_found(expected, message, hint);
}

bool Parser::refuse(Span at, std::string_view code, std::string_view message, std::string_view expected,
                    std::string_view found, std::string_view hint) {
  refusal = {std::string(code), std::string(message), std::string(expected), std::string(found), std::string(hint), at};
  return false;
}

bool Parser::refuse_found(std::string_view expected, std::string_view message, std::string_view hint) {
  return refuse(peek().span, "cedar_syntax", message, expected, describe(peek(), text_), hint);
}

void Parser::skip_policy() {
  while (!at_end() && !take(TokenKind::kSemicolon)) ++at_;
  depth_ = 0;
}

bool Parser::any_identifier(std::string& out, std::string_view expected) {
  if (peek().kind != TokenKind::kIdentifier) return refuse_found(expected, "a name is missing");
  out = token_text(peek());
  ++at_;
  return true;
}

bool Parser::identifier(std::string& out, std::string_view expected) {
  const Token token = peek();
  return any_identifier(out, expected) && check_name(out, token.span);
}

bool Parser::check_name(std::string_view name, Span at) {
  if (is_reserved_word(name)) {
    return refuse(at, "cedar_reserved", "a reserved word is not a name", {}, "`" + std::string(name) + "`",
                  "attributes with such a name are written [\"" + std::string(name) + "\"]");
  }
  return name != "__cedar" || refuse(at, "cedar_reserved", "__cedar is reserved", {}, "`__cedar`");
}

bool Parser::type_name(std::string& out, std::string_view expected) {
  if (!identifier(out, expected)) return false;
  while (take(TokenKind::kDoubleColon)) {
    std::string part;
    if (!identifier(part, "a name")) return false;
    out += "::" + part;
  }
  return true;
}

bool Parser::policy(PolicyBody& out) {
  const std::uint32_t begin = peek().span.begin;
  if (!annotations(out) || !effect(out) || !scope(out)) return false;
  while (!take(TokenKind::kSemicolon)) {
    if (peek().kind != TokenKind::kIdentifier) {
      return refuse_found("when, unless or ;", "a policy is not closed", "every policy ends with a semicolon");
    }
    if (!condition(out.conditions.emplace_back())) return false;
  }
  out.span = {begin, last_end()};
  return true;
}

bool Parser::annotations(PolicyBody& out) {
  while (take(TokenKind::kAt)) {
    const Token key = peek();
    Annotation annotation;
    if (!any_identifier(annotation.name, "the annotation's name")) return false;
    if (out.annotation(annotation.name) != nullptr) {
      return refuse(key.span, "cedar_duplicate_annotation", "an annotation stands twice", {}, describe(key, text_));
    }
    if (take(TokenKind::kLeftParen)) {
      if (peek().kind != TokenKind::kString) return refuse_found("a string", "an annotation's value is a string");
      if (!string_value(annotation.value.emplace())) return false;
      if (!want(TokenKind::kRightParen, ")", "an annotation is not closed")) return false;
    }
    if (out.annotations.size() == 64) return refuse(key.span, "cedar_items", "too many annotations", "at most 64");
    out.annotations.push_back(std::move(annotation));
  }
  return true;
}

bool Parser::effect(PolicyBody& out) {
  if (take_word("permit"))
    out.effect = Effect::kPermit;
  else if (take_word("forbid"))
    out.effect = Effect::kForbid;
  else
    return refuse_found("permit or forbid", "a policy starts with its effect");
  return true;
}

bool Parser::scope(PolicyBody& out) {
  constexpr std::string_view kHint = "the scope is (principal, action, resource), each with an optional constraint";
  if (!want(TokenKind::kLeftParen, "(", "a policy without its scope", kHint)) return false;
  if (!scope_variable("principal", out.principal)) return false;
  if (!want(TokenKind::kComma, ", action", "the scope is not complete", kHint)) return false;
  if (!scope_variable("action", out.action) || !action_types(out.action)) return false;
  if (!want(TokenKind::kComma, ", resource", "the scope is not complete", kHint)) return false;
  if (!scope_variable("resource", out.resource)) return false;
  take(TokenKind::kComma);
  return want(TokenKind::kRightParen, ")", "the scope is not closed",
              "conditions stand behind the scope: when { ... }");
}

bool Parser::scope_variable(std::string_view name, ScopeConstraint& out) {
  const std::uint32_t begin = peek().span.begin;
  const Variable variable = name == "principal" ? Variable::kPrincipal
                            : name == "action"  ? Variable::kAction
                                                : Variable::kResource;
  if (!take_word(name)) {
    return refuse_found(name, "the scope is (principal, action, resource)", "all three stand there, in this order");
  }
  if (peek().kind == TokenKind::kColon) return refuse_found(", or ==", "types are written with `is`");
  const bool is_action = variable == Variable::kAction;
  if (is_word("is") && is_action) return refuse_found("== or in", "an action has no `is` in the scope");
  if (take_word("is")) {
    out.kind = ScopeConstraint::Kind::kIs;
    if (!type_name(out.type, "an entity type")) return false;
    if (peek().kind == TokenKind::kEqual)
      return refuse_found("in", "`is` and == together", "== names the type already");
  }
  if (take_word("in")) {
    out.kind = out.kind == ScopeConstraint::Kind::kIs ? ScopeConstraint::Kind::kIsIn : ScopeConstraint::Kind::kIn;
    if (!scope_target(variable, out)) return false;
    if (is_word("is"))
      return refuse_found(",", "`is` after `in`", "write: " + std::string(name) + " is Type in entity");
  } else if (take(TokenKind::kEqual)) {
    out.kind = ScopeConstraint::Kind::kEqual;
    if (!scope_target(variable, out)) return false;
  } else if (out.kind == ScopeConstraint::Kind::kAny && peek().kind != TokenKind::kComma &&
             peek().kind != TokenKind::kRightParen) {
    return refuse_found("==, in, is or ,", "a scope constraint that Cedar does not have",
                        "other tests go into when { ... }");
  }
  out.span = {begin, last_end()};
  return true;
}

// What stands behind == or in. Parentheses may enclose it, as they may enclose each element of a list.
bool Parser::scope_target(Variable variable, ScopeConstraint& out) {
  const std::size_t parentheses = take_parentheses();
  if (peek().kind == TokenKind::kSlot) {
    const std::string_view wanted = variable == Variable::kPrincipal  ? "?principal"
                                    : variable == Variable::kResource ? "?resource"
                                                                      : "an entity";
    if (token_text(peek()) != wanted) return refuse_found(wanted, "a slot that does not belong here");
    ++at_;
    out.is_slot = true;
  } else if (peek().kind == TokenKind::kLeftBracket) {
    if (variable != Variable::kAction || out.kind != ScopeConstraint::Kind::kIn) {
      return refuse_found("Type::\"id\"", "a list of entities stands in the scope only after `action in`");
    }
    if (!scope_list(out)) return false;
  } else if (!entity_reference(out.entities.emplace_back())) {
    return false;
  }
  return close_parentheses(parentheses);
}

std::size_t Parser::take_parentheses() {
  std::size_t count = 0;
  while (take(TokenKind::kLeftParen)) ++count;
  return count;
}

bool Parser::close_parentheses(std::size_t count) {
  for (; count > 0; --count) {
    if (!want(TokenKind::kRightParen, ")", "a parenthesis is not closed")) return false;
  }
  return true;
}

bool Parser::scope_list(ScopeConstraint& out) {
  take(TokenKind::kLeftBracket);
  out.is_list = true;
  while (!take(TokenKind::kRightBracket)) {
    if (out.entities.size() == limits_.items) return refuse(peek().span, "cedar_items", "too many actions");
    const std::size_t parentheses = take_parentheses();
    if (!entity_reference(out.entities.emplace_back()) || !close_parentheses(parentheses)) return false;
    if (peek().kind != TokenKind::kRightBracket && !want(TokenKind::kComma, ", or ]", "a list is not closed"))
      return false;
  }
  return true;
}

bool Parser::action_types(const ScopeConstraint& action) {
  for (const EntityPtr& uid : action.entities) {
    const std::size_t separator = uid->type.rfind("::");
    const std::string_view last =
        std::string_view(uid->type).substr(separator == std::string::npos ? 0 : separator + 2);
    if (last == "Action") continue;
    return refuse(action.span, "cedar_action_type", "an action whose type is not Action", "Action::\"...\"",
                  uid->to_string());
  }
  return true;
}

bool Parser::entity_reference(EntityPtr& out) {
  constexpr std::string_view kExpected = "an entity: Type::\"id\"";
  EntityUid uid;
  if (!identifier(uid.type, kExpected)) return false;
  while (true) {
    if (!want(TokenKind::kDoubleColon, kExpected, "an entity without its id")) return false;
    if (peek().kind == TokenKind::kString) break;
    std::string part;
    if (!identifier(part, "a name or an id in quotes")) return false;
    uid.type += "::" + part;
  }
  if (!string_value(uid.id)) return false;
  out = std::make_shared<const EntityUid>(std::move(uid));
  return true;
}

bool Parser::condition(Condition& out) {
  const std::uint32_t begin = peek().span.begin;
  if (take_word("unless"))
    out.is_unless = true;
  else if (!take_word("when"))
    return refuse_found("when, unless or ;", "no such clause");
  if (!want(TokenKind::kLeftBrace, "{", "a condition without its brace")) return false;
  if (peek().kind == TokenKind::kRightBrace) return refuse_found("an expression", "an empty condition");
  if (!expression(out.expression)) return false;
  if (!want(TokenKind::kRightBrace, "}", "a condition is not closed")) return false;
  out.span = {begin, last_end()};
  return true;
}

ParsedPolicies parse_policies(const std::shared_ptr<const Source>& source, const Limits& limits) {
  ParsedPolicies out;
  std::vector<Refusal> refusals;
  const std::vector<Token> tokens = scan(*source, limits, refusals);
  Parser parser(source->text(), tokens, limits);
  while (!parser.at_end() && out.errors.size() < kErrorsMax) {
    auto body = std::make_shared<PolicyBody>();
    if (parser.policy(*body)) {
      body->source = source;
      out.policies.push_back(std::move(body));
      continue;
    }
    // Where the lexer gave up, the end of the tokens is not the end of the text: its error alone is true.
    if (refusals.empty() || !parser.at_end()) out.errors.push_back(syntax_error(*source, parser.refusal));
    parser.skip_policy();
  }
  for (const Refusal& refusal : refusals) out.errors.push_back(syntax_error(*source, refusal));
  if (!out.errors.empty()) out.policies.clear();
  return out;
}

Result<Expr> parse_expression(std::string_view text, const Limits& limits) {
  const auto source = Source::make("expression", text);
  std::vector<Refusal> refusals;
  const std::vector<Token> tokens = scan(*source, limits, refusals);
  if (!refusals.empty()) return syntax_error(*source, refusals.front()).error;
  Parser parser(source->text(), tokens, limits);
  Expr out;
  if (!parser.expression(out)) return syntax_error(*source, parser.refusal).error;
  if (!parser.at_end()) {
    parser.refuse_found("the end", "text after the expression");
    return syntax_error(*source, parser.refusal).error;
  }
  return out;
}

Result<EntityUid> parse_entity_uid(std::string_view text) {
  const auto source = Source::make("entity", text);
  std::vector<Refusal> refusals;
  const std::vector<Token> tokens = scan(*source, kParseLimits, refusals);
  if (!refusals.empty()) return syntax_error(*source, refusals.front()).error;
  Parser parser(source->text(), tokens, kParseLimits);
  EntityPtr out;
  if (!parser.entity_reference(out)) return syntax_error(*source, parser.refusal).error;
  if (!parser.at_end()) {
    parser.refuse_found("the end", "text after the entity");
    return syntax_error(*source, parser.refusal).error;
  }
  return *out;
}

}  // namespace wary::cedar
