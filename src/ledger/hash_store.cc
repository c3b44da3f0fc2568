#include "ledger/hash_store.h"

#include <algorithm>

namespace wary::ledger {

namespace {

constexpr std::size_t kHashSize = sizeof(Hash);

}  // namespace

std::string HashStore::path(int tile_level) const { return directory_ + "/level-" + std::to_string(tile_level); }

Result<bool> HashStore::open(std::uint64_t size) {
  bool complete = true;
  for (int i = 0; i < kLevels; ++i) {
    Level& level = levels_[static_cast<std::size_t>(i)];
    WARY_ASSIGN_OR_RETURN(level.file, files_.open(path(i), io::OpenMode::kCreate));
    const std::uint64_t wanted = size >> (8 * i);
    WARY_ASSIGN_OR_RETURN(const std::uint64_t present, level.file->size());
    complete = complete && present / kHashSize >= wanted;
    level.synced = wanted;
    level.fresh.clear();
    if (complete && present != wanted * kHashSize) WARY_RETURN_IF_ERROR(level.file->truncate(wanted * kHashSize));
  }
  return complete;
}

Status HashStore::clear() {
  for (Level& level : levels_) {
    WARY_RETURN_IF_ERROR(level.file->truncate(0));
    level.synced = 0;
    level.fresh.clear();
  }
  return {};
}

std::size_t HashStore::unsynced() const {
  std::size_t count = 0;
  for (const Level& level : levels_) count += level.fresh.size();
  return count;
}

std::uint64_t HashStore::count(int tile_level) const {
  const Level& level = levels_[static_cast<std::size_t>(tile_level)];
  return level.synced + level.fresh.size();
}

Status HashStore::sync() {
  for (int i = 0; i < kLevels; ++i) {
    Level& level = levels_[static_cast<std::size_t>(i)];
    if (level.fresh.empty()) continue;
    const ByteView bytes(level.fresh.front().data(), level.fresh.size() * kHashSize);
    // After an error the handle is renewed and all is written again from memory: nothing relies on the page cache.
    if (level.failed) {
      WARY_ASSIGN_OR_RETURN(level.file, files_.open(path(i), io::OpenMode::kCreate));
      level.failed = false;
    }
    Status done = level.file->write_at(level.synced * kHashSize, bytes);
    if (done.ok()) done = level.file->sync();
    if (!done.ok()) {
      level.failed = true;
      return done;
    }
    level.synced += level.fresh.size();
    level.fresh.clear();
  }
  return files_.sync_directory(directory_);
}

Result<std::vector<Hash>> HashStore::read(int tile_level, std::uint64_t first, std::size_t wanted) const {
  const Level& level = levels_[static_cast<std::size_t>(tile_level)];
  WARY_CHECK(first + wanted <= count(tile_level));
  std::vector<Hash> hashes(wanted);
  const std::size_t stored = first >= level.synced ? 0 : std::min<std::size_t>(wanted, level.synced - first);
  if (stored > 0) {
    const std::span<std::uint8_t> out(hashes.front().data(), stored * kHashSize);
    WARY_ASSIGN_OR_RETURN(const std::size_t got, level.file->read_at(first * kHashSize, out));
    if (got != out.size()) {
      return fail(ErrorKind::kDataLoss, "ledger_corrupt", "a hash file is too short").at(path(tile_level));
    }
  }
  for (std::size_t i = stored; i < wanted; ++i) hashes[i] = level.fresh[first + i - level.synced];
  return hashes;
}

Result<Hash> HashStore::node(Node node) const {
  const int tile_level = node.level / 8;
  const int above = node.level % 8;
  WARY_ASSIGN_OR_RETURN(std::vector<Hash> hashes, read(tile_level, node.index << above, std::size_t{1} << above));
  for (std::size_t width = hashes.size(); width > 1; width /= 2) {
    for (std::size_t i = 0; i < width / 2; ++i) hashes[i] = node_hash(hashes[2 * i], hashes[2 * i + 1]);
  }
  return hashes.front();
}

}  // namespace wary::ledger
