// HashStore: the tree's hashes on disk, one file a tile level: level-L holds the hashes of the complete subtrees of
// 2^(8L) leaves one after the other, which is the concatenation of that level's tiles. Private to ledger/.
//
// Derived from the segments and rebuilt from them at need. Hashes since the last sync stay in memory, so that a failed
// sync loses nothing. One thread.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "io/files.h"
#include "ledger/merkle.h"
#include "ledger/tile.h"

namespace wary::ledger {

class HashStore {
 public:
  static constexpr int kLevels = 8;  // 2^64 leaves

  HashStore(io::Files& files, std::string directory) : files_(files), directory_(std::move(directory)) {}
  // Opens the files. True if they hold every hash of a tree of `size`; what lies beyond is cut off. False: start empty.
  Result<bool> open(std::uint64_t size);
  Status clear();

  void append(int tile_level, const Hash& hash) { levels_[static_cast<std::size_t>(tile_level)].fresh.push_back(hash); }
  std::size_t unsynced() const;
  Status sync();

  Result<Hash> node(Node node) const;
  Result<std::vector<Hash>> read(int tile_level, std::uint64_t first, std::size_t count) const;
  std::uint64_t count(int tile_level) const;
  std::string path(int tile_level) const;

 private:
  struct Level {
    std::unique_ptr<io::File> file;
    std::uint64_t synced = 0;  // hashes that are durable
    std::vector<Hash> fresh;   // those after them
    bool failed = false;       // the last sync did not succeed
  };
  io::Files& files_;
  std::string directory_;
  std::array<Level, kLevels> levels_;
};

}  // namespace wary::ledger
