#include "schema/report.h"

#include <array>

namespace wary::schema {

namespace {

constexpr std::size_t kOfOnePolicy = 100;

struct Name {
  std::string_view name;
  std::string_view code;
};
// In the order of FindingKind.
constexpr std::array<Name, 22> kNames = {{
    {"UnrecognizedEntityType", "validation_unrecognized_entity_type"},
    {"UnrecognizedActionId", "validation_unrecognized_action_id"},
    {"InvalidActionApplication", "validation_invalid_action_application"},
    {"UnexpectedType", "validation_unexpected_type"},
    {"IncompatibleTypes", "validation_incompatible_types"},
    {"UnsafeAttributeAccess", "validation_unsafe_attribute_access"},
    {"UnsafeOptionalAttributeAccess", "validation_unsafe_optional_attribute_access"},
    {"UnsafeTagAccess", "validation_unsafe_tag_access"},
    {"NoTagsAllowed", "validation_no_tags_allowed"},
    {"UndefinedFunction", "validation_undefined_function"},
    {"WrongNumberArguments", "validation_wrong_number_arguments"},
    {"FunctionArgumentValidation", "validation_function_argument"},
    {"EmptySetForbidden", "validation_empty_set_forbidden"},
    {"NonLitExtConstructor", "validation_non_literal_constructor"},
    {"InvalidEnumEntity", "validation_invalid_enum_entity"},
    {"EntityDerefLevelViolation", "validation_level_violation"},
    {"ImpossiblePolicy", "validation_impossible_policy"},
    {"BidiCharsInString", "validation_bidi_string"},
    {"BidiCharsInIdentifier", "validation_bidi_identifier"},
    {"MixedScriptString", "validation_mixed_script_string"},
    {"MixedScriptIdentifier", "validation_mixed_script_identifier"},
    {"ConfusableIdentifier", "validation_confusable_identifier"},
}};

}  // namespace

std::string_view to_string(FindingKind kind) { return kNames[static_cast<std::size_t>(kind)].name; }

void Report::add(FindingKind kind, cedar::Span span, std::string message, std::string_view expected,
                 std::string_view found, std::string_view hint) {
  if (seen_.size() >= kOfOnePolicy || out_.size() >= options_.findings_max) return;
  if (!seen_.emplace(kind, span.begin, span.end, message).second) return;
  Finding finding;
  finding.kind = kind;
  finding.is_warning = kind >= FindingKind::kImpossiblePolicy ||
                       (kind == FindingKind::kInvalidActionApplication && options_.inapplicable_is_warning);
  finding.policy_id = policy_id_;
  finding.error = fail(ErrorKind::kInvalid, kNames[static_cast<std::size_t>(kind)].code, message)
                      .expected(expected)
                      .found(found)
                      .next(hint);
  finding.span = span;
  if (source_ != nullptr) {
    finding.error.where = source_->place(span.begin);
    finding.caret = source_->caret(span);
  }
  out_.push_back(std::move(finding));
}

}  // namespace wary::schema
