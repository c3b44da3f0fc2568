#include "io/files.h"

namespace wary::io {

std::string folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

Result<Bytes> read_file(Files& files, std::string_view path, std::size_t size_max) {
  WARY_ASSIGN_OR_RETURN(const auto file, files.open(path, OpenMode::kRead));
  WARY_ASSIGN_OR_RETURN(const FileStatus status, file->status());
  if (status.is_directory) return fail(ErrorKind::kInvalid, "file_io", "this is a directory").at(std::string(path));
  if (status.size > size_max) {
    return fail(ErrorKind::kExhausted, "file_too_large", "the file is larger than allowed")
        .at(std::string(path))
        .expected("at most " + std::to_string(size_max) + " bytes")
        .found(std::to_string(status.size));
  }
  Bytes bytes(status.size);
  WARY_ASSIGN_OR_RETURN(const std::size_t got, file->read_at(0, bytes));
  bytes.resize(got);
  return bytes;
}

Status write_file_atomically(Files& files, std::string_view path, ByteView bytes) {
  const FilePart all{0, bytes};
  return write_file_atomically(files, path, bytes.size(), {&all, 1});
}

Status write_file_atomically(Files& files, std::string_view path, std::uint64_t size, std::span<const FilePart> parts) {
  const std::string beside = std::string(path) + ".new";
  {
    // One left by a crash holds nothing that anybody was told about.
    WARY_ASSIGN_OR_RETURN(const auto file, files.open(beside, OpenMode::kCreate));
    WARY_RETURN_IF_ERROR(file->truncate(0));
    std::uint64_t end = 0;
    for (const FilePart& part : parts) {
      WARY_RETURN_IF_ERROR(file->write_at(part.offset, part.bytes));
      end = part.offset + part.bytes.size();
    }
    if (end < size) WARY_RETURN_IF_ERROR(file->truncate(size));
    WARY_RETURN_IF_ERROR(file->sync());
  }
  WARY_RETURN_IF_ERROR(files.rename(beside, path));
  return files.sync_directory(folder_of(path));
}

}  // namespace wary::io
