// What of the platform's state a node gets to know: an edge the whole, the agent of a machine the workloads placed on
// it and the trust bundles, who federates the trust bundles, and nothing else.
//
//   std::string view = view_of("agent/web-1");                       // "agent/web-1"; "" is the whole
//   std::string content = snapshot_of(*snapshot, view);
//   auto delta = delta_of(*before, *after, delta, view);             // nothing: the view begins again
//   if (is_placed(*snapshot, workload, "web-1")) ...
//
// A workload that names neither nodes nor node groups is the control plane's own machine's, "local". Functions of their
// arguments; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "policy/snapshot.h"

namespace wary::control {

constexpr std::string_view kLocalNode = "local";

contract::EntityId node_entity(std::string_view trust_domain, std::string_view name);

std::string view_of(std::string_view node);
std::string snapshot_of(const policy::Snapshot& snapshot, std::string_view trust_domain, const std::string& view);
std::optional<std::string> delta_of(const policy::Snapshot& before, const policy::Snapshot& after,
                                    const policy::SnapshotDelta& delta, std::string_view trust_domain,
                                    const std::string& view);
bool is_placed(const policy::Snapshot& snapshot, std::string_view trust_domain, const contract::Entity& workload,
               std::string_view node_name);

}  // namespace wary::control
