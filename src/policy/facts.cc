#include "policy/facts.h"

#include <algorithm>

#include "cedar/json.h"

namespace wary::policy {

namespace {

Error bad_fact(std::string_view name, const Error& cause) {
  Error error = cause;
  error.code = "policy_fact";
  error.message = "a fact is no Cedar value: " + cause.message;
  error.where = std::string(name) + cause.where;
  return error;
}

Status add_facts(const std::vector<contract::Fact>& facts, bool is_tag, cedar::Value::Record& out,
                 std::vector<engine::Expiry>& timed) {
  if (facts.size() > cedar::kEntityAttributesMax) {
    return fail(ErrorKind::kInvalid, "policy_fact", "too many facts")
        .expected("at most " + std::to_string(cedar::kEntityAttributesMax));
  }
  out.reserve(facts.size());
  for (const contract::Fact& fact : facts) {
    auto value = cedar::value_from_json(fact.value);
    if (!value.ok()) return bad_fact(fact.name, value.error());
    out.emplace_back(fact.name, std::move(*value));
    if (!fact.expires) continue;
    auto then = cedar::value_from_json(fact.on_expiry);
    if (!then.ok()) {
      return fail(ErrorKind::kInvalid, "policy_fact_expiry", "a fact that expires must say what it becomes")
          .at(fact.name)
          .expected("on_expiry, a Cedar value");
    }
    timed.push_back({fact.name, is_tag, *fact.expires, std::move(*then)});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto twice =
      std::adjacent_find(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice == out.end()) return {};
  return fail(ErrorKind::kInvalid, "policy_fact", "a fact stands twice").at(twice->first);
}

Result<cedar::EntityPtr> make_uid(const contract::EntityId& id) {
  if (!cedar::is_type_name(id.type)) {
    return fail(ErrorKind::kInvalid, "policy_entity", "not an entity type").expected("Namespace::Type").found(id.type);
  }
  if (id.id.size() > kEntityIdBytesMax || !cedar::is_valid_utf8(id.id)) {
    return fail(ErrorKind::kInvalid, "policy_entity", "not an entity id").expected("UTF-8, at most 1024 bytes");
  }
  return cedar::make_entity(id.type, id.id);
}

}  // namespace

Result<std::shared_ptr<const FactEntity>> make_fact_entity(const contract::Entity& entity) {
  auto out = std::make_shared<FactEntity>();
  WARY_ASSIGN_OR_RETURN(out->uid, make_uid(entity.id));
  const auto named = [&](Error error) {
    error.where = out->uid->to_string() + (error.where.empty() ? "" : ": ") + error.where;
    return error;
  };
  if (entity.parents.size() > cedar::kEntityParentsMax) {
    return named(fail(ErrorKind::kInvalid, "policy_entity", "too many parents").expected("at most 256"));
  }
  for (const contract::EntityId& parent : entity.parents) {
    auto uid = make_uid(parent);
    if (!uid.ok()) return named(std::move(uid).error());
    out->parents.push_back(std::move(*uid));
  }
  auto attributes = add_facts(entity.attributes, false, out->attributes, out->timed);
  if (!attributes.ok()) return named(std::move(attributes).error());
  auto tags = add_facts(entity.tags, true, out->tags, out->timed);
  if (!tags.ok()) return named(std::move(tags).error());
  out->facts = std::make_shared<const contract::Entity>(entity);
  out->digest = crypto::sha256(as_bytes(contract::to_json(entity).to_canonical_string()));
  return std::shared_ptr<const FactEntity>(std::move(out));
}

const cedar::Value* FactView::timed(const cedar::Entity& entity, std::string_view name, bool is_tag,
                                    const cedar::Value* now) {
  for (const engine::Expiry& fact : static_cast<const FactEntity&>(entity).timed) {
    if (fact.is_tag != is_tag || fact.name != name) continue;
    if (fact.at <= now_) return &fact.then;
    valid_until_ = valid_until_ ? std::min(*valid_until_, fact.at) : fact.at;
    return now;
  }
  return now;
}

const cedar::Value* FactView::attribute(const cedar::Entity& entity, std::string_view name) {
  return timed(entity, name, false, cedar::find_member(entity.attributes, name));
}

const cedar::Value* FactView::tag(const cedar::Entity& entity, std::string_view name) {
  return timed(entity, name, true, cedar::find_member(entity.tags, name));
}

}  // namespace wary::policy
