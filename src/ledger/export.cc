// The static tlog-tiles layout for readers that are not wary (c2sp.org/tlog-tiles).
#include "ledger/ledger_impl.h"
#include "ledger/static_export.h"

namespace wary::ledger {

// Full tiles never change: one that is there with the right size stays. Nothing read from it is trusted here.
bool StaticExport::has(const std::string& name, std::uint64_t size) {
  const auto status = files_.status(directory_ + "/" + name);
  return status.ok() && status->size == size;
}

Status StaticExport::make_folders(const std::string& name) {
  for (std::size_t slash = 0; slash != std::string::npos; slash = name.find('/', slash + 1)) {
    const std::string folder = slash == 0 ? directory_ : directory_ + "/" + name.substr(0, slash);
    if (made_.insert(folder).second) WARY_RETURN_IF_ERROR(files_.make_directory(folder));
  }
  return {};
}

Status StaticExport::put(const std::string& name, ByteView bytes) {
  WARY_RETURN_IF_ERROR(make_folders(name));
  WARY_ASSIGN_OR_RETURN(const auto file, files_.open(directory_ + "/" + name, io::OpenMode::kCreate));
  WARY_RETURN_IF_ERROR(file->truncate(0));
  WARY_RETURN_IF_ERROR(file->write_at(0, bytes));
  return file->sync();
}

Status StaticExport::add(ByteView entry) {
  WARY_CHECK(index_ < size_);
  append_entry(bundle_, entry);
  const bool is_full = ++index_ % kTileWidth == 0;
  if (!is_full && index_ != size_) return {};
  const auto width = static_cast<std::uint32_t>(is_full ? kTileWidth : size_ % kTileWidth);
  const std::string name = entries_path({0, (index_ - 1) / kTileWidth, width});
  if (!is_full || !has(name, bundle_.size())) WARY_RETURN_IF_ERROR(put(name, bundle_));
  bundle_.clear();
  return {};
}

Status StaticExport::finish(std::string_view checkpoint, const ReadHashes& read) {
  WARY_CHECK(index_ == size_);
  WARY_RETURN_IF_ERROR(files_.make_directory(directory_));
  for (const Tile& tile : tiles_of(size_)) {
    const std::string name = tile_path(tile);
    if (tile.width == kTileWidth && has(name, kTileWidth * sizeof(Hash))) continue;
    WARY_ASSIGN_OR_RETURN(const auto hashes, read(tile.level, tile.index * kTileWidth, tile.width));
    WARY_RETURN_IF_ERROR(put(name, {hashes.front().data(), hashes.size() * sizeof(Hash)}));
  }
  for (const std::string& folder : made_) WARY_RETURN_IF_ERROR(files_.sync_directory(folder));
  return io::write_file_atomically(files_, directory_ + "/checkpoint", as_bytes(checkpoint));
}

Status Ledger::export_static(const std::string& directory) {
  WARY_ASSIGN_OR_RETURN(const std::string note, checkpoint());
  const std::uint64_t size = head().size;
  StaticExport out(impl_->files, directory, size);
  RecordCursor cursor(*impl_, 0);
  for (std::uint64_t index = 0; index < size; ++index) {
    WARY_ASSIGN_OR_RETURN(const Record record, cursor.next());
    WARY_RETURN_IF_ERROR(out.add(record.entry));
  }
  return out.finish(note, [this](int level, std::uint64_t first, std::size_t count) {
    return impl_->hashes.read(level, first, count);
  });
}

}  // namespace wary::ledger
