// LiveSessions: what is open now, indexed by everything its decision depended on, so that a changed fact finds exactly
// the connections that must be decided again.
//
//   class Connection : public LiveSession { void reconsider() override; };
//   live.put(connection, decision.depends_on);      // again with other entities: replaces
//   for (LiveSession* session : live.affected(changed)) session->...
//
// The index borrows the sessions; a session takes itself out when it goes. One thread. Cost: a hash insertion for each
// entity depended on, none when they are the same as before (a keep-alive connection of one user on one route).
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "contract/entity.h"

namespace wary::enforce {

class LiveSessions;

class LiveSession {
 public:
  LiveSession() = default;
  LiveSession(const LiveSession&) = delete;
  LiveSession& operator=(const LiveSession&) = delete;
  virtual ~LiveSession();

 private:
  friend class LiveSessions;
  struct Place {
    std::vector<std::pair<LiveSession*, std::size_t>>* bucket;  // (session, which of its places)
    std::size_t index;
  };
  LiveSessions* index_ = nullptr;
  std::vector<contract::EntityId> depends_on_;
  std::vector<Place> places_;
};

class LiveSessions {
 public:
  ~LiveSessions();
  void put(LiveSession& session, const std::vector<contract::EntityId>& depends_on);
  void remove(LiveSession& session);
  // Each session once.
  std::vector<LiveSession*> affected(const std::vector<contract::EntityId>& changed) const;
  std::vector<LiveSession*> all() const;
  std::size_t size() const { return sessions_; }

 private:
  struct Hash {
    std::size_t operator()(const contract::EntityId& id) const {
      return std::hash<std::string>()(id.type) * 31 + std::hash<std::string>()(id.id);
    }
  };
  // Buckets stay in place while the map grows: unordered_map keeps its nodes.
  std::unordered_map<contract::EntityId, std::vector<std::pair<LiveSession*, std::size_t>>, Hash> by_entity_;
  std::size_t sessions_ = 0;
};

}  // namespace wary::enforce
