// The static tlog-tiles layout (c2sp.org/tlog-tiles), written entry by entry. Private to ledger/.
//
//   StaticExport out(files, directory, size);
//   for (each of the first `size` entries) WARY_RETURN_IF_ERROR(out.add(entry));
//   return out.finish(note, hashes);
//
// One thread. Errors: those of io, and of the source of hashes.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "io/files.h"
#include "ledger/tile.h"

namespace wary::ledger {

class StaticExport {
 public:
  using ReadHashes = std::function<Result<std::vector<Hash>>(int tile_level, std::uint64_t first, std::size_t count)>;
  StaticExport(io::Files& files, std::string directory, std::uint64_t size)
      : files_(files), directory_(std::move(directory)), size_(size) {}
  Status add(ByteView entry);
  // Tiles, then the checkpoint: last of all, and whole, so that a reader never sees one whose tiles are not there.
  Status finish(std::string_view checkpoint, const ReadHashes& hashes);

 private:
  bool has(const std::string& name, std::uint64_t size);
  Status put(const std::string& name, ByteView bytes);
  Status make_folders(const std::string& name);

  io::Files& files_;
  std::string directory_;
  std::uint64_t size_;
  std::uint64_t index_ = 0;
  Bytes bundle_;
  std::set<std::string> made_;
};

}  // namespace wary::ledger
