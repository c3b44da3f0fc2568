// Derive: from stored objects to what is decided by: entities and policy texts. Pure functions of the objects, so that
// a change is decided by its consequences before anything is stored.
//
//   Objects next = objects; next.put(key, value);
//   for (const contract::EntityId& id : entities_of(key)) derive_entity(next, id)   // the entity, or nothing
//
// One thread. Objects made over others see them through what they change themselves, so that a change is tried without
// a copy; they borrow what they stand on.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "codec/json.h"
#include "contract/entity.h"
#include "policy/policies.h"
#include "store/store.h"

namespace wary::control {

struct Value {
  codec::Json json;
  std::uint64_t revision = 0;
};

class Objects {
 public:
  Objects() = default;
  static Objects over(const Objects& base) {
    Objects objects;
    objects.base_ = &base;
    return objects;
  }
  Objects(Objects&&) = default;
  Objects& operator=(Objects&&) = default;
  const Value* find(const store::Key& key) const;
  void put(const store::Key& key, codec::Json json, std::uint64_t revision);
  void remove(const store::Key& key);
  // In the order of keys.
  std::vector<std::pair<const store::Key*, const Value*>> of_kind(std::string_view kind) const;
  const std::map<store::Key, std::optional<Value>>& all() const { return objects_; }  // of one that stands on nothing

 private:
  const Objects* base_ = nullptr;
  std::map<store::Key, std::optional<Value>> objects_;  // nothing: removed from the base
};

struct Settings {
  std::string trust_domain;
  std::string console_host;    // "console.localhost"
  std::string console_socket;  // where the console's own server listens
};

store::Key key_of(std::string_view name_space, std::string_view kind, std::string_view name);

// Which entities an object has a part in.
std::vector<contract::EntityId> entities_of(const store::Key& key, const Settings& settings);
std::optional<contract::Entity> derive_entity(const Objects& objects, const contract::EntityId& id,
                                              const Settings& settings);
// Entities and policies that are there without any object: actions, anonymous, the platform, the console.
std::vector<contract::Entity> built_in_entities(const Settings& settings);
std::vector<policy::PolicyText> built_in_policies();
std::vector<policy::PolicyText> derive_policies(const Objects& objects);
std::string policy_text_id(const store::Key& key);
policy::PolicyText derive_policy(const store::Key& key, const codec::Json& spec);

// Revoked or disabled; a fact of these that is no plain false bars too.
bool is_barred(const contract::Entity& entity);

// A TrustDomain's own word of its bundle, given as text or as JSON; empty without.
std::string applied_bundle(const codec::Json& spec);
std::string spiffe_id_of(const Settings& settings, std::string_view name_space, std::string_view name);

}  // namespace wary::control
