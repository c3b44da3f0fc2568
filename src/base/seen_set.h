// SeenSet: what was seen once within a while, for one-time values that many threads are shown (RFC 9449's jti).
//
//   SeenSet seen(120 * kNanosPerSecond, 500'000);
//   if (seen.add(digest, clock.monotonic()) != SeenSet::Added::kNew) refuse();
//
// An entry is remembered for `life` at least and for twice that at most. When there is no room, nothing is new: the
// caller refuses (kFull). Any thread; a lock is held for one look-up in a 64th of the set. Limits: `entries_max`,
// spread evenly over 64 parts by the digest, which must be one that nobody can choose (a hash).
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "base/bytes.h"
#include "base/check.h"
#include "base/time.h"

namespace wary {

class SeenSet {
 public:
  enum class Added { kNew, kSeen, kFull };

  SeenSet(std::int64_t life_nanos, std::size_t entries_max)
      : life_(life_nanos),
        generation_max_(entries_max / kParts / 2),
        parts_(std::make_unique<std::array<Part, 64>>()) {}

  // At least 24 bytes of a hash.
  Added add(ByteView digest, Monotonic now) {
    WARY_CHECK(digest.size() >= 24);
    Key key;
    std::memcpy(key.data(), digest.data() + 8, key.size());
    Part& part = (*parts_)[digest[0] % kParts];
    const std::lock_guard lock(part.mutex);
    age(part, now.nanos);
    if (part.younger.contains(key) || part.older.contains(key)) return Added::kSeen;
    if (part.younger.size() >= generation_max_) return Added::kFull;
    part.younger.insert(key);
    return Added::kNew;
  }

 private:
  static constexpr std::size_t kParts = 64;
  using Key = std::array<std::uint8_t, 16>;
  struct KeyHash {
    std::size_t operator()(const Key& key) const {
      std::size_t out = 0;
      std::memcpy(&out, key.data(), sizeof out);
      return out;
    }
  };
  struct Part {
    std::mutex mutex;
    std::int64_t began = 0;  // when `younger` did
    std::unordered_set<Key, KeyHash> younger, older;
  };

  void age(Part& part, std::int64_t now) const {
    if (now - part.began < life_) return;
    if (now - part.began >= 2 * life_) part.younger.clear();
    part.older = std::move(part.younger);
    part.younger.clear();
    part.began = now;
  }

  std::int64_t life_;
  std::size_t generation_max_;
  std::unique_ptr<std::array<Part, kParts>> parts_;
};

}  // namespace wary
