// What a cgroup's path says of the service, container and pod a process runs in, and what a kubelet says of the pod.
//
//   add_cgroup_selectors("/system.slice/docker-<64 hex>.scope", selectors);   // container:id:<64 hex>
//   WARY_ASSIGN_OR_RETURN(auto more, kubernetes_selectors(kubelet_pods_json, container_id));
//
// A unit is the first one on the way from the root: what lies below is delegated, and named by whoever it was delegated
// to. Pure. Error: kubelet_pods_syntax.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codec/json.h"

namespace wary::workload {

void add_cgroup_selectors(std::string_view cgroup, std::vector<std::string>& selectors);
// 64 hexadecimal digits, or empty.
std::string container_id_of(std::string_view cgroup);
// Of a kubelet's /pods answer (a PodList): k8s:ns, sa, pod-name, pod-uid, node-name, container-name, container-image,
// pod-label:KEY:VALUE, pod-owner:KIND:NAME. None when no container that runs has the id.
Result<std::vector<std::string>> kubernetes_selectors(const codec::Json& pods, std::string_view container_id);

}  // namespace wary::workload
