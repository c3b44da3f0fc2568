// From the facts of a contract Entity to what Cedar evaluates: attributes and tags by name, and for each fact that
// expires the value it takes then. Private to policy/.
//
// A fact that expires must say what it becomes (policy_fact_expiry otherwise): an expired fact never vanishes, so a
// forbid that asks `has` keeps its answer.
#pragma once

#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cedar/entities.h"
#include "contract/entity.h"
#include "crypto/hash.h"
#include "engine/engine.h"

namespace wary::policy {

constexpr std::size_t kEntityIdBytesMax = 1024;

// Every entity of a snapshot's store is one of these.
struct FactEntity : cedar::Entity {
  std::shared_ptr<const contract::Entity> facts;  // as they came, for the serialised form; shared between revisions
  std::vector<engine::Expiry> timed;
  crypto::Digest digest{};  // of the canonical JSON of `facts`
};

// Errors: policy_entity (type, id, parents), policy_fact (twice the same name, no Cedar value), policy_fact_expiry.
Result<std::shared_ptr<const FactEntity>> make_fact_entity(const contract::Entity& entity);

// The store as it is at one moment. Remembers when the first of the facts it showed will change.
class FactView final : public cedar::EntityView {
 public:
  FactView(const cedar::EntityStore& store, UnixTime now) : store_(store), now_(now) {}  // borrows the store
  const cedar::Entity* find(const cedar::EntityUid& uid) override { return store_.find(uid); }
  const cedar::Value* attribute(const cedar::Entity& entity, std::string_view name) override;
  const cedar::Value* tag(const cedar::Entity& entity, std::string_view name) override;
  std::optional<UnixTime> valid_until() const { return valid_until_; }

 private:
  const cedar::Value* timed(const cedar::Entity& entity, std::string_view name, bool is_tag, const cedar::Value* now);
  const cedar::EntityStore& store_;
  UnixTime now_;
  std::optional<UnixTime> valid_until_;
};

}  // namespace wary::policy
