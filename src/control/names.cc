#include "control/names.h"

#include "codec/nearest.h"
#include "control/views.h"
#include "policy/validate.h"

namespace wary::control {

namespace {

Error bad_principal(std::string_view text) {
  return fail(ErrorKind::kInvalid, "principal_syntax", "this names nobody")
      .expected(
          "alice, workload:NAMESPACE/NAME, node:NAME, anonymous, a SPIFFE ID, or an entity as Wary::User::\"alice\"")
      .found(text);
}

// Of User::"alice" the type is wary's own, where it has one of that name.
Result<contract::EntityId> entity_named(std::string_view text) {
  auto id = contract::parse_entity_id(text);
  if (!id) return bad_principal(text);
  std::string own = "Wary::" + id->type;
  if (policy::platform_schema().find_entity_type(own) != nullptr) id->type = std::move(own);
  return id;
}

}  // namespace

Result<contract::EntityId> principal_named(const Settings& settings, std::string_view text) {
  constexpr std::string_view kWorkload = "workload:", kNode = "node:", kUser = "user:", kSpiffe = "spiffe://";
  if (text.empty()) return bad_principal(text);
  if (text.find("::") != std::string_view::npos) return entity_named(text);
  if (text == "anonymous") return contract::EntityId{"Wary::Anonymous", "anonymous"};
  if (text.starts_with(kSpiffe)) {
    const bool is_node = text.starts_with(node_entity(settings.trust_domain, "").id);
    return contract::EntityId{is_node ? "Wary::Node" : "Wary::Workload", std::string(text)};
  }
  if (text.starts_with(kNode)) return node_entity(settings.trust_domain, std::string(text.substr(kNode.size())));
  const bool is_workload = text.starts_with(kWorkload);
  if (text.starts_with(kUser)) text.remove_prefix(kUser.size());
  if (!is_workload) return contract::EntityId{"Wary::User", std::string(text)};
  text.remove_prefix(kWorkload.size());
  const std::size_t slash = text.find('/');
  const bool has_namespace = slash != std::string_view::npos;
  return contract::EntityId{"Wary::Workload", spiffe_id_of(settings, has_namespace ? text.substr(0, slash) : "default",
                                                           has_namespace ? text.substr(slash + 1) : text)};
}

std::string nearest_kind(const Kinds& kinds, std::string_view written) {
  std::vector<std::string_view> names;
  for (const auto& [name, kind] : kinds.all()) names.push_back(name);
  if (written.size() > 1 && (written.ends_with('s') || written.ends_with('S'))) {
    const std::string near = codec::nearest(written.substr(0, written.size() - 1), names);
    if (!near.empty()) return near;
  }
  return codec::nearest(written, names);
}

std::string nearest_object(const Objects& objects, const store::Key& key) {
  const auto shown = [](const store::Key& one) {
    return (one.name_space == kTenantWide ? "" : one.name_space + "/") + one.name;
  };
  const auto all = objects.of_kind(key.kind);
  std::vector<std::string_view> here, everywhere;
  for (const auto& [one, value] : all) {
    if (one->name == key.name) return shown(*one);
    everywhere.push_back(one->name);
    if (one->name_space == key.name_space) here.push_back(one->name);
  }
  if (const std::string near = codec::nearest(key.name, here); !near.empty()) {
    return shown({key.tenant, key.name_space, key.kind, near});
  }
  const std::string near = codec::nearest(key.name, everywhere);
  for (const auto& [one, value] : all) {
    if (one->name == near) return shown(*one);
  }
  return {};
}

std::string did_you_mean(std::string_view near) {
  return near.empty() ? std::string() : "did you mean " + std::string(near) + "? ";
}

}  // namespace wary::control
