#include "enforce/live_sessions.h"

#include <algorithm>
#include <unordered_set>

namespace wary::enforce {

LiveSession::~LiveSession() {
  if (index_ != nullptr) index_->remove(*this);
}

LiveSessions::~LiveSessions() {
  for (LiveSession* session : all()) remove(*session);
}

void LiveSessions::put(LiveSession& session, const std::vector<contract::EntityId>& depends_on) {
  if (session.index_ == this && session.depends_on_ == depends_on) return;
  remove(session);
  session.index_ = this;
  session.depends_on_ = depends_on;
  session.places_.reserve(depends_on.size());
  for (const contract::EntityId& id : depends_on) {
    auto& bucket = by_entity_[id];
    session.places_.push_back({&bucket, bucket.size()});
    bucket.emplace_back(&session, session.places_.size() - 1);
  }
  ++sessions_;
}

void LiveSessions::remove(LiveSession& session) {
  if (session.index_ != this) return;
  for (const LiveSession::Place& place : session.places_) {
    auto& bucket = *place.bucket;
    // The last one takes the free place, and is told so.
    bucket[place.index] = bucket.back();
    bucket[place.index].first->places_[bucket[place.index].second].index = place.index;
    bucket.pop_back();
  }
  // Buckets that became empty go, or an entity seen once would be remembered for ever.
  for (const contract::EntityId& id : session.depends_on_) {
    const auto found = by_entity_.find(id);
    if (found != by_entity_.end() && found->second.empty()) by_entity_.erase(found);
  }
  session.places_.clear();
  session.depends_on_.clear();
  session.index_ = nullptr;
  --sessions_;
  (void)take_mark(session);
}

void LiveSessions::mark_one(LiveSession& session, std::int64_t committed) {
  if (session.marked_at_ != 0) return;
  session.committed_ = committed;
  marks_.push_back(&session);
  session.marked_at_ = marks_.size();
  ++marked_;
}

void LiveSessions::mark(const std::vector<contract::EntityId>& changed, std::int64_t committed) {
  for (const contract::EntityId& id : changed) {
    const auto found = by_entity_.find(id);
    if (found == by_entity_.end()) continue;
    for (const auto& [session, place] : found->second) mark_one(*session, committed);
  }
}

void LiveSessions::mark_all(std::int64_t committed) {
  for (const auto& [id, bucket] : by_entity_) {
    for (const auto& [session, place] : bucket) mark_one(*session, committed);
  }
}

std::optional<std::int64_t> LiveSessions::take_mark(LiveSession& session) {
  if (session.marked_at_ == 0) return std::nullopt;
  marks_[session.marked_at_ - 1] = nullptr;
  session.marked_at_ = 0;
  if (--marked_ == 0) {
    marks_.clear();
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
    for (const auto& [session, place] : found->second) {
      if (seen.insert(session).second) sessions.push_back(session);
    }
  }
  return sessions;
}

std::vector<LiveSession*> LiveSessions::all() const {
  std::unordered_set<LiveSession*> seen;
  for (const auto& [id, bucket] : by_entity_) {
    for (const auto& [session, place] : bucket) seen.insert(session);
  }
  return {seen.begin(), seen.end()};
}

}  // namespace wary::enforce
