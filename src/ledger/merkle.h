// The Merkle tree of RFC 6962 section 2: hashes, the growing edge of a tree, proofs and their verification.
//
//   Frontier frontier;  frontier.append(leaf_hash(entry), ...);  Hash root = frontier.root();
//   bool good = verify_inclusion(proof, index, size, leaf, root);
//
// Values and functions; any thread. Sizes up to 2^62.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "crypto/hash.h"

namespace wary::ledger {

using Hash = crypto::Digest;

Hash empty_root();                                    // of a tree without leaves: SHA-256 of nothing
Hash leaf_hash(ByteView entry);                       // SHA-256(00 || entry)
Hash node_hash(const Hash& left, const Hash& right);  // SHA-256(01 || left || right)

// A complete subtree: of 2^level leaves, the index-th of that size from the left.
struct Node {
  int level = 0;
  std::uint64_t index = 0;
};

// The roots of the largest complete subtrees from left to right: all that appending needs.
class Frontier {
 public:
  Frontier() = default;
  // `nodes` as complete_subtrees(size) names them.
  Frontier(std::uint64_t size, std::vector<Hash> nodes);
  std::uint64_t size() const { return size_; }
  Hash root() const;
  // Calls made(level, index, hash) for each subtree that the leaf completes, the leaf itself first.
  template <typename Made>
  void append(const Hash& leaf, Made&& made) {
    Hash hash = leaf;
    std::uint64_t index = size_;
    int level = 0;
    made(level, index, hash);
    while (index & 1) {
      hash = node_hash(nodes_.back(), hash);
      nodes_.pop_back();
      index >>= 1;
      ++level;
      made(level, index, hash);
    }
    nodes_.push_back(hash);
    ++size_;
  }

 private:
  std::uint64_t size_ = 0;
  std::vector<Hash> nodes_;
};
std::vector<Node> complete_subtrees(std::uint64_t size);  // of the tree's leaves, left to right

// Where hashes of complete subtrees come from.
using NodeReader = std::function<Result<Hash>(Node)>;
Result<Hash> root_of(std::uint64_t size, const NodeReader& read);
// index < size; old_size <= new_size; anything else is a broken invariant of the caller.
Result<std::vector<Hash>> inclusion_proof(std::uint64_t index, std::uint64_t size, const NodeReader& read);
Result<std::vector<Hash>> consistency_proof(std::uint64_t old_size, std::uint64_t new_size, const NodeReader& read);

// RFC 9162 sections 2.1.3.2 and 2.1.4.2. A proof of another length than the sizes demand is refused. From a tree
// to itself the proof is empty; from size 0 nothing can be shown, so nothing is accepted (every tree continues it).
bool verify_inclusion(std::span<const Hash> proof, std::uint64_t index, std::uint64_t size, const Hash& leaf,
                      const Hash& root);
bool verify_consistency(std::span<const Hash> proof, std::uint64_t old_size, std::uint64_t new_size,
                        const Hash& old_root, const Hash& new_root);

}  // namespace wary::ledger
