// See text_parser.h.
#include "schema/text_parser.h"

#include <algorithm>
#include <array>
#include <map>

namespace wary::schema {

using cedar::Token;
using cedar::TokenKind;

namespace {

bool is_reserved_word(std::string_view word) {
  constexpr std::array<std::string_view, 9> kReserved = {"true", "false", "if",   "then", "else",
                                                         "in",   "is",    "like", "has"};
  return std::find(kReserved.begin(), kReserved.end(), word) != kReserved.end();
}

NamespaceDeclaration& unqualified(Declarations& out) {
  for (NamespaceDeclaration& space : out.namespaces) {
    if (space.name.empty()) return space;
  }
  return out.namespaces.emplace_back();
}

}  // namespace

const Token& TextParser::peek(std::size_t ahead) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }

bool TextParser::is_word(std::string_view word, std::size_t ahead) const {
  const Token& token = peek(ahead);
  return token.kind == TokenKind::kIdentifier && token_text(token) == word;
}

bool TextParser::take(TokenKind kind) {
  if (peek().kind != kind || kind == TokenKind::kEnd) return false;
  ++at_;
  return true;
}

bool TextParser::take_word(std::string_view word) {
  if (!is_word(word)) return false;
  ++at_;
  return true;
}

bool TextParser::want(TokenKind kind, std::string_view expected, std::string_view message, std::string_view hint) {
  return take(kind) || refuse_found(expected, message, hint);
}

bool TextParser::refuse(cedar::Span at, std::string_view code, std::string_view message, std::string_view expected,
                        std::string_view found, std::string_view hint) {
  refusal = {std::string(code), std::string(message), std::string(expected), std::string(found), std::string(hint), at};
  return false;
}

bool TextParser::refuse_found(std::string_view expected, std::string_view message, std::string_view hint) {
  return refuse(peek().span, "cedar_syntax", message, expected, cedar::describe(peek(), text_), hint);
}

bool TextParser::has_room(std::size_t size) {
  ++elements_;
  return (size < limits_.items && elements_ <= limits_.total) ||
         refuse(peek().span, "cedar_items", "too many elements", "at most " + std::to_string(limits_.items));
}

bool TextParser::charge(std::size_t before, std::size_t names) {
  elements_ += (elements_ - before) * (names - 1);
  return elements_ <= limits_.total ||
         refuse(peek().span, "cedar_items", "too many elements", "at most " + std::to_string(limits_.total));
}

void TextParser::skip() {
  while (!at_end() && !take(TokenKind::kSemicolon)) ++at_;
  while (take(TokenKind::kRightBrace)) {
  }
  depth_ = 0;
}

bool TextParser::identifier(std::string& out, std::string_view expected) {
  const Token token = peek();
  if (token.kind != TokenKind::kIdentifier) return refuse_found(expected, "a name is missing");
  out = token_text(token);
  if (is_reserved_word(out)) {
    return refuse(token.span, "cedar_reserved", "a reserved word is not a name", {}, "`" + out + "`",
                  "attributes with such a name stand in quotes");
  }
  ++at_;
  return true;
}

bool TextParser::declared_name(NameReference& out, std::string_view expected) {
  const std::uint32_t begin = peek().span.begin;
  if (!identifier(out.name, expected)) return false;
  out.place = place_from(begin);
  return out.name != "__cedar" ||
         refuse(out.place.span, "cedar_reserved", "__cedar is reserved", {}, "`__cedar`", "choose another name");
}

bool TextParser::path(NameReference& out, std::string_view expected) {
  const std::uint32_t begin = peek().span.begin;
  if (!identifier(out.name, expected)) return false;
  while (peek().kind == TokenKind::kDoubleColon && peek(1).kind != TokenKind::kString) {
    ++at_;
    std::string part;
    if (!identifier(part, "a name")) return false;
    out.name += "::" + part;
  }
  out.place = place_from(begin);
  return true;
}

bool TextParser::string_value(std::string& out, std::string_view expected) {
  const Token token = peek();
  if (token.kind != TokenKind::kString) return refuse_found(expected, "a string is missing");
  ++at_;
  out.clear();
  return cedar::unescape_string(token_text(token), token.span.begin, out, refusal);
}

bool TextParser::name_or_string(std::string& out, std::string_view expected) {
  return peek().kind == TokenKind::kString ? string_value(out, expected) : identifier(out, expected);
}

bool TextParser::annotations(std::vector<cedar::Annotation>& out) {
  while (take(TokenKind::kAt)) {
    const Token key = peek();
    cedar::Annotation annotation;
    if (key.kind != TokenKind::kIdentifier) return refuse_found("the annotation's name", "a name is missing");
    annotation.name = token_text(key);
    ++at_;
    const auto same = [&](const cedar::Annotation& other) { return other.name == annotation.name; };
    if (std::any_of(out.begin(), out.end(), same)) {
      return refuse(key.span, "cedar_duplicate_annotation", "an annotation stands twice", {},
                    cedar::describe(key, text_));
    }
    if (take(TokenKind::kLeftParen)) {
      if (!string_value(annotation.value.emplace(), "a string")) return false;
      if (!want(TokenKind::kRightParen, ")", "an annotation is not closed")) return false;
    }
    if (out.size() == 64) return refuse(key.span, "cedar_items", "too many annotations", "at most 64");
    out.push_back(std::move(annotation));
  }
  return true;
}

bool TextParser::item(Declarations& out) {
  std::vector<cedar::Annotation> notes;
  if (!annotations(notes)) return false;
  if (is_word("namespace")) return namespace_block(std::move(notes), out);
  return declaration(std::move(notes), unqualified(out));
}

bool TextParser::namespace_block(std::vector<cedar::Annotation> notes, Declarations& out) {
  take_word("namespace");
  NamespaceDeclaration space;
  NameReference name;
  if (!path(name, "the namespace's name")) return false;
  space.name = name.name;
  space.place = name.place;
  space.annotations = std::move(notes);
  const auto is_same = [&](const NamespaceDeclaration& other) { return other.name == space.name; };
  if (std::any_of(out.namespaces.begin(), out.namespaces.end(), is_same)) {
    return refuse(name.place.span, "cedarschema_duplicate", "a namespace stands twice", {}, "`" + space.name + "`",
                  "put the declarations of both into one");
  }
  if (!want(TokenKind::kLeftBrace, "{", "a namespace without its brace")) return false;
  while (!take(TokenKind::kRightBrace)) {
    std::vector<cedar::Annotation> inner;
    if (!annotations(inner) || !declaration(std::move(inner), space)) return false;
  }
  if (!has_room(out.namespaces.size())) return false;
  out.namespaces.push_back(std::move(space));
  return true;
}

bool TextParser::declaration(std::vector<cedar::Annotation> notes, NamespaceDeclaration& out) {
  if (!has_room(declarations_++)) return false;
  if (is_word("entity")) return entity(notes, out);
  if (is_word("action")) return action(notes, out);
  if (is_word("type")) return common_type(std::move(notes), out);
  return refuse_found("entity, action, type or namespace", "no declaration starts here",
                      is_word("namespace") ? "namespaces do not nest: write namespace A::B { ... }" : "");
}

bool TextParser::common_type(std::vector<cedar::Annotation> notes, NamespaceDeclaration& out) {
  take_word("type");
  CommonTypeDeclaration common;
  NameReference name;
  if (!declared_name(name, "the type's name")) return false;
  common.name = name.name;
  common.place = name.place;
  common.annotations = std::move(notes);
  if (!want(TokenKind::kAssign, "=", "a type without its definition") || !type(common.type)) return false;
  if (!want(TokenKind::kSemicolon, ";", "a declaration is not closed")) return false;
  out.common_types.push_back(std::move(common));
  return true;
}

bool TextParser::entity(const std::vector<cedar::Annotation>& notes, NamespaceDeclaration& out) {
  take_word("entity");
  std::vector<NameReference> names;
  do {
    if (!has_room(names.size() + declarations_) || !declared_name(names.emplace_back(), "an entity type's name")) {
      return false;
    }
  } while (take(TokenKind::kComma));
  declarations_ += names.size() - 1;
  EntityDeclaration entity;
  entity.annotations = notes;
  const std::size_t before = elements_;
  if (!entity_body(entity) || !charge(before, names.size())) return false;
  if (!want(TokenKind::kSemicolon, "in, =, {, tags, enum or ;", "a declaration is not closed")) return false;
  for (NameReference& name : names) {
    entity.name = std::move(name.name);
    entity.place = std::move(name.place);
    out.entity_types.push_back(entity);
  }
  return true;
}

bool TextParser::entity_body(EntityDeclaration& out) {
  if (take_word("enum")) return choices(out);
  if (take_word("in") && !entity_types(out.parents)) return false;
  if (take(TokenKind::kAssign) || peek().kind == TokenKind::kLeftBrace) {
    if (peek().kind != TokenKind::kLeftBrace) {
      return refuse_found("{", "an entity's attributes are a record", "write the attributes out between braces");
    }
    if (!record(out.shape)) return false;
  }
  return !take_word("tags") || type(out.tags.emplace());
}

bool TextParser::choices(EntityDeclaration& out) {
  out.is_enum = true;
  if (!want(TokenKind::kLeftBracket, "[", "an enum without its ids")) return false;
  do {
    if (!has_room(out.choices.size()) || !string_value(out.choices.emplace_back(), "an id in quotes")) return false;
  } while (take(TokenKind::kComma));
  return want(TokenKind::kRightBracket, ", or ]", "a list is not closed");
}

bool TextParser::entity_types(std::vector<NameReference>& out) {
  if (!take(TokenKind::kLeftBracket)) return path(out.emplace_back(), "an entity type or a list of them");
  if (take(TokenKind::kRightBracket)) return true;
  do {
    if (!has_room(out.size()) || !path(out.emplace_back(), "an entity type")) return false;
  } while (take(TokenKind::kComma));
  return want(TokenKind::kRightBracket, ", or ]", "a list is not closed");
}

bool TextParser::action(const std::vector<cedar::Annotation>& notes, NamespaceDeclaration& out) {
  take_word("action");
  std::vector<NameReference> names;
  do {
    const std::uint32_t begin = peek().span.begin;
    NameReference& name = names.emplace_back();
    if (!has_room(names.size() + declarations_) || !name_or_string(name.name, "an action's name")) return false;
    name.place = place_from(begin);
  } while (take(TokenKind::kComma));
  declarations_ += names.size() - 1;
  ActionDeclaration action;
  action.annotations = notes;
  const std::size_t before = elements_;
  if (take_word("in") && !action_parents(action)) return false;
  if (take_word("appliesTo") && !applies_to(action)) return false;
  if (!charge(before, names.size())) return false;
  if (take_word("attributes") && (!want(TokenKind::kLeftBrace, "{", "actions have no attributes") ||
                                  !want(TokenKind::kRightBrace, "}", "actions have no attributes"))) {
    return false;
  }
  if (!want(TokenKind::kSemicolon, "in, appliesTo or ;", "a declaration is not closed")) return false;
  for (NameReference& name : names) {
    action.name = std::move(name.name);
    action.place = std::move(name.place);
    out.actions.push_back(action);
  }
  return true;
}

bool TextParser::action_parents(ActionDeclaration& out) {
  std::vector<ActionReference>& parents = out.parents.emplace();
  if (!take(TokenKind::kLeftBracket)) return action_reference(parents.emplace_back());
  do {
    if (!has_room(parents.size()) || !action_reference(parents.emplace_back())) return false;
  } while (take(TokenKind::kComma));
  return want(TokenKind::kRightBracket, ", or ]", "a list is not closed");
}

bool TextParser::action_reference(ActionReference& out) {
  const std::uint32_t begin = peek().span.begin;
  constexpr std::string_view kExpected = "an action: a name, \"a name\" or Action::\"a name\"";
  if (peek().kind == TokenKind::kString || peek(1).kind != TokenKind::kDoubleColon) {
    if (!name_or_string(out.id, kExpected)) return false;
  } else {
    NameReference type;
    if (!path(type, kExpected)) return false;
    out.type = type.name;
    if (!want(TokenKind::kDoubleColon, "::\"id\"", "an action without its id")) return false;
    if (!string_value(out.id, "an id in quotes")) return false;
  }
  out.place = place_from(begin);
  return true;
}

bool TextParser::applies_to(ActionDeclaration& out) {
  const cedar::Span at = tokens_[at_ - 1].span;
  out.has_applies_to = true;
  if (!want(TokenKind::kLeftBrace, "{", "appliesTo without its brace")) return false;
  bool seen[3] = {};
  while (!take(TokenKind::kRightBrace)) {
    if (!applies_to_part(out, seen)) return false;
    if (peek().kind != TokenKind::kRightBrace && !want(TokenKind::kComma, ", or }", "appliesTo is not closed")) {
      return false;
    }
  }
  if (seen[0] && seen[1]) return true;
  return refuse(at, "cedarschema_applies_to", seen[0] ? "appliesTo without resource" : "appliesTo without principal",
                "principal: [...], resource: [...]", {}, "an action that applies to nothing has no appliesTo at all");
}

bool TextParser::applies_to_part(ActionDeclaration& out, bool (&seen)[3]) {
  const Token word = peek();
  const std::string_view name = token_text(word);
  const std::size_t index = name == "principal" ? 0 : name == "resource" ? 1 : name == "context" ? 2 : 3;
  if (index == 3) return refuse_found("principal, resource or context", "no such part of appliesTo");
  ++at_;
  if (seen[index]) {
    return refuse(word.span, "cedarschema_duplicate", "a part of appliesTo stands twice", {},
                  cedar::describe(word, text_));
  }
  seen[index] = true;
  if (!want(TokenKind::kColon, ":", "a part of appliesTo without its types")) return false;
  if (index == 2) return context(out);
  std::vector<NameReference>& types = index == 0 ? out.principals : out.resources;
  if (!entity_types(types)) return false;
  return !types.empty() ||
         refuse({word.span.begin, last_end()}, "cedarschema_applies_to", "an empty list of entity types",
                "at least one entity type", "[]", "an action that applies to nothing has no appliesTo at all");
}

bool TextParser::context(ActionDeclaration& out) {
  if (peek().kind == TokenKind::kLeftBrace) return record(out.context);
  NameReference name;
  if (!path(name, "{ or the name of a common type")) return false;
  out.context.kind = TypeExpression::Kind::kCommon;
  out.context.name = std::move(name.name);
  out.context.place = std::move(name.place);
  return true;
}

bool TextParser::type(TypeExpression& out) {
  if (depth_ >= limits_.depth) {
    return refuse(peek().span, "cedar_depth", "the type is nested too deep",
                  "at most " + std::to_string(limits_.depth) + " levels");
  }
  ++depth_;
  const std::uint32_t begin = peek().span.begin;
  bool parsed = false;
  if (peek().kind == TokenKind::kLeftBrace) {
    parsed = record(out);
  } else if (is_word("Set") && peek(1).kind == TokenKind::kLess) {
    at_ += 2;
    out.kind = TypeExpression::Kind::kSet;
    parsed = type(out.element.emplace_back()) && want(TokenKind::kGreater, ">", "Set< is not closed");
  } else {
    NameReference name;
    parsed = path(name, "a type");
    out.kind = TypeExpression::Kind::kEntityOrCommon;
    out.name = std::move(name.name);
  }
  out.place = place_from(begin);
  --depth_;
  return parsed;
}

bool TextParser::record(TypeExpression& out) {
  const std::uint32_t begin = peek().span.begin;
  out.kind = TypeExpression::Kind::kRecord;
  if (!want(TokenKind::kLeftBrace, "{", "a record without its brace")) return false;
  std::map<std::string, bool, std::less<>> seen;
  while (!take(TokenKind::kRightBrace)) {
    const Token key = peek();
    if (!has_room(out.attributes.size()) || !attribute(out)) return false;
    if (!seen.emplace(out.attributes.back().name, true).second) {
      return refuse(key.span, "cedarschema_duplicate", "a record names an attribute twice", {},
                    "`" + out.attributes.back().name + "`");
    }
    if (peek().kind != TokenKind::kRightBrace && !want(TokenKind::kComma, ", or }", "a record is not closed")) {
      return false;
    }
  }
  out.place = place_from(begin);
  return true;
}

bool TextParser::attribute(TypeExpression& out) {
  AttributeDeclaration attribute;
  if (!annotations(attribute.annotations)) return false;
  const std::uint32_t begin = peek().span.begin;
  if (!name_or_string(attribute.name, "an attribute's name")) return false;
  attribute.is_required = !take(TokenKind::kQuestion);
  attribute.place = place_from(begin);
  if (!want(TokenKind::kColon, ":", "an attribute without its type") || !type(attribute.type)) return false;
  out.attributes.push_back(std::move(attribute));
  return true;
}

ParsedDeclarations parse_schema(const std::shared_ptr<const cedar::Source>& source, const Limits& limits) {
  ParsedDeclarations out;
  std::vector<cedar::Refusal> refusals;
  const std::string& text = source->text();
  std::vector<Token> tokens = {Token{}};
  if (text.size() > limits.bytes) {
    refusals.push_back(
        {"cedar_size", "the text is too long", "at most " + std::to_string(limits.bytes) + " bytes", {}, {}, {}});
  } else if (!cedar::is_valid_utf8(text)) {
    refusals.push_back({"cedar_utf8", "the text is not UTF-8", "UTF-8", {}, {}, {}});
  } else {
    tokens = cedar::tokenize(text, refusals);
  }
  TextParser parser(text, tokens, limits);
  Declarations declarations;
  while (!parser.at_end() && out.errors.size() < kErrorsMax) {
    if (parser.item(declarations)) continue;
    // Where the lexer gave up, the end of the tokens is not the end of the text: its error alone is true.
    if (refusals.empty() || !parser.at_end()) out.errors.push_back(cedar::syntax_error(*source, parser.refusal));
    parser.skip();
  }
  for (const cedar::Refusal& refusal : refusals) out.errors.push_back(cedar::syntax_error(*source, refusal));
  if (out.errors.empty()) {
    declarations.source = source;
    out.declarations = std::move(declarations);
  }
  return out;
}

}  // namespace wary::schema
