#include "control/policy_check.h"

#include <optional>
#include <set>

#include "control/derive.h"
#include "policy/validate.h"

namespace wary::control {

namespace {

constexpr std::size_t kLoggedMax = 20;

// Those without an object: what is built in, and namespaces, which are parents of what is in them whether they were
// ever applied or not.
std::set<contract::EntityId> entities_without_object(const Objects& objects, const Settings& settings) {
  std::set<contract::EntityId> out;
  for (const contract::Entity& entity : built_in_entities(settings)) out.insert(entity.id);
  for (const std::string_view kind : {"App", "Workload"}) {
    for (const auto& [key, value] : objects.of_kind(kind)) out.insert({"Wary::Namespace", key->name_space});
  }
  return out;
}

std::vector<std::string> ids_of(const Objects& objects, const Settings& settings, std::string_view type) {
  std::vector<std::string> out;
  const std::string_view kind = type.substr(type.rfind(':') + 1);
  for (const auto& [key, value] : objects.of_kind(kind)) {
    for (contract::EntityId& id : entities_of(*key, settings)) out.push_back(std::move(id.id));
  }
  return out;
}

}  // namespace

policy::EntityNames names_of(const Objects& objects, const Settings& settings) {
  // Found out once, and only where something is asked for that has no object.
  std::optional<std::set<contract::EntityId>> others;
  const auto has = [&objects, &settings, others](const contract::EntityId& id) mutable {
    if (derive_entity(objects, id, settings)) return true;
    if (!others) others = entities_without_object(objects, settings);
    return others->contains(id);
  };
  return {has, [&objects, &settings](std::string_view type) { return ids_of(objects, settings, type); }};
}

PolicyProblems check_policy(const Resource& resource, std::size_t object, policy::EntityNames* names) {
  PolicyProblems out;
  const auto problem = [&](const Error& error, const std::string& caret) {
    return ResourceError{object, "/spec/cedar", error, caret};
  };
  const policy::PolicyCheck check = policy::check_policies(derive_policy(resource.key, resource.spec));
  for (const cedar::SyntaxError& wrong : check.errors) out.errors.push_back(problem(wrong.error, wrong.caret));
  for (const policy::PolicyFinding& finding : policy::validate_policies(check)) {
    (finding.is_warning ? out.warnings : out.errors).push_back(problem(finding.error, finding.caret));
  }
  if (names == nullptr) return out;
  for (const policy::PolicyFinding& finding : names->find_unknown(check)) {
    out.warnings.push_back(problem(finding.error, finding.caret));
  }
  return out;
}

void log_invalid_policies(const Objects& objects, Log& log) {
  std::size_t count = 0;
  for (const auto& [key, value] : objects.of_kind("Policy")) {
    const auto resource = from_stored(*key, value->json.to_string());
    if (!resource) continue;
    const PolicyProblems problems = check_policy(*resource, 0);
    if (problems.errors.empty() || ++count > kLoggedMax) continue;
    const Error& error = problems.errors.front().error;
    log.warn("control.policy_invalid", {{"policy", name_of(*key)},
                                        {"code", error.code},
                                        {"where", error.where},
                                        {"why", error.message},
                                        {"next", error.next_step}});
  }
  if (count == 0) return;
  log.warn("control.policies_invalid", {{"count", static_cast<std::uint64_t>(count)},
                                        {"why", "stored policies that wary apply would refuse today keep deciding"},
                                        {"next", "mend and apply them"}});
}

}  // namespace wary::control
