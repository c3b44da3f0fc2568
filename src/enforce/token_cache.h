// TokenCache: what verifying a token gave, so that a signature is not checked again for every request that shows it.
//
//   if (const auto* known = cache.find(digest, generations, now)) return known->answer;
//   cache.put(digest, {verified, error, issuer, generation, until});
//
// An entry is as good as the check it stands for: until the token ends, and while the issuer's generation is the one it
// was made under; a changed key or rule begins a new one. Refusals are kept for a few seconds. The one that was used
// longest ago makes room. One thread; no lock. Limits: 8,192 entries unless told otherwise.
#pragma once

#include <cstring>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "crypto/hash.h"
#include "enforce/jwt_issuer.h"

namespace wary::enforce {

constexpr std::size_t kTokenCacheMax = 8192;
constexpr std::int64_t kRefusalKept = 5 * kNanosPerSecond;

struct CachedToken {
  // Shared: a request that goes on holds what it began with. Null: refused, and why.
  std::shared_ptr<const VerifiedToken> token;
  Error error;
  std::string issuer;            // the Wary::Issuer's name
  std::uint64_t generation = 0;  // of it
  UnixTime until;
};

class TokenCache {
 public:
  explicit TokenCache(std::size_t entries_max = kTokenCacheMax) : entries_max_(entries_max) {}

  // `generation_of(name)` is the one in force, 0 of an issuer that is not there. The pointer holds until the next call.
  template <typename GenerationOf>
  const CachedToken* find(const crypto::Digest& digest, UnixTime now, const GenerationOf& generation_of) {
    const auto found = index_.find(digest);
    if (found == index_.end()) return nullptr;
    const CachedToken& kept = found->second->second;
    if (kept.until <= now || kept.generation != generation_of(kept.issuer)) {
      order_.erase(found->second);
      index_.erase(found);
      return nullptr;
    }
    order_.splice(order_.begin(), order_, found->second);
    return &order_.front().second;
  }

  // The reference holds until the next call.
  const CachedToken& put(const crypto::Digest& digest, CachedToken token) {
    if (const auto found = index_.find(digest); found != index_.end()) {
      order_.erase(found->second);
      index_.erase(found);
    }
    if (order_.size() >= entries_max_) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
    order_.emplace_front(digest, std::move(token));
    index_[digest] = order_.begin();
    return order_.front().second;
  }

  std::size_t size() const { return order_.size(); }

 private:
  struct Hash {
    std::size_t operator()(const crypto::Digest& digest) const {
      std::size_t out = 0;
      std::memcpy(&out, digest.data(), sizeof out);
      return out;
    }
  };
  using Order = std::list<std::pair<crypto::Digest, CachedToken>>;  // the newest use first
  std::size_t entries_max_;
  Order order_;
  std::unordered_map<crypto::Digest, Order::iterator, Hash> index_;
};

}  // namespace wary::enforce
