// The static tlog-tiles layout for readers that are not wary (c2sp.org/tlog-tiles).
#include <set>

#include "ledger/ledger_impl.h"

namespace wary::ledger {

namespace {

class Exporter {
 public:
  Exporter(io::Files& files, std::string directory) : files_(files), directory_(std::move(directory)) {}

  // Full tiles never change: one that is there with the right size stays. Nothing read from it is trusted here.
  bool has(const std::string& name, std::uint64_t size) {
    const auto status = files_.status(directory_ + "/" + name);
    return status.ok() && status->size == size;
  }
  Status put(const std::string& name, ByteView bytes) {
    WARY_RETURN_IF_ERROR(make_folders(name));
    WARY_ASSIGN_OR_RETURN(const auto file, files_.open(directory_ + "/" + name, io::OpenMode::kCreate));
    WARY_RETURN_IF_ERROR(file->truncate(0));
    WARY_RETURN_IF_ERROR(file->write_at(0, bytes));
    return file->sync();
  }
  // Last of all, and whole: a reader never sees a checkpoint whose tiles are not there.
  Status finish(std::string_view checkpoint) {
    for (const std::string& folder : made_) WARY_RETURN_IF_ERROR(files_.sync_directory(folder));
    return io::write_file_atomically(files_, directory_ + "/checkpoint", as_bytes(checkpoint));
  }

 private:
  Status make_folders(const std::string& name) {
    for (std::size_t slash = 0; slash != std::string::npos; slash = name.find('/', slash + 1)) {
      const std::string folder = slash == 0 ? directory_ : directory_ + "/" + name.substr(0, slash);
      if (made_.insert(folder).second) WARY_RETURN_IF_ERROR(files_.make_directory(folder));
    }
    return {};
  }
  io::Files& files_;
  std::string directory_;
  std::set<std::string> made_;
};

Status export_tiles(Ledger::Impl& ledger, Exporter& out, std::uint64_t size) {
  for (const Tile& tile : tiles_of(size)) {
    const std::string name = tile_path(tile);
    if (tile.width == kTileWidth && out.has(name, kTileWidth * sizeof(Hash))) continue;
    WARY_ASSIGN_OR_RETURN(const auto hashes, ledger.hashes.read(tile.level, tile.index * kTileWidth, tile.width));
    WARY_RETURN_IF_ERROR(out.put(name, {hashes.front().data(), hashes.size() * sizeof(Hash)}));
  }
  return {};
}

Status export_entries(Ledger::Impl& ledger, Exporter& out, std::uint64_t size) {
  RecordCursor cursor(ledger, 0);
  Bytes bundle;
  for (std::uint64_t index = 0; index < size; ++index) {
    WARY_ASSIGN_OR_RETURN(const Record record, cursor.next());
    append_entry(bundle, record.entry);
    const bool is_full = (index + 1) % kTileWidth == 0;
    if (!is_full && index + 1 != size) continue;
    const auto width = static_cast<std::uint32_t>(is_full ? kTileWidth : size % kTileWidth);
    const std::string name = entries_path({0, index / kTileWidth, width});
    if (!is_full || !out.has(name, bundle.size())) WARY_RETURN_IF_ERROR(out.put(name, bundle));
    bundle.clear();
  }
  return {};
}

}  // namespace

Status Ledger::export_static(const std::string& directory) {
  WARY_ASSIGN_OR_RETURN(const std::string note, checkpoint());
  const std::uint64_t size = head().size;
  Exporter out(impl_->files, directory);
  if (Status done = impl_->files.make_directory(directory); !done.ok()) return done;
  WARY_RETURN_IF_ERROR(export_tiles(*impl_, out, size));
  WARY_RETURN_IF_ERROR(export_entries(*impl_, out, size));
  return out.finish(note);
}

}  // namespace wary::ledger
