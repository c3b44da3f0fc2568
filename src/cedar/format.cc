#include "cedar/format.h"

#include <algorithm>

#include "base/check.h"
#include "cedar/layout.h"
#include "cedar/lexer.h"
#include "cedar/parser.h"
#include "cedar/printer.h"

namespace wary::cedar {

namespace {

using Comments = std::vector<std::string_view>;

struct FormatToken {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;
  Comments leading;           // on lines of their own before it
  std::string_view trailing;  // behind it, or empty
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const std::size_t last = text.find_last_not_of(kBlank);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

// The comments of the blank between two tokens; the one that starts on the first token's line belongs to it.
Comments comments_of(std::string_view blank, std::string_view* trailing) {
  Comments out;
  bool on_first_line = trailing != nullptr;
  for (std::size_t at = 0; at < blank.size(); ++at) {
    if (blank[at] == '\n' || blank[at] == '\r') on_first_line = false;
    if (!blank.substr(at).starts_with("//")) continue;
    const std::string_view comment = blank.substr(at, blank.find_first_of("\r\n", at) - at);
    if (on_first_line)
      *trailing = trimmed(comment);
    else
      out.push_back(trimmed(comment));
    at += comment.size() - 1;
  }
  return out;
}

// Of a text that parses. The last token is kEnd and holds the comments behind all policies.
std::vector<FormatToken> format_tokens(std::string_view text) {
  std::vector<Refusal> refusals;
  std::vector<FormatToken> out;
  std::size_t end = 0;
  for (const Token& token : tokenize(text, refusals)) {
    const std::string_view blank = text.substr(end, token.span.begin - end);
    FormatToken next{token.kind, text.substr(token.span.begin, token.span.end - token.span.begin), {}, {}};
    next.leading = comments_of(blank, out.empty() ? nullptr : &out.back().trailing);
    end = token.span.end;
    out.push_back(std::move(next));
  }
  return out;
}

// Walks the tokens of a text that is known to parse, as the grammar nests, and lays them out.
class Formatter {
 public:
  Formatter(std::vector<FormatToken> tokens, const FormatStyle& style) : tokens_(std::move(tokens)), style_(style) {}

  bool at_end() const { return peek().kind == TokenKind::kEnd; }
  const Comments& last_comments() const { return peek().leading; }

  Layout policy() {
    Layout out;
    while (is(TokenKind::kAt)) out.add(annotation());
    out.add(leading(peek()));
    peek().leading.clear();
    out.add(group({token(), line(), token()}));
    scope(out);
    while (!is(TokenKind::kSemicolon)) {
      out.add(condition());
      if (!is(TokenKind::kSemicolon)) out.add(hard_line());
    }
    return std::move(out.add(token()));
  }

 private:
  const FormatToken& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  FormatToken& peek() { return tokens_[at_]; }
  bool is(TokenKind kind) const { return peek().kind == kind; }
  bool is_word(std::string_view word) const { return is(TokenKind::kIdentifier) && peek().text == word; }

  static Layout leading(const FormatToken& token) {
    Layout out;
    if (token.leading.empty()) return out;
    for (const std::string_view comment : token.leading) out.add(hard_line()).add(text(comment));
    return std::move(out.add(hard_line()));
  }
  // A comment ends its line; without one `otherwise` stands behind the token.
  static Layout trailing(const FormatToken& token, Layout otherwise = {}) {
    if (token.trailing.empty()) return otherwise;
    return parts({text(" "), text(token.trailing), hard_line()});
  }

  Layout token(Layout otherwise = {}) {
    const FormatToken& taken = tokens_[at_++];
    std::string_view shown = taken.text;
    if (taken.kind == TokenKind::kNumber) shown.remove_prefix(std::min(shown.find_first_not_of('0'), shown.size() - 1));
    return parts({leading(taken), text(shown), trailing(taken, std::move(otherwise))});
  }

  // A comma before a closing bracket goes; the bracket takes its comments.
  void drop_comma() {
    if (!is(TokenKind::kComma)) return;
    const FormatToken comma = std::move(tokens_[at_++]);
    FormatToken& bracket = peek();
    Comments all = comma.leading;
    if (!comma.trailing.empty() && (!bracket.trailing.empty() || !bracket.leading.empty()))
      all.push_back(comma.trailing);
    else if (!comma.trailing.empty())
      bracket.trailing = comma.trailing;
    all.insert(all.end(), bracket.leading.begin(), bracket.leading.end());
    bracket.leading = std::move(all);
  }

  Layout annotation() {
    Layout out = parts({token(), token()});
    if (!is(TokenKind::kLeftParen)) return std::move(out.add(hard_line()));
    out.add(token()).add(token()).add(token(hard_line()));
    return out;
  }

  bool is_plain_scope() const {
    std::size_t commas = 0;
    for (std::size_t ahead = 0; peek(ahead).kind != TokenKind::kRightParen; ++ahead) {
      const bool is_comma = peek(ahead).kind == TokenKind::kComma;
      if (is_comma != (ahead % 2 == 1)) return false;
      commas += is_comma ? 1 : 0;
    }
    return commas >= 2;
  }

  // From behind the opening parenthesis to the closing one.
  void scope(Layout& out) {
    if (is_plain_scope()) {
      Layout names = nest(style_.indent, {variable()});
      for (int i = 0; i < 2; ++i) names.add(token(text(" "))).add(variable());
      out.add(group({std::move(names)}));
    } else {
      Layout names = nest(style_.indent, {hard_line(), variable()});
      for (int i = 0; i < 2; ++i) names.add(token(hard_line())).add(variable());
      out.add(std::move(names)).add(hard_line());
    }
    drop_comma();
    out.add(token(peek(1).kind != TokenKind::kSemicolon ? hard_line() : Layout()));
  }

  Layout variable() {
    const FormatToken name = tokens_[at_++];
    Layout type;
    if (is_word("is")) {
      Layout is_word_layout = group({line(), token()});
      type = group({nest(style_.indent, {std::move(is_word_layout), line(), name_or_reference()})});
    }
    if (!is(TokenKind::kEqual) && !is_word("in")) {
      return parts({leading(name), text(name.text), trailing(name), std::move(type)});
    }
    Layout left = group({text(name.text), trailing(name), std::move(type), line(), token()});
    return parts({leading(name), group({std::move(left), nest(style_.indent, {line(), expression()})})});
  }

  Layout condition() {
    const FormatToken word = tokens_[at_++];
    const FormatToken brace = tokens_[at_++];
    Layout before = leading(peek());
    peek().leading.clear();
    Layout inside = nest(style_.indent, {trailing(brace, line()), std::move(before), group({expression()})});
    Layout body = group({std::move(inside), line(), token()});
    return parts({leading(word),
                  group({text(word.text), trailing(word, line()), leading(brace), text(brace.text), std::move(body)})});
  }

  Layout expression() { return is_word("if") ? conditional() : disjunction(); }

  Layout conditional() {
    Layout out = group({});
    for (int i = 0; i < 3; ++i) {
      if (i > 0) out.add(line());
      out.add(token());
      out.add(nest(style_.indent, {line(), expression()}));
    }
    return out;
  }

  Layout disjunction() {
    Layout out = parts({conjunction()});
    while (is(TokenKind::kOr)) {
      out.add(text(" ")).add(token(line()));
      out.add(conjunction());
    }
    return out;
  }

  Layout conjunction() {
    Layout out = parts({relation()});
    while (is(TokenKind::kAnd)) {
      out.add(text(" ")).add(token(line()));
      out.add(relation());
    }
    return out;
  }

  Layout relation() {
    Layout out = parts({sum()});
    if (is_comparison()) {
      out.add(text(" ")).add(token()).add(text(" "));
      return std::move(out.add(sum()));
    }
    if (is_word("has") || is_word("like")) {
      out.add(line()).add(token()).add(line());
      out.add(nest(style_.indent, {sum()}));
      return group({std::move(out)});
    }
    if (!is_word("is")) return out;
    out.add(text(" ")).add(token()).add(text(" "));
    out.add(nest(style_.indent, {sum()}));
    if (is_word("in")) {
      out.add(line()).add(token()).add(text(" "));
      out.add(nest(style_.indent, {sum()}));
    }
    return group({std::move(out)});
  }

  bool is_comparison() const {
    const TokenKind kind = peek().kind;
    return is_word("in") || (kind >= TokenKind::kEqual && kind <= TokenKind::kGreaterEqual);
  }

  Layout sum() {
    Layout out = group({product()});
    while (is(TokenKind::kPlus) || is(TokenKind::kMinus)) {
      out.add(text(" ")).add(token()).add(line());
      out.add(product());
    }
    return out;
  }

  Layout product() {
    Layout out = group({unary()});
    while (is(TokenKind::kStar)) {
      out.add(text(" ")).add(token()).add(line());
      out.add(unary());
    }
    return out;
  }

  Layout unary() {
    Layout out;
    while (is(TokenKind::kNot) || is(TokenKind::kMinus)) out.add(token());
    return std::move(out.add(member()));
  }

  Layout member() {
    Layout start = primary();
    Layout accesses = nest(style_.indent, {});
    while (is(TokenKind::kDot) || is(TokenKind::kLeftParen) || is(TokenKind::kLeftBracket)) {
      if (!accesses.parts.empty()) accesses.add(soft_line());
      accesses.add(access());
    }
    return group({std::move(start), std::move(accesses)});
  }

  Layout access() {
    if (is(TokenKind::kDot)) return parts({token(), token()});
    if (is(TokenKind::kLeftBracket)) {
      Layout out = parts({token()});
      out.add(expression());
      return std::move(out.add(token()));
    }
    Layout out = parts({token()});
    if (!is(TokenKind::kRightParen)) {
      out.add(nest(style_.indent, {soft_line(), list(TokenKind::kRightParen)}));
      out.add(soft_line());
    }
    return std::move(out.add(token()));
  }

  // Elements up to the closing bracket.
  Layout list(TokenKind close) {
    Layout out;
    while (!is(close)) {
      out.add(expression());
      if (is(TokenKind::kColon)) {
        out.add(token()).add(text(" "));
        out.add(expression());
      }
      if (peek(1).kind == close) drop_comma();
      if (is(TokenKind::kComma)) out.add(token()).add(line());
    }
    return out;
  }

  Layout primary() {
    switch (peek().kind) {
      case TokenKind::kLeftParen: {
        Layout out = group({token()});
        out.add(nest(1, {expression()}));
        return std::move(out.add(token()));
      }
      case TokenKind::kLeftBracket: {
        Layout out = parts({token()});
        out.add(nest(1, {list(TokenKind::kRightBracket)}));
        return std::move(out.add(token()));
      }
      case TokenKind::kLeftBrace: {
        Layout out = parts({token()});
        if (!is(TokenKind::kRightBrace)) {
          out.add(nest(style_.indent, {group({line(), list(TokenKind::kRightBrace), line()})}));
        }
        return std::move(out.add(token()));
      }
      case TokenKind::kIdentifier: return name_or_reference();
      default: return token();
    }
  }

  // A::B, or A::B::"id".
  Layout name_or_reference() {
    Layout out = parts({token()});
    while (is(TokenKind::kDoubleColon)) out.add(token()).add(token());
    return out;
  }

  std::vector<FormatToken> tokens_;
  FormatStyle style_;
  std::size_t at_ = 0;
};

std::string without_edges(std::string text) {
  const std::size_t first = text.find_first_not_of(" \n");
  text.erase(0, std::min(first, text.size()));
  text.resize(trimmed(text).size());
  return text;
}

bool have_same_meaning(const ParsedPolicies& a, const ParsedPolicies& b) {
  if (!b.errors.empty() || a.policies.size() != b.policies.size()) return false;
  for (std::size_t i = 0; i < a.policies.size(); ++i) {
    if (print(*a.policies[i]) != print(*b.policies[i])) return false;
  }
  return true;
}

}  // namespace

FormattedPolicies format_policies(const std::shared_ptr<const Source>& source, const FormatStyle& style) {
  FormattedPolicies out;
  ParsedPolicies parsed = parse_policies(source);
  if (!parsed.errors.empty()) {
    out.errors = std::move(parsed.errors);
    return out;
  }
  Formatter formatter(format_tokens(source->text()), style);
  while (!formatter.at_end()) {
    if (!out.text.empty()) out.text += "\n\n";
    out.text += without_edges(render(formatter.policy(), style.line_width));
  }
  out.text += '\n';
  for (const std::string_view comment : formatter.last_comments()) out.text += std::string(comment) + '\n';
  WARY_CHECK(have_same_meaning(parsed, parse_policies(Source::make(source->name(), out.text))));
  return out;
}

}  // namespace wary::cedar
