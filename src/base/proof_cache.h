// ProofCache: what was proved once and holds for a while: by the digest of all that the proof was made from.
//
//   ProofCache<Certificate> proven(4096);
//   if (auto known = proven.find(digest, now)) return known;
//   proven.add(digest, value, from, until);   // holds at `from` and after it, and no longer at `until`
//
// It remembers proofs and never answers: whoever asks decides anew by what it finds. Values are immutable and shared.
// Any thread; a lock is held for one look-up in a 16th of the cache. Limits: `entries_max`, spread evenly by the
// digest, which must be one that nobody can choose (a hash); when there is no room, the older half goes.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/bytes.h"
#include "base/check.h"
#include "base/time.h"

namespace wary {

template <typename Value>
class ProofCache {
 public:
  using Shared = std::shared_ptr<const Value>;  // shared: everybody who proves the same holds one copy

  explicit ProofCache(std::size_t entries_max)
      : generation_max_(entries_max / kParts / 2), parts_(std::make_unique<std::array<Part, kParts>>()) {
    WARY_CHECK(generation_max_ > 0);
  }

  // Nothing where it is unknown or does not hold at that time. The digest has 32 bytes.
  Shared find(ByteView digest, UnixTime at) {
    const Key key = key_of(digest);
    Part& part = (*parts_)[digest[0] % kParts];
    const std::lock_guard lock(part.mutex);
    auto found = part.younger.find(key);
    if (found == part.younger.end()) {
      const auto older = part.older.find(key);
      if (older == part.older.end()) return nullptr;
      found = keep(part, key, older->second);  // it is used: it outlives the next half that goes
    }
    const Entry& entry = found->second;
    return entry.from.nanos <= at.nanos && at.nanos < entry.until.nanos ? entry.value : nullptr;
  }

  void add(ByteView digest, Shared value, UnixTime from, UnixTime until) {
    Part& part = (*parts_)[digest[0] % kParts];
    const std::lock_guard lock(part.mutex);
    keep(part, key_of(digest), {std::move(value), from, until});
  }

 private:
  static constexpr std::size_t kParts = 16;
  using Key = std::array<std::uint8_t, 32>;
  struct KeyHash {
    std::size_t operator()(const Key& key) const {
      std::size_t out = 0;
      std::memcpy(&out, key.data() + 8, sizeof out);
      return out;
    }
  };
  struct Entry {
    Shared value;
    UnixTime from, until;
  };
  using Generation = std::unordered_map<Key, Entry, KeyHash>;
  struct Part {
    std::mutex mutex;
    Generation younger, older;
  };

  static Key key_of(ByteView digest) {
    WARY_CHECK(digest.size() == std::tuple_size_v<Key>);
    Key key;
    std::memcpy(key.data(), digest.data(), key.size());
    return key;
  }
  typename Generation::iterator keep(Part& part, const Key& key, Entry entry) {
    if (part.younger.size() >= generation_max_ && !part.younger.contains(key)) {
      part.older = std::move(part.younger);
      part.younger.clear();
    }
    return part.younger.insert_or_assign(key, std::move(entry)).first;
  }

  std::size_t generation_max_;
  std::unique_ptr<std::array<Part, kParts>> parts_;
};

}  // namespace wary
