#include "cli/policy_questions.h"

#include <algorithm>

#include "cedar/json.h"
#include "cedar/printer.h"
#include "cli/policy_files.h"
#include "engine/search.h"
#include "policy/explain.h"

namespace wary::cli {

namespace {

using codec::Json;

contract::EntityId id_of(const cedar::EntityUid& uid) { return {uid.type, uid.id}; }

// A policy by itself, under its id in the set: as it stands in its file, or printed where it stands there as JSON.
policy::PolicyText text_of(const cedar::Policy& policy, const std::string& path) {
  const cedar::PolicyBody& body = *policy.body;
  if (path.ends_with(".json")) {
    cedar::PolicyBody whole = standalone(policy);
    // Any text is an id there, but not every one may stand in @id.
    std::erase_if(whole.annotations, [](const cedar::Annotation& one) { return one.name == "id"; });
    return {policy.id, cedar::print(whole), path, 1};
  }
  return {policy.id, std::string(body.source->slice(body.span)), path, body.source->position(body.span.begin).line};
}

// The decision point's snapshot of the files: what explains in the product explains here.
policy::SnapshotContent content_of(const Question& question) {
  policy::SnapshotContent out;
  const std::vector<cedar::Policy>& policies = question.policies.set.policies();
  for (std::size_t i = 0; i < policies.size(); ++i) {
    out.policies.push_back(text_of(policies[i], question.policies.origin[i]));
  }
  for (const cedar::EntityHandle& handle : question.entities) {
    contract::Entity entity;
    entity.tenant = out.tenant;
    entity.id = id_of(*handle->uid);
    const auto facts = [](const cedar::Value::Record& record) {
      std::vector<contract::Fact> list;
      for (const auto& [name, value] : record) {
        contract::Fact fact;
        fact.name = name;
        fact.value = cedar::to_json(value);
        fact.source = "file";
        list.push_back(std::move(fact));
      }
      return list;
    };
    entity.attributes = facts(handle->attributes);
    entity.tags = facts(handle->tags);
    for (const cedar::EntityPtr& parent : handle->parents) entity.parents.push_back(id_of(*parent));
    out.entities.push_back(std::move(entity));
  }
  return out;
}

// A search finds nothing of a type that is not there: a slip of the pen must not look like an answer.
Status look_up_type(Context& context, const Question& question, const std::string& type) {
  if (question.schema && question.schema->find_entity_type(type) == nullptr && !schema::is_action_type(type)) {
    return fail(ErrorKind::kInvalid, "policy_type", "the schema has no such entity type").found(type);
  }
  const bool is_there = std::any_of(question.entities.begin(), question.entities.end(),
                                    [&](const cedar::EntityHandle& entity) { return entity->uid->type == type; });
  if (!is_there) context.err("note: no entity of the type " + type + " is known, so none can be found\n");
  return {};
}

}  // namespace

Status policy_evaluate(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const Question question, read_question(context, arguments));
  WARY_ASSIGN_OR_RETURN(const engine::SnapshotPtr snapshot, compile(context, question));
  engine::Worker worker;
  const engine::Answer answer = worker.decide(*snapshot, question.request, context.clock.unix_time());
  Json reasons = Json::array();
  Json errors = Json::array();
  bool has_failed_forbid = false;
  for (const std::uint32_t policy : answer.reasons()) reasons.push(Json(snapshot->policy_id(policy)));
  for (const engine::Failure& failure : answer.errors) {
    cedar::StoreView view(question.store);
    cedar::Evaluator evaluator(question.request, view);
    const cedar::Policy& failed = question.policies.set.policies()[failure.policy];
    evaluator.evaluate(failed);
    has_failed_forbid = has_failed_forbid || failed.body->effect == cedar::Effect::kForbid;
    errors.push(Json::object({{"policy", Json(snapshot->policy_id(failure.policy))},
                              {"kind", Json(cedar::to_string(failure.kind))},
                              {"message", Json(std::string_view(evaluator.error().message))}}));
  }
  if (!answer.is_allowed) context.exit_code = kAnswerIsNo;
  if (context.is_json) {
    context.out(Json::object({{"decision", Json(std::string_view(answer.is_allowed ? "allow" : "deny"))},
                              {"reasons", std::move(reasons)},
                              {"errors", std::move(errors)},
                              {"forbid_failed", Json(has_failed_forbid)}})
                    .to_pretty_string() +
                "\n");
    return {};
  }
  context.out(answer.is_allowed ? "ALLOW\n" : "DENY\n");
  for (const Json& reason : reasons.items()) context.out("  policy " + std::string(reason.as_string()) + "\n");
  for (const Json& error : errors.items()) {
    context.out("  error in " + std::string(error.string_or("policy", "")) + ": " +
                std::string(error.string_or("kind", "")) + ": " + std::string(error.string_or("message", "")) + "\n");
  }
  if (answer.is_allowed && has_failed_forbid) {
    context.out("  wary denies this: a forbid failed, which Cedar by itself skips; see wary policy explain\n");
  }
  return {};
}

Status policy_explain(Context& context, const Arguments& arguments) {
  WARY_ASSIGN_OR_RETURN(const Question question, read_question(context, arguments));
  WARY_ASSIGN_OR_RETURN(const policy::SnapshotPtr snapshot,
                        policy::build_snapshot(content_of(question), {}, context.random.number()));
  policy::DecisionRecord record;
  record.request.tenant = snapshot->tenant();
  record.request.principal = id_of(*question.request.principal);
  record.request.action = id_of(*question.request.action);
  record.request.resource = id_of(*question.request.resource);
  record.request.context = cedar::to_json(question.request.context);
  record.decided = context.clock.unix_time();
  record.options.require_known = false;
  WARY_ASSIGN_OR_RETURN(const policy::Explanation explanation, policy::explain(*snapshot, record));
  context.out(context.is_json ? policy::to_json(explanation).to_pretty_string() + "\n" : policy::to_text(explanation));
  return {};
}

Status policy_search(Context& context, const Arguments& arguments) {
  const std::string what = arguments.positional[0];
  engine::SearchQuery query;
  if (what == "principal") {
    query.free = cedar::Variable::kPrincipal;
  } else if (what == "action") {
    query.free = cedar::Variable::kAction;
  } else if (what != "resource") {
    return fail(ErrorKind::kInvalid, "usage", "nothing that can be searched")
        .expected("principal, action or resource")
        .found(what);
  }
  if (arguments.has("--" + what)) {
    return fail(ErrorKind::kInvalid, "usage", "this option does not go with the others")
        .found("--" + what)
        .next("leave it out: it is what is searched");
  }
  WARY_ASSIGN_OR_RETURN(const Question question, read_question(context, arguments, query.free));
  WARY_ASSIGN_OR_RETURN(engine::SnapshotPtr snapshot, compile(context, question));
  const engine::Directory directory(std::move(snapshot));
  engine::Worker worker;
  query.type = arguments.positional[1];
  WARY_RETURN_IF_ERROR(look_up_type(context, question, query.type));
  query.request = question.request;
  query.now = context.clock.unix_time();
  query.limit = 1'000;
  Json found = Json::array();
  do {
    WARY_ASSIGN_OR_RETURN(engine::SearchResult page, engine::search(directory, worker, query));
    for (const std::string& id : page.ids) {
      const std::string uid = cedar::EntityUid{query.type, id}.to_string();
      if (context.is_json) {
        found.push(Json(std::string_view(uid)));
      } else {
        context.out(uid + "\n");
      }
    }
    query.after = page.next;
  } while (!query.after.empty());
  if (context.is_json) context.out(found.to_pretty_string() + "\n");
  return {};
}

}  // namespace wary::cli
