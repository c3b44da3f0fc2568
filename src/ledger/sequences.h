// Sequences: which event ids the ledger has already. For each (source, boot) the highest sequence below which nothing
// is missing, and a bounded set of those ahead of a gap. Private to ledger/; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "contract/event.h"

namespace wary::ledger {

// What is known of one (source, boot).
struct SequenceStream {
  std::uint64_t contiguous = 0;
  std::set<std::uint64_t> ahead;
  std::uint64_t last_index = 0;
  bool is_new = true;

  bool has(std::uint64_t sequence) const { return sequence <= contiguous || ahead.contains(sequence); }
  // Whether it can be remembered: not farther ahead of a gap than the window. A new stream may begin anywhere: what was
  // before it may lie in another log.
  bool fits(std::uint64_t sequence, std::size_t window) const { return is_new || sequence - contiguous <= window; }
  void add(std::uint64_t sequence, std::size_t window) {
    // Begun in the middle: what came before is taken as lost or elsewhere, unless it still fits the window.
    if (is_new && sequence > window) contiguous = sequence - 1;
    is_new = false;
    if (sequence > contiguous + 1) {
      ahead.insert(sequence);
      return;
    }
    if (sequence == contiguous + 1) ++contiguous;
    while (!ahead.empty() && *ahead.begin() == contiguous + 1) {
      ahead.erase(ahead.begin());
      ++contiguous;
    }
  }
};

class Sequences {
 public:
  using Key = std::pair<std::string, std::uint64_t>;

  Sequences(std::size_t streams_max, std::size_t window) : streams_max_(streams_max), window_(window) {}

  std::size_t window() const { return window_; }
  // A copy to try a batch on; a new stream if none is known.
  SequenceStream stream(const Key& key) const {
    const auto found = streams_.find(key);
    return found == streams_.end() ? SequenceStream() : found->second;
  }
  void add(const contract::EventId& id, std::uint64_t index) {
    auto [at, is_new] = streams_.try_emplace({id.source, id.boot});
    at->second.add(id.sequence, window_);
    at->second.last_index = index;
    if (is_new && streams_.size() > streams_max_) forget_oldest();
  }
  std::size_t streams() const { return streams_.size(); }

 private:
  void forget_oldest() {
    auto oldest = streams_.begin();
    for (auto at = streams_.begin(); at != streams_.end(); ++at) {
      if (at->second.last_index < oldest->second.last_index) oldest = at;
    }
    streams_.erase(oldest);
  }

  std::map<Key, SequenceStream> streams_;
  std::size_t streams_max_;
  std::size_t window_;
};

}  // namespace wary::ledger
