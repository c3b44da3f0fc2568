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
// The index borrows the sessions; a session takes itself out when it goes. One thread. Sessions under one and the same
// decision are one group: another of them costs a look-up, and none when it was in it before (a keep-alive connection
// of one user on one route). A new group costs a hash insertion for each entity depended on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "contract/entity.h"

namespace wary::enforce {

class LiveSessions;

// Shared with the decision that it is of, and with all sessions under that.
using Dependencies = std::shared_ptr<const std::vector<contract::EntityId>>;

class LiveSession {
 public:
  LiveSession() = default;
  LiveSession(const LiveSession&) = delete;
  LiveSession& operator=(const LiveSession&) = delete;
  virtual ~LiveSession();

 private:
  friend class LiveSessions;
  struct Group;
  LiveSessions* index_ = nullptr;
  Group* group_ = nullptr;
  std::size_t place_ = 0;      // in the group
  std::size_t marked_at_ = 0;  // its place among the marked, from 1; 0: not marked
  std::int64_t committed_ = 0;
};

class LiveSessions {
 public:
  LiveSessions();
  ~LiveSessions();
  void put(LiveSession& session, const Dependencies& depends_on);
  void put(LiveSession& session, const std::vector<contract::EntityId>& depends_on);  // a group of its own
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
  // Places held for marks: at most twice as many as are marked, and a thousand.
  std::size_t held_marks() const { return marks_.size(); }

 private:
  friend class LiveSession;
  using Group = LiveSession::Group;
  using Bucket = std::vector<std::pair<Group*, std::size_t>>;  // (group, which of its places)
  void mark_one(LiveSession& session, std::int64_t committed);
  void mark_group(const Group& group, std::int64_t committed);
  void drop_taken_marks();
  Group& group_of(const Dependencies& depends_on);
  void drop(Group& group);
  struct Hash {
    std::size_t operator()(const contract::EntityId& id) const {
      return std::hash<std::string>()(id.type) * 31 + std::hash<std::string>()(id.id);
    }
  };
  // Buckets stay in place while the map grows: unordered_map keeps its nodes.
  std::unordered_map<contract::EntityId, Bucket, Hash> by_entity_;
  std::unordered_map<const void*, std::unique_ptr<Group>> groups_;  // by what they depend on: its address
  std::size_t sessions_ = 0;
  std::vector<LiveSession*> marks_;  // in order; nothing where a mark was taken off
  std::size_t marks_at_ = 0, marked_ = 0;
};

}  // namespace wary::enforce
