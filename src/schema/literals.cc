#include "schema/literals.h"

#include <algorithm>

#include "codec/nearest.h"
#include "schema/scripts.h"

namespace wary::schema {

using cedar::Expr;
using cedar::ExprKind;

namespace {

std::string hint(const std::string& near) { return near.empty() ? std::string() : "did you mean " + near + "?"; }

void check_action(const Schema& schema, const cedar::EntityUid& uid, cedar::Span span, Report& report) {
  if (schema.find_action(uid) != nullptr) return;
  std::string near;
  if (report.wants_hint()) {
    std::vector<std::string> names;
    for (const Action& action : schema.actions()) names.push_back(action.uid->to_string());
    near = codec::nearest(uid.to_string(), {names.begin(), names.end()});
  }
  report.add(FindingKind::kUnrecognizedActionId, span, "no such action: " + uid.to_string(), "an action of the schema",
             uid.to_string(), hint(near));
}

void check_entity(const Schema& schema, const cedar::EntityUid& uid, cedar::Span span, Report& report) {
  if (is_action_type(uid.type)) {
    check_action(schema, uid, span, report);
    return;
  }
  check_entity_type(schema, uid.type, span, report);
  const EntityType* type = schema.find_entity_type(uid.type);
  if (type == nullptr || !type->is_enum) return;
  if (std::binary_search(type->choices.begin(), type->choices.end(), uid.id)) return;
  const std::string near =
      report.wants_hint() ? codec::nearest(uid.id, {type->choices.begin(), type->choices.end()}) : "";
  report.add(FindingKind::kInvalidEnumEntity, span, uid.to_string() + " is none of the ids of its type",
             "one of " + std::to_string(type->choices.size()) + " ids", uid.id,
             hint(near.empty() ? near : "\"" + near + "\""));
}

void check_expression(const Schema& schema, const Expr& e, Report& report) {
  if (e.kind == ExprKind::kLiteral && e.literal.as_entity() != nullptr) {
    check_entity(schema, **e.literal.as_entity(), e.span, report);
  }
  if (e.kind == ExprKind::kIs) check_entity_type(schema, e.name, e.span, report);
  for (const Expr& operand : e.operands) check_expression(schema, operand, report);
}

void check_scope(const Schema& schema, const cedar::ScopeConstraint& constraint, Report& report) {
  if (!constraint.type.empty()) check_entity_type(schema, constraint.type, constraint.span, report);
  for (const cedar::EntityPtr& uid : constraint.entities) check_entity(schema, *uid, constraint.span, report);
}

class TextChecker {
 public:
  explicit TextChecker(Report& report) : report_(report) {}

  void string(std::string_view text, cedar::Span span) {
    if (has_bidi_control(text)) {
      report_.add(FindingKind::kBidiCharsInString, span, "a string with characters that change the direction of text");
    } else if (!is_single_script(text)) {
      report_.add(FindingKind::kMixedScriptString, span, "a string that mixes scripts, whose letters may look alike");
    }
  }

  void identifier(std::string_view text, cedar::Span span) {
    if (has_bidi_control(text)) {
      report_.add(FindingKind::kBidiCharsInIdentifier, span,
                  "a name with characters that change the direction of text");
    } else if (const auto odd = unusual_character(text)) {
      report_.add(FindingKind::kConfusableIdentifier, span, "a name with a character that does not belong in names",
                  "letters, digits and _", *odd);
    } else if (!is_single_script(text)) {
      report_.add(FindingKind::kMixedScriptIdentifier, span, "a name that mixes scripts, whose letters may look alike");
    }
  }

  void entity(const cedar::EntityUid& uid, cedar::Span span) { identifier(uid.id, span); }

  void expression(const Expr& e) {
    if (e.kind == ExprKind::kLiteral) {
      if (const std::string* text = e.literal.as_string()) string(*text, e.span);
      if (const cedar::EntityPtr* uid = e.literal.as_entity()) entity(**uid, e.span);
    } else if (e.kind == ExprKind::kGetAttribute) {
      identifier(e.name, e.span);
    } else if (e.kind == ExprKind::kHas || e.kind == ExprKind::kRecord) {
      for (const std::string& name : e.names) identifier(name, e.span);
    } else if (e.kind == ExprKind::kLike) {
      std::string text;
      for (const cedar::PatternElement& element : e.pattern) {
        cedar::append_utf8(text, element.is_wildcard ? U'*' : element.code_point);
      }
      string(text, e.span);
    }
    for (const Expr& operand : e.operands) expression(operand);
  }

 private:
  Report& report_;
};

}  // namespace

void check_entity_type(const Schema& schema, std::string_view type, cedar::Span span, Report& report) {
  if (is_action_type(type) || schema.find_entity_type(type) != nullptr) return;
  std::string near;
  if (report.wants_hint()) {
    std::vector<std::string_view> names;
    for (const EntityType& known : schema.entity_types()) names.push_back(known.name);
    near = codec::nearest(type, names);
  }
  report.add(FindingKind::kUnrecognizedEntityType, span, "no such entity type: " + std::string(type),
             "an entity type of the schema", type, hint(near.empty() ? near : "`" + near + "`"));
}

void check_names(const Schema& schema, const cedar::PolicyBody& body, Report& report) {
  for (const cedar::ScopeConstraint* part : {&body.principal, &body.action, &body.resource}) {
    check_scope(schema, *part, report);
  }
  for (const cedar::Condition& condition : body.conditions) check_expression(schema, condition.expression, report);
}

void check_text(const cedar::PolicyBody& body, Report& report) {
  TextChecker checker(report);
  for (const cedar::ScopeConstraint* part : {&body.principal, &body.action, &body.resource}) {
    for (const cedar::EntityPtr& uid : part->entities) checker.entity(*uid, part->span);
  }
  for (const cedar::Condition& condition : body.conditions) checker.expression(condition.expression);
}

}  // namespace wary::schema
