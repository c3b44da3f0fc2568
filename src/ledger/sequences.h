// Sequences: which event ids the ledger has already. For each (source, boot) the highest sequence below which nothing is
// missing, and a bounded set of those ahead of a gap. Private to ledger/; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "contract/event.h"

namespace wary::ledger {

class Sequences {
 public:
  Sequences(std::size_t streams_max, std::size_t window) : streams_max_(streams_max), window_(window) {}

  bool has(const contract::EventId& id) const {
    const auto found = streams_.find({id.source, id.boot});
    if (found == streams_.end()) return false;
    return id.sequence <= found->second.contiguous || found->second.ahead.contains(id.sequence);
  }
  // Whether it can be remembered: not farther ahead of a gap than the window.
  bool fits(const contract::EventId& id) const {
    const auto found = streams_.find({id.source, id.boot});
    // A stream that is new here may begin anywhere: what was before may lie in a pruned or other log.
    return found == streams_.end() || id.sequence - found->second.contiguous <= window_;
  }
  void add(const contract::EventId& id, std::uint64_t index) {
    auto [at, is_new] = streams_.try_emplace({id.source, id.boot});
    Stream& stream = at->second;
    if (is_new) {
      // Begun in the middle: what came before is taken as lost or elsewhere, unless it still fits the window.
      stream.contiguous = id.sequence > window_ ? id.sequence - 1 : 0;
    }
    stream.last_index = index;
    if (id.sequence == stream.contiguous + 1) {
      ++stream.contiguous;
      while (!stream.ahead.empty() && *stream.ahead.begin() == stream.contiguous + 1) {
        stream.ahead.erase(stream.ahead.begin());
        ++stream.contiguous;
      }
    } else if (id.sequence > stream.contiguous) {
      stream.ahead.insert(id.sequence);
    }
    if (is_new && streams_.size() > streams_max_) forget_oldest();
  }
  std::size_t streams() const { return streams_.size(); }

 private:
  struct Stream {
    std::uint64_t contiguous = 0;
    std::set<std::uint64_t> ahead;
    std::uint64_t last_index = 0;
  };
  void forget_oldest() {
    auto oldest = streams_.begin();
    for (auto at = streams_.begin(); at != streams_.end(); ++at) {
      if (at->second.last_index < oldest->second.last_index) oldest = at;
    }
    streams_.erase(oldest);
  }

  std::map<std::pair<std::string, std::uint64_t>, Stream> streams_;
  std::size_t streams_max_;
  std::size_t window_;
};

}  // namespace wary::ledger
