#include "control/views.h"

#include <algorithm>

#include "policy/serialize.h"

namespace wary::control {

namespace {

constexpr std::string_view kAgentPrefix = "agent/", kFederationPrefix = "federation/";
constexpr std::string_view kNodePath = "/wary/node/";

bool holds(const codec::Json& list, std::string_view text) {
  return list.is_array() && std::any_of(list.items().begin(), list.items().end(), [&](const codec::Json& item) {
           return item.is_string() && item.as_string() == text;
         });
}

// The node's name, of an agent's view; empty of any other.
std::string_view name_in(std::string_view view) {
  return view.starts_with(kAgentPrefix) ? view.substr(kAgentPrefix.size()) : std::string_view();
}

// What a view shows of a state: every trust domain; to who fetches keys the issuers, and to an agent the placed
// workloads.
bool shows(const policy::Snapshot& snapshot, std::string_view trust_domain, const contract::Entity& entity,
           std::string_view name) {
  if (entity.id.type == "Wary::TrustDomain") return true;
  if (entity.id.type == "Wary::Issuer") return name.empty();
  return entity.id.type == "Wary::Workload" && !name.empty() && is_placed(snapshot, trust_domain, entity, name);
}

}  // namespace

contract::EntityId node_entity(std::string_view trust_domain, std::string_view name) {
  return {"Wary::Node", "spiffe://" + std::string(trust_domain) + std::string(kNodePath) + std::string(name)};
}

std::string view_of(std::string_view node) {
  // Who fetches bundles is one like another.
  if (node.starts_with(kFederationPrefix)) return std::string(kFederationPrefix);
  return node.starts_with(kAgentPrefix) ? std::string(node) : std::string();
}

bool is_placed(const policy::Snapshot& snapshot, std::string_view trust_domain, const contract::Entity& workload,
               std::string_view node_name) {
  const codec::Json* nodes = nullptr;
  const codec::Json* groups = nullptr;
  for (const contract::Fact& fact : workload.attributes) {
    if (fact.name == "nodes") nodes = &fact.value;
    if (fact.name == "node_groups") groups = &fact.value;
  }
  if (nodes == nullptr && groups == nullptr) return node_name == kLocalNode;
  if (nodes != nullptr && holds(*nodes, node_name)) return true;
  if (groups == nullptr) return false;
  const contract::Entity* node = snapshot.find_entity(node_entity(trust_domain, node_name));
  return node != nullptr &&
         std::any_of(node->parents.begin(), node->parents.end(), [&](const contract::EntityId& parent) {
           return parent.type == "Wary::Group" && holds(*groups, parent.id);
         });
}

std::string snapshot_of(const policy::Snapshot& snapshot, std::string_view trust_domain, const std::string& view) {
  const std::string_view name = name_in(view);
  policy::SnapshotContent content;
  content.tenant = snapshot.tenant();
  content.revision = snapshot.revision();
  for (const std::string_view type : {"Wary::Issuer", "Wary::TrustDomain", "Wary::Workload"}) {
    for (const contract::Entity* entity : snapshot.entities_of_type(type)) {
      if (shows(snapshot, trust_domain, *entity, name)) content.entities.push_back(*entity);
    }
  }
  return policy::serialize_snapshot(content);
}

std::optional<std::string> delta_of(const policy::Snapshot& before, const policy::Snapshot& after,
                                    const policy::SnapshotDelta& delta, std::string_view trust_domain,
                                    const std::string& view) {
  const std::string_view name = name_in(view);
  const contract::EntityId own = node_entity(trust_domain, name);
  policy::SnapshotDelta out;
  out.tenant = delta.tenant;
  out.from = delta.from;
  out.to = delta.to;
  const auto was_shown = [&](const contract::EntityId& id) {
    const contract::Entity* entity = before.find_entity(id);
    return entity != nullptr && shows(before, trust_domain, *entity, name);
  };
  for (const contract::EntityId& id : delta.removals) {
    if (id == own) return std::nullopt;
    if (was_shown(id)) out.removals.push_back(id);
  }
  for (const contract::Entity& entity : delta.upserts) {
    // Its groups may place other workloads on it.
    if (entity.id == own) return std::nullopt;
    if (shows(after, trust_domain, entity, name)) {
      out.upserts.push_back(entity);
    } else if (was_shown(entity.id)) {
      out.removals.push_back(entity.id);
    }
  }
  return policy::serialize_delta(out);
}

}  // namespace wary::control
