// ContentDigest: one SHA-256 over many named items that is cheap to change: the items lie in 1,024 buckets by the hash
// of their name; the digest covers the digests of the buckets. Equal contents have equal digests whatever the order of
// the changes that led there. Private to policy/. A value that shares what did not change; any thread.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "crypto/hash.h"

namespace wary::policy {

// With its length before it, so that what follows each other cannot be cut otherwise.
void hash_text(crypto::Sha256& hash, std::string_view text);

class ContentDigest {
 public:
  ContentDigest();
  struct Change {
    std::string_view name;
    const crypto::Digest* content;  // null: the item goes
  };
  void apply(const std::vector<Change>& changes);
  crypto::Digest digest() const;

 private:
  struct Bucket {
    std::vector<std::pair<crypto::Digest, crypto::Digest>> items;  // hash of the name, content; sorted
    crypto::Digest digest{};
  };
  std::vector<std::shared_ptr<const Bucket>> buckets_;  // shared with the digests this one came from; null when empty
};

}  // namespace wary::policy
