// LiveSessions: what is open now, indexed by everything its decision depended on, so that a changed fact finds exactly
// the connections that must be decided again.
//
//   class Connection : public LiveSession { void reconsider() override; };
//   live.put(connection, decision.depends_on);      // again with other entities: replaces
//   live.mark(changed, committed);                  // each of them is to be decided again
//   while (const auto next = live.next_marked()) ...
//
// A mark stays with its session until it is taken off, so that deciding thousands again can be spread over many turns:
// whoever is about to do anything for a session takes its mark first, and decides. A session that goes, or stays under
// another decision, loses its mark.
//
// The index borrows the sessions; a session takes itself out when it goes. One thread. Cost: a hash insertion for each
// entity depended on, none when they are the same as before (a keep-alive connection of one user on one route).
#pragma once

#include <cstdint>
#include <optional>
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
  std::size_t marked_at_ = 0;  // its place among the marked, from 1; 0: not marked
  std::int64_t committed_ = 0;
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

  // What depends on one of these, or on anything, is to be decided again. `committed`: when the change was; of one that
  // is marked already, the earlier stays.
  void mark(const std::vector<contract::EntityId>& changed, std::int64_t committed);
  void mark_all(std::int64_t committed);
  bool has_marked() const { return marked_ != 0; }
  struct Marked {
    LiveSession* session = nullptr;
    std::int64_t committed = 0;
  };
  // In the order in which they were marked; its mark is off then.
  std::optional<Marked> next_marked();
  // When its change was committed, if it was marked; its mark is off then.
  std::optional<std::int64_t> take_mark(LiveSession& session);

 private:
  void mark_one(LiveSession& session, std::int64_t committed);
  struct Hash {
    std::size_t operator()(const contract::EntityId& id) const {
      return std::hash<std::string>()(id.type) * 31 + std::hash<std::string>()(id.id);
    }
  };
  // Buckets stay in place while the map grows: unordered_map keeps its nodes.
  std::unordered_map<contract::EntityId, std::vector<std::pair<LiveSession*, std::size_t>>, Hash> by_entity_;
  std::size_t sessions_ = 0;
  std::vector<LiveSession*> marks_;  // in order; nothing where a mark was taken off
  std::size_t marks_at_ = 0, marked_ = 0;
};

}  // namespace wary::enforce
