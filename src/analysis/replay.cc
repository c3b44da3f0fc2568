// Counter-examples, checked by the tree walker and written for people.
#include <algorithm>

#include "analysis/prove.h"
#include "schema/conformance.h"

namespace wary::analysis {

namespace {

using Policies = std::vector<const cedar::Policy*>;

struct Outcomes {
  bool permits = false;
  bool forbids = false;
  bool matches = false;
  bool errors = false;
  bool allows() const { return permits && !forbids; }
};

Outcomes evaluate(const Policies& policies, const cedar::Request& request, const cedar::EntityStore& store, Rule rule) {
  cedar::StoreView view(store);
  cedar::Evaluator evaluator(request, view);
  Outcomes out;
  for (const cedar::Policy* policy : policies) {
    switch (evaluator.evaluate(*policy)) {
      case cedar::Outcome::kSatisfied:
        (policy->body->effect == cedar::Effect::kPermit ? out.permits : out.forbids) = true;
        out.matches = true;
        break;
      case cedar::Outcome::kError:
        out.errors = true;
        out.forbids = out.forbids || (rule == Rule::kDecisionPoint && policy->body->effect == cedar::Effect::kForbid);
        break;
      case cedar::Outcome::kNotSatisfied: break;
    }
  }
  return out;
}

bool contradicts(const Question& question, const Outcomes& a, const Outcomes& b) {
  using Kind = Question::Kind;
  switch (question.kind) {
    case Kind::kImplies: return a.allows() && !b.allows();
    case Kind::kDisjoint: return a.allows() && b.allows();
    case Kind::kAlwaysAllows: return !a.allows();
    case Kind::kAlwaysDenies: return a.allows();
    case Kind::kNeverErrors: return a.errors;
    case Kind::kNeverMatches: return a.matches;
    case Kind::kMatchesImplies: break;
  }
  return a.matches && !b.matches;
}

void add_record(std::string& out, const cedar::Value::Record& record, std::string_view indent) {
  for (const auto& [name, value] : record) {
    out += indent;
    cedar::is_identifier(name) ? void(out += name) : cedar::append_string_literal(out, name);
    out += ": " + value.to_string() + "\n";
  }
}

}  // namespace

bool is_allowed(const Policies& policies, const cedar::Request& request, const cedar::EntityStore& store, Rule rule) {
  return evaluate(policies, request, store, rule).allows();
}

std::string replay(const schema::Schema& schema, const Question& question, const Witness& witness) {
  const Status fits = schema::validate_request(schema, witness.request);
  if (!fits.ok()) return "its request does not fit the schema: " + fits.error().to_string();
  if (witness.request.principal->type != question.environment.principal->name ||
      witness.request.resource->type != question.environment.resource->name ||
      *witness.request.action != *question.environment.action->uid) {
    return "its request is of another environment";
  }
  std::vector<cedar::EntityHandle> entities = witness.entities;
  const Status fit = schema::validate_entities(schema, entities);
  if (!fit.ok()) return "its entities do not fit the schema: " + fit.error().to_string();
  const auto& actions = schema.action_entities();
  entities.insert(entities.end(), actions.begin(), actions.end());
  const auto store = cedar::EntityStore::make(std::move(entities));
  if (!store.ok()) return "its entities are no store: " + store.error().to_string();
  const Outcomes a = evaluate(question.a, witness.request, *store, question.rule);
  const Outcomes b = evaluate(question.b, witness.request, *store, question.rule);
  return contradicts(question, a, b) ? "" : "it shows nothing";
}

std::string to_string(const Witness& witness) {
  std::string out = "principal: " + witness.request.principal->to_string() +
                    "\naction: " + witness.request.action->to_string() +
                    "\nresource: " + witness.request.resource->to_string() + "\n";
  if (const cedar::Value::Record* context = witness.request.context.as_record(); context && !context->empty()) {
    out += "context:\n";
    add_record(out, *context, "  ");
  }
  for (const cedar::EntityHandle& entity : witness.entities) {
    if (entity->attributes.empty() && entity->tags.empty() && entity->parents.empty()) continue;
    out += "entity " + entity->uid->to_string() + "\n";
    for (const cedar::EntityPtr& parent : entity->parents) out += "  in " + parent->to_string() + "\n";
    add_record(out, entity->attributes, "  ");
    if (!entity->tags.empty()) out += "  tags:\n";
    add_record(out, entity->tags, "    ");
  }
  return out;
}

}  // namespace wary::analysis
