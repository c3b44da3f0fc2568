#include "cedar/policy_json.h"

#include <algorithm>

#include "cedar/expr_json.h"
#include "cedar/json.h"
#include "cedar/json_place.h"
#include "cedar/parser.h"
#include "cedar/printer.h"

namespace wary::cedar {

namespace {

using codec::Json;
using Kind = ScopeConstraint::Kind;

// Where an expression stands in the JSON of its policy: the policy is level 1, "conditions" 2, a condition 3.
constexpr std::size_t kBodyDepth = 4;
constexpr std::size_t kAnnotationsMax = 64;

void add_target(Json& out, const ScopeConstraint& constraint, Variable variable) {
  if (constraint.is_slot) {
    out.set("slot", Json("?" + std::string(to_string(variable))));
  } else if (!constraint.is_list) {
    out.set("entity", to_json(*constraint.entities.front()));
  } else {
    Json entities = Json::array();
    for (const EntityPtr& entity : constraint.entities) entities.push(to_json(*entity));
    out.set("entities", std::move(entities));
  }
}

Json scope_json(const ScopeConstraint& constraint, Variable variable) {
  Json out = Json::object();
  switch (constraint.kind) {
    case Kind::kAny: out.set("op", Json("All")); break;
    case Kind::kEqual:
      out.set("op", Json("=="));
      add_target(out, constraint, variable);
      break;
    case Kind::kIn:
      out.set("op", Json("in"));
      add_target(out, constraint, variable);
      break;
    case Kind::kIs:
    case Kind::kIsIn:
      out.set("op", Json("is")).set("entity_type", Json(constraint.type));
      if (constraint.kind == Kind::kIsIn) {
        Json in = Json::object();
        add_target(in, constraint, variable);
        out.set("in", std::move(in));
      }
      break;
  }
  return out;
}

// "entity", "entities" (of an action) or "slot": exactly one of them.
Status read_target(const Json& json, Variable variable, ScopeConstraint& out) {
  const Json* entity = json.find("entity");
  const Json* entities = variable == Variable::kAction && out.kind == Kind::kIn ? json.find("entities") : nullptr;
  const Json* slot = variable == Variable::kAction ? nullptr : json.find("slot");
  if ((entity != nullptr) + (entities != nullptr) + (slot != nullptr) != 1) {
    return fail(ErrorKind::kInvalid, "cedar_json_member", "the scope names exactly one target")
        .expected(variable == Variable::kAction ? "entity or entities" : "entity or slot");
  }
  if (slot != nullptr) {
    const std::string wanted = "?" + std::string(to_string(variable));
    if (!slot->is_string()) return inside(wrong_type("a string", *slot), "slot");
    if (slot->as_string() != wanted) {
      return inside(fail(ErrorKind::kInvalid, "cedar_slots", "a slot that does not belong here")
                        .expected(wanted)
                        .found(slot->as_string()),
                    "slot");
    }
    out.is_slot = true;
    return {};
  }
  out.is_list = entities != nullptr;
  if (out.is_list && !entities->is_array()) return inside(wrong_type("an array", *entities), "entities");
  const std::size_t count = out.is_list ? entities->items().size() : 1;
  for (std::size_t i = 0; i < count; ++i) {
    auto uid = entity_uid_from_json(out.is_list ? entities->items()[i] : *entity);
    if (!uid.ok()) {
      Error error = std::move(uid).error();
      return out.is_list ? inside(inside(std::move(error), std::to_string(i)), "entities")
                         : inside(std::move(error), "entity");
    }
    out.entities.push_back(std::move(*uid));
  }
  return {};
}

Status read_is(const Json& json, Variable variable, ScopeConstraint& out) {
  WARY_RETURN_IF_ERROR(only_members(json, {"op", "entity_type", "in"}));
  const Json* type = json.find("entity_type");
  if (type == nullptr || !type->is_string() || !is_type_name(type->as_string())) {
    return fail(ErrorKind::kInvalid, "cedar_type_name", "not an entity type").expected("\"entity_type\": a type name");
  }
  out.kind = Kind::kIs;
  out.type = type->as_string();
  const Json* in = json.find("in");
  if (in == nullptr) return {};
  out.kind = Kind::kIsIn;
  if (!in->is_object()) return inside(wrong_type("an object", *in), "in");
  WARY_RETURN_IF_ERROR(only_members(*in, {"entity", "slot"}));
  auto target = read_target(*in, variable, out);
  if (!target.ok()) return inside(std::move(target).error(), "in");
  return {};
}

Status read_constraint(const Json& json, Variable variable, ScopeConstraint& out) {
  if (!json.is_object()) return wrong_type("an object with \"op\"", json);
  const std::string_view op = json.string_or("op", "");
  const bool is_action = variable == Variable::kAction;
  if (op == "All" || op == "all") return only_members(json, {"op"});
  if (op == "is" && !is_action) return read_is(json, variable, out);
  if (op != "==" && op != "in") {
    return fail(ErrorKind::kInvalid, "cedar_json_operator", "no such scope operator")
        .expected(is_action ? "All, == or in" : "All, ==, in or is")
        .found(op);
  }
  out.kind = op == "==" ? Kind::kEqual : Kind::kIn;
  if (!is_action)
    WARY_RETURN_IF_ERROR(only_members(json, {"op", "entity", "slot"}));
  else if (op == "==")
    WARY_RETURN_IF_ERROR(only_members(json, {"op", "entity"}));
  else
    WARY_RETURN_IF_ERROR(only_members(json, {"op", "entity", "entities"}));
  return read_target(json, variable, out);
}

Status read_scope(const Json& json, Variable variable, ScopeConstraint& out) {
  const std::string_view name = to_string(variable);
  const Json* part = json.find(name);
  if (part == nullptr) return fail(ErrorKind::kInvalid, "cedar_json_member", "a member is missing").expected(name);
  auto constraint = read_constraint(*part, variable, out);
  if (!constraint.ok()) return inside(std::move(constraint).error(), name);
  return {};
}

Status read_condition(const Json& json, Condition& out) {
  if (!json.is_object()) return wrong_type("{\"kind\", \"body\"}", json);
  WARY_RETURN_IF_ERROR(only_members(json, {"kind", "body"}));
  const std::string_view kind = json.string_or("kind", "");
  const Json* body = json.find("body");
  if ((kind != "when" && kind != "unless") || body == nullptr) {
    return fail(ErrorKind::kInvalid, "cedar_json_member", "not a condition")
        .expected("{\"kind\": \"when\" or \"unless\", \"body\"}");
  }
  out.is_unless = kind == "unless";
  auto expression = read_expression(*body, kBodyDepth);
  if (!expression.ok()) return inside(std::move(expression).error(), "body");
  out.expression = std::move(*expression);
  return {};
}

// Any identifier names an annotation, a reserved word too.
bool is_annotation_name(std::string_view name) {
  return is_identifier(name) || (!name.empty() && is_identifier(std::string(name) + "_"));
}

Status read_annotations(const Json& json, std::vector<Annotation>& out) {
  if (!json.is_object()) return wrong_type("an object", json);
  if (json.members().size() > kAnnotationsMax) {
    return fail(ErrorKind::kInvalid, "cedar_items", "too many annotations").expected("at most 64");
  }
  for (const auto& [name, value] : json.members()) {
    if (!is_annotation_name(name)) return fail(ErrorKind::kInvalid, "cedar_json_member", "not a name").found(name);
    const bool stands_twice =
        std::any_of(out.begin(), out.end(), [&, &key = name](const Annotation& other) { return other.name == key; });
    if (stands_twice) return fail(ErrorKind::kInvalid, "cedar_json_duplicate", "a member stands twice").found(name);
    if (!value.is_null() && !value.is_string()) return inside(wrong_type("a string or null", value), name);
    out.push_back({name, value.is_null() ? std::nullopt : std::optional(value.as_string())});
  }
  return {};
}

Status read_body(const Json& json, PolicyBody& out) {
  if (!json.is_object()) return wrong_type("an object", json);
  WARY_RETURN_IF_ERROR(only_members(json, {"effect", "principal", "action", "resource", "conditions", "annotations"}));
  const std::string_view effect = json.string_or("effect", "");
  if (effect != "permit" && effect != "forbid") {
    return inside(
        fail(ErrorKind::kInvalid, "cedar_json_member", "no such effect").expected("permit or forbid").found(effect),
        "effect");
  }
  out.effect = effect == "permit" ? Effect::kPermit : Effect::kForbid;
  WARY_RETURN_IF_ERROR(read_scope(json, Variable::kPrincipal, out.principal));
  WARY_RETURN_IF_ERROR(read_scope(json, Variable::kAction, out.action));
  WARY_RETURN_IF_ERROR(read_scope(json, Variable::kResource, out.resource));
  const Json* conditions = json.find("conditions");
  if (conditions == nullptr || !conditions->is_array()) {
    return fail(ErrorKind::kInvalid, "cedar_json_member", "a member is missing").expected("conditions, an array");
  }
  for (std::size_t i = 0; i < conditions->items().size(); ++i) {
    auto condition = read_condition(conditions->items()[i], out.conditions.emplace_back());
    if (!condition.ok()) return inside(inside(std::move(condition).error(), std::to_string(i)), "conditions");
  }
  if (const Json* annotations = json.find("annotations")) {
    auto read = read_annotations(*annotations, out.annotations);
    if (!read.ok()) return inside(std::move(read).error(), "annotations");
  }
  return {};
}

}  // namespace

Result<Json> to_json(const Expr& expression) { return write_expression(expression, 1); }

Result<Json> to_json(const PolicyBody& policy) {
  Json out = Json::object();
  out.set("effect", Json(policy.effect == Effect::kPermit ? "permit" : "forbid"));
  out.set("principal", scope_json(policy.principal, Variable::kPrincipal));
  out.set("action", scope_json(policy.action, Variable::kAction));
  out.set("resource", scope_json(policy.resource, Variable::kResource));
  Json conditions = Json::array();
  for (const Condition& condition : policy.conditions) {
    WARY_ASSIGN_OR_RETURN(Json body, write_expression(condition.expression, kBodyDepth));
    conditions.push(Json::object({{"kind", Json(condition.is_unless ? "unless" : "when")}, {"body", std::move(body)}}));
  }
  out.set("conditions", std::move(conditions));
  if (policy.annotations.empty()) return out;
  Json annotations = Json::object();
  for (const Annotation& annotation : policy.annotations) {
    annotations.set(annotation.name, annotation.value ? Json(*annotation.value) : Json());
  }
  out.set("annotations", std::move(annotations));
  return out;
}

Result<Expr> expression_from_json(const Json& json) {
  WARY_ASSIGN_OR_RETURN(const Expr expression, read_expression(json, 1));
  return parse_expression(print(expression));
}

// Printed and parsed again: so the parser's limits hold whatever form a policy came in, and its spans point into a
// text.
Result<std::shared_ptr<const PolicyBody>> policy_from_json(const Json& json, std::string_view name) {
  PolicyBody body;
  WARY_RETURN_IF_ERROR(read_body(json, body));
  ParsedPolicies parsed = parse_policies(Source::make(name, print(body)));
  if (!parsed.errors.empty()) return parsed.errors.front().error;
  WARY_CHECK(parsed.policies.size() == 1);
  return parsed.policies.front();
}

}  // namespace wary::cedar
