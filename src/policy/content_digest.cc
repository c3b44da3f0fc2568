#include "policy/content_digest.h"

#include <algorithm>
#include <map>

namespace wary::policy {

namespace {
constexpr std::size_t kBuckets = 1024;
}  // namespace

void hash_text(crypto::Sha256& hash, std::string_view text) {
  Bytes length;
  append_big_endian(length, static_cast<std::uint64_t>(text.size()));
  hash.update(length);
  hash.update(as_bytes(text));
}

ContentDigest::ContentDigest() : buckets_(kBuckets) {}

void ContentDigest::apply(const std::vector<Change>& changes) {
  std::map<std::size_t, std::vector<std::pair<crypto::Digest, const crypto::Digest*>>> by_bucket;
  for (const Change& change : changes) {
    const crypto::Digest key = crypto::sha256(as_bytes(change.name));
    by_bucket[(static_cast<std::size_t>(key[0]) << 8 | key[1]) % kBuckets].emplace_back(key, change.content);
  }
  for (const auto& [index, items] : by_bucket) {
    std::map<crypto::Digest, crypto::Digest> content;
    if (buckets_[index] != nullptr) content.insert(buckets_[index]->items.begin(), buckets_[index]->items.end());
    for (const auto& [key, digest] : items) {
      if (digest == nullptr)
        content.erase(key);
      else
        content[key] = *digest;
    }
    if (content.empty()) {
      buckets_[index] = nullptr;
      continue;
    }
    auto bucket = std::make_shared<Bucket>();
    bucket->items.assign(content.begin(), content.end());
    crypto::Sha256 hash;
    for (const auto& [key, digest] : bucket->items) {
      hash.update(key);
      hash.update(digest);
    }
    bucket->digest = hash.finish();
    buckets_[index] = std::move(bucket);
  }
}

crypto::Digest ContentDigest::digest() const {
  crypto::Sha256 hash;
  for (const auto& bucket : buckets_) hash.update(bucket != nullptr ? bucket->digest : crypto::Digest{});
  return hash.finish();
}

}  // namespace wary::policy
