#include "control/near_names.h"

#include "codec/nearest.h"
#include "codec/text.h"

namespace wary::control {

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
