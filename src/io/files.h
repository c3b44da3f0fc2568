// Files: the one door to the file system. Real (RealFiles) in production; simulated (SimFiles) in tests, where synced
// and unsynced bytes are kept apart and faults come from a seed.
//
//   WARY_ASSIGN_OR_RETURN(auto file, files.open("ledger/current.seg", OpenMode::kCreate));
//   WARY_RETURN_IF_ERROR(file->write_at(0, bytes));
//   WARY_RETURN_IF_ERROR(file->sync());
//
// Durability: bytes are durable after File::sync(); a created, renamed or removed name is durable after
// sync_directory() of its folder. Nothing else is promised. Thread rule: a File belongs to one thread at a time; Files
// may be shared. Errors: file_not_found, file_exists, file_no_space, file_io, file_permission, file_locked, each with
// the path in `where`; read_file adds file_too_large.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace wary::io {

class PlacedMemory;  // io/placed_memory.h
struct Placement;

enum class OpenMode {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // read and write, made empty (mode 0600) if missing
  kCreateNew,  // must not exist
};

// Which file this is on its device; a path that names another identity than the open handle was replaced or deleted.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

struct FileStatus {
  FileIdentity identity;
  std::uint64_t size = 0;
  bool is_directory = false;
};

class File {
 public:
  virtual ~File() = default;
  // Bytes read; fewer than asked only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) = 0;
  // All of it or an error; a failed write may have written a part.
  virtual Status write_at(std::uint64_t offset, ByteView bytes) = 0;
  virtual Status truncate(std::uint64_t size) = 0;
  // Makes what was written durable (fdatasync, and the size). After an error nothing may be assumed of any byte since
  // the last good sync: reopen and recover.
  virtual Status sync() = 0;
  // Reserves blocks so that later writes below `size` do not meet a full disk; the size grows to `size`.
  virtual Status reserve(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() = 0;
  virtual Result<FileStatus> status() = 0;
  // Exclusive, advisory, not waiting: file_locked if another process (or handle) holds it. Goes with the handle.
  virtual Status lock() = 0;
  // Pieces of it in memory at a chosen address (io/placed_memory.h, which has the errors too).
  virtual Result<std::unique_ptr<PlacedMemory>> place(const Placement& where) = 0;
};

class Files {
 public:
  virtual ~Files() = default;
  virtual Result<std::unique_ptr<File>> open(std::string_view path, OpenMode mode) = 0;
  virtual Result<FileStatus> status(std::string_view path) = 0;
  virtual Status rename(std::string_view from, std::string_view to) = 0;  // replaces
  virtual Status remove(std::string_view path) = 0;
  virtual Status make_directory(std::string_view path) = 0;  // mode 0700; existing is fine; parents are not made
  virtual Result<std::vector<std::string>> list(std::string_view path) = 0;  // names, sorted
  virtual Status sync_directory(std::string_view path) = 0;
  // What this process may still write on the file system of that path.
  virtual Result<std::uint64_t> free_bytes(std::string_view path) = 0;
};

// The folder that holds a path: `a/b` of `a/b/c`, `.` of a bare name.
std::string folder_of(std::string_view path);

// Small whole files. write_file_atomically writes beside, syncs, renames and syncs the folder: after a crash the old or
// the new content stands, never a mix.
Result<Bytes> read_file(Files& files, std::string_view path, std::size_t size_max);
Status write_file_atomically(Files& files, std::string_view path, ByteView bytes);
// The same for a large file in parts: ascending, apart; zeros lie between them and up to `size`.
struct FilePart {
  std::uint64_t offset = 0;
  ByteView bytes;
};
Status write_file_atomically(Files& files, std::string_view path, std::uint64_t size, std::span<const FilePart> parts);

}  // namespace wary::io
