// The parser of schema text: tokens to declarations. Private to schema/.
//
// Recursive descent. Each function returns false after it set `refusal`; the caller returns at once. Only types nest,
// and their depth is counted on the way down.
#pragma once

#include "cedar/lexer.h"
#include "schema/declarations.h"

namespace wary::schema {

class TextParser {
 public:
  TextParser(std::string_view text, const std::vector<cedar::Token>& tokens, const Limits& limits)
      : text_(text), tokens_(tokens), limits_(limits) {}

  bool at_end() const { return peek().kind == cedar::TokenKind::kEnd; }
  // One namespace or one declaration outside of any.
  bool item(Declarations& out);
  // Past the next semicolon, or to what looks like the start of a declaration.
  void skip();

  cedar::Refusal refusal;

 private:
  bool annotations(std::vector<cedar::Annotation>& out);
  bool namespace_block(std::vector<cedar::Annotation> annotations, Declarations& out);
  bool declaration(std::vector<cedar::Annotation> annotations, NamespaceDeclaration& out);
  bool entity(const std::vector<cedar::Annotation>& annotations, NamespaceDeclaration& out);
  bool entity_body(EntityDeclaration& out);
  bool choices(EntityDeclaration& out);
  bool common_type(std::vector<cedar::Annotation> annotations, NamespaceDeclaration& out);
  bool action(const std::vector<cedar::Annotation>& annotations, NamespaceDeclaration& out);
  bool action_parents(ActionDeclaration& out);
  bool action_reference(ActionReference& out);
  bool applies_to(ActionDeclaration& out);
  bool applies_to_part(ActionDeclaration& out, bool (&seen)[3]);
  bool context(ActionDeclaration& out);
  bool type(TypeExpression& out);
  bool record(TypeExpression& out);
  bool attribute(TypeExpression& out);
  bool entity_types(std::vector<NameReference>& out);

  bool path(NameReference& out, std::string_view expected);
  bool declared_name(NameReference& out, std::string_view expected);
  bool identifier(std::string& out, std::string_view expected);
  bool name_or_string(std::string& out, std::string_view expected);
  bool string_value(std::string& out, std::string_view expected);

  const cedar::Token& peek(std::size_t ahead = 0) const;
  std::string_view token_text(const cedar::Token& token) const {
    return text_.substr(token.span.begin, token.span.end - token.span.begin);
  }
  bool is_word(std::string_view word, std::size_t ahead = 0) const;
  bool take(cedar::TokenKind kind);
  bool take_word(std::string_view word);
  bool want(cedar::TokenKind kind, std::string_view expected, std::string_view message, std::string_view hint = {});
  bool refuse(cedar::Span at, std::string_view code, std::string_view message, std::string_view expected = {},
              std::string_view found = {}, std::string_view hint = {});
  bool refuse_found(std::string_view expected, std::string_view message, std::string_view hint = {});
  // True while a list has room for one more.
  bool has_room(std::size_t size);
  // Counts what was read since `before` for further names as well.
  bool charge(std::size_t before, std::size_t names);
  Place place_from(std::uint32_t begin) const { return {{begin, last_end()}, {}}; }
  std::uint32_t last_end() const { return at_ > 0 ? tokens_[at_ - 1].span.end : 0; }

  std::string_view text_;
  const std::vector<cedar::Token>& tokens_;
  Limits limits_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::size_t declarations_ = 0;
  std::size_t elements_ = 0;  // of all lists and records, counted once for every name they are declared for
};

}  // namespace wary::schema
