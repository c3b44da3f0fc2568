#include "ledger/merkle.h"

#include <array>
#include <bit>

namespace wary::ledger {

namespace {

// One context a thread: making one costs more than hashing a leaf.
crypto::Sha256& hasher() {
  thread_local crypto::Sha256 hash;
  return hash;
}

// A range [begin, begin + count) of leaves that is no complete subtree is split as RFC 6962 does.
struct Range {
  std::uint64_t begin;
  std::uint64_t count;
  bool is_complete() const { return std::has_single_bit(count) && begin % count == 0; }
  std::uint64_t split() const { return std::bit_floor(count - 1); }  // the largest power of two below count
  Node node() const { return {std::countr_zero(count), begin / count}; }
};

Result<Hash> range_hash(Range range, const NodeReader& read) {
  if (range.is_complete()) return read(range.node());
  const std::uint64_t left = range.split();
  WARY_ASSIGN_OR_RETURN(const Hash a, range_hash({range.begin, left}, read));
  WARY_ASSIGN_OR_RETURN(const Hash b, range_hash({range.begin + left, range.count - left}, read));
  return node_hash(a, b);
}

}  // namespace

Hash empty_root() { return crypto::sha256({}); }

Hash leaf_hash(ByteView entry) {
  const std::uint8_t prefix = 0;
  hasher().update({&prefix, 1});
  hasher().update(entry);
  return hasher().finish();
}

Hash node_hash(const Hash& left, const Hash& right) {
  std::array<std::uint8_t, 65> bytes;
  bytes[0] = 1;
  std::copy(left.begin(), left.end(), bytes.begin() + 1);
  std::copy(right.begin(), right.end(), bytes.begin() + 33);
  hasher().update(bytes);
  return hasher().finish();
}

std::vector<Node> complete_subtrees(std::uint64_t size) {
  std::vector<Node> nodes;
  std::uint64_t begin = 0;
  for (int level = 63; level >= 0; --level) {
    const std::uint64_t count = std::uint64_t{1} << level;
    if ((size & count) == 0) continue;
    nodes.push_back({level, begin >> level});
    begin += count;
  }
  return nodes;
}

Frontier::Frontier(std::uint64_t size, std::vector<Hash> nodes) : size_(size), nodes_(std::move(nodes)) {
  WARY_CHECK(nodes_.size() == static_cast<std::size_t>(std::popcount(size)));
}

Hash Frontier::root() const {
  if (nodes_.empty()) return empty_root();
  Hash root = nodes_.back();
  for (std::size_t i = nodes_.size() - 1; i-- > 0;) root = node_hash(nodes_[i], root);
  return root;
}

Result<Hash> root_of(std::uint64_t size, const NodeReader& read) {
  if (size == 0) return empty_root();
  return range_hash({0, size}, read);
}

Result<std::vector<Hash>> inclusion_proof(std::uint64_t index, std::uint64_t size, const NodeReader& read) {
  WARY_CHECK(index < size);
  std::vector<Hash> proof;
  Range range{0, size};
  // From the root down; the siblings are wanted from the leaf up.
  while (range.count > 1) {
    const std::uint64_t left = range.split();
    Range sibling{};
    if (index < range.begin + left) {
      sibling = {range.begin + left, range.count - left};
      range = {range.begin, left};
    } else {
      sibling = {range.begin, left};
      range = {range.begin + left, range.count - left};
    }
    WARY_ASSIGN_OR_RETURN(const Hash hash, range_hash(sibling, read));
    proof.insert(proof.begin(), hash);
  }
  return proof;
}

Result<std::vector<Hash>> consistency_proof(std::uint64_t old_size, std::uint64_t new_size, const NodeReader& read) {
  WARY_CHECK(old_size <= new_size);
  std::vector<Hash> proof;
  if (old_size == 0 || old_size == new_size) return proof;
  Range range{0, new_size};
  // RFC 6962 section 2.1.2, unrolled: `old_end` stays inside the range until the range is the old tree's last subtree.
  while (range.begin + range.count != old_size) {
    const std::uint64_t left = range.split();
    Range sibling{};
    if (old_size <= range.begin + left) {
      sibling = {range.begin + left, range.count - left};
      range = {range.begin, left};
    } else {
      sibling = {range.begin, left};
      range = {range.begin + left, range.count - left};
    }
    WARY_ASSIGN_OR_RETURN(const Hash hash, range_hash(sibling, read));
    proof.insert(proof.begin(), hash);
  }
  if (range.begin != 0) {  // otherwise the verifier has it: it is the old root
    WARY_ASSIGN_OR_RETURN(const Hash hash, range_hash(range, read));
    proof.insert(proof.begin(), hash);
  }
  return proof;
}

bool verify_inclusion(std::span<const Hash> proof, std::uint64_t index, std::uint64_t size, const Hash& leaf,
                      const Hash& root) {
  if (index >= size) return false;
  std::uint64_t node = index;
  std::uint64_t last = size - 1;
  Hash hash = leaf;
  for (const Hash& sibling : proof) {
    if (last == 0) return false;
    if ((node & 1) != 0 || node == last) {
      hash = node_hash(sibling, hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      hash = node_hash(hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && hash == root;
}

bool verify_consistency(std::span<const Hash> proof, std::uint64_t old_size, std::uint64_t new_size,
                        const Hash& old_root, const Hash& new_root) {
  if (old_size > new_size) return false;
  if (old_size == new_size) return proof.empty() && old_root == new_root;
  if (old_size == 0) return false;
  std::uint64_t node = old_size - 1;
  std::uint64_t last = new_size - 1;
  while ((node & 1) != 0) {
    node >>= 1;
    last >>= 1;
  }
  std::size_t next = 0;
  Hash old_hash = old_root;
  if (node != 0) {  // the old tree is no complete subtree: the proof begins with its last one
    if (proof.empty()) return false;
    old_hash = proof[next++];
  }
  Hash new_hash = old_hash;
  for (; next < proof.size(); ++next) {
    if (last == 0) return false;
    if ((node & 1) != 0 || node == last) {
      old_hash = node_hash(proof[next], old_hash);
      new_hash = node_hash(proof[next], new_hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      new_hash = node_hash(new_hash, proof[next]);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && old_hash == old_root && new_hash == new_root;
}

}  // namespace wary::ledger
