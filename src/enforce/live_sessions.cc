#include "enforce/live_sessions.h"

#include <algorithm>
#include <unordered_set>

namespace wary::enforce {

struct LiveSession::Group {
  struct Place {
    LiveSessions::Bucket* bucket;
    std::size_t index;
  };
  Dependencies depends_on;
  std::vector<LiveSession*> sessions;
  std::vector<Place> places;  // for each entity depended on
};

LiveSession::~LiveSession() {
  if (index_ != nullptr) index_->remove(*this);
}

LiveSessions::LiveSessions() = default;

LiveSessions::~LiveSessions() {
  for (LiveSession* session : all()) remove(*session);
}

LiveSessions::Group& LiveSessions::group_of(const Dependencies& depends_on) {
  auto& slot = groups_[depends_on.get()];
  if (slot) return *slot;
  slot = std::make_unique<Group>();
  slot->depends_on = depends_on;
  slot->places.reserve(depends_on->size());
  for (const contract::EntityId& id : *depends_on) {
    Bucket& bucket = by_entity_[id];
    slot->places.push_back({&bucket, bucket.size()});
    bucket.emplace_back(slot.get(), slot->places.size() - 1);
  }
  return *slot;
}

void LiveSessions::put(LiveSession& session, const std::vector<contract::EntityId>& depends_on) {
  put(session, std::make_shared<const std::vector<contract::EntityId>>(depends_on));
}

void LiveSessions::put(LiveSession& session, const Dependencies& depends_on) {
  if (session.index_ == this) {
    const Dependencies& known = session.group_->depends_on;
    if (known == depends_on || *known == *depends_on) return;
  }
  remove(session);
  Group& group = group_of(depends_on);
  session.index_ = this;
  session.group_ = &group;
  session.place_ = group.sessions.size();
  group.sessions.push_back(&session);
  ++sessions_;
}

void LiveSessions::remove(LiveSession& session) {
  if (session.index_ != this) return;
  Group& group = *session.group_;
  // The last one takes the free place, and is told so.
  group.sessions[session.place_] = group.sessions.back();
  group.sessions[session.place_]->place_ = session.place_;
  group.sessions.pop_back();
  session.index_ = nullptr;
  session.group_ = nullptr;
  --sessions_;
  (void)take_mark(session);
  if (group.sessions.empty()) drop(group);
}

void LiveSessions::drop(Group& group) {
  for (const Group::Place& place : group.places) {
    Bucket& bucket = *place.bucket;
    bucket[place.index] = bucket.back();
    bucket[place.index].first->places[bucket[place.index].second].index = place.index;
    bucket.pop_back();
  }
  // Buckets that became empty go, or an entity seen once would be remembered for ever.
  for (const contract::EntityId& id : *group.depends_on) {
    const auto found = by_entity_.find(id);
    if (found != by_entity_.end() && found->second.empty()) by_entity_.erase(found);
  }
  groups_.erase(group.depends_on.get());
}

void LiveSessions::mark_one(LiveSession& session, std::int64_t committed) {
  constexpr std::size_t kSpareMarks = 1024;
  if (session.marked_at_ != 0) return;
  if (marks_.size() > 2 * marked_ + kSpareMarks) drop_taken_marks();
  session.committed_ = committed;
  marks_.push_back(&session);
  session.marked_at_ = marks_.size();
  ++marked_;
}

// Where changes come faster than all of what they mark is decided, there is always one left: what was taken off goes
// before it is more than what is marked.
void LiveSessions::drop_taken_marks() {
  std::size_t kept = 0;
  for (LiveSession* marked : marks_) {
    if (marked == nullptr) continue;
    marks_[kept++] = marked;
    marked->marked_at_ = kept;
  }
  marks_.resize(kept);
  marks_at_ = 0;
}

void LiveSessions::mark_group(const Group& group, std::int64_t committed) {
  for (LiveSession* session : group.sessions) mark_one(*session, committed);
}

void LiveSessions::mark(const std::vector<contract::EntityId>& changed, std::int64_t committed) {
  for (const contract::EntityId& id : changed) {
    const auto found = by_entity_.find(id);
    if (found == by_entity_.end()) continue;
    for (const auto& [group, place] : found->second) mark_group(*group, committed);
  }
}

void LiveSessions::mark_all(std::int64_t committed) {
  for (const auto& [depends_on, group] : groups_) mark_group(*group, committed);
}

std::optional<std::int64_t> LiveSessions::take_mark(LiveSession& session) {
  if (session.marked_at_ == 0) return std::nullopt;
  marks_[session.marked_at_ - 1] = nullptr;
  session.marked_at_ = 0;
  if (--marked_ == 0) {
    constexpr std::size_t kKeptRoom = 16 * 1024;
    marks_.clear();
    if (marks_.capacity() > kKeptRoom) std::vector<LiveSession*>().swap(marks_);
    marks_at_ = 0;
  }
  return session.committed_;
}

std::optional<LiveSessions::Marked> LiveSessions::next_marked() {
  if (marked_ == 0) return std::nullopt;
  while (marks_[marks_at_] == nullptr) ++marks_at_;
  LiveSession& session = *marks_[marks_at_];
  return Marked{&session, *take_mark(session)};
}

std::vector<LiveSession*> LiveSessions::affected(const std::vector<contract::EntityId>& changed) const {
  std::unordered_set<LiveSession*> seen;
  std::vector<LiveSession*> sessions;
  for (const contract::EntityId& id : changed) {
    const auto found = by_entity_.find(id);
    if (found == by_entity_.end()) continue;
    for (const auto& [group, place] : found->second) {
      for (LiveSession* session : group->sessions) {
        if (seen.insert(session).second) sessions.push_back(session);
      }
    }
  }
  return sessions;
}

std::vector<LiveSession*> LiveSessions::all() const {
  std::vector<LiveSession*> sessions;
  sessions.reserve(sessions_);
  for (const auto& [depends_on, group] : groups_) {
    sessions.insert(sessions.end(), group->sessions.begin(), group->sessions.end());
  }
  return sessions;
}

}  // namespace wary::enforce
