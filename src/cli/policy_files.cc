#include "cli/policy_files.h"

#include <algorithm>

#include "cedar/json.h"
#include "cedar/parser.h"
#include "cedar/policy_json.h"
#include "policy/validate.h"
#include "schema/conformance.h"

namespace wary::cli {

namespace {

constexpr std::size_t kPolicyFileMax = std::size_t{16} << 20;
constexpr std::size_t kEntityBytesMax = std::size_t{512} << 20;
constexpr std::size_t kPolicyFilesMax = 1'000;
constexpr Limits kEntityLimits{.bytes = kEntityBytesMax, .depth = 64, .items = 10'000'000, .total = 100'000'000};

Error refused(std::size_t count, std::string_view code, std::string_view what) {
  return fail(ErrorKind::kInvalid, code,
              std::to_string(count) + (count == 1 ? " error in " : " errors in ") + std::string(what));
}

Status add_path(Context& context, const std::string& path, std::vector<PolicyFile>& out, bool is_named) {
  if (out.size() >= kPolicyFilesMax)
    return fail(ErrorKind::kExhausted, "policy_too_many", "more than 1,000 files").at(path);
  WARY_ASSIGN_OR_RETURN(const io::FileStatus status, context.files.status(path));
  if (status.is_directory) {
    WARY_ASSIGN_OR_RETURN(std::vector<std::string> names, context.files.list(path));
    std::sort(names.begin(), names.end());
    std::erase_if(names, [](const std::string& name) { return !name.ends_with(".cedar"); });
    if (names.empty()) {
      return fail(ErrorKind::kInvalid, "policy_file", "no policy stands in this directory")
          .at(path)
          .expected("files whose names end in .cedar")
          .next("an empty .cedar file says that there are none");
    }
    for (const std::string& name : names) WARY_RETURN_IF_ERROR(add_path(context, path + "/" + name, out, false));
    return {};
  }
  if (is_named && !path.ends_with(".cedar") && !path.ends_with(".json")) {
    return fail(ErrorKind::kInvalid, "policy_file", "not a file of policies")
        .at(path)
        .expected("a name ending in .cedar or .json");
  }
  WARY_ASSIGN_OR_RETURN(const Bytes bytes, io::read_file(context.files, path, kPolicyFileMax));
  PolicyFile file{path, std::string(as_text(bytes)), path.ends_with(".json"), nullptr};
  if (!file.is_json) file.source = cedar::Source::make(file.path, file.text);
  out.push_back(std::move(file));
  return {};
}

Error in_file(Error error, const std::string& path) {
  error.where = path + (error.where.empty() ? "" : ": " + error.where);
  return error;
}

// Ids by @id; else by number over all files.
Status add_policy(cedar::PolicySet& set, std::size_t& number, const std::shared_ptr<const cedar::PolicyBody>& body) {
  const std::string* named = body->annotation("id");
  const std::string id = named != nullptr ? *named : "policy" + std::to_string(number);
  ++number;
  const Status added = set.add(id, body);
  if (added.ok() || body->source == nullptr) return added;
  Error error = added.error();
  error.where = body->source->place(body->span.begin);
  return error;
}

Status add_json(cedar::PolicySet& set, std::size_t& number, const PolicyFile& file) {
  auto json = codec::parse_json(file.text, cedar::kPolicyJsonLimits);
  if (!json.ok()) return in_file(json.error(), file.path);
  if (json->is_object() && json->find("effect") != nullptr) {
    auto body = cedar::policy_from_json(*json, file.path);
    return body.ok() ? add_policy(set, number, *body) : Status(in_file(body.error(), file.path));
  }
  auto other = cedar::policy_set_from_json(*json);
  if (!other.ok()) return in_file(other.error(), file.path);
  for (const auto* list : {&other->policies(), &other->templates()}) {
    for (const cedar::Policy& policy : *list) {
      if (policy.template_id.empty()) WARY_RETURN_IF_ERROR(set.add(policy.id, policy.body));
    }
  }
  for (const cedar::Policy& policy : other->policies()) {
    if (!policy.template_id.empty()) WARY_RETURN_IF_ERROR(set.link(policy.template_id, policy.id, policy.slots));
  }
  return {};
}

Result<cedar::EntityPtr> read_uid(const Arguments& arguments, const std::string& flag, bool is_free) {
  if (is_free) return cedar::make_entity("?", "");
  if (!arguments.has(flag)) {
    return fail(ErrorKind::kInvalid, "usage", "an option is missing").at(flag).expected("Type::\"id\"");
  }
  auto uid = cedar::parse_entity_uid(arguments.flag(flag));
  if (!uid.ok()) return in_file(uid.error(), flag);
  return cedar::make_entity(uid->type, uid->id);
}

Result<cedar::Value> read_context(Context& context, const Arguments& arguments, const schema::Schema* schema,
                                  const cedar::EntityUid& action) {
  std::string text = arguments.flag("--context", "{}");
  if (text.starts_with('@')) {
    WARY_ASSIGN_OR_RETURN(const Bytes bytes, io::read_file(context.files, text.substr(1), std::size_t{1} << 20));
    text = as_text(bytes);
  }
  auto json = codec::parse_json(text);
  if (!json.ok()) return in_file(json.error(), "--context");
  const schema::Action* known = schema != nullptr ? schema->find_action(action) : nullptr;
  auto value = known != nullptr ? schema::context_from_json(*schema, *json, *known) : cedar::value_from_json(*json);
  if (!value.ok()) return in_file(value.error(), "--context");
  if (value->as_record() == nullptr) {
    return fail(ErrorKind::kInvalid, "policy_context", "the context is no record").at("--context").expected("{...}");
  }
  return std::move(*value);
}

}  // namespace

void print_errors(Context& context, const std::vector<cedar::SyntaxError>& errors) {
  for (const cedar::SyntaxError& error : errors) {
    context.err("error: " + error.error.to_string() + "\n");
    if (!error.caret.empty()) context.err(error.caret + "\n");
    if (!error.error.next_step.empty()) context.err("  " + error.error.next_step + "\n");
  }
}

cedar::PolicyBody standalone(const cedar::Policy& policy) {
  cedar::PolicyBody out = *policy.body;
  const auto fill = [](cedar::ScopeConstraint& part, const cedar::EntityPtr& value) {
    if (!part.is_slot || value == nullptr) return;
    part.is_slot = false;
    part.entities = {value};
  };
  fill(out.principal, policy.slots.principal);
  fill(out.resource, policy.slots.resource);
  if (!policy.template_id.empty()) {
    std::erase_if(out.annotations, [](const cedar::Annotation& one) { return one.name == "id"; });
  }
  if (out.annotation("id") == nullptr) out.annotations.insert(out.annotations.begin(), {"id", policy.id});
  return out;
}

Result<std::string> applied_name(const PolicyFile& file) {
  if (file.is_json) {
    return fail(ErrorKind::kInvalid, "policy_file", "wary takes policies as text")
        .at(file.path)
        .expected("a name ending in .cedar")
        .next("wary policy convert prints it as text");
  }
  const std::string name = file.path.substr(file.path.rfind('/') + 1);
  return name.substr(0, name.size() - std::string_view(".cedar").size());
}

Result<std::vector<PolicyFile>> read_texts(Context& context, const std::vector<std::string>& paths) {
  std::vector<PolicyFile> out;
  for (const std::string& path : paths) WARY_RETURN_IF_ERROR(add_path(context, path, out, true));
  return out;
}

Result<PolicyFiles> read_policy_files(Context& context, const std::vector<std::string>& paths) {
  PolicyFiles out;
  WARY_ASSIGN_OR_RETURN(out.files, read_texts(context, paths));
  std::size_t errors = 0;
  std::size_t number = 0;
  for (const PolicyFile& file : out.files) {
    if (file.is_json) {
      WARY_RETURN_IF_ERROR(add_json(out.set, number, file));
    } else {
      const cedar::ParsedPolicies parsed = cedar::parse_policies(file.source);
      print_errors(context, parsed.errors);
      errors += parsed.errors.size();
      for (const auto& body : parsed.policies) WARY_RETURN_IF_ERROR(add_policy(out.set, number, body));
    }
    out.origin.resize(out.set.policies().size(), file.path);
  }
  if (errors > 0) return refused(errors, "policy_invalid", "the policies");
  return out;
}

Result<schema::Schema> read_schema(Context& context, const std::string& path) {
  WARY_ASSIGN_OR_RETURN(const Bytes bytes, io::read_file(context.files, path, kPolicyFileMax));
  std::vector<cedar::SyntaxError> errors;
  if (path.ends_with(".json")) {
    auto json = codec::parse_json(as_text(bytes), schema::kSchemaLimits);
    if (!json.ok()) return in_file(json.error(), path);
    auto declarations = schema::declarations_from_json(*json);
    if (!declarations.ok()) return in_file(declarations.error(), path);
    schema::SchemaResult made = schema::Schema::resolve(*declarations);
    if (made.schema) return std::move(*made.schema);
    errors = std::move(made.errors);
  } else {
    schema::SchemaResult made = schema::Schema::from_text(path, as_text(bytes));
    if (made.schema) return std::move(*made.schema);
    errors = std::move(made.errors);
  }
  print_errors(context, errors);
  return refused(errors.size(), "schema_invalid", "the schema");
}

Error misplaced(std::string_view flag, std::string_view next) {
  return fail(ErrorKind::kInvalid, "usage", "this option does not go with the others").found(flag).next(next);
}

Status read_schema_of(Context& context, const Arguments& arguments, bool is_live, std::optional<schema::Schema>& named,
                      const schema::Schema*& schema) {
  schema = &policy::platform_schema();
  if (!arguments.has("--schema")) {
    if (is_live) return {};
    return fail(ErrorKind::kInvalid, "usage", "an option is missing")
        .at("--schema")
        .expected("--schema FILE, or --ledger or --platform for wary's own");
  }
  WARY_ASSIGN_OR_RETURN(schema::Schema read, read_schema(context, arguments.flag("--schema")));
  schema = &named.emplace(std::move(read));
  return {};
}

Result<codec::Json> read_json(Context& context, const std::string& path) {
  WARY_ASSIGN_OR_RETURN(const Bytes bytes, io::read_file(context.files, path, kEntityBytesMax));
  auto json = codec::parse_json(as_text(bytes), kEntityLimits);
  if (!json.ok()) return in_file(json.error(), path);
  return std::move(*json);
}

Result<std::vector<cedar::EntityHandle>> read_entities(Context& context, const std::string& path,
                                                       const schema::Schema* schema) {
  WARY_ASSIGN_OR_RETURN(const codec::Json json, read_json(context, path));
  auto entities = schema != nullptr ? schema::entities_from_json(*schema, json) : cedar::entities_from_json(json);
  if (!entities.ok()) return in_file(entities.error(), path);
  return std::move(*entities);
}

Result<cedar::Request> read_request(Context& context, const Arguments& arguments, const schema::Schema* schema,
                                    std::optional<cedar::Variable> free) {
  cedar::Request out;
  WARY_ASSIGN_OR_RETURN(out.principal, read_uid(arguments, "--principal", free == cedar::Variable::kPrincipal));
  WARY_ASSIGN_OR_RETURN(out.action, read_uid(arguments, "--action", free == cedar::Variable::kAction));
  WARY_ASSIGN_OR_RETURN(out.resource, read_uid(arguments, "--resource", free == cedar::Variable::kResource));
  WARY_ASSIGN_OR_RETURN(out.context, read_context(context, arguments, schema, *out.action));
  if (schema != nullptr && !free) WARY_RETURN_IF_ERROR(schema::validate_request(*schema, out));
  return out;
}

Result<Question> read_question(Context& context, const Arguments& arguments, std::optional<cedar::Variable> free) {
  Question out;
  WARY_ASSIGN_OR_RETURN(out.policies, read_policy_files(context, {arguments.flag("--policies")}));
  if (arguments.has("--schema")) {
    WARY_ASSIGN_OR_RETURN(schema::Schema schema, read_schema(context, arguments.flag("--schema")));
    out.schema.emplace(std::move(schema));
  }
  const schema::Schema* schema = out.schema ? &*out.schema : nullptr;
  if (arguments.has("--entities")) {
    WARY_ASSIGN_OR_RETURN(out.entities, read_entities(context, arguments.flag("--entities"), schema));
  } else if (schema != nullptr) {
    out.entities = schema->action_entities();
  }
  WARY_ASSIGN_OR_RETURN(out.store, cedar::EntityStore::make(out.entities));
  WARY_ASSIGN_OR_RETURN(out.request, read_request(context, arguments, schema, free));
  return out;
}

Result<engine::SnapshotPtr> compile(Context& context, const Question& question) {
  std::vector<engine::EntityInput> inputs;
  inputs.reserve(question.entities.size());
  for (const cedar::EntityHandle& entity : question.entities) inputs.push_back({entity.get(), {}});
  return engine::Snapshot::make(question.policies.set.policies(), inputs, {.seed = context.random.number()});
}

void print_finding(Context& context, const policy::PolicyFinding& finding) {
  context.err((finding.is_warning ? "warning: " : "error: ") + finding.error.to_string() + " in policy " +
              finding.policy + "\n");
  if (!finding.caret.empty()) context.err(finding.caret + "\n");
  if (!finding.error.next_step.empty()) context.err("  " + finding.error.next_step + "\n");
}

codec::Json finding_json(const policy::PolicyFinding& finding) {
  return codec::Json::object({{"kind", codec::Json(std::string_view(finding.kind))},
                              {"severity", codec::Json(std::string_view(finding.is_warning ? "warning" : "error"))},
                              {"policy", codec::Json(std::string_view(finding.policy))},
                              {"code", codec::Json(std::string_view(finding.error.code))},
                              {"message", codec::Json(std::string_view(finding.error.message))},
                              {"where", codec::Json(std::string_view(finding.error.where))},
                              {"found", codec::Json(std::string_view(finding.error.found_text))},
                              {"next", codec::Json(std::string_view(finding.error.next_step))}});
}

}  // namespace wary::cli
