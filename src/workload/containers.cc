#include "workload/containers.h"

#include <algorithm>

namespace wary::workload {

namespace {

using codec::Json;

constexpr std::size_t kContainerIdSize = 64;

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> out;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    if (!part.empty()) out.push_back(part);
    path.remove_prefix(std::min(part.size() + 1, path.size()));
  }
  return out;
}

// docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, or the ID alone.
std::string_view container_id_in(std::string_view part) {
  if (part.ends_with(".scope")) {
    part.remove_suffix(6);
    const std::size_t dash = part.rfind('-');
    if (dash == part.npos) return {};
    part.remove_prefix(dash + 1);
  }
  return part.size() == kContainerIdSize && is_hex(part) ? part : std::string_view();
}

// kubepods-burstable-podUID.slice with '_' for '-', or podUID.
std::string pod_uid_in(std::string_view part) {
  if (part.ends_with(".slice")) {
    part.remove_suffix(6);
    const std::size_t at = part.rfind("-pod");
    if (!part.starts_with("kubepods") || at == part.npos) return {};
    part.remove_prefix(at + 1);
  }
  if (!part.starts_with("pod")) return {};
  std::string uid(part.substr(3));
  std::replace(uid.begin(), uid.end(), '_', '-');
  const bool good = uid.size() >= 32 && uid.find_first_not_of("0123456789abcdef-") == uid.npos;
  return good ? uid : std::string();
}

Error no_pods(std::string_view what) { return fail(ErrorKind::kInvalid, "kubelet_pods_syntax", what); }

const Json& member(const Json& of, std::string_view name) {
  static const Json kNothing = Json::object();
  const Json* found = of.find(name);
  return found != nullptr ? *found : kNothing;
}

void add_text(std::vector<std::string>& out, std::string_view key, std::string_view value) {
  if (!value.empty()) out.push_back("k8s:" + std::string(key) + ":" + std::string(value));
}

// The status of the running container with this id in one of a pod's lists; null if none.
const Json* find_container(const Json& status, std::string_view id) {
  for (const std::string_view list : {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}) {
    const Json* containers = status.find(list);
    if (containers == nullptr || !containers->is_array()) continue;
    for (const Json& container : containers->items()) {
      const std::string_view named = container.string_or("containerID", "");  // RUNTIME://ID
      const std::size_t at = named.find("://");
      const bool runs = member(container, "state").find("running") != nullptr;
      if (at != named.npos && named.substr(at + 3) == id && runs) return &container;
    }
  }
  return nullptr;
}

}  // namespace

std::string container_id_of(std::string_view cgroup) {
  // The outermost: what a container makes below itself is its own to name.
  for (const std::string_view part : parts_of(cgroup)) {
    if (const std::string_view id = container_id_in(part); !id.empty()) return std::string(id);
  }
  return {};
}

void add_cgroup_selectors(std::string_view cgroup, std::vector<std::string>& selectors) {
  if (cgroup.empty()) return;
  selectors.push_back("cgroup:path:" + std::string(cgroup));
  for (const std::string_view part : parts_of(cgroup)) {
    if (!part.ends_with(".service") && !part.ends_with(".scope")) continue;
    selectors.push_back("systemd:unit:" + std::string(part));
    break;
  }
  if (const std::string id = container_id_of(cgroup); !id.empty()) selectors.push_back("container:id:" + id);
  for (const std::string_view part : parts_of(cgroup)) {
    const std::string uid = pod_uid_in(part);
    if (uid.empty()) continue;
    selectors.push_back("k8s:pod-uid:" + uid);
    break;
  }
}

Result<std::vector<std::string>> kubernetes_selectors(const Json& pods, std::string_view container_id) {
  const Json* items = pods.find("items");
  if (items == nullptr || !items->is_array()) return no_pods("the kubelet's answer is no list of pods");
  std::vector<std::string> out;
  for (const Json& pod : items->items()) {
    if (!pod.is_object()) return no_pods("a pod in the kubelet's answer is none");
    const Json* container = find_container(member(pod, "status"), container_id);
    if (container == nullptr) continue;
    const Json& metadata = member(pod, "metadata");
    const Json& spec = member(pod, "spec");
    add_text(out, "ns", metadata.string_or("namespace", ""));
    add_text(out, "sa", spec.string_or("serviceAccountName", ""));
    add_text(out, "pod-name", metadata.string_or("name", ""));
    add_text(out, "pod-uid", metadata.string_or("uid", ""));
    add_text(out, "node-name", spec.string_or("nodeName", ""));
    add_text(out, "container-name", container->string_or("name", ""));
    add_text(out, "container-image", container->string_or("image", ""));
    add_text(out, "container-image", container->string_or("imageID", ""));
    if (const Json* labels = metadata.find("labels"); labels != nullptr && labels->is_object()) {
      for (const auto& [name, value] : labels->members()) {
        if (value.is_string()) add_text(out, "pod-label:" + name, value.as_string());
      }
    }
    if (const Json* owners = metadata.find("ownerReferences"); owners != nullptr && owners->is_array()) {
      for (const Json& owner : owners->items()) {
        add_text(out, "pod-owner:" + std::string(owner.string_or("kind", "")), owner.string_or("name", ""));
      }
    }
    break;
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace wary::workload
