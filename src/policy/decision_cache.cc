#include "policy/decision_cache.h"

#include <cstring>
#include <utility>

namespace wary::policy {

namespace {

void append_sized(std::string& out, std::string_view text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  char bytes[sizeof size];  // NOLINT: what memcpy wants
  std::memcpy(bytes, &size, sizeof size);
  out.append(bytes, sizeof bytes).append(text);
}

}  // namespace

void append_question(std::string& out, std::string_view tenant, const contract::EntityId& principal,
                     const contract::EntityId& action, const contract::EntityId& resource) {
  append_sized(out, tenant);
  for (const contract::EntityId* id : {&principal, &action, &resource}) {
    append_sized(out, id->type);
    append_sized(out, id->id);
  }
}

void DecisionCache::follow(const SnapshotPtr& snapshot) {
  if (snapshot == snapshot_) return;
  kept_.clear();
  snapshot_ = snapshot;
}

const SharedDecision* DecisionCache::find(const SnapshotPtr& snapshot, std::string_view question, UnixTime now) {
  follow(snapshot);
  const Answer* known = kept_.find(question);
  if (known == nullptr || now < known->made) return nullptr;
  if (known->decision->valid_until && now >= *known->decision->valid_until) return nullptr;
  return &known->decision;
}

void DecisionCache::put(const SnapshotPtr& snapshot, std::string_view question, SharedDecision decision, UnixTime now) {
  follow(snapshot);
  if (!decision->errors.empty() || decision->depends_on.size() > kKeptDependencies) return;
  kept_.put(question, {std::move(decision), now});
}

}  // namespace wary::policy
