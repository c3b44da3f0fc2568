// What the `wary policy` commands read: policies as Cedar text or JSON, a schema in either form, entities, a request.
// Private to cli/.
//
//   WARY_ASSIGN_OR_RETURN(PolicyFiles files, read_policy_files(context, {"policies/"}));
//   WARY_ASSIGN_OR_RETURN(Question question, read_question(context, arguments, files));
//
// Every error in a text is printed with its line and a caret; the Error that comes back says how many there are.
// Limits: 16 MiB a policy file, 1,000 files, 512 MiB of entities.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cedar/policy_set.h"
#include "cedar/source.h"
#include "cli/command.h"
#include "engine/engine.h"
#include "policy/validate.h"
#include "schema/schema.h"

namespace wary::cli {

struct PolicyFile {
  std::string path;
  std::string text;
  bool is_json = false;
  std::shared_ptr<const cedar::Source> source;  // of a text; shared with its policies
};

struct PolicyFiles {
  std::vector<PolicyFile> files;
  cedar::PolicySet set;             // ids: @id where given, else policy0, policy1, ... over all files in order
  std::vector<std::string> origin;  // of each of set.policies(): the path of its file
};

// The policy without what only its set knows: slots filled, and its id as @id where it has none.
cedar::PolicyBody standalone(const cedar::Policy& policy);

// Files ending in .cedar or .json, and directories of .cedar files. Errors: policy_invalid (told before), file_*.
// What `wary apply` calls the policy of this file: its name without .cedar. Error: policy_file (no text).
Result<std::string> applied_name(const PolicyFile& file);
Result<std::vector<PolicyFile>> read_texts(Context& context, const std::vector<std::string>& paths);
Result<PolicyFiles> read_policy_files(Context& context, const std::vector<std::string>& paths);
// .cedarschema, or its JSON form when the name ends in .json. Errors: schema_invalid (told before).
Result<schema::Schema> read_schema(Context& context, const std::string& path);
// Of --schema, kept in `named`; without it wary's own, when `is_live` says that a running wary is asked.
Status read_schema_of(Context& context, const Arguments& arguments, bool is_live, std::optional<schema::Schema>& named,
                      const schema::Schema*& schema);
// An option that makes no sense beside the others.
Error misplaced(std::string_view flag, std::string_view next);
// By the schema where there is one. Errors: those of the parsers, with a pointer.
Result<std::vector<cedar::EntityHandle>> read_entities(Context& context, const std::string& path,
                                                       const schema::Schema* schema);
Result<codec::Json> read_json(Context& context, const std::string& path);

// Principal, action, resource and context of a command's flags; `free` may be missing. The context is JSON, or @FILE.
Result<cedar::Request> read_request(Context& context, const Arguments& arguments, const schema::Schema* schema,
                                    std::optional<cedar::Variable> free = std::nullopt);

// Everything that a question needs, of the flags --policies, --entities, --schema.
struct Question {
  PolicyFiles policies;
  std::optional<schema::Schema> schema;
  std::vector<cedar::EntityHandle> entities;
  cedar::EntityStore store;
  cedar::Request request;
};
Result<Question> read_question(Context& context, const Arguments& arguments,
                               std::optional<cedar::Variable> free = std::nullopt);
Result<engine::SnapshotPtr> compile(Context& context, const Question& question);

void print_errors(Context& context, const std::vector<cedar::SyntaxError>& errors);
void print_finding(Context& context, const policy::PolicyFinding& finding);
codec::Json finding_json(const policy::PolicyFinding& finding);

}  // namespace wary::cli
